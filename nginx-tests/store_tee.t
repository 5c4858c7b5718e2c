# "store=1": a capture that is live and goes to storage. What comes is the
# store's file while it grows: a client that falls behind, leaves or takes
# nothing costs no packet, and is told where to fetch them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Audit;
use PcapTest::Lab;
use PcapTest::StoreLab;
use Time::HiRes qw(time);


my $dir = work_dir() . '/audit';

mkdir $dir;
chmod 0755, $dir;

my ($key, $log) = (audit_key("$dir/key"), "$dir/audit.log");
my $store = store_for(errors => qr/by signal 9/);
my $mode = work_dir() . '/mode';
my $lab = lab(fakes => 2, nginx => { workers => 2, store => $store,
    listen => 'sndbuf=128k', http => "pcap_api_audit $log key=$key;",
    allow => [ qr/exited on signal 9/ ],
    pcap => 'pcap_api_client_stall 2s; pcap_api_store_max_retention 2d;',
    server => 'location /plain/ { pcap_api on; pcap_api_static demo'
    . ' one/0 127.0.0.1:1; pcap_api_introspection /_introspect; }' },
    script => sub {
        my ($c) = @_;
        my $how = -e $mode ? slurp($mode) : 'usual';

        return $c->refuse(503, 'not today') if $how eq 'refuse';
        return $c->usual(2, size => 300) if $how ne 'busy' || $c->{n} == 1;

        $c->begin();
        $c->busy();
        $c->end();
    });
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my $url = '/v1/capture/static/demo';


sub shown
{
    my ($id) = @_;

    return decode_json($nginx->fetch("/v1/captures/$id")->{body});
}


sub tee
{
    my ($name, $args, %o) = @_;

    my $c = $nginx->get("$url?store=1&$args", %o);

    ok($c->read_header(10), "$name: begins");
    is($c->{status}, 200, "$name: 200") or diag($c->{body});
    is($c->header('x-pcap-file'), '/v1/captures/' . capture_id($c) . '/file',
        "$name: where to fetch it");

    return $c;
}


# What has come is the file that is stored.
sub same
{
    my ($c, $name) = @_;

    my $doc = wait_stored($nginx, capture_id($c));
    my $file = download($nginx, capture_id($c));

    is($doc->{stored}{state}, 'stored', "$name: stored");
    ok($file->{body} eq $c->{body}, "$name: what came is the file")
        or diag(length($file->{body}), ' and ', length $c->{body});

    return $doc;
}


# --- live -------------------------------------------------------------------

my $c = tee('limit', 'max_packets=50&retention=36h');

$c->read_end(10);
capture_ok($c, status => 'limit', name => 'limit');

my $doc = same($c, 'limit');

is($doc->{packets}, 50, 'limit: packets, shown');
like($c->trailer('x-pcap-ledger'), qr/^seen=\d+,delivered=50,/,
    'limit: the ledger');

my ($line) = grep { $_->{event} eq 'start'
    && $_->{capture} eq capture_id($c) } map { decode_json($_) }
    split /\n/, slurp($log);

is("$line->{stored} $line->{live}", '1 1', 'audit: stored, and live');

my $left = `date -d '$doc->{stored}{expires}' +%s` - time();

cmp_ok(abs($left - 36 * 3600), '<', 60, 'its own retention');

# it comes while it runs, and not at the end
$c = tee('live', 'duration=60s');
wait_seen($c, 0, 5, 1, 5);

my $now = time();
my $seq = 0;

$seq++ while seen_count($c, 0, $seq);
wait_seen($c, 0, $seq + 10, 1, 5);
is(shown(capture_id($c))->{stored}{state}, 'running', 'live: it runs');
stop_capture($lab, $c);
capture_ok($c, status => 'stopped', name => 'live');
same($c, 'live');

# pcap, HTTP/2, a form
$c = tee('pcap', 'max_packets=7&format=pcap');
$c->read_end(10);
is(scalar @{ PcapTest::Pcapng::parse_pcap($c->{body})->{packets} }, 7,
    'pcap: packets');
is($c->trailer('x-pcap-status'), 'limit', 'pcap: its end');
same($c, 'pcap');

my $r = curl($lab, "$url?store=1&max_packets=20", '--http2');

is($r->{exit}, 0, 'HTTP/2') or diag($r->{err});
is(scalar @{ PcapTest::Pcapng::parse($r->{body})->{packets} }, 20,
    'HTTP/2: packets');
$c = $nginx->fetch($url, form => 'store=1&max_packets=5');
is(scalar @{ PcapTest::Pcapng::parse($c->{body})->{packets} }, 5, 'a form');
$c = $nginx->fetch("$url?store=0&max_packets=5");
is($c->header('x-pcap-file'), undef, 'store=0: live alone');

# --- slower than the capture ------------------------------------------------

spew($mode, 'busy');

$c = tee('slow', 'max_bytes=30m', rcvbuf => 65536);
$c->read_end(1, rate => 2_000_000);
$doc = wait_stored($nginx, capture_id($c));
cmp_ok($doc->{stored}{bytes} - $c->{bytes}, '>', 4_000_000,
    'slow: it is stored, and the client far behind');
is($doc->{dropped}, 0, 'slow: no packet was lost');
$c->read_end(30);

my $file = capture_ok($c, status => 'limit', name => 'slow');

no_message($file, 'CONGESTED');
same($c, 'slow');

# the file goes while somebody still reads
$c = tee('expired', 'max_bytes=20m&retention=1s', rcvbuf => 65536);
$c->read_end(1, rate => 1_000_000);

