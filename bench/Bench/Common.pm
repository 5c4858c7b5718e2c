# Bench::Common: what every part of the benchmark needs: namespaces of its
# own, a scratch folder, processes with deadlines, CPU and memory of a
# process, median and spread, certificates. It measures nothing itself.
#
# Loading it moves the caller into network, mount and process namespaces of
# its own: no port can clash, and when the first process ends the kernel ends
# all the others and removes the network with them.

package Bench::Common;

use strict;
use warnings;

use Cwd ();
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp ();
use POSIX ();
use Time::HiRes qw(time);

our @EXPORT = qw(top build_file scratch say_line die_line must spawn stop
    alive wait_for wait_exit slurp spew run_seconds status_kib
    smaps_kib median spread children cpus pinned make_certs quick nginx_binary
    at_end commas shell_words);

my $TOP = Cwd::abs_path(dirname(__FILE__) . '/../..');
my ($dir, %exited, @at_end);
my $main_pid;


BEGIN {
    return if $^C;

    $ENV{PATH} .= ':/usr/sbin:/sbin';
    $ENV{LC_ALL} = 'C';

    if (!$ENV{PCAP_BENCH_INSIDE}) {
        if ($> != 0) {
            print STDERR "bench: needs root: it makes network namespaces and"
                . " captures packets\n";
            exit 1;
        }

        $ENV{PCAP_BENCH_INSIDE} = 1;
        exec 'unshare', '--net', '--mount', '--pid', '--fork',
            '--kill-child', '--mount-proc', $^X, $0, @ARGV
            or die "bench: cannot run unshare: $!\n";
    }

    delete $ENV{PCAP_BENCH_INSIDE};
    system('ip link set lo up && mkdir -p /run/netns'
        . ' && mount -t tmpfs tmpfs /run/netns') == 0
        or die "bench: cannot set up the namespaces\n";
    $SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);
}


sub top { return $TOP }

sub quick { return $ENV{BENCH_QUICK} ? 1 : 0 }


sub build_file
{
    my ($name) = @_;

    my $build = $ENV{BUILDDIR} || 'build';

    $build = "$TOP/$build" if $build !~ m{^/};

    my $file = "$build/$name";

    -e $file or die_line("$file is not built (make)");

    return $file;
}


sub nginx_binary { return $ENV{NGINX} || '/usr/sbin/nginx' }


sub say_line
{
    my ($text) = @_;

    $| = 1;
    print "$text\n";
}


sub die_line
{
    my ($text) = @_;

    print STDERR "bench: $text\n";
    exit 1;
}


sub scratch
{
    if (!$dir) {
        $dir = File::Temp::tempdir('pcapbench-XXXXXX', TMPDIR => 1);
        chmod 0755, $dir;
        $main_pid = $$;
    }

    return $dir;
}


sub slurp
{
    my ($file) = @_;

    open my $fh, '<:raw', $file or return '';
    local $/;

    my $text = <$fh>;

    return defined $text ? $text : '';
}


sub spew
{
    my ($file, $text) = @_;

    open my $fh, '>:raw', $file or die_line("$file: $!");
    print $fh $text;
    close $fh or die_line("$file: $!");

    return $file;
}


sub must
{
    my (@cmd) = @_;

    system(@cmd) == 0 or die_line("failed ($?): @cmd");
}


# Starts a program in the background. Options: out, err (files), ns.
sub spawn
{
    my ($cmd, %opt) = @_;

    my @cmd = @$cmd;

    scratch();
    unshift @cmd, 'ip', 'netns', 'exec', $opt{ns} if $opt{ns};

    my $pid = fork();
    die_line("fork: $!") if !defined $pid;
    return $pid if $pid;

    $opt{enter}->() if $opt{enter};
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', $opt{out} || '/dev/null' or POSIX::_exit(126);
    open STDERR, '>', $opt{err} || '/dev/null' or POSIX::_exit(126);
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    exec { $cmd[0] } @cmd or POSIX::_exit(127);
}


sub reap
{
    while ((my $pid = waitpid(-1, POSIX::WNOHANG())) > 0) {
        $exited{$pid} = $?;
    }
}


sub alive
{
    my ($pid) = @_;

    reap();

    return !exists $exited{$pid} && kill(0, $pid);
}


sub wait_for
{
    my ($seconds, $code) = @_;

    my $end = time() + $seconds;

    while (1) {
        my $got = $code->();
        return $got if $got;
        return undef if time() > $end;
        select undef, undef, undef, 0.01;
    }
}


sub wait_exit
{
    my ($pid, $seconds) = @_;

    wait_for($seconds, sub { !alive($pid) });

    return $exited{$pid};
}


