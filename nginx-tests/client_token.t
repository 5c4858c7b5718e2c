# The API's own token for introspection: asked for once, renewed in time,
# replaced when the token endpoint takes it no more, shown to nobody else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use MIME::Base64 qw(encode_base64);
use PcapTest::Lab;
use Time::HiRes qw(time);


my $ca = work_dir() . '/certs/ca.crt';
my @common = ('internal;', 'proxy_method POST;',
    'proxy_pass_request_headers off;', 'proxy_set_header Content-Type'
    . ' application/x-www-form-urlencoded;', 'proxy_set_header Accept'
    . ' application/json;', 'proxy_http_version 1.1;',
    'proxy_connect_timeout 3s;', 'proxy_read_timeout 8s;');
my $verify = "proxy_ssl_verify on; proxy_ssl_trusted_certificate $ca;"
    . ' proxy_ssl_name uaa.test;';


# The location that gets a token with these credentials.
sub client_location
{
    my ($name, $credentials, $tls) = @_;

    return join ' ', "location = /_client_$name {", @common,
        'proxy_pass https://127.0.0.1:8444/oauth/token;', $tls || $verify,
        'proxy_set_body grant_type=client_credentials;',
        'proxy_set_header Authorization "Basic '
        . encode_base64($credentials, '') . '";', '}';
}


# Each location has a token of its own: one for each thing to show.
my @names = qw(first renew revoked young once gate leaves old wrong weak
    anybody empty html chars mac forever no_end minus text long twice down
    cut huge nothing);
my $lab = lab(fakes => 1, script => sub { $_[0]->usual(1) }, nginx => {
    server => join "\n",
    join(' ', 'location = /_introspect {', @common, $verify,
        'proxy_pass https://127.0.0.1:8444/introspect;',
        'proxy_set_body token=$pcap_token;',
        'proxy_set_header Authorization "Bearer $pcap_client_token"; }'),
    (map { client_location(@$_) } ['good', 'pcap:pcap-secret'],
        ['wrong', 'pcap:secret'], ['weak', 'weak:weak-secret'],
        ['anybody', 'pcap:pcap-secret', 'proxy_ssl_verify off;']),
    (map { my $client = /^(?:wrong|weak|anybody)$/ ? $_ : 'good';
        "location /v1/$_/ { pcap_api on; pcap_api_token_cache 0;"
        . ' pcap_api_introspection /_introspect;'
        . " pcap_api_client_token /_client_$client;"
        . ' pcap_api_introspection_rate 1000 burst=1000;'
        . ' pcap_api_static demo web/0 127.1.0.1:9494; }' } @names) });
my ($nginx, $fake, $uaa) = @$lab{qw(nginx fake uaa)};
my $unknown = 'captures/' . '0' x 32;


# A request that needs a valid token and nothing else.
sub ask
{
    my ($name, %o) = @_;

    return $nginx->fetch("/v1/$name/$unknown", method => 'DELETE', %o);
}


sub valid { problem_is(ask($_[0]), 404, undef, $_[1]) }

sub bearers
{
    return map { $_->{text} =~ /^authorization: Bearer (\S+)\r$/im }
        $uaa->seen();
}

# --- one for all ----------------------------------------------------------

valid('first', 'the first request');
is(scalar $uaa->client_requests(), 1, 'a token was asked for');
valid('first', 'the second request');
problem_is(ask('first', token => 'nobody'), 401, undef, 'no good token');
is(scalar $uaa->client_requests(), 1, 'it serves them all');

my @used = bearers();

is(scalar @used, 3, 'each introspection carries it');
like($used[0], qr/^pcap\.[\d.]+$/, 'as it is');
ok(!grep({ $_ ne $used[0] } @used), 'and no other');

my $c = $nginx->get('/v1/first/capture/static/demo');

status_is($c, 200, 'a capture');
$c->read_until(5, sub { seen_count($c, 0, 3) });
$c->vanish();

# --- renewed in time; the old one does meanwhile --------------------------

$uaa->tell(client => { life => 4 });
valid('renew', 'one for 4 s');

my $before = $uaa->client_requests();

ok(wait_for(10, sub { ask('renew'); $uaa->client_requests() > $before }),
    'it is renewed');
cmp_ok(time() - ($uaa->seen())[-1]{t}, '<', 4, 'lately');
is($uaa->client_requests(), $before + 1, 'once');

$uaa->tell(client => { life => 4 });
valid('old', 'another one for 4 s');
$uaa->tell(client => { status => '500 Internal Server Error', body => '{}' });
$before = $uaa->client_requests();
ok(wait_for(10, sub {
    my $status = ask('old')->{status};
    ok(0, "the old one does: $status") if $status != 404
        && $uaa->client_requests() == $before;
    $uaa->client_requests() > $before
}), 'renewal is tried');
like($nginx->log(), qr/client token of \S+: status 500, .*is known goes on/,
    'and its failure told');
