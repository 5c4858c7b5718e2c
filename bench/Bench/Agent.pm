# Bench::Agent: the agent alone. Its capture process and a client that only
# reads, against tcpdump, and against a program that does nothing but write as
# many bytes to TLS (bench/sslwrite.c). Two questions: what does a million
# packets cost, and up to which rate is none lost.
#
# The rounds go in turns: tcpdump, agent, sslwrite, and again; a flood of the
# same rate runs beside each of them. Steps, ladder and share of a core are
# Bench::Capture's and Bench::Tap's.

package Bench::Agent;

use strict;
use warnings;

use JSON::PP;
use Time::HiRes ();
use Bench::Capture;
use Bench::Common;
use Bench::Nginx;
use Bench::Tap;

our %RATE = (64 => 150_000, 1400 => 50_000);     # packets a second
our $SECONDS = 5;
our $ROUNDS = 5;
our $MORE = 3;                 # rounds instead of those with a loss
our $CPU_TARGET = 1.3;
our $LOSS_TARGET = 0.8;
our $SSL_PORT = 9495;

# As the API asks for up to 50 agents.
our $CAPTURE = "/v1/capture?interface=$Bench::Tap::IFACE&heartbeat_ms=15";

# No pause of the agent between two turns is longer (agent/run_pace.c): the
# fewest wake-ups, so the least that the bytes can cost.
our $TURN_MS = 20;

*not_measured = \&Bench::Capture::not_measured;

# Nothing more was read for so long: all of it came through.
our $QUIET = 0.3;


sub certs_of
{
    my ($name) = @_;

    my $certs = make_certs();

    return ("$certs/$name.crt", "$certs/$name.key");
}


sub drain_command
{
    my ($port, $path) = @_;

    my ($cert, $key) = certs_of('pcap-api');

    return (Bench::Tap::first_core(), build_file('bench/drain'), '--address',
        $Bench::Tap::AGENT_IP, '--port', $port, '--name', 'pcap-agent',
        '--ca', make_certs() . '/ca.crt', '--cert', $cert, '--key', $key,
        '--cipher', $Bench::Nginx::CIPHER, $path);
}


sub ssl_command
{
    my ($bytes, $seconds) = @_;

    my ($cert, $key) = certs_of('pcap-agent');

    return (Bench::Tap::last_core(), build_file('bench/sslwrite'),
        '--address', $Bench::Tap::AGENT_IP, '--port', $SSL_PORT, '--cert',
        $cert, '--key', $key, '--cipher', $Bench::Nginx::CIPHER, '--bytes',
        $bytes, '--seconds', $seconds, '--turn-ms', $TURN_MS);
}


# What the agent wrote to its log since then.
sub agent_log
{
    my ($run) = @_;

    return substr slurp(scratch() . '/agent.err'), $run->{log_from};
}


# The side "agent": the capture process has said that it starts.
sub agent_start
{
    my ($self) = @_;

    my $dir = scratch();
    my $run = { log_from => -s "$dir/agent.err", out => "$dir/drain.json",
        err => "$dir/drain.err" };
    my $drain = spawn([ drain_command($Bench::Tap::AGENT_PORT,
        $CAPTURE) ], out => $run->{out},
        err => $run->{err});

    wait_for(10, sub { !alive($drain)
            || agent_log($run) =~ /capture starts/ })
        && alive($drain) or die_line('the agent does not start: '
            . slurp($run->{err}) . agent_log($run));

    my ($capture, @more) = children($self->{agent});

    die_line('not one capture process') if !$capture || @more;

    return { %$run, main => $drain, ring => $capture,
        ender => [ 'TERM', $capture ],
        pids => { agent => $capture, listener => $self->{agent},
            client => $drain } };
}


sub agent_done
{
    my ($run) = @_;

    my ($read) = slurp("/proc/$run->{main}/io") =~ /^rchar: (\d+)/m;
    my $now = Time::HiRes::time();

    @$run{qw(read at)} = ($read, $now)
        if !defined $run->{read} || $run->{read} != $read;

    return $now - $run->{at} > $QUIET;
}


# The last counts of the agent, and whether the client has the bytes.
sub agent_end
{
    my ($run) = @_;

    my $got = eval { decode_json(slurp($run->{out})) }
        or die_line('drain said: ' . slurp($run->{err}));
    my ($accepted, $dropped, $sent) = agent_log($run) =~
        /$Bench::Tap::IFACE: accepted (\d+), dropped (\d+), sent (\d+)/
        or die_line('the agent said no counts: ' . agent_log($run));

    die_line("cipher $got->{cipher}")
        if $got->{cipher} ne $Bench::Nginx::CIPHER;

    return ($sent, $dropped, bytes => $got->{bytes});
}


