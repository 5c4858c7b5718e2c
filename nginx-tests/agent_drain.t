#!/usr/bin/perl

# SIGTERM while clients are slow: new requests are told so, everything ends
# within drain_timeout, and what a client did not take by then is counted. A
# child that does not hear that it is to end is killed, and its own with it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use PcapTest;
use Test::More;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Certs;
use PcapTest::Net;
use PcapTest::Pcapng qw(parse);
use PcapTest::Traffic qw(flood);
use Time::HiRes qw(sleep time);

# the leak sanitizer has a child of its own
$ENV{ASAN_OPTIONS} = 'detect_leaks=0' if sanitized();

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $net = PcapTest::Net->new();
my $ha = $net->host("da$$");
my $hb = $net->host("db$$");
my ($addr_a, $addr_b) = $net->join_hosts($ha, $hb);
my $agent = PcapTest::Agent->new(certs => $certs, host => $ha, conf => {
    user => 'nobody', drain_timeout => 4, buffer_bytes => 32 << 20,
    max_bandwidth => 0, max_cpu_percent => 0 });


# two that read too slowly, of which one has finished, and one that never does
my ($slow, $ending, $never) = map { $C->new($agent, rcvbuf => 65536) } 1 .. 3;

for my $c ($slow, $ending, $never) {
    $c->get('/v1/capture?interface=eth0&filter=udp');
    ok($c->started(), 'a capture runs');
}

is(wait_exit(flood(id => 1, to => $addr_a, ns => $hb->{ns}, count => 40_000,
    size => 1000, pps => 40_000), 20), 0, 'more is sent than is read');

$ending->half_close();
ok(wait_for(5, sub { slurp($agent->{log}) =~ /the peer has finished/ }),
    'one drains already');

my $begun = time();
kill 'TERM', $agent->{pid};
ok(wait_for(2, sub { slurp($agent->{log}) =~ /draining 3 captures/ }),
    'it drains');

my ($status, $doc) = $C->fetch($agent, '/v1/capture?interface=eth0');
is($status, 503, 'no new capture');
is($doc->{detail}, 'the agent is draining', 'and why');
($status, $doc) = $C->fetch($agent, '/v1/status');
is("$doc->{message} $doc->{captures_running}", 'draining 3', 'status');

# at most 2.6 MB/s, 6 MB of 40 MB until what is left is given up
while (time() - $begun < 2.2) {
    $_->pump(0.01) for $slow, $ending;
    sleep(0.025);
}

for my $c ($slow, $ending) {
    ok(!$c->{complete}, 'the slow one is not through by then');
    $c->read_to_end(5);
}

is(wait_exit(delete $agent->{pid}, 10), 0, 'the agent has ended, well');
cmp_ok(time() - $begun, '<', limit(5), 'within drain_timeout');

for my $c ($slow, $ending) {
    ok($c->{complete}, 'the slow client has a whole stream');

    my $f = parse($c->{body});
    my $isb = $f->{isbs}[-1];

    is($isb->{usrdeliv}, scalar @{ $f->{packets} }, 'which says what it has');
    is($isb->{filteraccept}, 40_000, 'and what there was');
    cmp_ok($isb->{usrdeliv} + $isb->{osdrop}, '<', $isb->{filteraccept},
        'the rest was given up');
}

my ($died) = slurp($agent->{log}) =~ /capture of process (\d+) does not drain/;
ok($died, 'who takes nothing is cut off');
$agent->{killed}{$died} = 1 if $died;


# --- a child that does not do as it is told --------------------------------

my $off = work_dir() . '/captures-off';

$agent = PcapTest::Agent->new(certs => $certs, host => $ha, name => 'deaf',
    conf => { user => 'nobody', drain_timeout => 1, off_file => $off });

# what a session has forked does not outlive it, not even stopped
my $heavy = $C->new($agent);
my $filter = join '%20and%20', map { "(port%20$_%20or%20portrange%20$_-999)" }
    1 .. 90;
$heavy->get("/v1/capture?interface=eth0&filter=$filter");

my ($session, $compiles);
ok(wait_for(5, sub {
    ($session) = grep { ($compiles) = children($_) } children($agent->{pid});
    $session;
}), 'a filter is compiled');
kill 'STOP', $compiles;
kill 'KILL', $session;
$agent->{killed}{$session} = 1;
ok(wait_for(5, sub { !-d "/proc/$compiles" || slurp("/proc/$compiles/status")
    =~ /^State:\s+Z/m }), 'its child is killed with a session');

my $deaf = $C->new($agent);
$deaf->get('/v1/capture?interface=eth0');
ok($deaf->started(), 'a capture runs');

ok(wait_for(5, sub { $agent->connections() == 1 }), 'alone');
($died) = children($agent->{pid});
kill 'STOP', $died;
$agent->{killed}{$died} = 1;
spew($off, '');
ok(wait_for(6, sub { slurp($agent->{log})
    =~ /capture of process $died does not drain: killed/ }),
    'who does not end when captures are switched off is killed');
ok(wait_for(5, sub { !$agent->connections() }), 'and gone');
is(($C->fetch($agent, '/v1/status'))[1]{captures_running}, 0,
    'it holds no slot any more');
$agent->stop();

finish();
