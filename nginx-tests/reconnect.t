# pcap-cli goes on in the same file when a router cuts its stream: real nginx,
# a router in front of it that cuts, and agents that send the same packets to
# every capture: a packet each 10 ms of their clock, numbered by it. So what
# is missing or doubled in the file shows in the numbers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Cli;
use PcapTest::Router;
use JSON::PP;
use Time::HiRes qw(time);

use constant STEP => 10_000_000;      # ns


# The packets of [$from, $to], both in steps.
sub tick
{
    my ($c, $from, $to) = @_;

    $c->packets(map { [ 0, $_ * STEP + $c->{n}, pack('a8NN', 'PCAPTEST',
        $c->{n}, $_ & 0xffffffff) . 'x' x 40 ] } $from .. $to)
        if $to >= $from;
}


# Promises no more than what was sent: nothing is late.
sub ticking
{
    my ($c) = @_;

    $c->begin(skew => $c->{n} * 300_000_000);

    my $at = int($c->now() / STEP) + 1;
    my $end = time() + limit(60);

    while (time() < $end) {
        my $to = int($c->now() / STEP);

        tick($c, $at, $to);
        $at = $to + 1 if $to >= $at;
        $c->beat(($at - 1) * STEP + 9000) if $to >= $at - 1;
        last if $c->peer_state();
        select undef, undef, undef, 0.04;
    }

    $c->end();
}


my $lab = lab(fakes => 2, script => \&ticking, nginx => { workers => 2 });
my $port = 8500;
my ($run, $file);


# Scenes run side by side, each behind a router of its own.
sub router
{
    my (%o) = @_;

    return PcapTest::Router->new(port => $port++, %o);
}


sub api_of
{
    my ($router) = @_;

    return { url => "https://localhost:$router->{port}",
        certs => $lab->{certs} };
}


sub start
{
    my ($router, $scale, @args) = @_;

    return cli_start(api_of($router), [ 'static', 'demo', '-o', 'x',
        '--json', @args ], env => { PCAP_TOKEN => 'good',
        PCAP_CLI_TIME_SCALE => $scale });
}


sub grown
{
    my ($run, $bytes) = @_;

    return wait_for(10, sub { (-s "$run->{dir}/x" || 0) > $bytes });
}


# Jumps in the numbers of one agent: [ missing, ... ]; a number that does not
# rise is a packet that is there twice.
sub jumps
{
    my ($file, $sender) = @_;

    my ($last, @jumps);

    for my $n (ids_of($file, $sender)) {
        push @jumps, $n - $last - 1 if defined $last && $n != $last + 1;
        $last = $n;
    }

    return @jumps;
}


# What every rejoined file shows. Expected: code, status, gaps, parts (at
# least).
sub rejoined_ok
{
    my ($run, $name, %e) = @_;

    my $json = $run->{json} || {};
    my $path = "$run->{dir}/x";
    my $file = eval { PcapTest::Pcapng::parse(slurp($path)) };

    ok(!$run->{hung}, "$name: it ends");
    is($run->{code}, $e{code}, "$name: exit code") or diag($run->{stderr});
    is($json->{status}, $e{status}, "$name: status");
    ok($file, "$name: well-formed") or diag($@), return;

    tshark_ok($path, $name);
    is(strict_order($file), 0, "$name: strict order");
    is($json->{gaps}, $e{gaps}, "$name: gaps");
    cmp_ok($json->{parts}, '>=', $e{parts}, "$name: parts");

    my @gaps = grep { /^pcap-cli GAP / }
        map { @{ $_->{comments} } } @{ $file->{isbs} };

    is(scalar @gaps, $e{gaps}, "$name: GAP messages in the file");
    is(scalar(() = $run->{stderr} =~ /^api: GAP: /mg), $e{gaps},
        "$name: and on standard error");

    is(scalar @{ $file->{packets} }, $json->{packets}, "$name: count");
    is(scalar @{ $file->{ifaces} }, 2, "$name: interfaces, each once");

    my $missing = 0;

    for my $n (0, 1) {
        my @jumps = jumps($file, $n);

        is(scalar(grep { $_ < 0 } @jumps), 0, "$name: web/$n: none twice");
        cmp_ok(scalar @jumps, '<=', $e{jumps} // $e{gaps},
            "$name: web/$n: missing in gaps only") or diag("@jumps");
        $missing += $_ for @jumps;
    }

    ok($e{gaps} || !$missing, "$name: nothing is missing without a gap");

    return $file if $e{no_verdict};

    my $v = verdicts_of($file)->{api} || {};

    is($v->{packets}, $json->{packets}, "$name: the verdict is the sum");

    for my $n (0, 1) {
        my ($last) = grep { $_->{iface} == $n } reverse @{ $file->{isbs} };

        is($last->{usrdeliv}, count_of($file, "web/$n"),
            "$name: web/$n: statistics are the sum") if $last->{usrdeliv};
        is($json->{instances}[$n]{received}, count_of($file, "web/$n")
            + $json->{instances}[$n]{dropped}, "$name: web/$n: ledger")
            if $e{ledger};
    }

    return $file;
}

