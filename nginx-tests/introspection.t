# How often the token endpoint is asked: verdicts are cached, never past
# exp, and a flood of tokens queues nowhere.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use Time::HiRes qw(time);


my $lab = lab(fakes => 1, script => sub { $_[0]->usual(1) }, nginx => {
    workers => 2, pcap => 'pcap_api_introspection_rate 5 burst=5;'
    . ' pcap_api_introspection_inflight 4;', server =>
    'location /v1/nocache/ { pcap_api on; pcap_api_introspection'
    . ' /_pcap_introspect; pcap_api_token_cache 0; pcap_api_static demo'
    . ' web/0 127.1.0.1:9494 tls_name=pcap-agent;'
    . ' pcap_api_introspection_rate 1000 burst=1000; }' });
my ($nginx, $fake, $uaa) = @$lab{qw(nginx fake uaa)};
my $path = '/v1/capture/static/demo';

# --- cache ----------------------------------------------------------------

for my $n (1 .. 6) {
    my $c = $nginx->get($path);

    status_is($c, 200, "capture $n");
    $c->vanish();
}

is(scalar $uaa->seen(), 1, 'one introspection for all, in all workers');

# a verdict of "no" is kept as well, or asked again; it never turns into yes
for my $n (1 .. 2) {
    problem_is($nginx->fetch($path, token => 'nobody'), 401, undef,
        "unknown $n");
}

my $seen = $uaa->seen();

for my $n (1 .. 2) {
    my $c = $nginx->get('/v1/nocache/capture/static/demo');

    status_is($c, 200, 'cache off');
    $c->vanish();
}

cmp_ok($uaa->seen() - $seen, '>=', 2, 'pcap_api_token_cache 0: asked each '
    . 'time');

# never past exp
$uaa->token('short', exp => int(time()) + 2, scope => ['pcap.capture']);

my $c = $nginx->get($path, token => 'short');

status_is($c, 200, 'a token with little time left');
$c->vanish();
ok(wait_for(5, sub {
    $nginx->fetch($path, token => 'short', seconds => 0.3)->{status} == 401
}), 'is refused when that is over');

# --- in flight ------------------------------------------------------------

$uaa->tell(gate => 1);

# the rate has its own budget again
select undef, undef, undef, 1.2;

my @clients = map { $nginx->get($path, token => "flight$_", no_wait => 1) }
    1 .. 5;

# the two that are refused do not wait for the others
wait_for(5, sub { $_->read_until(0.01, sub { 0 }) for @clients;
    (grep { $_->{status} } @clients) >= 2 });
is(scalar(grep { !$_->{status} } @clients), 3, 'three are asked about, the last'
    . ' place is for captures that run');
$uaa->open_gate();

my @status = map { $_->read_header(10); $_->{status} } @clients;

is(scalar(grep { $_ == 401 } @status), 3, 'as many as are allowed are asked')
    or diag("@status");
is(scalar(grep { $_ == 503 } @status), 2, 'the others are refused at once');

for my $n (grep { $status[$_] == 503 } 0 .. 4) {
    $clients[$n]->read_end(5);
    problem_is($clients[$n], 503, undef, 'too many in flight');
    ok($clients[$n]->header('retry-after'), 'Retry-After');
}

# a client that leaves gives its place back
$uaa->tell(gate => 1);
@clients = map { $nginx->get($path, token => "leaves$_", no_wait => 1,
    local => "127.0.3.$_") } 1 .. 3;
wait_for(5, sub { $uaa->seen() >= $seen + 8 });
$_->vanish(1) for @clients;
$uaa->open_gate();
ok(wait_for(5, sub {
    $nginx->fetch($path, token => 'place', local => '127.0.3.9')->{status}
        == 401
}), 'places are given back');

# --- rate -----------------------------------------------------------------

my (%count, $limited);

for my $n (1 .. 60) {
    last if ($count{429} || 0) >= 5;

    my $r = $nginx->fetch($path, token => "rate$n", local => '127.0.4.1');

    $count{ $r->{status} }++;
    $limited = $r if $r->{status} == 429;
}

ok($count{401} && $count{401} >= 5, 'the burst is let through')
    or diag(join ' ', %count);
ok($count{429} && $count{429} >= 5, 'the rest is refused');
problem_is($limited, 429, undef, 'rate');
ok($limited->header('retry-after'), 'Retry-After');
is($nginx->fetch($path, token => 'rate', local => '127.0.4.2')->{status},
    401, 'another address has its own rate');
$c = $nginx->get($path, local => '127.0.4.1');
status_is($c, 200, 'a cached verdict costs no introspection');
$c->vanish();

# --- an endpoint that does not answer -------------------------------------

$uaa->tell(silent => 1);

my $start = time();

$c = $nginx->fetch($path, token => 'silence', local => '127.0.4.3');
like($c->{status}, qr/^50[34]$/, 'refused');
cmp_ok(time() - $start, '<', limit(12), 'in time');
problem_is($c, $c->{status}, undef, 'silent endpoint');

finish();
