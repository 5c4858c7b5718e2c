# Bench::Idle: what a capture without a packet costs the API. Replay agents
# send heartbeats alone, ten a second each, at multiples of 100 ms by clocks
# that are up to 2 ms apart, and the worker's time is read over
# some seconds: TLS, scanner, watermarks, deadlines and the statistics that
# are due. The client is a curl that gets next to nothing.

package Bench::Idle;

use strict;
use warnings;

use JSON::PP;
use Time::HiRes ();
use Bench::Common;
use Bench::Merge;
use Bench::Nginx;
use Bench::Tap;

our $BEATS = 10;                  # a second
our $SPREAD_US = 2000;            # of the clocks of many machines
our @AGENTS = (10, 100, 1000);
our ($EACH, $ALL) = (0.03, 30);   # % of a core: of 100 each, of 1000 together

my $PORT = 9494;


# 127.0.1.1 and what follows, as bench/replay counts.
sub addr
{
    my ($i) = @_;

    return join('.', unpack 'C4', pack 'N', 0x7f000101 + $i) . ":$PORT";
}


sub replay_command
{
    return (Bench::Merge::replay_command($AGENTS[-1], 64, 0), '--idle',
        $BEATS, '--spread-us', $SPREAD_US);
}


sub client_command
{
    my ($agents) = @_;

    return ('curl', '-sSN', '--cacert', make_certs() . '/ca.crt',
        '-H', 'Authorization: bearer bench', '-o', '/dev/null',
        "https://localhost:$Bench::Nginx::PORT/v1/capture/static/i$agents");
}


sub wait_all_gone
{
    my ($replay) = @_;

    wait_for(20, sub { !children($replay) })
        or die_line('replay agents are still there');
}


# Percent of a core that the worker used while so many agents were idle.
sub one
{
    my ($nginx, $replay, $agents, $seconds) = @_;

    my $err = scratch() . '/curl.err';
    my $pid = spawn([ pinned('load', client_command($agents)) ], err => $err);

    wait_for(40, sub { !alive($pid) || Bench::Tap::written($pid) })
        && alive($pid) or die_line("$agents agents: " . slurp($err));

    my $alive = children($replay);
    die_line("$alive agents instead of $agents") if $alive != $agents;

    Time::HiRes::sleep(2);

    my ($began, $used) = (Time::HiRes::time(), run_seconds($nginx->{worker}));

    Time::HiRes::sleep($seconds);

    my $percent = 100 * (run_seconds($nginx->{worker}) - $used)
        / (Time::HiRes::time() - $began);

    die_line("the capture of $agents agents has ended: " . slurp($err))
        if !alive($pid) || children($replay) != $agents;
    stop($pid);
    wait_all_gone($replay);

    return $percent;
}


sub result
{
    my ($name, $value, $target, $seconds, $runs) = @_;

    my $r = {
        name      => $name,
        value     => 0 + sprintf('%.4f', $value),
        unit      => '% of a core',
        target    => $target,
        target_is => 'at most',
        ok        => $value <= $target ? JSON::PP::true : JSON::PP::false,
        heartbeats_per_second => $BEATS,
        clocks_spread_us => $SPREAD_US,
        seconds   => $seconds,
        percent_by_agents => $runs,
        cipher    => $Bench::Nginx::CIPHER,
        command   => shell_words(client_command(100)),
        command_agents => shell_words(replay_command()),
    };

    say_line(sprintf '%-30s %8.4f %% of a core  (target: at most %s)  %s',
        $name, $value, $target, $r->{ok} ? 'ok' : 'ABOVE TARGET');

    return $r;
}


sub run
{
    my $seconds = quick() ? 4 : 30;
    my $nginx = Bench::Nginx->new(conns => 4096, groups => { map { my $n = $_;
        "i$n" => [ map { [ "idle/$_", addr($_) ] } 0 .. $n - 1 ] } @AGENTS },
        pcap => 'pcap_api_start_timeout 30s;');
    my $replay = spawn([ pinned('load', replay_command()) ],
        err => scratch() . '/replay.err');
    my %percent;

    say_line("idle: $BEATS heartbeats a second, $seconds s each");
    wait_for(5, sub { system("ss -ltnH sport = :$PORT | grep -q .") == 0 })
        or die_line('replay does not listen');
    $nginx->start();

    for my $n (@AGENTS) {
        $percent{$n} = one($nginx, $replay, $n, $seconds);
        say_line(sprintf '  %4d agents: %7.3f %% of a core, %.4f %% each',
            $n, $percent{$n}, $percent{$n} / $n);
    }

    stop($replay);
    $nginx->check_log();
    $nginx->stop_all();

    my %runs = map { $_ => 0 + sprintf '%.3f', $percent{$_} } @AGENTS;

    return (
        result('idle_percent_per_agent', $percent{100} / 100, $EACH, $seconds,
            \%runs),
        result('idle_1000_agents_percent', $percent{1000}, $ALL, $seconds,
            \%runs));
}


1;
