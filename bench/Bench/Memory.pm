# Bench::Memory: part (c). Replay agents send as fast as they can, the client
# takes 2 MB a second: everything that could pile up in the worker does. Its
# resident memory is read every second: it must stay where it is after the
# first seconds, and what it has grown by is what the agents cost. Beside it
# the memory of a capture process of the real agent, its ring left out, while
# a flood runs over it.
#
# A worker that never served a capture has not touched half of its code yet.
# "Idle" is therefore the same worker after a short capture of one agent.

package Bench::Memory;

use strict;
use warnings;

use JSON::PP;
use Time::HiRes ();
use Bench::Common;
use Bench::Merge;
use Bench::Nginx;
use Bench::Tap;

our $RATE = 2_000_000;            # bytes a second
our $SIZE = 1400;
our @AGENTS = (16, 100);
our %RUNS = (16 => 3, 100 => 1);
our $SETTLED = 5;                 # seconds
our $FLOOD = 3;                   # seconds
our ($FLAT, $PER_AGENT, $PSS) = (1.10, 160, 8);


sub client_command
{
    my ($agents, $seconds, $rate) = @_;

    return ('curl', '-sS', '--cacert', make_certs() . '/ca.crt', '--tls13-'
        . 'ciphers', $Bench::Nginx::CIPHER, '--limit-rate', $rate,
        '--max-time', $seconds, '-H', 'Authorization: bearer bench', '-o',
        '/dev/null', '-w', '%{size_download}',
        "https://localhost:$Bench::Nginx::PORT/v1/capture/static/m$agents");
}


# Bytes that the client took in so many seconds; 28 is curl's --max-time.
sub client
{
    my ($agents, $seconds, $rate, $each) = @_;

    my ($out, $err) = map { scratch() . "/curl.$_" } qw(out err);
    my $pid = spawn([ pinned('load', client_command($agents, $seconds,
        $rate)) ], out => $out, err => $err);
    my $next;

    wait_for($seconds + 20, sub {
        return 1 if !alive($pid);

        # the seconds count from the answer: all agents have started then
        $next = Time::HiRes::time() + 1
            if !$next && Bench::Tap::written($pid);

        if ($next && $each && Time::HiRes::time() >= $next) {
            $next++;
            $each->();
        }

        return 0;
    });

    my $status = wait_exit($pid, 1);

    die_line("the client with $agents agents failed: " . slurp($err))
        if !defined $status || $status >> 8 != 28;

    return slurp($out);
}


# No agent of the last capture may still hold memory of the worker.
sub settle
{
    my ($replay) = @_;

    wait_for(10, sub { !children($replay) })
        or die_line('replay agents are still there');
}


sub memory
{
    my ($pid) = @_;

    return { rss => 0 + status_kib($pid, 'VmRSS'),
        anon => 0 + status_kib($pid, 'RssAnon') };
}


# One run in a fresh nginx: idle, then a sample each second.
sub one
{
    my ($nginx, $agents, $seconds) = @_;

    my @command = Bench::Merge::replay_command($agents, $SIZE, 0);
    my $replay = spawn([ pinned('load', @command) ],
        err => scratch() . '/replay.err');

    wait_for(5, sub { system('ss -ltnH sport = :9494 | grep -q .') == 0 })
        or die_line('replay does not listen');
    $nginx->start();

    my $fresh = memory($nginx->{worker});

    client(1, 2, '20M');
    settle($replay);

    my $worker = $nginx->{worker};
    my $idle = memory($worker);
    my $cpu = run_seconds($worker);
    my @samples;
    my $bytes = client($agents, $seconds, $RATE,
        sub { push @samples, memory($worker) });

    $cpu = run_seconds($worker) - $cpu;
    settle($replay);
    stop($replay);
    $nginx->check_log();
    $nginx->stop_all();

    return { fresh => $fresh, idle => $idle, samples => \@samples,
        bytes => $bytes, cpu => $cpu, agents => $agents };
}


sub settled
{
    my ($run) = @_;

    my @samples = map { $_->{rss} } @{ $run->{samples} };

    splice @samples, 0, $SETTLED;
    @samples > 2 or die_line('too few samples');

    return sort { $a <=> $b } @samples;
}


sub flatness
{
    my ($run) = @_;

    my @rss = settled($run);

    return $rss[-1] / $rss[0];
}


sub per_agent
{
    my ($run) = @_;

    return ((settled($run))[-1] - $run->{idle}{rss}) / $run->{agents};
}


sub describe
{
    my (@runs) = @_;

    return [ map { {
        agents             => $_->{agents},
        fresh_rss_kib      => $_->{fresh}{rss},
        idle_rss_kib       => $_->{idle}{rss},
        idle_anon_kib      => $_->{idle}{anon},
        rss_kib            => [ map { $_->{rss} } @{ $_->{samples} } ],
        anon_kib           => $_->{samples}[-1]{anon},
        max_over_min       => 0 + sprintf('%.4f', flatness($_)),
        kib_per_agent      => 0 + sprintf('%.1f', per_agent($_)),
        client_bytes       => 0 + $_->{bytes},
        worker_cpu_seconds => 0 + sprintf('%.2f', $_->{cpu}),
    } } @runs ];
}


