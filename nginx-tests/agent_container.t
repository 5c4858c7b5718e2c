#!/usr/bin/perl

# The agent on a cell with real containers: whose they are, where they are,
# what stands in their place, what is seen from inside, and how a capture
# ends when its container does. Directly at the agent, as the API asks it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use PcapTest;
use Test::More;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Cell;
use PcapTest::Certs;
use PcapTest::Confined;
use PcapTest::Pcapng qw(parse parse_pcap);
use PcapTest::Traffic qw(marker packet_id in_ns);
use Fcntl qw(LOCK_EX O_RDWR);

my $C = 'PcapTest::AgentClient';
my $GONE = 'container gone';
my $certs = PcapTest::Certs->new();
my $cell = PcapTest::Cell->new();
my $id = 0;

my $web = $cell->container('e49f448e-54d2-4c33-61a3-5335', app => 'app-web',
    user_ns => 1);
my $db = $cell->container('b0000000-0000-4000-8000-0002', app => 'app-db');
my $agent = PcapTest::Agent->new(certs => $certs,
    conf => $cell->conf(user => 'nobody', log_level => 'debug'));


sub inside
{
    my ($c, $app) = @_;

    return "container=$c->{handle}&app=" . ($app // $c->{app});
}


# Starts a capture and returns the client once it runs.
sub start
{
    my ($query, $from) = @_;

    my $c = $C->new($from || $agent);

    $c->get("/v1/capture?$query");
    $c->started() or die "no capture of $query: " . ($c->{head} || '')
        . "$c->{body}\n";

    return $c;
}


# A packet with a number of its own, out of a container; in the client's
# stream when this returns.
sub packet_of
{
    my ($ct, $c, $to) = @_;

    marker(ns => $ct->{ns}, to => $to || '169.254.0.1', id => ++$id);
    $c->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', $id, 0) });

    return $id;
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


# Every last statistics block says that the container is gone, no other does.
sub gone_ok
{
    my ($c, $name) = @_;

    $c->read_until(5, sub { $_[0]{complete} });
    ok($c->{complete}, "$name: the capture ends well");

    my $file = parse($c->{body});
    my $n = @{ $file->{ifaces} };
    my @last = splice @{ $file->{isbs} }, -$n;

    is(join(',', map { "@{ $_->{comments} }" } @last), join(',', ($GONE) x $n),
        "$name: it says why");
    is(join(',', map { @{ $_->{comments} } } @{ $file->{isbs} }), '',
        "$name: once");

    return $file;
}


sub refused
{
    my ($query, $status, $detail, $name, $from) = @_;

    my ($got, $doc) = $C->fetch($from || $agent, "/v1/capture?$query");

    is($got, $status, "$name: $status");
    like(ref $doc ? $doc->{detail} : '', $detail, "$name: its words");

    return $doc;
}


sub log_has
{
    my ($text, $name) = @_;

    ok(wait_for(2, sub { slurp($agent->{log}) =~ $text }),
        "$name: in the log");
}


# The capture processes of the agent.
sub captures
{
    my ($from) = @_;

    return grep { slurp("/proc/$_/comm") eq "pcap-capture\n" }
        children($from->{pid});
}


# --- two at once ----------------------------------------------------------

my ($status, $doc) = $C->fetch($agent, '/v1/status');

is($doc->{container_mode}, 'netns', 'the status tells the mode');

my $cw = start(inside($web) . '&filter=udp');
my $cd = start(inside($db) . '&filter=udp');
my $w1 = packet_of($web, $cw);
my $d1 = packet_of($db, $cd);
my $w2 = packet_of($web, $cw);

my @captures = captures($agent);

is(scalar @captures, 2, 'two processes capture');

for my $pid (@captures) {
    is(readlink "/proc/$pid/ns/net", readlink '/proc/self/ns/net',
        "process $pid is in the machine's namespace");

    my %caps = slurp("/proc/$pid/status") =~ /^(Cap\w+):\s*(\w+)$/mg;

    is($caps{$_}, '0' x 16, "process $pid has nothing in $_")
        for qw(CapInh CapPrm CapEff CapAmb);
    is(join(' ', grep { /^(?:net:|mnt:|\/proc|.*inotify.*pid)/ } map {
        readlink $_ } glob "/proc/$pid/fd/*"),
        readlink('/proc/self/ns/net'), 'and holds no other namespace');
}

my $fw = whole($cw);
my $fd = whole($cd);

is(ids($fw), "$w1 $w2", 'the packets of the one container');
is(ids($fd), $d1, 'and of the other');
is($fw->{ifaces}[0]{name}, 'eth0', 'eth0 by default');
is($fw->{ifaces}[0]{linktype}, 1, 'as Ethernet');
is($fw->{ifaces}[0]{description}, undef, 'there is nothing to say about it');
is(join(',', map { @{ $_->{comments} } } @{ $fw->{isbs} }), '',
    'an end by the peer is no end of a container');

# --- interfaces and options -----------------------------------------------

my $c = start(inside($web) . '&interface=lo&interface=eth0&interface=any'
    . '&filter=udp%20port%209');
my $lo = packet_of($web, $c, '127.0.0.1');
my $eth = packet_of($web, $c);

# three sockets, what wakes libpcap, the container's end, our own namespace
confined($agent, 'netns', filters => 2, open => qr/^0 1 2 3 4(?: \d+){4,9}$/);

my $f = whole($c);

# CAP_DAC_READ_SEARCH, _NET_RAW, _SYS_PTRACE and _SYS_ADMIN, none effective
$c = $C->new($agent);
confined($agent, 'netns, before a request', filters => 1,
    CapPrm => sprintf('%016x', 1 << 2 | 1 << 13 | 1 << 19 | 1 << 21),
    open => qr/^0 1 2 3 4 5$/);
$c->reset_connection();
ok(wait_for(5, sub { !$agent->connections() }), 'it is gone');

is(join(' ', map { $_->{name} } @{ $f->{ifaces} }), 'lo eth0 any',
    'lo, eth0 and any');
is(scalar(grep { (packet_id($_->[4]))[0] == $lo && $_->[0] == 0 }
    @{ $f->{packets} }), 1, 'lo: plain text within the container');
is(scalar(grep { (packet_id($_->[4]))[0] == $eth && $_->[0] == 1 }
    @{ $f->{packets} }), 1, 'eth0: its own');
is(scalar(grep { $_->[0] == 2 } @{ $f->{packets} }), 2, 'any: both');

$c = $C->capture($agent, inside($web) . '&format=pcap&filter=udp', sub {
    packet_of($web, $_[0]) });
is(scalar @{ parse_pcap($c->{body})->{packets} }, 1, 'as pcap');

$doc = refused(inside($web) . '&interface=eth9', 404,
    qr/^interface: there is no eth9$/, 'no such interface');
is_deeply($doc->{interfaces}, [ qw(lo eth0 any) ],
    'the interfaces are the container\'s');
$doc = refused(inside($web) . "&interface=$web->{veth}", 404,
    qr/^interface: /, 'an interface of the machine');
refused(inside($web) . '&filter=bogus', 400, qr/^filter: /, 'a bad filter');

# what libpcap takes for something else than an interface
for my $name (qw(nflog nfqueue usbmon1 bluetooth0 dbus-system)) {
    must('ip', '-n', $web->{ns}, qw(link add name), $name, qw(type veth peer),
        'name', 'peer0');
    must('ip', '-n', $web->{ns}, qw(link set), $name, 'up');
    ($status) = $C->fetch($agent, '/v1/capture?' . inside($web)
        . "&interface=$name&filter=udp");
    is($status, 500, "an interface named $name opens nothing else");
    must('ip', '-n', $web->{ns}, qw(link del), $name);
}

# --- whose, and which -----------------------------------------------------

my $none = qr/^container: there is no \S+ on this machine$/;

$doc = refused(inside($web, 'app-db'), 404, $none, 'another app\'s');

my $other = refused('container=unknown-1&app=app-db', 404, $none, 'unknown');

is($other->{detail} =~ s/unknown-1/X/r,
    $doc->{detail} =~ s/\Q$web->{handle}/X/r,
    'an alien container is as unknown as none');
is_deeply([ sort keys %$other ], [ sort keys %$doc ], 'nothing else differs');
log_has(qr/belongs to app app-web, not to app-db/, 'what was tried');

refused("container=$_&app=app-web", 400, qr/^"?container\b/,
    "handle $_") for '..', '..%2f' . $web->{handle}, '%2e%2e%2fx', 'a%2fb',
    '%2fetc', 'a.b', 'x' x 65, '', '%00', $web->{handle} . '%00',
    $web->{handle} . '%0a';
refused("container=$web->{handle}", 400, qr/^container: app/, 'no app');
refused('app=app-web', 400, qr/^app: /, 'no container');

# --- in place of the mount ------------------------------------------------

my $odd = 'odd-1';
my $at = $cell->bound($odd);
my $broken = qr/^container: $odd: /;

$cell->change_store(sub { $_[0]{$odd} = { handle => $odd,
    ip => '10.255.7.200', metadata => { app_id => 'app-odd' } } });

sub odd
{
    my ($name, $detail) = @_;

    refused("container=$odd&app=app-odd", 500, qr/$broken$detail/, $name);
    system("umount $at 2>/dev/null") if !-l $at;
    unlink $at;
    rmdir $at;
}

refused("container=$odd&app=app-odd", 404, $none, 'nothing in its place');

symlink $cell->bound($web->{handle}), $at or die;
odd('a link to the mount of another', 'it cannot be looked up: Too many');
symlink "/proc/$web->{pid}/ns/net", $at or die;
odd('a link to the namespace of another', 'it cannot be looked up: Too many');
spew($at, 'x');
odd('a file', 'what stands for its network namespace is no namespace');
mkdir $at or die;
odd('a folder', 'what stands for its network namespace is no namespace');
POSIX::mkfifo($at, 0600) or die;
odd('a pipe', 'what stands for its network namespace is no namespace');
spew($at, '');
refused("container=$odd&app=app-odd", 404, $none, 'a file without its mount');
must('mount', '--bind', "/proc/$web->{pid}/ns/uts", $at);
odd('another kind of namespace', '.* is no network namespace');
spew($at, '');
must('mount', '--bind', '/proc/self/ns/net', $at);
odd('the machine\'s own', '.* is the namespace of this machine');

# --- states of runc and containerd ----------------------------------------

my %by;

for my $layout (qw(runc containerd pid)) {
    my $ct = $by{$layout} = $cell->container("$layout-1",
        app => "app-$layout", layout => $layout, cni => 0, user_ns => 1);
    my $n;

    $c = $C->capture($agent, inside($ct) . '&filter=udp',
        sub { $n = packet_of($ct, $_[0]) });
    is(ids(parse($c->{body})), $n, "$layout: its packet");
    refused(inside($ct, 'app-web'), 404, $none, "$layout: another app\'s");
}

# a state that is out of date: another process has the number now
my $dir = $cell->{dir};
my $task = "$dir/run/containerd/state/io.containerd.runtime.v2.task/garden";
my $state = "$dir/run/runc/runc-1/state.json";
my $kept = slurp($state);

sub state_with
{
    my ($change, $name) = @_;

    my $json = JSON::PP::decode_json($kept);

    $change->($json);
    spew($state, JSON::PP::encode_json($json));
    refused(inside($by{runc}), @_[2, 3], $name);
}

my $broken_state = qr/^container: runc-1: its state is not what it should/;

state_with(sub { $_[0]{init_process_pid} = $web->{pid} + 0 },
    'the number of another process', 404, $none);
state_with(sub { $_[0]{init_process_start}++ }, 'another start time', 404,
    $none);
state_with(sub { $_[0]{init_process_pid} = 4194303 }, 'a process that is gone',
    404, $none);
state_with(sub { $_[0]{init_process_pid} = 1 }, 'process 1', 500,
    $broken_state);
state_with(sub { $_[0]{id} = 'x' }, 'the state of another', 500,
    $broken_state);
state_with(sub { delete $_[0]{namespace_paths}{NEWNET} },
    'no network namespace', 404, $none);
spew($state, substr $kept, 0, 100);
refused(inside($by{runc}), 500, $broken_state, 'a cut state');
unlink $state;
symlink "$dir/run/containerd/runc/garden/$web->{handle}/state.json", $state
    or die;
refused(inside($by{runc}), 500, qr/^container: runc-1: it cannot be looked/,
    'a link in place of the state');
unlink $state;
spew($state, $kept);

spew("$task/pid-1/init.pid", $web->{pid});
refused(inside($by{pid}), 404, $none, 'init.pid of another container');
log_has(qr/container pid-1: process $web->{pid} is in no control group/,
    'why');
spew("$task/pid-1/init.pid", '1');
refused(inside($by{pid}), 500, qr/its state is not/, 'init.pid with 1');
spew("$task/pid-1/init.pid", $by{pid}{pid});

# --- the store ------------------------------------------------------------

my $store = slurp($cell->store_file());
my $bad_store = qr/the container metadata is not what it should be/;

for my $text ('{', '[]', substr($store, 0, -2), "$store$store",
    '{"' . $web->{handle} . '":{"handle":"x"}}')
{
    $cell->write_store_text($text);
    refused(inside($web), 500, $bad_store, 'a broken store');
}

$cell->write_store_text('');
refused(inside($web), 404, $none, 'an empty store');
unlink $cell->store_file();
refused(inside($web), 404, $none, 'no store');
mkdir $cell->store_file() or die;
refused(inside($web), 500, qr/the container metadata: /, 'a folder');
rmdir $cell->store_file();
$cell->write_store_text($store);

sysopen my $lock, $cell->store_file() . '_lock', O_RDWR or die;
flock $lock, LOCK_EX or die;
$cell->write_store_text(substr $store, 0, 20);
$c = $C->new($agent);
$c->get('/v1/capture?' . inside($web) . '&filter=udp');
ok(!$c->read_until(0.3, sub { $_[0]{head} }), 'a store that is being written '
    . 'is waited for');
$cell->write_store_text($store);
close $lock;
ok($c->started(), 'and read then');
whole($c);

sysopen $lock, $cell->store_file() . '_lock', O_RDWR or die;
flock $lock, LOCK_EX or die;
refused(inside($web), 500, qr/metadata: Device or resource busy/,
    'a store that stays locked');
close $lock;

# --- the end of a container -----------------------------------------------

# as garden takes it down
my $ct = $cell->container('end-1', app => 'app-end');
my $bystander = start(inside($web) . '&filter=udp');
my $n;

$c = start(inside($ct) . '&filter=udp&interface=eth0&interface=lo');
$n = packet_of($ct, $c);
$cell->destroy('end-1');
is(ids(gone_ok($c, 'garden')), $n, 'garden: what came before is there');
log_has(qr/capture ends: /, 'garden');
ok(packet_of($web, $bystander), 'another one goes on');
ok(!$bystander->{complete}, 'and on');

# the mount alone: nothing is seen on lo
$ct = $cell->container('end-2', app => 'app-end');
$c = start(inside($ct) . '&interface=lo&filter=udp');
packet_of($ct, $c, '127.0.0.1');
must('umount', '-l', $cell->bound('end-2'));
unlink $cell->bound('end-2');
gone_ok($c, 'the mount');
$cell->destroy('end-2');

# its interface alone
$ct = $cell->container('end-3', app => 'app-end');
$c = start(inside($ct) . '&filter=udp');
packet_of($ct, $c);
must(qw(ip link del), $ct->{veth});
gone_ok($c, 'the interface');
$cell->destroy('end-3');

# which only goes down: no end
$ct = $cell->container('end-4', app => 'app-end');
$c = start(inside($ct) . '&filter=udp');
$n = packet_of($ct, $c);
must('ip', '-n', $ct->{ns}, qw(link set eth0 down));
ok(!$c->read_until(0.7, sub { $_[0]{complete} }), 'down: it goes on');
must('ip', '-n', $ct->{ns}, qw(link set eth0 up));
must('ip', '-n', $ct->{ns}, qw(route replace 169.254.0.1 dev eth0));
must('ip', '-n', $ct->{ns}, qw(neigh replace 169.254.0.1 lladdr
    02:00:00:00:00:01 dev eth0 nud permanent));
$n .= ' ' . packet_of($ct, $c);
$f = whole($c);
is(ids($f), $n, 'down: and up again');
is(join(',', map { @{ $_->{comments} } } @{ $f->{isbs} }), '',
    'down: no container has gone');
$cell->destroy('end-4');

# its process, where the state says where it is
for my $layout (qw(runc pid)) {
    $c = start(inside($by{$layout}) . '&interface=lo&filter=udp');
    packet_of($by{$layout}, $c, '127.0.0.1');
    kill 'KILL', $by{$layout}{pid};
    gone_ok($c, "the process ($layout)");
    refused(inside($by{$layout}), 404, $none, "and then ($layout)");
    $cell->destroy("$layout-1");
}

# all that was nothing to the others
$c = start(inside($web) . '&interface=lo&filter=udp');
$n = packet_of($web, $c, '127.0.0.1');
is(ids(whole($c)), $n, 'lo of the one that goes on');
whole($bystander);

# --- without a store: the API is believed ---------------------------------

my $trusting = PcapTest::Agent->new(certs => $certs, port => 9496,
    conf => $cell->conf(container_metadata => 'none'));

$c = start(inside($web, 'any-app') . '&filter=udp', $trusting);
$n = packet_of($web, $c);
is(ids(whole($c)), $n, 'no store: any app');
$trusting->stop();

# --- the agent drains: no end of a container ------------------------------

$c = start(inside($web) . '&filter=udp');
$n = packet_of($web, $c);
is($agent->stop('TERM'), 0, 'the agent drains');
$c->read_to_end(5);
ok($c->{complete}, 'the capture ends well');
$f = parse($c->{body});
is(ids($f), $n, 'its packet is there');
is(join(',', map { @{ $_->{comments} } } @{ $f->{isbs} }), '',
    'and no container has gone');

$cell->destroy($_) for keys %{ $cell->{all} };
finish();
