#!/usr/bin/perl

# The agent alone: captures of every kind, their ledger, their order and
# their end.

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
use PcapTest::Pcapng qw(parse parse_pcap);
use PcapTest::Traffic qw(flood marker inject packet_id udp_frame in_ns);
use Time::HiRes qw(time);

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $net = PcapTest::Net->new();
my $ha = $net->host("aa$$");
my $hb = $net->host("ab$$");
my ($addr_a, $addr_b) = $net->join_hosts($ha, $hb);
my $agent = PcapTest::Agent->new(certs => $certs, host => $ha,
    conf => { user => 'nobody', log_level => 'debug' });


# The last ISB of an interface.
sub last_isb
{
    my ($file, $i) = @_;

    return (grep { $_->{iface} == $i } @{ $file->{isbs} })[-1];
}


# Every promise kept: no record below a T that came before it.
sub broken_promises
{
    my ($file) = @_;

    my ($t, $i, $broken) = (0, 0, 0);

    for my $isb (@{ $file->{isbs} }) {
        for (; $i < $isb->{after}; $i++) {
            $broken++ if $file->{packets}[$i][1] < $t;
        }

        $broken++ if $isb->{ts} < $t;
        $t = $isb->{ts};
    }

    return $broken;
}


sub steps_back
{
    my ($file) = @_;

    my ($last, $n) = (0, 0);

    for my $p (@{ $file->{packets} }) {
        $n++ if $p->[1] < $last;
        $last = $p->[1];
    }

    return $n;
}


# Sequence numbers of one sender, in the order of the file.
sub sequence
{
    my ($file, $id) = @_;

    return map { $_->[1] } grep { @$_ && $_->[0] == $id }
        map { [ packet_id($_->[4]) ] } @{ $file->{packets} };
}


# --- an idle link --------------------------------------------------------

my $t0 = time();
my $c = $C->new($agent, keep_chunks => 1);
$c->{keep_chunks} = 1;
$c->get('/v1/capture?interface=eth0&heartbeat_ms=50&id=' . '0a' x 16);
ok($c->started(), 'the first chunk comes at once');
cmp_ok(time() - $t0, '<', limit(1), 'without any traffic');
like($c->{head}, qr{^Content-Type: application/x-pcapng\r$}m, 'its type');