# The worst number of agents counts, by the median of its runs.
sub worst
{
    my ($of, @runs) = @_;

    my ($value, $spread) = (0, 0);

    for my $agents (@AGENTS) {
        my @values = map { $of->($_) } grep { $_->{agents} == $agents } @runs;

        next if !@values || median(@values) < $value;
        ($value, $spread) = (median(@values), spread(@values));
    }

    return ($value, $spread);
}


sub result
{
    my ($name, $unit, $target, $value, $spread, %more) = @_;

    my $r = {
        name => $name, value => 0 + sprintf('%.3f', $value), unit => $unit,
        target => $target, target_is => 'at most',
        ok => $value <= $target ? JSON::PP::true : JSON::PP::false,
        spread => 0 + sprintf('%.3f', $spread), %more,
    };

    say_line(sprintf '%-30s %8.3f %-12s (target: at most %s)  spread %.1f %% '
        . ' %s', $name, $r->{value}, $unit, $target, 100 * $spread,
        $r->{ok} ? 'ok' : 'ABOVE TARGET');

    return $r;
}


sub worker_results
{
    my (@runs) = @_;

    my %more = (
        runs        => describe(@runs),
        packet_size => $SIZE,
        packets     => int(median(map { $_->{bytes} } @runs)
            / Bench::Merge::block($SIZE)),
        bytes       => median(map { $_->{bytes} } @runs),
        worker_cpu_seconds => 0 + sprintf('%.2f',
            median(map { $_->{cpu} } @runs)),
        cipher      => $Bench::Nginx::CIPHER,
        buffers     => "proxy_buffer_size 64k, ssl_buffer_size "
            . "$Bench::Nginx::SSL_BUFFER, agent chunks of "
            . $Bench::Merge::CHUNK,
        command     => shell_words(client_command(16, quick() ? 10 : 60,
            $RATE)),
        command_agents => shell_words(Bench::Merge::replay_command(16, $SIZE,
            0)),
    );

    return (
        result('worker_memory_flat', 'max/min', $FLAT,
            worst(\&flatness, @runs), %more),
        result('worker_memory_per_agent_kib', 'KiB', $PER_AGENT,
            worst(\&per_agent, @runs), %more),
    );
}


# The flood at all it can send: the capture process falls behind, and all its
# buffers are full.
sub capture_pss
{
    my $self = Bench::Tap::up();
    my @runs = map { Bench::Tap::step($self, 'chain', 0, 1400,
        $FLOOD, pss => 1) } 1 .. (quick() ? 1 : 3);
    my @pss = map { $_->{pss} / 1024 } @runs;

    Bench::Tap::down($self);

    return result('capture_pss_mib', 'MiB', $PSS, median(@pss), spread(@pss),
        runs        => [ map { 0 + sprintf '%.2f', $_ } @pss ],
        packets     => [ map { $_->{packets} } @runs ],
        dropped     => [ map { $_->{dropped} } @runs ],
        bytes       => median(map { $_->{packets} * 1400 } @runs),
        agent_cpu_seconds => [ map { 0 + sprintf '%.2f', $_->{cpu}{agent} }
            @runs ],
        packet_size => 1400,
        cipher      => $Bench::Nginx::CIPHER,
        buffers     => "ring $Bench::Tap::RING_KIB KiB, left out",
        command     => shell_words(Bench::Tap::cli_command()),
        command_agent => shell_words(Bench::Tap::agent_command()),
        command_flood => shell_words(Bench::Tap::flood_command(0, 1400,
            $FLOOD)));
}


sub nginx
{
    return Bench::Nginx->new(groups => { map { my $n = $_; "m$n" => [ map {
        [ "replay/$_", Bench::Merge::addr($_) ] } 0 .. $n - 1 ] }
        1, @AGENTS });
}


sub run
{
    my $seconds = quick() ? 10 : 60;
    my @runs;

    say_line("memory: client limited to $RATE bytes/s, $seconds s a run");

    for my $agents (@AGENTS) {
        for (1 .. (quick() ? 1 : $RUNS{$agents})) {
            push @runs, one(nginx(), $agents, $seconds);
            say_line(sprintf '  %3d agents: idle %d KiB, then %d to %d KiB, '
                . '%.1f KiB an agent, max/min %.3f', $agents,
                $runs[-1]{idle}{rss}, (settled($runs[-1]))[0, -1],
                per_agent($runs[-1]), flatness($runs[-1]));
        }
    }

    return (worker_results(@runs), capture_pss());
}


1;
