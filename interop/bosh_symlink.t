#!/usr/bin/perl
#
# interop/bosh_symlink.t: pcap-cli as `bosh` (a symbolic link early on PATH) in
# front of the real bosh CLI: what is not `pcap` goes through unchanged, with
# its output and exit code. Without the real CLI the same is shown with a
# script as the next `bosh`, which tells what it was given.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp qw(tempdir);
use Test::More;

use Bosh;

my $cli = $ENV{TEST_PCAP_CLI} || root() . '/build/pcap-cli';
my $dir = tempdir(CLEANUP => 1);

mkdir "$dir/ours";
mkdir "$dir/real";
symlink $cli, "$dir/ours/bosh" or die "symlink: $!\n";


sub both
{
    my (@args) = @_;

    local $ENV{PATH} = "$dir/real:$ENV{PATH}";
    my @real = run_words("$dir/real/bosh", @args);
    $ENV{PATH} = "$dir/ours:$ENV{PATH}";
    my @ours = run_words("$dir/ours/bosh", @args);

    return (\@real, \@ours);
}


sub same
{
    my ($name, @args) = @_;

    my ($real, $ours) = both(@args);
    is_deeply($ours, $real, "$name: output and exit code are bosh's own");

    return $real;
}


sub with_the_real_one
{
    my $bosh = real_bosh() or return;

    symlink $bosh, "$dir/real/bosh" or die "symlink: $!\n";
    my $real = same('bosh -v', '-v');
    like($real->[0], qr/^version 7\.10\.[68]/, 'and it is the real one');
    same('bosh interpolate', 'interpolate', '-o',
        root() . '/bosh/manifests/ops-files/scale-out.yml',
        root() . '/bosh/manifests/pcap-agent.yml');
    same('an unknown command', 'no-such-command', '--x', 'y z');
    same('an unknown flag', '--no-such-flag');
    unlink "$dir/real/bosh";
}


sub with_a_script
{
    open my $fh, '>', "$dir/real/bosh" or die;
    print $fh "#!/bin/sh\nfor a in \"\$@\"; do echo \"<\$a>\"; done\n"
        . "[ \"\$1\" != fail ] || exit 17\n"
        . "[ \"\$1\" != kill ] || kill -9 \$\$\n";
    close $fh;
    chmod 0755, "$dir/real/bosh";

    same('a script: -v', '-v');
    same('a script: arguments', 'deploy', '-d', 'a b', "c'd", '', 'e;f');
    same('a script: exit code', 'fail');
    same('a script: a signal', 'kill');
    same('a script: pcap as a value', '-d', 'pcap', 'vms');
    unlink "$dir/real/bosh";

    local $ENV{PATH} = "$dir/ours:/nonexistent";
    my ($text, $status) = run_words("$dir/ours/bosh", 'vms');
    ok($status != 0 && $text =~ /bosh/, 'no other bosh on PATH: a word')
        or diag($text);
}


with_the_real_one();
with_a_script();
done_testing();
