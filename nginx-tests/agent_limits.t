#!/usr/bin/perl

# What captures may take of a machine: how many, how much of the network,
# each and all together, how much of a core. Each limit ends what is above
# it, well and by name; all of it is counted in /v1/metrics.

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
use Time::HiRes qw(time);

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $net = PcapTest::Net->new();
my $ha = $net->host("la$$");
my $hb = $net->host("lb$$");
my ($addr_a, $addr_b) = $net->join_hosts($ha, $hb);
$certs->leaf('stranger', cn => 'someone-else');

my ($agent, $flood);

sub agent_with
{
    my (%conf) = @_;

    if (!$agent) {
        return $agent = PcapTest::Agent->new(certs => $certs, host => $ha,
            conf => { user => 'nobody', %conf });
    }

    $agent->stop();
    $agent->{conf} = { user => 'nobody', %conf };
    $agent->start();
}


# { name or name{labels} => value }
sub metrics
{
    my ($status, $text) = $C->fetch($agent, '/v1/metrics');

    die "no metrics: $status\n" if $status != 200;

    return { $text =~ /^pcap_agent_(\S+) (\S+)$/mg };
}


sub start
{
    my ($query) = @_;

    my $c = $C->new($agent);

    $c->get("/v1/capture?interface=eth0&$query");
    ok($c->started(), "a capture starts: $query");

    return $c;
}


# The capture ends by itself, well, and all its last ISBs say why.
sub ends_by
{
    my ($c, $limit, $seconds) = @_;

    my $begun = time();

    $c->read_to_end($seconds);
    ok($c->{complete}, "$limit: the stream has an end");

    my $f = parse($c->{body});
    is_deeply($f->{isbs}[-1]{comments}, ["limit: $limit"],
        "$limit: the last ISB names it");
    is((grep { @{ $_->{comments} } } @{ $f->{isbs} }), 1,
        "$limit: that one alone");

    my $isb = $f->{isbs}[-1];
    is($isb->{usrdeliv}, scalar @{ $f->{packets} }, "$limit: what was sent");
    is($isb->{filteraccept}, $isb->{osdrop} + $isb->{usrdeliv},
        "$limit: nothing is lost without being counted");
    like(slurp($agent->{log}), qr/capture ends: LIMIT_REACHED $limit:/,
        "$limit: the log names it");

    return $f;
}


# once its process has been reaped
sub ends_counted
{
    my ($limit) = @_;

    ok(wait_for(5, sub {
        metrics()->{"captures_ended_total{reason=\"$limit\"}"} == 1
    }), "$limit: counted");
}


sub udp { return flood(id => 1, to => $addr_a, ns => $hb->{ns}, @_) }


# --- bandwidth of one capture, and what is counted ------------------------

agent_with(max_bandwidth => 50_000, max_captures => 2);

my $first = metrics();
is($first->{captures_max}, 2, 'captures_max');
is($first->{captures_running}, 0, 'none is running');
is($first->{'captures_ended_total{reason="max_bandwidth"}'}, 0,
    'every reason is there from the beginning');

my $greedy = start('filter=udp');
my $modest = start('filter=tcp%20port%201');

$first = metrics();
is($first->{captures_running}, 2, 'two are running');

my ($status, $doc) = $C->fetch($agent, '/v1/capture?interface=eth0');
is($status, 429, 'max_captures: refused');
is($doc->{detail}, 'max_captures: 2 of 2 captures are running', 'by name');

# 3 MB, sixty times a second's worth
$flood = udp(count => 3000, size => 1000, pps => 3000);
my $f = ends_by($greedy, 'max_bandwidth', 10);
wait_exit($flood, 10);
ok(@{ $f->{packets} } > 100, 'a burst of ten seconds was let through');

$modest->half_close();
$modest->read_to_end(5);
ok($modest->{complete}, 'the other one went on');
wait_for(5, sub { !$agent->connections() });

eval { $C->fetch($agent, '/v1/status', cert => 'stranger') };
$C->fetch($agent, '/v1/capture?interface=eth0&filter=nonsense%20here');
$C->fetch($agent, '/v1/capture?interface=eth9');
wait_for(5, sub { !$agent->connections() });

my $m = metrics();
is($m->{captures_started_total}, 2, 'counted: started');
is($m->{'captures_ended_total{reason="max_bandwidth"}'}, 1,
    'counted: ended by the limit');
is($m->{'captures_ended_total{reason="finished"}'}, 1, 'counted: finished');
is($m->{'requests_refused_total{reason="max_captures"}'}, 1,
    'counted: refused by the limit');
