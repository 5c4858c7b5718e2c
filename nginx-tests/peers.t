# Two nodes of one API, and a third one that is down: list, show, stop and
# continues= by way of the other one, for users, strangers and admins.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Audit;
use PcapTest::Lab;
use PcapTest::Node;


my $certs = PcapTest::Certs->new();
my $lab = lab(certs => $certs, no_start => 1, fakes => 2, script => sub {
    my ($c) = @_;

    # more than the client takes, or just a little
    ($c->{args}{filter}[0] || '') eq 'busy' ? $c->usual(400, size => 1400)
        : $c->usual(2);
});
my $fake = $lab->{fake};
my $log = work_dir() . '/audit.log';
my $key = audit_key(work_dir() . '/audit.key');
my @groups = map { $fake->target('demo', "web/$_", $_) } 0, 1;
my ($one, $two) = map { node(certs => $certs, n => $_, nodes => [1, 2],
    groups => \@groups, workers => 2, forwarded => 'pcap_api_static demo'
    . ' web/0 ' . $fake->addr(0) . ':9494;',
    pcap => 'pcap_api_static more web/0 ' . $fake->addr(0)
    . ':9494 tls_name=pcap-agent; pcap_api_reauth 1s;'
    . ' pcap_api_trusted_routers 127.0.0.1;',
    http => "pcap_api_audit $log.$_ key=$key;") } 1, 2;

$lab->{uaa}->token('boss', scope => ['pcap.admin'], user_name => 'boss',
    user_id => 'user-boss', sub => 'user-boss');


sub json
{
    my ($nginx, $path, %o) = @_;

    my $c = $nginx->fetch("/v1/captures$path", %o);

    is($c->{status}, 200, "GET captures$path") or diag($c->{body});

    return eval { decode_json($c->{body}) } || {};
}


sub start
{
    my ($nginx, $path, %o) = @_;

    my $c = $nginx->get($path || '/v1/capture/static/demo', %o);

    is($c->{status}, 200, 'a capture') or diag($c->{body});
    ok($c->read_until(5, sub { seen_count($c, 0, 3) }), 'it runs');

    return ($c, capture_id($c));
}

# --- show and list --------------------------------------------------------

my ($c, $id) = start($one);
my ($c2, $id2) = start($two);

like($id, qr/^0001/, 'the id begins with the node');
like($id2, qr/^0002/, 'so does the other one');

for my $n (1 .. 4) {
    for my $ask ([ $one, $id2 ], [ $two, $id ]) {
        my ($nginx, $there) = @$ask;
        my $doc = json($nginx, "/$there");

        is("$doc->{id} $doc->{state} $doc->{user} $doc->{own}",
            "$there running alice 1", 'shown by the other node');
        is(scalar @{ $doc->{targets} }, 2, 'with its targets');

        $doc = json($nginx, '');
        is(join(' ', sort map { "$_->{id} $_->{node}" }
            @{ $doc->{captures} }), "$id 1 $id2 2", 'all are listed');
        is_deeply($doc->{unreachable}, [], 'by all');
    }
}

my $h = $two->fetch("/v1/captures/$id", method => 'HEAD',
    headers => [ [ 'Connection', 'close' ] ]);

is("$h->{status} $h->{body}", '200 ', 'HEAD by the other node');

# --- strangers, admins, nobody --------------------------------------------

is_deeply(json($two, '', token => 'other')->{captures}, [],
    'a stranger sees none');
problem_is($two->fetch("/v1/captures/$id", token => 'other', method => $_),
    404, undef, "a stranger's $_") for qw(GET DELETE);
problem_is($two->fetch("/v1/captures/$id", token => 'bogus', method => $_),
    401, undef, "nobody's $_") for qw(GET DELETE);
is(scalar @{ json($two, '', token => 'boss')->{captures} }, 2,
    'an admin sees both');
is(json($two, "/$id", token => 'boss')->{user}, 'alice', 'and whose');
problem_is($two->fetch('/v1/captures/0003' . 'a' x 28), 404, undef,
    'of a node that is none');
problem_is($two->fetch('/v1/captures/0001' . 'a' x 28), 404,
    qr/no capture 0001a/, 'one that the other node has not');

# --- a fresh token by way of the other node ---------------------------------

sub put
{
    my ($token) = @_;

    return $two->fetch("/v1/captures/$id/token", method => 'PUT',
        token => $token);
}

$lab->{uaa}->token('fresh', scope => ['pcap.capture']);
status_is(put('fresh'), 204, 'a fresh token');
problem_is(put('other'), 404, undef, "a stranger's token");
problem_is(put('boss'), 404, undef, "an admin's token");
problem_is(put('bogus'), 401, undef, "nobody's token");
ok(wait_for(8, sub { $c->read_until(0.05, sub { 0 });
    3 <= grep { $_->{text} =~ /token=fresh/ } $lab->{uaa}->seen() }),
    'and its worker asks by it');

# --- the listener for peers -----------------------------------------------

sub as_peer
{
    my ($path, @args) = @_;

    my $url = 'https://127.0.0.1:' . peer_port(1) . "/v1/$path";

    open my $curl, '-|', 'curl', '-skm5', '-w', ' %{http_code}', @args, $url
        or die "curl: $!";

    return join '', <$curl>;
}

