# PcapTest::Manifest: reads Kubernetes manifests strictly: each document
# against the fields that its kind has (those that this project uses, by
# Kubernetes' API reference), since no API server is here to refuse a typo.
# And as little of an API server as kubectl needs to know these kinds.

package PcapTest::Manifest;

use strict;
use warnings;

use Exporter qw(import);
use IO::Socket::INET;
use JSON::PP;
use PcapTest;
use PcapTest::KubeObject;
use PcapTest::Server;

our @EXPORT = qw(manifests_of manifest_faults discovery);

my $S = 'string';
my $MAP = { '*' => $S };
my $META = { name => $S, namespace => $S, labels => $MAP, annotations =>
    $MAP };
my $SELECTOR = { matchLabels => $MAP };
my $HTTP = { httpGet => { path => $S, port => 'any', scheme => $S },
    tcpSocket => { port => 'any' }, periodSeconds => 'int',
    initialDelaySeconds => 'int', timeoutSeconds => 'int' };
my $POD = { serviceAccountName => $S, automountServiceAccountToken => 'bool',
    enableServiceLinks => 'bool', terminationGracePeriodSeconds => 'int',
    hostNetwork => 'bool', hostPID => 'bool', tolerations => [ { operator =>
    $S } ], securityContext => { runAsNonRoot => 'bool', runAsUser => 'int',
    runAsGroup => 'int', fsGroup => 'int', seccompProfile => { type => $S }
    }, containers => [ { name => $S, image => $S, imagePullPolicy => $S,
    args => [$S], env => [ { name => $S, value => $S } ], ports => [ { name
    => $S, containerPort => 'int', protocol => $S } ], readinessProbe =>
    $HTTP, livenessProbe => $HTTP, resources => { requests => $MAP, limits
    => $MAP }, securityContext => { runAsUser => 'int',
    allowPrivilegeEscalation => 'bool', readOnlyRootFilesystem => 'bool',
    capabilities => { drop => [$S], add => [$S] } }, volumeMounts => [ {
    name => $S, mountPath => $S, readOnly => 'bool', mountPropagation => $S
    } ] } ], volumes => [ { name => $S, emptyDir => { medium => $S,
    sizeLimit => $S }, secret => { secretName => $S, defaultMode => 'int',
    optional => 'bool' }, configMap => { name => $S }, hostPath => { path =>
    $S, type => $S } } ] };
my $TEMPLATE = { metadata => { labels => $MAP }, spec => $POD };
my $RULES = { rules => [ { apiGroups => [$S], resources => [$S],
    resourceNames => [$S], verbs => [$S] } ] };
my $BINDING = { roleRef => { apiGroup => $S, kind => $S, name => $S },
    subjects => [ { kind => $S, name => $S, namespace => $S, apiGroup => $S
    } ] };
my $PORT = { port => 'any', protocol => $S };
my $PEER = { namespaceSelector => $SELECTOR, podSelector => $SELECTOR };

# kind: version, plural, whether it is in a namespace, fields
my %KINDS = (
    Namespace => [ 'v1', 'namespaces', 0, {} ],
    ServiceAccount => [ 'v1', 'serviceaccounts', 1,
        { automountServiceAccountToken => 'bool' } ],
    ConfigMap => [ 'v1', 'configmaps', 1, { data => $MAP } ],
    Service => [ 'v1', 'services', 1, { spec => { selector => $MAP, ports =>
        [ { name => $S, port => 'int', targetPort => 'any', protocol => $S
        } ] } } ],
    Deployment => [ 'apps/v1', 'deployments', 1, { spec => { replicas =>
        'int', selector => $SELECTOR, template => $TEMPLATE } } ],
    DaemonSet => [ 'apps/v1', 'daemonsets', 1, { spec => { selector =>
        $SELECTOR, template => $TEMPLATE } } ],
    NetworkPolicy => [ 'networking.k8s.io/v1', 'networkpolicies', 1, { spec
        => { podSelector => $SELECTOR, policyTypes => [$S], ingress => [ {
        from => [$PEER], ports => [$PORT] } ], egress => [ { to => [$PEER],
        ports => [$PORT] } ] } } ],
    ClusterRole => [ 'rbac.authorization.k8s.io/v1', 'clusterroles', 0,
        $RULES ],
    Role => [ 'rbac.authorization.k8s.io/v1', 'roles', 1, $RULES ],
    ClusterRoleBinding => [ 'rbac.authorization.k8s.io/v1',
        'clusterrolebindings', 0, $BINDING ],
    RoleBinding => [ 'rbac.authorization.k8s.io/v1', 'rolebindings', 1,
        $BINDING ],
);


