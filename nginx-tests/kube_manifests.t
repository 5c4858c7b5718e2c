# What is in k8s/: each manifest is strictly what its kind allows, kubectl
# takes them, they fit one another and the entry point, the service has the
# rights that the stand-in gives it and no other, the real agent starts with
# the configuration and the capabilities of its DaemonSet, and what the images
# are made of is there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use Test::More;
use PcapTest;
use PcapTest::AgentClient;
use PcapTest::Certs;
use PcapTest::Kube;
use PcapTest::Manifest;

my $top = root_dir();
my $work = work_dir();
my $json = JSON::PP->new->canonical;
my @FILES = qw(namespaces rbac api agent agent-live network-policy
    example-users);
my %docs = map { $_ => [ manifests_of(slurp("$top/k8s/$_.yaml")) ] } @FILES;
my ($version) = slurp("$top/pcapx/version.h") =~
    /PCAP_VERSION\s+"([^"]+)"/;


sub find
{
    my ($file, $kind, $name) = @_;

    my @found = grep { $_->{kind} eq $kind && (!defined $name
        || $_->{metadata}{name} eq $name) } @{ $docs{$file} };

    return @found == 1 ? $found[0] : die "$file: @{[scalar @found]} $kind\n";
}


sub pod { return $_[0]{spec}{template}{spec} }


# --- strictly ----------------------------------------------------------------

for my $file (@FILES) {
    ok(@{ $docs{$file} } > 0, "$file.yaml: something is in it");
    is(join(', ', manifest_faults($_)), '', "$file.yaml: $_->{kind}"
        . " $_->{metadata}{name}") for @{ $docs{$file} };
}

for my $bad ([ 'unknown field "spec.replica"' => sub {
        $_[0]{spec}{replica} = 1 } ],
    [ 'spec.replicas: not of type int' => sub {
        $_[0]{spec}{replicas} = 'one' } ],
    [ 'apiVersion apps/v1beta1' => sub {
        $_[0]{apiVersion} = 'apps/v1beta1' } ],
    [ 'no namespace' => sub { delete $_[0]{metadata}{namespace} } ])
{
    my $doc = decode_json($json->encode(find('api', 'Deployment')));

    $bad->[1]($doc);
    is(join(', ', manifest_faults($doc)), $bad->[0], "told: $bad->[0]");
}

# --- kubectl -----------------------------------------------------------------

my $server = discovery(8001, "$work/discovery.log");


sub kubectl
{
    my (@args) = @_;

    local $ENV{KUBECONFIG} = '/dev/null';
    local $ENV{HOME} = $work;
    my $text = `kubectl @args 2>&1`;

    return ($?, $text);
}


for my $file (@FILES) {
    my ($status, $text) = kubectl('create', '--dry-run=client',
        '--validate=false', "--server=$server", '-o', 'name', '-f',
        "$top/k8s/$file.yaml");
    my @names = sort map { lc $_->{kind} } @{ $docs{$file} };

    is($status, 0, "kubectl takes $file.yaml") or diag($text);
    is(join(' ', sort $text =~ m{^([a-z]+)[./]}mg), "@names",
        "kubectl finds in $file.yaml what is there");
}

unlike(slurp("$work/discovery.log"), qr/^(?!GET )/m, 'and creates nothing');

my ($status, $text) = kubectl('kustomize', "$top/k8s");
my @all = map { @{ $docs{$_} } } qw(namespaces rbac api agent network-policy);

is($status, 0, 'kubectl kustomize') or diag($text);
is_deeply([ sort map { $json->encode($_) } manifests_of($text) ],
    [ sort map { $json->encode($_) } @all ], 'all of it, and unchanged');

# --- they fit one another ----------------------------------------------------

my %namespaces = map { $_->{metadata}{name} => 1 } @{ $docs{namespaces} };
my @homeless = grep { defined $_->{metadata}{namespace}
    && !$namespaces{ $_->{metadata}{namespace} } } @all;

is(scalar @homeless, 0, 'every namespace is there');

my $api = find('api', 'Deployment');
my $service = find('api', 'Service');
my %policy = map { $_->{metadata}{name} => $_ } @{ $docs{'network-policy'} };

