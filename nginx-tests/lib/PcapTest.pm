# PcapTest: what every functional test begins and ends with. Loading it
# moves the test into network, mount and process namespaces of its own, so
# that tests can run beside one another, need no free port, see only their
# own processes and leave nothing behind. The rooms in PcapTest/ build the
# parts (Net, Certs, Nginx, Agent, Fake, Uaa, Client, Pcapng, Traffic,
# Check); this file holds only processes, deadlines and the end.

package PcapTest;

use strict;
use warnings;

use Cwd ();
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Temp ();
use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use POSIX ();
use Test::More;
use Time::HiRes qw(time sleep);

our @EXPORT = qw(limit wait_for spawn fork_child alive wait_exit stop_child
    children procs now_ns slurp spew tool root_dir work_dir must at_end
    finish sanitized have_module);

my $ROOT = Cwd::abs_path(dirname(__FILE__) . '/../..');

my %TOOLS = (
    nginx  => [ 'TEST_NGINX_BINARY', 'nginx' ],
    module => [ 'TEST_NGINX_MODULE', "$ROOT/build/ngx_pcap_api_module.so" ],
    agent  => [ 'TEST_PCAP_AGENT',   "$ROOT/build/pcap-agent" ],
    cli    => [ 'TEST_PCAP_CLI',     "$ROOT/build/pcap-cli" ],
    store  => [ 'TEST_PCAP_STORE',   "$ROOT/build/pcap-store" ],
);

my (%exited, %names, @at_end, $dir, $main_pid);


# Runs at load time: no root, no test; else go on inside of the namespaces.
BEGIN {
    return if $^C;

    $ENV{PATH} = "$ENV{PATH}:/usr/sbin:/sbin";

    if ($> != 0) {
        Test::More::plan(skip_all => 'network namespaces need root');
    }

    if (!$ENV{PCAPTEST_INSIDE}) {
        $ENV{PCAPTEST_INSIDE} = 1;
        exec 'unshare', '--net', '--mount', '--pid', '--fork',
            '--kill-child', '--mount-proc', $^X,
            (map { "-I$_" } grep { !ref } @INC), $0, @ARGV
            or die "cannot run unshare: $!\n";
    }

    # the end kills all that it sees
    die "PCAPTEST_INSIDE is for PcapTest alone\n" if $$ != 1;
    delete $ENV{PCAPTEST_INSIDE};

    system('ip link set lo up') == 0 or die "no network namespace\n";
    mkdir '/run/netns';
    system('mount -t tmpfs tmpfs /run/netns') == 0
        or die "no mount namespace\n";

    $ENV{LC_ALL} = 'C';
    $ENV{TZ} = 'UTC';
    delete @ENV{qw(http_proxy https_proxy all_proxy no_proxy
        HTTP_PROXY HTTPS_PROXY ALL_PROXY SSLKEYLOGFILE)};
    $SIG{PIPE} = 'IGNORE';

    # process 1 gets no signal that it has no handler for
    $SIG{TERM} = $SIG{INT} = sub { die "stopped by a signal\n" };
}


# A sanitizer build is slower by a factor; so are its deadlines: with TEST_SAN
# every "within 1 s" of these tests allows 4 s. The promise of 1 s is checked
# by the runs without sanitizers.
sub sanitized { return $ENV{TEST_SAN} ? 1 : 0 }

sub limit
{
    my ($seconds) = @_;

    return $seconds * (sanitized() ? 4 : 1);
}


sub root_dir { return $ROOT }


# The program or module under test, by its short name.
sub tool
{
    my ($name) = @_;

    my ($env, $default) = @{ $TOOLS{$name} or die "no tool $name" };

    return $ENV{$env} || $default;
}


sub have_module { return -e tool('module') }


