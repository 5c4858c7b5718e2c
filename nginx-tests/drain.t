# What becomes of captures when nginx goes: after a reload they go on, all of
# them; when nginx itself ends they have pcap_api_drain_timeout, then they end
# properly, and what a client does not take is cut.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Nginx;
use PcapTest::Pcapng ();
use Time::HiRes qw(time);


my $lab = lab(fakes => 2, script => sub {
    my ($c) = @_;

    $c->begin();

    if (($c->{args}{filter}[0] || '') eq 'busy') {
        $c->busy();
    } else {
        $c->stay(limit(60), sub { $c->traffic(1) });
    }

    $c->end();
}, nginx => { http => 'pcap_api_drain_timeout 3s;',
    pcap => 'pcap_api_stop_timeout 1s;' });
my ($nginx, $fake) = @$lab{qw(nginx fake)};


sub begin
{
    my ($name, $query) = @_;

    my $c = $nginx->get('/v1/capture/static/demo' . ($query || ''));

    status_is($c, 200, "$name: begins");
    ok($c->read_until(5, sub { seen_count($c, 1, 3) }), "$name: runs");

    return $c;
}


sub goes_on
{
    my ($name, $c) = @_;

    1 while $c->pull(0);

    my $at = length $c->{body};

    ok($c->read_until(5, sub { 3 <= (() = substr($c->{body}, $at)
        =~ /PCAPTEST/g) }), "$name: goes on");
}


# The process that has a capture.
sub worker_of
{
    my ($c) = @_;

    my $id = capture_id($c);
    my ($pid) = $nginx->log() =~ /\] (\d+)#\d+: .*pcap capture $id of/;

    return $pid;
}


# Ended by us, and every packet of the agents' has come.
sub drained
{
    my ($name, $c, $seconds) = @_;

    my $start = time();

    ok($c->read_end($seconds || 5), "$name: ends");
    has_message(capture_ok($c, status => 'stopped', name => $name,
        packets => $fake->sent_in($c, 0, 1)), 'CAPTURE_STOPPED', 'api',
        qr/^this server is draining$/, "$name: is told why");

    return time() - $start;
}


# A capture by HTTP/2 that runs.
sub h2
{
    my ($name) = @_;

    our $n;

    my $file = work_dir() . '/h2-' . ++$n;
    my $pid = spawn('curl', [ 'curl', '-sS', '--http2', '-N', '-m',
        limit(100), '--cacert', $lab->{certs}->file('ca.crt'), '-H',
        'Authorization: bearer good', '-D', "$file.head", '-o', $file,
        'https://localhost:8443/v1/capture/static/demo' ]);

    ok(wait_for(5, sub { slurp($file) =~ /PCAPTEST/ }), "$name, HTTP/2: runs");

    my ($id) = slurp("$file.head") =~ /^x-pcap-capture-id: (\w+)/im;

    return { file => $file, pid => $pid, id => $id };
}


sub h2_ends
{
    my ($name, $h2) = @_;

    is(wait_exit($h2->{pid}, 5), 0, "$name: ends properly");

    my $v = verdicts_of(PcapTest::Pcapng::parse(slurp($h2->{file})));

    is($v->{api}{status}, 'stopped', "$name: its verdict");
}


sub gone_within
{
    my ($name, $seconds, @pids) = @_;

    my $start = time();

    ok(wait_for($seconds, sub { !grep { -e "/proc/$_" } @pids }),
        "$name: gone within $seconds s") or diag(time() - $start);
}


# --- configuration -----------------------------------------------------------

for my $case ([ '2s', '3s', 1 ], [ '2s', '2s', 0 ], [ '3s', '2s', 0 ],
    [ undef, '30s', 0 ], [ undef, '31s', 1 ], [ '2s', undef, 1 ],
    [ '0', undef, 0 ])
{
    my ($drain, $shutdown, $good) = @$case;
    my $t = PcapTest::Nginx->new(certs => $lab->{certs}, groups =>
        $nginx->{groups}, http => defined $drain
        ? "pcap_api_drain_timeout $drain;" : '');
    my $name = ($drain || 'default') . ' and ' . ($shutdown || 'none');

    # behind http{}, where a directive may stand as well
    if ($shutdown) {
        my $conf = $t->config() . "worker_shutdown_timeout $shutdown;\n";

        no warnings 'redefine';
        local *PcapTest::Nginx::config = sub { $conf };
        my ($ok, $text) = $t->test_config();

        is($ok ? 1 : 0, $good, "$name: nginx -t") or diag($text);
        like($text, qr/"pcap_api_drain_timeout" \(\d+ ms\) must be below "work/,
            "$name: says why") if !$good;
        next;
    }

    my ($ok, $text) = $t->test_config();

    is($ok ? 1 : 0, $good, "$name: nginx -t") or diag($text);
}

# --- a reload under 20 captures ----------------------------------------------

my @all = map { begin("capture $_") } 1 .. 20;
my @old = $nginx->workers();

my $h2 = h2('over a reload');

ok($nginx->reload(), 'new workers are there');
wait_for(1, sub { $_->read_until(0.05, sub { 0 }) for @all; 0 });
is(scalar(grep { $_->{eof} } @all), 0, 'none is cut');
wait_for(2.5, sub { $_->read_until(0.05, sub { 0 }) for @all; 0 });
is(scalar(grep { $_->{eof} } @all), 0,
    'none is ended by pcap_api_drain_timeout');