for my $w ($api, find('agent', 'DaemonSet'), find('agent-live', 'DaemonSet')) {
    my $name = $w->{metadata}{name};
    my $labels = $json->encode($w->{spec}{template}{metadata}{labels});
    my $c = pod($w)->{containers}[0];
    my %ports = map { $_->{name} => $_->{containerPort} } @{ $c->{ports} };
    my %volumes = map { $_->{name} => 1 } @{ pod($w)->{volumes} };

    is($json->encode($w->{spec}{selector}{matchLabels}), $labels,
        "$name: selects its own pods");
    is($json->encode($policy{$name}{spec}{podSelector}{matchLabels}), $labels,
        "$name: its policy is for them");
    is($policy{$name}{spec}{ingress}[0]{ports}[0]{port},
        (values %ports)[0], "$name: and lets its port in");
    ok(defined $ports{ ($c->{readinessProbe}{httpGet}
        || $c->{readinessProbe}{tcpSocket})->{port} }, "$name: probe");
    is(join(' ', sort map { $_->{name} } @{ $c->{volumeMounts} }),
        join(' ', sort keys %volumes), "$name: volumes and mounts");
    is($c->{image}, "$name:$version", "$name: image");
    ok((grep { $_->{kind} eq 'ServiceAccount' && $_->{metadata}{name} eq
        pod($w)->{serviceAccountName} && $_->{metadata}{namespace} eq
        $w->{metadata}{namespace} } @{ $docs{rbac} }), "$name: account");
    is(pod($w)->{securityContext}{seccompProfile}{type}, 'RuntimeDefault',
        "$name: seccomp");
    is($c->{securityContext}{readOnlyRootFilesystem}, JSON::PP::true,
        "$name: its file system is read-only");
    is($c->{securityContext}{allowPrivilegeEscalation}, JSON::PP::false,
        "$name: no further privileges");
    is("@{ $c->{securityContext}{capabilities}{drop} }", 'ALL',
        "$name: all capabilities dropped");
    ok(!pod($w)->{hostNetwork} && !pod($w)->{hostPID}, "$name: no host's");
}

is(pod($api)->{securityContext}{runAsNonRoot}, JSON::PP::true, 'non-root');
ok(!exists pod($api)->{containers}[0]{securityContext}{capabilities}{add},
    'the API adds no capability');
is($json->encode($service->{spec}{selector}),
    $json->encode($api->{spec}{template}{metadata}{labels}),
    'the Service is of the Deployment');
is("$service->{spec}{ports}[0]{port} $service->{spec}{ports}[0]{targetPort}",
    '443 https', 'port 443 goes to https');
is(pod($api)->{containers}[0]{ports}[0]{containerPort}, 8444,
    'which is 8444');

for my $probe (map { pod($api)->{containers}[0]{"${_}Probe"}{httpGet} }
    qw(readiness liveness))
{
    is($json->encode($probe), '{"path":"/health","port":"https",'
        . '"scheme":"HTTPS"}', 'a probe is of /health');
}

# the agents are those that the API is allowed to list and to find
my ($env) = map { { map { $_->{name} => $_->{value} } @$_ } }
    pod($api)->{containers}[0]{env};

for my $file (qw(agent agent-live)) {
    my $ds = find($file, 'DaemonSet');
    my ($label) = map { my $l = $ds->{spec}{template}{metadata}{labels};
        map { "$_=$l->{$_}" } sort keys %$l } 1;

    is($ds->{metadata}{namespace}, $env->{PACKETCAPTURE_API_AGENTS_NAMESPACE},
        "$file: in the namespace that the API looks in");

    my $out = `env -i KUBERNETES_SERVICE_HOST=10.0.0.1 @{[map {
        "$_=$env->{$_}" } sort keys %$env]} $top/k8s/entry --print 2>&1`;

    is($?, 0, 'the entry point takes its variables') or diag($out);
    like($out, qr{"selector=\Q$label\E" port=9494 }, "$file: selected");

    # every folder that a default names is mounted
    my %mounted = map { $_->{mountPath} => 1 }
        @{ pod($api)->{containers}[0]{volumeMounts} };
    my @lost = grep { !grep { $out =~ /\Q$_\E/ } $_ } sort keys %mounted;

    is(join(' ', grep { $_ ne '/manager-tls' } @lost), '',
        'what is mounted is used');
    is(join(' ', grep { !$mounted{ s{/[^/]+$}{}r } } $out =~
        m{ (/etc/pcap/\S+);}g), '', 'what is used is mounted');
}

# --- rights ------------------------------------------------------------------

