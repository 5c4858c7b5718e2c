# The token check by the UAA's own keys: what is not signed by one of them,
# or not for us, is a 401; what the UAA does not say is never a yes; and it
# is asked no more often than it has to be.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::INET;
use PcapTest::Jwt;
use PcapTest::Lab;
use Time::HiRes qw(time);


my %rsa = map { $_ => PcapTest::Jwt->new($_) } qw(key-1 key-2 key-3);
my $ec = PcapTest::Jwt->new('ec-1', 'EC');
my $forger = PcapTest::Jwt->new('key-1');
my $ec_forger = PcapTest::Jwt->new('ec-1', 'EC');
my $weak = PcapTest::Jwt->new('weak', 'RSA', 1024);
my $key = $rsa{'key-1'};

# each location has keys of its own: one for each thing to show
my @names = qw(etag rotate cold many leaves slow weak unfit empty html list
    over redirect accel cut endless silent status);
my $common = 'pcap_api_issuer ' . PcapTest::Uaa::ISSUER() . ';'
    . ' pcap_api_introspection_rate 1000 burst=1000;';
my $lab = lab(fakes => 1, script => sub { $_[0]->usual(1) }, nginx => {
    check => 'pcap_api_token_keys /_pcap_token_keys;',
    pcap => "$common pcap_api_audience pcap;",
    server => join "\n", map { "location /v1/$_/ { pcap_api on;"
        . ' pcap_api_token_keys /_pcap_token_keys;'
        . ' pcap_api_token_keys_valid ' . (/etag|slow/ ? '1s' : '10m')
        . "; $common pcap_api_static demo web/0 127.1.0.1:9494; }" } @names });
my ($nginx, $fake, $uaa) = @$lab{qw(nginx fake uaa)};
my $unknown = '/captures/' . '0' x 32;
my $serial = 0;


sub publish
{
    my ($etag, @keys) = @_;

    $uaa->tell(keys => [ map { $_->jwk() } @keys ], etag => $etag);
}


sub claims
{
    my (%change) = @_;

    my %all = (iss => PcapTest::Uaa::ISSUER(), sub => 'u-1',
        user_id => 'u-1', user_name => 'alice', cid => 'cf', zid => 'uaa',
        client_id => 'cf', azp => 'cf', jti => 'id-' . ++$serial,
        grant_type => 'password', origin => 'uaa', aud => [qw(cf pcap)],
        scope => [qw(pcap.capture openid)], iat => int(time()),
        exp => int(time()) + 600, %change);

    delete @all{ grep { ref $all{$_} eq 'CODE' } keys %all };

    return \%all;
}


# A DELETE of no capture: 404 when the token is good, no agent is needed.
sub try
{
    my ($token, $where, %o) = @_;

    return $nginx->fetch('/v1' . ($where ? "/$where" : '') . $unknown,
        method => 'DELETE', token => $token, %o);
}


sub good
{
    my ($token, $name, $where) = @_;

    my $c = try($token, $where);

    is($c->{status}, 404, "$name: token is taken") or diag($c->{body});
}


sub refused
{
    my ($token, $name, $detail, $where) = @_;

    my $c = try($token, $where);

    problem_is($c, 401, $detail, $name);
    like($c->header('www-authenticate') || '',
        qr/^Bearer\b.*error="invalid_token"/, "$name: WWW-Authenticate");
}


sub fetches { return scalar $uaa->key_requests() }


# --- good -----------------------------------------------------------------

publish('"1"', $key, $ec);

for my $case ([ 'RS256', $key ], [ 'ES256', $ec ]) {
    my $c = $nginx->get('/v1/capture/static/demo',
        token => $case->[1]->token(claims()));

    status_is($c, 200, "a capture by $case->[0]");
    $c->vanish();
}

good($key->token(claims(scope => 'openid pcap.capture', aud => 'pcap')),
    'scope and aud as texts');
good($key->token(claims(map { $_ => sub { } } qw(jti nbf iat scope user_id
    user_name))), 'few claims');
is(fetches(), 1, 'all with one fetch of the keys');
is(scalar $uaa->seen(), 1, 'and no introspection');
problem_is($nginx->fetch('/v1/capture/static/demo',
    token => $key->token(claims(scope => ['openid']))), 403, undef,
    'no right');

my $long = $key->token(claims(pad => 'x' x 11_500));

ok(length $long > 15_500 && length $long <= 16_384, 'a token of '
    . length $long);
good($long, 'a long token');

# --- not good -------------------------------------------------------------

refused($key->token(claims(pad => 'x' x 13_000)), 'a huge token',
    qr/16384/);