goes_on('after the reload', $all[0]);
goes_on('after the reload', $all[19]);

my $new = begin('a new one');

ok(-e "/proc/$old[0]", 'the old worker is at work');
is(worker_of($all[0]), $old[0], 'with what began there');

# one reload more, while these run
my @second = grep { $_ != $old[0] } $nginx->workers();

is(scalar @second, 1, 'one new worker');
is(worker_of($new), $second[0], 'which has the new capture');

ok($nginx->reload(), 'a second reload');
goes_on('first generation', $all[7]);
goes_on('second generation', $new);

for my $c (@all) {
    $nginx->fetch('/v1/captures/' . capture_id($c), method => 'DELETE');
    ok($c->read_end(5), 'over a reload: ends');

    my $file = PcapTest::Pcapng::parse($c->{body});

    is(strict_order($file), 0, 'over a reload: in order');
    is_deeply({ map { ("web/$_" => count_of($file, "web/$_")) } 0, 1 },
        $fake->sent_in($c, 0, 1), 'over a reload: all that was sent');
}

is($nginx->fetch("/v1/captures/$h2->{id}", method => 'DELETE')->{status},
    202, 'HTTP/2: is stopped');
h2_ends('HTTP/2 over a reload', $h2);
gone_within('the old worker', 2, @old);
goes_on('what is left', $new);

# --- nginx goes --------------------------------------------------------------

my $last = begin('of the last generation');
my $stuck = $nginx->get('/v1/capture/static/demo?filter=busy',
    rcvbuf => 65536);
my %half = map { $_ => $nginx->get("/v1/$_", half => 1, no_wait => 1,
    method => m{/token} ? 'PUT' : 'GET') }
    'status', 'capture/static/demo', 'captures/' . capture_id($last)
    . '/token';

$h2 = h2('nginx goes');

my $mine = begin('ends by itself', '?duration=1s');

kill 'QUIT', $nginx->{pid};
ok(wait_for(5, sub { !grep { $_->[3] =~ /nginx: worker process\s*$/ }
    procs() }), 'all workers know');

for my $path (sort keys %half) {
    my $c = $half{$path};

    $c->finish_request();
    $c->read_end(5);
    is($c->{status}, 503, "$path: 503");
    like($c->{body}, qr/draining/, "$path: says draining");
    ok($path eq 'status' || $c->header('retry-after'), "$path: Retry-After");
}

$mine->read_end(5);
capture_ok($mine, status => 'limit', name => 'ends by itself',
    packets => $fake->sent_in($mine, 0, 1));
cmp_ok(drained('of the last generation', $last), '<', limit(3.5),
    'in time');
drained('of an earlier generation', $new);
h2_ends('HTTP/2', $h2, 'stopped');
is(wait_exit(delete $nginx->{pid}, 3), 0, 'nginx ends');
ok($stuck->gone(10) && !$stuck->{complete}, 'what nobody takes is cut');
like($nginx->log(), qr/is cut: its client has not taken/, 'and logged');
agents_quiet('nginx goes', $fake);

# --- one worker goes ---------------------------------------------------------

$nginx->start();
@old = $nginx->workers();
$last = begin('its worker goes');
kill 'QUIT', @old;
drained('its worker goes', $last);
gone_within('the worker', 2, @old);
ok(wait_for(5, sub { $nginx->workers() }), 'the next one is there');
$last = begin('on the next one');
ok($nginx->reload(), 'a reload behind that');
wait_for(3.5, sub { $last->read_until(0.05, sub { 0 }); 0 });
goes_on('a reload behind that', $last);
stop_capture($lab, $last);

# --- nginx goes, and its newest workers have nothing to do --------------------

$last = begin('alone');
@old = $nginx->workers();
ok($nginx->reload(), 'alone: a reload');
kill 'QUIT', $nginx->{pid};
drained('alone', $last);
is(wait_exit(delete $nginx->{pid}, 3), 0, 'alone: nginx ends');
$nginx->start();

# --- a reload to a configuration without this module --------------------------

$last = begin('without the module');
@old = $nginx->workers();

{
    my $conf = $nginx->config();

    $conf =~ s/^load_module \S*pcap\S*;\n//m or die 'not loaded';
    $conf =~ s/^http \{.*//ms;

    no warnings 'redefine';
    local *PcapTest::Nginx::config = sub { $conf };
    ok($nginx->reload(), 'without the module: a reload');
}

# nobody could stop it any more, or tell it that nginx ends
cmp_ok(drained('without the module', $last), '<', limit(3.5),
    'without the module: in time');
gone_within('without the module: the old worker', 2, @old);
ok($nginx->reload(), 'with the module again');

# --- a reload that nginx limits ----------------------------------------------

$nginx->stop();
$nginx->{main} = 'worker_shutdown_timeout 4s;';
$nginx->start();
$last = begin('worker_shutdown_timeout');
ok($nginx->reload(), 'worker_shutdown_timeout: reload');
drained('worker_shutdown_timeout', $last, 5);
agents_quiet('worker_shutdown_timeout', $fake);

finish();
