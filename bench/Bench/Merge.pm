# Bench::Merge: part (a). The same bytes of the same replay agents go through
# the API's merge to one client, and through nginx's own unbuffered proxy_pass
# to as many clients as there are agents, in turns, in the same worker. The
# result is the ratio of bytes per CPU second of that worker, the median of
# many pairs of short runs: the machine is not the same from one second to the
# next.
#
# Before anything is timed, one pass over the very same data is written to
# bench/check, which proves the output complete and in order.

package Bench::Merge;

use strict;
use warnings;

use JSON::PP;
use Bench::Common;
use Bench::Nginx;

our @CASES = map { my $n = $_; map { [ $n, $_ ] } 64, 1400 } 1, 4, 16;
our %TARGET = ('16x1400' => 0.95, '16x64' => 0.65, '1x1400' => 0.97);

# Pairs of runs: of a result that has a target, of the others.
our ($PAIRS, $FEW) = (15, 5);

# Bytes of an agent's HTTP chunk: as much as pcap-agent sends.
our $CHUNK = $ENV{BENCH_CHUNK} || 262144;

my $REPLAY_PORT = 9494;


sub addr { return sprintf '127.0.1.%d:%d', $_[0] + 1, $REPLAY_PORT }


sub replay_command
{
    my ($n, $size, $records) = @_;

    my $certs = make_certs();

    return (build_file('bench/replay'), '--agents', $n, '--size', $size,
        '--records', $records, '--chunk', $CHUNK, '--port', $REPLAY_PORT,
        '--cert', "$certs/pcap-agent.crt", '--key', "$certs/pcap-agent.key",
        '--ca', "$certs/ca.crt", '--cipher', $Bench::Nginx::CIPHER);
}


# An EPB around a packet of that size.
sub block { my ($size) = @_; return 32 + ($size + 3 & ~3) }


# Records per agent for a total of so many bytes.
sub records
{
    my ($n, $size) = @_;

    my $mib = $ENV{BENCH_MIB} || (quick() ? 256 : 512);

    return int($mib * 1024 * 1024 / $n / block($size));
}


sub drain_command
{
    my ($side, $n, $plain, @more) = @_;

    my @paths = $side eq 'merge' ? "/v1/capture/static/n$n"
        : map { '/proxy/' . addr($_) } 0 .. $n - 1;
    my @tls = $plain ? ('--port', $Bench::Nginx::PLAIN)
        : ('--port', $Bench::Nginx::PORT, '--ca', make_certs() . '/ca.crt',
           '--cipher', $Bench::Nginx::CIPHER);

    return (build_file('bench/drain'), @tls, @more, @paths);
}


# One run of one side: worker CPU seconds, wall seconds, what drain said.
sub one
{
    my ($nginx, $side, $n, $plain, $expect) = @_;

    my $out = scratch() . '/drain.json';
    my $err = scratch() . '/drain.err';
    my $before = $nginx->cpu();
    my $pid = spawn([ pinned('load', drain_command($side, $n, $plain)) ],
        out => $out, err => $err);
    my $status = wait_exit($pid, 300);
    my $cpu = $nginx->cpu() - $before;

    die_line("$side with $n agents failed:\n" . slurp($err))
        if !defined $status || $status;

    my $got = decode_json(slurp($out));

    if ($side eq 'merge' && ($got->{'X-Pcap-Status'} ne 'complete'
        || $got->{'X-Pcap-Packets'} != $expect
        || $got->{'X-Pcap-Dropped'} != 0))
    {
        die_line('merge is not complete: ' . slurp($out));
    }

    return { %$got, cpu => $cpu };
}


# The pass that is not timed: inputs to files, output through bench/check.
sub verify
{
    my ($n, $size, $records) = @_;

    my $dir = scratch();
    my @files = map { "$dir/in.$_.pcapng" } 0 .. $n - 1;

    for my $i (0 .. $n - 1) {
        my @cmd = (build_file('bench/replay'), '--agents', $n, '--size',
            $size, '--records', $records, '--chunk', $CHUNK, '--dump', $i);
        must(join(' ', @cmd) . " > $files[$i]");
    }

    my $bytes = 0;
    $bytes += -s $_ for @files;

    must(join(' ', drain_command('merge', $n, 0, '--body'))
        . " 2>$dir/verify.err | " . build_file('bench/check')
        . " @files > $dir/check.json || { cat $dir/verify.err"
        . " $dir/check.json >&2; false; }");
    unlink @files;

    my $got = decode_json(slurp("$dir/check.json"));

    return { %$got, input_bytes => $bytes };
}


# Runs both sides in turns, each the first one every other time.
sub pairs
{
    my ($nginx, $n, $plain, $expect, $pairs) = @_;

    my %run;

    for my $i (1 .. $pairs) {
        push @{ $run{$_} }, one($nginx, $_, $n, $plain, $expect)
            for $i % 2 ? qw(merge proxy) : qw(proxy merge);
    }

    return @run{qw(merge proxy)};
}


