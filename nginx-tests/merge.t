# Nothing missing: at least 100 000 packets sent from two CPUs, each seen on
# two hosts, must come through agents and merge exactly as a tcpdump beside
# each agent wrote them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Pcapng;
use PcapTest::Traffic qw(flood marker packet_id);

my $PER_SENDER = 50_000;
my $PPS = sanitized() ? 4_000 : 20_000;


# Packets between the first marker (sender 7) and the last (sender 8), as
# { "sender/seq" => [ts, caplen, origlen] } and a multiset of lengths. By
# time, as tcpdump writes them in the order of its ring: what was stamped
# before a marker may wait for its CPU and stand behind it.
sub between
{
    my @packets = sort { $a->[1] <=> $b->[1] } @_;

    my (%by_id, %lengths, $in);

    for my $p (@packets) {
        my ($sender, $seq) = packet_id($p->[4]) or next;

        if ($sender == 7 || $sender == 8) {
            $in = $sender == 7;
            next;
        }

        next if !$in;
        $by_id{"$sender/$seq"} = [ @$p[1 .. 3] ];
        $lengths{"$p->[2]/$p->[3]"}++;
    }

    return (\%by_id, \%lengths);
}


# The last bytes of a file that grows.
sub tail_of
{
    my ($file) = @_;

    open my $fh, '<:raw', $file or return '';
    seek $fh, -65536, 2 if -s $file > 65536;
    local $/;

    my $text = <$fh>;

    return defined $text ? $text : '';
}


my $lab = hosts_lab(conf => { buffer_bytes => 64 << 20 });
my @dumps;

for my $n (0, 1) {
    my $file = work_dir() . "/dump$n.pcap";
    push @dumps, spawn("tcpdump$n", [ 'tcpdump', '-i', 'eth0', '-B', 131072,
        '-Z', 'root', '-n', '--time-stamp-precision=nano', '-w', $file,
        'udp' ], ns => "web$n");
    ok(wait_for(10, sub { slurp(work_dir() . "/tcpdump$n.out")
        =~ /listening/ }), "tcpdump on web$n listens");
}

my $c = $lab->{nginx}->get(
    '/v1/capture/static/demo?interface=eth0&filter=udp');

status_is($c, 200);
marker(ns => 'web0', to => $lab->{addr}[1], id => 7);

# one sender per CPU and direction, so that each interface sees packets in
# and out, of both
my @senders = map { flood(ns => "web$_", to => $lab->{addr}[1 - $_],
    cpu => $_, id => 1 + $_, count => $PER_SENDER, pps => $PPS,
    sizes => [16, 1400]) } 0, 1;

$c->read_until(60, sub { !grep { alive($_) } @senders });
is(wait_exit($_, 1), 0, 'a sender has sent all') for @senders;
marker(ns => 'web0', to => $lab->{addr}[1], id => 8);
wait_seen($c, 8, 0, 2, 20);
stop_capture($lab, $c);

# tcpdump gets a block of its ring at most a second later, and forgets what
# it has not got when it ends
for my $n (0, 1) {
    ok(wait_for(5, sub {
        kill 'USR2', $dumps[$n];
        index(tail_of(work_dir() . "/dump$n.pcap"), id_bytes(8, 0)) >= 0;
    }), "tcpdump on web$n has the last marker");
}

is(stop_child($_, 'INT'), 0, 'tcpdump ends') for @dumps;

# a kernel or an agent that stands still for longer than is waited for makes
# records late; with sanitizers, on a busy machine, that may be
my $file = capture_ok($c, status => 'stopped', late => sanitized());
my $v = verdicts_of($file);

is($v->{api}{dropped}, 0, 'nothing dropped');
is($v->{api}{late}, strict_order($file), 'what is late is told');
cmp_ok($v->{api}{late}, '<=', sanitized() ? 200 : 0, 'nothing late');

for my $n (0, 1) {
    like(slurp(work_dir() . "/tcpdump$n.out"),
        qr/\b0 packets dropped by kernel/, 'tcpdump saw all');

    my ($index) = grep { $file->{ifaces}[$_]{name} eq "web/$n/eth0" }
        0 .. $#{ $file->{ifaces} };
    my ($ours, $our_lengths) =
        between(grep { $_->[0] == $index } @{ $file->{packets} });
    my $dump = PcapTest::Pcapng::parse_pcap(slurp(work_dir()
        . "/dump$n.pcap"));
    my ($theirs, $their_lengths) = between(@{ $dump->{packets} });

    cmp_ok(scalar keys %$ours, '>=', 2 * $PER_SENDER * 0.999,
        "web/$n: markers enclose the flood");
    is_deeply($our_lengths, $their_lengths,
        "web/$n: same multiset of captured and original lengths");

    my @missing = grep { !$ours->{$_} } keys %$theirs;
    my @extra = grep { !$theirs->{$_} } keys %$ours;
    my $off = 0;

    for my $id (keys %$ours) {
        my $t = $theirs->{$id} or next;
        my $d = abs($ours->{$id}[0] - $t->[0]);
        $off = $d if $d > $off;
    }

    is(scalar @missing, 0, "web/$n: nothing missing")
        or diag("@missing[0 .. ($#missing > 9 ? 9 : $#missing)]");
    is(scalar @extra, 0, "web/$n: nothing twice or invented");
    cmp_ok($off, '<=', 1_000_000, "web/$n: time stamps within 1 ms");
}

my ($changes, $last) = (0, -1);

for my $p (@{ $file->{packets} }) {
    $changes++ if $p->[0] != $last;
    $last = $p->[0];
}

cmp_ok($changes, '>', 1000, 'the two streams are interleaved');
cmp_ok(scalar @{ $file->{packets} }, '>=', 200_000, 'packets in the file');
agents_quiet('merge', @{ $lab->{agents} });

finish();
