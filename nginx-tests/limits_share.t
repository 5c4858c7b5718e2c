# What captures of one worker share: pcap_api_worker_bandwidth is filled up
# from below, so the one that wants little gets all of it and the greedy ones
# the rest in equal parts; above pcap_api_worker_cpu it is the same. One
# capture alone is not held back for the sake of others. Beside them runs one
# that is far above a bandwidth of its own: neither it nor its agents are
# taken for stalled or silent in all that time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Pcapng qw(epb);
use Time::HiRes qw(time);


# web/0 and web/1 send as fast as they are read, web/2 2 KB each heartbeat:
# below the 64 KB/s that everybody always has, however slow this build is
my $lab = lab(fakes => 3, script => sub {
    my ($c) = @_;

    return $c->usual(2, size => 1000) if $c->{n} == 2;

    if ($c->{n} > 2) {
        $c->begin();
        $c->stay(limit(60), sub { $c->traffic(1, $c->{n} == 3 ? 12_000 : 60) });
        return $c->end();
    }

    $c->begin();

    my $ts = $c->now();
    my $bytes = join '', map { epb(0, $ts, 'x' x 1400) } 1 .. 40;

    $c->chunk($bytes) while !$c->peer_state();
    $c->end();
}, nginx => { server => 'location /slow/v1/ { pcap_api on;'
    . ' pcap_api_introspection /_pcap_introspect; pcap_api_bandwidth 4k;'
    . ' pcap_api_static demo web/3 127.1.0.4:9494 tls_name=pcap-agent;'
    . ' pcap_api_static demo web/4 127.1.0.5:9494 tls_name=pcap-agent;'
    . ' pcap_api_client_stall 1s; pcap_api_heartbeat_timeout 1s;'
    . ' pcap_api_reorder_window 300ms; }',
    listen => 'sndbuf=128k', pcap => 'pcap_api_bandwidth off;'
    . ' pcap_api_heartbeat 100ms; pcap_api_heartbeat_timeout 60s;'
    . ' pcap_api_max_clock_skew 0;',
    http => 'pcap_api_worker_bandwidth 4m; pcap_api_worker_cpu off;' });
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my $runs = 0;


# A capture that nobody looks at, by curl.
sub greedy
{
    my ($n, @args) = @_;

    my $name = work_dir() . '/greedy' . ++$runs;

    return { name => $name, pid => spawn('curl', [ 'curl', '-sSN', @args,
        '--cacert', $lab->{certs}->file('ca.crt'), '-H',
        'Authorization: bearer good', '-o', "$name.body", '-D', "$name.head",
        "https://localhost:8443/v1/capture/static/demo?instance=web/$n" ],
        out => "$name.out") };
}


# Bytes per second of some over the time that the block takes.
sub rates
{
    my ($greedy, $code) = @_;

    my $start = time();
    my @before = map { -s "$_->{name}.body" || 0 } @$greedy;

    $code->();

    my $took = time() - $start;

    return map { ((-s "$greedy->[$_]{name}.body" || 0) - $before[$_]) / $took }
        0 .. $#$greedy;
}


sub begun
{
    my ($g) = @_;

    return wait_for(10, sub { (-s "$g->{name}.body" || 0) > 100_000 });
}


# Reads the modest one for some seconds; it must keep up all the time.
sub modest
{
    my ($c, $seconds, $name) = @_;

    my $end = time() + $seconds;
    my ($last, $gap) = (time(), 0);

    while (time() < $end) {
        if ($c->pull(0.05)) {
            $last = time();
        } elsif (time() - $last > $gap) {
            $gap = time() - $last;
        }
    }

    cmp_ok($gap, '<', limit(0.5), "$name: the modest one comes all the time");
}


sub modest_ok
{
    my ($c, $name) = @_;

    stop_capture($lab, $c);

    my $file = capture_ok($c, status => 'stopped', name => $name, packets =>
        $fake->sent_in($c, 2));

    no_message($file, 'CONGESTED', "$name: the modest one is not held back");

    return $file;
}


sub end_greedy
{
    my ($g) = @_;

    stop_child($g->{pid}, 'TERM', 5);

    my $text = slurp("$g->{name}.body");

    unlink "$g->{name}.body";

    return $text;
}


