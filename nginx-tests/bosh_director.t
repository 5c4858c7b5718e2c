# A Director that is slow, down, hostile, or somebody else: 503 that names
# it, never a crash, never a wait without end; /v1/status; several Directors.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::BoshLab;
use Time::HiRes qw(time);


my $lab = bosh_lab(script => sub {
    my ($c) = @_;

    $c->begin();
    $c->traffic(3);
    $c->end();
}, nginx => { conns => 256, http => 'server { listen 127.0.0.1:9180; location '
    . '= /metrics { pcap_api_metrics on; } }', server => <<'EOF_SERVER' });
        location /staging/v1/ {
            pcap_api on;
            pcap_api_introspection /_pcap_introspect;
            pcap_api_bosh /_pcap_staging tls_name=*.pcap-agent;
            pcap_api_agent_ranges 127.1.0.0/16;
        }
        location = /_pcap_staging {
            internal;
            proxy_pass https://127.0.0.1:25556$pcap_director_uri;
            proxy_http_version 1.1;
            proxy_pass_request_headers off;
            proxy_set_header Authorization "bearer $pcap_bearer";
            proxy_ssl_verify off;
        }
EOF_SERVER
my ($nginx, $fake, $director) = @$lab{qw(nginx fake director)};
my $path = '/v1/capture/bosh/cf';
my @uaa = (token => 'op');
my $failed = 0;


sub refused
{
    my ($name, $detail, %o) = @_;

    my $before = $fake->events('accepted');

    $failed++;

    my $start = time();
    my $c = $nginx->fetch($o{path} || $path, @uaa);

    problem_is($c, 503, qr/Director of "\/_pcap_\w+" failed: .*$detail/, $name);
    cmp_ok(time() - $start, '<', limit(7), "$name: in time");
    is(scalar $fake->events('accepted'), $before, "$name: no agent asked");

    return time() - $start;
}


