#!/usr/bin/perl

# The agent on a Kubernetes node: which pod, what is seen in it, who is
# refused, and how a capture ends when its pod does. Directly at the agent,
# as the API asks it, with the files that containerd and CRI-O leave.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use PcapTest;
use Test::More;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Certs;
use PcapTest::Confined;
use PcapTest::Cri;
use PcapTest::Pcapng qw(parse);
use PcapTest::Traffic qw(marker packet_id);

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $uids = 0;
my $id = 0;
my ($agent, $node);


sub uid { return sprintf '4fe556a4-0bd7-45be-966f-46e2cbf4%04x', ++$uids }

sub start
{
    my ($query) = @_;

    my $c = $C->new($agent);

    $c->get("/v1/capture?$query");
    $c->started() or die "no capture of $query: " . ($c->{head} || '')
        . "$c->{body}\n";

    return $c;
}


# A packet with a number of its own, out of a pod (or the node).
sub packet
{
    my ($p, $to) = @_;

    marker($p ? (ns => $p->{ns}) : (), to => $to || '169.254.0.1',
        id => ++$id);

    return $id;
}


# The same, in the client's stream when this returns.
sub packet_of
{
    my ($p, $c, $to) = @_;

    my $n = packet($p, $to);

    $c->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', $n, 0) });

    return $n;
}