my @cert = ('--cert', $certs->file('api.crt'), '--key',
    $certs->file('api.key'));
my @good = ('-H', 'Authorization: bearer good');
my $told = as_peer('captures', @good);

like($told, qr/ 400$/, 'no certificate, no word');
unlike($told, qr/$id/, 'nothing is told');
like(as_peer('captures', @cert), qr/ 401$/, 'a certificate is no token');
like(as_peer("captures/$id", @cert, @good), qr/"id":"$id".* 200$/s,
    'both are');
like(as_peer("captures/$id2", @cert, @good), qr/no capture $id2.* 404$/s,
    'nothing is asked on');
unlike(as_peer('captures', @cert, @good), qr/$id2/, 'nor is the list');
like(as_peer('capture/static/demo', @cert, @good), qr/ 404$/,
    'peers capture nothing');

# --- continues ------------------------------------------------------------

my ($next, $next_id) = start($two, "/v1/capture/static/demo?continues=$id");

stop_capture({ nginx => $two }, $next);
capture_ok($next, status => 'stopped', name => 'continued over there');
problem_is($two->fetch("/v1/capture/static/demo?continues=$id",
    token => $_), 404, qr/"continues".*$id/, "by $_") for qw(other boss);
problem_is($two->fetch("/v1/capture/static/more?continues=$id"), 409,
    qr/$id.*other targets than "more"/, 'of another group');
problem_is($two->fetch('/v1/capture/static/demo?continues=0001' . 'a' x 28),
    404, qr/there is no capture/, 'of one that is not there');

# --- stop -----------------------------------------------------------------

stop_capture({ nginx => $two }, $c);
capture_ok($c, status => 'stopped', name => 'by the other node',
    packets => $fake->sent_in($c, 0, 1));
ok(wait_for(5, sub { json($two, "/$id")->{state} eq 'ended' }), 'ended');
is(json($two, "/$id")->{end_reason}, 'user', 'by its user');
problem_is($two->fetch("/v1/captures/$id", method => 'DELETE'), 404,
    qr/no running capture/, 'it runs no more');

is($one->fetch("/v1/captures/$id2", method => 'DELETE', token => 'boss',
    headers => [ ['X-Forwarded-For', '192.0.2.1, 198.51.100.7'],
        ['X-Vcap-Request-Id', 'abcd-0001'] ])->{status}, 202, 'by an admin');
$c2->read_end(10);
capture_ok($c2, status => 'stopped', name => 'by an admin over there');
is(json($one, "/$id2")->{end_reason}, 'admin', 'it says so');

my ($stop, @rest) = grep { $_->{event} eq 'stop' && $_->{capture} eq $id2 }
    map { audit_lines("$log.$_") } 1, 2;

is_deeply([ @$stop{qw(capture node request_id user owner client via target)} ],
    [ $id2, 2, 'abcd-0001', 'boss', 'alice', '198.51.100.7', '127.0.0.1',
    'demo' ], 'the audit log of its node says who, and from where');
is(scalar(@rest), 0, 'once');

# --- the listener for peers without TLS, which nobody should have ----------

my $plain = 'http://127.0.0.1:' . plain_port(2) . '/v1/captures';

for my $ask ("-X GET $plain", "-X DELETE $plain/$id2") {
    like(scalar `curl -gsi -H 'Authorization: bearer good' $ask`,
        qr/^HTTP\S+ 403 .*for other nodes of the API, over TLS/s,
        "without TLS: $ask");
}

# --- a client that takes nothing ------------------------------------------

$c = $one->get('/v1/capture/static/demo?filter=busy', rcvbuf => 32768);
$id = capture_id($c);

my ($sent, $was) = (0, -1);

ok(wait_for(10, sub {
    ($was, $sent) = ($sent, json($two, "/$id")->{sent_bytes});
    select undef, undef, undef, 0.3;
    $sent > 100000 && $sent == $was;
}), 'it takes nothing any more');
is($two->fetch("/v1/captures/$id", method => 'DELETE')->{status}, 202,
    'one that is not read is stopped');
ok(wait_for(5, sub { !$fake->connections() }), 'its agents are gone');
$c->read_end(10);
capture_ok($c, status => 'stopped', name => 'not read');

# --- the other node is down -----------------------------------------------

($c, $id) = start($one);
is($one->stop('TERM'), 0, 'node 1 is down');
problem_is($two->fetch("/v1/captures/$id", method => $_), 503,
    qr/^node 1, which the capture is of, failed \("\/_pcap_peer"\)/,
    "$_ names it") for qw(GET DELETE);

my $doc = json($two, '');

is_deeply([ map { $_->{node} } @{ $doc->{unreachable} } ], [1],
    'the list names it');
like($doc->{unreachable}[0]{detail}, qr/no connection/, 'and why');
is(scalar @{ $doc->{captures} }, 2, 'it has the rest');
problem_is($two->fetch("/v1/capture/static/demo?continues=$id"), 404,
    qr/"continues": node 1, which capture $id is of, cannot be asked/,
    'its captures cannot be continued');
is(scalar @{ json($two, '', token => 'other')->{captures} }, 0,
    'a stranger still sees none');
agents_quiet('peers', $fake);

finish();