sub works
{
    my ($name) = @_;

    $director->tell();
    capture_ok($nginx->fetch($path, @uaa), status => 'complete',
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
is($resolvers, 'bosh', 'status: bosh is listed');
ok($doc->{healthy}, 'status: healthy');
is($doc->{compatibility_level}, 1, 'status: level');
is(scalar $director->seen(qr{^/info$}), 1, 'probed by /info');
is(($director->seen())[0]{auth}, 'bearer ', 'without a token');

status() for 1 .. 5;
is(scalar $director->seen(), 1, 'not again within 10 s');

works('a Director that works');
is(scalar $director->seen(qr{^/info$}), 1, 'its uuid is kept');

# --- what it may answer ------------------------------------------------------

for my $case (
    [ 'HTML', qr/not what a Director says/, type => 'text/html', body =>
        '<html><body>502 Bad Gateway</body></html>' ],
    [ 'nothing', qr/not what a Director says/, body => '' ],
    [ 'an object', qr/not what/, body => '{"instances":[]}' ],
    [ 'null', qr/not what/, body => 'null' ],
    [ 'half of it', qr/not what/, body => '[{"job":"router"' ],
    [ 'numbers', qr/not what/, body => '[1,2,3]' ],
    [ 'NaN', qr/not what/, body => '[NaN]' ],
    [ 'UTF-16', qr/not what/, body => "\xff\xfe[\0]\0" ],
    [ 'deep', qr/not what/, body => '[' x 100_000 ],
    [ 'many values', qr/not what/, many => ['[]', 300_000] ],
    [ 'the same key twice', qr/not what/,
        body => '[{"job":"a","job":"b"}]' ],
    [ '50 MB', qr/too long/, size => 50 << 20 ],
    [ '4 GB, which nobody reads to its end', qr/too long/,
        size => 4 << 30 ],
    [ 'a bit over 4 MiB', qr/too long/, size => 4 << 20 ],
    [ 'cut', qr/cut|not what/, cut => 40 ],
    [ 'cut at the start', qr/cut|not what/, cut => 0 ],
    [ '302', qr/status 302/, status => '302 Found', body => '', fields =>
        ['Location: https://127.0.0.1:25555/tasks/1'] ],
    [ '204', qr/status 204/, raw => "HTTP/1.1 204 No Content\r\n"
        . "Connection: close\r\n\r\n" ],
    [ '500', qr/status 500/, status => '500 Internal Server Error',
        body => '' ],
    [ '503', qr/status 503/, status => '503 Service Unavailable' ],
    [ '403', qr/status 403/, status => '403 Forbidden' ],
    [ '404 in text', qr/status 404/, status => '404 Not Found',
        type => 'text/html', body => '<h1>Not Found</h1>' ],
    [ '404 of another kind', qr/status 404/, status => '404 Not Found',
        body => '{"code":70001,"description":"x"}' ],
    [ '404 with a text as code', qr/status 404/, status => '404 Not Found',
        body => '{"code":"70000"}' ],
    [ 'no HTTP', qr/no HTTP/, raw => "SSH-2.0-x\r\n" ],
    [ 'a header without end', qr/no connection|does not answer/,
        raw => "HTTP/1.1 200 OK\r\nX: " . 'x' x 100_000 ],
    [ 'an internal redirect', qr/not what/, body => 'x', fields =>
        ['X-Accel-Redirect: /_pcap_agent'] ],
) {
    my ($name, $detail, %change) = @$case;

    $director->tell('instances', %change);
    refused($name, $detail);
}

works('after all that');

# what can be said in 4 MiB does not take a hundred times that
$director->tell('instances', many => ['{}', 1_300_000]);
refused('4 MiB of objects', qr/not what/);

my ($peak) = slurp('/proc/' . ($nginx->workers())[0] . '/status')
    =~ /^VmHWM:\s+(\d+) kB/m;

cmp_ok($peak, '<', sanitized() ? 1 << 20 : 80 << 10,
    'memory of the worker stays small');

# one wrong field in an instance is enough
my %good = (agent_id => 'a', cid => 'c', job => 'router', index => 0,
    id => 'x-1', az => 'z1', ips => ['127.1.0.1'],
    expects_vm => JSON::PP::true);

for my $case ([ job => undef ], [ job => 7 ], [ job => '' ],
    [ job => ['router'] ],
    [ id => undef ], [ id => 5 ], [ id => 'a/b' ], [ id => '..' ],
    [ id => "\0" ], [ id => 'x' x 100_000 ], [ index => '0' ],
    [ index => -1 ], [ index => 1.5 ], [ index => undef ],
    [ index => 1e12 ], [ ips => undef ], [ ips => '127.1.0.1' ],
    [ ips => [7] ], [ ips => [ ['127.1.0.1'] ] ], [ ips => {} ],
    [ ips => [ '1' x 65 ] ], [ cid => 1 ], [ agent_id => [] ],
    [ expects_vm => 'yes' ])
{
    my ($field, $value) = @$case;
    my $text = JSON::PP->new->canonical->allow_nonref;

    $director->tell('instances', body => $text->encode([ { %good,
        $field => $value } ]));
    refused("$field: " . substr($text->encode($value), 0, 20),
        qr/not what a Director says/);
}

$director->tell('instances', body => JSON::PP::encode_json([ { %good },
    { %good, index => 1 } ]));
refused('the same instance twice', qr/not what/);

# a group that its deployment calls as it likes harms nobody but itself

for my $case ([ 'my+group', 'my_group' ], [ 'a b', 'a_b' ],
    [ '../x', '___x' ], [ 'a/b', 'a_b' ], [ "a\nb", 'a_b' ],
    [ 'x' x 200, 'x' x 124 ])
{
    my ($job, $shown) = @$case;

    $director->tell('instances', body => JSON::PP::encode_json([ { %good,
        job => 'router' }, { %good, job => $job, id => 'y-1' } ]));

    my $file = capture_ok($nginx->fetch($path, @uaa), status => 'partial',
        name => "a group called $shown");

    is($file->{ifaces}[0]{name}, 'router/x-1/eth0', 'the other is captured');
    has_message($file, 'INSTANCE_UNAVAILABLE', "$shown/y-1");
}

$director->tell('instances', body => '[5]');
refused('garbage', qr/not what/);
like($nginx->fetch('/v1/status', token => undef)->{body},
    qr/"healthy": *true/, 'the Director itself is well');

for my $body ('{"name":"x"}', '{"uuid":5}', '{"uuid":""}', '{"uuid":"a/b"}',
    '{"uuid":"teams.ops"}', '{"uuid":"' . 'x' x 65 . '"}', '[]', '')
{
    my $fresh = $nginx->fetch('/v1/status', token => undef);

    $nginx->reload();                      # so that no uuid is known
    $director->tell('info', body => $body);
    refused("/info: $body", qr/not what/);
}

for my $body ('{}', '[{"name":"cf"}]', '[{"name":"cf","teams":"ops"}]',
    '[{"name":"cf","teams":[5]}]', '[{"teams":[]}]', '[5]')
{
    $director->tell('list', body => $body);
    user($lab, 'ops', 'bosh.teams.ops.admin');
    @uaa = (token => 'ops');
    refused("list: $body", qr/not what/);
}

@uaa = (token => 'op');
works('the list is of no interest for an admin');

# --- slow, silent, down ------------------------------------------------------

$director->tell('instances', delay => 1);
capture_ok($nginx->fetch($path, @uaa), status => 'complete', name => 'slow');

$director->tell('instances', silent => 1);

my $took = refused('silent', qr/does not answer in time/);

cmp_ok($took, '>', 4, 'silent: it was waited for');

# a client that leaves leaves nothing behind
my $c = $nginx->get($path, @uaa, no_wait => 1);
my $asked = $director->seen();

wait_for(5, sub { $director->seen() > $asked });
$c->vanish(1);
works('a client that left');

$nginx->reload();
$director->tell('info', silent => 1);

my $start = time();

($code, $doc, $resolvers) = status();
is($code, 503, 'status of a silent Director');
is($resolvers, '', 'not listed');
ok(!$doc->{healthy}, 'not healthy');
like($doc->{message}, qr/does not work: bosh/, 'says what does not work');
cmp_ok(time() - $start, '<', limit(2), 'answered within 2 s');
$asked = $director->seen();
status() for 1 .. 3;
is(scalar $director->seen(), $asked, 'a failure is kept, too');
works('a use');
is((status())[0], 200, 'a use that worked counts');

# a hundred at once are one probe
$nginx->reload();
$director->tell('info', delay => 0.5);
$asked = $director->seen();

my @all = map { $nginx->get('/v1/status', token => undef, no_wait => 1) }
    1 .. 30;

$_->read_end(5) for @all;
is(scalar(grep { $_->{status} == 200 } @all), 30, 'many: all are answered');
is(scalar $director->seen() - $asked, 1, 'many: by one probe');

$director->stop();
refused('down', qr/no connection/);
is((status())[0], 503, 'a use that failed counts');
$director->start();
works('up again');

# --- who it is ---------------------------------------------------------------

$lab->{certs}->leaf('stranger', names => ['stranger.test']);
$lab->{certs}->leaf('forged', names => ['director.test'],
    issuer => $lab->{certs}{wrong_ca});
$lab->{certs}->leaf('old', names => ['director.test'], days => -1);

for my $cert (qw(stranger forged old)) {
    my $seen = $director->seen();

    $director->stop();
    $director->{crt} = $lab->{certs}->file("$cert.crt");
    $director->{key} = $lab->{certs}->file("$cert.key");
    $director->start();
    refused("certificate $cert", qr/no connection.*certificate/);
    is(scalar $director->seen(), $seen, "$cert: nothing was sent");
}

# as bosh-deployment makes it: an address as CN and alternative name
$lab->{certs}->leaf('by-address', cn => '127.0.0.1', names => [],
    ips => ['127.0.0.1']);
$director->stop();
$director->{crt} = $lab->{certs}->file('by-address.crt');
$director->{key} = $lab->{certs}->file('by-address.key');
$director->start();
refused('an address is not the name', qr/no connection.*certificate/);

my $server = $nginx->{server};

$nginx->{server} =~ s/(proxy_ssl_name )director\.test/${1}127.0.0.1/;
$nginx->reload();
works('an address as name');
$nginx->{server} = $server;
$nginx->reload();

$director->stop();
$director->{crt} = $lab->{certs}->file('director.crt');
$director->{key} = $lab->{certs}->file('director.key');
$director->start();
works('with its own certificate');

# a location that verifies nobody: no token is sent
my $other = PcapTest::Director->new(certs => $lab->{certs}, port => 25556,
    uuid => '11111111-2222-3333-4444-555555555555');

$other->token('op', 'bosh.admin');
refused('proxy_ssl_verify off', qr/does not verify it/,
    path => '/staging/v1/capture/bosh/cf');
is(scalar $other->seen(qr{^/deployments}), 0, 'no token is sent');

# --- several Directors -------------------------------------------------------

$lab->{certs}->leaf('agent-id', names => [ map {
    PcapTest::Director::id($_) . '.pcap-agent' } 40 ]);

my $ids = PcapTest::Fake->new(certs => $lab->{certs}, cert => 'agent-id',
    port => 9495, script => $fake->{script});

$nginx->{server} = $director->location('/_pcap_director')
    . $other->location('/_pcap_staging') . 'location /staging/v1/ { pcap_api'
    . ' on; pcap_api_introspection /_pcap_introspect; pcap_api_bosh'
    . ' /_pcap_staging tls_name=*.pcap-agent port=9495;'
    . ' pcap_api_agent_ranges 127.1.0.0/16; }';
$nginx->reload();
$other->deployment('web', ['dev'], vm('www', 0, 40), vm('www', 1, 41));
user($lab, 'here', 'bosh.' . UUID() . '.admin');
$other->token('here', 'bosh.' . UUID() . '.admin');

$c = $nginx->fetch('/staging/v1/capture/bosh/web?instance=www/0', @uaa);
is(names_of(capture_ok($c, status => 'complete', name => 'staging')),
    'www/40', 'the second Director has its own deployments');
problem_is($nginx->fetch('/v1/capture/bosh/web', @uaa), 404, undef,
    'which the first one does not have');
problem_is($nginx->fetch('/staging/v1/capture/bosh/cf', @uaa), 404, undef,
    'nor the second one those of the first');
problem_is($nginx->fetch('/staging/v1/capture/bosh/web', token => 'here'),
    403, undef, 'an admin of the first is none of the second');
capture_ok($nginx->fetch($path, token => 'here'), status => 'complete',
    name => 'but of the first');

# tls_name=*.pcap-agent: each instance has a name of its own
$c = $nginx->fetch('/staging/v1/capture/bosh/web', @uaa);

my $file = capture_ok($c, status => 'partial', name => 'own names');

is(names_of($file), 'www/40', 'the instance with that certificate');
instance_failed($file, 'www/' . PcapTest::Director::id(41), qr/certificate/);

$other->stop();
is((status('/staging/v1'))[0], 200, 'status: a use was a moment ago');
is((status())[0], 200, 'status: each for itself');
$c = $nginx->fetch('/staging/v1/capture/bosh/web', @uaa);
problem_is($c, 503, qr{/_pcap_staging}, 'the one that is down is named');
is((status('/staging/v1'))[0], 503, 'status: one is down');
is((status())[0], 200, 'status: the other one is not');

# --- static beside bosh ------------------------------------------------------

$director->stop();
$nginx->{pcap} .= ' pcap_api_static demo web/0 127.1.0.1:9494;';
$nginx->reload();
($code, $doc, $resolvers) = status();
is($code, 200, 'static works, bosh does not: 200');
is($resolvers, 'static', 'static alone is listed');
ok(!$doc->{healthy}, 'not healthy');
capture_ok($nginx->fetch('/v1/capture/static/demo'), status => 'complete',
    name => 'static without a Director');

agents_quiet('all', $fake, $ids);
strict_director($lab);

my ($counted) = `curl -sS http://127.0.0.1:9180/metrics`
    =~ /^pcap_api_resolve_failures_total\{resolver="bosh"\} (\d+)$/m;

is($counted, $failed + 1, 'each is counted, that of staging, too');
finish();
