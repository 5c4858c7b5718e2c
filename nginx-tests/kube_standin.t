# The stand-in for the API server of a Kubernetes is as strict as it says:
# plain requests against it, with what a good and a bad client sends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::SSL;
use JSON::PP;
use Test::More;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Kube;

my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs, keep => 1);
my $json = JSON::PP->new->canonical;
my $account = 'account-token-1';
my $v3 = '/apis/projectcalico.org/v3';
my $capture = "$v3/namespaces/dev/packetcaptures/web";
my %review = (token => '/apis/authentication.k8s.io/v1/tokenreviews',
    access => '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    authentication => "$v3/authenticationreviews");


sub connected
{
    my (%o) = @_;

    return IO::Socket::SSL->new(PeerAddr => '127.0.0.1', PeerPort =>
        $o{forward} ? 9443 : 6443, SSL_ca_file => $certs->file($o{ca}
        || ($o{forward} ? 'kube-forward-ca.crt' : 'ca.crt')),
        SSL_verifycn_name => $o{name} || ($o{forward} ? 'localhost'
        : 'kubernetes.default.svc'), SSL_verifycn_scheme => 'http',
        Timeout => limit(5));
}


# ( status, document or text ). Options: token (undef: none), body (a
# document or text), type, accept, fields, forward, s (a connection).
sub ask
{
    my ($method, $path, %o) = @_;

    my $body = ref $o{body} ? $json->encode($o{body}) : $o{body} // '';
    my $token = exists $o{token} ? $o{token} : $account;
    my $type = exists $o{type} ? $o{type} : 'application/json';
    my $s = $o{s} || connected(%o) or die "connect: $SSL_ERROR\n";
    my $text = join "\r\n", "$method $path HTTP/1.1",
        'Host: kubernetes.default.svc', 'Accept: ' . ($o{accept}
        || 'application/json'), (defined $token
        ? "Authorization: Bearer $token" : ()), (defined $type
        ? "Content-Type: $type" : ()), 'Content-Length: ' . length $body,
        ($o{s} ? () : 'Connection: close'), @{ $o{fields} || [] }, '', $body;

    $s->print($text);

    my ($head, $got) = ('', '');

    while ($head !~ /\r\n\r\n$/) {
        $s->sysread($head, 1, length $head) or return (0, $head);
    }

    my ($length) = $head =~ /^Content-Length: (\d+)/mi;

    while (length $got < $length) {
        $s->sysread($got, $length - length $got, length $got) or last;
    }

    return (($head =~ m{^HTTP/1\.1 (\d+)})[0],
        $head =~ m{application/json} ? decode_json($got) : $got);
}


# A refusal is a whole Status body.
sub status_is
{
    my ($name, $code, $message, @request) = @_;

    my ($status, $doc) = ask(@request);

    is($status, $code, "$name: $code");
    is_deeply([ ref $doc eq 'HASH' ? @$doc{qw(kind apiVersion status code)}
        : $doc ], [ 'Status', 'v1', 'Failure', $code ], "$name: a Status");
    like(ref $doc eq 'HASH' ? $doc->{message} : '', $message,
        "$name: message");
}


sub review
{
    my ($kind, $spec, %more) = @_;

    my $version = $kind eq 'AuthenticationReview' ? 'projectcalico.org/v3'
        : $kind eq 'TokenReview' ? 'authentication.k8s.io/v1'
        : 'authorization.k8s.io/v1';

    return { kind => $kind, apiVersion => $version, ($spec ? (spec => $spec)
        : ()), %more };
}


sub access
{
    my ($user, %attributes) = @_;

    my ($status, $doc) = ask('POST', $review{access}, body => review(
        'SubjectAccessReview', { resourceAttributes => { group =>
        'projectcalico.org', resource => 'packetcaptures', subresource =>
        'files', verb => 'get', namespace => 'dev', name => 'web',
        %attributes }, %$user }));

    return "$status " . ($doc->{status}{allowed} ? 'yes' : 'no');
}


sub names
{
    my ($doc) = @_;

    return ref $doc->{items} ? join ' ', map { $_->{metadata}{name} }
        @{ $doc->{items} } : $doc->{message};
}


$kube->user('alice', uid => 'u-1', groups => ['team-a'], extra => { scopes =>
    ['a', 'b'] });
$kube->user('narrow', audiences => ['pcap']);

# --- TLS, identity, paths ----------------------------------------------------

ok(!connected(ca => 'wrong-ca.crt'), 'a wrong CA is told');
ok(!connected(name => 'localhost'), 'a wrong name is told');
ok(!connected(forward => 1, ca => 'ca.crt'),
    'the forwarding endpoint has a CA of its own');

status_is('no token', 401, qr/Unauthorized/, 'GET', $capture, token =>
    undef);
status_is('a wrong token', 401, qr/Unauthorized/, 'GET', $capture, token =>
    'x');
status_is('a token of another audience', 401, qr/Unauthorized/, 'GET',
    $capture, token => 'narrow');
status_is('a wrong path', 404, qr/could not find the requested resource/,
    'GET', '/apis/projectcalico.org/v3/nonsense');
status_is('dots', 404, qr/could not find/, 'GET',
    "$v3/namespaces/dev/packetcaptures/..");
status_is('a wrong method', 405, qr/does not allow this method/, 'GET',
    $review{token});
status_is('DELETE', 405, qr/does not allow this method/, 'DELETE', $capture);
status_is('a wrong type', 415, qr/unknown format/, 'POST', $review{token},
    type => 'text/plain', body => review('TokenReview', { token => 'a' }));
status_is('no type', 415, qr/unknown format/, 'POST', $review{token}, type
    => undef, body => review('TokenReview', { token => 'a' }));
status_is('a wrong Accept', 406, qr/media types are accepted/, 'GET',
    $capture, accept => 'text/html');

$kube->rotate('account-token-2');
status_is('a token of yesterday', 401, qr/Unauthorized/, 'GET', $capture);
$account = 'account-token-2';
status_is('the token of today', 404, qr/"web" not found/, 'GET', $capture);

# --- TokenReview -------------------------------------------------------------

my ($code, $doc) = ask('POST', $review{token}, body => review('TokenReview',
    { token => 'alice' }));

is($code, 201, 'TokenReview: 201');
is_deeply($doc->{status}, { authenticated => JSON::PP::true, audiences =>
    ['https://kubernetes.default.svc.cluster.local'], user => { username =>
    'user-alice', uid => 'u-1', groups => [ 'team-a', 'system:authenticated'
    ], extra => { scopes => [ 'a', 'b' ] } } }, 'TokenReview: who it is');

for my $case ([ 'unknown', 'mallory' ], [ 'of another audience', 'narrow' ],
    [ 'for others', 'alice', audiences => ['pcap'] ])
{
    my ($name, $token, %spec) = @$case;

    ($code, $doc) = ask('POST', $review{token}, body => review('TokenReview',
        { token => $token, %spec }));
    is($code, 201, "TokenReview $name: 201");
    ok(!exists $doc->{status}{authenticated}
        && $doc->{status}{error} =~ /^\[invalid bearer token/,
        "TokenReview $name: not authenticated, and why");
}

($code, $doc) = ask('POST', $review{token}, body => review('TokenReview',
    { token => 'narrow', audiences => [ 'other', 'pcap' ] }));
is_deeply($doc->{status}{audiences}, ['pcap'], 'audiences that both have');

for my $case (
    [ 'no token in it', qr/token is required/, review('TokenReview', {}) ],
    [ 'unknown field', qr/unknown field "spec.tokn"/, review('TokenReview',
        { token => 'a', tokn => 'b' }) ],
    [ 'a number', qr/spec.token: not of type string/, review('TokenReview',
        { token => 1 }) ],
    [ 'another kind', qr/no kind "Token" is registered/, { %{ review(
        'TokenReview', { token => 'a' }) }, kind => 'Token' } ],
    [ 'another version', qr/for version "v1"/, { %{ review('TokenReview',
        { token => 'a' }) }, apiVersion => 'v1' } ],
    [ 'a field twice', qr/duplicate field/, '{"kind":"TokenReview",'
        . '"apiVersion":"authentication.k8s.io/v1","spec":{"token":"a",'
        . '"token":"b"}}' ],
    [ 'no JSON', qr/unrecognized/, '{"kind"' ], [ 'nothing', qr/unrecog/, '' ])
{
    status_is("TokenReview, $case->[0]", 400, $case->[1], 'POST',
        $review{token}, body => $case->[2]);
}

# --- AuthenticationReview ----------------------------------------------------

($code, $doc) = ask('POST', $review{authentication}, token => 'alice', body
    => review('AuthenticationReview'));
is($code, 201, 'AuthenticationReview: 201');
is_deeply($doc->{status}, { name => 'user-alice', uid => 'u-1', groups =>
    [ 'team-a', 'system:authenticated' ], extra => { scopes => [ 'a', 'b' ] }
    }, 'AuthenticationReview: who it is');
status_is('AuthenticationReview, bad token', 401, qr/Unauthorized/, 'POST',
    $review{authentication}, token => 'x', body =>
    review('AuthenticationReview'));
status_is('AuthenticationReview, a spec', 400, qr/unknown field "spec"/,
    'POST', $review{authentication}, token => 'alice', body =>
    review('AuthenticationReview', {}));
$kube->change(sub { pop @{ $_[0]{clusters}{cluster}{rules} } });
status_is('AuthenticationReview, no right', 403,
    qr/authenticationreviews\.projectcalico\.org is forbidden: User "user-al/,
    'POST', $review{authentication}, token => 'alice', body =>
    review('AuthenticationReview'));

# --- SubjectAccessReview -----------------------------------------------------

my $alice = { user => 'user-alice' };

is(access($alice), '201 no', 'no rule: not allowed');
$kube->allow(users => ['user-alice'], verbs => ['get'], resources =>
    ['packetcaptures/files'], namespace => 'dev', names => ['web']);
is(access($alice), '201 yes', 'a rule: allowed');
is(access($alice, @$_), '201 no', "but not @$_") for [ verb => 'delete' ],
    [ namespace => 'prod' ], [ namespace => '' ], [ name => 'db' ],
    [ name => '' ], [ subresource => '' ], [ subresource => 'status' ],
    [ group => '' ], [ resource => 'pods' ];
is(access({ user => 'user-bob' }), '201 no', 'nor anybody else');
is(access({ groups => ['team-a'] }), '201 no', 'nor a group');
$kube->allow(groups => ['team-a'], verbs => ['*'], resources =>
    ['packetcaptures/files']);
is(access({ user => 'user-bob', groups => [ 'x', 'team-a' ] }, name => '',
    verb => 'delete'), '201 yes', 'a rule for a group');
$kube->allow(groups => ['team-b'], verbs => ['get'], resources => ['*'],
    names => ['*']);
is(access({ groups => ['team-b'] }), '201 no',
    'resourceNames of "*" are for a capture that is called so');

for my $case (
    [ 'nobody', 422, qr/at least one of user or group/, {
        resourceAttributes => { verb => 'get' } } ],
    [ 'nothing to do', 422, qr/exactly one of/, { user => 'a' } ],
    [ 'two things', 422, qr/exactly one of/, { user => 'a',
        resourceAttributes => {}, nonResourceAttributes => {} } ],
    [ 'unknown field', 400, qr/unknown field "spec.group"/, { user => 'a',
        group => ['b'], resourceAttributes => {} } ],
    [ 'extra is no list', 400, qr/spec\.extra\.k: not a list/, { user => 'a',
        extra => { k => 'v' }, resourceAttributes => {} } ])
{
    status_is("SubjectAccessReview, $case->[0]", $case->[1], $case->[2],
        'POST', $review{access}, body => review('SubjectAccessReview',
        $case->[3]));
}

# --- PacketCapture and its status --------------------------------------------

$kube->capture('dev', 'web', [ [ 'node-1', [ 'a.pcap', 'b.pcap' ],
    'Finished' ], [ 'node-2', ['a.pcap'], 'Capturing' ] ]);
($code, $doc) = ask('GET', $capture);
is($code, 200, 'PacketCapture: 200');
is_deeply([ map { [ @$_{qw(node state)}, @{ $_->{fileNames} } ] }
    @{ $doc->{status}{files} } ], [ [ qw(node-1 Finished a.pcap b.pcap) ],
    [ qw(node-2 Capturing a.pcap) ] ], 'PacketCapture: status');
is($doc->{spec}{selector}, 'all()', 'PacketCapture: spec');
status_is('another namespace', 404,
    qr/packetcaptures\.projectcalico\.org "web" not found/, 'GET',
    $capture =~ s/dev/prod/r);
status_is('reading the status needs a right', 403,
    qr/cannot get resource "packetcaptures\/status"/, 'GET',
    "$capture/status");

$doc->{status}{files}[0]{fileNames} = [];
$kube->conflicts(1);
status_is('somebody was faster', 409, qr/the object has been modified/, 'PUT',
    "$capture/status", body => $doc);
status_is('stale', 409, qr/the object has been modified/, 'PUT',
    "$capture/status", body => $doc);
(undef, my $fresh) = ask('GET', $capture);
$fresh->{status} = $doc->{status};
$fresh->{spec}{selector} = 'app == "x"';
($code, my $put) = ask('PUT', "$capture/status", body => $fresh);
is($code, 200, 'a fresh one is taken');
isnt($put->{metadata}{resourceVersion}, $fresh->{metadata}{resourceVersion},
    'and has another version');
is_deeply($kube->capture_of('dev', 'web')->{status}{files}[0]{fileNames}, [],
    'the status is kept');
is($kube->capture_of('dev', 'web')->{spec}{selector}, 'all()',
    'the spec is not');

for my $case (
    [ 'no version', 422, qr/must be specified for an update/, sub {
        delete $_[0]{metadata}{resourceVersion} } ],
    [ 'a wrong state', 422, qr/Unsupported value/, sub {
        $_[0]{status}{files}[0]{state} = 'Done' } ],
    [ 'another name', 400, qr/does not match the name on the URL/, sub {
        $_[0]{metadata}{name} = 'x' } ],
    [ 'another namespace', 400, qr/does not match the namespace/, sub {
        $_[0]{metadata}{namespace} = 'x' } ],
    [ 'another object', 409, qr/modified/, sub {
        $_[0]{metadata}{uid} = 'x' } ],
    [ 'unknown field', 400, qr/unknown field "status.files\[0\].name"/, sub {
        $_[0]{status}{files}[0]{name} = 'x' } ])
{
    my $bad = decode_json($json->encode($put));

    $case->[3]($bad);
    status_is("status, $case->[0]", $case->[1], $case->[2], 'PUT',
        "$capture/status", body => $bad);
}

# --- pods --------------------------------------------------------------------

my $pods = '/api/v1/namespaces/tigera-packetcapture/pods';

$kube->pod('tigera-packetcapture', "p$_", node => "node-$_", ip =>
    "10.0.0.$_", labels => { app => $_ < 4 ? 'agent' : 'other', n => "$_" })
    for 1 .. 5;

for my $case (
    [ '', 'p1 p2 p3 p4 p5' ],
    [ '?labelSelector=app%3Dagent', 'p1 p2 p3' ],
    [ '?labelSelector=app==agent,n!=2', 'p1 p3' ],
    [ '?labelSelector=n+in+(1,5),app', 'p1 p5' ],
    [ '?labelSelector=n%20notin%20(1,2),!x', 'p3 p4 p5' ],
    [ '?labelSelector=n%3E3', 'p4 p5' ], [ '?labelSelector=x', '' ],
    [ '?labelSelector=app=', '' ], [ '?labelSelector=!app', '' ],
    [ '?fieldSelector=spec.nodeName%3Dnode-2', 'p2' ])
{
    ($code, $doc) = ask('GET', "$pods$case->[0]");
    is("$code " . names($doc), "200 $case->[1]", "pods$case->[0]");
    is($doc->{kind}, 'PodList', 'a PodList');
}

for my $bad ('app=a=b', 'app in (a', 'app in a', 'a b', '=a', 'app,',
    'app=a%20b', 'app=-', 'a//b', '!a=b', 'app=(a)', 'n%3Ex', ',')
{
    status_is("selector $bad", 400, qr/unable to parse requirement/, 'GET',
        "$pods?labelSelector=" . $bad =~ s/ /%20/gr);
}

status_is('a field nobody knows', 400, qr/field label not supported/, 'GET',
    "$pods?fieldSelector=spec.image%3Dx");
status_is('a wrong limit', 400, qr/limit/, 'GET', "$pods?limit=x");
status_is('a wrong continue', 400, qr/continue key is not valid/, 'GET',
    "$pods?continue=eHg");
status_is('pods of others', 403,
    qr/cannot list resource "pods" in API group "" in the namespace "dev"/,
    'GET', '/api/v1/namespaces/dev/pods');

my ($from, @seen) = ('');

for my $page (1 .. 3) {
    ($code, $doc) = ask('GET', "$pods?limit=2$from");
    push @seen, names($doc);
    $from = '&continue=' . ($doc->{metadata}{continue} // '') =~ s/=/%3D/gr;
}

is_deeply(\@seen, [ 'p1 p2', 'p3 p4', 'p5' ], 'pages');
is($doc->{metadata}{continue}, undef, 'the last page says so');
($code, $doc) = ask('GET', "$pods?limit=2");
$kube->expire();
status_is('an old continue', 410, qr/too old/, 'GET', "$pods?limit=2"
    . "&continue=" . $doc->{metadata}{continue} =~ s/=/%3D/gr);

# --- managed clusters --------------------------------------------------------

$kube->managed('east');
$kube->managed('west');
($code, $doc) = ask('GET', "$v3/managedclusters/east");
is("$code $doc->{metadata}{name}", '200 east', 'a managed cluster');
status_is('no such cluster', 404, qr/managedclusters.*"north" not found/,
    'GET', "$v3/managedclusters/north");
$kube->capture('dev', 'web', [ [ 'east-1', ['e.pcap'], 'Finished' ] ],
    cluster => 'east');

for my $case ([ qr/missing "x-cluster-id" header/ ],
    [ qr/missing/, 'X-Cluster-Id: ' ],
    [ qr/multiple/, 'X-Cluster-Id: east', 'X-Cluster-Id: east' ],
    [ qr/cluster not found/, 'X-Cluster-Id: north' ])
{
    my ($text, @fields) = @$case;

    ($code, $doc) = ask('GET', $capture, forward => 1, fields => \@fields);
    is($code, 400, "forward: @fields 400");
    like($doc, $text, "forward: @fields text");
}

my @to = (forward => 1, fields => ['X-Cluster-Id: east']);

($code, $doc) = ask('GET', $capture, @to);
is($doc->{status}{files}[0]{node}, 'east-1', 'what the cluster has');
status_is('clusters are kept apart', 404, qr/"web" not found/, 'GET',
    $capture, forward => 1, fields => ['x-cluster-id: west']);
status_is('forward: no token', 401, qr/Unauthorized/, 'GET', $capture, @to,
    token => undef);
($code, $doc) = ask('POST', $review{token}, @to, body =>
    review('TokenReview', { token => 'alice' }));
ok(!$doc->{status}{authenticated}, 'tokens of home are unknown elsewhere');
$kube->cut('packetcaptures', cluster => 'east');
status_is('rights are kept apart', 403, qr/is forbidden/, 'GET', $capture,
    @to);
is((ask('GET', $capture))[0], 200, 'home has them still');
$kube->rights_again(cluster => 'east');
is((ask('GET', $capture, @to))[0], 200, 'and again there');

# --- rights of the service account -------------------------------------------

for my $case ([ tokenreviews => 'POST', $review{token} ],
    [ subjectaccessreviews => 'POST', $review{access} ],
    [ packetcaptures => 'GET', $capture ],
    [ 'packetcaptures/status' => 'PUT', "$capture/status" ],
    [ managedclusters => 'GET', "$v3/managedclusters/east" ],
    [ pods => 'GET', $pods ])
{
    my ($resource, $method, $path) = @$case;

    $kube->cut($resource);
    status_is("without $resource", 403, qr/is forbidden: User "system:serv/,
        $method, $path, body => $method eq 'GET' ? '' : {});
}

$kube->rights_again();

# --- what is recorded, changes, connections ----------------------------------

my $before = $kube->seen();
my $s = connected();

is((ask('GET', $capture, s => $s))[0], 200, "request $_ of a connection")
    for 1 .. 3;
$s->close();

my @last = ($kube->seen())[ $before .. $before + 2 ];
my %connections = map { $_->{connection} => 1 } @last;

is(keys %connections, 1, 'which stayed open');
is_deeply([ @{ $last[0] }{qw(method path user cluster listener status token)}
    ], [ 'GET', $capture, PcapTest::Kube::ACCOUNT, 'cluster', 'api', 200,
    $account ], 'what a request was');
is_deeply([ map { @{ $_->{violations} } } @last ], [],
    'a good client gets no complaint');

for my $case ([ 'foreign header impersonate-user', 'Impersonate-User: root' ],
    [ 'foreign header x-cluster-id', 'X-Cluster-Id: east' ],
    [ 'accept twice', 'Accept: */*' ])
{
    ask('GET', $capture, fields => [ $case->[1] ]);
    is_deeply(($kube->seen())[-1]{violations}, [ $case->[0] ],
        "complaint: $case->[0]");
}

ask('GET', "$pods?pretty=1");
is_deeply(($kube->seen())[-1]{violations}, ['parameter pretty'],
    'complaint: a parameter');
ask('GET', $capture, body => 'x');
is_deeply(($kube->seen())[-1]{violations}, ['a body of 1'],
    'complaint: a body');

$kube->tell('packetcaptures', status => '500 Internal Server Error', body =>
    'x', type => 'text/plain');
is((ask('GET', $capture))[0], 500, 'an answer that a test wants');
is((ask('GET', "$v3/managedclusters/east"))[0], 200, 'others are as ever');
$kube->tell();
is((ask('GET', $capture))[0], 200, 'until it wants no more');

$kube->stop();
$kube->{forward}->stop();
finish();
