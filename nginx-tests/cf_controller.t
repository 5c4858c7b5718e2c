# A Cloud Controller that is slow, down, hostile, or somebody else: 503 that
# names it, never a crash, never a wait without end; what it refuses itself;
# /v1/status; several Cloud Foundries.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::CfLab;
use Time::HiRes qw(time);


my $lab = cf_lab(script => sub {
    my ($c) = @_;

    $c->begin();
    $c->traffic(3);
    $c->end();
}, nginx => { conns => 256, pcap =>
    'pcap_api_introspection_rate 1000 burst=1000;', server => <<'EOF_SERVER' });
        location /v1/note/ {
            pcap_api on;
            pcap_api_introspection /_pcap_introspect;
            pcap_api_cf /_pcap_cc;
            pcap_api_cf_opt_in annotation capture;
            pcap_api_agent_ranges 127.1.0.0/16;
        }
        location /staging/v1/ {
            pcap_api on;
            pcap_api_introspection /_pcap_introspect;
            pcap_api_cf /_pcap_staging;
            pcap_api_agent_ranges 127.1.0.0/16;
        }
        location = /_pcap_staging {
            internal;
            proxy_pass https://127.0.0.1:9025$pcap_cc_uri;
            proxy_http_version 1.1;
            proxy_pass_request_headers off;
            proxy_set_header Authorization "bearer $pcap_bearer";
            proxy_ssl_verify off;
        }
EOF_SERVER
my ($nginx, $fake, $cc) = @$lab{qw(nginx fake cc)};
my @dev = (token => 'dev');
my $json = JSON::PP->new->canonical->allow_nonref;


sub refused
{
    my ($name, $detail, %o) = @_;

    my $before = $fake->events('accepted');
    my $start = time();
    my $c = $nginx->fetch($o{path} || path_of(), @dev);

    problem_is($c, 503,
        qr/Cloud Controller of "\/_pcap_\w+" failed: .*$detail/, $name);
    cmp_ok(time() - $start, '<', limit(7), "$name: in time");
    is(scalar $fake->events('accepted'), $before, "$name: no agent asked");

    return time() - $start;
}


sub works
{
    my ($name) = @_;

    $cc->tell();
    capture_ok($nginx->fetch(path_of(), @dev), status => 'complete',
        name => $name);
}


sub status
{
    my ($base) = @_;

    my $c = $nginx->fetch(($base || '/v1') . '/status', token => undef);
    my $doc = eval { JSON::PP::decode_json($c->{body}) } || {};

    return ($c->{status}, $doc, join ' ', @{ $doc->{resolvers} || [] });
}


# --- status ------------------------------------------------------------------

my ($code, $doc, $resolvers) = status();

is($code, 200, 'status: 200');
is($resolvers, 'cf', 'status: cf is listed');
ok($doc->{healthy}, 'status: healthy');
is(join(' ', map { $_->{path} } $cc->seen()), '/', 'probed by GET /');
is(($cc->seen())[0]{auth}, 'bearer ', 'without a token');
status() for 1 .. 5;
is(scalar $cc->seen(), 1, 'not again within 10 s');

for my $body ('{}', '[]', '{"links":{}}', '{"links":{"cloud_controller_v3":'
    . 'null}}', '{"links":{"cloud_controller_v3":{"href":1}}}', 'x')
{
    $nginx->reload();
    $cc->tell('root', body => $body);
    is((status())[0], 503, "status of $body");
}

works('a Cloud Controller that works');
is((status())[0], 200, 'a use that worked counts');

# --- what it may answer, to each question ------------------------------------

my %not = (HTML => [ type => 'text/html', body => '<html></html>' ],
    nothing => [ body => '' ], list => [ body => '[]' ], null => [ body =>
    'null' ], half => [ body => '{"guid":"' ], twice => [ body =>
    '{"enabled":true,"enabled":false}' ], values => [ many =>
    [ '[]', 300_000 ] ], deep => [ body => '[' x 9999 ],
    NUL => [ body => '{"a":"\u0000"}' ]);
my %questions = (permissions => path_of(), app => path_of(), ssh_enabled =>
    path_of(), processes => path_of(), stats => path_of());

