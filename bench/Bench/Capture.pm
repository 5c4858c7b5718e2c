# Bench::Capture: part (b). A flood on a veth pair is captured once by the
# agent, the API and pcap-cli, once by tcpdump, with rings of the same size.
# The rates are steps of a ladder; the result is the highest step that came
# through without loss against tcpdump's. Without loss means: as many packets
# came out as the interface got, and nothing was counted as dropped.
#
# Where tcpdump keeps up with all that the flood can send, the process that
# empties the ring (tcpdump, the agent's capture process) gets a small share
# of a core, the same for both. What the share cannot be set for is not
# measured.

package Bench::Capture;

use strict;
use warnings;

use JSON::PP;
use Bench::Cgroup;
use Bench::Common;
use Bench::Nginx;

our $RING_KIB = 8192;
our $STEP = 0.9;          # of the rate of the step above
our $STEPS = 32;          # down to 4 percent of what the flood can send
our $MAX_LOAD = 0.9;      # of what the flood sends unpaced: it must be able to
our @SHARES = (20, 10, 5, 2, 1);
our $TARGET = 0.5;

my $AGENT = '127.0.2.1:9494';
my $IFACE = 'cap0';
my $PEER = 'cap1';
my $NS = 'flood';
my $RAMP_MS = 1000;

# tcpdump's blocks are handed out after one to two times its timeout of 1 s.
my $DRAIN = 4;


# The flood's end is in a namespace of its own; nobody else speaks there.
sub net_up
{
    system("ip netns add $NS"
        . " && ip link add $IFACE address 02:00:00:00:00:01 type veth"
        . " peer name $PEER netns $NS"
        . ' && sysctl -qw net.ipv6.conf.all.disable_ipv6=1'
        . " && ip netns exec $NS sysctl -qw net.ipv6.conf.all.disable_ipv6=1"
        . " && ip -n $NS link set $PEER address 02:00:00:00:00:02 arp off up"
        . " && ip link set $IFACE arp off up") == 0
        or die_line('cannot make the veth pair');
}


sub net_down
{
    system("ip link del $IFACE && ip netns del $NS");
}


# Packets that the interface got, and those that were lost before any tap.
sub delivered
{
    my @f = slurp('/proc/net/dev') =~ /^\s*$IFACE:\s*(.*)/m
        ? split(' ', $1) : die_line("$IFACE is gone");

    return ($f[1], $f[3]);
}


sub first_core
{
    my @cpus = cpus();

    return @cpus < 2 ? () : ('taskset', '-c', $cpus[0]);
}


sub last_core
{
    my @cpus = cpus();

    return @cpus < 2 ? () : ('taskset', '-c', $cpus[-1]);
}


sub flood_command
{
    my ($rate, $size, $seconds) = @_;

    return (build_file('bench/flood'), '--interface', $PEER, '--rate', int $rate,
        '--size', $size, '--seconds', $seconds, '--ramp-ms', $RAMP_MS);
}


# Sends, and waits until it is done.
sub flood
{
    my ($rate, $size, $seconds, $meanwhile) = @_;

    my $dir = scratch();
    my ($before, $early) = delivered();
    my $pid = spawn([ first_core(), flood_command($rate, $size, $seconds) ],
        ns => $NS, out => "$dir/flood.json", err => "$dir/flood.err");

    wait_for($seconds + 30, sub {
        $meanwhile->() if $meanwhile;
        return !alive($pid);
    });

    my $status = wait_exit($pid, 1);

    die_line('flood failed: ' . slurp("$dir/flood.err"))
        if !defined $status || $status;

    my ($after, $late) = delivered();

    return { %{ decode_json(slurp("$dir/flood.json")) },
        delivered => $after - $before, backlog_drops => $late - $early };
}