my $path = "$store->{folder}/" . capture_id($c) . '.pcapng';

ok(wait_for(10, sub { (shown(capture_id($c))->{stored}{state} // '')
    eq 'gone' && !-e $path }), 'expired: its file is gone');
ok(!$c->{complete}, 'expired: it was not all read');
$c->read_end(30);
capture_ok($c, status => 'limit', name => 'expired');

# a client that takes nothing
$c = tee('stalled', 'duration=5s', rcvbuf => 65536);
sleep_until_cut(capture_id($c));
$doc = wait_stored($nginx, capture_id($c));
is("$doc->{status} $doc->{stored}{state}", 'limit stored',
    'stalled: it is stored all the same');
undef $c;

# one that leaves
spew($mode, 'usual');
$c = tee('gone', 'duration=2s');
wait_seen($c, 0, 3, 1, 5);
$c->vanish(1);
$doc = wait_stored($nginx, capture_id($c));
is("$doc->{status} $doc->{stored}{state}", 'limit stored',
    'gone: it goes on to its end');
file_ok(download($nginx, capture_id($c)), $doc, 'gone');


# Until the worker has given the client up.
sub sleep_until_cut
{
    my ($id) = @_;

    my $had = () = $nginx->log() =~ /pcap client took nothing/g;

    ok(wait_for(10, sub {
        my $has = () = $nginx->log() =~ /pcap client took nothing/g;
        $has > $had;
    }), 'stalled: it is given up');
}


# --- accidents --------------------------------------------------------------

# the process of the capture dies
$c = tee('killed', 'duration=60s');
wait_seen($c, 0, 5, 1, 5);
kill 'KILL', $store->process_of(capture_id($c), 1);
ok(!$c->read_end(15), 'killed: cut, no proper end');
ok(eval { PcapTest::Pcapng::parse($c->{body}) }, 'killed: a valid capture');
$doc = wait_stored($nginx, capture_id($c));
is($doc->{stored}{state}, 'interrupted', 'killed: interrupted');
is($c->trailer('x-pcap-status'), undef, 'killed: no verdict');
$file = download($nginx, capture_id($c));
is($file->{body}, $c->{body}, 'killed: what came is the file');
like($file->header('x-pcap-lost'), qr/^\d+$/, 'killed: it is said');

# both workers
$c = tee('worker', 'duration=60s');
wait_seen($c, 0, 5, 1, 5);
kill 'KILL', $nginx->workers();
ok(!$c->read_end(15), 'worker: cut');
ok(eval { PcapTest::Pcapng::parse(whole_blocks($c->{body})) },
    'worker: a valid capture up to there');
$doc = wait_stored($nginx, capture_id($c));
isnt($doc->{stored}{state}, 'running', 'worker: the store knows');
file_ok(download($nginx, capture_id($c)), $doc, 'worker');


# TLS may have been cut within a block.
sub whole_blocks
{
    my ($body) = @_;
    my $at = 0;

    while ($at + 8 <= length $body) {
        my $len = unpack 'V', substr $body, $at + 4, 4;
        last if $at + $len > length $body;
        $at += $len;
    }

    return substr $body, 0, $at;
}


# --- what is refused --------------------------------------------------------

sub detail
{
    my ($path, $status, $name, %o) = @_;

    return problem_of($nginx->fetch($path, %o), $status, $name);
}


like(detail("$url?store=1", 400, 'no limit'), qr/needs a limit/,
    'no limit: says so');
like(detail("$url?store=maybe", 400, 'no flag'), qr/"store"/,
    'no flag: names it');
like(detail("$url?duration=1s&retention=2h", 400, 'retention alone'),
    qr/"retention" goes with "store=1"/, 'retention alone: says so');
like(detail("$url?store=1&duration=1s&retention=3d", 400, 'too long'),
    qr/is more than/, 'too long: says so');
like(detail("$url?store=1&duration=1s&retention=x", 400, 'no time'),
    qr/option "retention": /, 'no time: says so');
like(detail("$url?store=1&duration=1s&continues=" . 'a' x 32, 400,
    'continues'), qr/continues/, 'continues: says so');
like(detail('/v1/captures', 400, 'in a POST', json => encode_json({
    resolver => 'static', target => 'demo', options => { store => 1,
    duration => '1s' } })), qr/unknown option "store"/,
    'in a POST: it is no option');
like(detail('/plain/capture/static/demo?store=1&duration=1s', 400,
    'no store'), qr/unknown option "store"/, 'no store: it is no option');
detail("$url?store=1&duration=1s", 401, 'no token', token => 'bad');

spew($mode, 'refuse');

my $detail = detail("$url?store=1&duration=5s", 502, 'no agent');

like($detail, qr/no instance could start the capture/, 'no agent: says why')
    or diag($detail);

spew($mode, 'usual');

# the quota of the store ends it
$store->stop();
$store->{conf}{max_bytes_per_user} = store_used() + 20000;
$store->start();
$c = tee('quota', 'duration=60s');
$c->read_end(20);
ok($c->{complete}, 'quota: a proper end');
is($c->trailer('x-pcap-status'), 'limit', 'quota: limit');
is($c->trailer('x-pcap-packets'), undef, 'quota: packets are not known');
ok(eval { PcapTest::Pcapng::parse($c->{body}) }, 'quota: a valid capture');
$doc = same($c, 'quota');
like($doc->{stored}{detail}, qr/max_bytes_per_user/, 'quota: why');


sub store_used
{
    my $sum = 0;

    $sum += -s $_ for glob "$store->{folder}/*.pcap*";

    return $sum;
}


agents_quiet('all', $fake);
finish();
