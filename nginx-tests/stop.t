# DELETE stops a running capture from any worker, only by its owner or an
# admin, and what had been captured by then still comes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use Time::HiRes qw(time);


# reuseport: the kernel deals connections out, so that none is idle for long
my $lab = lab(fakes => 2, nginx => { workers => 2,
    listen => 'reuseport sndbuf=8k',
    http => q(log_format who '$pid $request_method $uri';),
    server => 'access_log logs/access.log pcap; access_log logs/who.log who;',
    pcap => 'pcap_api_stop_timeout ' . limit(1) . 's;' }, script => sub {
    my ($c) = @_;

    if (($c->{args}{filter}[0] || '') eq 'cut') {
        # all at once when the last one begins: less than the API holds, more
        # than it gets rid of
        select undef, undef, undef, 0.3 if $c->{n} == 0;
        $c->begin();
        $c->traffic(28, 1400) if $c->{n} == 1;
        return;
    }

    $c->begin();

    if (($c->{args}{filter}[0] || '') eq 'busy') {
        # more than the client takes, and a full ring at the end
        $c->busy();
        $c->traffic(40, 1400) for 1 .. 150;
        $c->end();
        return;
    }

    $c->stay(limit(30), sub { $c->traffic(2) });

    if (($c->{args}{filter}[0] || '') eq 'deaf') {
        # goes on as if nothing had been said
        if ($c->{n} == 0) {
            $c->{event_once} = 1;
            for (1 .. 200) {
                last if $c->peer_state() eq 'rst';
                $c->traffic(1);
                $c->beat();
                select undef, undef, undef, 0.05;
            }
        }
    } else {
        # what stood in the ring
        $c->traffic(100);
    }

    $c->end();
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};

# --- stopped, from both workers -------------------------------------------

# The worker that has a capture, and the one that was asked to stop it.
sub workers_of
{
    my ($c) = @_;

    my $id = capture_id($c);
    my ($runs) = $nginx->log() =~ /\] (\d+)#\d+: .*pcap capture $id of \S+ st/;
    my ($stops) = wait_for(5, sub { slurp($nginx->file('logs/who.log'))
        =~ m{^(\d+) DELETE /v1/captures/$id$}m ? $1 : undef });

    return ($runs, $stops);
}


my %stops = (own => 0, other => 0);

# one in 2^40 runs does not see both
for my $n (1 .. 40) {
    last if $n > 6 && $stops{own} && $stops{other};

    my $c = $nginx->get('/v1/capture/static/demo');

    ok($c->read_until(5, sub { seen_count($c, 1, 3) }), "$n: it runs");

    my $start = time();

    stop_capture($lab, $c);
    cmp_ok(time() - $start, '<', limit(3.5), "$n: soon");

    my $file = capture_ok($c, status => 'stopped', name => "stop $n", last => 1,
        packets => { map { ("web/$_" =>
        $fake->wait_event(5, 'sent', $_, $n)->{sent}) } 0, 1 });

    has_message($file, 'CAPTURE_STOPPED', 'api');
    agents_quiet("stop $n", $fake);

    my ($runs, $by) = workers_of($c);

    ok($runs && $by, "$n: it is known by whom");
    $stops{ $runs == $by ? 'own' : 'other' }++;
}

cmp_ok($stops{own}, '>', 0, 'stopped by the worker that has it');
cmp_ok($stops{other}, '>', 0, 'stopped by the other worker');

# --- whose ----------------------------------------------------------------

my $c = $nginx->get('/v1/capture/static/demo');
my $path = '/v1/captures/' . capture_id($c);

problem_is($nginx->fetch($path, method => 'DELETE', token => 'other'), 404,
    undef, "somebody else's");
problem_is($nginx->fetch($path, method => 'DELETE', token => undef), 401,
    undef, 'no token');
problem_is($nginx->fetch('/v1/captures/' . 'a' x 32, method => 'DELETE'),
    404, undef, 'no such capture');