sub stop
{
    my ($pid, $signal) = @_;

    return if !alive($pid);

    kill $signal || 'TERM', $pid;

    if (!defined wait_exit($pid, 10)) {
        kill 'KILL', $pid;
        wait_exit($pid, 5);
    }
}


sub at_end { push @at_end, @_ }


# The time that a process's first thread ran, to the nanosecond; the ticks of
# /proc/PID/stat are too coarse for a few seconds at a few percent of a core.
sub run_seconds
{
    my ($pid) = @_;

    my ($ns) = slurp("/proc/$pid/schedstat") =~ /^(\d+) /;

    return defined $ns ? $ns / 1e9 : undef;
}


sub status_kib
{
    my ($pid, $name) = @_;

    return slurp("/proc/$pid/status") =~ /^$name:\s+(\d+) kB/m ? $1 : undef;
}


sub smaps_kib
{
    my ($pid, $name) = @_;

    return slurp("/proc/$pid/smaps_rollup") =~ /^$name:\s+(\d+) kB/m
        ? $1 : undef;
}


sub children
{
    my ($pid) = @_;

    my @all;

    for my $stat (glob '/proc/[0-9]*/stat') {
        my ($child, $state, $parent) =
            slurp($stat) =~ /^(\d+) \(.*\) (\S) (\d+)/s or next;
        push @all, $child if $parent == $pid && $state ne 'Z';
    }

    return @all;
}


sub median
{
    my @v = sort { $a <=> $b } @_;

    return undef if !@v;

    return @v % 2 ? $v[@v / 2] : ($v[@v / 2 - 1] + $v[@v / 2]) / 2;
}


# (max - min) / median
sub spread
{
    my @v = sort { $a <=> $b } @_;

    return @v && median(@v) ? ($v[-1] - $v[0]) / median(@v) : 0;
}


sub cpus
{
    my ($list) = slurp('/proc/self/status') =~ /^Cpus_allowed_list:\s+(\S+)/m;

    return map { /(\d+)-(\d+)/ ? ($1 .. $2) : $_ } split /,/, $list;
}


# The worker has the last core for itself, everything else the others.
sub pinned
{
    my ($who, @cmd) = @_;

    my @cpus = cpus();

    unshift @cmd, 'chrt', '--rr', '10' if $ENV{BENCH_RT};
    return @cmd if @cpus < 2;

    my $worker = pop @cpus;

    return ('taskset', '-c', $who eq 'worker' ? $worker : join(',', @cpus),
        @cmd);
}


sub commas
{
    my ($n) = @_;

    my $text = reverse sprintf '%d', $n;
    $text =~ s/(\d{3})(?=\d)/$1,/g;

    return scalar reverse $text;
}


# A command as one would type it; the scratch folder as TMP.
sub shell_words
{
    my $text = join ' ', map { /^[\w.,:=\/@%+-]+$/ ? $_ : "'$_'" } @_;

    $text =~ s/\Q$dir\E/TMP/g if $dir;
    $text =~ s/\Q$TOP\E\///g;

    return $text;
}


sub leaf
{
    my ($name, $usage, $san) = @_;

    my $certs = scratch() . '/certs';
    my @key = qw(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes);

    spew("$certs/$name.ext", "basicConstraints = CA:FALSE\n"
        . "keyUsage = digitalSignature\nextendedKeyUsage = $usage\n"
        . "subjectAltName = $san\n");
    must("cd $certs && openssl req @key -keyout $name.key -out $name.csr"
        . " -subj /CN=$name 2>>log && openssl x509 -req -in $name.csr"
        . " -CA ca.crt -CAkey ca.key -days 2 -extfile $name.ext"
        . " -out $name.crt 2>>log && chmod 644 $name.key");
}


# A CA of the day with front, api and agent; the CA's key goes at once.
sub make_certs
{
    my $certs = scratch() . '/certs';

    return $certs if -d $certs;

    mkdir $certs;
    must("cd $certs && openssl req -x509 -newkey ec -pkeyopt"
        . ' ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt'
        . ' -days 2 -subj "/CN=pcap bench CA"'
        . ' -addext basicConstraints=critical,CA:TRUE'
        . ' -addext keyUsage=critical,keyCertSign 2>>log');
    leaf('front', 'serverAuth', 'IP:127.0.0.1,DNS:localhost');
    leaf('pcap-api', 'clientAuth', 'DNS:pcap-api');
    leaf('pcap-agent', 'serverAuth', 'DNS:pcap-agent');
    unlink "$certs/ca.key";

    return $certs;
}


END {
    if ($dir && $$ == $main_pid) {
        my $status = $?;

        $_->() for reverse @at_end;
        kill 'KILL', grep { $_ != $$ } map { m{/(\d+)$} } glob '/proc/[0-9]*';
        reap();
        system('rm', '-rf', $dir) if !$ENV{BENCH_KEEP};
        $? = $status;
    }
}


1;