sub rights
{
    my (@roles) = @_;

    return join ', ', sort map { my $r = $_; map { my $g = $_; map {
        my $o = $_; map { "$_ $o.$g" } @{ $r->{verbs} } }
        @{ $r->{resources} } } @{ $r->{apiGroups} } }
        map { @{ $_->{rules} } } @roles;
}


my $role = find('rbac', 'ClusterRole');
my $local = find('rbac', 'Role');
my @given = grep { ($_->{users} || [''])->[0] eq PcapTest::Kube::ACCOUNT }
    @{ PcapTest::Kube::cluster()->{rules} };

is(rights($role, $local), join(', ', sort map {
    "$_->{verbs}[0] $_->{resources}[0].$_->{group}" } @given),
    'what the stand-in gives to the service account');
is(rights($local), 'list pods.', 'pods are listed where agents are alone');
is($local->{metadata}{namespace}, 'pcap-agents', 'which is their namespace');

for my $b (map { @{ $docs{$_} } } qw(rbac example-users)) {
    next if $b->{kind} !~ /Binding$/;
    ok((grep { $_->{kind} eq $b->{roleRef}{kind} && $_->{metadata}{name} eq
        $b->{roleRef}{name} } map { @{ $docs{$_} } } qw(rbac example-users)),
        "$b->{kind} $b->{metadata}{name}: its role is there");
}

my @rules = map { @{ $_->{rules} || [] } } map { @$_ } values %docs;

is((grep { $_->{resourceNames} } @rules) + 0, 0, 'no resourceNames');
is((grep { grep { /\*|exec/ } map { @$_ } @$_{qw(apiGroups resources verbs)} }
    @rules) + 0, 0, 'no "*", no pods/exec');
is(rights(find('example-users', 'Role', 'capture-files')),
    'get packetcaptures/files.projectcalico.org', 'a user of files');

# --- the real agent, as its DaemonSet starts it ------------------------------

my $certs = PcapTest::Certs->new();
my $ds = find('agent', 'DaemonSet');
my $c = pod($ds)->{containers}[0];
my $conf = decode_json(find('agent', 'ConfigMap')->{data}{'agent.json'});
my $captures = "$work/captures";
my %path = ('/etc/pcap/tls/tls.crt' => $certs->file('agent.crt'),
    '/etc/pcap/tls/tls.key' => $certs->file('agent.key'),
    '/etc/pcap/tls/ca.crt' => $certs->file('ca.crt'), '/captures' =>
    $captures);

for my $value (values %$conf) {
    next if ref $value || $value !~ m{^/};
    ok((grep { index($value, $_->{mountPath}) == 0 } @{ $c->{volumeMounts} }),
        "$value is mounted");
    $value = $path{$value};
}

my $live = decode_json(find('agent-live', 'ConfigMap')->{data}{'agent.json'});

$_ = $path{$_} || $_ for values %$live;
spew("$work/live.json", encode_json($live));
my $said = `@{[ tool('agent') ]} --config $work/live.json --check 2>&1`;
is($? >> 8, 0, 'agent-live.yaml: the agent takes its configuration')
    or diag($said);

mkdir $captures;
mkdir "$captures/$_" for 'dev', 'dev/web';
spew("$captures/dev/web/a.pcap", 'x' x 24);
chmod 0600, "$captures/dev/web/a.pcap";
chmod 0700, "$captures/dev/web", "$captures/dev", $captures;
spew("$work/agent.json", encode_json($conf));

my $caps = join ',', '-all', map { lc "+$_" }
    @{ $c->{securityContext}{capabilities}{add} };
my $pid = spawn('agent', [ 'setpriv', '--bounding-set', $caps, '--inh-caps',
    '-all', '--no-new-privs', tool('agent'), '--config', "$work/agent.json" ],
    err => "$work/agent.err");


# The body of an answer, or nothing.
sub ask_agent
{
    my ($path, $method) = @_;

    my @cmd = ('curl', '-sS', '-m', limit(5), '-X', $method || 'GET',
        '--resolve', 'pcap-agent:9494:127.0.0.1', '--cacert',
        $certs->file('ca.crt'), '--cert', $certs->file('api.crt'), '--key',
        $certs->file('api.key'), '-w', "' %{http_code}'",
        "https://pcap-agent:9494$path");

    return `@cmd 2>&1`;
}