# --- all that only waits is begun here ------------------------------------

# A life of 8 s, so the next stream is opened 2 s before.
my $eight = router(cut => 8);

my $known = start($eight, 10, '--duration', '21s');
my $pcap = cli_start(api_of($eight), [ 'static', 'demo', '-o', '-',
    '--format', 'pcap', '--max-packets', '2500' ],
    env => { PCAP_TOKEN => 'good', PCAP_CLI_TIME_SCALE => 10 });
my $packets = start($eight, 10, '--max-packets', '3000');
my $bytes = start($eight, 10, '--max-bytes', 56 * 3001 + 5);

# --- Ctrl-C while it reconnects; the router is gone for good --------------

my $router = router();

$run = start($router, 1, '--reconnect-timeout', '30s');
ok(grown($run, 20_000), 'it runs');
$router->tell(refuse => 1, cut => 0.1);
ok(wait_for(10, sub { slurp($run->{err}) =~ /cannot reconnect/ }),
    'it tries to reconnect');
kill 'INT', $run->{pid};
cli_end($run, 10);
rejoined_ok($run, 'Ctrl-C', code => 3, status => 'none', gaps => 1,
    parts => 1, jumps => 0, no_verdict => 1);
cmp_ok($run->{seconds}, '<', limit(15), 'Ctrl-C: at once');

$router->tell(cut => 0, refuse => 0);
$run = start($router, 1, '--reconnect-timeout', '2s');
ok(grown($run, 20_000), 'it runs');
$router->tell(refuse => 1, cut => 0.1);
cli_end($run, 20);
rejoined_ok($run, 'gone', code => 3, status => 'none', gaps => 1, parts => 1,
    jumps => 0, no_verdict => 1);
like($run->{stderr}, qr/not continued: no success within 2 s/, 'it gives up');
like($run->{stderr}, qr/GAP: .*could not be continued/, 'the file says so');

# --- turned off -----------------------------------------------------------

$router->tell(cut => 0, refuse => 0);
$run = start($router, 1, '--no-reconnect');
ok(grown($run, 20_000), 'it runs');
$router->tell(cut => 0.1);
cli_end($run, 10);
is($run->{code}, 3, '--no-reconnect');
is($run->{json}{parts}, 1, '--no-reconnect: one part');
unlike($run->{stderr}, qr/GAP|reconnecting/, '--no-reconnect: no word of it');

my $unknown = start(router(cut => 2), 1, '--max-packets', '900');

# --- the first cut is a gap, those that are known are none ----------------

$run = cli_end($known, 40);
$file = rejoined_ok($run, 'known cuts', code => 3, status => 'partial',
    gaps => 1, parts => 3);
like($run->{stderr},
    qr/the stream was cut after [78]\.\d s .*; reconnecting/, 'it says so');
