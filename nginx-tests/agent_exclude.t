#!/usr/bin/perl

# The agent alone: capture traffic is left out, on every kind of link and
# below VLAN tags, and where no filter can see it, the guard ends the
# capture.

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
use PcapTest::Traffic qw(flood frame inject marker packet_id);
use Socket qw(inet_pton AF_INET AF_INET6);
use Time::HiRes qw(time);

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $net = PcapTest::Net->new();
my $ha = $net->host("ea$$");
my $hb = $net->host("eb$$");
my ($addr_a, $addr_b) = $net->join_hosts($ha, $hb);


# A TCP segment whose payload says its number.
sub tcp
{
    my ($seq, $src, $sport, $dst, $dport, @tags) = @_;

    my $data = 'PCAPTEST' . pack 'NN', 1, $seq;
    my $tcp = pack('nnNNnnnn', $sport, $dport, 1, 1, 0x5010, 1000, 0, 0)
        . $data;

    if ($src =~ /:/) {
        return frame(0x86dd, pack('NnCC', 0x60000000, length $tcp, 6, 64)
            . inet_pton(AF_INET6, $src) . inet_pton(AF_INET6, $dst) . $tcp,
            @tags);
    }

    # an option in the header: ports do not stand at a fixed place
    return frame(0x0800, pack('CCnnnCCna4a4N', 0x46, 0, 24 + length $tcp, 0,
        0x4000, 64, 6, 0, inet_pton(AF_INET, $src), inet_pton(AF_INET, $dst),
        0x01010100) . $tcp, @tags);
}


# --- idle links stay idle ------------------------------------------------

# without an address in the configuration: every address is the agent's
my $agent = PcapTest::Agent->new(certs => $certs, host => $ha,
    conf => { listen => '0.0.0.0:9494', log_level => 'debug',
        buffer_bytes => 32 << 20, buffer_bytes_total => 512 << 20 });

my @both = map { $C->new($agent) } 1 .. 3;

$both[0]->get('/v1/capture?interface=mgmt0&heartbeat_ms=10');
$both[1]->get('/v1/capture?interface=any&heartbeat_ms=10');
$both[2]->get('/v1/capture?interface=lo&interface=mgmt0&heartbeat_ms=10'
    . '&format=pcap');
$_->started() for @both;

my $until = time() + 2;
for my $c (@both) {
    $c->read_until(3, sub { time() > $until });
}
$_->half_close() for @both;
$_->read_to_end() for @both;

for my $i (0, 1) {
    my $f = parse($both[$i]{body});
    my @alien = grep { my $d = $_->[4]; $d !~ /\A.{12}\x08\x06/s } grep {
        index($_->[4], pack 'n', 9494) >= 0 } @{ $f->{packets} };
    is(scalar @alien, 0, 'three captures on the way of their own streams: '
        . ('mgmt0', 'any')[$i] . ' is quiet');
}
is(length $both[2]{body}, 24, 'and so is pcap');


# --- exclude=, exclude_peer=, every kind of link -------------------------

my $exclude = 'exclude=192.0.2.1:443&exclude=[2001:db8::1]:443'
    . '&exclude_peer=198.51.100.9:8443&exclude_peer=[2001:db8::9]:8443'
    . '&exclude=192.0.2.200:1';

my $seq = 0;
my (@frames, @stay);

for my $tags ([], [ 10 ], [ 10, 20 ]) {
    for my $h ([ '192.0.2.1', '198.51.100.9', '203.0.113.5' ],
        [ '2001:db8::1', '2001:db8::9', '2001:db8::5' ])
    {
        my ($own, $peer, $other) = @$h;

        # left out, both directions
        push @frames, map { tcp($seq++, @$_, @$tags) }
            [ $own, 443, $other, 5555 ], [ $other, 5555, $own, 443 ],
            [ $peer, 7777, $other, 8443 ], [ $other, 8443, $peer, 7777 ];

        # stays: a different port, or the port on the wrong side
        for my $s ([ $own, 444, $other, 5555 ], [ $own, 5555, $other, 443 ],
            [ $peer, 8443, $other, 7777 ], [ $other, 443, $peer, 5555 ])
        {
            push @stay, $seq;
            push @frames, tcp($seq++, @$s, @$tags);
        }
    }
}

# the last one is seen by every filter below
push @stay, $seq;
push @frames, tcp($seq++, '203.0.113.5', 1, '203.0.113.6', 2);

my $last = pack 'NN', 1, $seq - 1;