for my $question (sort keys %questions) {
    for my $name (sort keys %not) {
        $cc->tell($question, @{ $not{$name} });
        refused("$question: $name", $name eq 'values' ? qr/not what|too long/
            : qr/not what a Cloud Controller says/);
    }

    for my $case (
        [ '50 MB', qr/too long/, size => 50 << 20 ],
        [ 'cut', qr/cut|not what/, cut => 20 ],
        [ '302', qr/status 302/, status => '302 Found', body => '', fields =>
            ['Location: https://127.0.0.1:9024/v3/info'] ],
        [ '500', qr/status 500/, status => '500 Internal Server Error', body
            => '{"errors":[{"code":10001,"title":"UnknownError"}]}' ],
        [ '503', qr/status 503/, status => '503 Service Unavailable', body =>
            '{"errors":[{"code":10015,"title":"CF-ServiceUnavailable"}]}' ],
        [ '401 of somebody else', qr/status 401/, status =>
            '401 Unauthorized', body => 'no' ],
        [ '403 of somebody else', qr/status 403/, status => '403 Forbidden',
            type => 'text/html', body => '<h1>WAF</h1>' ],
        [ '404 of a router', qr/status 404/, status => '404 Not Found',
            type => 'text/plain', body => '404 Not Found: Requested route'
            . " ('api.sys.test') does not exist." ],
        [ '404 of a path', qr/status 404/, status => '404 Not Found', body =>
            '{"errors":[{"code":10000,"title":"CF-NotFound"}]}' ],
        [ '404 with a text as code', qr/status 404/, status =>
            '404 Not Found', body => '{"errors":[{"code":"10010"}]}' ],
        [ 'no HTTP', qr/no HTTP/, raw => "SSH-2.0-x\r\n" ],
    ) {
        my ($name, $detail, %change) = @$case;

        $cc->tell($question, %change);
        refused("$question: $name", $detail);
    }

    # what it may refuse
    for my $case (
        [ 401, 'token', status => '401 Unauthorized', body =>
            '{"errors":[{"code":1000,"title":"CF-InvalidAuthToken"}]}' ],
        [ 401, 'token', status => '401 Unauthorized', body =>
            '{"errors":[{"code":10002,"title":"CF-NotAuthenticated"}]}' ],
        [ 403, 'does not let', status => '403 Forbidden', body =>
            '{"errors":[{"code":10003,"title":"CF-NotAuthorized"}]}' ],
        [ 429, 'no more requests', PcapTest::CloudController::rate_limited(
            int(time()) + 300) ],
    ) {
        my ($status, $detail, %change) = @$case;

        $cc->tell($question, %change);
        problem_is($nginx->fetch(path_of(), @dev), $status, qr/$detail/,
            "$question: $status");
    }

    $cc->tell($question, status => '404 Not Found', body =>
        '{"errors":[{"code":10010,"title":"CF-ResourceNotFound"}]}');

    # a process may go in between: then it has no instances
    problem_is($nginx->fetch(path_of(), @dev), $question eq 'stats' ? 409
        : 404, undef, "$question: 404");
}

works('after all that');
is((status())[0], 200, 'what it refused is no failure');

# nonsense about an app tells nothing of the platform: all would see it
$cc->tell('stats', body => '{"resources":5}');
refused('nonsense about one app', qr/not what/);
is((status())[0], 200, 'is no failure of the platform');
$cc->tell('stats', status => '502 Bad Gateway', body => '');
refused('502', qr/status 502/);
is((status())[0], 503, 'what is of no app is one');
works('works again');

# --- Retry-After -------------------------------------------------------------

for my $case ([ int(time()) + 300, 290, 300 ], [ 7, 7, 7 ], [ 0, 1, 1 ],
    [ int(time()) + 86400, 3600, 3600 ], [ int(time()) - 100, 1, 1 ],
    [ 'Wed, 21 Oct 2026 07:28:00 GMT', 10, 10 ], [ '-5', 10, 10 ],
    [ '9' x 40, 10, 10 ], [ '9223372036854775807', 3600, 3600 ])
{
    my ($value, $min, $max) = @$case;

    $cc->tell('app', PcapTest::CloudController::rate_limited($value));

    my $c = $nginx->fetch(path_of(), @dev);
    my $wait = $c->header('retry-after') || 0;

    is($c->{status}, 429, "Retry-After $value: 429");
    ok($wait =~ /^\d+$/ && $wait >= $min && $wait <= $max,
        "Retry-After $value: within bounds") or diag($wait);
}

$cc->tell('app', status => '429 Too Many Requests', body => '', fields =>
    []);
is($nginx->fetch(path_of(), @dev)->header('retry-after'), 10,
    'Retry-After of our own');

# --- one wrong field is enough -----------------------------------------------

