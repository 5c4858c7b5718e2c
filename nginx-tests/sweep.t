# What workers leave that are gone: their captures have ended, their agents
# stop, the places of their token checks are free, everybody else goes on. Also
# an old worker of a reload, whose place nobody takes, and a worker whose pid is
# somebody else's now.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use JSON::PP;
use PcapTest::AgentClient;
use PcapTest::Lab;
use PcapTest::Traffic qw(flood);


# A token endpoint that takes connections and says nothing.
my $mute = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1')
    or die "listen: $!";
my $mute_port = $mute->sockport();
my $lab = hosts_lab(nginx => { workers => 2, listen => 'reuseport',
    allow => [ qr/\[alert\].*exited on signal 9/ ], server =>
    'location /v1/mute/ { pcap_api on; pcap_api_introspection /_mute;'
    . ' pcap_api_introspection_rate off; pcap_api_introspection_inflight 18;'
    . ' pcap_api_static demo web/0 127.1.0.1:9494 tls_name=pcap-agent; }'
    . 'location = /_mute { internal; proxy_pass'
    . " http://127.0.0.1:$mute_port; }" });
my $nginx = $lab->{nginx};
my $path = '/v1/capture/static/demo?interface=eth0&filter=udp';


sub show
{
    my ($id, %o) = @_;

    my $c = $nginx->fetch("/v1/captures/$id", %o);

    return $c->{status} == 200 ? decode_json($c->{body}) : {};
}


# Captures until each of @workers has one; what is too many is stopped.
sub on_workers
{
    my (@workers) = @_;
    my %on;

    for my $try (1 .. 40) {
        my $c = $nginx->get($path);
        my $id = capture_id($c);
        my $pid = wait_for(5, sub { ($nginx->log()
            =~ /(\d+)#\d+: \*\d+ pcap capture $id of \S+ started/)[0] });

        if (!grep { $_ == $pid && !$on{$pid} } @workers) {
            stop_capture($lab, $c);
            next;
        }

        $on{$pid} = $c;
        last if keys %on == @workers;
    }

    return @on{@workers};
}


# How many captures the agents serve, as they say themselves.
sub running
{
    return join ' ', map { (PcapTest::AgentClient->fetch($_,
        '/v1/status'))[1]{captures_running} } @{ $lab->{agents} };
}


sub swept_ok
{
    my ($id, $name) = @_;

    my $doc;

    ok(wait_for(5, sub { ($doc = show($id))->{state} eq 'ended' }),
        "$name: swept");
    is("$doc->{status} $doc->{end_reason}", 'error worker died', $name);
    like($doc->{ledger}{unknown_since}, qr/^20\S+\.\d{3}Z$/,
        "$name: what it has lost is not known");
    like($_->{ledger}{unknown_since}, qr/^20\S+\.\d{3}Z$/,
        "$name: of $_->{name}") for @{ $doc->{targets} };
    ok(wait_for(3, sub { $nginx->log()
        =~ /\[warn\].*pcap capture $id of demo ended: worker died/ }),
        "$name: somebody said so");
    problem_is($nginx->fetch("/v1/captures/$id", method => 'DELETE'), 404,
        undef, "$name: it cannot be stopped");
}

my @workers = $nginx->workers();
my @c = on_workers(@workers);
my @id = map { capture_id($_) } @c;

is(running(), '2 2', 'two captures at each agent');

# --- one dies -------------------------------------------------------------

# while numbered packets come; the other one's file has all of them
my $flood = flood(ns => 'web0', to => $lab->{addr}[1], id => 1,
    count => 4000, pps => 1000, size => 100);

wait_seen($c[1], 1, 1000, 1);
kill 'KILL', $workers[0];
ok($c[0]->gone(5) && !$c[0]->{complete}, 'its client sees a cut');
swept_ok($id[0], 'killed');
wait_exit($flood, 10);
wait_seen($c[1], 1, 3999, 2);
ok(wait_for(5, sub { running() eq '1 1' }), 'its agents have stopped')
    or diag(running());
is(show($id[1])->{state}, 'running', 'the other one runs');
ok(wait_for(5, sub { $nginx->workers() == 2 }), 'a new worker is there');

# --- an old worker dies ---------------------------------------------------

ok($nginx->reload(), 'reload');
is(show($id[1])->{state}, 'running', 'it is seen by the new ones');
kill 'KILL', $workers[1];
swept_ok($id[1], 'an old one killed');
ok(wait_for(5, sub { running() eq '0 0' }), 'its agents have stopped, too');
is(scalar $nginx->workers(), 2, 'nobody took its place');

# --- and its pid is somebody else's before that is seen -------------------

@workers = $nginx->workers();

my ($c2) = on_workers($workers[0]);
my $id = capture_id($c2);

ok($nginx->reload(), 'reload');

my @new = grep { $_ != $workers[0] } $nginx->workers();

kill 'STOP', @new;
kill 'KILL', $workers[0];
ok(wait_for(5, sub { !-e "/proc/$workers[0]" }), 'an old one is gone');
open my $last, '+<', '/proc/sys/kernel/ns_last_pid' or die "last pid: $!";
syswrite $last, $workers[0] - 1;

my $heir = fork_child('heir', sub { sleep 60 });

is($heir, $workers[0], 'another process has its pid');
kill 'CONT', @new;
swept_ok($id, 'with an heir');
ok(alive($heir), 'who lives on');
stop_child($heir, 'TERM', 5);

# --- one with token checks under way --------------------------------------

sub ask
{
    return map { $nginx->get('/v1/mute/captures', token => "guess$_",
        no_wait => 1) } 1 .. $_[0];
}


# Those that hold a place: neither refused nor cut.
sub holding
{
    my (@c) = @_;

    $_->read_until(0.01, sub { 0 }) for @c;

    return grep { !$_->{status} && !$_->{eof} } @c;
}


ok(wait_for(5, sub { $nginx->workers() == 2 }), 'two workers');
@workers = $nginx->workers();

my @held = ask(18);

ok(wait_for(5, sub { holding(@held) == 16 }), 'all places are taken');
is(join(' ', map { $_->{status} || () } @held), '503 503', 'that is said');
@held = holding(@held);
kill 'KILL', $workers[0];
ok(wait_for(5, sub { holding(@held) < 16 && !alive($workers[0]) }),
    'a worker with places dies');
@held = holding(@held);
cmp_ok(scalar @held, '>', 0, 'another one keeps its own');

my ($next, @next);

ok(wait_for(4, sub { ($next) = ask(1); $next->read_until(0.2, sub {
    $_[0]{status} }); holding($next) }), 'its places are free again');
@next = ask(15 - @held + 2);
ok(wait_for(3, sub { holding(@next) == 15 - @held }), 'all of them');
is(join(' ', map { $_->{status} || () } @next), '503 503', 'and no more');
is(scalar holding(@held, $next), @held + 1, 'nobody else has lost one');
$_->vanish(1) for @held, $next, @next;

# --- new ones go on as if nothing had been --------------------------------

my $c = $nginx->get($path);

is(show(capture_id($c))->{state}, 'running', 'a new one');
stop_capture($lab, $c);

finish();