for my $where ([ 'in', $hb ], [ 'out', $ha ]) {
    my ($way, $host) = @$where;

    for my $dev (qw(eth0 any)) {
        for my $user ('', 'tcp', 'tcp%20or%20ip6%20or%20vlan', 'not%20udp') {
            next if $dev eq 'any' && $user =~ /vlan/;

            my $c = $C->capture($agent, "interface=$dev&$exclude"
                . "&filter=$user", sub {
                inject($host->{ns}, 'eth0', @frames);
                $_[0]->read_until(5, sub { $_[0]->seen("PCAPTEST$last") });
            });

            my $f = parse($c->{body});
            my %got = map { ((packet_id($_->[4]))[1] // -1) => 1 }
                grep { index($_->[4], 'PCAPTEST') >= 0 } @{ $f->{packets} };
            my %left_out = map { $_ => 1 } 0 .. $seq - 1;
            delete @left_out{@stay};

            is(join(' ', sort { $a <=> $b } grep { $left_out{$_} } keys %got),
                '', "excluded: $dev, $way, filter '$user'");

            # what `tcp` matches below tags is libpcap's matter
            next if $user eq 'tcp';

            is(join(' ', sort { $a <=> $b } keys %got), join(' ', @stay),
                "kept: $dev, $way, filter '$user'");
        }
    }
}

# a user's parenthesis does not get out of its half
my ($status) = $C->fetch($agent,
    '/v1/capture?interface=eth0&filter=tcp)%20or%20(tcp');
is($status, 400, 'unbalanced filter');

# the most there may be
my $most = join '&', (map { "exclude=[2001:db8::$_]:443" } 1 .. 32),
    map { "exclude_peer=[2001:db8:1::$_]:443" } 1 .. 32;

for my $dev (qw(eth0 any)) {
    my $c = $C->capture($agent, "interface=$dev&filter=udp&$most", sub {
        marker(ns => $hb->{ns}, to => $addr_a, id => 3);
        $_[0]->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', 3, 0) });
    });
    is(scalar @{ parse($c->{body})->{packets} }, 1,
        "64 excluded addresses on $dev");
}


# --- what no filter sees -------------------------------------------------

# a tunnel: the capture's stream goes through the link that it captures
sub tunnel
{
    my ($host, $mine, $addr) = @_;

    must('ip', '-n', $host->{ns}, qw(link add vx0 type vxlan id 7 dev eth0),
        'remote', $addr, qw(dstport 4789));
    must('ip', '-n', $host->{ns}, qw(addr add), "$mine/24", qw(dev vx0));
    must('ip', '-n', $host->{ns}, qw(link set vx0 up));
}

my $alarms = 0;

SKIP: {
    skip 'no vxlan here', 8 if system("ip -n $ha->{ns} link add vxt type"
        . " vxlan id 9 dev eth0 dstport 4790 2>/dev/null");

    system("ip -n $ha->{ns} link del vxt");
    tunnel($ha, '172.30.0.1', $addr_b);
    tunnel($hb, '172.30.0.2', $addr_a);

    # the client lives behind the tunnel; records leave soon, or seldom
    for my $ms (15, 100) {
        my $what = "feedback, heartbeats of $ms ms";
        my $out = work_dir() . "/feedback$ms";
        my $pid = fork_child("feedback$ms", sub {
            PcapTest::Traffic::in_ns($hb->{ns});
            my $c = $C->new({ addr => '172.30.0.1', port => 9494,
                certs => $certs });
            $c->get("/v1/capture?interface=eth0&heartbeat_ms=$ms");
            $c->started();

            my $bytes = 0;
            my $end = time() + limit(35);

            while (time() < $end && defined(my $rc = $c->pump(1))) {
                $bytes += length $c->{body};
                $c->{body} = '';
            }

            spew($out, "$c->{complete} $bytes");
        });

        my $t0 = time();
        my $before = length slurp($agent->{log});
        ok(defined wait_exit($pid, 45), "$what: the capture ends");
        cmp_ok(time() - $t0, '<', limit(20), "$what: within seconds");
        like(slurp($out), qr/^1 /, "$what: it ends well");
        like(substr(slurp($agent->{log}), $before),
            qr/LIMIT_REACHED feedback/, "$what: the reason is in the log");
        $alarms++;
    }
}

# bursts that are no feedback do not end a capture
my $c = $C->capture($agent, 'interface=eth0&filter=udp%20port%209', sub {
    my ($self) = @_;

    for my $round (1 .. 4) {
        my $pid = flood(ns => $hb->{ns}, to => $addr_a, id => $round,
            count => 4000 * $round, pps => 10000, size => 1000);
        $self->read_until(20, sub { !alive($pid) });
        my $quiet = time() + 0.4;
        $self->read_until(5, sub { time() > $quiet });
    }
    marker(ns => $hb->{ns}, to => $addr_a, id => 99);
    $self->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', 99, 0) });
});
my $f = parse($c->{body});
my $isb = $f->{isbs}[-1];
is(scalar @{ $f->{packets} }, 40001, 'bursts: everything is there');
is($isb->{osdrop}, 0, 'bursts: nothing was dropped while in doubt');
is(scalar(() = slurp($agent->{log}) =~ /LIMIT_REACHED/g), $alarms,
    'bursts: no further alarm');

finish();
