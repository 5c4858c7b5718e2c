#!/usr/bin/perl
#
# interop/image.t: `make image`, and the images run as k8s/*.yaml says, by runc:
# user, capabilities, read-only root, mounts. First agent.yaml, for the files
# that Calico left for root alone, then agent-live.yaml, for a pod. In front
# of each the API. Of the cluster the API server is a stand-in.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../nginx-tests/lib";

use Image ();
use Test::More;

my $image;
BEGIN { $image = Image::images() }

use JSON::PP;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Check;
use PcapTest::Client;
use PcapTest::Cri;
use PcapTest::Kube;
use PcapTest::Manifest;
use PcapTest::Traffic qw(marker);
use Pod;

my $work = work_dir();
my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs, keep => 1);
my $node = PcapTest::Cri->new('containerd');
my $agents = PcapTest::Kube::AGENTS;
my $captures = "$work/captures";


# A folder as a volume of a Secret or of a ConfigMap; group: fsGroup.
sub volume
{
    my ($name, $group, %files) = @_;

    mkdir "$work/$name";
    chmod 0755, "$work/$name";

    for my $file (sort keys %files) {
        spew("$work/$name/$file", $files{$file});
        chown 0, $group, "$work/$name/$file";
        chmod $group ? 0440 : 0400, "$work/$name/$file";
    }

    return "$work/$name";
}


sub pem { return slurp($certs->file($_[0])) }

sub key_pair
{
    my ($name, $group, $cert) = @_;

    return volume($name, $group, 'tls.crt' => pem("$cert.crt"),
        'tls.key' => pem("$cert.key"), 'ca.crt' => pem('ca.crt'));
}


sub manifest
{
    my ($file, $kind) = @_;

    my ($doc) = grep { $_->{kind} eq $kind }
        manifests_of(slurp(root_dir() . "/k8s/$file.yaml"));

    return $doc;
}


sub agent
{
    my ($file) = @_;

    my $config = volume("$file-config", 0,
        %{ manifest($file, 'ConfigMap')->{data} });

    chmod 0444, "$config/agent.json";

    return Pod->new(manifest($file, 'DaemonSet'), name => $file,
        image => $image->{agent}, volumes => { config => $config,
        tls => key_pair('agent-tls', 0, 'agent'), captures => $captures,
        containerd => $node->{state}, netns => $node->{netns} });
}


sub api
{
    my ($name, %o) = @_;

    return Pod->new(manifest('api', 'Deployment'), name => $name,
        image => $image->{api}, account => volume('account', 10001,
        'ca.crt' => pem('ca.crt'), namespace => "pcap-api\n",
        token => slurp($kube->token_file())), volumes => {
        https => key_pair('https', 10001, 'front'),
        agents => key_pair('agents', 10001, 'api') }, %o,
        env => { KUBERNETES_SERVICE_HOST => '127.0.0.1',
        KUBERNETES_SERVICE_PORT => 6443, PACKETCAPTURE_API_AGENTS_NAMESPACE
        => $agents, PACKETCAPTURE_API_AGENTS_RANGES => '127.0.0.0/8',
        %{ $o{env} || {} } });
}


sub request
{
    my ($path, %o) = @_;

    my $c = PcapTest::Client->new($path, port => 8444, token => 'alice',
        ca => $certs->file('ca.crt'), %o);

    $c->read_header(10);

    return $c;
}


sub fetch
{
    my $c = request(@_);

    $c->read_end(10);

    return $c;
}


# May files be had, and pods? An agent that stops ends well.
sub agent_runs
{
    my ($file) = @_;

    my $agent = agent($file)->start();

    ok(wait_for(10, sub { slurp($agent->file('err')) =~ /listening on/ }),
        "$file.yaml: the agent starts") or diag(slurp($agent->file('err')));

    return $agent;
}


sub agent_ends
{
    my ($agent) = @_;

    is($agent->stop(), 0, "$agent->{name}.yaml: the agent ends well");
    unlike(slurp($agent->file('err')), qr/ROOT|error:|signal \d/,
        "$agent->{name}.yaml: and has complained of nothing")
        or diag(slurp($agent->file('err')));
}


sub files_ok
{
    my ($name) = @_;

    my $c = fetch('/packet-capture/download/dev/web/files.zip');

    status_is($c, 200, "$name: files.zip") or diag($c->{body});
    spew("$work/files.zip", $c->{body});
    is(`unzip -p $work/files.zip node-1/a.pcap`,
        slurp("$captures/dev/web/a.pcap"), "$name: the file of the node");
}


