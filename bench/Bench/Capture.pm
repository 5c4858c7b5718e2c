# Bench::Capture: part (b). A flood on a veth pair is captured once by the
# agent, the API and pcap-cli, once by tcpdump, with rings of the same size.
# The rates are steps of a ladder; the result is the highest step that came
# through without loss against tcpdump's. Without loss means: as many packets
# came out as the interface got, and nothing was counted as dropped.
#
# Once with what is left of both cores beside the flood. tcpdump keeps up with
# all that can be sent here then, so this says no more than how far the other
# side gets with that. And once where the process that empties the ring
# (tcpdump, the agent's capture process) has a small share of a core, the same
# for both. What the share cannot be set for is not measured.

package Bench::Capture;

use strict;
use warnings;

use JSON::PP;
use Bench::Common;
use Bench::Nginx;
use Bench::Tap;

our $STEP = 0.9;          # of the rate of the step above
our $STEPS = 32;          # down to 4 percent of what the flood can send
our $MAX_LOAD = 0.9;      # of what the flood sends unpaced: it must be able to
our $SECONDS = 10;         # of a step
our @SHARES = (20, 10, 5, 2, 1);
our $TARGET = 0.5;


# A loss may be the doing of other work on the machine, a clean step cannot:
# a step that lost is tried once more. So is one that the flood was too late
# for. The same for both sides.
sub try_step
{
    my ($self, $side, $rate, $size, $seconds) = @_;

    my $got;

    for (1 .. 2) {
        $got = Bench::Tap::step($self, $side, $rate, $size, $seconds);
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
        my $got = Bench::Tap::step($self, $side, rate_of($top, $mid), $size, 2);

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

    my $seconds = quick() ? 2 : $SECONDS;
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

    my @got = map { Bench::Tap::step($self, 'tcpdump', 0, $size, 2) } 1 .. 2;
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
            if !Bench::Tap::step($self, 'tcpdump', $top, $size, 3)->{clean};
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
        spread  => @rates > 1 ? 0 + sprintf('%.3f', spread(@rates)) : undef,
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
    my ($name, $target, $why) = @_;

    say_line(sprintf '%-36s not measured: %s', $name, $why);

    return { name => $name, value => undef, unit => 'ratio',
        target => $target, ok => undef, not_measured => $why };
}


# That side against tcpdump, neither held to a share of a core.
sub whole_core
{
    my ($self, $name, $target, $side, $top, $runs) = @_;

    local $self->{log} = {};
    $self->{share} = 0;

    my @tcpdump = search($self, 'tcpdump', $top, 64, $runs);
    my @ours = search($self, $side, $top, 64, $runs);

    return not_measured($name, $target, 'no rate without loss was found')
        if @tcpdump < $runs || @ours < $runs;

    my ($o, $t) = (side(\@ours, $self->{log}{$side}),
        side(\@tcpdump, $self->{log}{tcpdump}));
    my $value = $o->{packets_per_second} / $t->{packets_per_second};
    my $limited = !grep { $_->{asked} < int $top } @tcpdump;

    say_line(sprintf '%-36s %6.3f (target %s)  %s %s/s  tcpdump %s/s%s  %s',
        $name, $value, $target, $side, commas($o->{packets_per_second}),
        commas($t->{packets_per_second}), $limited
            ? ', all that can be sent' : '', $value < $target
            ? 'BELOW TARGET' : $limited ? 'not decided' : 'ok');

    return {
        name        => $name,
        value       => 0 + sprintf('%.3f', $value),
        unit        => 'ratio',
        target      => $target,
        ok          => $value < $target ? JSON::PP::false
            : $limited ? undef : JSON::PP::true,
        not_decided => $limited ? 'tcpdump keeps up with all that can be sent'
            : undef,
        spread      => defined $o->{spread}
            ? 0 + sprintf('%.3f', $o->{spread} + $t->{spread}) : undef,
        $side       => $o,
        tcpdump     => $t,
        flood_most  => int($top / $MAX_LOAD),
        share       => 'none',
        packet_size => 64,
        seconds     => quick() ? 2 : $SECONDS,
        cipher      => $Bench::Nginx::CIPHER,
        buffers     => "ring $Bench::Tap::RING_KIB KiB on both sides",
    };
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
        spread      => defined $c->{spread}
            ? 0 + sprintf('%.3f', $c->{spread} + $t->{spread}) : undef,
        cpu_ratio   => 0 + sprintf('%.3f',
            $t->{cpu_seconds_per_million_packets}{tcpdump}
            / $c->{cpu_seconds_per_million_packets}{agent}),
        chain       => $c,
        tcpdump     => $t,
        flood_most  => int($top / $MAX_LOAD),
        share       => $self->{share} ? "$self->{share} % of a core, "
            . "$self->{quota}: tcpdump, the agent's capture process" : 'none',
        packet_size => $size,
        packets     => median(@{ $c->{packets} }),
        bytes       => $size * median(@{ $c->{packets} }),
        seconds     => quick() ? 2 : $SECONDS,
        cipher      => $Bench::Nginx::CIPHER,
        buffers     => "ring $Bench::Tap::RING_KIB KiB on both sides, "
            . 'proxy_buffer_size 64k, ssl_buffer_size '
            . $Bench::Nginx::SSL_BUFFER,
        command     => shell_words(Bench::Tap::cli_command()),
        command_agent   => shell_words(Bench::Tap::agent_command()),
        command_tcpdump => shell_words(Bench::Tap::tcpdump_command()),
        command_flood   => shell_words(Bench::Tap::flood_command(
            int $c->{packets_per_second}, $size, quick() ? 2 : $SECONDS)),
    };
}