like($run->{stderr}, qr/^pcap-cli: partial: the stream was cut; .* 1 place/m,
    'and in the end');
like($run->{stderr}, qr/LIMIT_REACHED: duration/, 'by its duration');
cmp_ok($run->{json}{duration_ms}, '>', 20_000, 'all of it');
cmp_ok($run->{json}{duration_ms}, '<', 25_000, 'and no more');
is(scalar(grep { /^pcap-cli GAP / } map { @$_[5 .. $#$_] }
    @{ $file->{packets} }), 1, 'the next packet says it, too');

cli_end($pcap, 20);
is($pcap->{code}, 3, 'pcap, standard output') or diag($pcap->{stderr});
$file = eval { PcapTest::Pcapng::parse_pcap($pcap->{stdout}) } || {};
is(scalar @{ $file->{packets} || [] }, 2500, 'pcap: exact');
is(strict_order($file), 0, 'pcap: strict order');
tshark_ok(spew(work_dir() . '/x.pcap', $pcap->{stdout}), 'pcap');

# --- limits run on --------------------------------------------------------

cli_end($packets, 40);
$file = rejoined_ok($packets, 'max-packets', code => 3, status => 'partial',
    gaps => 1, parts => 3);
is(scalar @{ $file->{packets} }, 3000, 'max-packets: exact') if $file;

cli_end($bytes, 20);
$file = rejoined_ok($bytes, 'max-bytes', code => 3, status => 'partial',
    gaps => 1, parts => 3);
is(scalar @{ $file->{packets} }, 3001, 'max-bytes: exact') if $file;

cli_end($unknown, 40);
$file = rejoined_ok($unknown, 'unknown cuts', code => 3, status => 'partial',
    gaps => 2, parts => 3);
is(scalar @{ $file->{packets} }, 900, 'unknown cuts: exact') if $file;

# Who was handed over was stopped, and named by its successor.
my $log = $lab->{nginx}->log();
my @named = $log =~ /started by [^\n]*continues:([0-9a-f]{32})/g;

cmp_ok(scalar @named, '>=', 3, 'successors name their predecessors');
is(scalar(grep { $log !~ /capture $_ [^\n]*ended: (?:cut|stopped)/ } @named),
    0, 'which were cut or stopped');
like($log, qr/ended: stopped/, 'and one was stopped at least');

# --- an API that has forgotten the capture: the last scene, it forgets all -

$router->tell(cut => 0);
$run = start($router, 1, '--max-packets', '1000');
ok(grown($run, 20_000), 'it runs');
$lab->{nginx}{zone} = 'pcap_api_zone pcap 4m;';
ok($lab->{nginx}->reload(), 'the API forgets its captures');

# The next time it forgets while the old stream of this one still runs. A life
# of 6 s: an overlap of 0.5 s, the clock of web/1 is 0.3 s ahead.
my $early = start(router(cut => 6), 20, '--duration', '14s');

$router->tell(cut => 0.1);
ok(wait_for(10, sub { slurp($run->{err}) =~ /was cut after/ }), 'cut');
$router->tell(cut => 0);
ok(wait_for(15, sub { slurp($early->{err}) =~ /GAP: / }), 'it went on once');
$lab->{nginx}{zone} = 'pcap_api_zone pcap 8m;';
ok($lab->{nginx}->reload(), 'the API forgets its captures again');
cli_end($run, 40);
$file = rejoined_ok($run, 'forgotten', code => 3, status => 'partial',
    gaps => 1, parts => 2);
is(scalar @{ $file->{packets} }, 1000, 'forgotten: exact') if $file;
unlike($run->{stderr}, qr/HTTP 404|cannot reconnect/, 'forgotten: no fault');
like($lab->{nginx}->log(), qr/option "continues": there is no capture/,
    'forgotten: it was refused');

cli_end($early, 30);
rejoined_ok($early, 'forgotten early', code => 3, status => 'partial',
    gaps => 1, parts => 3);
unlike($early->{stderr}, qr/HTTP 404/, 'forgotten early: no fault');

finish();