problem_is($nginx->fetch('/v1/captures/xyz', method => 'DELETE'), 404,
    undef, 'no id');
problem_is($nginx->fetch("$path/", method => 'DELETE'), 404, undef,
    'something behind the id');
ok($c->read_until(3, sub { seen_count($c, 1, 5) }), 'it still runs');
status_is($nginx->fetch($path, method => 'DELETE', token => 'admin'), 202,
    'an admin may');
$c->read_end(10);
capture_ok($c, status => 'stopped', name => 'by the admin');
problem_is($nginx->fetch($path, method => 'DELETE'), 404, undef,
    'it does not run any more');

# --- twice, and at once ---------------------------------------------------

$c = $nginx->get('/v1/capture/static/demo');
$path = '/v1/captures/' . capture_id($c);

my @both = map { $nginx->get($path, method => 'DELETE', no_wait => 1) } 0, 1;

$_->read_end(5) for @both;
is((grep { $_->{status} == 202 || $_->{status} == 404 } @both), 2,
    'two at once') or diag(map { $_->{status} . ' ' } @both);
$c->read_end(10);
capture_ok($c, status => 'stopped', name => 'stopped twice');

# --- an agent that does not end -------------------------------------------

$c = $nginx->get('/v1/capture/static/demo?filter=deaf');
$c->read_until(5, sub { seen_count($c, 1, 3) });

my $start = time();

stop_capture($lab, $c);
cmp_ok(time() - $start, '<', limit(5), 'stop_timeout ends it');

my $file = capture_ok($c, status => 'stopped', name => 'deaf agent');

ok(verdicts_of($file)->{'web/0'}{unknown_since},
    'what the deaf one has lost is not known');
agents_quiet('deaf', $fake);

# --- a stop that the client does not take ---------------------------------

$c = $nginx->get('/v1/capture/static/demo?filter=busy', rcvbuf => 32768);
$start = time();

is($nginx->fetch('/v1/captures/' . capture_id($c), method => 'DELETE')
    ->{status}, 202, 'a client that takes nothing: DELETE');
ok(wait_for(4, sub { !$fake->connections() }), 'not taken: agents are gone');
cmp_ok(time() - $start, '>=', 0.9, 'the rings have their time to drain');
$c->read_end(limit(10));
$file = capture_ok($c, status => 'stopped', name => 'not taken');

my $sent = $fake->sent_in($c, 0, 1);

for my $n (0, 1) {
    my $v = verdicts_of($file)->{"web/$n"};

    is($v->{received}, $v->{packets} + $v->{dropped}, 'every packet counted');
    is($v->{received}, $sent->{"web/$n"}, 'and that is all there were');
    is($v->{stop}, $v->{dropped}, 'dropped at the stop');
    cmp_ok($v->{stop}, '>', 0, 'and that many');
    ok(!$v->{unknown_since}, 'nothing is unknown');
}

has_message($file, 'CAPTURE_STOPPED', 'web/0', qr/not drained/);

# --- a stop behind the end, which the client has not taken yet -------------

$c = $nginx->get('/v1/capture/static/demo?filter=cut', rcvbuf => 4096);
my $id = capture_id($c);
ok(wait_for(5, sub { (() = $nginx->fetch("/v1/captures/$id")->{body}
    =~ /"state":"failed"/g) == 2 }), 'all agents are gone');
is($nginx->fetch("/v1/captures/$id", method => 'DELETE')->{status}, 202,
    'stopped all the same');
select undef, undef, undef, 0.5;           # it is looked at each 100 ms
$c->read_end(limit(10));
ok(wait_for(5, sub { $nginx->fetch("/v1/captures/$id")->{body}
    =~ /"state":"ended"/ }), 'ended');
like($nginx->fetch("/v1/captures/$id")->{body}, qr/"status":"error"/,
    'a stop changes nothing of the end any more');

is(scalar $nginx->workers(), 2, 'both workers live');
like($nginx->access(), qr/ alice stopped /, 'status in the access log');

finish();
