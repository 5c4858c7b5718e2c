# One agent dies, stops, hangs or refuses; the others go on, the file and
# the status say what happened to whom.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Traffic qw(flood);


my $lab = hosts_lab(nginx => { pcap => 'pcap_api_static more web/0 '
    . '10.9.1.2:9494 tls_name=pcap-agent; pcap_api_static more web/9 '
    . '10.9.1.2:9999 tls_name=pcap-agent; pcap_api_static none web/9 '
    . '10.9.1.2:9999 tls_name=pcap-agent;' });
my ($nginx, $agents) = @$lab{qw(nginx agents)};
my $id = 10;


sub some_traffic
{
    my ($c, $times, $count) = @_;

    $count ||= 100;
    $id++;
    is(wait_exit(flood(ns => 'web0', to => $lab->{addr}[1], id => $id,
        count => $count, pps => 2000), 10), 0, 'packets are sent');
    wait_seen($c, $id, $count - 1, $times);
}


# --- refusing: one of two, then the only one ------------------------------

my $c = $nginx->get('/v1/capture/static/more?interface=eth0&filter=udp');

status_is($c, 200, 'one agent refuses the connection');
some_traffic($c, 1);
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'partial', packets => { 'web/0' => 100 });

instance_failed($file, 'web/9');
agents_quiet('refused', @$agents);

my $doc = problem_is($nginx->fetch('/v1/capture/static/none'), 502);

is($doc->{targets}[0]{name}, 'web/9', 'the target is named');
ok($doc->{targets}[0]{type} && $doc->{targets}[0]{detail},
    'type and detail of the target');

# --- stopped and continued ------------------------------------------------

$c = $nginx->get('/v1/capture/static/demo?interface=eth0&filter=udp');
some_traffic($c, 2);

my @frozen = ($agents->[0]{pid}, children($agents->[0]{pid}));

kill 'STOP', @frozen;
# web/1 goes on alone after the reorder window
some_traffic($c, 1);
kill 'CONT', @frozen;
some_traffic($c, 2);
stop_capture($lab, $c);
$file = capture_ok($c, status => 'stopped', late => 1, name => 'stopped '
    . 'for a while', packets => { 'web/0' => 300, 'web/1' => 300 });
is(verdicts_of($file)->{'web/1'}{late}, 0, 'only the stopped one is late');
# web/1's packets of that time went out before web/0's could come
cmp_ok(verdicts_of($file)->{'web/0'}{late}, '>', 0, 'which is late');
has_message($file, 'CONGESTED', 'web/0');
agents_quiet('stopped', @$agents);

# --- hanging: no heartbeat for 3 s ----------------------------------------

$c = $nginx->get('/v1/capture/static/demo?interface=eth0&filter=udp');
some_traffic($c, 2);
@frozen = ($agents->[0]{pid}, children($agents->[0]{pid}));

my $start = Time::HiRes::time();

kill 'STOP', @frozen;
ok($c->read_until(10, sub { index($_[0]{body}, 'pcap-api '
    . 'INSTANCE_UNAVAILABLE web/0') >= 0 }), 'the client is told at once');
cmp_ok(Time::HiRes::time() - $start, '>=', 2.5, 'not before 3 s');
cmp_ok(Time::HiRes::time() - $start, '<', limit(5), 'soon after 3 s');
some_traffic($c, 1);
stop_capture($lab, $c);
kill 'CONT', @frozen;
$file = capture_ok($c, status => 'partial', name => 'hanging',
    packets => { 'web/0' => 100, 'web/1' => 200 });
like(verdicts_of($file)->{'web/0'}{unknown_since} || '',
    qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/, 'its counts are unknown since then');
agents_quiet('hanging', @$agents);

# --- killed ---------------------------------------------------------------

$c = $nginx->get('/v1/capture/static/demo?interface=eth0&filter=udp');
some_traffic($c, 2);
$agents->[0]->kill_children();
ok($c->read_until(5, sub { index($_[0]{body}, 'pcap-api '
    . 'INSTANCE_UNAVAILABLE web/0') >= 0 }), 'the client is told at once');
some_traffic($c, 1);
stop_capture($lab, $c);
$file = capture_ok($c, status => 'partial', name => 'killed',
    packets => { 'web/0' => 100, 'web/1' => 200 });
ok(verdicts_of($file)->{'web/0'}{unknown_since}, 'counts are unknown');
ok(!verdicts_of($file)->{'web/1'}{unknown_since}, 'of that one only');
agents_quiet('killed', @$agents);

# --- all killed: an error, and no proper end ------------------------------

$c = $nginx->get('/v1/capture/static/demo?interface=eth0&filter=udp');
some_traffic($c, 2);
$_->kill_children() for @$agents;
$c->read_end(5);
$file = capture_ok($c, status => 'error', cut => 1, name => 'all killed',
    packets => { 'web/0' => 100, 'web/1' => 100 });
has_message($file, 'INSTANCE_UNAVAILABLE', "web/$_") for 0, 1;
agents_quiet('all killed', @$agents);

# --- SIGTERM to all agents: a proper end ----------------------------------

$c = $nginx->get('/v1/capture/static/demo?interface=eth0&filter=udp');
some_traffic($c, 2);
is($_->stop('TERM'), 0, 'agent drains and exits') for @$agents;
$c->read_end(5);
capture_ok($c, status => 'complete', name => 'SIGTERM',
    packets => { 'web/0' => 100, 'web/1' => 100 });

finish();