sub ratios
{
    my ($merge, $proxy) = @_;

    return map { $proxy->[$_]{cpu} / $merge->[$_]{cpu} } 0 .. $#$merge;
}


# What half of them lie between.
sub quartiles
{
    my @v = sort { $a <=> $b } @_;

    return @v[ int(@v / 4), int((3 * @v - 1) / 4) ];
}


sub side
{
    my ($runs, $bytes) = @_;

    my @cpu = map { $_->{cpu} } @$runs;
    my @rate = map { $bytes / $_->{seconds} / 1e6 } @$runs;

    return {
        worker_cpu_seconds  => [ map { 0 + sprintf '%.3f', $_ } @cpu ],
        mb_per_cpu_second   => 0 + sprintf('%.1f', $bytes / median(@cpu)
            / 1e6),
        mb_per_second       => 0 + sprintf('%.1f', median(@rate)),
        client_bytes        => $runs->[0]{bytes},
        client_connections  => $runs->[0]{connections},
    };
}


sub result
{
    my ($name, $n, $size, $plain, $check, $merge, $proxy) = @_;

    my @ratios = ratios($merge, $proxy);
    my $value = median(@ratios);
    my $key = "${n}x$size";
    my $target = $plain ? undef : $TARGET{$key};

    return {
        name        => $name,
        value       => 0 + sprintf('%.3f', $value),
        unit        => 'ratio',
        target      => $target,
        ok          => defined $target
            ? $value >= $target ? JSON::PP::true : JSON::PP::false : undef,
        runs        => [ map { 0 + sprintf '%.3f', $_ } @ratios ],
        spread      => 0 + sprintf('%.3f', spread(@ratios)),
        quartiles   => [ map { 0 + sprintf '%.3f', $_ } quartiles(@ratios) ],
        merge       => side($merge, $check->{input_bytes}),
        proxy       => side($proxy, $check->{input_bytes}),
        agents      => $n,
        packet_size => $size,
        packets     => $check->{records},
        bytes       => $check->{input_bytes},
        cipher      => { agents => $Bench::Nginx::CIPHER,
            client => $merge->[0]{cipher} },
        buffers     => 'proxy_buffer_size 64k, ssl_buffer_size '
            . "$Bench::Nginx::SSL_BUFFER, agent chunks of $CHUNK",
        sha256      => $check->{sha256},
        sha256_in   => $check->{sha256_in},
        command     => shell_words(drain_command('merge', $n, $plain)),
        command_proxy => shell_words(drain_command('proxy', $n, $plain)),
    };
}


sub line
{
    my ($r) = @_;

    say_line(sprintf '%-24s %6.3f %s  merge %6.1f MB/cpu-s %6.1f MB/s  '
        . 'proxy %6.1f MB/cpu-s %6.1f MB/s  %d pairs, half of them %.3f to '
        . '%.3f  %s',
        $r->{name}, $r->{value}, defined $r->{target}
            ? sprintf('(target %.2f)', $r->{target}) : '(no target)  ',
        $r->{merge}{mb_per_cpu_second}, $r->{merge}{mb_per_second},
        $r->{proxy}{mb_per_cpu_second}, $r->{proxy}{mb_per_second},
        scalar @{ $r->{runs} }, @{ $r->{quartiles} },
        !defined $r->{ok} ? '' : $r->{ok} ? 'ok' : 'BELOW TARGET');
}


sub case
{
    my ($nginx, $n, $size) = @_;

    my $records = records($n, $size);
    my $replay = spawn([ pinned('load',
        replay_command($n, $size, $records)) ],
        err => scratch() . '/replay.err');
    my @results;

    wait_for(5, sub { system("ss -ltnH sport = :$REPLAY_PORT | grep -q .")
        == 0 }) or die_line('replay does not listen');

    my $check = verify($n, $size, $records);

    for my $plain (0, 1) {
        my $name = "merge_${n}x${size}" . ($plain ? '_plain' : '') . '_ratio';
        my $pairs = quick() ? 1
            : !$plain && $TARGET{"${n}x$size"} ? $PAIRS : $FEW;
        my ($merge, $proxy) = pairs($nginx, $n, $plain, $n * $records,
            $pairs);

        push @results, result($name, $n, $size, $plain, $check, $merge,
            $proxy);
        line($results[-1]);
    }

    stop($replay);

    return @results;
}


# BENCH_CASE=16x64 runs that one alone.
sub run
{
    my $nginx = Bench::Nginx->new(groups => { map { my $n = $_; "n$n" =>
        [ map { [ "replay/$_", addr($_) ] } 0 .. $n - 1 ] } 1, 4, 16 });
    my @results;

    say_line("merge: TLS 1.3 $Bench::Nginx::CIPHER on both legs, buffers of "
        . '64k, same bytes and agents on both sides');
    $nginx->start();

    for my $case (@CASES) {
        next if $ENV{BENCH_CASE} && $ENV{BENCH_CASE} ne join 'x', @$case;
        push @results, case($nginx, @$case);
    }

    $nginx->check_log();
    $nginx->stop_all();

    return @results;
}


1;