# The bytes of one step of the agent, under the same flood.
sub ssl_step
{
    my ($rate, $size, $bytes) = @_;

    my ($out, $err) = map { scratch() . "/sslwrite.$_" } qw(json err);
    my $pid = spawn([ ssl_command($bytes, $SECONDS) ], out => $out,
        err => $err);

    wait_for(5, sub { !alive($pid) || system("ss -ltnH src "
            . "$Bench::Tap::AGENT_IP:$SSL_PORT | grep -q .") == 0 })
        && alive($pid) or die_line('sslwrite does not start: ' . slurp($err));

    my $drain = spawn([ drain_command($SSL_PORT, '/') ],
        out => scratch() . '/drain.json', err => scratch() . '/drain.err');

    Bench::Tap::flood($rate, $size, $SECONDS);
    defined wait_exit($pid, 20) && defined wait_exit($drain, 20)
        or die_line('sslwrite does not end');

    my $got = eval { decode_json(slurp($out)) };
    my $took = eval { decode_json(slurp(scratch() . '/drain.json')) };

    die_line('sslwrite said: ' . slurp($err))
        if !$got || !$took || $took->{bytes} != $bytes;

    return $got;
}


# One round: CPU seconds per million packets of each, or nothing when one of
# them lost packets.
sub round
{
    my ($self, $size) = @_;

    my $rate = $RATE{$size};
    my ($t, $a) = map { Bench::Tap::step($self, $_, $rate, $size, $SECONDS) }
        qw(tcpdump agent);
    my $s = ssl_step($rate, $size, $a->{bytes});
    my %cpu = (
        tcpdump => $t->{cpu}{tcpdump} / $t->{packets} * 1e6,
        agent   => ($a->{cpu}{agent} + $a->{cpu}{listener}) / $a->{packets}
            * 1e6,
        ssl     => $s->{cpu_seconds} / $a->{packets} * 1e6,
    );
    my $got = { cpu => \%cpu, clean => $t->{clean} && $a->{clean},
        packets => [ $t->{packets}, $a->{packets} ],
        dropped => [ $t->{dropped}, $a->{dropped} ], bytes => $a->{bytes},
        writes => $s->{writes}, turns => $s->{turns},
        late => [ $t->{late_seconds}, $a->{late_seconds} ],
        ratio => $cpu{agent} / ($cpu{tcpdump} + $cpu{ssl}) };

    say_line(sprintf '  %4d bytes: tcpdump %.3f  ssl %.3f  agent %.3f  ratio '
        . '%.3f  dropped %d, %d', $size, @cpu{qw(tcpdump ssl agent)},
        $got->{ratio}, @{ $got->{dropped} }) if $ENV{BENCH_VERBOSE};

    return $got;
}


sub cpu_name
{
    my ($size) = @_;

    return 'agent_cpu_vs_tcpdump_ssl' . ($size == 64 ? '' : "_$size")
        . '_ratio';
}


sub cpu_result
{
    my ($size, $clean, $lost) = @_;

    my @ratios = map { $_->{ratio} } @$clean;
    my $target = $size == 64 ? $CPU_TARGET : undef;
    my $value = median(@ratios);
    my %cpu = map {
        my $who = $_;
        my @all = map { $_->{cpu}{$who} } @$clean;

        $who => { median => 0 + sprintf('%.4f', median(@all)),
            spread => 0 + sprintf('%.3f', spread(@all)) }
    } qw(tcpdump ssl agent);

    return {
        name        => cpu_name($size),
        value       => 0 + sprintf('%.3f', $value),
        unit        => 'ratio',
        target      => $target,
        target_is   => 'at most',
        ok          => defined $target ? $value <= $target
            ? JSON::PP::true : JSON::PP::false : undef,
        spread      => 0 + sprintf('%.3f', spread(@ratios)),
        ratios      => [ map { 0 + sprintf '%.3f', $_ } @ratios ],
        cpu_seconds_per_million_packets => \%cpu,
        rounds      => $clean,
        rounds_with_loss => $lost,
        packet_size => $size,
        rate        => $RATE{$size},
        seconds     => $SECONDS,
        cipher      => $Bench::Nginx::CIPHER,
        buffers     => "ring $Bench::Tap::RING_KIB KiB on both sides",
        command_agent   => shell_words(Bench::Tap::agent_command()),
        command_client  => shell_words(drain_command($Bench::Tap::AGENT_PORT,
            $CAPTURE)),
        command_tcpdump => shell_words(Bench::Tap::tcpdump_command()),
        command_ssl     => shell_words(ssl_command($clean->[0]{bytes},
            $SECONDS)),
        command_flood   => shell_words(Bench::Tap::flood_command(
            $RATE{$size}, $size, $SECONDS)),
    };
}


sub cpu_case
{
    my ($self, $size) = @_;

    my $rounds = quick() ? 1 : $ROUNDS;
    my (@clean, @lost);

    local $SECONDS = quick() ? 1 : $SECONDS;

    $self->{share} = 0;

    while (@clean < $rounds && @lost <= $MORE) {
        my $got = round($self, $size);

        push @{ $got->{clean} ? \@clean : \@lost }, $got;
    }

    return { %{ not_measured(cpu_name($size), $size == 64 ? $CPU_TARGET
        : undef, @lost . ' rounds with a loss') }, target_is => 'at most' }
        if @clean < $rounds;

    my $r = cpu_result($size, \@clean, \@lost);
    my $cpu = $r->{cpu_seconds_per_million_packets};

    say_line(sprintf '%-36s %6.3f %s  agent %.3f  tcpdump %.3f + ssl %.3f CPU '
        . 's per million packets  spread %.0f %%  %s', $r->{name},
        $r->{value}, defined $r->{target} ? "(target at most $r->{target})"
            : '(no target)', map({ $_->{median} } @$cpu{qw(agent tcpdump
        ssl)}), 100 * $r->{spread}, !defined $r->{ok} ? ''
            : $r->{ok} ? 'ok' : 'ABOVE TARGET');

    return $r;
}


