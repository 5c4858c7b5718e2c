#!/usr/bin/perl

# Live captures of Kubernetes pods by real agents, one on a node with
# containerd and one on a node with CRI-O: one file of both, whose packets are
# whose, and what a pod does not see of others. The API server is
# PcapTest::Kube; what the runtimes leave on a node is PcapTest::Cri.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Agent;
use PcapTest::Cri;
use PcapTest::Kube;
use PcapTest::Lab;
use PcapTest::Traffic qw(marker);

my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs);
my $token = $kube->token_file();
my %node = ('node-1' => PcapTest::Cri->new('containerd'),
    'node-2' => PcapTest::Cri->new('cri-o'));
my %agent = map { $_ => PcapTest::Agent->new(certs => $certs,
    addr => '127.1.0.' . (split /-/)[1], name => $_,
    conf => $node{$_}->conf(user => 'nobody')) } sort keys %node;

chmod 0755, work_dir();
chmod 0644, $token;

my $lab = lab(certs => $certs, nginx => {
    http => 'pcap_api_introspection_rate 1000 burst=10000;',
    check => "pcap_api_kube /_kube forward=/_kube_forward token=$token;",
    pcap => 'pcap_api_agent_ranges 127.1.0.0/24;'
        . ' pcap_api_kube_node node-1 127.1.0.1:9494;'
        . ' pcap_api_kube_node node-2 127.1.0.2:9494;',
    server => $kube->location('/_kube') });
my $nginx = $lab->{nginx};

$kube->user('ann', username => 'ann');
$kube->allow(users => ['ann'], verbs => ['create'],
    resources => ['packetcaptures'], namespace => 'dev');
$kube->allow(users => ['ann'], verbs => ['get'],
    resources => ['packetcaptures/files'], namespace => 'dev');
$kube->allow(group => '', users => ['ann'], verbs => ['list'],
    resources => ['pods'], namespace => 'dev');


# A pod that the API server knows and whose sandbox is on its node.
my $uids = 0;

sub pod
{
    my ($namespace, $name, $node, %o) = @_;

    my $uid = sprintf 'd0d0ad00-7b1d-4f5e-9c3a-%012x', ++$uids;
    my $p = $node{$node}->pod($uid, namespace => $namespace, name => $name);

    $kube->pod($namespace, $name, node => $node, ip => $p->{ip},
        labels => { app => 'web' }, metadata => { uid => $uid }, %o);

    return $p;
}


sub capture
{
    my ($query) = @_;

    my $c = $nginx->get("/v1/capture/k8s/dev?selector=app%3Dweb&$query",
        token => 'ann');

    $c->read_header(10);

    return $c;
}


my %pod;

sub packet
{
    my ($name, $id) = @_;

    marker(ns => $pod{$name}{ns}, to => '169.254.0.1', port => 9, id => $id);
}


%pod = map { $_->[1] => pod(@$_) } ([ 'dev', 'web-0', 'node-1' ],
    [ 'dev', 'web-1', 'node-2' ], [ 'dev', 'web-2', 'node-2' ],
    [ 'prod', 'web-3', 'node-2' ]);

# --- all of a label, over two nodes and two runtimes -------------------------

my $c = capture('filter=udp+port+9');

status_is($c, 200, 'a capture') or die $c->{body} || '';

for my $round (1 .. 5) {
    for my $i (0 .. 3) {
        packet("web-$i", 10 * $round + $i);
        wait_seen($c, 10 * $round + $i, 0, 1) if $i < 3;
    }
}

stop_capture($lab, $c, token => 'ann');

my $f = capture_ok($c, status => 'stopped', name => 'two nodes',
    packets => { map { ("web-$_" => 5) } 0 .. 2 });

is(@{ $f->{packets} }, 15, 'nothing of another namespace');
is_deeply($f->{hosts}, { map { ($pod{"web-$_"}{ip} => [ "web-$_" ]) } 0 .. 2 },
    'names of the pods\' addresses');

# --- a pod goes, its node says so, the others go on --------------------------

$c = capture('filter=udp+port+9');
packet("web-$_", 90 + $_), wait_seen($c, 90 + $_, 0, 1) for 0, 1;
$node{'node-2'}->stop($pod{'web-1'});
$kube->remove_pod('dev', 'web-1');
ok($c->read_until(10, sub {
    $_[0]->{body} =~ /CAPTURE_STOPPED web-1: the container is gone/
}), 'a pod that goes is told');
packet('web-0', 100);
wait_seen($c, 100, 0, 1);
stop_capture($lab, $c, token => 'ann');
capture_ok($c, status => 'partial', name => 'with one less',
    packets => { 'web-0' => 2, 'web-1' => 1, 'web-2' => 0 });

# --- many pods of one node at once --------------------------------------------

my @many = map { pod('dev', "many-$_", 'node-1', labels =>
    { app => 'many' }) } 1 .. 15;

$pod{"many-$_"} = $many[$_ - 1] for 1 .. 15;
$c = $nginx->get('/v1/capture/k8s/dev?selector=app%3Dmany&filter=udp+port+9',
    token => 'ann');
$c->read_header(10);
packet("many-$_", 200 + $_), wait_seen($c, 200 + $_, 0, 1) for 1 .. 15;
stop_capture($lab, $c, token => 'ann');
capture_ok($c, status => 'stopped', name => '15 pods of one node',
    packets => { map { ("many-$_" => 1) } 1 .. 15 });

# --- what the API server says and the node does not --------------------------

# the uid of somebody else's pod: it is called otherwise there
$kube->pod('dev', 'thief', node => 'node-2', ip => '10.244.9.9', labels =>
    { app => 'thief' }, metadata => { uid => $pod{'web-3'}{uid} });
$c = $nginx->fetch('/v1/capture/k8s/dev?selector=app%3Dthief',
    token => 'ann');
problem_is($c, 502, qr/agent of its node does not know its pod/,
    'a uid of another namespace');

is_deeply([ $kube->violations() ], [], 'every question was a good one');
finish();