# One scratch folder per test; TEST_KEEP=1 leaves it there.
sub work_dir
{
    if (!$dir) {
        $dir = File::Temp::tempdir('pcaptest-XXXXXX', TMPDIR => 1);
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


# Writes a file in one step, so that a reader never sees half of it.
sub spew
{
    my ($file, $text) = @_;

    open my $fh, '>:raw', "$file.new" or die "$file: $!";
    print $fh $text;
    close $fh or die "$file: $!";
    rename "$file.new", $file or die "$file: $!";

    return $file;
}


# CLOCK_REALTIME as an integer of nanoseconds.
sub now_ns
{
    my ($s, $us) = Time::HiRes::gettimeofday();

    return $s * 1_000_000_000 + $us * 1000;
}


# Waits until the block returns something true and returns that; undef after
# the (scaled) deadline.
sub wait_for
{
    my ($seconds, $code) = @_;

    my $end = time() + limit($seconds);
    my $got;

    while (1) {
        $got = $code->();
        return $got if $got;
        return undef if time() > $end;
        select undef, undef, undef, 0.01;
    }
}


# Runs a command to its end; the test cannot go on when it fails.
sub must
{
    my (@cmd) = @_;

    system(@cmd) == 0 or die "failed ($?): @cmd\n";

    return 1;
}


# Starts a program. Options: out, err (files, appended to), ns (network
# namespace), env.
sub spawn
{
    my ($name, $cmd, %opt) = @_;

    my @cmd = @$cmd;

    unshift @cmd, 'ip', 'netns', 'exec', $opt{ns} if defined $opt{ns};

    my $out = $opt{out} || work_dir() . "/$name.out";
    my $err = $opt{err} || $out;

    return fork_child($name, sub {
        my $flags = O_WRONLY | O_CREAT | O_APPEND;

        sysopen my $o, $out, $flags, 0644 or POSIX::_exit(126);
        sysopen my $e, $err, $flags, 0644 or POSIX::_exit(126);
        open STDIN, '<', '/dev/null';
        POSIX::dup2(fileno $o, 1);
        POSIX::dup2(fileno $e, 2);
        $^F = 2;
        %ENV = (%ENV, %{ $opt{env} || {} });
        $SIG{PIPE} = 'DEFAULT';
        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    });
}


# A child must not hold a connection of its parent open: a client that
# vanishes would still be there. Only the given handles stay.
sub close_sockets
{
    my %keep = map { fileno($_) => 1 } @_;

    for my $link (glob '/proc/self/fd/*') {
        my ($fd) = $link =~ /(\d+)$/;

        POSIX::close($fd) if $fd > 2 && !$keep{$fd}
            && (readlink $link || '') =~ /^socket:/;
    }
}


# Runs perl code in a child that ends with it and never reaches END. Of the
# sockets that are open only those of keep (a list of handles) stay.
sub fork_child
{
    my ($name, $code, %opt) = @_;

    work_dir();

    my $pid = fork();
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        $SIG{TERM} = $SIG{INT} = 'DEFAULT';
        close_sockets(@{ $opt{keep} || [] });
        my $ok = eval { $code->(); 1 };
        print STDERR "# $name: $@" if !$ok;
        POSIX::_exit($ok ? 0 : 1);
    }

    $names{$pid} = $name;

    return $pid;
}


# We are process 1 here: orphans come to us and must be collected.
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


# The wait status of a child once it has ended, undef after the deadline.
sub wait_exit
{
    my ($pid, $seconds) = @_;

    wait_for($seconds, sub { !alive($pid) });

    return $exited{$pid};
}


# Asks, waits, kills; returns the wait status.
sub stop_child
{
    my ($pid, $signal, $seconds) = @_;

    return $exited{$pid} if !alive($pid);

    kill $signal || 'TERM', $pid;

    my $status = wait_exit($pid, $seconds || 5);

    if (!defined $status && alive($pid)) {
        kill 'KILL', $pid;
        wait_exit($pid, 5);
        return undef;
    }

    return $status;
}


# Every process of this test that is not a zombie:
# [ pid, parent, state, command line ].
sub procs
{
    my ($zombies) = @_;
    my @all;

    reap();

    for my $stat (glob '/proc/[0-9]*/stat') {
        my ($pid, $comm, $state, $ppid) =
            slurp($stat) =~ /^(\d+) \((.*)\) (\S) (\d+)/s or next;

        next if ($state eq 'Z' && !$zombies) || $pid == $$;

        my $cmd = slurp("/proc/$pid/cmdline");
        $cmd =~ tr/\0/ /;
        push @all, [ $pid, $ppid, $state, $cmd || $comm ];
    }

    return @all;
}


sub children
{
    my ($pid, $zombies) = @_;

    return map { $_->[0] } grep { $_->[1] == $pid } procs($zombies);
}


# Registers what finish() must do and check before the processes are
# counted; also runs when the test dies.
sub at_end
{
    my ($code) = @_;

    push @at_end, $code;
}


sub run_at_end
{
    while (my $code = pop @at_end) {
        $code->();
    }
}


# What is there while the parts still run, beyond the parts themselves and
# the workers of nginx: connections of agents, captures, workers that should
# have left, orphans.
sub strays
{
    return grep { !($_->[1] == $$ && $names{ $_->[0] })
        && $_->[3] !~ /^nginx: worker process\s*$/ } procs();
}


# The last call of each test: checks that the parts are idle before anything
# is stopped (stopping an agent would also end what it had forgotten), stops
# them in reverse order, checks that nothing is left and that no sanitizer
# has spoken. Each second is limit(1): 4 s under sanitizers.
sub finish
{
    my @left;

    wait_for(1, sub { !(@left = strays()) });
    is(join("\n", map { "$_->[0] $_->[3]" } @left), '',
        'nobody is at work any more');

    run_at_end();

    wait_for(1, sub { !(@left = procs()) });
    is(join("\n", map { "$_->[0] $_->[3]" } @left), '', 'no process is left');

    is(join("\n", sanitizer_reports()), '', 'sanitizers are silent');
    done_testing();
}


# What sanitizers have written into any log, with what follows.
sub sanitizer_reports
{
    my @found;

    find({ no_chdir => 1, wanted => sub {
        return if !-f || !/\.(?:log|out|err)$/;

        my $text = slurp($_);

        push @found, "$_: " . substr $text, $-[0], 2000
            if $text =~ /(?:ERROR|WARNING): \w+Sanitizer|runtime error: /;
    } }, work_dir());

    return @found;
}


END {
    if ($dir && $$ == $main_pid) {
        my $status = $?;

        eval { run_at_end() };
        kill 'KILL', $_->[0] for procs();
        reap();

        if ($ENV{TEST_KEEP}) {
            diag("kept $dir");
        } else {
            File::Temp::cleanup();
            system('rm', '-rf', $dir);
        }

        $? = $status;
    }
}


1;