sub agent_command
{
    my $certs = make_certs();

    return (build_file('pcap-agent'), '--listen', $AGENT, '--user', 'nobody',
        '--tls-cert', "$certs/pcap-agent.crt", '--tls-key',
        "$certs/pcap-agent.key", '--tls-ca', "$certs/ca.crt",
        '--allowed-names', 'pcap-api', '--buffer-bytes', $RING_KIB * 1024,
        '--log-level', 'warn');
}


sub cli_command
{
    return (build_file('pcap-cli'), 'static', 'bench', '-u',
        "https://127.0.0.1:$Bench::Nginx::PORT", '--ca-cert',
        make_certs() . '/ca.crt', '--token', 'bench', '-i', $IFACE, '-o', '-',
        '--yes', '--quiet', '--json');
}


sub tcpdump_command
{
    return ('tcpdump', '-n', '-i', $IFACE, '-w', '/dev/null', '-B',
        $RING_KIB);
}


# Agent and API stay up for all steps, each step is a capture of its own.
sub system_up
{
    my $self = { nginx => Bench::Nginx->new(groups => {
        bench => [ [ 'bench/0', $AGENT ] ] }) };

    $self->{agent} = spawn([ last_core(), agent_command() ],
        err => scratch() . '/agent.err');
    $self->{nginx}->start();
    wait_for(5, sub { system("ss -ltnH src $AGENT | grep -q .") == 0 })
        or die_line('the agent does not listen: '
            . slurp(scratch() . '/agent.err'));

    return $self;
}


sub system_down
{
    my ($self) = @_;

    stop($self->{agent});
    $self->{nginx}->check_log();
    $self->{nginx}->stop_all();
}


# The side "chain": a capture has begun when pcap-cli wrote the file's head.
sub chain_start
{
    my ($self) = @_;

    my $err = scratch() . '/cli.json';
    my $cli = spawn([ cli_command() ], err => $err);

    wait_for(10, sub { !alive($cli) || written($cli) })
        && alive($cli) or die_line('pcap-cli does not start: ' . slurp($err));

    my ($capture, @more) = children($self->{agent});

    die_line('not one capture process') if !$capture || @more;

    return { pids => { agent => $capture, nginx => $self->{nginx}{worker},
        cli => $cli }, ring => $capture, main => $cli, err => $err };
}


sub written
{
    my ($pid) = @_;

    return slurp("/proc/$pid/io") =~ /^wchar: (\d+)/m ? $1 : 0;
}


# All of it came through: the file's blocks are of one size.
sub chain_done
{
    my ($run, $packets, $size) = @_;

    return written($run->{main}) >= $packets * (32 + ($size + 3 & ~3));
}


sub chain_end
{
    my ($run) = @_;

    my ($json) = slurp($run->{err}) =~ /^(\{.*)/m;
    my $got = eval { decode_json($json) }
        or die_line('pcap-cli said: ' . slurp($run->{err}));

    die_line("pcap-cli: $got->{text}")
        if $got->{status} !~ /^(?:complete|stopped)$/;

    return ($got->{packets}, $got->{dropped});
}


# The side "tcpdump". It says that it listens before it sets its filter, which
# throws away what the ring holds; it is ready when it sleeps for packets.
sub tcpdump_start
{
    my $err = scratch() . '/tcpdump.err';
    my $pid = spawn([ last_core(), tcpdump_command() ], err => $err);

    wait_for(10, sub { !alive($pid) || slurp($err) =~ /listening on/
            && slurp("/proc/$pid/stat") =~ /\) S / })
        && alive($pid) or die_line('tcpdump does not start: ' . slurp($err));

    return { pids => { tcpdump => $pid }, ring => $pid, main => $pid,
        err => $err };
}


# (captured, dropped) as tcpdump said last.
sub tcpdump_counts
{
    my ($run) = @_;

    my @captured = slurp($run->{err}) =~ /(\d+) packets? captured/g;
    my @dropped = slurp($run->{err}) =~ /(\d+) packets? dropped by kernel/g;

    return ($captured[-1] || 0, $dropped[-1] || 0);
}


