# GET /v1/captures and GET /v1/captures/{id}: from any worker, for the one who
# captures and for admins, while it runs and for a while after its end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Lab;


my $elsewhere = 'server { listen 8445 ssl; server_name other;'
    . ' ssl_certificate %s.crt; ssl_certificate_key %s.key;'
    . ' location /v1/ { pcap_api on;'
    . ' pcap_api_introspection /_pcap_introspect; } %s }';
my $certs = PcapTest::Certs->new();
my $front = $certs->file('front');
my $introspect = (PcapTest::Nginx->new(certs => $certs)->config()
    =~ m{(location = /_pcap_introspect \{.*?\n        \})}s)[0];

my $lab = lab(certs => $certs, fakes => 3, nginx => { workers => 4,
    http => sprintf($elsewhere, $front, $front, $introspect), pcap =>
    'pcap_api_static refused web/0 127.1.0.3:9494 tls_name=pcap-agent;'
    . 'pcap_api_static refused web/1 127.1.0.1:9494 tls_name=pcap-agent;'
    . 'pcap_api_static slow web/0 127.1.0.4:9494 tls_name=pcap-agent;'
    . 'pcap_api_static busy web/0 127.1.0.5:9494 tls_name=pcap-agent;'
    . 'pcap_api_trusted_routers 127.0.0.7; pcap_api_client_stall 1500ms;'
    . join '', map { "pcap_api_static wide web/$_ 127.4.0.1:"
    . ($_ == 699 ? '9494' : '9') . ' tls_name=pcap-agent;' } 0 .. 699 },
    scripts => { 3 => sub { $_[0]->gate('slow', silent => 1);
    $_[0]->usual(1) }, 4 => sub { $_[0]->usual(400, size => 1400) },
    2 => sub { $_[0]->refuse('500 No', '{"detail":"<b>\u0007"}')
    } }, script => sub { $_[0]->usual(2) });
my ($nginx, $fake) = @$lab{qw(nginx fake)};

$lab->{uaa}->token('boss', scope => ['pcap.admin'], user_name => 'boss',
    user_id => 'user-boss', sub => 'user-boss');


sub document
{
    my ($path, %o) = @_;

    my $c = $nginx->fetch("/v1/captures$path", %o);

    is($c->{status}, 200, "GET captures$path") or diag($c->{body});
    is($c->header('content-type'), 'application/json', 'JSON');
    is($c->header('cache-control'), 'no-store', 'not for caches');

    return eval { decode_json($c->{body}) } || {};
}


sub ids
{
    my (%o) = @_;

    return join ' ', sort map { $_->{id} } @{ document('', %o)->{captures} };
}

# --- none -----------------------------------------------------------------

is_deeply(document(''), { captures => [], unreachable => [] }, 'none');

# --- one that runs, asked by every worker ---------------------------------

my $c = $nginx->get('/v1/capture/static/demo?filter=tcp%20port%2080'
    . '&interface=eth0&interface=lo&snaplen=96&max_packets=100000'
    . '&duration=1500500ms&reason=%22why%22%20%C3%A4&instance=web/0'
    . '&instance=web/1', local => '127.0.0.7', headers => [
    [ 'X-Forwarded-For', '192.0.2.9, 198.51.100.7' ],
    [ 'X-Vcap-Request-Id', 'abc-123' ] ]);
my $id = capture_id($c);

like($id, qr/^0000[0-9a-f]{28}$/, 'the id begins with the node');
wait_seen($c, 1, 5, 1);

my $doc;

ok(wait_for(5, sub { ($doc = document("/$id"))->{packets} > 20 }),
    'its numbers come');

my @targets = @{ delete $doc->{targets} || [] };
my %own = %$doc;

delete @own{qw(packets bytes sent_bytes started ledger)};
is_deeply(\%own, { id => $id, node => 0, state => 'running', user => 'alice',
    own => JSON::PP::true, client => '198.51.100.7', request_id => 'abc-123',
    filter => 'tcp port 80', snaplen => 96, interfaces => [qw(eth0 lo)],
    reason => "\"why\" \x{e4}", limits => { duration_s => 1500.5,
    max_packets => 100000 }, resolver => 'static', target => 'demo',
    dropped => 0, late => 0, target_count => 2 }, 'all that is known');
like($doc->{started}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'started');
cmp_ok($doc->{bytes}, '>=', 20 * 60, 'bytes');
cmp_ok($doc->{sent_bytes}, '>', $doc->{bytes}, 'bytes to the client');
is_deeply([ sort keys %{ $doc->{ledger} } ],
    [qw(delivered dropped filtered in_flight seen)], 'ledger');

for my $n (0, 1) {
    my $t = $targets[$n];

    is("$t->{name} $t->{address} $t->{state}", "web/$n "
        . $fake->addr($n) . ':9494 running', "target $n");
    cmp_ok($t->{packets}, '>', 5, "its packets");
    ok(!exists $t->{error}, 'no error');
}

my $before = $targets[1]{packets};

ok(wait_for(5, sub { document("/$id")->{targets}[1]{packets} > $before }),
    'live');

my %list = %{ document('')->{captures}[0] };

ok(!exists $list{targets}, 'the list has no targets');
is_deeply({ map { $_ => $list{$_} } keys %own }, \%own,
    'and all else: ' . join ' ', sort keys %list);

# --- who may see it -------------------------------------------------------

is(ids(token => 'other'), '', "somebody else's list");
problem_is($nginx->fetch("/v1/captures/$id", token => 'other'), 404, undef,
    'shown to nobody else');
is(ids(token => 'boss'), $id, "an admin's list");

my $seen = document("/$id", token => 'boss');

