# Requests per second, of a client address and of a user: what is above is a
# 429 that names the directive, before any platform or agent is asked. A bad
# token costs its address more than a good one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::BoshLab;
use PcapTest::Cli;
use Time::HiRes qw(time);


sub place
{
    my ($name, @lines) = @_;

    return "location /$name/v1/ { pcap_api on;"
        . ' pcap_api_introspection /_pcap_introspect;'
        . ' pcap_api_introspection_rate 1000 burst=1000;'
        . ' pcap_api_static demo web/0 127.1.0.1:9494 tls_name=pcap-agent;'
        . ' pcap_api_bosh /_pcap_director;'
        . ' pcap_api_agent_ranges 127.1.0.0/16;'
        . join('', map { "$_;" } @lines) . "}\n";
}


# Only buckets matter here, so they fill up slowly: 1 per second.
my $lab = bosh_lab(script => sub { $_[0]->usual(1) }, nginx => { workers => 2,
    limits => '', server => join '',
    place('address', 'pcap_api_request_rate 1 burst=6', 'pcap_api_user_rate'
        . ' off', 'pcap_api_failed_token_cost 5'),
    place('one', 'pcap_api_max_captures_per_user 1', 'pcap_api_static_scope'
        . ' off'),
    place('routed', 'pcap_api_request_rate 1 burst=6', 'pcap_api_user_rate'
        . ' off', 'pcap_api_trusted_routers 127.0.8.0/24'),
    place('steady', 'pcap_api_request_rate 20 burst=20', 'pcap_api_user_rate'
        . ' off', 'pcap_api_failed_token_cost 10'),
    place('cheap', 'pcap_api_request_rate 1 burst=6', 'pcap_api_user_rate'
        . ' off', 'pcap_api_failed_token_cost 1'),
    place('user', 'pcap_api_request_rate off', 'pcap_api_user_rate 1'
        . ' burst=4') });
my ($nginx, $fake, $uaa, $director) = @$lab{qw(nginx fake uaa director)};

user($lab, 'op2', 'bosh.admin');


# The statuses of $n requests, one after the other.
sub statuses
{
    my ($n, $path, %o) = @_;

    return map { $nginx->fetch($path, %o)->{status} } 1 .. $n;
}


# One of the next few at the latest: a slow machine may earn one meanwhile.
sub refused
{
    my ($detail, $name, @request) = @_;

    my ($r, $asked);

    for (1 .. 4) {
        $asked = $uaa->seen() + $director->seen();
        $r = $nginx->fetch(@request);
        last if $r->{status} == 429;
    }

    is($uaa->seen() + $director->seen(), $asked, "$name: nobody is asked");
    problem_is($r, 429, $detail, $name);
    is($r->header('retry-after'), 1, "$name: Retry-After");
}


# --- an address -------------------------------------------------------------

my $none = '/address/v1/capture/static/none';
my @s = statuses(6, $none, local => '127.0.9.1');

is("@s", '404 404 404 404 404 404', 'a burst of six');

refused(qr/^too[ ]many[ ]requests[ ]from[ ]this[ ]address,[ ].*
    "pcap_api_request_rate"[ ]allows[ ]1[ ]per[ ]second$/x, 'the seventh',
    $none, local => '127.0.9.1');
refused(qr/"pcap_api_request_rate"/, 'without a token as well', $none,
    local => '127.0.9.1', token => undef);
is(join(' ', statuses(2, $none, local => '127.0.9.2')), '404 404',
    'another address is another one');
is($nginx->fetch('/address/v1/status', local => '127.0.9.1')->{status}, 200,
    'the status is free');
ok(wait_for(5, sub { $nginx->fetch($none, local => '127.0.9.1')->{status}
    == 404 }), 'one second later there is one more');

# --- a bad token costs five -------------------------------------------------

is(join(' ', statuses(3, $none, local => '127.0.9.3', token => 'bad')),
    '401 401 429', 'two bad tokens are ten requests, six are there');
refused(qr/where one with a bad token counts as 5:/, 'a good one is late',
    $none, local => '127.0.9.3');