is($m->{'requests_refused_total{reason="filter"}'}, 1, 'counted: a filter');
is($m->{filter_refusals_total}, 1, 'counted: where it was compiled');
is($m->{'requests_refused_total{reason="interface"}'}, 1,
    'counted: an interface');
is($m->{handshake_failures_total} - $first->{handshake_failures_total}, 1,
    'counted: a handshake');
is($m->{packets_written_total}, $f->{isbs}[-1]{usrdeliv},
    'counted: packets written');
is($m->{packets_seen_total}, $f->{isbs}[-1]{filteraccept},
    'counted: packets seen');
is($m->{packets_dropped_kernel_total}, $f->{isbs}[-1]{osdrop},
    'counted: drops of the kernel');
cmp_ok($m->{sent_bytes_total}, '>', 100_000, 'counted: bytes');
cmp_ok($m->{cpu_seconds_total}, '>', $first->{cpu_seconds_total},
    'counted: CPU time');
is($m->{captures_running}, 0, 'none is left');
is($m->{sandbox_kills_total}, 0, 'no sandbox had to kill');

# what the kernel does to a process outside of its list
my $c = start('filter=icmp');
my ($pid) = children($agent->{pid});
$agent->{killed}{$pid} = 1;
kill 'SYS', $pid;
$c->read_to_end(5);
ok(wait_for(5, sub { metrics()->{sandbox_kills_total} == 1 }),
    'counted: a sandbox that kills');
is(metrics()->{'captures_ended_total{reason="killed"}'}, 1,
    'counted: the capture that it was');


# --- CPU ------------------------------------------------------------------

# one percent: a tenth of a second, once
agent_with(max_cpu_percent => 1);
$c = start('filter=udp');
$flood = udp(count => 400_000, size => 200, pps => 40_000);
ends_by($c, 'max_cpu_percent', 20);
kill 'TERM', $flood;
wait_exit($flood, 5);
ends_counted('max_cpu_percent');


# --- bandwidth of all captures ------------------------------------------

agent_with(max_bandwidth_total => 50_000);
$greedy = start('filter=udp');
$modest = start('filter=udp&snaplen=1');
$flood = udp(count => 3000, size => 1000, pps => 3000);
ends_by($greedy, 'max_bandwidth_total', 10);
wait_exit($flood, 10);
$modest->half_close();
$modest->read_to_end(5);

my $said = parse($modest->{body})->{isbs}[-1]{comments};
is("@$said", '', 'max_bandwidth_total: the modest one goes on');
ends_counted('max_bandwidth_total');


# --- connections that say nothing ----------------------------------------

sub silent { return $C->new($agent, plain => 1) }

sub closed
{
    my ($c, $seconds) = @_;

    return IO::Select->new($c->{sock})->can_read($seconds)
        && !(sysread($c->{sock}, my $buf, 1) // 0);
}


# the default: 4 of an address at once; then who comes waits for his turn
agent_with();

my $before = metrics()->{connections_turned_away_total};
my @silent = map { silent() } 1 .. 4;

ok(wait_for(5, sub { children($agent->{pid}) == 4 }), 'four are served');

my $waits = silent();
my @more = map { silent() } 1 .. 64;

ok(closed($more[-1], 5), 'the 65th that waits is closed');
ok(!closed($more[0], 0), 'the others are not');
is(scalar(children($agent->{pid})), 4, 'and cost no process');
close $silent[0]{sock};
$waits->secure($agent)->get('/v1/status');
ok($waits->read_until(5, sub { $_[0]{body} =~ /"healthy"/ }),
    'one whose turn has come is answered');
close $_->{sock} for @silent, @more;
ok(wait_for(5, sub { children($agent->{pid}) == 0 }), 'all are through');
is(metrics()->{connections_turned_away_total}, $before + 1,
    'one was turned away');

# Four have 10 s for a request, then four of those that wait have their turn,
# and the others have waited as long.
@silent = map { silent() } 1 .. 4;
ok(wait_for(5, sub { children($agent->{pid}) == 4 }), 'four again');
@more = map { silent() } 1 .. 8;
ok(wait_for(15, sub { (grep { closed($_, 0) } @more) >= 4 }),
    'nobody waits for ever');
close $_->{sock} for @silent, @more;
ok(wait_for(5, sub { children($agent->{pid}) == 0 }), 'all are through');
cmp_ok(metrics()->{connections_turned_away_total}, '>=', 4,
    'and they are counted');

finish();
