# Limits of the server on what a capture may be: duration, bytes, packets,
# snaplen, silence, a reason. Who asks for more is refused by name and value;
# who asks for none gets the server's, is told so, and has it end properly.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Cli;
use PcapTest::Lab;
use Time::HiRes qw(time);


# A location with these lines.
sub place
{
    my ($name, @lines) = @_;

    return "location /$name/v1/ { pcap_api on;"
        . ' pcap_api_introspection /_pcap_introspect;'
        . ' pcap_api_static demo web/0 127.1.0.1:9494 tls_name=pcap-agent;'
        . join('', map { "$_;" } @lines) . "}\n";
}


my $lab = lab(fakes => 1, script => sub {
    my ($c) = @_;

    my $k = ($c->{args}{filter}[0] || '') eq 'quiet' ? 0 : 20;
    my $size = $c->{args}{snaplen}[0] < 100 ? $c->{args}{snaplen}[0] : 100;

    $c->begin();
    $c->traffic(3, $size);
    $c->stay(limit(30), sub { $c->traffic($k, $size) if $k });
    $c->end();
}, nginx => { server => join '',
    place('duration', 'pcap_api_max_duration 1s'),
    place('bytes', 'pcap_api_max_bytes 10k'),
    place('packets', 'pcap_api_max_packets 37'),
    place('idle', 'pcap_api_idle_timeout 400ms'),
    place('snaplen', 'pcap_api_max_snaplen 128 cf bosh',
        'pcap_api_max_snaplen 96 static'),
    place('snaplens', 'pcap_api_max_snaplen 96 bosh',
        'pcap_api_max_snaplen 256'),
    place('reason', 'pcap_api_require_reason static cf'),
    place('reasons', 'pcap_api_require_reason bosh'),
    place('none', map { "pcap_api_$_ off" } qw(max_duration bandwidth
        max_captures_per_user request_rate user_rate require_reason)) });
my ($nginx, $fake) = @$lab{qw(nginx fake)};


sub path
{
    my ($place, $query) = @_;

    return "/$place/v1/capture/static/demo" . ($query ? "?$query" : '');
}


sub refused
{
    my ($place, $query, $detail) = @_;

    problem_is($nginx->fetch(path($place, $query)), 400, qr/^$detail$/,
        "$place: $query");
}


# Ends by itself; the file.
sub ends
{
    my ($place, $query, $text, %o) = @_;

    my $c = $nginx->get(path($place, $query));

    status_is($c, 200, "$place: $query");
    $c->read_end(10);

    my $file = capture_ok($c, status => 'limit', name => "$place $query");

    has_message($file, 'LIMIT_REACHED', 'api', qr/^$text$/,
        "$place $query: says which limit it was");
    is($c->header('x-pcap-limits'), $o{limits}, "$place $query: header");
    is((grep { $_ eq "limits: $o{limits}" } @{ $file->{shb}{comments} }), 1,
        "$place $query: in the section header");
    agents_quiet("$place $query", $fake);

    return $file;
}

my $mbit = 'bandwidth=104857600';

# --- more than is allowed ---------------------------------------------------

refused('duration', 'duration=2s', 'option "duration": 2s is more than'
    . ' "pcap_api_max_duration" of this server, 1s');
refused('duration', 'duration=1001ms', 'option "duration": 1001ms is more'
    . ' than "pcap_api_max_duration" of this server, 1s');
refused('bytes', 'max_bytes=10241', 'option "max_bytes": 10241 is more than'
    . ' "pcap_api_max_bytes" of this server, 10240');
refused('packets', 'max_packets=38', 'option "max_packets": 38 is more than'
    . ' "pcap_api_max_packets" of this server, 37');
refused('snaplen', 'snaplen=97', 'option "snaplen": 97 is more than'
    . ' "pcap_api_max_snaplen" of this server, 96');
refused('snaplens', 'snaplen=257', 'option "snaplen": 257 is more than'
    . ' "pcap_api_max_snaplen" of this server, 256');
refused('reason', 'duration=1s', 'option "reason" has to be given for captures'
    . ' of static: "pcap_api_require_reason" wants it');
