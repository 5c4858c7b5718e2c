# Captures to storage with a real pcap-store: from POST to the file and to its
# end, who may do what with it, and what is left when something is killed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use PcapTest::Audit;
use PcapTest::Lab;
use PcapTest::StoreLab;
use Time::HiRes qw(time);


my $dir = work_dir() . '/audit';

mkdir $dir;
chmod 0755, $dir;

my ($key, $log) = (audit_key("$dir/key"), "$dir/audit.log");
my $store = store_for(errors => qr/by signal 9/,
    conf => { max_captures_per_user => 4 });
my $lab = lab(fakes => 3, nginx => { workers => 2, store => $store,
    http => "pcap_api_audit $log key=$key;",
    allow => [ qr/exited on signal 9/ ],
    pcap => 'pcap_api_store_reader_scope pcap.read;'
    . ' pcap_api_store_max_retention 2d;' }, script => sub {
    $_[0]->usual(2, size => 300) });
my ($nginx, $fake, $uaa) = @$lab{qw(nginx fake uaa)};

$uaa->token('eve', scope => ['pcap.capture'], user_name => 'eve',
    user_id => 'user-eve', sub => 'user-eve');
$uaa->token('reader', scope => ['pcap.read'], user_name => 'rita',
    user_id => 'user-rita', sub => 'user-rita');
$uaa->token('boss', scope => ['pcap.admin'], user_name => 'boss',
    user_id => 'user-boss', sub => 'user-boss');


sub detail
{
    my ($path, $status, $name, %o) = @_;

    return problem_of($nginx->fetch($path, %o), $status, $name);
}


sub listed
{
    my (%o) = @_;

    my $doc = decode_json($nginx->fetch('/v1/captures', %o)->{body});

    return { map { $_->{id} => $_ } @{ $doc->{captures} } };
}