# SIGUSR1 makes it say how far it is; its ring is not drained at its end.
sub tcpdump_done
{
    my ($run, $packets) = @_;

    my $length = -s $run->{err};

    kill 'USR1', $run->{main};
    wait_for(0.2, sub { -s $run->{err} > $length });

    my ($captured, $dropped) = tcpdump_counts($run);

    return $captured + $dropped >= $packets;
}


my %SIDE = (
    chain   => [ \&chain_start, \&chain_done, \&chain_end ],
    tcpdump => [ \&tcpdump_start, \&tcpdump_done, \&tcpdump_counts ],
);


# Pss of a process without its rings, in KiB.
sub pss_beside_ring
{
    my ($pid) = @_;

    my ($ring, $inside) = (0, 0);

    for (split /\n/, slurp("/proc/$pid/smaps")) {
        if (/^[0-9a-f]+-[0-9a-f]+ /) {
            $inside = / socket:\[/;

        } elsif ($inside && /^Pss:\s+(\d+) kB/) {
            $ring += $1;
        }
    }

    my $all = smaps_kib($pid, 'Pss');

    return defined $all ? $all - $ring : undef;
}


# One step: one capture of one flood. Options: group, share, pss.
sub step
{
    my ($self, $side, $rate, $size, $seconds, %o) = @_;

    my ($start, $done, $end) = @{ $SIDE{$side} };
    my $run = $start->($self);
    my $pids = $run->{pids};
    my %cpu = map { $_ => run_seconds($pids->{$_}) } keys %$pids;
    my $group = $self->{group};
    my $pss;

    $group->move('share', $run->{ring}) if $self->{share};

    my $got = flood($rate, $size, $seconds, $o{pss} && sub {
        my $now = pss_beside_ring($run->{ring});
        $pss = $now if defined $now && (!defined $pss || $now > $pss);
    });

    wait_for($DRAIN, sub { $done->($run, $got->{delivered}, $size) });
    $cpu{$_} = run_seconds($pids->{$_}) - $cpu{$_} for keys %cpu;
    $group->move('rest', $run->{ring}) if $self->{share};
    kill 'INT', $run->{main};
    defined wait_exit($run->{main}, 20) or die_line("$side does not end");

    my ($packets, $dropped) = $end->($run);

    return { %$got, packets => $packets, dropped => $dropped, cpu => \%cpu,
        asked => $rate, pss => $pss,
        clean => $packets == $got->{delivered} && !$dropped };
}


# A loss may be the doing of other work on the machine, a clean step cannot:
# a step that lost is tried once more. So is one that the flood was too late
# for. The same for both sides.
sub try_step
{
    my ($self, $side, $rate, $size, $seconds) = @_;

    my $got;

    for (1 .. 2) {
        $got = step($self, $side, $rate, $size, $seconds);
        push @{ $self->{log}{$side} }, $got;
        say_line(sprintf '  %-8s %8d/s: %9d delivered, %9d captured, %8d '
            . 'dropped%s', $side, $rate, @$got{qw(delivered packets dropped)},
            $got->{late_seconds} > 0.03 * $seconds
                ? sprintf ' (flood late by %.1f s)', $got->{late_seconds}
                : '') if $ENV{BENCH_VERBOSE};
        last if $got->{clean}
            && $got->{late_seconds} <= 0.03 * $got->{seconds};
    }

    # what it could not send does not count
    $got->{rate} = $rate * (1 - $got->{late_seconds} / $got->{seconds});

    return $got;
}


sub rate_of { my ($top, $i) = @_; return int($top * $STEP ** $i) }


# Short steps: the highest rung of the ladder that seems to hold.
sub probe
{
    my ($self, $side, $top, $size) = @_;

    my ($low, $high) = (0, $STEPS);

    while ($low < $high) {
        my $mid = int(($low + $high) / 2);
        my $got = step($self, $side, rate_of($top, $mid), $size, 2);

        if ($got->{clean}) {
            $high = $mid;

        } else {
            $low = $mid + 1;
        }
    }

    return $low;
}


# One run: up while it holds, or down until it does. Returns (rung, step).
sub climb
{
    my ($self, $side, $top, $size, $rung, $seconds) = @_;

    my ($best, $at);

    for (1 .. 6) {
        my $got = try_step($self, $side, rate_of($top, $rung), $size,
            $seconds);

        if ($got->{clean}) {
            ($best, $at) = ($got, $rung);
            last if $rung == 0 || $self->{lost}{$rung - 1};
            $rung--;

        } else {
            last if $best;
            $self->{lost}{$rung} = 1;
            $rung++;
        }
    }

    $self->{lost} = {};

    return ($at, $best);
}


sub search
{
    my ($self, $side, $top, $size, $runs) = @_;

    my $seconds = quick() ? 2 : 10;
    my $rung = probe($self, $side, $top, $size);
    my @best;

    for (1 .. $runs) {
        my ($at, $best) = climb($self, $side, $top, $size, $rung, $seconds);

        next if !$best;
        $rung = $at;
        push @best, $best;
    }

    return @best;
}


# What the flood can send while somebody captures it, and whether tcpdump on
# a core of its own loses then.
sub flood_limit
{
    my ($self, $size) = @_;

    my @got = map { step($self, 'tcpdump', 0, $size, 2) } 1 .. 2;
    my ($most) = sort { $b <=> $a } map { $_->{sent} / $_->{seconds} } @got;

    return ($MAX_LOAD * $most, !grep { $_->{clean} } @got);
}


# Sets the largest share with which tcpdump loses; nothing where none does.
sub choose_share
{
    my ($self, $top, $size) = @_;

    for my $percent (@SHARES) {
        $self->{quota} = $self->{group}->quota($percent);
        $self->{share} = $percent;
        return $percent
            if !step($self, 'tcpdump', $top, $size, 3)->{clean};
    }

    $self->{share} = 0;

    return undef;
}


sub side
{
    my ($best, $all) = @_;

    my @rates = map { int $_->{rate} } @$best;
    my %cpu;

    for my $name (keys %{ $best->[0]{cpu} }) {
        $cpu{$name} = 0 + sprintf '%.3f', median(map {
            $_->{cpu}{$name} / $_->{packets} * 1e6 } @$best);
    }

    return {
        packets_per_second => median(@rates),
        runs    => \@rates,
        spread  => 0 + sprintf('%.3f', spread(@rates)),
        packets => [ map { $_->{packets} } @$best ],
        dropped => [ map { $_->{dropped} } @$best ],
        cpu_seconds_per_million_packets => \%cpu,
        steps   => [ map { { rate => $_->{asked},
            delivered => $_->{delivered}, captured => $_->{packets},
            dropped => $_->{dropped},
            lost_before_the_tap => $_->{backlog_drops},
            late_seconds => $_->{late_seconds} } } @$all ],
    };
}


sub name_of
{
    my ($size) = @_;

    return 'capture_lossfree_vs_tcpdump' . ($size == 64 ? '' : "_$size")
        . '_ratio';
}


sub not_measured
{
    my ($size, $why) = @_;

    say_line(sprintf '%-36s not measured: %s', name_of($size), $why);

    return { name => name_of($size), value => undef, unit => 'ratio',
        target => $size == 64 ? $TARGET : undef, ok => undef,
        not_measured => $why };
}


sub result
{
    my ($self, $size, $top, $chain, $tcpdump) = @_;

    my $c = side($chain, $self->{log}{chain});
    my $t = side($tcpdump, $self->{log}{tcpdump});
    my $value = $c->{packets_per_second} / $t->{packets_per_second};
    my $target = $size == 64 ? $TARGET : undef;

    return {
        name        => name_of($size),
        value       => 0 + sprintf('%.3f', $value),
        unit        => 'ratio',
        target      => $target,
        ok          => defined $target ? $value >= $target
            ? JSON::PP::true : JSON::PP::false : undef,
        spread      => 0 + sprintf('%.3f', $c->{spread} + $t->{spread}),
        chain       => $c,
        tcpdump     => $t,
        flood_most  => int($top / $MAX_LOAD),
        share       => $self->{share} ? "$self->{share} % of a core, "
            . "$self->{quota}: tcpdump, the agent's capture process" : 'none',
        packet_size => $size,
        packets     => median(@{ $c->{packets} }),
        bytes       => $size * median(@{ $c->{packets} }),
        seconds     => quick() ? 2 : 10,
        cipher      => $Bench::Nginx::CIPHER,
        buffers     => "ring $RING_KIB KiB on both sides, proxy_buffer_size "
            . "64k, ssl_buffer_size $Bench::Nginx::SSL_BUFFER",
        command     => shell_words(cli_command()),
        command_agent   => shell_words(agent_command()),
        command_tcpdump => shell_words(tcpdump_command()),
        command_flood   => shell_words(flood_command(
            int $c->{packets_per_second}, $size, quick() ? 2 : 10)),
    };
}


sub line
{
    my ($r) = @_;

    my $cpu = $r->{chain}{cpu_seconds_per_million_packets};

    say_line(sprintf '%-36s %6.3f %s  agent, API, CLI %s/s  tcpdump %s/s  '
        . 'spread %.0f, %.0f %%  %s', $r->{name}, $r->{value},
        defined $r->{target} ? "(target $r->{target})" : '(no target)',
        commas($r->{chain}{packets_per_second}),
        commas($r->{tcpdump}{packets_per_second}),
        100 * $r->{chain}{spread}, 100 * $r->{tcpdump}{spread},
        !defined $r->{ok} ? '' : $r->{ok} ? 'ok' : 'BELOW TARGET');
    say_line(sprintf '  %-34s agent %.2f  nginx %.2f  cli %.2f  tcpdump %.2f'
        . '  (flood sends at most %s/s; share: %s)',
        'CPU seconds per million packets', @$cpu{qw(agent nginx cli)},
        $r->{tcpdump}{cpu_seconds_per_million_packets}{tcpdump},
        commas($r->{flood_most}), $r->{share});
}


sub case
{
    my ($self, $size, $runs) = @_;

    $self->{log} = {};
    $self->{share} = 0;

    my ($top, $loses) = flood_limit($self, $size);

    if (!$loses && !$self->{group}) {
        return not_measured($size, 'tcpdump loses nothing and cannot be '
            . "pinned: $self->{no_group}");
    }

    if (!$loses && !choose_share($self, $top, $size)) {
        return not_measured($size, 'tcpdump loses nothing at '
            . int($top) . '/s even with 1 % of a core');
    }

    my @tcpdump = search($self, 'tcpdump', $top, $size, $runs);
    my @chain = search($self, 'chain', $top, $size, $runs);

    return not_measured($size, 'no rate without loss was found')
        if @tcpdump < $runs || @chain < $runs;

    my $r = result($self, $size, $top, \@chain, \@tcpdump);

    line($r);

    return $r;
}


# Groups, interfaces, agent, API.
sub up
{
    my $why;
    my $group = Bench::Cgroup->new(\$why);

    $group->move('rest', 0) if $group;
    net_up();

    return { %{ system_up() }, group => $group, no_group => $why };
}


sub down
{
    my ($self) = @_;

    system_down($self);
    net_down();
    $self->{group}->remove() if $self->{group};
}


sub run
{
    my $self = up();

    say_line("capture: rings of $RING_KIB KiB, 64 and 1400 bytes, ladder of "
        . "steps by $STEP");

    my @results = map { case($self, $_->[0], $_->[1]) }
        [ 64, quick() ? 1 : 3 ], [ 1400, 1 ];

    down($self);

    return @results;
}


1;