ok(wait_for(5, sub { ask_agent('/v1/status') =~ / 200$/ }),
    'it starts with these capabilities') or diag(slurp("$work/agent.err"));
like(slurp("/proc/$pid/status"), qr/^Uid:\s+65534\s/m, 'and becomes nobody');
like(ask_agent('/v1/files/dev/web'), qr/"a\.pcap".* 200$/s,
    'it lists files of root');
is(ask_agent('/v1/files/dev/web/a.pcap'), 'x' x 24 . ' 200',
    'and reads them');
like(ask_agent('/v1/files/dev/web/a.pcap', 'DELETE'), qr/ [45]\d\d$/,
    'without DAC_OVERRIDE it removes none');
ok(-e "$captures/dev/web/a.pcap", 'it is there still');
is(stop_child($pid, 'TERM', 10), 0, 'it ends');

# --- what images are made of -------------------------------------------------

my $file = slurp("$top/k8s/Containerfile") =~ s/\\\n\s*/ /gr;
my %sent = map { $_ => 1 } slurp("$top/.dockerignore") =~ /^!(.*)$/mg;
my ($copied, $broken) = (0, '');

like(slurp("$top/.dockerignore"), qr/^\*$/m, 'nothing else is sent');

for my $line (grep { !/--from/ } $file =~ /^COPY (.*)$/mg) {
    my @from = split ' ', $line;

    pop @from;

    for my $path (@from) {
        $copied++;
        $broken .= " $path" if !-e "$top/$path" || !grep { $path eq $_
            || index($path, "$_/") == 0 } keys %sent;
    }
}

ok($copied > 5, 'COPY');
is($broken, '', 'each path of COPY is there, and is sent');
is(join(' ', grep { !-e "$top/$_" } sort keys %sent), '',
    'each that is sent is there');
like($file, qr{^USER 10001:10001$}m, 'not as root');
is(pod($api)->{securityContext}{runAsUser}, 10001, 'as in the Deployment');
like($file, qr{^ENTRYPOINT \["/usr/local/bin/entry"\]\s*\z}m,
    'the entry point is the last word');
like($file, qr{^COPY k8s/entry /usr/local/bin/entry$}m, 'and is there');
ok(-x "$top/k8s/entry", 'and can be run');
like($file, qr{pcap-agent", "--config", "([^"]+)"}, 'the agent has one');

my ($agent_conf) = $file =~ m{pcap-agent", "--config", "([^"]+)"};

ok((grep { $agent_conf eq "$_->{mountPath}/agent.json" }
    @{ $c->{volumeMounts} }), 'and its configuration is mounted');

# a folder with no builder in it, then with one that only says what it is told
mkdir "$work/bin";
symlink $_, "$work/bin/" . s{.*/}{}r for grep { -x } map { ("/bin/$_",
    "/usr/bin/$_") } qw(sed dirname);

my $words = `PATH=$work/bin /bin/sh $top/tools/build-image 2>&1`;

is($? >> 8, 1, 'no builder: it fails');
is($words, "image: needs podman, docker or buildah; none works here\n",
    'and says so in one line');
spew("$work/bin/podman", "#!/bin/sh\nexit 1\n");
spew("$work/bin/buildah", "#!/bin/sh\necho \"\$@\"\n");
chmod 0755, map { "$work/bin/$_" } qw(podman buildah);
is(`PATH=$work/bin IMAGE_PREFIX=x.test/ /bin/sh $top/tools/build-image 2>&1`,
    join('', map { "build -f k8s/Containerfile --target $_ -t"
    . " x.test/pcap-$_:$version .\n" } qw(agent api)),
    'make image takes the one that works');
is(join(' ', $file =~ /^FROM \S+ AS (agent|api)$/mg), 'agent api',
    'which are its targets');

# --- what the README tells to type -------------------------------------------

my $readme = slurp("$top/k8s/README.md");
my $typed = join "\n", $readme =~ /^    (.*)$/mg;

spew("$work/typed.sh", $typed);
is(`dash -n $work/typed.sh 2>&1`, '', 'what is to be typed is sh');
unlike($typed, qr/Authorizaton|rbac\S*beta|resourceNames/,
    'without the mistakes of the seed');

my @unknown = grep { $readme !~ /`$_`/ } slurp("$top/k8s/entry") =~
    /^    \[ '?([A-Z][A-Z_]+)'? ?(?:=>|,) '/mg;

is(join(' ', @unknown), '', 'the README has every variable');
finish();