# --- what the cluster has ---------------------------------------------------

# as systemd has it on a node: what is mounted later is seen below its slaves
must('mount', '--bind', $node->{netns}, $node->{netns});
must('mount', '--make-shared', $node->{netns});
at_end(sub { system('umount', '-l', $node->{netns}) });

my $web = $node->pod('4fe556a4-0bd7-45be-966f-46e2cbf40001', namespace =>
    'dev', name => 'web-0');

chmod 0755, $work;
must('mkdir', '-p', "$captures/dev/web");
spew("$captures/dev/web/a.pcap", pack 'VvvVVVV', 0xA1B2C3D4, 2, 4, 0, 0,
    65535, 1);
chmod 0600, "$captures/dev/web/a.pcap";
chmod 0700, $captures;

$kube->user('alice', username => 'alice');
$kube->allow(users => ['alice'], verbs => [ 'get', 'create' ],
    resources => [ 'packetcaptures/files', 'packetcaptures' ],
    namespace => 'dev');
$kube->allow(group => '', users => ['alice'], verbs => ['list'],
    resources => ['pods'], namespace => 'dev');
$kube->capture('dev', 'web', [ [ 'node-1', ['a.pcap'], 'Finished' ] ]);
$kube->pod($agents, 'agent', node => 'node-1', ip => '127.0.0.1', %{
    manifest('agent', 'DaemonSet')->{spec}{template}{metadata} });
$kube->pod('dev', 'web-0', node => 'node-1', ip => $web->{ip},
    labels => { app => 'web' }, metadata => { uid => $web->{uid} });

# --- the images by themselves -----------------------------------------------

my ($status, $text) = api('check', arguments => ['--check'])->run();

is($status, 0, 'the API\'s image: nginx takes what entry writes')
    or diag($text);
($status, $text) = api('wrong', env => { PACKETCAPTURE_API_PORT => 'x' })
    ->run();
is($status >> 8, 1, 'a wrong variable ends it');
like($text, qr/\Aentry: PACKETCAPTURE_API_PORT: [^\n]+\n\z/, 'in one line');

# --- agent.yaml: files ------------------------------------------------------

my $api = api('api')->start();
my $agent = agent_runs('agent');

ok(wait_for(10, sub { eval { fetch('/health')->{status} == 200 } }),
    'the API serves') or diag(slurp($api->file('err')));
files_ok('agent.yaml');
problem_is(fetch('/v1/capture/k8s/dev?selector=app%3Dweb'), 502,
    qr/captures in pods are not configured/, 'agent.yaml: no pods');
agent_ends($agent);

# --- agent-live.yaml: pods as well ------------------------------------------

$agent = agent_runs('agent-live');
files_ok('agent-live.yaml');

my $c = request('/v1/capture/k8s/dev?selector=app%3Dweb&filter=udp');

status_is($c, 200, 'agent-live.yaml: a pod') or diag($c->{body});
marker(ns => $web->{ns}, to => '169.254.0.1', id => 7);
ok($c->read_until(10, sub { $_[0]{body} =~ /PCAPTEST\0\0\0\x07/ }),
    'agent-live.yaml: its packet');

# a pod that began after the agent did: its mount comes along
my $late = $node->pod('4fe556a4-0bd7-45be-966f-46e2cbf40002', namespace =>
    'dev', name => 'late');

$kube->pod('dev', 'late', node => 'node-1', ip => $late->{ip},
    labels => { app => 'late' }, metadata => { uid => $late->{uid} });

my $d = request('/v1/capture/k8s/dev?selector=app%3Dlate&filter=udp');

status_is($d, 200, 'agent-live.yaml: a pod that came later')
    or diag($d->{body});
marker(ns => $late->{ns}, to => '169.254.0.1', id => 8);
ok($d->read_until(10, sub { $_[0]{body} =~ /PCAPTEST\0\0\0\x08/ }),
    'agent-live.yaml: its packet');
is(fetch('/v1/captures/' . $_->header('x-pcap-capture-id'), method => 'DELETE')
    ->{status}, 202, 'it is stopped') for $c, $d;
$_->read_end(10) for $c, $d;
capture_ok($c, status => 'stopped', packets => { 'web-0' => 1 });
capture_ok($d, status => 'stopped', packets => { 'late' => 1 });
agent_ends($agent);

is($api->stop(), 0, 'the API ends by the image\'s signal');
unlike(slurp($api->file('err')), qr/\[(?:alert|crit|emerg)\]/,
    'a quiet error log');
finish();