my $f = parse($c->{chunk_list}[0]);
is(scalar @{ $f->{ifaces} }, 1, 'one interface in the first chunk');
is($f->{ifaces}[0]{name}, 'eth0', 'bare device name');
is($f->{ifaces}[0]{linktype}, 1, 'true link type');
is(scalar @{ $f->{isbs} }, 1, 'one ISB in the first chunk');
like($f->{ifaces}[0]{filter}, qr/^\0not \(.*\Q$ha->{addr}\E/,
    'if_filter tells the exclusion');

ok($c->read_until(5, sub { $_[0]{chunks} >= 12 }),
    'heartbeats on an idle link');
$c->half_close();
$c->read_to_end();
ok($c->{complete}, 'a half-close ends it with the last chunk');

$f = parse($c->{body});
is(scalar @{ $f->{packets} }, 0, 'and no packet: not even its own');
is(broken_promises($f), 0, 'T never goes back');
my @t = map { $_->{ts} } @{ $f->{isbs} };
my @gaps = sort { $a <=> $b } map { $t[$_] - $t[$_ - 1] } 1 .. $#t;
cmp_ok($gaps[@gaps / 2] / 1e6, '<', limit(100), 'a heartbeat every 50 ms');
cmp_ok(now_ns() - $t[-1], '<', limit(1) * 1e9, 'T is not far behind');
like(slurp($agent->{log}), qr/: @{[ '0a' x 16 ]}: capture starts/,
    'the capture id is in the log');


# --- a small ring has few blocks: they are kept for longer -----------------

# The least that T was behind the clock, in ms: twice the retire time and 5.
sub behind
{
    my ($agent) = @_;

    my $c = $C->new($agent);
    my ($seen, $least) = (0, 1e9);

    $c->{keep_chunks} = 1;
    $c->get('/v1/capture?interface=eth0&heartbeat_ms=15');
    $c->read_until(5, sub {
        return 0 if !$c->{chunks};

        my @isbs = @{ parse($c->{body})->{isbs} };

        for my $isb (@isbs[$seen .. $#isbs]) {
            my $ms = (now_ns() - $isb->{ts}) / 1e6;
            $least = $ms if $ms < $least;
        }

        return ($seen = @isbs) > 40;
    });
    $c->half_close();
    $c->read_to_end();

    return $least;
}


my $small = PcapTest::Agent->new(certs => $certs, host => $ha, port => 9496,
    conf => { buffer_bytes => 1 << 20 });

cmp_ok(behind($small), '>=', 45, 'a ring of 1 MiB: a retire time of 20 ms');
cmp_ok(behind($agent), '<', limit(45), 'one of 8 MiB: of 5 ms');
$small->stop();


# --- few records leave with the heartbeat, where those are rare ------------

# How many chunks have packets and no heartbeat, with 1000 packets a second.
sub early
{
    my ($ms, $size) = @_;

    my $c = $C->new($agent);

    $c->{keep_chunks} = 1;
    $c->get("/v1/capture?interface=eth0&filter=udp&heartbeat_ms=$ms");
    $c->started();
    my $pid = flood(ns => $hb->{ns}, to => $addr_a, id => 1, count => 1000,
        pps => 1000, size => $size);
    $c->read_until(20, sub { !alive($pid) });

    # without the first chunk, and what comes when it ends
    my @chunks = @{ $c->{chunk_list} };
    $c->half_close();
    $c->read_to_end();
    is(scalar @{ parse($c->{body})->{packets} }, 1000,
        "$size bytes, heartbeats of $ms ms: all there");

    my $early = 0;

    for my $chunk (@chunks[1 .. $#chunks]) {
        my %seen;

        for (my $at = 0; $at < length $chunk; ) {
            my ($type, $len) = unpack 'VV', substr $chunk, $at, 8;
            $seen{$type} = 1;
            $at += $len;
        }

        $early++ if $seen{6} && !$seen{5};
    }

    return $early;
}


cmp_ok(early(100, 60), '<', 5, 'heartbeats of 100 ms: few chunks before them');
cmp_ok(early(1000, 60), '>', 5, 'records wait for 100 ms at most');
cmp_ok(early(100, 1400), '>', 10, 'many bytes do not wait');
cmp_ok(early(15, 60), '>', 10, 'with 15 ms nothing waits');


# --- two CPUs, complete and in order -------------------------------------

# a ring that a busy machine does not fill
my $roomy = PcapTest::Agent->new(certs => $certs, host => $ha, port => 9495,
    conf => { buffer_bytes => 64 << 20 });

$c = $C->capture($roomy, 'interface=eth0&filter=udp', sub {
    my ($self) = @_;

    my @pids = map { flood(ns => $hb->{ns}, to => $addr_a, id => $_ + 1,
        cpu => $_, count => 60000, pps => 20000, sizes => [ 30, 400 ]) } 0, 1;

    # read meanwhile: this reader is slower than the wire
    $self->read_until(60, sub { !grep { alive($_) } @pids });
    marker(ns => $hb->{ns}, to => $addr_a, id => 99);
    $self->read_until(20, sub { $_[0]->seen("PCAPTEST" . pack 'NN', 99, 0) });
});

ok($c->{complete}, 'flood: ended well');
$f = parse($c->{body});
is(steps_back($f), 0, 'flood: strictly in time order');
is(broken_promises($f), 0, 'flood: every promise kept');

my $isb = last_isb($f, 0);
is($isb->{usrdeliv}, scalar @{ $f->{packets} }, 'flood: usrdeliv is what came');
is($isb->{filteraccept}, $isb->{usrdeliv} + $isb->{osdrop},
    'flood: the ledger is exact');
is($isb->{osdrop}, 0, 'flood: nothing dropped');

for my $id (1, 2) {
    my @seq = sequence($f, $id);
    is(scalar @seq, 60000, "flood: all of sender $id");
    is(scalar(grep { $seq[$_] != $_ } 0 .. $#seq), 0,
        "flood: in the order of sending $id");
}


$roomy->stop();

# what came in between socket and filter is neither counted nor sent
my $busy = flood(ns => $hb->{ns}, to => $addr_a, id => 1, count => 40000,
    pps => 20000);

for my $round (1 .. 5) {
    $f = parse($C->capture($agent, 'interface=eth0&filter=tcp', sub { })
        ->{body});
    $isb = last_isb($f, 0);
    is(scalar @{ $f->{packets} } + $isb->{filteraccept}, 0,
        "busy link, round $round: nothing from before the filter");
}

wait_exit($busy, 30);


# --- back-pressure -------------------------------------------------------

$c = $C->new($agent, rcvbuf => 16384);
$c->get('/v1/capture?interface=eth0&filter=udp&heartbeat_ms=20');
ok($c->started(), 'back-pressure: runs');

# far more than staging, ring and socket hold, and nobody reads
wait_exit(flood(ns => $hb->{ns}, to => $addr_a, id => 1, count => 40000,
    pps => 40000, size => 1400), 60);
ok($agent->connections() == 1, 'back-pressure: a stalled client is kept');
$c->half_close();
$c->read_to_end(30);
ok($c->{complete}, 'back-pressure: ends well once it is read');
$f = parse($c->{body});
$isb = last_isb($f, 0);
cmp_ok($isb->{osdrop}, '>', 0, 'back-pressure: the kernel dropped');
is($isb->{filteraccept}, 40000, 'back-pressure: everything was counted');
is($isb->{usrdeliv} + $isb->{osdrop}, 40000, 'back-pressure: exact ledger');
is(scalar @{ $f->{packets} }, $isb->{usrdeliv}, 'back-pressure: and true');
is(steps_back($f) + broken_promises($f), 0, 'back-pressure: in order');


# --- kinds of packets ----------------------------------------------------

my @frames = (udp_frame(5, 0, 64), udp_frame(5, 1, 64, 100),
    udp_frame(5, 2, 64, 100, 200), udp_frame(5, 3, 1400, 4094));

sub inject_frames
{
    my ($self) = @_;

    inject($hb->{ns}, 'eth0', @frames);
    $self->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', 5, 3) });
}

# our own frames only: nothing else is sent on this link
my $ours = 'ether%20src%2002:00:00:00:00:02';
$f = parse($C->capture($agent, "interface=eth0&filter=$ours",
    \&inject_frames)->{body});
is_deeply([ map { $_->[4] } @{ $f->{packets} } ], \@frames,
    'VLAN tags are put back');

$f = parse($C->capture($agent, 'interface=eth0&filter=vlan%20100%20and%20udp',
    sub {
    inject($hb->{ns}, 'eth0', @frames, udp_frame(5, 4, 64, 100));
    $_[0]->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', 5, 4) });
})->{body});
is_deeply([ sequence($f, 5) ], [ 1, 4 ], 'vlan in a filter');

$f = parse($C->capture($agent, "interface=eth0&snaplen=50&filter=$ours", sub {
    inject($hb->{ns}, 'eth0', @frames);
    $_[0]->read_until(5, sub { length $_[0]{body} > 700 });
})->{body});
is_deeply([ map { [ @$_[2, 3] ] } @{ $f->{packets} } ],
    [ map { [ 50, length ] } @frames ], 'snaplen cuts, origlen stays');

my $pcap = $C->capture($agent, "interface=eth0&format=pcap&filter=$ours",
    \&inject_frames);
like($pcap->{head}, qr{^Content-Type: application/vnd.tcpdump.pcap\r$}m,
    'pcap: its type');
my $p = parse_pcap($pcap->{body});
is($p->{nsec}, 1, 'pcap: nanoseconds');
is($p->{linktype}, 1, 'pcap: link type');
is_deeply([ map { $_->[4] } @{ $p->{packets} } ], \@frames, 'pcap: packets');

# 64 KiB over the loopback interface, which is seen once, not twice
$f = parse($C->capture($agent, 'interface=lo&filter=udp%20port%209', sub {
    wait_exit(flood(ns => $ha->{ns}, to => '127.0.0.1', id => 7, count => 50,
        pps => 1000, size => 65507), 10);
    $_[0]->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', 7, 49) });
})->{body});
is(scalar @{ $f->{packets} }, 50, 'loopback: each packet once');
is($f->{packets}[0][2], 65507 + 42, 'loopback: 64 KiB in one record');
$isb = last_isb($f, 0);
is($isb->{filteraccept}, 50, 'loopback: and counted once');

$f = parse($C->capture($agent, 'interface=any&filter=udp%20port%209', sub {
    wait_exit(flood(ns => $ha->{ns}, to => '127.0.0.1', id => 8, count => 20),
        10);
    wait_exit(flood(ns => $hb->{ns}, to => $addr_a, id => 9, count => 20), 10);
    $_[0]->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', 9, 19) });
})->{body});
is($f->{ifaces}[0]{linktype}, 276, 'any: cooked v2');
is_deeply([ sequence($f, 8) ], [ 0 .. 19 ], 'any: loopback once');
is_deeply([ sequence($f, 9) ], [ 0 .. 19 ], 'any: the link');
$isb = last_isb($f, 0);
is($isb->{filteraccept}, 40, 'any: exact count');

# several interfaces of different link types in one stream
$f = parse($C->capture($agent, 'interface=lo&interface=eth0&interface=any'
    . '&filter=udp%20port%209', sub {
    my @pids = (flood(ns => $ha->{ns}, to => '127.0.0.1', id => 1,
        count => 2000, pps => 2000), flood(ns => $hb->{ns}, to => $addr_a,
        id => 2, count => 2000, pps => 2000));
    $_[0]->read_until(20, sub { !grep { alive($_) } @pids });
    marker(ns => $hb->{ns}, to => $addr_a, id => 99);
    $_[0]->read_until(5, sub { 2 == (() = $_[0]{body} =~
        /@{[ quotemeta 'PCAPTEST' . pack 'NN', 99, 0 ]}/g) });
})->{body});
is_deeply([ map { $_->{linktype} } @{ $f->{ifaces} } ], [ 1, 1, 276 ],
    'three interfaces: link types');
is_deeply([ map { $_->{packets} } @{ $f->{ifaces} } ], [ 2000, 2001, 4001 ],
    'three interfaces: packets');
is(steps_back($f) + broken_promises($f), 0, 'three interfaces: in order');

# without an interface: the one that holds the address reached
$f = parse($C->capture($agent, '', sub { })->{body});
is($f->{ifaces}[0]{name}, 'mgmt0', 'the interface it was reached on');

# names of ports are known, and what the filter leaves out is not counted
$f = parse($C->capture($agent, 'interface=eth0&filter=udp%20port%20domain',
    sub {
    wait_exit(flood(ns => $hb->{ns}, to => $addr_a, id => 3, count => 10), 10);
    wait_exit(flood(ns => $hb->{ns}, to => $addr_a, id => 4, count => 10,
        port => 53), 10);
    $_[0]->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', 4, 9) });
})->{body});
is_deeply([ sequence($f, 4) ], [ 0 .. 9 ], 'filter: port name');
is(last_isb($f, 0)->{filteraccept}, 10, 'filter: count');


# --- ends ----------------------------------------------------------------

sub running
{
    my (%o) = @_;

    my $self = $C->new($agent);
    $self->get('/v1/capture?interface=' . ($o{interface} || 'eth0')
        . '&heartbeat_ms=50&filter=udp');
    $self->started() or die "does not run: $self->{body}\n";

    return $self;
}

# the last packets before a half-close are in the file
$c = running();
wait_exit(flood(ns => $hb->{ns}, to => $addr_a, id => 1, count => 500,
    pps => 50000), 10);
$t0 = time();
$c->half_close();
$c->read_to_end();
cmp_ok(time() - $t0, '<', limit(1), 'half-close: ends soon');
is(scalar(sequence(parse($c->{body}), 1)), 500, 'half-close: ring drained');
ok($c->{complete}, 'half-close: last chunk');

$c = running();
$c->close_notify();
$c->read_to_end();
ok($c->{complete}, 'close_notify: last chunk');

$c = running();
$c->reset_connection();
ok(wait_for(1, sub { !$agent->connections() }), 'reset: gone at once');

$c = running();
$c->put('x' x 40000);
$c->read_to_end();
ok(!$c->{complete}, 'a talkative client is cut');
ok(wait_for(1, sub { !$agent->connections() }), 'and gone');

$c = running();
$c->put('x' x 10);
ok($c->read_until(2, sub { $_[0]{chunks} > 5 }), 'a few bytes do not harm');
$c->half_close();
$c->read_to_end();
ok($c->{complete}, 'and it ends well');

# an interface that vanishes
must(qw(ip -n), $ha->{ns}, qw(link add gone0 type veth peer name gone1));
must(qw(ip -n), $ha->{ns}, qw(link set gone0 up));
$c = running(interface => 'gone0');
must(qw(ip -n), $ha->{ns}, qw(link del gone0));
ok($c->read_until(5, sub { $_[0]{ended} }), 'vanished interface: ends');
ok($c->{complete}, 'vanished interface: ends well');
like(slurp($agent->{log}), qr/capture ends: gone0: .*/,
    'vanished interface: the reason is in the log');

# one that is only down comes back
must(qw(ip -n), $ha->{ns}, qw(link add down0 type veth peer name down1));
must(qw(ip -n), $ha->{ns}, qw(link set down1 up));
must(qw(ip -n), $ha->{ns}, qw(link set down0 up));
$c = running(interface => 'down0');
must(qw(ip -n), $ha->{ns}, qw(link set down0 down));
ok($c->read_until(2, sub { $_[0]{chunks} > 5 }),
    'interface down: heartbeats go on');
must(qw(ip -n), $ha->{ns}, qw(link set down0 up));
inject($ha->{ns}, 'down0', udp_frame(6, 0, 64));
ok($c->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', 6, 0) }),
    'interface up again: packets too');
$c->half_close();
$c->read_to_end();
ok($c->{complete}, 'interface up again: ends well');

# capabilities of a running capture and of the parent
$c = running();
my ($child) = children($agent->{pid});
like(slurp("/proc/$child/status"), qr/CapPrm:\t0+\nCapEff:\t0+\n/,
    'a capture process holds no capability');
like(slurp("/proc/$agent->{pid}/status"),
    qr/CapPrm:\t0{12}2000\nCapEff:\t0{16}\n/, 'the parent: NET_RAW, dormant');
like(slurp("/proc/$child/status"), qr/NoNewPrivs:\t1/, 'no_new_privs');
is((stat "/proc/$child/maps")[4], 0, 'not dumpable');
like(slurp("/proc/$child/status"), qr/Uid:\t65534\t65534\t65534/, 'user');

# memory beside the ring, after floods of small packets
wait_exit(flood(ns => $hb->{ns}, to => $addr_a, id => 1, count => 30000,
    pps => 30000, size => 64), 30);
$c->read_until(5, sub { @{ [ $_[0]{body} =~ /PCAPTEST/g ] } >= 30000 });
my ($pss) = slurp("/proc/$child/smaps_rollup") =~ /^Pss:\s+(\d+)/m;
cmp_ok($pss - 8192, '<=', 8192, "at most 8 MiB beside the ring ($pss kB)")
    if !sanitized();

# while a slow client holds up the end, the agent says that it is draining
my $slow = $C->new($agent, rcvbuf => 16384);
$slow->get('/v1/capture?interface=eth0&filter=udp');
ok($slow->started(), 'draining: a capture whose client does not read');
wait_exit(flood(ns => $hb->{ns}, to => $addr_a, id => 1, count => 10000,
    pps => 40000, size => 1400), 60);
kill 'TERM', $agent->{pid};
ok(wait_for(5, sub { slurp($agent->{log}) =~ /draining \d+ captures/ }),
    'draining: begun');
is(($C->fetch($agent, '/v1/capture?interface=eth0'))[0], 503,
    'draining: no new capture');
my (undef, $doc) = $C->fetch($agent, '/v1/status');
is_deeply([ @$doc{qw(healthy message)} ], [ JSON::PP::false, 'draining' ],
    'draining: status');
$_->read_to_end(10) for $slow, $c;
ok($slow->{complete} && $c->{complete}, 'draining: both end well');
is(wait_exit(delete $agent->{pid}, 10), 0, 'draining: done');
$agent->start();
$c = running();

# SIGTERM drains
my $other = running(interface => 'lo');
my $exit = stop_child(delete $agent->{pid}, 'TERM', 10);
is($exit, 0, 'SIGTERM: the agent ends well');
$_->read_to_end() for $c, $other;
ok($c->{complete} && $other->{complete}, 'SIGTERM: captures end well');
is(broken_promises(parse($c->{body})), 0, 'SIGTERM: promises kept');

# SIGHUP: new certificates for new connections, running ones go on
$agent->start();
$c = running();
$certs->leaf('agent', names => ['somebody-else']);
kill 'HUP', $agent->{pid};
ok(wait_for(5, sub { slurp($agent->{log}) =~ /certificates reloaded/ }),
    'SIGHUP: reloaded');
my $refused = $C->new($agent);
ok($refused->{error}, 'SIGHUP: a new connection sees the new name');
spew($certs->file('agent.crt'), 'broken');
kill 'HUP', $agent->{pid};
ok(wait_for(5, sub { slurp($agent->{log}) =~ /old certificates stay/ }),
    'SIGHUP: broken certificates are not taken');
ok($c->read_until(2, sub { $_[0]{chunks} > 5 }), 'SIGHUP: the capture runs on');
$c->half_close();
$c->read_to_end();
ok($c->{complete}, 'SIGHUP: and ends well');

is(scalar(() = slurp($agent->{log}) =~ /ended by signal/g), 0,
    'no process died of a signal');
unlike(slurp($agent->{log}), qr/RUNNING AS ROOT/, 'no warning with a user');

finish();