ok(wait_for(10, sub { ask('old')->{status} == 503 }),
    'when the old one is over: 503');
$uaa->tell(client => {});
ok(wait_for(5, sub { ask('old')->{status} == 404 }), 'and then on again');

# --- taken back -----------------------------------------------------------

valid('revoked', 'a token');
$before = $uaa->client_requests();
ok(wait_for(6, sub { time() - ($uaa->seen())[-1]{t} > 3.2 }), 'later');
$uaa->tell(client => { since => time() });
valid('revoked', 'it was taken back: asked again with a new one');
is($uaa->client_requests(), $before + 1, 'one new one');

$uaa->tell(client => {});
valid('young', 'a young token');
$before = $uaa->client_requests();
$uaa->tell(client => { since => time() + 600 });
problem_is(ask('young'), 503, qr/refuses the credentials/,
    'is refused: a newer one would be as well');
is($uaa->client_requests(), $before, 'and is not asked for');
$uaa->tell(client => {});

# --- many at once ---------------------------------------------------------

$before = $uaa->client_requests();
$uaa->tell(client => { gate => 1 });

my @many = map { $nginx->get("/v1/gate/$unknown", method => 'DELETE',
    no_wait => 1) } 1 .. 8;

ok(wait_for(5, sub { $uaa->client_requests() > $before }), 'eight at once');
$uaa->tell(client => {});
$_->read_end(10) for @many;
is(join(' ', map { $_->{status} } @many), join(' ', (404) x 8), 'all get on');
is($uaa->client_requests(), $before + 1, 'with one token');

# who asked for it leaves: another one asks
$before = $uaa->client_requests();
$uaa->tell(client => { gate => 1 });
$many[0] = $nginx->get("/v1/leaves/$unknown", method => 'DELETE',
    no_wait => 1);
ok(wait_for(5, sub { $uaa->client_requests() > $before }), 'one asks');
$many[1] = $nginx->get("/v1/leaves/$unknown", method => 'DELETE',
    no_wait => 1);
$many[0]->vanish();
ok(wait_for(5, sub { $uaa->client_requests() > $before + 1 }),
    'and leaves: the next one asks');
$uaa->tell(client => {});
$many[1]->read_end(10);
problem_is($many[1], 404, undef, 'and gets on');

# --- no token -------------------------------------------------------------

problem_is(ask('wrong'), 503, qr{/_client_wrong\): it refuses the credentials},
    'wrong credentials');
problem_is(ask('weak'), 503, qr/refuses the credentials/,
    'no authority uaa.resource');
problem_is(ask('anybody'), 503, qr/proxy_ssl_verify on/, 'not verified');

my %bodies = (
    empty => ['', qr/no bearer token/],
    html => ['<html>', qr/no bearer token/],
    chars => ['{"access_token":"a\r\nX: b","token_type":"bearer",'
        . '"expires_in":9}', qr/its token is no bearer token/],
    mac => ['{"access_token":"a","token_type":"mac","expires_in":9}',
        qr/no bearer token/],
    forever => ['{"access_token":"a","token_type":"bearer"}', qr/expires_in/],
    no_end => ['{"access_token":"a","token_type":"bearer","expires_in":"9"}',
        qr/expires_in/],
    minus => ['{"access_token":"a","token_type":"bearer","expires_in":-9}',
        qr/expires_in/],
    text => ['{"access_token":["a"],"token_type":"bearer","expires_in":9}',
        qr/no bearer token/],
    long => ['{"access_token":"' . 'a' x 16385 . '","token_type":"bearer",'
        . '"expires_in":9}', qr/its token is no bearer token/],
    twice => ['{"access_token":"a","access_token":"b","token_type":"bearer",'
        . '"expires_in":9}', qr/no bearer token/],
);

for my $name (sort keys %bodies) {
    $uaa->tell(client => { body => $bodies{$name}[0] =~ s/\r\n/\\r\\n/r });
    problem_is(ask($name), 503, $bodies{$name}[1], "answer: $name");
}

my $head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

for my $case ([ 'cut', qr/is cut|no bearer token/, raw => $head
        . 'Content-Length: 90' . "\r\n\r\n" . '{"access_token":"a"' ],
    [ 'huge', qr/too long/, raw => "$head\r\n{\"x\":\"",
        endless => 50 << 20 ],
    [ 'nothing', qr/no connection to it/, raw => '' ])
{
    my ($name, $detail, %change) = @$case;

    $uaa->tell(client => \%change);
    problem_is(ask($name), 503, $detail, "answer: $name");
}

$uaa->tell(client => {});
valid('empty', 'right after: on again') if wait_for(3,
    sub { ask('empty')->{status} == 404 });

$uaa->stop();
problem_is(ask('down'), 503, qr/no connection to it/, 'down');
unlike($nginx->log(), qr/\Q$used[0]\E|pcap-secret/, 'no token in the log');
agents_quiet('all', $fake);

finish();