sub loss_result
{
    my ($self, $top, $agent, $tcpdump) = @_;

    my $a = Bench::Capture::side($agent, $self->{log}{agent});
    my $t = Bench::Capture::side($tcpdump, $self->{log}{tcpdump});
    my $value = $a->{packets_per_second} / $t->{packets_per_second};

    return {
        name        => 'agent_lossfree_vs_tcpdump_ratio',
        value       => 0 + sprintf('%.3f', $value),
        unit        => 'ratio',
        target      => $LOSS_TARGET,
        ok          => $value >= $LOSS_TARGET ? JSON::PP::true
            : JSON::PP::false,
        spread      => defined $a->{spread}
            ? 0 + sprintf('%.3f', $a->{spread} + $t->{spread}) : undef,
        agent       => $a,
        tcpdump     => $t,
        flood_most  => int($top / $Bench::Capture::MAX_LOAD),
        share       => "$self->{share} % of a core, $self->{quota}: tcpdump, "
            . "the agent's capture process",
        packet_size => 64,
        seconds     => $Bench::Capture::SECONDS,
        cipher      => $Bench::Nginx::CIPHER,
        buffers     => "ring $Bench::Tap::RING_KIB KiB on both sides",
    };
}


# One step of each side under the smallest share: that it works, no figure.
sub loss_quick
{
    my ($self, $name) = @_;

    $self->{share} = $Bench::Capture::SHARES[-1];
    $self->{quota} = $self->{group}->quota($self->{share});
    Bench::Capture::try_step($self, $_, 10_000, 64, 1) for qw(tcpdump agent);

    return not_measured($name, $LOSS_TARGET, 'BENCH_QUICK: one step of each');
}


# As Bench::Capture::case, with a client that only reads.
sub loss_case
{
    my ($self) = @_;

    my $name = 'agent_lossfree_vs_tcpdump_ratio';
    my $runs = 3;

    local $Bench::Capture::SECONDS = $SECONDS;

    return not_measured($name, $LOSS_TARGET, "tcpdump cannot be pinned: "
        . $self->{no_group}) if !$self->{group};

    $self->{log} = {};
    $self->{share} = 0;

    return loss_quick($self, $name) if quick();

    my ($top) = Bench::Capture::flood_limit($self, 64);
    my $whole = Bench::Capture::whole_core($self,
        'agent_lossfree_whole_core_ratio', $LOSS_TARGET, 'agent', $top, $runs);

    Bench::Capture::choose_share($self, $top, 64)
        or return ($whole, not_measured($name, $LOSS_TARGET,
            'tcpdump loses nothing at ' . int($top)
            . '/s even with 1 % of a core'));

    my @tcpdump = Bench::Capture::search($self, 'tcpdump', $top, 64, $runs);
    my @agent = Bench::Capture::search($self, 'agent', $top, 64, $runs);

    return ($whole, not_measured($name, $LOSS_TARGET,
        'no rate without loss was found'))
        if @tcpdump < $runs || @agent < $runs;

    my $r = loss_result($self, $top, \@agent, \@tcpdump);

    say_line(sprintf '%-36s %6.3f (target %s)  agent %s/s  tcpdump %s/s  '
        . 'spread %s  share %s  %s', $name, $r->{value}, $r->{target},
        commas($r->{agent}{packets_per_second}),
        commas($r->{tcpdump}{packets_per_second}), defined $r->{spread}
            ? sprintf('%.0f %%', 100 * $r->{spread}) : '-', $r->{share},
        $r->{ok} ? 'ok' : 'BELOW TARGET');

    return ($whole, $r);
}


my %CASES = (
    cpu64   => sub { cpu_case($_[0], 64) },
    cpu1400 => sub { cpu_case($_[0], 1400) },
    loss64  => \&loss_case,
);


sub run
{
    my @cases = $ENV{BENCH_CASE} ? split(/,/, $ENV{BENCH_CASE})
        : sort keys %CASES;
    my ($unknown) = grep { !$CASES{$_} } @cases;

    die_line("BENCH_CASE=$unknown: only " . join(', ', sort keys %CASES))
        if defined $unknown;

    $Bench::Tap::SIDE{agent} = [ \&agent_start, \&agent_done, \&agent_end ];

    my $self = Bench::Tap::up();

    say_line('agent: alone, with a client that only reads, against tcpdump '
        . "and sslwrite; rings of $Bench::Tap::RING_KIB KiB");

    my @results = map { $CASES{$_}->($self) } @cases;

    Bench::Tap::down($self);

    return @results;
}


1;
