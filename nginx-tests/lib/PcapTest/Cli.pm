# PcapTest::Cli: runs pcap-cli as a user would: in a folder of its own, with
# the environment that `make demo-up` writes, on pipes, files or a terminal.

package PcapTest::Cli;

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use PcapTest;

our @EXPORT = qw(cli cli_start cli_end cli_dir cli_files on_terminal);

# linux/asm-generic/ioctls.h
use constant { TIOCGPTN => 0x80045430, TIOCSPTLCK => 0x40045431,
    TIOCSCTTY => 0x540E, TIOCSWINSZ => 0x5414 };

my $runs = 0;


# The folder that the next command runs in: a new one each time.
sub cli_dir
{
    my $dir = work_dir() . '/cli' . $runs;

    mkdir $dir;

    return $dir;
}


sub environment
{
    my ($api, %o) = @_;

    return (PCAP_API => $api->{url} || $api->url(),
        PCAP_TOKEN => 'good-token',
        PCAP_CA => $api->{certs}->file('ca.crt'), TERM => 'xterm',
        ASAN_OPTIONS => 'detect_leaks=1:exitcode=99',
        %{ $o{env} || {} });
}


# Starts pcap-cli with args. Options: env, prefix (words before the
# command), out (where standard output goes; default a file), program (words
# in place of pcap-cli).
sub cli_start
{
    my ($api, $args, %o) = @_;

    $runs++;

    my $dir = cli_dir();
    my %env = environment($api, %o);
    my $run = { dir => $dir, out => "$dir/.out", err => "$dir/.err",
        began => time() };

    # a folder of its own: default names go there
    my $pid = fork_child('cli', sub {
        chdir $dir or die $!;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $o{out} || $run->{out} or die $!;
        open STDERR, '>', $run->{err} or die $!;
        delete $ENV{$_} for grep { !defined $env{$_} } keys %env;
        %ENV = (%ENV, map { $_ => $env{$_} } grep { defined $env{$_} }
            keys %env);
        $SIG{PIPE} = 'DEFAULT';
        my @cmd = (@{ $o{prefix} || [] },
            @{ $o{program} || [tool('cli')] }, @$args);
        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    });

    $run->{pid} = $pid;

    return $run;
}


# Waits for its end: { code (or "signal N"), signal, stdout, stderr, seconds,
# json }.
sub cli_end
{
    my ($run, $seconds) = @_;

    my $status = wait_exit($run->{pid}, $seconds || 20);

    if (!defined $status) {
        stop_child($run->{pid}, 'KILL', 5);
        $run->{hung} = 1;
        $status = -1;
    }

    $run->{seconds} = time() - $run->{began};
    $run->{signal} = $status & 127;
    $run->{code} = $run->{signal} ? "signal $run->{signal}" : $status >> 8;
    $run->{stdout} = slurp($run->{out});
    $run->{stderr} = slurp($run->{err});
    $run->{json} = eval { decode_json($run->{stdout}) };

    return $run;
}


sub cli
{
    my ($api, $args, %o) = @_;

    return cli_end(cli_start($api, $args, %o), $o{seconds});
}


# Files it left behind, without our own.
sub cli_files
{
    my ($run) = @_;

    opendir my $dh, $run->{dir} or return;

    my @files = sort grep { !/^\.(?:\.|out|err|)$/ } readdir $dh;

    return @files;
}


# Runs pcap-cli with input and standard error (and output, with all => 1) on
# a terminal. keys: [ [ qr/what to wait for/, "what to type" ], ... ].
# Returns what cli_end() does and {screen}.
sub on_terminal
{
    my ($api, $args, %o) = @_;

    $runs++;

    my $dir = cli_dir();
    my %env = environment($api, %o);
    my $run = { dir => $dir, out => "$dir/.out", err => "$dir/.err",
        began => time(), screen => '' };

    open my $pty, '+<', '/dev/ptmx' or die "ptmx: $!";
    my ($unlocked, $n) = (pack('i', 0), pack('i', 0));

    ioctl($pty, TIOCSPTLCK, $unlocked) or die "ptmx: $!";
    ioctl($pty, TIOCGPTN, $n) or die "ptmx: $!";

    my $name = '/dev/pts/' . unpack 'i', $n;

    $run->{pid} = fork_child('cli', sub {
        chdir $dir or die $!;
        POSIX::setsid();
        open my $tty, '+<', $name or die "$name: $!";
        my $size = pack 'S4', $o{rows} || 24, $o{cols} || 80, 0, 0;
        ioctl($tty, TIOCSCTTY, 0);
        ioctl($tty, TIOCSWINSZ, $size);
        open my $out, '>', $run->{out} or die $!;
        POSIX::dup2(fileno $tty, 0);
        POSIX::dup2(fileno($o{all} ? $tty : $out), 1);
        POSIX::dup2(fileno $tty, 2);
        close $pty;
        %ENV = (%ENV, %env);
        $SIG{PIPE} = 'DEFAULT';
        exec { tool('cli') } tool('cli'), @$args or POSIX::_exit(127);
    });

    my @keys = @{ $o{keys} || [] };
    my $end = time() + limit($o{seconds} || 20);

    while (time() < $end) {
        my $ended = !alive($run->{pid});
        my $bits = '';

        vec($bits, fileno $pty, 1) = 1;

        # EIO: nobody has the other end open any more
        if (select $bits, undef, undef, 0.05) {
            sysread $pty, $run->{screen}, 4096, length $run->{screen}
                or last;

        } elsif ($ended) {
            last;
        }

        if (@keys && $run->{screen} =~ $keys[0][0]) {
            my $key = shift @keys;
            ref $key->[1] ? $key->[1]->($run) : syswrite $pty, $key->[1];
        }
    }

    my $ended = cli_end($run, 2);

    close $pty;

    return $ended;
}


1;
