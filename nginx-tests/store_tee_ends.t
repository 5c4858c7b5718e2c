# "store=1" and what ends it, or does not: a store that does not answer for a
# while, clients that are late, a server that goes, a folder that is none, a
# client that leaves before it has begun; and what it takes from others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Lab;
use PcapTest::StoreLab;
use Time::HiRes qw(time);


my $store = store_for();
my $mode = work_dir() . '/mode';
my $lab = lab(fakes => 2, nginx => { workers => 1, store => $store,
    listen => 'sndbuf=128k', http => 'pcap_api_drain_timeout 2s;',
    server => 'location /other/ { pcap_api on; pcap_api_introspection'
    . ' /_pcap_introspect; pcap_api_static demo one/0 127.1.0.1:9494'
    . ' tls_name=pcap-agent; pcap_api_store /_pcap_store files=/_pcap_files/'
    . ' folder=/nonexistent; } location /daemon/ { pcap_api on;'
    . ' pcap_api_introspection /_pcap_introspect; pcap_api_static demo one/0'
    . ' 127.1.0.1:9494 tls_name=pcap-agent; pcap_api_store /_pcap_store'
    . " files=/_pcap_files/ folder=$store->{folder} user=daemon; }",
    allow => [ qr/folder of the store/,
    qr/the store failed|the store, asked by|asks for a grant/ ],
    pcap => 'pcap_api_client_stall 20s; pcap_api_stop_timeout 1s;' },
    script => sub {
        my ($c) = @_;
        my $how = -e $mode ? slurp($mode) : 'usual';

        return $c->refuse(400, 'filter: syntax error') if $how eq 'refuse';
        return $c->hang() if $how eq 'hang';
        return $c->usual(2, size => 300) if $how ne 'busy' || $c->{n} == 1;

        $c->begin();
        $c->busy();
        $c->end();
    });
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my $url = '/v1/capture/static/demo';


sub tee
{
    my ($name, $args, %o) = @_;

    my $c = $nginx->get("$url?store=1&$args", %o);

    ok($c->read_header(10), "$name: begins");
    is($c->{status}, 200, "$name: 200") or diag($c->{body});

    return $c;
}


# --- the store does not answer, and answers again ---

my $c = tee('slow store', 'duration=3s');

wait_seen($c, 0, 5, 1, 5);
kill 'STOP', $store->{pid};
ok(!$c->read_end(7), 'slow store: no end without it');
ok(!$c->{eof}, 'slow store: it is waited for');
kill 'CONT', $store->{pid};
$c->read_end(20);
capture_ok($c, status => 'limit', name => 'slow store');

my $access = (grep { /${\capture_id($c)}/ } split /\n/, $nginx->access())[0];

like($access, qr/ limit /, 'slow store: in the access log') or diag($access);
like($nginx->log(), qr/${\capture_id($c)} of demo, followed by "\w+", ended:/,
    'slow store: and in the log');

# --- a capture that cannot begin ---

spew($mode, 'refuse');

for my $q ('', 'store=1&duration=5s') {
    my $r = $nginx->fetch("$url?$q&filter=tcp");

    is($r->{status}, 400, "refused by agents: 400, '$q'") or diag($r->{body});
}

my $none = stored($nginx, 'failed');
my $end = wait_stored($nginx, $none->{id});

is($end->{stored}{state}, 'failed', 'failed: its state');
like(problem_of($nginx->fetch("/v1/captures/$none->{id}/file"), 404,
    'failed: its file'), qr/has no file: /, 'failed: there is none');
spew($mode, 'usual');

# --- a folder that is none ---

my $t = time();
my $r = $nginx->fetch('/other/capture/static/demo?store=1&duration=60s');

is($r->{status}, 503, 'no such folder: 503') or diag($r->{body});
cmp_ok(time() - $t, '<', limit(10), 'no such folder: at once');
like($nginx->log(), qr{there is no "/nonexistent/[0-9a-f]{32}.part"},
    'no such folder: it is said');