sub ids
{
    my ($file) = @_;

    return join ' ', map { (packet_id($_->[4]))[0] // '?' }
        @{ $file->{packets} };
}


sub whole
{
    my ($c) = @_;

    $c->half_close();
    $c->read_to_end(10);
    ok($c->{complete}, 'the capture ends well');

    return parse($c->{body});
}


sub gone_ok
{
    my ($c, $name) = @_;

    $c->read_until(5, sub { $_[0]{complete} });
    ok($c->{complete}, "$name: the capture ends well");

    my $file = parse($c->{body});

    is("@{ $file->{isbs}[-1]{comments} }", 'container gone',
        "$name: it says why");

    return $file;
}


sub refused
{
    my ($query, $status, $detail, $name) = @_;

    my ($got, $doc) = $C->fetch($agent, "/v1/capture?$query");

    is($got, $status, "$name: $status");
    like(ref $doc ? $doc->{detail} : '', $detail, "$name: its words");
    unlike(ref $doc ? $doc->{detail} : '', qr/\Q$node->{dir}/,
        "$name: no path of the node");

    return $doc;
}


# --- what holds for both runtimes -------------------------------------------

sub of_runtime
{
    my ($name) = @_;

    my $none = qr/^pod: there is no \S+ on this machine$/;

    $node = PcapTest::Cri->new($name);
    $agent = PcapTest::Agent->new(certs => $certs, name => $name,
        conf => $node->conf(user => 'nobody', log_level => 'debug'));

    my ($status, $doc) = $C->fetch($agent, '/v1/status');
    is($doc->{cri}, $name, "$name: the status tells the runtime");

    my $web = $node->pod(uid(), namespace => 'shop', name => 'web-0');
    my $db = $node->pod(uid(), namespace => 'shop', name => 'db.0');
    my $host = $node->pod(uid(), host => 1);

    # two pods at once, and the node's own traffic
    my $cw = start("pod=$web->{uid}&filter=udp");
    my $cd = start("pod=$db->{uid}&namespace=shop&name=db.0&filter=udp");
    my $w = packet_of($web, $cw);
    my $d = packet_of($db, $cd);

    packet(undef, '127.0.0.1');
    $w .= ' ' . packet_of(undef, $cw, $web->{ip});
    $w .= ' ' . packet_of($web, $cw);

    my $f = whole($cw);
    is(ids($f), $w, "$name: the packets of the one pod");
    is(ids(whole($cd)), $d, "$name: and of the other");
    is("$f->{ifaces}[0]{name} $f->{ifaces}[0]{linktype}", 'eth0 1',
        "$name: eth0 by default");

    # below its lists, and nothing of the pod's left but the sockets
    my $c = start("pod=$web->{uid}&interface=lo&interface=eth0&filter=udp");
    my $n = packet_of($web, $c, '127.0.0.1');

    confined($agent, $name, filters => 2, open => qr/^0 1 2 3 4(?: \d+){4,9}$/);

    my ($pid) = children($agent->{pid});
    is(readlink "/proc/$pid/ns/net", readlink '/proc/self/ns/net',
        "$name: it is in the node's namespace");
    is(ids(whole($c)), $n, "$name: lo of the pod");

    # who is not here, and who is not to be seen
    refused("pod=$_", 404, $none, "$name: $_")
        for uid(), '4fe556a4', substr($web->{uid}, 0, -1), "$web->{uid}0";
    refused("pod=$web->{uid}&namespace=other", 404, $none,
        "$name: in another namespace");
    refused("pod=$web->{uid}&name=web", 404, $none, "$name: another name");
    refused("pod=$host->{uid}", 403, qr/hostNetwork/, "$name: of the node");
    $doc = refused("pod=$web->{uid}&interface=$web->{veth}", 404,
        qr/^interface: there is no/, "$name: an interface of the node");
    is_deeply($doc->{interfaces}, [ qw(lo eth0 any) ],
        "$name: the interfaces are the pod's");
    refused("pod=$web->{uid}&filter=bogus", 400, qr/^filter: /,
        "$name: a bad filter");

    # the node's own namespace in place of a pod's
    my $fake = $node->pod(uid());

    $node->unmount($fake);
    refused("pod=$fake->{uid}", 409, qr/^pod: .* is not ready/,
        "$name: no namespace");
    spew($fake->{mount}, '');
    refused("pod=$fake->{uid}", 409, qr/is not ready/, "$name: nor a mount");
    must('mount', '--bind', '/proc/self/ns/net', $fake->{mount});
    refused("pod=$fake->{uid}", 403, qr/hostNetwork/, "$name: the node's");
    must('umount', $fake->{mount});
    unlink $fake->{mount};
    symlink $web->{mount}, $fake->{mount} or die;
    refused("pod=$fake->{uid}", 500, qr/^pod: .* cannot be looked up/,
        "$name: a link to another's");
    unlink $fake->{mount};

    # a state that is broken is nobody's but its own
    spew($node->config($fake->{id}), substr
        slurp($node->config($fake->{id})), 0, -10);
    refused("pod=$fake->{uid}", 500, qr/its state is not what it should/,
        "$name: a cut state");
    $c = start("pod=$web->{uid}&filter=udp");
    $n = packet_of($web, $c);
    is(ids(whole($c)), $n, "$name: the others are none the worse");
    $node->destroy($fake->{id});

    ends_of($name, $web, $none);
    $agent->stop();
}


sub ends_of
{
    my ($name, $web, $none) = @_;

    my $bystander = start("pod=$web->{uid}&filter=udp");

    # it is stopped
    my $p = $node->pod(uid());
    my $c = start("pod=$p->{uid}&filter=udp");
    my $n = packet_of($p, $c);

    $node->stop($p);
    is(ids(gone_ok($c, "$name stops it")), $n, "$name: what came before");
    refused("pod=$p->{uid}", $name eq 'cri-o' ? 409 : 404,
        qr/is not ready|there is no/, "$name: and then");

    # made anew below the same uid: the one that lives
    my $anew = $node->pod($p->{uid});

    $c = start("pod=$p->{uid}&filter=udp");
    $n = packet_of($anew, $c);
    is(ids(whole($c)), $n, "$name: the sandbox that was made anew");
    $node->destroy($p->{id});
    $node->destroy($anew->{id});
    refused("pod=$p->{uid}", 404, $none, "$name: removed");

    # replaced while it is captured: the capture is of the old one
    $p = $node->pod(uid());
    $c = start("pod=$p->{uid}&interface=lo&filter=udp");
    $n = packet_of($p, $c, '127.0.0.1');
    $anew = $node->pod($p->{uid});
    packet($anew, '127.0.0.1');
    $node->unmount($p);
    is(ids(gone_ok($c, "$name replaces it")), $n,
        "$name: nothing of the new one");
    $node->destroy($_->{id}) for $p, $anew;

    ok(packet_of($web, $bystander), "$name: another one goes on");
    ok(!$bystander->{complete}, "$name: and on");
    whole($bystander);
}


of_runtime('containerd');
of_runtime('cri-o');

# --- requests ---------------------------------------------------------------

$node = PcapTest::Cri->new('containerd');
$agent = PcapTest::Agent->new(certs => $certs, name => 'requests',
    conf => $node->conf(user => 'nobody'));

refused("pod=$_", 400, qr/^"?pod"?: /, "uid $_") for '', '..', '..%2fx', 'a.b',
    'a_b', 'x' x 65, '%00', 'a%0a', '-a';
refused("pod=a&$_", 400, qr/^namespace: must be 1 to 63 /, $_)
    for 'namespace=', 'namespace=A', 'namespace=a.b', 'namespace=-a',
    'namespace=' . 'x' x 64;
refused("pod=a&$_", 400, qr/^name: must be 1 to 253 /, $_)
    for 'name=', 'name=A', 'name=a_b', 'name=.a', 'name=%2e%2e',
    'name=' . 'x' x 254;
refused('pod=a&pod=b', 400, qr/^pod: must not be repeated/, 'two pods');
refused('namespace=a', 400, qr/^namespace: /, 'no pod for a namespace');
refused('name=a', 400, qr/^name: /, 'no pod for a name');
refused('pod=a&container=b&app=c', 400, qr/^pod: not together/,
    'a container, too');
refused('pod=a&container=b', 400, qr/^pod: not together/, 'half of one');
refused('container=b&app=c', 400, qr/^container: .* not configured/,
    'a container alone');
must('mv', $node->{state}, "$node->{state}-away");
refused('pod=a', 500,
    qr/^pod: a: it cannot be looked up: cri_state_folder .*: No such file/,
    'no state folder');
must('mv', "$node->{state}-away", $node->{state});
$agent->stop();

$agent = PcapTest::Agent->new(certs => $certs, name => 'off');
refused('pod=a', 400, qr/^pod: .* not configured .*\(cri_runtime\)/,
    'no runtime');
$agent->stop();

finish();
