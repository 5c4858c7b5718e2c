# Bench::Scale: part (d). One worker merges 1, 10, 100 and 1000 agents that
# send so many packets a second in all, always the same number; then two
# workers serve 100 captures of 10 agents at once. The agents are those of
# bench/swarm: each sends every 20 ms what came since, as pcap-agent does (every
# 5 ms, where the API asks for heartbeats each 15 ms; with the heartbeats, where
# it asks for them each 100 ms and records are few), and heartbeats when the API
# wants them, on the machine's clock.
#
# The rate is the highest of a ladder that 1000 agents come through with: all
# complete, and nobody sent later than $LATE after it was due. Memory is looked
# at twice: while that rate goes through, and with a client that takes 2 MB a
# second, where everything that can pile up does.

package Bench::Scale;

use strict;
use warnings;

use JSON::PP;
use POSIX ();
use Time::HiRes ();
use Bench::Common;
use Bench::Idle;
use Bench::Memory;
use Bench::Merge;
use Bench::Nginx;
use Bench::Plot;

our @AGENTS = (1, 10, 100, 1000);
our $RATE = 1_000_000;            # packets a second, wanted
our $STEP = 0.8;                  # from one rate to the next below
our $STEPS = 8;
our $SIZE = 64;
our $EVERY = 20;                  # ms; pcap-agent: RUN_MAX_SLEEP_MS
our $LATE = 500;                  # ms
our $CONNS = 4096;
our ($RATIO, $PER_AGENT) = (2.0, 160);
our $CAPTURES = 100;
our $OF = 10;                     # agents in each of them

my $PORT = 9494;


sub agents { return quick() ? (10, 1000) : @AGENTS }


sub addr
{
    my ($i) = @_;

    return join('.', unpack 'C4', pack 'N', 0x7f000101 + $i) . ":$PORT";
}


sub nginx
{
    my (%o) = @_;

    return Bench::Nginx->new(conns => $CONNS,
        pcap => 'pcap_api_max_clock_skew 5s; pcap_api_start_timeout 30s;',
        groups => {
        map { my $n = $_; "m$n" => [ map { [ "replay/$_", addr($_) ] }
            0 .. $n - 1 ] } @AGENTS }, %o);
}


sub swarm_command
{
    my ($agents, $connections, $rate, $seconds, @more) = @_;

    my $certs = make_certs();

    return (build_file('bench/swarm'), '--agents', $agents, '--connections',
        $connections, '--size', $SIZE, '--rate', int($rate / $connections),
        '--seconds', $seconds, '--every', $EVERY, '--spread-us',
        $Bench::Idle::SPREAD_US, '--port', $PORT, '--cert',
        "$certs/pcap-agent.crt", '--key', "$certs/pcap-agent.key", '--ca',
        "$certs/ca.crt", '--cipher', $Bench::Nginx::CIPHER, @more);
}


sub swarm
{
    my (@args) = @_;

    my $dir = scratch();
    my $pid = spawn([ pinned('load', swarm_command(@args)) ],
        out => "$dir/swarm.out", err => "$dir/swarm.err");

    wait_for(5, sub { system("ss -ltnH sport = :$PORT | grep -q .") == 0 })
        or die_line('swarm does not listen: ' . slurp("$dir/swarm.err"));

    return $pid;
}


sub drain_command
{
    my (@groups) = @_;

    return (build_file('bench/drain'), '--port', $Bench::Nginx::PORT, '--ca',
        make_certs() . '/ca.crt', '--cipher', $Bench::Nginx::CIPHER,
        map { "/v1/capture/static/m$_" } @groups);
}


# A worker that never served a capture has not touched half of its code.
sub warm
{
    my ($nginx) = @_;

    my $n = $nginx->{workers} == 1 ? 1 : 8 * $nginx->{workers};
    my $pid = swarm(1, $n, 1000 * $n, 1);

    must(join(' ', drain_command((1) x $n), '>/dev/null'));
    stop($pid);
}


sub rss { my ($nginx) = @_; my $sum = 0; $sum += status_kib($_, 'VmRSS')
    for @{ $nginx->{pids} }; return $sum }


sub cpu { my ($nginx) = @_; my $sum = 0; $sum += run_seconds($_)
    for @{ $nginx->{pids} }; return $sum }