sub wrong_fields
{
    my ($question, $make, $good, @cases) = @_;

    for my $case ([ undef, undef ], @cases) {
        my ($field, $value) = @$case;
        my %doc = %$good;

        if (defined $field) {
            $doc{$field} = $value;
            delete $doc{$field} if ref $value eq 'CODE';
        }

        my $name = "$question: " . (defined $field ? "$field: "
            . substr(ref $value eq 'CODE' ? 'none' : $json->encode($value),
            0, 20) : 'all right');

        $cc->tell($question, body => $json->encode($make->(\%doc)));

        if (defined $field) {
            refused($name, qr/not what a Cloud Controller says/);
        } else {
            capture_ok($nginx->fetch(path_of(), @dev), status => 'complete',
                name => $name);
        }
    }
}


my $none = sub { };

wrong_fields('permissions', sub { $_[0] }, { read_sensitive_data =>
    JSON::PP::true }, map { [ read_sensitive_data => $_ ] } $none, undef, 1,
    'true', []);
wrong_fields('ssh_enabled', sub { $_[0] }, { enabled => JSON::PP::true,
    reason => '' }, [ enabled => $none ], [ enabled => 'true' ],
    [ enabled => 1 ], [ reason => $none ], [ reason => 7 ]);
wrong_fields('app', sub { $_[0] }, { guid => WEB, name => 'shop', state =>
    'STARTED' }, [ guid => $none ], [ guid => OTHER ], [ guid => 5 ],
    [ guid => '../x' ], [ guid => WEB . '0' ], [ name => $none ],
    [ name => '' ], [ name => 7 ], [ name => 'x' x 1025 ], [ name => [] ],
    [ state => $none ], [ state => 'started' ], [ state => '' ],
    [ state => 'X' x 100 ], [ state => 1 ]);

my $next = { href => 'https://127.0.0.1:9024/v3/apps/x/processes?page=2' };

wrong_fields('processes', sub { return { pagination => { next =>
    delete $_[0]{next} }, resources => delete $_[0]{all} || [ $_[0] ] } },
    { guid => WEB, type => 'web' }, [ guid => $none ], [ guid => 'a/b' ],
    [ guid => '' ], [ guid => 'x' x 65 ], [ guid => [] ], [ type => $none ],
    [ type => 7 ], [ type => '' ], [ next => $next ], [ next => 'x' ],
    [ all => {} ], [ all => 'x' ], [ all => [5] ], [ all => [ [] ] ],
    [ all => [ ({ guid => WEB, type => 'web' }) x 2 ] ],
    [ all => [ { guid => '3f1c8a52-1', type => 'web' }, { guid =>
        '3f1c8a52-2', type => 'web' } ] ],
    [ all => [ map { { guid => sprintf('%08x', $_), type => 'web' } }
        1 .. 33 ] ]);
is(scalar $cc->seen(qr/page=2/), 0, 'no other page was asked for');

wrong_fields('stats', sub { return { resources => delete $_[0]{all}
    || [ $_[0] ] } }, running(0, 0), [ index => $none ], [ index => '0' ],
    [ index => -1 ], [ index => 10_000 ], [ index => 1.5 ], [ index => 1e20 ],
    [ state => $none ], [ state => 'running' ], [ state => "A\nB" ],
    [ state => 'X' x 33 ], [ state => 5 ], [ host => 5 ], [ host => [] ],
    [ host => 'x' x 2000 ], [ instance_guid => 5 ],
    [ instance_guid => '../../etc' ], [ instance_guid => 'a&app=x' ],
    [ instance_guid => 'a.b' ], [ instance_guid => 'x' x 65 ],
    [ instance_guid => "a\nb" ], [ instance_internal_ip => 7 ],
    [ instance_internal_ip => 'x' x 2000 ], [ details => 5 ],
    [ all => {} ], [ all => [5] ], [ all => [ running(0, 0), running(0, 1) ]
    ]);

# more than there can be, of two processes together
my $half = join ',', map { "{\"index\":$_,\"state\":\"DOWN\"}" } 0 .. 5000;

$cc->tell('stats', body => "{\"resources\":[$half]}");
problem_is($nginx->fetch(path_of(), @dev), 413, qr/5001 targets/,
    '5001 instances');
cf_app($lab, process(WEB, 'web'), process('9a8b7c6d-1', 'web'));
refused('twice as many', qr/not what/);

# the same container twice is strange, but no harm
cf_app($lab, process(WEB, 'web', running(0, 0), running(1, 0)));
works('two with one handle');
cf_app($lab, process(WEB, 'web', running(0, 0)));

# labels that are none
$cc->tell('stats', body => $json->encode({ resources => [ running(0, 0,
    instance_internal_ip => "10.1.1.1\n", details => "\x{1}") ] }));