# The documents of YAML, by the parser of others; a key twice is refused.
sub manifests_of
{
    my ($yaml) = @_;

    my $file = spew(work_dir() . '/manifest.yaml', $yaml);
    my $script = spew(work_dir() . '/read_yaml.py', <<'EOF_PY');
import json, sys, yaml


class Strict(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [k.value for k, v in node.value]
        if len(keys) != len(set(keys)):
            raise ValueError("a key twice: %s" % keys)
        return super().construct_mapping(node, deep)


print(json.dumps([d for d in yaml.load_all(open(sys.argv[1]), Strict)]))
EOF_PY
    my $text = `python3 $script $file 2>&1`;

    my $docs = eval { decode_json($text) };

    return $docs ? @$docs : die "$text\n";
}


sub manifest_faults
{
    my ($doc) = @_;

    my $kind = $KINDS{ $doc->{kind} // '' } or return 'no kind that is known';
    my @faults = PcapTest::KubeObject::faults_of($doc, { apiVersion => $S,
        kind => $S, metadata => $META, %{ $kind->[3] } }, '');

    push @faults, "apiVersion $doc->{apiVersion}"
        if ($doc->{apiVersion} // '') ne $kind->[0];
    push @faults, 'no name' if ($doc->{metadata}{name} // '') eq '';
    push @faults, $kind->[2] ? 'no namespace' : 'a namespace'
        if $kind->[2] != defined $doc->{metadata}{namespace};

    return @faults;
}


# Answers kubectl's questions about kinds, at 127.0.0.1; nothing else is
# there. Returns its URL; each request is a line of the file that is given.
sub discovery
{
    my ($port, $log) = @_;

    my $listen = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $port)
        or die "discovery cannot listen: $!\n";

    spew($log, '');

    my $pid = fork_child('discovery', sub {
        PcapTest::Server::serve($listen, sub { answer($_[0], $log) });
    }, keep => [$listen]);

    close $listen;
    at_end(sub { stop_child($pid, 'TERM', 2) });

    return "http://127.0.0.1:$port";
}


sub answer
{
    my ($s, $log) = @_;

    my $text = '';

    while ($text !~ /\r\n\r\n/) {
        $s->sysread($text, 4096, length $text) or return;
    }

    my ($method, $path) = $text =~ m{^(\S+) ([^ ?]+)};
    my ($status, $doc) = ('200 OK', document($path));

    ($status, $doc) = status_of(404, "there is no $path")
        if !$doc || $method ne 'GET';

    open my $fh, '>>', $log or die "$log: $!\n";
    syswrite $fh, "$method $path\n";

    my $body = encode_json($doc);

    $s->print("HTTP/1.1 $status\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\nConnection: close\r\n\r\n"
        . $body);
}


sub document
{
    my ($path) = @_;

    my %versions = map { $_->[0] => 1 } values %KINDS;

    return { kind => 'APIVersions', versions => ['v1'],
        serverAddressByClientCIDRs => [] } if $path eq '/api';

    return { kind => 'APIGroupList', apiVersion => 'v1', groups => [ map {
        my $v = { groupVersion => $_, version => s{.*/}{}r };
        { name => s{/.*}{}r, versions => [$v], preferredVersion => $v }
        } grep { m{/} } sort keys %versions ] } if $path eq '/apis';

    my ($version) = $path =~ m{^/(?:api|apis)/(.+)$} or return undef;

    return !$versions{$version} ? undef : { kind => 'APIResourceList',
        apiVersion => 'v1', groupVersion => $version, resources => [ map { {
        name => $KINDS{$_}[1], singularName => '', namespaced =>
        $KINDS{$_}[2] ? JSON::PP::true : JSON::PP::false, kind => $_, verbs
        => [ 'create', 'get' ] } } grep { $KINDS{$_}[0] eq $version }
        sort keys %KINDS ] };
}


1;