sub worker_cpu
{
    my ($pid) = $nginx->workers();
    my @f = split / /, (slurp("/proc/$pid/stat") =~ /\) (.*)/s)[0];

    return ($f[11] + $f[12]) / 100;
}

# --- bandwidth --------------------------------------------------------------

my $slow = $nginx->get('/slow/v1/capture/static/demo');
my $slow_since = time();
my $c = $nginx->get('/v1/capture/static/demo?instance=web/2');
my @greedy = (greedy(0, '--http1.1'), greedy(1, '--http2'));

ok(begun($_), 'a greedy one runs') for @greedy;
modest($c, 0.5, 'begin');

my @rate = rates(\@greedy, sub { modest($c, 2.5, 'bandwidth') });

# 4 MiB/s less what the modest one takes, by two
cmp_ok($_, '>', 1.5e6, 'bandwidth: a greedy one gets its part') for @rate;
cmp_ok($_, '<', 2.6e6, 'bandwidth: and no more') for @rate;
modest_ok($c, 'bandwidth');

# --- far above a bandwidth of its own --------------------------------------

select undef, undef, undef, 4 - (time() - $slow_since)
    if time() - $slow_since < 4;
$slow->read_until(0.2, sub { 0 });

my $most = 4096 * (time() - $slow_since + 1) + 2 * 12_000;

cmp_ok($slow->{bytes}, '<', $most, 'slow: no more than it may');
ok(!$slow->{eof}, 'slow: it is not taken for stalled');
$nginx->fetch('/v1/captures/' . capture_id($slow), method => 'DELETE');
$slow->read_end(5);

my $file = capture_ok($slow, status => 'stopped', name => 'slow');

is(verdicts_of($file)->{api}{late}, 0, 'slow: nothing is late');
no_message($file, 'INSTANCE_UNAVAILABLE', 'slow: nobody is taken for silent');
has_message($file, 'CONGESTED', 'api', qr/held back to 4096 bytes/,
    'slow: it is told why');

# --- the greedy ones end ---------------------------------------------------

# a stop does not wait for what is held back
my ($id) = slurp("$greedy[1]{name}.head") =~ /^x-pcap-capture-id: (\w+)/mi;

is($nginx->fetch("/v1/captures/$id", method => 'DELETE')->{status}, 202,
    'bandwidth: a greedy one is stopped');
is(wait_exit($greedy[1]{pid}, 3), 0, 'bandwidth: it ends within 3 s');
like(slurp("$greedy[1]{name}.body"), qr/CAPTURE_STOPPED api: stopped/,
    'bandwidth: and properly');

my $body = end_greedy($greedy[0]);

end_greedy($greedy[1]);
like($body, qr/CONGESTED api: held back to \d+ bytes.s, its share of what/,
    'bandwidth: a greedy one is told why');
agents_quiet('bandwidth', $fake);

# --- CPU --------------------------------------------------------------------

$nginx->{http} = 'pcap_api_worker_cpu 10%;';
ok($nginx->reload(), 'reload');

my $alone = greedy(0);

ok(begun($alone), 'a greedy one runs alone');

my $before = worker_cpu();
my ($fast) = rates([$alone], sub { select undef, undef, undef, 0.7 });
my $load = (worker_cpu() - $before) / 0.7;

unlike(slurp("$alone->{name}.body"), qr/CONGESTED/,
    "alone: it is not held back ($load of a core)");
$c = $nginx->get('/v1/capture/static/demo?instance=web/2');
modest($c, 1.5, 'begin');
$before = worker_cpu();

my $start = time();
my ($held) = rates([$alone], sub { modest($c, 2, 'CPU') });

$load = (worker_cpu() - $before) / (time() - $start);
cmp_ok($load, '<', 0.2, "CPU: held back to 10 % of a core ($load)");
cmp_ok($held, '<', $fast, 'CPU: slower than alone');
cmp_ok($held, '>', 65536, 'CPU: but not stopped');
modest_ok($c, 'CPU');
like(end_greedy($alone), qr/CONGESTED api: held back to \d+ bytes.s, its/,
    'CPU: and told why');
agents_quiet('CPU', $fake);

finish();
