# A slow client throttles the agents, costs no memory and makes nothing late;
# a client that takes nothing is ended.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use Time::HiRes qw(time);


my $lab = lab(fakes => 2, nginx => { listen => 'sndbuf=128k',
    pcap => sprintf('pcap_api_reorder_window %dms;'
    . ' pcap_api_heartbeat_timeout %ds; pcap_api_client_stall 2s;',
    limit(500), limit(1)) }, script => sub {
    my ($c) = @_;

    return $c->usual(0) if $c->{n} == 1;

    $c->begin();
    $c->busy();
    $c->end();
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};


# Resident memory of the worker in KiB.
sub worker_rss
{
    my ($pid) = $nginx->workers();

    return (slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m)[0];
}


# --- 2 MB/s ---------------------------------------------------------------

my $c = $nginx->get('/v1/capture/static/demo', rcvbuf => 65536);

status_is($c, 200);
$c->read_end(2, rate => 2_000_000);

my $rss = worker_rss();
my $half = $c->{bytes};

$c->read_end(4, rate => 2_000_000);
cmp_ok($c->{bytes} - $half, '<', 9_000_000 * limit(1), 'it was slow');
cmp_ok($c->{bytes} - $half, '>', 5_000_000, 'it came through');
cmp_ok(worker_rss() - $rss, '<=', sanitized() ? 400_000 : 1024,
    'memory of the worker is flat');
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'stopped', name => 'slow');
my $v = verdicts_of($file);

is($v->{api}{late}, 0, 'nothing is late');
no_message($file, 'CONGESTED');
no_message($file, 'INSTANCE_UNAVAILABLE');

my @seq = ids_of($file, 0);

is_deeply(\@seq, [ 0 .. $#seq ], 'the busy agent is complete in order');
cmp_ok(scalar @seq, '>', 5000, 'and was busy');
agents_quiet('slow', $fake);

# --- the same over HTTP/2 --------------------------------------------------

my $r = curl($lab, '/v1/capture/static/demo?duration=4s', '--http2',
    '--limit-rate', '2M');

is($r->{exit}, 0, 'slow HTTP/2 client') or diag($r->{err});
$file = PcapTest::Pcapng::parse($r->{body});
$v = verdicts_of($file);
is($v->{api}{status}, 'limit', 'HTTP/2: status');
is($v->{api}{packets}, scalar @{ $file->{packets} }, 'HTTP/2: packets');
is($v->{api}{late}, 0, 'HTTP/2: nothing is late');
is(strict_order($file), 0, 'HTTP/2: strict order');
no_message($file, 'INSTANCE_UNAVAILABLE');
@seq = ids_of($file, 0);
is_deeply(\@seq, [ 0 .. $#seq ], 'HTTP/2: complete in order');
agents_quiet('HTTP/2', $fake);

# --- stalled --------------------------------------------------------------

$c = $nginx->get('/v1/capture/static/demo', rcvbuf => 32768);

my $start = time();

ok(wait_for(8, sub { $fake->connections() == 0 }), 'agents are let go');
cmp_ok(time() - $start, '>=', 1.8, 'not before pcap_api_client_stall');
cmp_ok(time() - $start, '<', limit(5), 'soon after');
$c->read_end(10);
ok($c->{eof} && !$c->{complete}, 'the client sees no proper end');

# --- a stall shorter than that --------------------------------------------

$c = $nginx->get('/v1/capture/static/demo', rcvbuf => 32768);
select undef, undef, undef, 0.8;
ok($c->read_until(5, sub { seen_count($c, 0, 3000) }), 'it goes on');
stop_capture($lab, $c);
$file = capture_ok($c, status => 'stopped', name => 'short stall');
is(verdicts_of($file)->{api}{late}, 0, 'nothing is late');
no_message($file, 'INSTANCE_UNAVAILABLE');
agents_quiet('short stall', $fake);

finish();
