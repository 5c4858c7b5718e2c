# Three captures on one worker: one above its bandwidth, one whose client is
# stalled, one that is neither. The last gets every packet. The first is held
# back near to its limit, what its agent's kernel drops for that is counted,
# and the time counts neither as the client's stall nor as silence.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Traffic qw(flood marker);
use Time::HiRes qw(time);

my $BANDWIDTH = 1 << 20;


my $lab = hosts_lab(conf => { buffer_bytes => 1 << 20 }, nginx => {
    listen => 'sndbuf=128k', pcap => <<'EOF_PCAP' });
            pcap_api_bandwidth 1m;
            pcap_api_heartbeat_timeout 1s;
            pcap_api_reorder_window 300ms;
            pcap_api_client_stall 30s;
EOF_PCAP
my ($nginx, $hosts, $addr) = @$lab{qw(nginx hosts addr)};


sub capture
{
    my ($target, $port, %o) = @_;

    my $c = $nginx->get("/v1/capture/static/demo?instance=$target"
        . "&interface=eth0&filter=udp+dst+port+$port", %o);

    status_is($c, 200, "capture of port $port");

    return $c;
}


sub send_to
{
    my ($port, $id, $pps, $size, $seconds) = @_;

    return flood(ns => $hosts->[0]{ns}, to => $addr->[1], port => $port,
        id => $id, pps => $pps, size => $size, count => $pps * $seconds);
}


my ($greedy, $stalled, $good) = (capture('web/1', 7001),
    capture('web/1', 7002, rcvbuf => 32768), capture('web/0', 7003));

is($greedy->header('x-pcap-limits'), 'duration=86400s bandwidth=1048576',
    'X-Pcap-Limits says what there is');

# --- all at once ------------------------------------------------------------

my $start = time();
my @floods = (send_to(7001, 1, 3000, 1400, 3), send_to(7002, 2, 1500, 1400,
    3), send_to(7003, 3, 400, 1400, 3));
my ($half, $half_at);

while (time() - $start < 3) {
    $_->pull(0.01) for $greedy, $good;

    # the first second's worth may come at once
    ($half, $half_at) = ($greedy->{bytes}, time())
        if !$half && time() - $start > 1.2;
}

my $rate = ($greedy->{bytes} - $half) / (time() - $half_at);

is(wait_exit($_, 10), 0, 'all is sent') for @floods;
cmp_ok($rate, '<', $BANDWIDTH * 1.3, 'held back to its bandwidth');
cmp_ok($rate, '>', $BANDWIDTH * 0.5, 'and not much below');

# --- the one that is neither greedy nor stalled -----------------------------

ok($good->read_until(5, sub { seen_count($good, 3, 1199) }),
    'the last packet is there');
stop_capture($lab, $good);

my $file = capture_ok($good, status => 'stopped', name => 'good');

is_deeply([ ids_of($file, 3) ], [ 0 .. 1199 ], 'good: every packet, in order');
is(verdicts_of($file)->{'web/0'}{dropped}, 0, 'good: nothing is dropped');
no_message($file, 'CONGESTED', 'good: never held back');

# --- the greedy one ---------------------------------------------------------

# its kernel's ring is drained when a packet comes through again
my $marks = 0;

ok($greedy->read_until(20, sub {
    marker(ns => $hosts->[0]{ns}, to => $addr->[1], port => 7001, id => 4,
        size => 100) if $marks++ % 5 == 0;
    return seen_count($greedy, 4, 0);
}), 'the ring is drained');
stop_capture($lab, $greedy);
$file = capture_ok($greedy, status => 'stopped', name => 'greedy');

my $v = verdicts_of($file)->{'web/1'};

cmp_ok($v->{dropped}, '>', 0, 'greedy: its kernel dropped');
is($v->{received}, 9000 + int(($marks + 4) / 5),
    'greedy: seen is what was sent');
is($v->{received}, $v->{packets} + $v->{dropped}, 'greedy: the sum is right');
is($v->{late}, 0, 'greedy: nothing is late');
is($greedy->trailer('x-pcap-dropped'), $v->{dropped}, 'and in the trailer');
no_message($file, 'INSTANCE_UNAVAILABLE');
has_message($file, 'CONGESTED', 'api',
    qr/held back to 1048576 bytes.s by pcap_api_bandwidth/,
    'greedy: is told why');

# --- the stalled one --------------------------------------------------------

$stalled->vanish();
agents_quiet('stalled', @{ $lab->{agents} });

finish();
