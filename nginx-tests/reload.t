# nginx reload and graceful stop during captures: a running capture goes on
# in its old worker, can be stopped through the new ones, and old workers
# leave when it ends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = lab(fakes => 2, script => sub { $_[0]->usual(1) });
my ($nginx, $fake) = @$lab{qw(nginx fake)};

# --- reload ---------------------------------------------------------------

my $c = $nginx->get('/v1/capture/static/demo');

ok($c->read_until(5, sub { seen_count($c, 1, 3) }), 'it runs');

my @old = $nginx->workers();

ok($nginx->reload(), 'new workers are there');

my $now = (sort { $a <=> $b } ids_of(PcapTest::Pcapng::parse($c->{body},
    partial => 1), 1))[-1];

ok($c->read_until(8, sub { seen_count($c, 1, $now + 25) }),
    'the capture goes on');

# a new one beside it
my $new = $nginx->get('/v1/capture/static/demo');

status_is($new, 200, 'the new worker works');
$new->read_until(5, sub { seen_count($new, 1, 3) });

stop_capture($lab, $c);
capture_ok($c, status => 'stopped', name => 'over a reload',
    packets => $fake->sent_in($c, 0, 1));
ok(wait_for(5, sub { !alive($old[0]) || !-e "/proc/$old[0]" }),
    'the old worker leaves');
ok($new->read_until(5, sub { seen_count($new, 1, 20) }),
    'the new capture goes on');
stop_capture($lab, $new);
capture_ok($new, status => 'stopped', name => 'the new one',
    packets => $fake->sent_in($new, 0, 1));
agents_quiet('reload', $fake);

# --- reload with a change of the group ------------------------------------

$c = $nginx->get('/v1/capture/static/demo');
$nginx->{pcap} = 'pcap_api_static late web/9 ' . $fake->addr(9) . ':9494'
    . ' tls_name=pcap-agent;';
ok($nginx->reload(), 'reload');

my $late = $nginx->get('/v1/capture/static/late?max_packets=3');

$late->read_end(10);
capture_ok($late, status => 'limit', name => 'new group',
    packets => { 'web/9' => 3 });
stop_capture($lab, $c);
capture_ok($c, status => 'stopped', name => 'old configuration',
    packets => $fake->sent_in($c, 0, 1));
agents_quiet('change of the group', $fake);

# --- graceful stop --------------------------------------------------------

$c = $nginx->get('/v1/capture/static/demo?duration=2s');
$c->read_until(5, sub { seen_count($c, 1, 3) });
kill 'QUIT', $nginx->{pid};
$c->read_end(15);
capture_ok($c, status => 'limit', name => 'a graceful stop lets it end',
    packets => $fake->sent_in($c, 0, 1));
is(wait_exit(delete $nginx->{pid}, 10), 0, 'nginx ends');
agents_quiet('quit', $fake);

# --- fast stop ------------------------------------------------------------

$nginx->start();
$c = $nginx->get('/v1/capture/static/demo');
$c->read_until(5, sub { seen_count($c, 1, 3) });
is($nginx->stop('TERM'), 0, 'nginx is stopped');
$c->read_end(5);
ok($c->{eof} && !$c->{complete}, 'the client sees a cut');
agents_quiet('term', $fake);

# --- a worker that dies ---------------------------------------------------

$nginx->{allow} = [ qr/\[alert\].*exited on signal 9/ ];
$nginx->start();
$c = $nginx->get('/v1/capture/static/demo');
$c->read_until(5, sub { seen_count($c, 1, 3) });

my ($worker) = $nginx->workers();

kill 'KILL', $worker;
ok($c->gone(5) && !$c->{complete}, 'the client sees a cut');
agents_quiet('killed worker', $fake);
ok(wait_for(5, sub { my @w = $nginx->workers();
    @w == 1 && $w[0] != $worker }), 'a new worker is there');
ok(wait_for(5, sub { $nginx->fetch('/v1/captures/' . capture_id($c),
    method => 'DELETE')->{status} == 404 }),
    'its captures are not listed any more');
$c = $nginx->get('/v1/capture/static/demo?max_packets=5');
$c->read_end(10);
capture_ok($c, status => 'limit', name => 'after the crash');

finish();
