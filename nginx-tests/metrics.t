# /metrics: what is counted is what happened, in a format that Prometheus'
# own parsers take; no counter ever goes down, whatever happens to workers;
# nobody's name and no capture id is in it. What docs/METRICS.md, the alerts
# and the dashboard speak of is there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Audit;
use PcapTest::Lab;


# The answer as Prometheus' own library reads it: { 'name{labels}' => value }.
my $READ = <<'EOF_PY';
import json, sys
from prometheus_client.parser import text_string_to_metric_families
out = {'types': {}, 'samples': {}}
for f in text_string_to_metric_families(sys.stdin.read()):
    out['types'][f.name + ('_total' if f.type == 'counter' else '')] = f.type
    for s in f.samples:
        key = s.name
        if s.labels:
            key += '{' + ','.join('%s=%s' % kv
                for kv in sorted(s.labels.items())) + '}'
        assert key not in out['samples'], key
        out['samples'][key] = s.value
json.dump(out, sys.stdout)
EOF_PY

my $dir = work_dir() . '/audit';

mkdir $dir;
chmod 0755, $dir;

my $key = audit_key("$dir/key");
my $audit = "$dir/audit.log";
my $server = "pcap_api_audit $audit key=$key;"
    . ' server { listen 127.0.0.1:9180; access_log off;'
    . ' location = /metrics { pcap_api_metrics on; } }';
