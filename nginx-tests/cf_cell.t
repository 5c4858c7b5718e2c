# The whole way over Cloud Foundry with nothing in place of it but the Cloud
# Controller: containers of runc on a cell, the real agent, nginx. Two
# containers of one app at once, each with its own packets; one that belongs
# to somebody else; one that ends while it is captured.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Agent;
use PcapTest::Cell;
use PcapTest::CfLab;
use PcapTest::Traffic qw(marker);


my $lab = cf_lab(ranges => '127.0.0.1/32');
my ($nginx, $cc) = @$lab{qw(nginx cc)};
my $cell = PcapTest::Cell->new();
my @web = map { $cell->container(handle($_), app => WEB,
    layout => $_ ? 'runc' : 'containerd', user_ns => 1) } 0, 1;
my $other = $cell->container(handle(9), app => OTHER);
my $agent = PcapTest::Agent->new(certs => $lab->{certs},
    conf => $cell->conf());
my @dev = (token => 'dev');


# An instance in that container, or one that is not there.
sub instance_in
{
    my ($index, $c) = @_;

    return running($index, 0, host => '127.0.0.1', instance_guid =>
        $c->{handle}, instance_internal_ip => $c->{ip});
}


sub send_from
{
    my ($c, $id) = @_;

    marker(ns => $c->{ns}, to => '169.254.0.1', id => $id);
}


# The interfaces that packets of a sender are of; the cell's answer to one,
# that nobody listens, is on the same.
sub places
{
    my ($file, $id) = @_;

    my %on = map { $file->{ifaces}[ $_->[0] ]{name} => 1 } grep {
        index($_->[4], 'PCAPTEST' . pack 'N', $id) >= 0 }
        @{ $file->{packets} };

    return join ' ', sort keys %on;
}


cf_app($lab, process(WEB, 'web', instance_in(0, $web[0]),
    instance_in(1, $web[1])));

# --- two at once -------------------------------------------------------------

my $c = $nginx->get(path_of(), @dev);

status_is($c, 200, 'two containers') or diag($c->{body});
send_from($web[0], 100);
send_from($web[1], 101);
send_from($other, 109);
wait_seen($c, $_, 0, 1, 5) for 100, 101;
stop_capture($lab, $c, @dev);

my $file = capture_ok($c, status => 'stopped', name => 'two containers');

is(names_of($file), 'shop/0 shop/1', 'both are there');
is(places($file, 100), 'shop/0/eth0', 'the packet of the first');
is(places($file, 101), 'shop/1/eth0', 'the packet of the second');
is(places($file, 109), '', 'and none of another app on that cell');
is_deeply($file->{hosts}, { $web[0]{ip} => ['shop/0'], $web[1]{ip} =>
    ['shop/1'] }, "names of the containers' addresses");
like($file->{ifaces}[1]{description},
    qr/instance_guid=$web[1]{handle} container=\Q$web[1]{ip}\E$/,
    'which container it is');

# --- another interface -------------------------------------------------------

$c = $nginx->get(path_of('?index=0&interface=lo'), @dev);
marker(ns => $web[0]{ns}, to => '127.0.0.1', id => 110);
wait_seen($c, 110, 0, 1, 5);
stop_capture($lab, $c, @dev);
$file = capture_ok($c, status => 'stopped', name => 'lo');
is(join(' ', map { $_->{name} } @{ $file->{ifaces} }), 'shop/0/lo',
    'behind the proxy of the container');

problem_is($nginx->fetch(path_of('?interface=wlan0'), @dev), 400,
    qr/no wlan0.*eth0/, 'no such interface');

# --- not this app's ----------------------------------------------------------

cf_app($lab, process(WEB, 'web', instance_in(0, $web[0]),
    instance_in(1, $other), instance_in(2, { handle => handle(77), ip =>
    '10.255.9.9' })));

$c = $nginx->get(path_of(), @dev);
send_from($_, 120) for $web[0], $other;
wait_seen($c, 120, 0, 1, 5);
stop_capture($lab, $c, @dev);
$file = capture_ok($c, status => 'partial', name => "another app's");
is(names_of($file), 'shop/0', "another app's container is not captured");
is(places($file, 120), 'shop/0/eth0', 'nor any packet of it');

my @said = map { my $n = $_; map { $_->[2] } grep { $_->[1] eq "shop/$n"
    && $_->[0] eq 'INSTANCE_UNAVAILABLE' } messages_of($file) } 1, 2;

like($said[0], qr/moved or ended/, 'it is as unknown');
is($said[0], $said[1], 'as one that is not there at all');

# --- it ends -----------------------------------------------------------------

cf_app($lab, process(WEB, 'web', instance_in(0, $web[0]),
    instance_in(1, $web[1])));
$c = $nginx->get(path_of(), @dev);
send_from($web[1], 130);
wait_seen($c, 130, 0, 1, 5);
$cell->destroy($web[1]{handle});
ok($c->read_until(5, sub { $c->{body} =~ /the container is gone/ }),
    'the end of a container is told at once');
send_from($web[0], 131);
wait_seen($c, 131, 0, 1, 5);
stop_capture($lab, $c, @dev);
$file = capture_ok($c, status => 'partial', name => 'one has ended');
has_message($file, 'CAPTURE_STOPPED', 'shop/1', qr/^the container is gone$/);
is(places($file, 130), 'shop/1/eth0', 'what it sent before is there');
is(places($file, 131), 'shop/0/eth0', 'and the other one goes on');

$c = $nginx->fetch(path_of('?index=1'), @dev);
problem_is($c, 502, qr/moved or ended/, 'and then it is not there');

$cell->destroy($_->{handle}) for $web[0], $other;
agents_quiet('agent', $agent);
strict_cc($lab);

finish();
