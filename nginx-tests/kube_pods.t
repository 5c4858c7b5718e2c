# Live captures of Kubernetes pods: which ones, by label and by name, who may,
# at which node's agent, and which are refused. The API server is
# PcapTest::Kube, the agents are fakes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Fake;
use PcapTest::Kube;
use PcapTest::Lab;
use PcapTest::Pcapng ();

my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs);
my $file = $kube->token_file();
my $fake = PcapTest::Fake->new(certs => $certs, script => sub {
    my ($c) = @_;

    return $c->refuse('404 Not Found', '{"detail":"no such pod here"}')
        if ($c->{args}{pod} || [''])->[0] !~ /^[0-9a-f]{8}-0000-4000/;
    $c->begin();
    $c->traffic(3);
    return $c->stay(limit(20)) && $c->end()
        if ($c->{args}{filter}[0] || '') eq 'tcp';
    $c->end();
});

chmod 0755, work_dir();
chmod 0644, $file;

my $agents = 'tigera-packetcapture';
my $lab = lab(certs => $certs, nginx => {
    http => 'pcap_api_introspection_rate 1000 burst=10000;',
    check => "pcap_api_kube /_kube forward=/_kube_forward token=$file;",
    pcap => 'pcap_api_agent_ranges 127.1.0.0/28; pcap_api_max_targets 300;'
        . " pcap_api_kube_agents namespace=$agents selector=app=pcap-agent;"
        . ' pcap_api_reauth 1s; pcap_api_kube_node mapped 127.1.0.4:9494;',
    server => $kube->location('/_kube') });
my $nginx = $lab->{nginx};

$kube->user('ann', username => 'ann', groups => ['dev']);
$kube->user('bob', username => 'bob');
$kube->allow(groups => ['dev'], verbs => ['create'],
    resources => ['packetcaptures'], namespace => 'dev');
$kube->allow(groups => ['dev'], verbs => ['get'],
    resources => ['packetcaptures/files'], namespace => 'dev');
$kube->allow(group => '', users => [qw(ann bob)], verbs => ['list'],
    resources => ['pods'], namespace => 'dev');

# agents, with a node that has none, and one that is somewhere else
$kube->pod($agents, "agent-$_", node => "node-$_", ip => '127.1.0.'
    . ($_ + 1), labels => { app => 'pcap-agent' }) for 0 .. 2;
$kube->pod($agents, 'agent-far', node => 'far', ip => '10.9.8.7',
    labels => { app => 'pcap-agent' });
$kube->pod($agents, 'other', node => 'lonely', ip => '127.1.0.9');
$kube->pod($agents, 'agent-old', node => 'lonely', ip => '127.1.0.9',
    phase => 'Succeeded', labels => { app => 'pcap-agent' });

$kube->pod('dev', "web-$_", node => "node-$_", ip => "10.1.0.$_",
    labels => { app => 'web' }) for 0 .. 2;
$kube->pod('dev', 'mapped', node => 'mapped', labels => { app => 'map' });
$kube->pod('dev', 'host', node => 'node-0', hostNetwork => 1,
    labels => { app => 'host' });
$kube->pod('dev', 'mixed', node => 'node-0', labels => { app => 'mix' });
$kube->pod('dev', 'mixed-host', node => 'node-0', hostNetwork => 1,
    labels => { app => 'mix' });
$kube->pod('dev', 'done', node => 'node-0', phase => 'Succeeded',
    labels => { app => 'done' });
$kube->pod('dev', $_, node => $_, labels => { app => 'lost' })
    for qw(far lonely);
$kube->pod('prod', 'web-9', node => 'node-0', labels => { app => 'web' });


sub path
{
    my ($query, $namespace) = @_;

    return '/v1/capture/k8s/' . ($namespace || 'dev') . "?$query";
}


sub capture
{
    my ($query, $name, %e) = @_;

    my $c = $nginx->fetch(path($query), token => 'ann');

    status_is($c, 200, "$name: status") or return {};

    return capture_ok($c, status => 'complete', name => $name, %e);
}


sub refused
{
    my ($status, $query, $detail, $name, %o) = @_;

    my $space = delete $o{namespace};

    return problem_is($nginx->fetch(path($query, $space), token => 'ann',
        %o), $status, $detail, $name);
}


# --- which -------------------------------------------------------------------

my $c = capture('selector=app%3Dweb', 'by label', packets => { map {
    ("web-$_" => 3) } 0 .. 2 });

like($c->{ifaces}[1]{description}, qr/^address=127\.1\.0\.2:9494\ .*
    node=node-1$/x, 'its description');
is_deeply($c->{hosts}, { map { ("10.1.0.$_" => ["web-$_"]) } 0 .. 2 },
    'names of the pods\' addresses');

my @seen = $kube->seen();