is("$seen->{user} $seen->{own}", 'alice 0', 'shown to an admin');
is($nginx->fetch('/v1/captures', token => 'boss', port => 8445)->{body},
    "{\"captures\":[],\"unreachable\":[]}\n", 'an admin of elsewhere');
problem_is($nginx->fetch("/v1/captures/$id", token => 'boss',
    port => 8445), 404, undef, 'nor shown there');
problem_is($nginx->fetch("/v1/captures$_", token => undef), 401, undef,
    'no token') for '', "/$id";

# --- methods --------------------------------------------------------------

for my $path ('', "/$id") {
    my $h = $nginx->fetch("/v1/captures$path", method => 'HEAD',
        headers => [ [ 'Connection', 'close' ] ]);

    is("$h->{status} $h->{body}", '200 ', "HEAD captures$path");
    cmp_ok($h->header('content-length'), '>', 100, 'as long as it would be');
}

my $p = $nginx->fetch('/v1/captures', method => 'DELETE');

problem_is($p, 405, undef, 'the list is not deleted');
is($p->header('allow'), 'GET, HEAD', 'what it takes');
$p = $nginx->fetch("/v1/captures/$id", method => 'PATCH');
problem_is($p, 405, undef, 'a capture is not patched');
like($p->header('allow'), qr/^GET, HEAD, DELETE/, 'what it takes');
problem_is($nginx->fetch('/v1/captures?user=bob'), 400, undef, 'options');
problem_is($nginx->fetch('/v1/captures/' . 'f' x 32), 404, undef, 'unknown');
problem_is($nginx->fetch('/v1/captures/'), 404, undef, 'no id');

# --- two, ended, with targets that failed ---------------------------------

my $two = $nginx->get('/v1/capture/static/refused?max_packets=10');
my $other = capture_id($two);

is(ids(), join(' ', sort $id, $other), 'two');
$two->read_end(10);
ok(wait_for(5, sub { document("/$other")->{state} eq 'ended' }), 'one ended');
$doc = document("/$other");
is("$doc->{status} $doc->{end_reason} $doc->{packets}",
    'partial max_packets 10', 'how');
like($doc->{ended}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'when');
is($doc->{targets}[0]{state}, 'failed', 'the target that failed');
is($doc->{targets}[0]{error}, '<b>?', 'in its own words, cleaned');
is(ids(), join(' ', sort $id, $other), 'both are listed');

stop_capture($lab, $c);
ok(wait_for(5, sub { document("/$id")->{state} eq 'ended' }), 'stopped');
$doc = document("/$id");
is("$doc->{status} $doc->{end_reason}", 'stopped user', 'by its user');
is($doc->{packets}, $c->trailer('x-pcap-packets'), 'with its packets');
is($doc->{targets}[0]{packets} + $doc->{targets}[1]{packets},
    $doc->{packets}, 'of both targets');

# --- a client that leaves; one that begins nothing ------------------------

$c = $nginx->get('/v1/capture/static/demo');
$id = capture_id($c);
wait_seen($c, 1, 2, 1);
$c->vanish();
ok(wait_for(5, sub { document("/$id")->{state} eq 'ended' }), 'left');
$doc = document("/$id");
is("$doc->{status} $doc->{end_reason}", 'error client gone', 'and why');

my $n = @{ document('')->{captures} };

problem_is($nginx->fetch('/v1/capture/static/none'), 404, undef, 'no group');
is(scalar @{ document('')->{captures} }, $n, 'it has left no row');

# --- one with many targets, of which few began ----------------------------

$c = $nginx->get('/v1/capture/static/wide');
$doc = document('/' . capture_id($c));
is(join(' ', map { $_->{name} } @{ $doc->{targets} }),
    join(' ', map { "web/$_" } 0 .. 699), '700 targets');
is($doc->{target_count}, 700, 'counted');
is(join(' ', map { $_->{address} } @{ $doc->{targets} }[0, 400, 699]),
    '127.4.0.1:9 127.4.0.1:9 127.4.0.1:9494', 'their addresses');
is((grep { $_->{state} eq 'failed' } @{ $doc->{targets} }), 699, 'failed');
is((grep { defined $_->{error} && $_->{error} =~ /^no connection to the/ }
    @{ $doc->{targets} }), 32, 'with words for the first of these');
is($doc->{targets}[699]{state}, 'running', 'the last one runs');
stop_capture($lab, $c);

# --- one that starts, one that nobody reads -------------------------------

$c = $nginx->get('/v1/capture/static/slow', no_wait => 1);
ok(wait_for(5, sub { ($doc) = grep { $_->{target} eq 'slow' }
    @{ document('')->{captures} } }), 'listed before it answers');
is($doc->{state}, 'starting', 'it starts');
is($nginx->fetch("/v1/captures/$doc->{id}", method => 'DELETE')->{status},
    202, 'it is to stop');
$fake->open_gate('slow');
$c->read_end(10);
capture_ok($c, status => 'stopped', name => 'stopped before it began');
is(document("/$doc->{id}")->{end_reason}, 'user', 'by its user');

$c = $nginx->get('/v1/capture/static/busy', rcvbuf => 4096);
$id = capture_id($c);
ok(wait_for(10, sub { document("/$id")->{state} eq 'ended' }), 'not read');
$doc = document("/$id");
is("$doc->{status} $doc->{end_reason}", 'error client stalled', 'it says so');
$c->vanish();

is($nginx->fetch('/v1/status', method => 'HEAD', headers =>
    [ [ 'Connection', 'close' ] ])->{status}, 200, 'HEAD of the status');

my $file = $nginx->log();

unlike($file, qr/ended: worker died/, 'no worker died');
agents_quiet('registry', $fake);

finish();
