# The client leaves, in every phase: the agents' captures end within a
# second, nothing is started for nobody, and nobody else notices.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Traffic qw(flood);
use Time::HiRes qw(time);


my $lab = lab(fakes => 3, nginx => { listen => 'sndbuf=128k' },
    script => sub {
    my ($c) = @_;

    my $mode = $c->{args}{filter}[0] || '';

    return $c->hang() if $mode eq 'mute';

    if ($mode eq 'flood') {
        $c->begin();

        while (!$c->peer_state()) {
            $c->traffic(40, 1400);
            spew("$c->{file}.at$c->{n}", $c->{sent});
        }

        return;
    }

    $c->usual(1);
});
my ($nginx, $fake, $uaa) = @$lab{qw(nginx fake uaa)};


# After the client left: every agent connection is gone within a second.
sub left_alone
{
    my ($name) = @_;

    my $start = time();
    my $gone = wait_for(1, sub { !$fake->connections() });

    ok($gone, "$name: agents are gone within 1 s")
        or diag(sprintf 'still %d after %.2f s', $fake->connections(),
        time() - $start);
    wait_for(10, sub { !$fake->connections() });
}


# Bytes that wait in the sending socket of an agent.
sub queued
{
    my ($agent) = @_;

    my ($most) = sort { $b <=> $a } map { (split)[1] }
        grep { /:$agent->{port}\s/ }
        `ip netns exec $agent->{host}{ns} ss -Htn state established`;

    return $most || 0;
}


# Waits until no flooding agent gets on: none has sent more for 300 ms.
sub blocked
{
    my ($last, $since) = ('', time());

    return wait_for(10, sub {
        my $now = join ' ', map { slurp("$fake->{file}.at$_") || '?' } 0 .. 2;

        ($last, $since) = ($now, time()) if $now ne $last || $now =~ /\?/;

        return time() - $since > 0.3;
    });
}


for my $hard (0, 1) {
    my $how = $hard ? 'RST' : 'FIN';

    # during introspection
    $uaa->tell(delay => 0.7);
    $uaa->token("fresh$hard", scope => ['pcap.capture']);

    my $before = $fake->events('accepted');
    my $seen = $uaa->seen();
    my $c = $nginx->get('/v1/capture/static/demo', no_wait => 1,
        token => "fresh$hard");

    ok(wait_for(5, sub { $uaa->seen() > $seen }), "$how: introspection runs");
    $c->vanish($hard);
    select undef, undef, undef, 1.2;
    is(scalar $fake->events('accepted'), $before,
        "$how during introspection: nothing was started");
    $uaa->tell(delay => 0);

    # while the agents are being opened
    $c = $nginx->get('/v1/capture/static/demo?filter=mute', no_wait => 1);
    ok(wait_for(5, sub { $fake->events('request') >= 3 }),
        "$how: agents have the request");
    ok(wait_for(5, sub { $fake->connections() == 3 }), "$how: all are open");
    $c->vanish($hard);
    left_alone("$how during open");

    # streaming
    $c = $nginx->get('/v1/capture/static/demo');
    ok($c->read_until(5, sub { seen_count($c, 2, 1) }), "$how: it streams");
    is($fake->connections(), 3, 'three agents');
    $c->vanish($hard);
    left_alone("$how while streaming");

    # under back-pressure: nothing more fits
    unlink glob "$fake->{file}.at*";
    $c = $nginx->get('/v1/capture/static/demo?filter=flood',
        rcvbuf => 32768);
    ok(blocked(), "$how: nothing more fits");
    is($fake->connections(), 3, 'three agents');
    $c->vanish($hard);
    left_alone("$how while blocked");

    # right after DELETE
    $c = $nginx->get('/v1/capture/static/demo');
    is($nginx->fetch('/v1/captures/' . capture_id($c),
        method => 'DELETE')->{status}, 202, 'DELETE');
    $c->vanish($hard);
    left_alone("$how after DELETE");
}

# a half-close counts as gone
my $c = $nginx->get('/v1/capture/static/demo');