# What the agents and the client say when all is over; undef where it failed.
sub ended
{
    my ($swarm, $drain) = @_;

    my $dir = scratch();
    my ($said) = slurp("$dir/swarm.out") =~ /^(\{.*)/m;

    stop($swarm);

    my $status = wait_exit($drain, 1);

    if (!defined $status || $status) {
        say_line('  client: ' . (defined $status ? slurp("$dir/drain.err")
            : 'it has not ended'));
        stop($drain);
        return;
    }

    die_line('swarm failed: ' . slurp("$dir/swarm.err")) if !$said;

    return (decode_json($said), decode_json(slurp("$dir/drain.json")));
}


# The seconds until all agents are there; from then on the largest memory and
# the CPU seconds of the workers and of the load.
sub watch
{
    my ($nginx, $swarm, $drain, $seconds) = @_;

    my $go = scratch() . '/swarm.out';
    my $began = Time::HiRes::time();

    wait_for(60, sub { !alive($drain) || slurp($go) =~ /^go/ });

    my $start = Time::HiRes::time() - $began;
    my %begin = (worker => cpu($nginx), swarm => run_seconds($swarm),
        drain => run_seconds($drain));
    my (%end, $most);

    wait_for($seconds + 90, sub {
        my ($s, $d, $rss) = (run_seconds($swarm), run_seconds($drain),
            rss($nginx));
        $end{swarm} = $s if $s;
        $end{drain} = $d if $d;
        $most = $rss if !$most || $rss > $most;
        return !alive($drain);
    });

    $end{worker} = cpu($nginx);

    return ($start, $most, map { $_ => $end{$_} - $begin{$_} } keys %begin);
}


# One run: agents per capture, captures, packets a second in all.
sub one
{
    my ($nginx, $agents, $captures, $rate, $seconds) = @_;

    my $dir = scratch();

    $nginx->start();
    warm($nginx);

    my $idle = rss($nginx);
    my $swarm = swarm($agents, $agents * $captures, $rate, $seconds);
    my $drain = spawn([ pinned('load', drain_command(($agents) x $captures)) ],
        out => "$dir/drain.json", err => "$dir/drain.err");
    my ($start, $most, %cpu) = watch($nginx, $swarm, $drain, $seconds);
    my ($sent, $got) = ended($swarm, $drain);

    $nginx->check_log();
    $nginx->stop_all();

    return { complete => 0 } if !$sent;

    return {
        agents   => $agents, captures => $captures,
        packets  => $got->{packets}, bytes => $got->{bytes},
        seconds  => $sent->{seconds}, late_ms => $sent->{late_ms},
        per_second => int($got->{packets} / $sent->{seconds}),
        complete => $got->{complete} == $captures && !$got->{dropped}
            && $got->{packets} == $sent->{records},
        cpu      => \%cpu, us => $cpu{worker} * 1e6 / $got->{packets},
        idle     => $idle, rss => $most, start => $start,
    };
}


sub sustained
{
    my ($run) = @_;

    return $run->{complete} && $run->{late_ms} <= $LATE;
}


sub show
{
    my ($run) = @_;

    return say_line('  not complete') if !$run->{packets};

    my $cores = sub { 100 * $run->{cpu}{$_[0]} / $run->{seconds} };

    say_line(sprintf '  %3d x %4d agents: %9s packets/s, worker %.3f us a '
        . 'packet, late %4.0f ms, RSS +%.1f KiB an agent; busy: worker '
        . '%.0f, agents %.0f, client %.0f %%%s', $run->{captures},
        $run->{agents}, commas($run->{per_second}), $run->{us},
        $run->{late_ms}, ($run->{rss} - $run->{idle})
            / $run->{agents} / $run->{captures},
        $cores->('worker'), $cores->('swarm'), $cores->('drain'),
        $run->{complete} ? '' : ', NOT COMPLETE');
}


# The highest rate of the ladder that they come through with.
sub highest
{
    my ($make, $agents, $captures, $rate, $seconds) = @_;

    for (1 .. $STEPS) {
        my $run = one($make->(), $agents, $captures, $rate, $seconds);

        show($run);
        return ($rate, $run) if sustained($run);
        $rate = int($rate * $STEP / $agents / $captures)
            * $agents * $captures;
    }

    return;
}


# The pass that is not timed: is the output of 1000 agents what a plain sort
# of their streams makes?
sub verify
{
    my ($rate) = @_;

    my $dir = scratch();
    my $n = quick() ? 100 : 1000;
    my @start = ('--start', '1700000000000000000');
    my $nginx = nginx(pcap => $Bench::Nginx::REPLAYS)->start();

    mkdir "$dir/in";
    must(swarm_command($n, $n, $rate, 2, @start, '--dump', "$dir/in"));

    my $swarm = swarm($n, $n, $rate, 2, @start);

    must(join(' ', drain_command($n), '--body', "2>$dir/verify.err |",
        build_file('bench/check'), (map { "$dir/in/in.$_.pcapng" }
        0 .. $n - 1), ">$dir/check.json || { cat $dir/verify.err >&2; "
        . 'false; }'));
    stop($swarm);
    $nginx->check_log();
    $nginx->stop_all();
    system('rm', '-rf', "$dir/in");

    my $got = decode_json(slurp("$dir/check.json"));

    say_line(sprintf '  %d agents: %s records, missing %d, back in time %d, '
        . 'sha256 %s', $n, commas($got->{records}), $got->{missing},
        $got->{back}, $got->{complete} ? 'equal' : 'NOT EQUAL');

    return $got;
}


# KiB that the kernel holds for all TCP connections, both their ends.
sub tcp_kib
{
    return slurp('/proc/net/sockstat') =~ /^TCP:.* mem (\d+)/m
        ? $1 * POSIX::sysconf(POSIX::_SC_PAGESIZE()) / 1024 : 0;
}


# With a client that takes little: KiB that the worker has grown by, and the
# kernel.
sub blocked
{
    my ($agents, $rate) = @_;

    my $nginx = nginx()->start();
    my $seconds = 12;
    my ($most, $tcp) = (0, 0);

    warm($nginx);

    my ($idle, $tcp_idle) = (rss($nginx), tcp_kib());
    my $swarm = swarm($agents, $agents, $rate, 3 * $seconds);

    Bench::Memory::client($agents, $seconds, $Bench::Memory::RATE, sub {
        $most = rss($nginx) if rss($nginx) > $most;
        $tcp = tcp_kib() if tcp_kib() > $tcp });
    stop($swarm);
    $nginx->check_log();
    $nginx->stop_all();

    return { rss => $most - $idle, tcp => $tcp - $tcp_idle };
}


sub row
{
    my ($agents, $runs, $grown) = @_;

    my @runs = grep { $_->{agents} == $agents } @$runs;
    my $round = sub { 0 + sprintf $_[0], $_[1] };

    return {
        agents             => $agents,
        packets_per_second => median(map { $_->{per_second} } @runs),
        us_per_packet      => $round->('%.4f', median(map { $_->{us} } @runs)),
        runs_us            => [ map { $round->('%.4f', $_->{us}) } @runs ],
        worker_cores       => $round->('%.3f', median(map {
            $_->{cpu}{worker} / $_->{seconds} } @runs)),
        late_ms            => $round->('%.1f', median(map { $_->{late_ms} }
            @runs)),
        start_seconds      => $round->('%.2f', median(map { $_->{start} }
            @runs)),
        flowing_kib_per_agent => $round->('%.1f', median(map {
            ($_->{rss} - $_->{idle}) / $agents } @runs)),
        $grown->{$agents} ? (
            blocked_kib_per_agent => $round->('%.1f',
                $grown->{$agents}{rss} / $agents),
            blocked_kernel_kib_per_agent => $round->('%.0f',
                $grown->{$agents}{tcp} / $agents)) : (),
    };
}


# In turns, three times.
sub runs
{
    my ($rate, $seconds) = @_;

    my @runs;

    for (1 .. (quick() ? 1 : 3)) {
        for my $agents (agents()) {
            my $run;

            # other work on the machine may make one late: once more
            for (1 .. 3) {
                $run = one(nginx(), $agents, 1, $rate, $seconds);
                show($run);
                last if sustained($run);
            }

            return if !sustained($run);
            push @runs, $run;
        }
    }

    return @runs;
}


sub result
{
    my ($name, $unit, $target, $value, %more) = @_;

    my $at = delete $more{target_is} || 'at most';
    my $r = { name => $name, value => $value, unit => $unit,
        target => $target, target_is => $at,
        ok => !defined $target || !defined $value ? undef
            : ($at eq 'below' ? $value < $target : $at eq 'at most'
                ? $value <= $target : $value >= $target)
            ? JSON::PP::true : JSON::PP::false, %more };

    say_line(sprintf '%-34s %10s %-10s %s  %s', $name,
        defined $value ? $value : '-', $unit,
        defined $target ? "(target: $at $target)" : '(no target)',
        $r->{not_measured} ? "not measured: $r->{not_measured}"
        : !defined $r->{ok} ? '' : $r->{ok} ? 'ok' : 'MISSED');

    return $r;
}


sub table
{
    my (@rows) = @_;

    say_line(sprintf '  %6s %12s %14s %12s %16s %16s', 'agents', 'packets/s',
        'us a packet', 'worker core', 'KiB/agent flow', 'KiB/agent block');
    say_line(sprintf '  %6d %12s %14.3f %10.0f %% %16.1f %16s',
        $_->{agents}, commas($_->{packets_per_second}), $_->{us_per_packet},
        100 * $_->{worker_cores}, $_->{flowing_kib_per_agent},
        $_->{blocked_kib_per_agent} || '-') for @rows;
}


sub plot
{
    my (@rows) = @_;

    my $dir = top() . '/bench/out';

    mkdir $dir;
    spew("$dir/scale.svg", Bench::Plot::svg(
        { title => 'CPU of the worker, microseconds a packet',
          series => [ [ 'a packet', [ map { [ $_->{agents},
              $_->{us_per_packet} ] } @rows ] ] ] },
        { title => 'Memory of the worker, KiB an agent',
          limit => $PER_AGENT,
          series => [ [ 'client blocks', [ map { [ $_->{agents},
              $_->{blocked_kib_per_agent} ] } @rows ] ],
              [ 'flowing', [ map { [ $_->{agents},
              $_->{flowing_kib_per_agent} ] } @rows ] ] ] }));
    say_line('written: bench/out/scale.svg');
}


sub one_worker
{
    my ($seconds) = @_;

    my $rate = $ENV{BENCH_RATE} || $RATE;

    $rate = quick() ? 200_000 : (highest(\&nginx, 1000, 1, $rate,
        $seconds))[0];

    return result('scale_cpu_1000_vs_10_ratio', 'ratio', $RATIO, undef,
        not_measured => 'no rate was kept up with') if !$rate;

    my @runs = runs($rate, $seconds);

    return result('scale_cpu_1000_vs_10_ratio', 'ratio', $RATIO, undef,
        not_measured => 'the rate was not kept up with three times') if !@runs;

    my $check = verify($rate);
    my %grown = quick() ? () : map { $_ => blocked($_, $rate) } agents();
    my @rows = map { row($_, \@runs, \%grown) } agents();
    my %at = map { $_->{agents} => $_ } @rows;
    my ($most) = sort { $b <=> $a } grep { defined }
        @{ $at{1000} }{qw(flowing_kib_per_agent blocked_kib_per_agent)};
    my %more = (
        table       => \@rows,
        packets     => $runs[0]{packets},
        bytes       => $runs[0]{bytes},
        packet_size => $SIZE,
        seconds     => $seconds,
        cipher      => $Bench::Nginx::CIPHER,
        buffers     => 'proxy_buffer_size 64k, ssl_buffer_size '
            . "$Bench::Nginx::SSL_BUFFER, agents send every $EVERY ms",
        command     => shell_words(drain_command(1000)),
        command_agents => shell_words(swarm_command(1000, 1000, $rate,
            $seconds)),
    );

    table(@rows);
    plot(@rows) if !quick();

    return (
        result('scale_cpu_1000_vs_10_ratio', 'ratio', $RATIO,
            0 + sprintf('%.3f', $at{1000}{us_per_packet}
                / $at{10}{us_per_packet}), target_is => 'below',
            check => $check, %more),
        result('scale_rss_per_agent_kib', 'KiB', $PER_AGENT, $most, %more),
        result('scale_packets_per_second', '1/s', undef,
            $at{1000}{packets_per_second}, wanted => $RATE, %more),
    );
}


# 100 captures at once, two workers.
sub many
{
    my ($seconds) = @_;

    my $top = $ENV{BENCH_RATE} || (quick() ? 100_000 : $RATE);
    my $make = sub { nginx(workers => 2, listen => 'reuseport') };
    my ($rate, $run) = highest($make, $OF, $CAPTURES, $top, $seconds);
    my $name = "scale_${CAPTURES}x${OF}_packets_per_second";
    my $all = result("scale_${CAPTURES}x${OF}_complete", 'captures',
        $CAPTURES, $run && $run->{complete} ? $CAPTURES : 0,
        target_is => 'at least');

    return ($all, result($name, '1/s', undef, undef,
        not_measured => 'no rate was kept up with')) if !$run;

    return ($all, result($name, '1/s', undef, $run->{per_second},
        captures    => $CAPTURES, agents => $OF, workers => 2,
        us_per_packet => 0 + sprintf('%.4f', $run->{us}),
        workers_cores => 0 + sprintf('%.3f', $run->{cpu}{worker}
            / $run->{seconds}),
        rss_kib_per_capture => 0 + sprintf('%.1f',
            ($run->{rss} - $run->{idle}) / $CAPTURES),
        packets     => $run->{packets}, bytes => $run->{bytes},
        late_ms     => $run->{late_ms}, packet_size => $SIZE,
        seconds     => $seconds, cipher => $Bench::Nginx::CIPHER,
        command_agents => shell_words(swarm_command($OF, $OF * $CAPTURES,
            $rate, $seconds))));
}


# BENCH_CASE=one or many runs that one alone.
sub run
{
    my $seconds = quick() ? 1 : 6;
    my $case = $ENV{BENCH_CASE} || '';
    my @results;

    say_line("scale: packets of $SIZE bytes, agents send every $EVERY ms, TLS "
        . "1.3 $Bench::Nginx::CIPHER on both legs, $seconds s a run");

    push @results, one_worker($seconds) if $case ne 'many';
    push @results, many($seconds) if $case ne 'one';

    return @results;
}


1;
