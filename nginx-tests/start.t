# The start: all agents at once, within the start timeout, and a header as
# soon as it is known who runs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use Time::HiRes qw(time);


my $lab = lab(fakes => 8, nginx => { pcap => 'pcap_api_start_timeout 1500ms;'
    . ' pcap_api_start_parallel 2;' }, script => sub {
    my ($c) = @_;

    my $mode = $c->{args}{filter}[0] || '';

    # silent before the header, or between header and first chunk
    return $c->hang() if $mode eq 'silent' && $c->{n} == 1;

    if ($mode eq 'bare' && $c->{n} == 1) {
        $c->head();
        return $c->hang();
    }

    select undef, undef, undef, 0.4 if $mode eq 'slow';
    $c->usual(1);
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my $start = time();
my $c = $nginx->get('/v1/capture/static/demo');

status_is($c, 200, 'all start');
cmp_ok(time() - $start, '<', limit(1.4), 'not only at the timeout');
stop_capture($lab, $c);
capture_ok($c, status => 'stopped', name => 'all',
    packets => $fake->sent_in($c, 0 .. 7));

for my $mode (qw(silent bare)) {
    $start = time();
    $c = $nginx->get("/v1/capture/static/demo?filter=$mode"
        . '&instance=web/0&instance=web/1');
    status_is($c, 200, "$mode: the other runs");
    cmp_ok(time() - $start, '>=', 1.3, "$mode: not before the timeout");
    cmp_ok(time() - $start, '<', limit(3), "$mode: soon after");
    $c->read_until(5, sub { seen_count($c, 0, 3) });
    stop_capture($lab, $c);

    my $file = capture_ok($c, status => 'partial', name => $mode,
        packets => { 'web/1' => 0, %{ $fake->sent_in($c, 0) } });

    instance_failed($file, 'web/1');
    agents_quiet($mode, $fake);

    $start = time();
    $c = $nginx->fetch("/v1/capture/static/demo?filter=$mode"
        . '&instance=web/1');
    like($c->{status}, qr/^50[24]$/, "$mode alone: status");
    problem_is($c, $c->{status}, undef, "$mode alone");
    cmp_ok(time() - $start, '<', limit(3), "$mode alone: in time");
    agents_quiet("$mode alone", $fake);
}

# one after another (2 at once) would take 1.6 s
$start = time();
$c = $nginx->get('/v1/capture/static/demo?filter=slow'
    . '&instance=web/0&instance=web/1&instance=web/2&instance=web/3');
status_is($c, 200, 'four slow ones, two at once in the handshake');
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'stopped', name => 'slow',
    packets => $fake->sent_in($c, 0 .. 3));

is(scalar @{ $file->{ifaces} }, 4, 'all four run');

# an address nobody answers at: a timeout, not a hang
must(qw(ip link add name dead0 type veth peer name dead1));
must(qw(ip addr add 10.77.0.1/24 dev dead0));
must(qw(ip link set dead0 up));
must(qw(ip link set dead1 up));
must(qw(ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:77 dev dead0 nud
    permanent));
$nginx->{pcap} .= ' pcap_api_static dead web/0 127.1.0.1:9494'
    . ' tls_name=pcap-agent; pcap_api_static dead web/7 10.77.0.2:9494'
    . ' tls_name=pcap-agent;';
ok($nginx->reload(), 'reload');
$start = time();
$c = $nginx->get('/v1/capture/static/dead');
status_is($c, 200, 'a black hole');
cmp_ok(time() - $start, '<', limit(3), 'does not hold the others up');
stop_capture($lab, $c);
instance_failed(capture_ok($c, status => 'partial', name => 'black hole',
    packets => $fake->sent_in($c, 0)), 'web/7');
agents_quiet('all', $fake);

finish();