sub audited
{
    my ($event, $id) = @_;

    return grep { $_->{event} eq $event && ($_->{capture} // '') eq $id }
        map { decode_json($_) } split /\n/, slurp($log);
}


# Gets a part of the file.
sub part
{
    my ($id, @headers) = @_;

    return download($nginx, $id, headers => \@headers);
}


# --- from the beginning to the end ------------------------------------------

my $doc = stored($nginx, 'one', options => { max_packets => 50, reason =>
    'ticket "9"' }, doc => { retention => '36h' });
my $id = $doc->{id};
my $end = wait_stored($nginx, $id);
my $url = "/v1/captures/$id/file";

is($doc->{stored}{file_url}, $url, 'file_url');
is($end->{state}, 'ended', 'it has ended');
is($end->{status}, 'limit', 'by its limit');
is($end->{packets}, 50, 'packets');
is($end->{stored}{state}, 'stored', 'and is stored');

my $c = download($nginx, $id);
my $body = $c->{body};
my $file = file_ok($c, $end, 'one');

is(scalar @{ $file->{packets} }, 50, '50 packets in the file');
is(scalar @{ $file->{ifaces} }, 3, 'of three instances');
is($c->header('content-type'), 'application/x-pcapng', 'its type');
is($c->header('content-disposition'), "attachment; filename=\"$id.pcapng\"",
    'its name');
is($c->header('accept-ranges'), 'bytes', 'ranges');
ok($c->header('etag'), 'ETag');
is(slurp("$store->{folder}/$id.pcapng"), $body, 'it is the file');
like($end->{stored}{expires}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
    'expires');

my $etag = $c->header('etag');

# ranges, as curl -C - asks for them
$c = part($id, [ Range => 'bytes=100-' ]);
is($c->{status}, 206, 'the rest of it');
is($c->{body}, substr($body, 100), 'to the byte');
$c = part($id, [ Range => 'bytes=0-9' ], [ 'If-Range' => $etag ]);
is($c->{status} . $c->{body}, 206 . substr($body, 0, 10), 'If-Range fits');
$c = part($id, [ Range => 'bytes=0-9' ], [ 'If-Range' => '"other"' ]);
is($c->{status}, 200, 'If-Range does not');
$c = part($id, [ 'If-None-Match' => $etag ]);
is($c->{status}, 304, 'If-None-Match');
like(detail($url, 416, 'behind its end', headers => [ [ Range =>
    'bytes=' . length($body) . '-' ] ]), qr/./, 'no such range');

# curl takes up a half
my $half = work_dir() . '/half.pcapng';
my $ca = $nginx->{certs}->file('ca.crt');
my $at = "https://localhost:$nginx->{port}$url";

spew($half, substr $body, 0, int(length($body) / 2));
is(system('curl', '-sS', '-f', '--cacert', $ca, '-C', '-', '-H',
    'Authorization: bearer good', '-o', $half,
    $at), 0, 'curl -C -');
is(sha256_hex(slurp($half)), sha256_hex($body), 'has all of it');

my $head = `curl -sSI --cacert $ca -H 'Authorization: bearer good' $at`;

like($head, qr{^HTTP/2 200}, 'HEAD');
like($head, qr/^content-length: ${\length $body}\r$/mi, 'HEAD: the length');

my ($line, @lines) = audited('download', $id);

is($nginx->get("/v1/captures/$id/file", method => 'HEAD')->{status}, 200,
    'HEAD again');
is(scalar audited('download', $id), 1 + @lines, 'audit: HEAD is no download');

is($line->{owner}, $end->{user}, 'audit: whose file');
is($line->{file_bytes}, length $body, 'audit: a download');
is($line->{sha256}, sha256_hex($body), 'audit: of which bytes');
is((audited('start', $id))[0]{stored}, 1, 'audit: it was to be stored');
is((audited('end', $id))[0]{end_reason}, 'max_packets', 'audit: its end');

# --- who may -----------------------------------------------------------------

like(detail($url, 404, 'somebody else', token => 'eve'), qr/no stored/,
    'no file for him');
like(detail("/v1/captures/$id", 404, 'somebody else, shown', token => 'eve'),
    qr/no capture/, 'nothing to see');
is(listed(token => 'eve')->{$id}, undef, 'nor in his list');
detail($url, 404, 'somebody else removes', token => 'eve',
    method => 'DELETE');
detail($url, 401, 'nobody', token => undef);
detail('/v1/captures/' . 'f' x 32 . '/file', 404, 'a guessed id');
detail('/v1/captures/' . '0' x 32 . '/file', 404, 'another one');
for my $bad ("captures/$id/file/x", "captures/$id/file%2fx",
    'captures/..%2f..%2fetc%2fpasswd/file', "captures/${id}x/file",
    "captures/A$id/file", 'captures/' . 'A' x 32 . '/file', 'captures//file',
    "captures/$id.pcapng/file", "captures/$id%00/file",
    "../_pcap_files/$id.pcapng")
{
    like($nginx->fetch("/v1/$bad")->{status}, qr/^40[04]$/, "$bad: nothing");
}

is($nginx->fetch("/_pcap_files/$id.pcapng")->{status}, 404,
    'not by the folder');
is($nginx->fetch('/_pcap_store')->{status}, 404, 'nor the store itself');

is(download($nginx, $id, token => 'reader')->{body}, $body,
    'the reader scope reads');
ok(listed(token => 'reader')->{$id}, 'and lists');
detail($url, 404, 'but does not remove', token => 'reader',
    method => 'DELETE');
detail($url, 404, 'an admin does not read', token => 'boss');
ok(listed(token => 'boss')->{$id}, 'an admin lists');
is($nginx->fetch("/v1/captures/$id", token => 'boss')->{status}, 200,
    'and sees it');

# a file that somebody has taken away
rename "$store->{folder}/$id.pcapng", "$store->{folder}/aside";
$c = download($nginx, $id);
like(problem_of($c, 404, 'taken away'), qr/./, 'it is said');
is(scalar @{ $c->{fields}{$_} || [] }, 1, "taken away: one $_")
    for qw(x-vcap-request-id cache-control);
is($c->header($_), undef, "taken away: no $_")
    for qw(x-pcap-sha256 content-disposition);
rename "$store->{folder}/aside", "$store->{folder}/$id.pcapng";

# --- it goes ------------------------------------------------------------------

is($nginx->fetch($url, method => 'DELETE')->{status}, 204, 'removed');
like(detail($url, 410, 'gone'), qr/removed at \d{4}-\d\d-\d\dT/,
    'and it is said when');
ok(!-e "$store->{folder}/$id.pcapng", 'the file is gone');
is($nginx->fetch("/v1/captures/$id")->{status}, 200, 'its record is there');
is($nginx->fetch($url, method => 'DELETE')->{status}, 204, 'once more');
is(scalar(audited('remove', $id)), 2, 'audit: who removed it');
detail($url, 405, 'PUT', method => 'PUT');

# by itself, to the second
$doc = stored($nginx, 'short', options => { max_packets => 5 },
    doc => { retention => '2s' });
$end = wait_stored($nginx, $doc->{id});
is($end->{stored}{state}, 'stored', 'short: stored');
ok(wait_for(5, sub { download($nginx, $doc->{id})->{status} == 410 }),
    'short: gone by itself');
$end = decode_json($nginx->fetch("/v1/captures/$doc->{id}")->{body});

my $expires = `date -d '$end->{stored}{expires}' +%s`;
my $gone = `date -d '$end->{stored}{gone}' +%s`;

cmp_ok($gone - $expires, '<=', 1, 'short: to the second');
cmp_ok($gone, '>=', $expires, 'short: not before');

# --- while it runs -----------------------------------------------------------

$doc = stored($nginx, 'long');
$id = $doc->{id};
ok(wait_for(5, sub { (listed()->{$id}{stored}{state} // '') eq 'running'
    && listed()->{$id}{packets} > 0 }), 'it runs, in the list');
like(detail("/v1/captures/$id/file", 409, 'its file'), qr/being written/,
    'is not yet there');
like(detail("/v1/captures/$id/file", 409, 'to remove it', method =>
    'DELETE'), qr/stop it first/, 'comes later');
is($nginx->fetch("/v1/captures/$id", method => 'DELETE')->{status}, 202,
    'stopped');
$end = wait_stored($nginx, $id);
is("$end->{status} $end->{stored}{state}", 'stopped stored',
    'what there was is stored');
file_ok(download($nginx, $id), $end, 'stopped');

# pcap
$doc = stored($nginx, 'pcap', options => { max_packets => 7,
    format => 'pcap' });
$end = wait_stored($nginx, $doc->{id});
$c = download($nginx, $doc->{id});
is($c->header('content-type'), 'application/vnd.tcpdump.pcap', 'pcap: type');
is(scalar @{ PcapTest::Pcapng::parse_pcap($c->{body})->{packets} }, 7,
    'pcap: packets');

# so many at once
my @many = map { stored($nginx, "of many $_")->{id} } 1 .. 4;
my $fifth = $nginx->fetch('/v1/captures', json => encode_json({ resolver =>
    'static', target => 'demo', options => { duration => '30s' } }));

like(problem_of($fifth, 429, 'one too many'), qr/max_captures_per_user/,
    'and it is said which limit');
is($nginx->fetch("/v1/captures/$_", method => 'DELETE')->{status}, 202,
    'of many: stopped') for @many;
wait_stored($nginx, $_) for @many;

# one that cannot begin
$nginx->{pcap} .= ' pcap_api_max_captures_per_user 1;';
$nginx->{limits} = 'pcap_api_user_rate 1000 burst=10000;'
    . ' pcap_api_request_rate 1000 burst=10000;';
ok($nginx->reload(), 'one capture only');

my $live = $nginx->get('/v1/capture/static/demo');

$live->read_until(5, sub { seen_count($live, 1, 3) });
my $none = $nginx->fetch('/v1/captures', json => encode_json({ resolver =>
    'static', target => 'demo', options => { duration => '30s' } }));

like(problem_of($none, 429, 'no place'), qr/pcap_api_max_captures_per_user/,
    'no place: why');
is($none->header('retry-after'), 10, 'no place: when to try again');
stop_capture($lab, $live);
$nginx->{pcap} =~ s/ pcap_api_max_captures_per_user 1;//;
$nginx->{limits} = undef;
ok($nginx->reload(), 'as many as before');

# --- what is killed ----------------------------------------------------------

# Asks for a capture; its id, when some of it is in its file.
sub begun
{
    my ($name) = @_;

    my $id = stored($nginx, $name)->{id};

    ok(wait_for(10, sub { -s "$store->{folder}/$id.part" }),
        "$name: it is being written");

    return $id;
}


# a worker: what had come is kept
$id = begun('worker');
kill 'KILL', $nginx->workers();
wait_for(5, sub { $nginx->workers() == 2 });
$end = wait_stored($nginx, $id);
is($end->{stored}{state}, 'stored', 'worker: what had come is stored');
like($end->{stored}{detail}, qr/./, 'worker: with a reason');
cmp_ok(scalar @{ file_ok(download($nginx, $id), $end, 'worker')->{packets} },
    '>', 5, 'worker: packets');

# the process of a capture
$id = begun('process');
kill 'KILL', $store->captures();
$end = wait_stored($nginx, $id);
is($end->{stored}{state}, 'interrupted', 'process: interrupted');
file_ok(download($nginx, $id), $end, 'process');

# the store
$id = begun('store');
$live = $nginx->get('/v1/capture/static/demo');
$live->read_until(5, sub { seen_count($live, 1, 3) });
$store->kill(all => 1);
like(detail('/v1/captures/' . '0' x 31 . '7/file', 503, 'without the store'),
    qr/store failed/, 'it is said');
ok($live->read_until(5, sub { seen_count($live, 1, 20) }),
    'live captures go on');
stop_capture($lab, $live);
$store->start();
$end = wait_stored($nginx, $id);
is($end->{stored}{state}, 'interrupted', 'store: interrupted');
file_ok(download($nginx, $id), $end, 'store');

# nginx as a whole
$id = begun('nginx');
$nginx->crash();
$nginx->start();
$end = wait_stored($nginx, $id);
is($end->{stored}{state}, 'stored', 'nginx: stored');
file_ok(download($nginx, $id), $end, 'nginx');

agents_quiet('the end', $fake);
finish();
