#!/usr/bin/perl

# container_mode veth: the host's side of a container's pair, by an agent
# that has CAP_NET_RAW and nothing else, as below bpm. And that such an agent
# does not start with container_mode netns.

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
use PcapTest::Pcapng qw(parse);
use PcapTest::Traffic qw(marker packet_id);

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $cell = PcapTest::Cell->new();
my $id = 0;
my $none = qr/^container: there is no \S+ on this machine$/;

my $web = $cell->container('web-1', app => 'app-web');
my $db = $cell->container('db-1', app => 'app-db');

# what bpm leaves of root
my $raw = '-all,+net_raw';
my @bare = ('setpriv', '--reuid', 'nobody', '--regid', 'nogroup',
    '--clear-groups', '--inh-caps', $raw, '--ambient-caps', $raw,
    '--bounding-set', $raw, '--no-new-privs');

# silk gives the store to a user that may be named (lib/datastore)
sub readable
{
    my $dir = "$cell->{dir}/container-metadata";

    must('chown', '-R', 'nobody', $dir);
}

sub readable_keys
{
    must('chown', '-R', 'nobody', $certs->file(''));
}

readable();
readable_keys();

my $agent = PcapTest::Agent->new(certs => $certs, under => \@bare,
    conf => $cell->conf(container_mode => 'veth', log_level => 'debug'));

my %caps = slurp("/proc/$agent->{pid}/status") =~ /^(Cap\w+):\s*(\w+)$/mg;

is(hex $caps{CapPrm}, 1 << 13, 'the agent may have CAP_NET_RAW alone');
is(hex $caps{CapBnd}, 1 << 13, 'for ever');
is(($C->fetch($agent, '/v1/status'))[1]{container_mode}, 'veth',
    'the status tells the mode');


sub inside
{
    my ($c, $app) = @_;

    return "container=$c->{handle}&app=" . ($app // $c->{app});
}


sub start
{
    my ($query) = @_;

    my $c = $C->new($agent);

    $c->get("/v1/capture?$query");
    $c->started() or die "no capture of $query: " . ($c->{head} || '')
        . "$c->{body}\n";

    return $c;
}


sub packet_of
{
    my ($ct, $c) = @_;

    marker(ns => $ct->{ns}, to => '169.254.0.1', id => ++$id);
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


sub refused
{
    my ($query, $status, $detail, $name) = @_;

    my ($got, $doc) = $C->fetch($agent, "/v1/capture?$query");

    is($got, $status, "$name: $status");
    like(ref $doc ? $doc->{detail} : '', $detail, "$name: its words");

    return $doc;
}


# --- what is left of its rights -------------------------------------------

my $c = $C->new($agent);
my @bound = (CapBnd => $CAP_NET_RAW);

confined($agent, 'veth, before a request', CapPrm => $CAP_NET_RAW, @bound,
    filters => 1, open => qr/^0 1 2 3 4 5$/);
$c->get('/v1/capture?' . inside($web) . '&filter=udp');
$c->started();
confined($agent, 'veth', @bound, filters => 2,
    open => qr/^0 1 2 3 4(?: \d+){2,5}$/);
packet_of($web, $c);
whole($c);

# --- two at once ----------------------------------------------------------

my $cw = start(inside($web) . '&filter=udp');
my $cd = start(inside($db) . '&filter=udp&interface=eth0');
my $w = packet_of($web, $cw);
my $d = packet_of($db, $cd);
my $fw = whole($cw);
my $fd = whole($cd);

is(ids($fw), $w, 'the packets of the one container');
is(ids($fd), $d, 'and of the other');
is($fw->{ifaces}[0]{name}, 'eth0', 'by the name that it has inside');
like($fw->{ifaces}[0]{description}, qr/^host side of .*\($web->{veth}\): /,
    'what it really is stands beside it');

# seen from the other side
$cw = start(inside($web) . '&filter=inbound%20and%20udp');
$w = packet_of($web, $cw);
is(ids(whole($cw)), $w, 'what a container sends comes in');

# --- what there is not ----------------------------------------------------

for my $query ('interface=lo', 'interface=any', 'interface=eth1',
    "interface=$web->{veth}", 'interface=eth0&interface=lo')
{
    my $doc = refused(inside($web) . "&$query", 404,
        qr/^interface: of a container only eth0 .*veth: no lo, no any/,
        $query);

    is_deeply($doc->{interfaces}, [ 'eth0' ], 'what there is');
}

refused(inside($web, 'app-db'), 404, $none, 'another app\'s');
refused('container=unknown&app=app-db', 404, $none, 'unknown');
refused('container=..%2fx&app=app-db', 400, qr/^container: /, 'a path');

# addresses that lead to no pair: the machine's own, nowhere, a bridge
must(qw(ip link add br9 type bridge));
must(qw(ip addr add 10.254.0.1/24 dev br9));
must(qw(ip link set br9 up));

# and to a pair both ends of which are the machine's
must(qw(ip link add name s-010253000002 type veth peer name p9));
must(qw(ip link set s-010253000002 up));
must(qw(ip link set p9 up));

# something else whose other end is in a container
must('ip', '-n', $db->{ns}, qw(link add link eth0 name mv9 type macvlan));
must('ip', '-n', $db->{ns}, qw(link set mv9 netns), $$);
must(qw(ip link set mv9 up));
must(qw(ip addr add 10.252.0.1/24 dev mv9));

for my $ip ('10.252.0.2', '127.0.0.1', '203.0.113.9', '10.254.0.2',
    '10.253.0.2', '2001:db8::1', '')
{
    $cell->change_store(sub { $_[0]{odd} = { handle => 'odd', ip => $ip,
        metadata => { app_id => 'app-odd' } } });
    refused('container=odd&app=app-odd', 500,
        qr/^container: odd: the host's side of its pair .* not found$/,
        "address '$ip'");
}

# without a route, by the name that silk gives
must(qw(ip addr flush dev), $db->{veth});
$cd = start(inside($db) . '&filter=udp');
$d = packet_of($db, $cd);
is(ids(whole($cd)), $d, 'by its name');

# --- the end of a container -----------------------------------------------

$cw = start(inside($web) . '&filter=udp');
$w = packet_of($web, $cw);
$cell->destroy('web-1');
readable();
$cw->read_until(5, sub { $_[0]{complete} });
ok($cw->{complete}, 'gone: the capture ends well');

my $f = parse($cw->{body});

is(ids($f), $w, 'gone: what came before is there');
is("@{ $f->{isbs}[-1]{comments} }", 'container gone', 'gone: it says why');
refused(inside($web), 404, $none, 'gone');

# --- a capture of the machine, beside all that ----------------------------

$cd = start("interface=$db->{veth}&filter=udp");
$d = packet_of($db, $cd);
$f = whole($cd);
is(ids($f), $d, 'an interface of the machine');
is($f->{ifaces}[0]{description}, undef, 'is just that');

# --- netns needs more -----------------------------------------------------

my $conf = spew(work_dir() . '/netns.json', JSON::PP::encode_json({
    %{ $agent->config() }, listen => '127.0.0.1:9498',
    container_mode => 'netns' }));

is(wait_exit(spawn('netns', [ @bare, tool('agent'), '--config', $conf ]), 10),
    1 << 8, 'container_mode netns does not start without CAP_SYS_ADMIN');
like(slurp(work_dir() . '/netns.out'), qr/container_mode netns: setns: .*veth/,
    'and says what would do');

$cell->destroy('db-1');
finish();