is(join(' ', map { "$_->{method} " . ($_->{path} =~ s{.*/}{}r) } @seen),
    'POST tokenreviews POST subjectaccessreviews POST subjectaccessreviews'
    . ' GET pods?limit=200&labelSelector=app%3Dweb'
    . ' GET pods?labelSelector=app%3Dpcap-agent&limit=100', 'the questions');
is_deeply([ map { decode_json($_->{body})->{spec}{resourceAttributes} }
    @seen[1, 2] ], [ { group => 'projectcalico.org', verb => 'create',
    resource => 'packetcaptures', namespace => 'dev' }, { group =>
    'projectcalico.org', verb => 'get', resource => 'packetcaptures',
    subresource => 'files', namespace => 'dev' } ], 'the rights');
is($seen[3]{token}, 'ann', 'pods are those that the caller may see');
isnt($seen[4]{token}, 'ann', 'agents are not');
is(scalar(grep { $_->{args}{pod}[0] =~ /^[0-9a-f-]{36}$/ }
    $fake->events('request')), 3, 'agents are asked for pods');

capture('instance=web-1', 'by name', packets => { 'web-1' => 3 });
capture('selector=app+in+(web,map)&instance=web-1&instance=mapped', 'both',
    packets => { 'web-1' => 3, mapped => 3 });
is_deeply([ map { $_->{args}{pod} ? () : 1 } $fake->events('request') ], [],
    'no agent was asked for anything but a pod');

# --- which not ---------------------------------------------------------------

refused(403, 'selector=app%3Dhost', qr/hostNetwork/, 'a pod of its node');
$c = $nginx->fetch(path('selector=app%3Dmix'), token => 'ann');
status_is($c, 200, 'one of two');
is($c->trailer('x-pcap-status'), 'partial', 'is not all');
like($c->{body}, qr/mixed-host.*network of its node/s, 'the file tells why');

refused(404, 'selector=app%3Ddone', qr/no pod .* runs in namespace "dev"/,
    'one that has ended');
refused(404, 'selector=app%3Dnone', qr/no pod/, 'no such label');
refused(404, 'instance=web-9', qr/no pod/, 'one of another namespace');
refused(502, 'instance=lonely', qr/no agent is known/, 'a node without one');
refused(502, 'instance=far', qr/outside of pcap_api_agent_ranges/,
    'one that is elsewhere');
refused(400, 'selector=app+in+(', qr/"selector": .*no label selector/,
    'a bad selector');
refused(400, 'selector=' . 'x' x 4097, qr/longer than 4096/, 'a long one');
refused(400, 'selector=a&selector=b', qr/given twice/, 'two of them');
refused(400, 'index=1', qr/unknown option "index".*selector/, 'an index');
refused(404, '', qr/no name of a namespace/, 'no namespace', namespace =>
    'Dev');
refused(404, '', qr/no name of a namespace/, 'a path', namespace =>
    'dev%2fpods');

# --- who ---------------------------------------------------------------------

refused(401, '', qr/not valid/, 'a bad token', token => 'nobody');
refused(403, '', qr/"bob" is not authorized to create packetcaptures in/,
    'no right', token => 'bob');
refused(403, '', qr/not authorized/, 'elsewhere', namespace => 'prod');
$kube->allow(users => ['bob'], verbs => ['create'],
    resources => ['packetcaptures'], namespace => 'dev');
refused(403, '', qr/"bob" is not authorized to get packetcaptures\/files/,
    'no right to files', token => 'bob');
$kube->user('cat', username => 'cat', groups => ['dev']);
refused(403, '', qr/may not list pods/, 'no right to pods', token => 'cat');
refused(400, '', qr/no X-CLUSTER-ID/, 'another cluster', headers =>
    [ [ 'X-Cluster-Id' => 'east' ] ]);

# --- the right is looked at again --------------------------------------------

$c = $nginx->get(path('selector=app%3Dweb&filter=tcp'), token => 'ann');
ok($c->read_until(10, sub { length $c->{body} > 500 }), 'it runs');

my $row = decode_json($nginx->fetch('/v1/captures', token => 'ann')->{body})
    ->{captures}[0];

is("$row->{resolver} $row->{target} $row->{state}", 'k8s dev running',
    'it is listed');
is(scalar @{ decode_json($nginx->fetch('/v1/captures', token => 'cat')
    ->{body})->{captures} }, 0, 'for its user alone');
$kube->change(sub { @{ $_[0]{clusters}{cluster}{rules} } = grep {
    ($_->{groups} || [''])->[0] ne 'dev' }
    @{ $_[0]{clusters}{cluster}{rules} } });
$c->read_end(10);
is($c->trailer('x-pcap-status'), 'stopped', 'a right that has gone ends it');
is_deeply([ $kube->violations() ], [], 'every question was a good one');

agents_quiet('the end', $fake);
finish();