refused('opaque', 'no JWT', qr/three parts/);
refused($key->token(claims(exp => int(time()) - 1)), 'expired');
refused($key->token(claims(exp => sub { })), 'no exp');
refused($key->token(claims(nbf => int(time()) + 300)), 'not yet');
refused($key->token(claims(iss => 'https://evil.test/oauth/token')),
    'wrong issuer');
refused($key->token(claims(iss => sub { })), 'no issuer');
refused($key->token(claims(aud => [qw(cf pcapx)])), 'wrong audience');
refused($key->token(claims(aud => sub { })), 'no audience');
refused($key->token(claims(jti => 'abc-r')), 'refresh token');
refused($forger->token(claims()), 'another RSA key of that kid',
    qr/signature is wrong/);
refused($ec_forger->token(claims()), 'another EC key of that kid',
    qr/signature is wrong/);
refused($key->token(claims(), header => { kid => 'ec-1' }),
    'RS256 with the kid of an EC key', qr/algorithm/);
refused($key->token(claims(), header => { alg => 'none' }, hmac => ''),
    'alg none', qr/RS256 or ES256/);
refused($key->token(claims(), hmac => ''), 'no signature', qr/signature/);
refused($key->token(claims(), header => { alg => 'HS256' },
    hmac => $key->pem()), 'HS256 by the public key', qr/RS256 or ES256/);
refused($key->token(claims(), hmac => $key->pem()),
    'the same, called RS256', qr/signature/);
refused($key->token(claims(), header => { crit => ['exp'] }), 'crit',
    qr/crit/);
refused($key->token(claims(), without => ['kid']), 'no kid', qr/kid/);
refused($key->token('{"iss":"a","iss":"b"}'), 'a claim twice', qr/twice/);
refused($key->token(claims()) . '=', 'padding', qr/form/);

my $taken = $key->token(claims());

good($taken, 'a token');
refused(substr($taken, 0, -1), 'a character less', qr/form/);
refused($taken =~ s/\.(.)/'.' . ($1 eq 'e' ? 'f' : 'e')/er, 'another payload',
    qr/signature is wrong/);

# a field of the wrong type
for my $value (7, {}, undef) {
    my $shown = JSON::PP->new->allow_nonref->encode($value);

    refused($key->token(claims(), header => { $_ => $value }),
        "$_ of the header is $shown", qr/unexpected type/)
        for qw(jku kid alg);
    refused($key->token(claims($_ => $value)), "$_ is $shown",
        qr/unexpected type/)
        for qw(scope iss jti sub aud user_id user_name cid),
        defined $value && !ref $value ? () : qw(exp nbf iat);
}

refused($key->token(claims(exp => time() + 600.5)), 'exp is a fraction',
    qr/unexpected type/);
refused($key->token(claims(exp => '' . int(time() + 600))), 'exp is a text',
    qr/unexpected type/);
refused($key->token(claims(scope => ['pcap.capture', 7])),
    'scope holds a number', qr/unexpected type/);

# --- jku ------------------------------------------------------------------

my $evil = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1',
    Proto => 'tcp') or die "listen: $!\n";
my $jku = 'https://127.0.0.1:' . $evil->sockport() . '/token_keys';

refused($forger->token(claims(), header => { jku => $jku, x5u => $jku,
    jwk => $forger->jwk() }), 'jku, x5u and jwk of an attacker',
    qr/signature is wrong/);
is(fetches(), 1, 'still one fetch');
refused($forger->token(claims(), header => { jku => $jku, kid => 'evil' }),
    'the same with a kid of its own', qr/not known/);
is(fetches(), 2, 'an unknown kid is asked for once, at the UAA');
refused($forger->token(claims(), header => { kid => "evil$_" }),
    "unknown kid $_", qr/not known/) for 1 .. 3;
is(fetches(), 2, 'not again within a minute');
good($key->token(claims()), 'and the known ones work');
ok(!IO::Select->new($evil)->can_read(0), 'nobody came to the attacker');

# --- a new key ------------------------------------------------------------

good($key->token(claims()), 'the old key', 'rotate');

my $before = fetches();

# the ETag stays: it is not asked for by it
publish('"1"', $rsa{'key-2'});
good($rsa{'key-2'}->token(claims()), 'the new key', 'rotate');
is(fetches(), $before + 1, 'by one fetch');
unlike(($uaa->key_requests())[-1], qr/if-none-match/i, 'of all the keys');
refused($key->token(claims()), 'the old key', qr/not known/, 'rotate');
publish('"3"', $rsa{'key-3'});
refused($rsa{'key-3'}->token(claims()), 'a third key', qr/not known/,
    'rotate');
is(fetches(), $before + 1, 'no second fetch within a minute');
publish('"1"', $key, $ec);

# --- the ETag -------------------------------------------------------------