refused('reason', 'reason=', 'option "reason" has to be .*');
is(scalar $fake->events('accepted'), 0, 'no agent was asked for any');

# --- none is named: the server's --------------------------------------------

my $start = time();

ends('duration', '', 'pcap_api_max_duration of this server is reached: 1s',
    limits => "duration=1s $mbit");
cmp_ok(time() - $start, '>=', 1, 'duration: not before');

my $file = ends('bytes', '', 'pcap_api_max_bytes of this server is reached:'
    . ' 10240 bytes', limits => "duration=86400s max_bytes=10240 $mbit");

is(scalar @{ $file->{packets} }, 102, 'bytes: exact');
$file = ends('packets', '', 'pcap_api_max_packets of this server is reached:'
    . ' 37 packets', limits => "duration=86400s max_packets=37 $mbit");
is(scalar @{ $file->{packets} }, 37, 'packets: exact');

# --- as much as is allowed, or less: the user's own -------------------------

ends('duration', 'duration=300ms', 'duration is reached', limits => $mbit);
ends('bytes', 'max_bytes=10k', 'max_bytes is reached',
    limits => "duration=86400s $mbit");
ends('packets', 'max_packets=37', 'max_packets is reached',
    limits => "duration=86400s $mbit");

# --- silence ----------------------------------------------------------------

$start = time();
$file = ends('idle', 'filter=quiet', 'pcap_api_idle_timeout of this server is'
    . ' reached: no packet for 400ms', limits =>
    "duration=86400s $mbit idle=400ms");
cmp_ok(time() - $start, '>=', 0.4, 'idle: not before');
cmp_ok(time() - $start, '<', limit(3), 'idle: soon after');
is(scalar @{ $file->{packets} }, 3, 'idle: what there was');

# one that is not silent goes on
ends('idle', 'duration=1s', 'duration is reached', limits =>
    "$mbit idle=400ms");

# --- snaplen ----------------------------------------------------------------

for my $case ([ 'snaplen', '', 96, 'duration=86400s snaplen=96' ],
    [ 'snaplen', 'snaplen=262144', 96, 'duration=86400s snaplen=96' ],
    [ 'snaplen', 'snaplen=96', 96, 'duration=86400s' ],
    [ 'snaplens', '', 256, 'duration=86400s snaplen=256' ])
{
    my ($place, $query, $want, $limits) = @$case;
    my $c = $nginx->get(path($place, $query));

    is($c->header('x-pcap-limits'), "$limits $mbit", "$place $query: header");
    is($fake->wait_event(5, 'request')->{args}{snaplen}[0], $want,
        "$place $query: agents are asked for $want");
    $c->vanish();
    agents_quiet("$place $query", $fake);
}

# --- a reason ---------------------------------------------------------------

for my $case ([ 'reason', 'reason=INC-7' ], [ 'reasons', '' ],
    [ 'none', '' ])
{
    my $c = $nginx->get(path(@$case));

    status_is($c, 200, "$case->[0]: with \"$case->[1]\"");
    is($c->header('x-pcap-limits'), undef, 'off: no limit is told')
        if $case->[0] eq 'none';
    $c->vanish();
}

# --- pcap-cli: a limit of the server is none of the user's ------------------

for my $case ([ 'duration', 3, [] ], [ 'duration', 0, [ '--duration',
    '300ms' ] ], [ 'packets', 3, [] ], [ 'packets', 0, [ '--max-packets',
    '30' ] ], [ 'duration', 1, [ '--duration', '2s' ],
    qr/2s is more than "pcap_api_max_duration" of this server, 1s/ ])
{
    my ($place, $code, $args, $says) = @$case;
    my $run = cli({ certs => $lab->{certs}, url =>
        "https://localhost:8443/$place" }, [ 'static', 'demo', '-o', 'x',
        @$args ], env => { PCAP_TOKEN => 'good' });

    is($run->{code}, $code, "pcap-cli: $place @$args: $code")
        or diag($run->{stderr});
    like($run->{stderr}, $says || ($code ? qr/LIMIT_REACHED.*pcap_api_max_/s
        : qr/limit reached: --/), "pcap-cli: $place @$args: says so");
}

finish();