sub line
{
    my ($r) = @_;

    my $cpu = $r->{chain}{cpu_seconds_per_million_packets};

    say_line(sprintf '%-36s %6.3f %s  agent, API, CLI %s/s  tcpdump %s/s  '
        . 'spread %s  %s', $r->{name}, $r->{value},
        defined $r->{target} ? "(target $r->{target})" : '(no target)',
        commas($r->{chain}{packets_per_second}),
        commas($r->{tcpdump}{packets_per_second}),
        defined $r->{spread} ? sprintf('%.0f, %.0f %%',
            100 * $r->{chain}{spread}, 100 * $r->{tcpdump}{spread}) : '-',
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

    my @name = (name_of($size), $size == 64 ? $TARGET : undef);

    $self->{log} = {};
    $self->{share} = 0;

    my ($top, $loses) = flood_limit($self, $size);
    my @whole = $size == 64 ? whole_core($self,
        'capture_lossfree_whole_core_ratio', $TARGET, 'chain', $top, $runs)
        : ();

    if (!$loses && !$self->{group}) {
        return @whole, not_measured(@name, 'tcpdump loses nothing and cannot'
            . " be pinned: $self->{no_group}");
    }

    if (!$loses && !choose_share($self, $top, $size)) {
        return @whole, not_measured(@name, 'tcpdump loses nothing at '
            . int($top) . '/s even with 1 % of a core');
    }

    my @tcpdump = search($self, 'tcpdump', $top, $size, $runs);
    my @chain = search($self, 'chain', $top, $size, $runs);

    return @whole, not_measured(@name, 'no rate without loss was found')
        if @tcpdump < $runs || @chain < $runs;

    my $r = result($self, $size, $top, \@chain, \@tcpdump);

    line($r);

    return @whole, $r;
}


sub run
{
    my $self = Bench::Tap::up();

    say_line("capture: rings of $Bench::Tap::RING_KIB KiB, 64 and 1400 "
        . "bytes, ladder of steps by $STEP");

    my @results = map { case($self, $_->[0], $_->[1]) }
        [ 64, quick() ? 1 : 3 ], [ 1400, 1 ];

    Bench::Tap::down($self);

    return @results;
}


1;