good($key->token(claims()), 'first', 'etag');
unlike(($uaa->key_requests())[-1], qr/if-none-match/i, 'without an ETag');
$before = fetches();
ok(wait_for(5, sub {
    my $c = try($key->token(claims()), 'etag');
    return $c->{status} == 404 && fetches() > $before;
}), 'asked again when they are old');
like(($uaa->key_requests())[-1], qr/^if-none-match: "1"\r$/im, 'by the ETag');
good($ec->token(claims()), '304 keeps the keys', 'etag');
publish('"2"', $rsa{'key-2'});
ok(wait_for(5, sub {
    try($rsa{'key-2'}->token(claims()), 'etag')->{status} == 404
}), 'another ETag brings other keys');

# --- the UAA slow ---------------------------------------------------------

publish('"1"', $key);
$uaa->tell(delay => 1);
$before = fetches();

my @clients = map { $nginx->get('/v1/many' . $unknown, no_wait => 1,
    method => 'DELETE', token => $key->token(claims())) } 1 .. 8;

$_->read_end(10) for @clients;
is(scalar(grep { $_->{status} == 404 } @clients), 8, 'eight at once');
is(fetches(), $before + 1, 'one fetch serves them all');

my @late = map { $nginx->get('/v1/leaves' . $unknown, no_wait => 1,
    method => 'DELETE', token => $key->token(claims())) } 1 .. 2;

wait_for(5, sub { fetches() >= $before + 2 });
$late[0]->vanish(1);
$late[1]->read_end(10);
is($late[1]->{status}, 404, 'who waits for one that leaves asks itself');

$uaa->tell(delay => 0);
good($key->token(claims()), 'before it is slow', 'slow');
$uaa->tell(delay => 4);
$before = fetches();

my $slowest = 0;

ok(wait_for(8, sub {
    my $start = time();
    my $c = try($key->token(claims()), 'slow');
    my $took = time() - $start;

    $slowest = $took if $took > $slowest;

    return $c->{status} != 404 ? -1 : $nginx->log() =~ /go on being used/;
}) == 1, 'old keys go on being used, and the log says so');
cmp_ok(fetches() - $before, '<=', 1, 'it is asked once');
cmp_ok($slowest, '<', limit(3.5), 'nobody waits for long');
$uaa->tell(delay => 0);

# --- the UAA down ---------------------------------------------------------

$uaa->stop();
problem_is(try($key->token(claims()), 'cold'), 503,
    qr{token endpoint \(/_pcap_token_keys\): no connection},
    'down, and no keys');
good($key->token(claims()), 'down, and keys', '');
good($key->token(claims()), 'down, and old keys', 'slow');
problem_is(try($key->token(claims(), header => { kid => 'new' }), 'slow'),
    503, qr/no connection/, 'down, and a kid that is not known');
$uaa->start();
ok(wait_for(5, sub {
    try($key->token(claims()), 'cold')->{status} == 404
}), 'up again');

# --- what it says is nonsense ---------------------------------------------

my $ok = JSON::PP->new->canonical->encode({ keys => [ $key->jwk() ] });

for my $case (
    [ 'weak', body => JSON::PP->new->encode({ keys => [ $weak->jwk() ] }) ],
    [ 'unfit', body => JSON::PP->new->encode({ keys => [
        { kty => 'oct', k => 'AAAA', kid => 'key-1', alg => 'HS256' },
        $key->jwk(use => 'enc'), $key->jwk(alg => 'RS512'), 7, undef ] }) ],
    [ 'empty', body => '' ],
    [ 'html', body => '<html>Hello</html>' ],
    [ 'list', body => '[' . $ok . ']' ],
    [ 'over', body => '{"keys":[' . ',' x 10 . ']}' ],
    [ 'redirect', raw => "HTTP/1.1 302 Found\r\nLocation: $jku\r\n"
        . "Content-Length: 0\r\n\r\n" ],
    [ 'accel', raw => "HTTP/1.1 304 Not Modified\r\n\r\n" ],
    [ 'cut', raw => "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n$ok" ],
    [ 'endless', raw => "HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n"
        . $ok, endless => 52_428_800 ],
    [ 'status', status => '500 Oops', body => $ok ],
    [ 'silent', silent => 1 ],
) {
    my ($name, %answer) = @$case;
    my $start = time();

    $uaa->tell(%answer);
    problem_is(try($key->token(claims()), $name), 503,
        qr{/_pcap_token_keys}, "nonsense: $name");
    cmp_ok(time() - $start, '<', limit(8), "$name: in time");
}

ok(!IO::Select->new($evil)->can_read(0), 'no redirect was followed');
good($key->token(claims()), 'what was known is kept', '');

finish();