capture_ok($nginx->fetch(path_of(), @dev), status => 'complete',
    name => 'an address that is none');

# the org has to come with the app
for my $body (
    { guid => WEB, name => 'shop', state => 'STARTED', metadata =>
        { annotations => { capture => 'true' } } },
    { guid => WEB, name => 'shop', state => 'STARTED', metadata =>
        { annotations => { capture => 'true' } }, relationships => { space
        => { data => { guid => 'space-1' } } }, included => { spaces => [ {
        guid => 'space-1', relationships => { organization => { data => {
        guid => 'org-1' } } } } ], organizations => [ { guid => 'org-2' } ]
        } },
) {
    $cc->tell('app', body => $json->encode($body));
    refused('without its org', qr/not what/, path => path_of('',
        '/v1/note'));
}

# what can be said in 4 MiB does not take a hundred times that
$cc->tell('stats', many => [ '{}', 1_300_000 ]);
refused('4 MiB of objects', qr/not what/);

my ($peak) = slurp('/proc/' . ($nginx->workers())[0] . '/status')
    =~ /^VmHWM:\s+(\d+) kB/m;

cmp_ok($peak, '<', sanitized() ? 1 << 20 : 80 << 10,
    'memory of the worker stays small');

# --- slow, silent, down ------------------------------------------------------

$cc->tell('processes', delay => 1);
capture_ok($nginx->fetch(path_of(), @dev), status => 'complete',
    name => 'slow');

for my $question (qw(permissions stats)) {
    $cc->tell($question, silent => 1);

    my $took = refused("$question: silent", qr/does not answer in time/);

    cmp_ok($took, '>', 4, "$question: it was waited for");
}

$nginx->reload();
$cc->tell('root', silent => 1);

my $start = time();

($code, $doc, $resolvers) = status();
is($code, 503, 'status of a silent one');
is($resolvers, '', 'not listed');
like($doc->{message}, qr/does not work: cf/, 'says what does not work');
cmp_ok(time() - $start, '<', limit(2), 'answered within 2 s');

$cc->stop();
refused('down', qr/no connection/);
is((status())[0], 503, 'a use that failed counts');
$cc->start();
works('up again');

# --- who it is ---------------------------------------------------------------

$lab->{certs}->leaf('stranger', names => ['stranger.test']);
$lab->{certs}->leaf('forged', names => ['api.sys.test'],
    issuer => $lab->{certs}{wrong_ca});
$lab->{certs}->leaf('old', names => ['api.sys.test'], days => -1);

for my $cert (qw(stranger forged old)) {
    my $seen = $cc->seen();

    $cc->stop();
    $cc->{crt} = $lab->{certs}->file("$cert.crt");
    $cc->{key} = $lab->{certs}->file("$cert.key");
    $cc->start();
    refused("certificate $cert", qr/no connection.*certificate/);
    is(scalar $cc->seen(), $seen, "$cert: nothing was sent");
}

$cc->stop();
$cc->{crt} = $lab->{certs}->file('cc.crt');
$cc->{key} = $lab->{certs}->file('cc.key');
$cc->start();
works('with its own certificate');

# --- several Cloud Foundries -------------------------------------------------

my $other = PcapTest::CloudController->new(certs => $lab->{certs},
    port => 9025);

$other->org('org-9');
$other->space('space-9', 'org-9');
$other->app(OTHER, 'space-9', name => 'www', processes => [
    process(OTHER, 'web', running(0, 5)) ]);
$other->token('dev', 'space-9' => 'space_developer');

my $staging = '/staging/v1/capture/cf/' . OTHER;

refused('proxy_ssl_verify off', qr/does not verify it/, path => $staging);
is(join(' ', map { "$_->{path} $_->{auth}" } $other->seen()), '/ bearer ',
    'no token is sent');

$nginx->{server} = $cc->location('/_pcap_cc')
    . $other->location('/_pcap_staging') . 'location /staging/v1/ { pcap_api'
    . ' on; pcap_api_introspection /_pcap_introspect; pcap_api_cf'
    . ' /_pcap_staging; pcap_api_agent_ranges 127.1.0.0/16; }';
$nginx->reload();

my $file = capture_ok($nginx->fetch($staging, @dev), status => 'complete',
    name => 'staging');

is(names_of($file), 'www/0', 'each has its own apps');
problem_is($nginx->fetch('/v1/capture/cf/' . OTHER, @dev), 404, undef,
    'which the first one does not have');

agents_quiet('all', $fake);
strict_cc($lab);

finish();