ok(wait_for(10, sub {
    my $doc = decode_json($nginx->fetch('/other/captures')->{body});
    !grep { $_->{state} ne 'ended' } @{ $doc->{captures} };
}), 'no such folder: its capture is stopped');

# nor a grant for this store
$r = $nginx->fetch('/daemon/capture/static/demo?store=1&duration=60s');
is($r->{status}, 503, 'no grant: 503') or diag($r->{body});

# --- a client that leaves before it has begun ---

spew($mode, 'hang');
$c = $nginx->get("$url?store=1&duration=60s", no_wait => 1);
ok(wait_for(5, sub {
    my $doc = decode_json($nginx->fetch('/v1/captures')->{body});
    grep { $_->{state} eq 'starting' } @{ $doc->{captures} };
}), 'left: it starts');
$c->vanish(1);
ok(wait_for(10, sub {
    my $doc = decode_json($nginx->fetch('/v1/captures')->{body});
    !grep { $_->{state} ne 'ended' } @{ $doc->{captures} };
}), 'left: nothing goes on');

# --- many that are late ---

spew($mode, 'busy');

my @late = map {
    my $one = tee("late $_", 'max_bytes=8m', rcvbuf => 65536);

    wait_stored($nginx, capture_id($one));
    $one;
} 1 .. 6;

ok(wait_for(10, sub {
    my @open = grep { (readlink($_) // '') =~ /\.pcapng/ }
        glob '/proc/' . ($nginx->workers())[0] . '/fd/*';
    @open == 4;
}), 'late: four of a user') or diag($nginx->log());
ok(!$late[0]->read_end(10), 'late: the oldest is cut');
ok($late[5]->read_end(30), 'late: the last one comes to its end');
undef @late;

# five that end at once are not late
spew($mode, 'usual');

my @at_once = map { tee("at once $_", 'duration=60s') } 1 .. 5;

wait_seen($_, 0, 3, 1, 5) for @at_once;
is($nginx->fetch('/v1/captures/' . capture_id($_), method => 'DELETE')
    ->{status}, 202, 'at once: stopped') for @at_once;
ok($_->read_end(15), 'at once: its end') for @at_once;
spew($mode, 'busy');

# HTTP/2 behind
$r = curl($lab, "$url?store=1&max_bytes=8m", '--http2', '--limit-rate', '4M');
is($r->{exit}, 0, 'HTTP/2, behind') or diag($r->{err});
ok(eval { PcapTest::Pcapng::parse($r->{body}) }, 'HTTP/2, behind: all of it');

# --- what it takes from others ---

$nginx->{http} .= ' pcap_api_worker_bandwidth 2m;';
ok($nginx->reload(), 'less to share');

my %bytes;

for my $q ('', 'store=1&') {
    $c = $nginx->get("$url?${q}duration=3s");
    $c->read_end(30);
    $bytes{$q} = length $c->{body};
    wait_stored($nginx, capture_id($c)) if $q;
}

cmp_ok($bytes{'store=1&'}, '>', 0.75 * $bytes{''},
    'following takes no share of the capture') or diag(encode_json(\%bytes));

# --- the server goes ---

$nginx->{http} =~ s/ pcap_api_worker_bandwidth 2m;//;
ok($nginx->reload(), 'as much as before');
$c = tee('quit', 'max_bytes=20m', rcvbuf => 65536);
$c->read_end(1, rate => 300_000);
wait_stored($nginx, capture_id($c));

my @workers = $nginx->workers();

$t = time();
kill 'QUIT', $nginx->{pid};
$c->read_end(limit(10), rate => 300_000);
ok(!$c->{complete} && $c->{eof}, 'quit: cut');
cmp_ok(time() - $t, '<', limit(8), 'quit: by pcap_api_drain_timeout');
ok(wait_for(5, sub { !grep { kill 0, $_ } @workers }), 'quit: it has ended');
like($nginx->log(), qr/ended: cut, bytes:\d+, the server goes/,
    'quit: it is said why');

finish();
