# Kubernetes: who asks and what he may. TokenReview, AuthenticationReview,
# OpenID tokens by their keys, impersonation by a forwarder, the right by a
# SubjectAccessReview, other clusters by X-CLUSTER-ID; and what is refused on
# the way. The API server is PcapTest::Kube.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Jwt;
use PcapTest::Kube;
use PcapTest::Lab;
use Time::HiRes qw(time);

my $ISSUER = 'https://dex.example.com/dex';
my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs);
my $file = $kube->token_file();
my $key = PcapTest::Jwt->new('key-1');
my $forger = PcapTest::Jwt->new('key-1');

chmod 0755, work_dir();
chmod 0644, $file;

my $ranges = 'pcap_api_agent_ranges 127.0.0.0/8;'
    . ' pcap_api_kube_node node-1 127.1.0.1:9494;';
my $api = "pcap_api on; pcap_api_kube_files on; $ranges"
    . " pcap_api_kube /_kube forward=/_kube_forward token=$file;";
my $oidc = "keys=/_pcap_token_keys issuer=$ISSUER client_id=tigera-manager";

# a location for each way
my %way = (
    '/' => '',
    '/all/' => '',
    '/old/' => 'pcap_api_kube_authentication authentication_review;',
    '/aud/' => 'pcap_api_kube_audience pcap other;',
    '/email/' => "pcap_api_kube_oidc $oidc user_claim=email;",
    '/prefix/' => "pcap_api_kube_oidc $oidc user_claim=sub user_prefix=u:"
        . ' groups_claim=teams groups_prefix=g:;',
    '/sub/' => "pcap_api_kube_oidc $oidc user_claim=sub;",
    '/bare/' => "pcap_api_kube_oidc $oidc user_claim=sub user_prefix=-;",
    '/only/' => "pcap_api_kube_oidc $oidc;"
        . ' pcap_api_kube_authentication off;',
);
my $lab = lab(certs => $certs, nginx => { http =>
    'pcap_api_introspection_rate 1000 burst=10000;', server =>
    $kube->location('/_kube')
    . join "\n", map { "location $_ { $api $way{$_} }" } sort keys %way });
my ($nginx, $uaa) = @$lab{qw(nginx uaa)};

my $capture = 'dev/cap/files.zip';
my %ask = (token => 'ann');

$uaa->tell(keys => [ $key->jwk() ]);
$kube->user('ann', username => 'ann', groups => ['dev'], extra =>
    { 'example.com/team' => ['blue'] });
$kube->user('eve', username => 'eve');
$kube->user('other', username => 'ann', audiences => ['pcap']);
$kube->user('fwd', username => 'system:serviceaccount:tigera-manager:mgr');
$kube->allow(users => ['ann'], verbs => [qw(get delete)],
    resources => ['packetcaptures/files'], namespace => 'dev');
$kube->capture('dev', 'cap', undef);
$kube->managed('east');
$kube->managed('west', connected => 'False');


sub request
{
    my ($path, %o) = @_;

    return $nginx->fetch($path, %ask, %o);
}


sub answers
{
    my ($name, $c, $status, $like) = @_;

    is($c->{status}, $status, "$name: $status") or diag($c->{body});
    return if !$like;
    is($c->header('content-type'), 'application/problem+json',
        "$name: a problem");
    like(eval { decode_json($c->{body})->{detail} } // '', $like,
        "$name: says what");
}


