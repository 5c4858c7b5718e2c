# Who may: no token 401, no right 403, and a token endpoint that says no,
# says nonsense, or says nothing is never a yes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = lab(fakes => 2, script => sub { $_[0]->usual(1) }, nginx => {
    pcap => 'pcap_api_issuer https://uaa.test/oauth/token;'
    . ' pcap_api_audience pcap; pcap_api_token_cache 0;'
    . ' pcap_api_introspection_rate 1000 burst=1000;',
    server => 'location /v1/any/ { pcap_api on; pcap_api_introspection'
    . ' /_pcap_introspect; pcap_api_static_scope off; pcap_api_static demo'
    . ' web/0 127.1.0.1:9494 tls_name=pcap-agent; }' });
my ($nginx, $fake, $uaa) = @$lab{qw(nginx fake uaa)};
my $path = '/v1/capture/static/demo';


sub refused
{
    my ($token, $name, %o) = @_;

    my $c = $nginx->fetch($path, token => $token, %o);

    problem_is($c, 401, undef, $name);
    like($c->header('www-authenticate') || '',
        qr/^Bearer\b.*error="invalid_token"/, "$name: WWW-Authenticate");
}


# --- 401 ------------------------------------------------------------------

refused(undef, 'no token');
is(scalar $uaa->seen(), 0, 'nothing was asked');
refused('unknown', 'unknown token');
is(scalar $uaa->seen(), 1, 'the endpoint was asked');
refused('x' x 20_000, 'a token of 20 000 bytes');
refused('to ken', 'space in the token');
refused(undef, 'Basic', headers => [ [ 'Authorization', 'Basic Z29vZDo=' ] ]);
refused(undef, 'empty', headers => [ [ 'Authorization', 'bearer ' ] ]);
is(scalar $uaa->seen(), 1, 'nothing more was asked');

$uaa->token('old', exp => int(time()) - 5, keep => 1);
refused('old', 'expired, though called active');
$uaa->token('refresh', jti => 'abc-r', scope => ['pcap.capture']);
refused('refresh', 'refresh token');
$uaa->token('issuer', iss => 'https://evil.test/oauth/token',
    scope => ['pcap.capture']);
refused('issuer', 'wrong issuer');
$uaa->token('audience', aud => ['cf', 'pcapx'], scope => ['pcap.capture']);
refused('audience', 'wrong audience');

# --- 403 ------------------------------------------------------------------

problem_is($nginx->fetch($path, token => 'bare'), 403, undef, 'no right');
$uaa->token('near', scope => ['pcap.capture.more', 'xpcap.capture',
    'pcap', 'PCAP.CAPTURE']);
problem_is($nginx->fetch($path, token => 'near'), 403, undef,
    'rights that look like it');
$uaa->token('none');
problem_is($nginx->fetch($path, token => 'none'), 403, undef,
    'no scope claim');
is(scalar $fake->events('accepted'), 0, 'no agent was asked');

# --- yes ------------------------------------------------------------------

$uaa->token('a+b/c=~.-_', scope => ['pcap.capture']);
$uaa->token('text', scope => 'openid pcap.capture');
$uaa->token('robot', scope => ['pcap.capture'], user_id => undef,
    user_name => undef, sub => 'ci', client_id => 'ci', cid => 'ci');

for my $token (qw(good admin text robot a+b/c=~.-_)) {
    my $c = $nginx->get($path, token => $token);

    status_is($c, 200, "token $token");
    $c->vanish();
}

my $c = $nginx->get($path, token => undef,
    headers => [ [ 'authorization', 'BEARER   good' ] ]);

status_is($c, 200, 'scheme in capitals');
$c->vanish();
$c = $nginx->get('/v1/any/capture/static/demo', token => 'bare');
status_is($c, 200, 'pcap_api_static_scope off');
$c->vanish();
wait_for(3, sub { !$fake->connections() });

# --- a verdict of one location is none of another --------------------------

# (cached, as both locations of this nginx keep verdicts)
my $strict = PcapTest::Nginx->new(certs => $lab->{certs}, port => 8451,
    groups => [ $fake->target('demo', 'web/0', 0) ], server =>
    'location /v1/strict/ { pcap_api on; pcap_api_introspection'
    . ' /_pcap_introspect; pcap_api_audience nobody; pcap_api_static demo'
    . ' web/0 127.1.0.1:9494 tls_name=pcap-agent; }')->start();

$c = $strict->get($path);
status_is($c, 200, 'where any audience will do');
$c->vanish();
problem_is($strict->fetch('/v1/strict/capture/static/demo'), 401, undef,
    'where another audience is wanted');
$strict->stop();
wait_for(3, sub { !$fake->connections() });

# --- hostile or broken endpoint -------------------------------------------

my $ok = '"active":true,"user_id":"u","user_name":"u","iss":'
    . '"https://uaa.test/oauth/token","aud":["pcap"],"exp":'
    . (time() + 600) . ',"scope":["pcap.capture"]';
