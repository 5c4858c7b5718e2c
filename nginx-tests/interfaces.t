# What can be captured: `any`, several interfaces, VLAN tags, packets of
# 64 KiB, other link types, and mixed ones in both formats.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Traffic qw(flood inject udp_frame in_ns);


my $lab = hosts_lab();
my $nginx = $lab->{nginx};
my $to = $lab->{addr}[1];

must(qw(ip -n web1 tuntap add dev tun0 mode tun));
must(qw(ip -n web1 addr add 192.168.99.1/24 dev tun0));
must(qw(ip -n web1 link set tun0 up));

# --- any ------------------------------------------------------------------

my $c = $nginx->get('/v1/capture/static/demo?interface=any&filter=udp');

status_is($c, 200, 'any');
wait_exit(flood(ns => 'web0', to => $to, id => 1, count => 50, pps => 5000),
    10);
wait_seen($c, 1, 49, 2);
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'stopped', name => 'any',
    packets => { 'web/0' => 50, 'web/1' => 50 });

is($_->{name} =~ m{^web/[01]/any$} && ($_->{linktype} == 276
    || $_->{linktype} == 113), 1, 'Linux cooked capture of any')
    for @{ $file->{ifaces} };

# --- several interfaces ---------------------------------------------------

$c = $nginx->get('/v1/capture/static/demo?interface=eth0&interface=lo'
    . '&filter=udp');
status_is($c, 200, 'two interfaces');
wait_exit(flood(ns => 'web0', to => $to, id => 2, count => 20, pps => 5000),
    10);
wait_exit(flood(ns => 'web0', to => '127.0.0.1', id => 3, count => 20,
    pps => 5000), 10);
wait_seen($c, 2, 19, 2);
# lo shows each packet once to a packet socket per direction; libpcap keeps
# one of them
wait_seen($c, 3, 19, 1);
stop_capture($lab, $c);
$file = capture_ok($c, status => 'stopped', name => 'two interfaces');
is_deeply([ map { "$_->{name} $_->{packets}" } @{ $file->{ifaces} } ],
    [ 'web/0/eth0 20', 'web/0/lo 20', 'web/1/eth0 20', 'web/1/lo 0' ],
    'in the order of the request, each with its packets');

# --- VLAN -----------------------------------------------------------------

$c = $nginx->get('/v1/capture/static/demo', form =>
    'interface=eth0&filter=vlan%20100');
status_is($c, 200, 'VLAN');
inject('web0', 'eth0', udp_frame(4, 0, 60), udp_frame(4, 1, 60, 99),
    (map { udp_frame(4, $_, 60, 100) } 2 .. 9));
wait_seen($c, 4, 9, 2);
stop_capture($lab, $c);
$file = capture_ok($c, status => 'stopped', name => 'VLAN',
    packets => { 'web/0' => 8, 'web/1' => 8 });
is_deeply([ grep { unpack('x12 n2', $_->[4]) != 0x8100
    || (unpack 'x14 n', $_->[4]) != 100 } @{ $file->{packets} } ], [],
    'the tags are in the packets, on both sides');

# --- 64 KiB ---------------------------------------------------------------

$c = $nginx->get('/v1/capture/static/demo?instance=web/0&interface=lo'
    . '&filter=udp');
status_is($c, 200, '64 KiB');
# the loopback interface takes 65 536 bytes and 14 of Ethernet
wait_exit(flood(ns => 'web0', to => '127.0.0.1', id => 5, count => 30,
    pps => 500, sizes => [ 65500, 65507 ]), 10);
wait_seen($c, 5, 29, 1);
stop_capture($lab, $c);
$file = capture_ok($c, status => 'stopped', name => '64 KiB',
    packets => { 'web/0' => 30 });
is((sort { $b <=> $a } map { $_->[2] } @{ $file->{packets} })[0],
    65507 + 28 + 14, 'the largest is whole');
is((grep { $_->[2] != $_->[3] } @{ $file->{packets} }), 0, 'none is cut');

# --- mixed link types -----------------------------------------------------

for my $set ('interface=eth0&interface=tun0&instance=web/1',
    'interface=eth0&interface=any')
{
    $c = $nginx->get("/v1/capture/static/demo?$set&filter=udp");
    status_is($c, 200, $set);
    wait_exit(flood(ns => 'web0', to => $to, id => 6, count => 10,
        pps => 5000), 10);
    wait_seen($c, 6, 9, 1);
    stop_capture($lab, $c);
    $file = capture_ok($c, status => 'stopped', name => 'mixed link types');

    my %types = map { $_->{linktype} => 1 } @{ $file->{ifaces} };

    is(scalar keys %types, 2, 'each interface has its own');
    problem_is($nginx->fetch("/v1/capture/static/demo?$set&format=pcap"),
        409, qr/pcapng/, 'mixed link types as pcap');
    agents_quiet('refused', @{ $lab->{agents} });
}

finish();