# behind the burst, too: 20 per second are 2 with bad tokens
my ($began, %of) = (time());

while (time() - $began < 4) {
    $of{ $nginx->fetch('/steady/v1/capture/static/none', local =>
        '127.0.9.7', token => 'bad')->{status} }++;
    select undef, undef, undef, 0.02;
}

cmp_ok($of{401}, '>=', 2, 'a few bad tokens are looked at');
cmp_ok($of{401}, '<=', 2 + 2 * (time() - $began) + 1, 'and no more');
cmp_ok($of{429}, '>', 0, 'the others are refused');
is(join(' ', statuses(6, '/cheap/v1/capture/static/none', local =>
    '127.0.9.4', token => 'bad')), '401 401 401 401 401 401',
    'pcap_api_failed_token_cost 1: like any other');
is(join(' ', statuses(6, $none, local => '127.0.9.5', token => undef)),
    '401 401 401 401 401 401', 'no token at all is no guess');

# --- behind a router -------------------------------------------------------

$none = '/routed/v1/capture/static/none';

# what the router has seen comes last, whatever its client has written before
sub routed
{
    my ($n, $router, $client) = @_;

    return join ' ', map { $nginx->fetch($none, local => $router, headers =>
        [ [ 'X-Forwarded-For', "192.0.2.$_, $client" ] ])->{status} } 1 .. $n;
}

is(routed(6, '127.0.8.1', '198.51.100.1'), '404 404 404 404 404 404',
    'a client of the router');
refused(qr/pcap_api_request_rate/, 'its seventh', $none, local =>
    '127.0.8.2', headers => [ [ 'X-Forwarded-For', '198.51.100.1' ] ]);
is(routed(6, '127.0.8.1', '198.51.100.2'), '404 404 404 404 404 404',
    'another client of the router');
is(routed(6, '127.0.9.9', '198.51.100.3'), '404 404 404 404 404 404',
    'no router');
refused(qr/pcap_api_request_rate/, 'who is no router counts by himself',
    $none, local => '127.0.9.9', headers => [ [ 'X-Forwarded-For',
    '198.51.100.4' ] ]);

# --- a user -----------------------------------------------------------------

my $cf = '/user/v1/capture/bosh/none';

@s = statuses(4, $cf, token => 'op');
is("@s", '404 404 404 404', 'a burst of four');
refused(qr/^too[ ]many[ ]requests[ ]of[ ]yours:
    [ ]"pcap_api_user_rate"[ ]allows[ ]1[ ]per[ ]second$/x, 'the fifth',
    $cf, token => 'op');
refused(qr/pcap_api_user_rate/, 'from wherever', $cf, token => 'op',
    local => '127.0.9.6');
refused(qr/pcap_api_user_rate/, 'nor the list', '/user/v1/captures',
    token => 'op');
refused(qr/pcap_api_user_rate/, 'nor a capture', '/user/v1/captures/'
    . 'a' x 32, token => 'op');
is($nginx->fetch($cf, token => 'op2')->{status}, 404,
    'another user is another one');

# who may ask for nothing new can still stop what runs
is($nginx->fetch('/user/v1/captures/' . 'a' x 32, method => 'DELETE',
    token => 'op')->{status}, 404, 'DELETE is free');

# --- pcap-cli ---------------------------------------------------------------

my $c = $nginx->get('/one/v1/capture/static/demo', token => 'op');

status_is($c, 200, 'one capture');

my $run = cli({ certs => $lab->{certs}, url =>
    'https://localhost:8443/one' }, [ 'static', 'demo', '-o', 'x',
    '--duration', '1s' ], env => { PCAP_TOKEN => 'op' });

is($run->{code}, 1, 'pcap-cli: refused');
like($run->{stderr}, qr/HTTP 429.*"pcap_api_max_captures_per_user" is 1$/m,
    'pcap-cli: says why');
like($run->{stderr}, qr/try again in 10 s/, 'pcap-cli: and when');
$c->vanish();

finish();
