# nginx's own refusals are problem documents too: never a page of HTML.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::SSL;
use PcapTest::Lab;


my $lab = lab(fakes => 1, script => sub { $_[0]->usual(1) });
my ($nginx, $fake) = @$lab{qw(nginx fake)};


# Sends bytes as they are and reads what comes.
sub raw
{
    my ($text) = @_;

    my $c = bless { raw => '', body => '', trailers => {} },
        'PcapTest::Client';

    $c->{s} = IO::Socket::SSL->new(PeerAddr => '127.0.0.1', PeerPort => 8443,
        SSL_ca_file => $lab->{certs}->file('ca.crt'),
        SSL_verifycn_name => 'localhost', SSL_verifycn_scheme => 'http')
        or die "TLS: $SSL_ERROR\n";
    $c->{s}->blocking(0);
    $c->send_all($text);
    $c->read_end(10);

    return $c;
}


my $get = "GET /v1/capture/static/demo HTTP/1.1\r\nHost: localhost\r\n"
    . "Authorization: bearer good\r\n";

for my $case (
    [ 414, 'a URI of 40 000 bytes', "GET /v1/capture/static/demo?filter="
        . 'x' x 40_000 . " HTTP/1.1\r\nHost: localhost\r\n\r\n" ],
    [ '431|494|400', 'a header of 40 000 bytes',
        $get . 'X: ' . 'x' x 40_000 . "\r\n\r\n" ],
    [ '431|494|400', 'headers of 300 000 bytes',
        $get . join('', map { "X$_: " . 'x' x 29_000 . "\r\n" } 1 .. 10)
        . "\r\n" ],
    [ 400, 'no host', "GET /v1/status HTTP/1.1\r\n\r\n" ],
    [ 400, 'a bad header', $get . "bad header\r\n\r\n" ],
    [ 400, 'two lengths', "POST /v1/capture/static/demo HTTP/1.1\r\nHost: "
        . "localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc" ],
    [ 413, 'a form of 100 000 bytes', 'POST /v1/capture/static/demo HTTP/1.1'
        . "\r\nHost: localhost\r\nAuthorization: bearer good\r\nContent-Type:"
        . " application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n"
        . "\r\n" . 'filter=' . 'x' x 99_993 ],
    [ 405, 'TRACE', "TRACE /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n" ],
) {
    my ($status, $name, $text) = @$case;
    my $c = raw($text);

    like($c->{status}, qr/^(?:$status)$/, "$name: status");
    is($c->header('content-type'), 'application/problem+json',
        "$name: content type");

    my $doc = eval { JSON::PP::decode_json($c->{body}) };

    is(ref $doc, 'HASH', "$name: JSON") or diag($c->{body});
    is($doc->{status}, $c->{status}, "$name: status member");
}

# a token of 16 000 bytes is a real one
$lab->{uaa}->token('t' x 16_000, scope => ['pcap.capture']);

my $c = $nginx->get('/v1/capture/static/demo?max_packets=3',
    token => 't' x 16_000);

status_is($c, 200, 'a token of 16 000 bytes');
$c->read_end(10);
capture_ok($c, status => 'limit', name => 'long token');

# --- the API's own --------------------------------------------------------

for my $method (qw(PUT DELETE PATCH OPTIONS)) {
    $c = $nginx->fetch('/v1/capture/static/demo', method => $method);
    problem_is($c, 405, undef, "$method of a capture");
    like($c->header('allow') || '', qr/GET.*POST/, "$method: Allow");
}

$c = $nginx->fetch('/v1/captures/' . 'a' x 32, method => 'PATCH');
problem_is($c, 405, undef, 'PATCH of a capture id');

# HEAD has no body, so no problem document; nothing is started
my $before = $fake->events('accepted');

$c = raw("HEAD /v1/capture/static/demo HTTP/1.1\r\nHost: localhost\r\n"
    . "Authorization: bearer good\r\nConnection: close\r\n\r\n");
like($c->{status}, qr/^405$/, 'HEAD');
is($c->{body}, '', 'HEAD has no body');
is(scalar $fake->events('accepted'), $before, 'HEAD starts nothing');

for my $path ('/v1/', '/v1/nothing', '/v1/capture', '/v1/capture/',
    '/v1/capture/bosh2/x', '/v1/captures/zz', '/v1/statusx')
{
    problem_is($nginx->fetch($path), 404, undef, $path);
}

$c = $nginx->fetch('/v1/capture/static/demo', form => 'a=1', headers => [
    [ 'Content-Type', 'application/json' ] ]);
like($c->{status}, qr/^4(?:00|15)$/, 'a form that is none');
problem_is($c, $c->{status}, undef, 'a form that is none');

# --- nginx serves a problem for a location without the API, too ----------


# what would have been right is said
problem_is($nginx->fetch("/v1/captures/$_->[0]", method => $_->[1]), 404,
    qr/: a capture id has 32 lower-case hexadecimal digits/,
    "$_->[1] captures/$_->[0]") for [ 'zzz', 'GET' ], [ 'A' x 32, 'DELETE' ],
    [ 'zzz/token', 'PUT' ], [ '', 'GET' ], [ 'a' x 33, 'GET' ];
problem_is($nginx->fetch("/v1/capture/$_"), 404,
    qr/ here: this API captures by static$/, "capture/$_") for 'bosh/cf',
    'k8s/x', '';
problem_is($nginx->fetch('/v1/captures', method => 'POST', form => ''), 405,
    qr/POST is not allowed here, but GET, HEAD/, 'POST captures');
problem_is($nginx->fetch('/nothing/here'), 404, undef, 'no such location');
like(scalar `curl -gsi http://127.0.0.1:8443/v1/status`,
    qr/^HTTP\S+ 400 .*"detail":"this port speaks HTTPS"/s, 'plain HTTP');
problem_is($nginx->fetch('/_pcap_agent'), 404, undef, 'internal location');
problem_is($nginx->fetch('/_pcap_introspect'), 404, undef,
    'internal location');
agents_quiet('all', $fake);

finish();