my $accepted = $fake->events('accepted');

$uaa->tell(body => "{$ok}");
$c = $nginx->get($path);
status_is($c, 200, 'the crafted answer is right, but for what follows');
$c->vanish();
wait_for(3, sub { $fake->events('accepted') > $accepted });
wait_for(3, sub { !$fake->connections() });
$accepted = $fake->events('accepted');

for my $case (
    [ 'not JSON', body => 'active:true' ],
    [ 'empty', body => '' ],
    [ 'cut', body => "{$ok" ],
    [ 'array', body => "[{$ok}]" ],
    [ 'huge', body => "{$ok,\"pad\":\"" . 'x' x 2_000_000 . '"}' ],
    [ 'deep', body => "{$ok,\"pad\":" . '[' x 30_000 . ']' x 30_000 . '}' ],
    [ 'active is text', body => "{$ok}" =~ s/true/"true"/r ],
    [ 'active is a number', body => "{$ok}" =~ s/true/1/r ],
    [ 'active twice', body => "{$ok,\"active\":false}" ],
    [ 'scope is a number', body => "{$ok}" =~ s/\["pcap.capture"\]/7/r ],
    [ 'scope holds an object', body => "{$ok}" =~ s/"pcap.capture"/{}/r ],
    [ 'scope holds a space', body => "{$ok}"
        =~ s/"pcap.capture"/"x pcap.capture"/r ],
    [ 'exp is text', body => "{$ok}" =~ s/"exp":(\d+)/"exp":"$1"/r ],
    [ 'exp is negative', body => "{$ok}" =~ s/"exp":\d+/"exp":-1/r ],
    [ 'exp is a fraction', body => "{$ok}" =~ s/"exp":(\d+)/"exp":$1.5/r ],
    [ 'user is an object', body => "{$ok}"
        =~ s/"user_(name|id)":"u"/"user_$1":{}/gr ],
    [ 'no user', body => "{$ok}" =~ s/"user_(name|id)":"u",//gr ],
    [ 'name is endless', body => "{$ok}"
        =~ s/"user_name":"u"/'"user_name":"' . 'u' x 100_000 . '"'/er ],
    [ 'not UTF-8', body => "{$ok,\"x\":\"\xff\xfe\"}" ],
    [ '201', status => '201 Created', body => "{$ok}" ],
    [ '204', raw => "HTTP/1.1 204 No Content\r\n\r\n" ],
    [ '302', raw => "HTTP/1.1 302 Found\r\nLocation: https://uaa.test/\r\n"
        . "Content-Length: 0\r\n\r\n" ],
    [ '400', status => '400 Bad Request', body => "{$ok}" ],
    [ '401', status => '401 Unauthorized', body => "{$ok}" ],
    [ '500', status => '500 Oops', body => "{$ok}" ],
    [ 'no HTTP', raw => "hello\r\n\r\n" ],
    [ 'cut body', raw => "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
        . "{$ok" ],
    [ 'cut behind the JSON', raw => "HTTP/1.1 200 OK\r\nContent-Length: "
        . "9999\r\n\r\n{$ok}" ],
    [ 'X-Accel-Redirect', raw => "HTTP/1.1 200 OK\r\nX-Accel-Redirect: "
        . "/v1/status\r\nContent-Length: 0\r\n\r\n" ],
) {
    my ($name, %answer) = @$case;

    $uaa->tell(%answer);
    $c = $nginx->fetch($path);
    like($c->{status}, qr/^(?:401|502|503)$/, "$name: refused");
    problem_is($c, $c->{status}, undef, $name);
}

is(scalar $fake->events('accepted'), $accepted, 'no agent was asked');

# control characters in claims reach no log and no file
$uaa->tell(body => "{$ok}" =~ s/"user_name":"u"/"user_name":"a\\u001b\\nb"/r);
$c = $nginx->get($path);
$c->read_until(2, sub { seen_count($c, 1, 0) }) if $c->{status} == 200;
unlike($c->{body}, qr/a\x1b\nb/, 'user name is cleaned');
$c->vanish();
$uaa->tell();

# --- wrong credentials of the API itself, endpoint down -------------------

for my $case ([ 'pcap:wrong', 'wrong secret' ], [ 'weak:weak-secret',
    'client without uaa.resource' ])
{
    my $other = PcapTest::Nginx->new(certs => $lab->{certs}, port => 8450,
        groups => [ $fake->target('demo', 'web/0', 0) ],
        basic => $case->[0])->start();

    problem_is($other->fetch($path), 503, undef, $case->[1]);
    $other->stop();
}

$uaa->stop();
$c = $nginx->fetch($path);
problem_is($c, 503, undef, 'endpoint down');

my $s = $nginx->fetch('/v1/status', token => undef);

like($s->{status}, qr/^(?:200|503)$/, 'status still answers');

finish();
