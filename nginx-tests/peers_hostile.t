# A peer that turned hostile, or is somebody else: whatever it answers, the
# client gets a bounded 503 in our words, the list goes on without it, and no
# token goes to one that is not verified.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Lab;
use PcapTest::Node;
use Time::HiRes qw(time);


my $certs = PcapTest::Certs->new();
my $lab = lab(certs => $certs, no_start => 1, fakes => 1,
    script => sub { $_[0]->usual(2) });
my $fake = $lab->{fake};
my $peer = PcapTest::Uaa->new(certs => $certs, port => peer_port(2),
    cert => 'api');
my $nginx = node(certs => $certs, n => 1, nodes => [1, 2],
    groups => [ $fake->target('demo', 'web/0', 0) ]);
my $id = '0002' . 'a' x 28;
my $path = "/v1/captures/$id";


sub http
{
    my ($status, $body, @fields) = @_;

    return join "\r\n", "HTTP/1.1 $status", 'Connection: close',
        'Content-Length: ' . length $body, @fields, '', $body;
}


sub problem
{
    my ($status, $detail) = @_;

    return encode_json({ type => 'about:blank', title => 'Bad',
        status => $status, detail => $detail });
}


# Everything fails, by the peer's fault.
sub failed_ok
{
    my ($name, $why, %tell) = @_;

    my $seconds = delete $tell{seconds} || 2;

    $peer->tell(%tell);

    my $began = time();
    my @c = map { $nginx->get($path, method => $_, no_wait => 1) }
        qw(GET DELETE);
    my $list = $nginx->fetch('/v1/captures');
    my $doc = eval { decode_json($list->{body}) };

    cmp_ok(time() - $began, '<', limit(3.5), "$name: the list comes soon");
    is($list->{status}, 200, "$name: it is one");
    is(scalar @{ $doc->{captures} }, 0, "$name: nothing of it");
    is_deeply([ map { $_->{node} } @{ $doc->{unreachable} } ], [2],
        "$name: it is named");

    for my $c (@c) {
        $c->read_end(limit($seconds + 1));
        problem_is($c, 503, qr/^node 2, which .* \("\/_pcap_peer"\): .*$why/,
            "$name: $c->{method}");
        is($c->header('retry-after'), 5, "$name: to be tried again");
    }

    cmp_ok(time() - $began, '<', limit($seconds + 2), "$name: all in time");
}

# --- nonsense -------------------------------------------------------------

my $other = '0002' . 'b' x 28;

failed_ok('no HTTP', qr/./, raw => "\0\1\2\r\n\r\n");
failed_ok('no JSON', qr/no JSON/, raw => http('200 OK', '<html>'));
failed_ok('no object', qr/no JSON/, raw => http('200 OK', '[]'));
failed_ok('deep', qr/no JSON/, raw => http('200 OK', '[' x 100000));
failed_ok('twice', qr/no JSON/,
    raw => http('200 OK', "{\"id\":\"$id\",\"id\":\"$id\"}"));
failed_ok('other id', qr/not what/,
    raw => http('200 OK', "{\"id\":\"$other\",\"captures\":[{}]}"));
failed_ok('other node', qr/not what/, raw => http('200 OK',
    '{"captures":[{"id":"0001' . 'a' x 28 . '"}]}'));
failed_ok('cut', qr/cut/, raw => "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n"
    . "Connection: close\r\n\r\n{\"id\":\"$id\"}");
failed_ok('endless', qr/too long/, endless => 64 << 20,
    raw => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{");
failed_ok('elsewhere', qr/./, raw => http('302 Found', '{}',
    'Location: https://localhost:8461/v1/status'));
failed_ok('inside', qr/./, raw => http('200 OK', '{}',
    'X-Accel-Redirect: /_pcap_problem'));
failed_ok('a refusal that is none', qr/not what/,
    raw => http('403 No', problem(200, 'yes')));
failed_ok('silent', qr/does not answer/, silent => 1, seconds => 5.5);

# --- refusals are told ----------------------------------------------------

$peer->tell(raw => http('429 Slow', problem(429, "too\tmany\7"),
    'Retry-After: 17', 'Set-Cookie: a=b'));

my $c = $nginx->fetch($path);

problem_is($c, 429, qr/^too many\?$/, 'a limit over there');
is($c->header('retry-after'), 17, 'its time');
is($c->header('set-cookie'), undef, 'nothing else of it');
$peer->tell(raw => http('401 No', problem(401, 'the token is not valid')));
$c = $nginx->fetch($path);
problem_is($c, 401, qr/^the token is not valid$/, 'a token that is over');
is($c->header('www-authenticate'), 'Bearer error="invalid_token"',
    'as here');

$peer->tell(raw => "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
$c = $nginx->fetch($path, method => 'DELETE');
is("$c->{status} $c->{body}", '204 ', 'an answer without a body');
like((grep { /^DELETE/ } map { $_->{text} } $peer->seen())[-1],
    qr{^DELETE /v1/captures/$id HTTP/1\.1\r\n}, 'the method goes along');

# --- continues ------------------------------------------------------------

my $demo = "/v1/capture/static/demo?continues=$id";
my %capture = (id => $id, own => JSON::PP::true, resolver => 'static',
    target => 'demo');

for my $wrong ([ 404, id => $other ], [ 404, own => JSON::PP::false ],
    [ 404, own => 'true' ], [ 409, target => 'dem' ],
    [ 409, target => ['demo'] ], [ 409, resolver => 'bosh' ])
{
    my ($status, $name, $value) = @$wrong;

    $peer->tell(raw => http('200 OK', encode_json({ %capture,
        $name => $value })));
    problem_is($nginx->fetch($demo), $status, qr/"continues"/,
        "continues: another $name");
}

$peer->tell(raw => http('200 OK', 'what'));
problem_is($nginx->fetch($demo), 404, qr/"continues": node 2, .*cannot be/,
    'continues: nonsense');
is(scalar $fake->events('accepted'), 0, 'no agent was asked');
$peer->tell(raw => http('200 OK', encode_json(\%capture)));
$c = $nginx->get($demo);
is($c->{status}, 200, 'continues: all is as it should be');
stop_capture({ nginx => $nginx }, $c);

# --- who is it? -----------------------------------------------------------

like(($peer->seen())[0]{text}, qr/^authorization: bearer good\r$/im,
    'a verified one gets the token');

for my $conf ([ 'not verified', 'does not verify it',
    { proxy_ssl_verify => 'off' } ], [ 'another name', 'certificate is not',
    { proxy_ssl_name => 'else' } ], [ 'another authority',
    'certificate is not', { proxy_ssl_trusted_certificate =>
    $certs->file('wrong-ca.crt') } ])
{
    my ($name, $why, $lines) = @$conf;
    my $before = () = $peer->seen();

    $nginx->{server} = PcapTest::Node::location($certs, %$lines);
    ok($nginx->reload(), "$name: reload");
    $peer->tell(raw => http('200 OK', encode_json(\%capture)));
    problem_is($nginx->fetch($path), 503,
        qr/^node 2, .*\("\/_pcap_peer"\): .*$why/, $name);

    my @new = $peer->seen();

    splice @new, 0, $before;
    is((grep { $_->{text} =~ /good/ } @new), 0, "$name: it gets no token");
}

agents_quiet('hostile', $fake);

finish();