# What the API server was asked since the last call, as "METHOD kind".
sub asked
{
    our $n ||= 0;

    my @seen = $kube->seen();
    my @new = @seen[$n .. $#seen];

    $n = @seen;

    return @new;
}


sub spec { return decode_json($_[0]{body})->{spec} }


# --- a path ------------------------------------------------------------------

asked();

for my $path (qw(/download/dev/cap /download/dev/cap/files.tar
    /download/dev/cap/files.zip/ /download/dev/files.zip /download/dev
    /download/dev/cap/x/files.zip /files/dev/cap/files.zip /files/dev
    /files/dev/cap/ /packet-capture/dev/cap /download/Dev/cap/files.zip
    /download/dev/c_p/files.zip /download/-dev/cap/files.zip
    /download/dev/cap%2ffiles.zip /download/..%2fdev/cap/files.zip
    /download/%2e%2e/cap/files.zip /download/dev/%00/files.zip
    /download/dev/cap/files.zip?x=1 /packet-capture/download//cap/files.zip),
    '/download/dev/' . 'c' x 254 . '/files.zip',
    '/download/' . 'd' x 64 . '/cap/files.zip',
    '/download/dev/' . 'c' x 4096 . '/files.zip')
{
    my $c = request($path, method => $path =~ m{/files/} ? 'DELETE' : 'GET');
    my $status = $path =~ /%00|%2e%2e|\.\.%2f/ ? qr/^400$|^404$/ : qr/^400$/;

    like($c->{status}, $status, substr("$path: 400", 0, 60))
        or diag($c->{body});
}

answers('a path before a token', request('/download/dev', token => undef),
    400, qr/^request URL is malformed$/);
answers('another method', request("/download/$capture", method => 'DELETE'),
    405, qr/DELETE/);
answers('another method', request('/files/dev/cap'), 405, qr/GET/);

my $paths = decode_json(slurp("$FindBin::Bin/../docs/openapi.json"))->{paths};

for my $path (grep { m{/k8s/|packet-capture} } sort keys %$paths) {
    my $real = $path =~ s/\{\w+\}/x/gr =~ s{^/v1}{/all}r;
    my $c = request($real, method => 'PATCH');

    is("$c->{status} " . join(' ', sort grep { $_ ne 'HEAD' } split /,\s*/,
        $c->header('allow') || ''), '405 ' . join(' ', sort map { uc } keys
        %{ $paths->{$path} }), "$path: methods as documented");
}

is(scalar asked(), 0, 'nobody was asked');

# --- a token -----------------------------------------------------------------

answers('no token', request("/download/$capture", token => undef), 401,
    qr/a token is needed/);
answers('no bearer', request("/download/$capture", token => undef, headers =>
    [ [ Authorization => 'Basic YTpi' ] ]), 401, qr/only/);
is(scalar asked(), 0, 'nobody was asked');

my $c = request("/download/$capture", token => 'nobody');

answers('a bad token', $c, 401, qr/not valid/);
like($c->header('www-authenticate'), qr/invalid_token/, 'and says so');

my ($review, @more) = asked();

is("$review->{method} $review->{path} " . @more,
    'POST /apis/authentication.k8s.io/v1/tokenreviews 0', 'one question');
is_deeply(spec($review), { token => 'nobody' }, 'about the token');

$kube->capture('dev', 'cap', []);
answers('a good one', request("/files/dev/cap", method => 'DELETE'), 403,
    qr/^capture state cannot be determined$/);

my @asked = asked();

is(join(' ', map { "$_->{method} " . $_->{path} =~ s{.*/}{}r } @asked),
    'POST tokenreviews POST subjectaccessreviews GET cap', 'the questions');
is_deeply(spec($asked[1]), { user => 'ann', uid => 'uid-ann', groups =>
    [ 'dev', 'system:authenticated' ], extra => { 'example.com/team' =>
    ['blue'] }, resourceAttributes => { group => 'projectcalico.org',
    resource => 'packetcaptures', subresource => 'files', verb => 'delete',
    namespace => 'dev', name => 'cap' } }, 'the right is that of the user');

answers('without a prefix or with one', request("/packet-capture/files/dev/"
    . 'cap', method => 'DELETE'), 403, qr/cannot be determined/);
answers('no right', request('/files/dev/cap', method => 'DELETE', token =>
    'eve'), 403, qr{^"eve"\ is\ not\ authorized\ to\ delete
    \ packetcaptures/files\ "cap"\ in\ namespace\ "dev"$}x);
answers('no right in that namespace', request('/files/prod/cap',
    method => 'DELETE'), 403, qr/not authorized/);
answers('no such capture', request('/files/dev/none', method => 'DELETE'),
    404, qr/no packetcapture "none" in namespace "dev"/);
is_deeply([ $kube->violations() ], [], 'all were good questions');

# --- audiences, authentication reviews --------------------------------------

answers('no audience of ours', request('/aud/files/dev/none', method =>
    'DELETE'), 401, qr/./);
answers('one of ours', request('/aud/files/dev/none', method => 'DELETE',
    token => 'other'), 404, qr/none/);
asked();
answers('an authentication review', request('/old/files/dev/none', method =>
    'DELETE'), 404, qr/none/);
($review) = asked();
is("$review->{path} $review->{token} $review->{status}",
    '/apis/projectcalico.org/v3/authenticationreviews ann 201',
    'with the token of the user');
answers('one of a bad token', request('/old/files/dev/none', method =>
    'DELETE', token => 'nobody'), 401, qr/not valid/);
$kube->change(sub { @{ $_[0]{clusters}{cluster}{rules} } = grep {
    !$_->{groups} } @{ $_[0]{clusters}{cluster}{rules} } });
answers('one without the right to it', request('/old/files/dev/none',
    method => 'DELETE'), 403, qr/authenticationreviews/);

# --- OpenID ------------------------------------------------------------------

my %claims = (iss => $ISSUER, sub => 'u-1', aud => 'tigera-manager', email =>
    'ann@example.com', groups => ['dev'], teams => ['red'], iat => int time(),
    exp => int(time()) + 600);


# The first right that is asked for, by a token with these claims.
sub by_claims
{
    my ($way, %o) = @_;

    my $signer = delete $o{signer} || $key;
    my %all = (%claims, %o);

    delete $all{$_} for grep { !defined $all{$_} } keys %all;
    asked();

    my $c = request("$way/files/dev/none", method => 'DELETE', token =>
        $signer->token(\%all));
    my ($access) = grep { $_->{path} =~ /subjectaccess/ } asked();

    return ($c, $access ? spec($access) : undef);
}


my ($answer, $spec) = by_claims('/email');

answers('an OpenID token', $answer, 403, qr/^"ann\@example.com" is not/);
is_deeply([ @$spec{qw(user groups extra)} ], [ 'ann@example.com',
    [ 'dev', 'system:authenticated' ], { iss => [$ISSUER], sub => ['u-1'] } ],
    'its user');
(undef, $spec) = by_claims('/prefix');
is_deeply([ @$spec{qw(user groups)} ], [ 'u:u-1', [ 'g:red',
    'system:authenticated' ] ], 'prefixes');
(undef, $spec) = by_claims('/sub');
is($spec->{user}, "$ISSUER#u-1", 'without one: the issuer');
(undef, $spec) = by_claims('/bare', groups => undef);
is_deeply([ @$spec{qw(user groups)} ], [ 'u-1', ['system:authenticated'] ],
    'none, and no groups');

for my $case (
    [ '/email', { signer => $forger }, 401, qr/signature/, 'a forged one' ],
    [ '/email', { exp => int(time()) - 1 }, 401, qr/not valid/, 'an old one' ],
    [ '/email', { exp => undef }, 401, qr/not valid/, 'one without end' ],
    [ '/email', { nbf => int(time()) + 120 }, 401, qr/./, 'an early one' ],
    [ '/email', { aud => 'else' }, 401, qr/not valid/, 'for others' ],
    [ '/email', { email_verified => JSON::PP::false }, 401, qr/not verified/,
        'an address that anybody could have' ],
    [ '/email', { email_verified => JSON::PP::true }, 403, qr/not authorized/,
        'one that is his' ],
    [ '/email', { email => undef }, 401, qr/names its user/, 'no user' ],
    [ '/email', { email => '' }, 401, qr/names its user/, 'an empty user' ],
    [ '/email', { email => ['x'] }, 401, qr/./, 'a list as user' ],
    [ '/email', { groups => 'dev' }, 400, qr/"groups" .* list/, 'groups' ],
    [ '/email', { groups => [ 1 ] }, 400, qr/"groups" .* list/, 'numbers' ],
    [ '/email', { groups => [ 'system:masters' ] }, 401, qr/"system:"/,
        'a group of Kubernetes' ],
    [ '/bare', { sub => 'system:admin' }, 401, qr/"system:"/,
        'a user of Kubernetes' ],
    [ '/only', { iss => 'https://else' }, 401, qr/issuer/, 'another issuer' ],
    [ '/email', { iss => 'https://else' }, 401, qr/not valid/,
        'another issuer, for the API server' ])
{
    my ($way, $change, $status, $like, $name) = @$case;

    answers($name, (by_claims($way, %$change))[0], $status, $like);
}

(undef, $spec) = by_claims('/prefix', sub => 'system:admin', teams =>
    ['system:masters']);
is_deeply([ @$spec{qw(user groups)} ], [ 'u:system:admin',
    [ 'g:system:masters', 'system:authenticated' ] ], 'with a prefix it may');

asked();
answers('a token of the cluster', request('/email/files/dev/none', method =>
    'DELETE'), 404, qr/none/);
is((asked())[0]{path}, '/apis/authentication.k8s.io/v1/tokenreviews',
    'is asked for');

# --- on behalf of somebody ---------------------------------------------------

my @who = ([ 'Impersonate-User' => 'bea' ], [ 'Impersonate-Group' => 'dev' ],
    [ 'impersonate-group' => 'ops' ], [ 'Impersonate-Extra-Acme.com%2Fx' =>
    'y' ], [ 'Impersonate-Uid' => '42' ]);


sub behalf
{
    my ($headers, %o) = @_;

    return request('/files/dev/none', method => 'DELETE', token => 'fwd',
        headers => $headers, %o);
}


answers('no right to', behalf([ $who[0] ]), 403,
    qr/mgr" may not impersonate users "bea"/);

my %imp = (users => [ 'system:serviceaccount:tigera-manager:mgr' ],
    verbs => ['impersonate'], namespace => undef);

delete $imp{namespace};
$kube->allow(%imp, group => '', resources => ['users'], names => ['bea']);
answers('to one user', behalf([ $who[0] ]), 403,
    qr/^"bea" is not authorized/);
answers('to no other', behalf([ [ 'Impersonate-User' => 'cat' ] ]), 403,
    qr/may not impersonate users "cat"/);
answers('to no group', behalf([ @who ]), 403,
    qr/may not impersonate groups "dev"/);
$kube->allow(%imp, group => '', resources => ['groups']);
answers('to no extra', behalf([ @who ]), 403,
    qr/may not impersonate userextras "y"/);
$kube->allow(%imp, group => 'authentication.k8s.io', resources =>
    [ 'userextras/acme.com/x', 'uids' ]);
asked();
answers('to all', behalf([ @who ]), 403, qr/^"bea" is not authorized/);
$spec = spec((grep { $_->{path} =~ /subjectaccess/ } asked())[-1]);
is_deeply({ map { $_ => $spec->{$_} } qw(user uid groups extra) }, { user =>
    'bea', uid => '42', groups => [qw(dev ops system:authenticated)], extra =>
    { 'acme.com/x' => ['y'] } }, 'and is that one');

$kube->allow(%imp, group => '', resources => ['serviceaccounts'], namespace =>
    'prod', names => ['bot']);
answers('a service account', behalf([ [ 'Impersonate-User' =>
    'system:serviceaccount:prod:bot' ] ]), 403,
    qr/^"system:serviceaccount:prod:bot" is not authorized/);
answers('one of another namespace', behalf([ [ 'Impersonate-User' =>
    'system:serviceaccount:dev:bot' ] ]), 403, qr/may not impersonate/);

for my $case (
    [ [ $who[1] ], qr/^missing impersonation headers$/, 'no user' ],
    [ [ $who[3] ], qr/^missing impersonation headers$/, 'extra alone' ],
    [ [ $who[0], $who[0] ], qr/two headers/, 'two users' ],
    [ [ [ 'Impersonate-User' => '' ] ], qr/empty/, 'an empty one' ],
    [ [ [ 'Impersonate-User' => "\xff" ] ], qr/UTF-8/, 'no UTF-8' ],
    [ [ [ 'Impersonate-Extra-' => 'x' ] ], qr/./, 'no key' ],
    [ [ [ 'Impersonate-Else' => 'x' ] ], qr/User, Group/, 'another' ],
    [ [ $who[0], ($who[1]) x 64 ], qr/more than 64/, 'many' ])
{
    answers($case->[2], behalf($case->[0]), 400, $case->[1]);
}

# --- clusters ----------------------------------------------------------------

my %east = (headers => [ [ 'X-Cluster-Id' => 'east' ] ], method => 'DELETE');

asked();
answers('another cluster', request('/files/dev/cap', %east), 403,
    qr/not authorized/);
is(join(' ', map { "$_->{listener}:$_->{cluster}:"
    . $_->{path} =~ s{.*/}{}r } asked()), 'api:cluster:tokenreviews'
    . ' api:cluster:east forward:east:subjectaccessreviews',
    'who he is, here; what he may, there');
$kube->allow(users => ['ann'], verbs => ['delete'], resources =>
    ['packetcaptures/files'], cluster => 'east');
answers('its captures', request('/files/dev/cap', %east), 404, qr/"cap"/);
$kube->capture('dev', 'cap', [ [ 'n', [], 'Finished' ] ], cluster => 'east');
answers('its status', request('/files/dev/cap', %east), 200);
answers('home by its name', request('/files/dev/cap', method => 'DELETE',
    headers => [ [ 'X-CLUSTER-ID' => 'cluster' ] ]), 403, qr/determined/);

for my $case ([ [ 'north' ], 400, qr/no cluster "north"/ ],
    [ [ 'east', 'east' ], 400, qr/multiple/ ], [ [ 'a/../b' ], 400,
    qr/no name/ ], [ [ '' ], 400, qr/no name/ ],
    [ [ 'west' ], 503, qr/not connected/ ])
{
    my ($ids, $status, $like) = @$case;

    answers("cluster @$ids", request('/files/dev/cap', method => 'DELETE',
        headers => [ map { [ 'X-Cluster-Id' => $_ ] } @$ids ]), $status,
        $like);
}

# --- an API server that fails ------------------------------------------------

my %delete = (method => 'DELETE');

for my $what (qw(tokenreviews subjectaccessreviews packetcaptures)) {
    for my $case ([ status => '500 Internal Server Error' ],
        [ body => 'garbage' ], [ body => '[]' ], [ body => '{}' ],
        [ cut => 200 ], [ size => 9_000_000 ], [ raw => "x\r\n\r\n" ])
    {
        $kube->tell($what, @$case);
        answers("$what: $case->[0] " . substr($case->[1], 0, 9),
            request('/files/dev/cap', %delete),
            $what eq 'packetcaptures' && $case->[1] eq '{}' ? 403 : 503,
            qr/API server|determined/);
    }

    $kube->tell();
    $kube->cut($what);
    answers("$what: no right to ask", request('/files/dev/cap', %delete),
        503, qr/service account of this API has not all rights/);
    $kube->rights_again();
    $kube->allow(users => ['ann'], verbs => [qw(get delete)],
        resources => ['packetcaptures/files'], namespace => 'dev');
}

for my $denied (JSON::PP::false, JSON::PP::true) {
    $kube->tell('subjectaccessreviews', body => encode_json({
        apiVersion => 'authorization.k8s.io/v1', kind => 'SubjectAccessReview',
        status => { allowed => JSON::PP::true, denied => $denied } }));
    answers('allowed' . ($denied ? ' and denied' : ''),
        request('/files/dev/cap', %delete), 403,
        $denied ? qr/not authorized/ : qr/determined/);
}

$kube->tell();

my $began = time();

$kube->tell('tokenreviews', silent => 1);
answers('silent', request('/files/dev/cap', %delete), 503,
    qr/does not answer/);
cmp_ok(time() - $began, '<', limit(8), 'it is not waited for long');
$kube->tell();

# --- the token of the service account ---------------------------------------

spew($file, 'account-token-2');
answers('read again only when it is old', request('/files/dev/cap', %delete),
    503, qr/does not take the token of this API/);
$nginx->reload();
answers('the new one', request('/files/dev/cap', %delete), 403,
    qr/determined/);
unlink $file;
$nginx->reload();
answers('none', request('/files/dev/cap', %delete), 503, qr/API server/);
like($nginx->log(), qr/\[error\].*token of API server ".*\(2: No such/,
    'it is logged');

is((grep { $_->{token} && $_->{token} eq 'ann' && $_->{path} !~
    /authenticationreviews/ } $kube->seen()) + 0, 0,
    'the token of a user is no credential of ours');
unlike($nginx->log(), qr/account-token|Bearer /, 'no token in the log');
finish();