$c->read_until(5, sub { seen_count($c, 2, 1) });
shutdown $c->{s}, 1;
left_alone('half-close');
ok($c->gone(2), 'and the connection is closed');

# HTTP/2: the whole client dies
my $pid = spawn('h2', [ 'curl', '-sSN', '--http2', '--cacert',
    $lab->{certs}->file('ca.crt'), '-H', 'Authorization: bearer good',
    '-o', work_dir() . '/h2.pcapng',
    'https://localhost:8443/v1/capture/static/demo' ]);

ok(wait_for(10, sub { -s work_dir() . '/h2.pcapng' }), 'HTTP/2 streams');
is($fake->connections(), 3, 'three agents');
stop_child($pid, 'KILL');
left_alone('HTTP/2 client');

# the form of a POST is on the way: 400, where a client that leaves later has
# 499; nothing but the rest of the form was missing
for my $hard (0, 1) {
    my $how = $hard ? 'RST' : 'FIN';
    my $began = $fake->events('accepted');
    my $refused = () = $nginx->access() =~ /^400 POST /mg;

    $c = $nginx->get('/v1/capture/static/demo', no_wait => 1,
        method => 'POST', headers => [
        [ 'Content-Type', 'application/x-www-form-urlencoded' ],
        [ 'Content-Length', 400 ] ]);
    $c->send_all('filter=');
    # an answer to another request shows that this one was read by now
    status_is($nginx->fetch('/v1/status'), 200);
    $c->vanish($hard);
    ok(wait_for(2, sub { (() = $nginx->access() =~ /^400 POST /mg)
        > $refused }), "$how in the form: the request ends");
    is(scalar $fake->events('accepted'), $began,
        "$how in the form: nothing was started");
}

$c = $nginx->get('/v1/capture/static/demo', form => 'filter=' . 'x' x 393);
status_is($c, 200, 'the whole form starts a capture');
$c->vanish();
left_alone('the whole form');

# others go on
my $other = $nginx->get('/v1/capture/static/demo');

$c = $nginx->get('/v1/capture/static/demo');
$c->read_until(5, sub { seen_count($c, 2, 1) });
$c->vanish(1);
ok(wait_for(2, sub { $fake->connections() == 3 }), 'one of two is gone');
ok($other->read_until(5, sub { seen_count($other, 2, 30) }),
    'the other goes on');
stop_capture($lab, $other);
capture_ok($other, status => 'stopped', name => 'the other');
like($nginx->access(), qr/^499 /m, 'access log has 499');

# --- a real agent under a flood --------------------------------------------

my $net = PcapTest::Net->new();
my @hosts = map { $net->host("web$_") } 0, 1;
my @addr = $net->join_hosts(@hosts);
my $agent = PcapTest::Agent->new(certs => $lab->{certs}, host => $hosts[0]);

$nginx->{pcap} = join ' ', 'pcap_api_static real', @{
    $agent->target('real', 'web/0') }[ 1, 2 ], 'tls_name=pcap-agent;';
ok($nginx->reload(), 'reload');

for my $hard (0, 1) {
    my $how = $hard ? 'RST' : 'FIN';

    for my $read (1, 0) {
        my $name = "$how under a flood, " . ($read ? 'reading' : 'blocked');
        my $flood = flood(ns => 'web1', to => $addr[0], id => 7, count =>
            300_000, pps => 20_000, size => 1200);

        $c = $nginx->get('/v1/capture/static/real?interface=eth0&filter=udp',
            $read ? () : (rcvbuf => 32768));
        status_is($c, 200, $name);

        # it flows: the agent has more than what fits into the sockets
        $read ? ok($c->read_until(10, sub { seen_count($c, 7, 0)
            || length $c->{body} > 8e6 }), "$name: it flows")
            : ok(wait_for(10, sub { queued($agent) > 100_000 }),
            "$name: the agent is held up");
        is($agent->connections(), 1, "$name: one capture");
        $c->vanish($hard);
        agents_quiet($name, $agent);
        ok(alive($flood), "$name: while the flood goes on");
        stop_child($flood);
    }
}

finish();