my $lab = lab(fakes => 2, nginx => { workers => 2, http => $server,
    pcap => 'pcap_api_client_stall 1s;' }, script => sub {
    my ($c) = @_;

    my $mode = $c->{args}{filter}[0] || '';

    $c->begin();
    $c->traffic(10, 100);

    if ($mode eq 'drops') {
        $c->{dropped} = [5];
        $c->{lost} = [3];
        $c->beat();
    }

    if ($mode eq 'cut' && $c->{n}) {
        $c->gate('cut');
        return $c->cut();
    }

    if ($mode eq 'flood') {
        $c->busy();
    }

    $c->stay(limit(30));
    $c->end();
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my (%last, $text, $types);
my $URL = 'http://127.0.0.1:9180/metrics';


# The samples; checks that no counter is below what it was.
sub scrape
{
    my ($name) = @_;

    my $in = work_dir() . '/metrics.txt';
    my $c = `curl -sS -m 10 -o $in -w '%{http_code} %{content_type}' $URL`;

    is($c, '200 text/plain; version=0.0.4; charset=utf-8',
        "$name: it is there");
    $text = slurp($in);
    spew(work_dir() . '/read.py', $READ);

    my $read = work_dir() . '/read.py';
    my $doc = eval { decode_json(`/usr/bin/python3 $read <$in`) };

    ok($doc, "$name: Prometheus' own library reads it") or diag($text);
    $types = $doc->{types};

    my %now = %{ $doc->{samples} };
    my @fell = grep { /_(?:total|bucket|count|sum)\b/ && $now{$_} < $last{$_} }
        grep { exists $now{$_} && exists $last{$_} } keys %last;

    is(join(' ', sort @fell), '', "$name: no counter fell");
    is(join(' ', grep { !exists $now{$_} && !/audit_head/ } sort keys %last),
        '', "$name: none is gone");
    %last = %now;

    return \%now;
}


# What has come on since the scrape before, of these samples.
sub risen_ok
{
    my ($name, $before, $now, %want) = @_;

    is(($now->{"pcap_api_$_"} || 0) - ($before->{"pcap_api_$_"} || 0),
        $want{$_}, "$name: $_") for sort keys %want;
}


# --- nothing has happened -------------------------------------------------

my $m0 = scrape('new');

is((grep { $m0->{$_} && /_total/ } keys %$m0), 0, 'all counters are 0');
is($m0->{pcap_api_audit_up}, 1, 'the audit log is ready');
is($m0->{'pcap_api_captures{resolver=static,state=running}'}, 0, 'no capture');
cmp_ok($m0->{pcap_api_zone_free_pages}, '>', 100, 'the zone has room');
cmp_ok($m0->{pcap_api_zone_pages}, '>', $m0->{pcap_api_zone_free_pages},
    'but not all of it is free');
ok((grep { /^pcap_api_build_info\{.*version=\d/ && $m0->{$_} == 1 } keys %$m0),
    'build info');

# --- captures that run, and end well --------------------------------------

my @c = map { $nginx->get('/v1/capture/static/demo') } 1 .. 3;

for my $c (@c) {
    wait_seen($c, $_, 9, 1) for 0, 1;
}

my $m = wait_for(5, sub {
    my $now = scrape('running');
    $now->{'pcap_api_packets_total{resolver=static}'} == 60 && $now;
});

risen_ok('running', $m0, $m,
    'captures{resolver=static,state=running}' => 3,
    'captures_started_total{resolver=static}' => 3,
    'captures_ended_total{resolver=static,status=stopped}' => 0,
    'capture_targets{state=ready}' => 6,
    'packets_total{resolver=static}' => 60,
    'packet_bytes_total{resolver=static}' => 6000,
    'requests_total{route=capture}' => 3,
    'agent_connections_total' => 6,
    'agent_streams_total' => 6,
    'introspections_total' => 1,
    'token_cache_hits_total' => 2,
    'auth_seconds_count' => 3,
    'resolve_seconds_count{resolver=static}' => 3,
    'open_seconds_count{resolver=static}' => 3,
    'open_seconds_count{resolver=bosh}' => 0);
ok(wait_for(5, sub { scrape('lag')->
    {'pcap_api_merge_lag_seconds_count{resolver=static}'} > 3 }),
    'the merge lag is observed');
is($last{'pcap_api_merge_lag_seconds_bucket{le=2.5,resolver=static}'},
    $last{'pcap_api_merge_lag_seconds_count{resolver=static}'},
    'and it is small');
stop_capture($lab, $_) for @c;
capture_ok($_, status => 'stopped') for @c;

my $bytes = 0;
$bytes += length $_->{body} for @c;

$m = scrape('stopped');
risen_ok('stopped', $m0, $m,
    'captures{resolver=static,state=running}' => 0,
    'captures_ended_total{resolver=static,status=stopped}' => 3,
    'capture_ends_total{reason=user}' => 3,
    'requests_total{route=stop}' => 3,
    'seen_packets_total{resolver=static}' => 60,
    'unknown_streams_total{resolver=static}' => 0,
    'capture_targets{state=ready}' => 0,
    'ended_captures_kept' => 3);
cmp_ok($m->{'pcap_api_client_bytes_total{resolver=static}'}, '>=', $bytes,
    'bytes to clients');
cmp_ok($m->{'pcap_api_client_bytes_total{resolver=static}'}, '<',
    $bytes * 1.5 + 20_000, 'and not many more');

# --- drops, by place ------------------------------------------------------

my $before = $m;
my $c = $nginx->get('/v1/capture/static/demo?filter=drops&max_packets=15');

$c->read_end(10);
capture_ok($c, status => 'limit');
$m = scrape('drops');
risen_ok('drops', $before, $m,
    'packets_total{resolver=static}' => 15,
    'seen_packets_total{resolver=static}' => 36,
    'dropped_packets_total{place=kernel,resolver=static}' => 10,
    'dropped_packets_total{place=agent,resolver=static}' => 6,
    'dropped_packets_total{place=limit,resolver=static}' => 5,
    'dropped_packets_total{place=stop,resolver=static}' => 0,
    'captures_ended_total{resolver=static,status=limit}' => 1,
    'capture_ends_total{reason=max_packets}' => 1);

# --- an agent that is lost ------------------------------------------------

$before = $m;
$c = $nginx->get('/v1/capture/static/demo?filter=cut');
wait_seen($c, $_, 9, 1) for 0, 1;
$fake->open_gate('cut');
ok($c->read_until(5, sub { index($_[0]{body}, 'INSTANCE_UNAVAILABLE') >= 0 }),
    'cut');
stop_capture($lab, $c);
$m = scrape('cut');
risen_ok('cut', $before, $m,
    'captures_ended_total{resolver=static,status=partial}' => 1,
    'agent_failures_total{type=INSTANCE_UNAVAILABLE}' => 1,
    'unknown_streams_total{resolver=static}' => 1);

# --- refusals -------------------------------------------------------------

$before = $m;
status_is($nginx->get('/v1/capture/static/demo', token => 'bad'), 401);
status_is($nginx->get('/v1/capture/static/none'), 404);
status_is($nginx->get('/v1/capture/static/demo?snaplen=x'), 400);
status_is($nginx->get('/v1/nothing'), 404);
status_is($nginx->get('/v1/status'), 200);
$m = scrape('refused');
risen_ok('refused', $before, $m,
    'refusals_total{status=401}' => 1, 'refusals_total{status=404}' => 2,
    'refusals_total{status=400}' => 1, 'refusals_total{status=other}' => 0,
    'requests_total{route=capture}' => 3, 'requests_total{route=other}' => 1,
    'requests_total{route=status}' => 1, 'introspections_total' => 1,
    'captures_started_total{resolver=static}' => 0);

# --- clients that leave, or take nothing ----------------------------------

$before = $m;
$c = $nginx->get('/v1/capture/static/demo');
wait_seen($c, 1, 9, 1);
$c->vanish();
$c = $nginx->get('/v1/capture/static/demo?filter=flood', rcvbuf => 32768);
ok(wait_for(10, sub { !$fake->connections() }), 'both are over');
$m = wait_for(5, sub {
    my $now = scrape('left');
    !$now->{'pcap_api_captures{resolver=static,state=running}'} && $now;
});
risen_ok('left', $before, $m,
    'captures_ended_total{resolver=static,status=error}' => 2,
    'capture_ends_total{reason=client gone}' => 1,
    'capture_ends_total{reason=client stalled}' => 1,
    'unknown_streams_total{resolver=static}' => 4);
cmp_ok($m->{pcap_api_client_blocked_seconds_total}, '>', 0.7,
    'time in which it waited for its client');
cmp_ok($m->{pcap_api_client_blocked_seconds_total}, '<', limit(3),
    'and no more');
$c->vanish();

# --- reload, and a worker that is killed ----------------------------------

$before = $m;
$c = $nginx->get('/v1/capture/static/demo');
wait_seen($c, 1, 9, 1);
ok($nginx->reload(), 'reload');
$m = scrape('reload');
risen_ok('reload', $before, $m,
    'captures{resolver=static,state=running}' => 1,
    'captures_started_total{resolver=static}' => 1);
stop_capture($lab, $c);
ok(wait_for(5, sub { $nginx->workers() == 2 }), 'the old workers have left');
$m = scrape('old workers gone');
risen_ok('old workers gone', $before, $m,
    'packets_total{resolver=static}' => 20,
    'captures_ended_total{resolver=static,status=stopped}' => 1);

$before = $m;
push @{ $nginx->{allow} }, qr/\[alert\].*exited on signal 9/;
$c = $nginx->get('/v1/capture/static/demo');
wait_seen($c, 1, 9, 1);
ok(wait_for(5, sub { scrape('before the crash')->
    {'pcap_api_packets_total{resolver=static}'}
    == $before->{'pcap_api_packets_total{resolver=static}'} + 20 }),
    'counted before the crash');
kill 'KILL', $nginx->workers();
ok($c->gone(5), 'the workers are killed');
ok(wait_for(5, sub { $nginx->workers() == 2 }), 'there are new ones');
$m = scrape('killed');
risen_ok('killed', $before, $m,
    'captures{resolver=static,state=running}' => 0,
    'packets_total{resolver=static}' => 20,
    'captures_ended_total{resolver=static,status=error}' => 1,
    'capture_ends_total{reason=worker died}' => 1,
    'unknown_streams_total{resolver=static}' => 2);

# --- the audit log ----------------------------------------------------------

my @lines = audit_lines($audit);
my ($head) = grep { /^pcap_api_audit_head/ } keys %$m;

is($m->{pcap_api_audit_up}, 1, 'the audit log is there');
is($m->{pcap_api_audit_lines_total}, scalar @lines, 'its lines');
is($m->{pcap_api_audit_lost_total}, 0, 'none is lost');

my ($mac) = ($head || '') =~ /mac=([0-9a-f]{64})\}$/;

is($mac, audit_mac($lines[-1]{_}), 'its head');

my @head = ('--head', $m->{$head || ''} . ":$mac");

is((audit_verify('--key', $key, @head, $audit))[0], 0, 'whole up to there');
spew("$dir/cut", join '', map { "$_->{_}\n" } @lines[ 0 .. $#lines - 1 ]);
is((audit_verify('--key', $key, @head, "$dir/cut"))[0], 1,
    'a cut tail is found by the head');

# --- whose it is ----------------------------------------------------------

$text =~ s/^(?:#|pcap_api_audit_head).*\n//mg;

for my $secret ('alice', 'good', capture_id($c), 'web/0', '127.1.0.1',
    'demo')
{
    is(index($text, $secret), -1, "nothing of \"$secret\"");
}

unlike($text, qr/[0-9a-f]{32}/, 'no id at all');

# --- what it is asked by --------------------------------------------------

for my $method (qw(POST PUT DELETE)) {
    like(`curl -sS -m 10 -i -X $method $URL`,
        qr{^HTTP/1.1 405 .*^Allow: GET, HEAD\r.*"status":405}ms,
        "$method is refused");
}

like(`curl -sS -m 10 -I $URL`,
    qr{^HTTP/1.1 200 .*version=0\.0\.4.*\r\n\r\n$}s, 'HEAD');
status_is($nginx->get('/v1/metrics'), 404, 'not beside the captures');

# --- what others say is there ---------------------------------------------

my $top = root_dir();
my %known = map { $_ => 1 } keys %$types, map { s/\{.*//r } keys %last;
my $docs = slurp("$top/docs/METRICS.md");

for my $file (qw(docs/METRICS.md docs/alerts.yml docs/dashboard.json)) {
    my %named = map { $_ => 1 } slurp("$top/$file") =~ /\b(pcap_api_[a-z_]+)/g;

    # directives are none
    delete @named{ grep { slurp("$top/ngx_pcap_api_module.c")
        =~ /"$_"/ } keys %named };
    cmp_ok(scalar keys %named, '>', 5, "$file: names metrics");
    is(join(' ', grep { !$known{$_} } sort keys %named), '',
        "$file: all of them exist");
}

is(join(' ', grep { $docs !~ /`\Q$_\E`/ } sort keys %$types), '',
    'docs/METRICS.md has them all');

for my $name (sort keys %$types) {
    my ($type) = $docs =~ /^\| `\Q$name\E` \| (\w+) \|/m;
    is($type, $types->{$name}, "docs/METRICS.md: type of $name");
}

ok(eval { decode_json(slurp("$top/docs/dashboard.json")) },
    'docs/dashboard.json is JSON');
is(system('/usr/bin/python3', '-c', 'import sys, yaml; d = yaml.safe_load(open('
    . 'sys.argv[1])); assert all(r["alert"] and r["expr"] and '
    . 'r["annotations"]["summary"] for g in d["groups"] for r in g["rules"])',
    "$top/docs/alerts.yml"), 0, 'docs/alerts.yml is YAML, of alert rules');

finish();
