# Captures of real and fake agents, started, stopped, cut and throttled at
# random: afterwards the worker has the memory and the files it had, and
# nobody else is left. SOAK_SECONDS (default 20) makes it longer; SOAK_SEED
# repeats a run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Traffic qw(flood);
use Time::HiRes qw(time);

my $SECONDS = $ENV{SOAK_SECONDS} || 20;
my $SEED = $ENV{SOAK_SEED} || time() % 1e6;

srand int $SEED;
diag('SOAK_SEED=' . int $SEED) if $ENV{SOAK_SECONDS};


my $lab = hosts_lab(fakes => 0, nginx => { listen => 'sndbuf=64k', pcap =>
    join ' ', map { "pcap_api_static mixed fake/$_ 127.1.0." . (1 + $_)
    . ':9595 tls_name=pcap-agent;' } 0 .. 5 });
my $nginx = $lab->{nginx};

# each fake agent has a way to fail of its own
my $fake = PcapTest::Fake->new(certs => $lab->{certs}, port => 9595,
    script => sub {
    my ($c) = @_;

    srand $$ . time();

    return $c->refuse('429 Too Many Requests', '{"detail":"full"}')
        if $c->{n} == 1 && rand() < 0.5;
    return $c->cut(1) if $c->{n} == 2 && rand() < 0.3;

    $c->begin();

    my $end = $c->stay(rand(2) + 0.1, sub { $c->traffic(int rand 200,
        16 + int rand 1400) });

    return $c->cut(rand() < 0.5) if $c->{n} == 3 && $end eq 'time';
    return $c->chunk('garbage' x 9) if $c->{n} == 4 && $end eq 'time';

    $c->stay(limit(30), sub { $c->traffic(20, 1000) }) if $end eq 'time';
    $c->end();
});
my @groups = (('/v1/capture/static/demo?interface=eth0') x 2,
    '/v1/capture/static/mixed?', '/v1/capture/static/mixed?format=pcap&');
my ($worker) = $nginx->workers();
my %running;
my %n = map { $_ => 0 } qw(start end stop vanish checked);


sub resources
{
    my $status = slurp("/proc/$worker/status");

    return { rss => ($status =~ /^VmRSS:\s+(\d+)/m)[0],
        fds => scalar(() = glob "/proc/$worker/fd/*") };
}


# One capture more, of any kind.
sub begin_one
{
    my $path = $groups[rand @groups];

    $path .= '&duration=' . int(200 + rand 3000) . 'ms' if rand() < 0.3;
    $path .= '&max_packets=' . int(1 + rand 2000) if rand() < 0.3;

    my $c = $nginx->get($path, no_wait => 1, rand() < 0.3
        ? (rcvbuf => 16384) : ());

    $c->{path} = $path;
    $c->{lazy} = rand() < 0.3;
    $c->{until} = time() + rand 4;
    $running{$c} = $c;
    $n{start}++;
}


# Its time is over: vanish, or ask for the end and take what still comes.
sub end_one
{
    my ($c) = @_;

    if (rand() < 0.4) {
        $n{vanish}++;
        delete $running{$c};
        return $c->vanish(rand() < 0.5);
    }

    # not before it has begun
    if (!$c->{status}) {
        $c->{lazy} = 0;
        $c->{until} = time() + 0.2;
        return;
    }

    $c->{ending} = time() + limit(15);
    $c->{lazy} = 0;
    return if $c->{complete} || $c->{status} != 200;

    $n{stop}++;
    $nginx->fetch('/v1/captures/' . capture_id($c), method => 'DELETE');
}


# What came is a capture, or the whole beginning of one.
sub check_one
{
    my ($c) = @_;

    delete $running{$c};
    $n{end}++;
    fail("$c->{path}: ends in time") if !$c->{complete} && !$c->{eof};
    return if !$c->{status} || $c->{status} != 200
        || $c->{path} =~ /format=pcap&/;

    my $file = eval { PcapTest::Pcapng::parse($c->{body},
        partial => !$c->{complete}) };

    if (!$file || ($c->{complete} && (verdicts_of($file)->{api}{packets}
        != @{ $file->{packets} } || (strict_order($file)
        && !verdicts_of($file)->{api}{late}))))
    {
        fail("$c->{path}: a sound file");
        diag($@, explain(verdicts_of($file || {})));
        return;
    }

    $n{checked}++;
}


# Starts captures for some seconds, then lets all of them end.
sub churn
{
    my ($seconds) = @_;

    my $end = time() + $seconds;
    my $id = 1000 * int $end;

    while (time() < $end || %running) {
        begin_one() if time() < $end && keys %running < 6;

        push our @floods, flood(ns => 'web' . int rand 2, to =>
            $lab->{addr}[0], id => ++$id, count => 500, pps => 2000,
            sizes => [ 16, 1400 ]) if time() < $end && rand() < 0.02;

        for my $c (values %running) {
            $c->pull(0.005) if !$c->{lazy} || rand() < 0.1;

            if ($c->{complete} || $c->{eof}
                || ($c->{ending} && time() > $c->{ending}))
            {
                check_one($c);

            } elsif (!$c->{ending} && time() > $c->{until}) {
                end_one($c);
            }
        }
    }

    wait_for(20, sub { !grep { alive($_) } our @floods });

    for my $a ($fake, @{ $lab->{agents} }) {
        ok(wait_for(3, sub { !$a->connections() }), 'agents are let go');
    }
}


# the pools and caches of a worker need a while to reach their size
churn($SECONDS / 3);

my $before = resources();

churn($SECONDS * 2 / 3);

my $after = resources();

cmp_ok($n{checked}, '>', $SECONDS / 4, 'captures were checked');
diag(join ', ', map { "$_ $n{$_}" } sort keys %n) if $ENV{SOAK_SECONDS};
is(($nginx->workers())[0], $worker, 'the worker has not died');
ok(wait_for(5, sub { resources()->{fds} <= $before->{fds} + 2 }),
    'no file is left open') or diag("$before->{fds} -> "
    . resources()->{fds});
cmp_ok($after->{rss}, '<=', $before->{rss} * 1.1
    + (sanitized() ? 400_000 : 2048),
    "worker memory is flat ($before->{rss} -> $after->{rss} KiB)");

# and it still works
my $c = $nginx->get('/v1/capture/static/demo?interface=eth0&filter=udp');

status_is($c, 200, 'it still works');
wait_exit(flood(ns => 'web0', to => $lab->{addr}[1], id => 1, count => 50,
    pps => 2000), 10);
wait_seen($c, 1, 49, 2);
stop_capture($lab, $c);
capture_ok($c, status => 'stopped', packets => { 'web/0' => 50,
    'web/1' => 50 });
agents_quiet('soak', @{ $lab->{agents} }, $fake);

finish();
