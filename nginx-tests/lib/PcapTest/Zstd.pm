# PcapTest::Zstd: compressed files as the program zstd reads them, and packets
# that nothing can make shorter.

package PcapTest::Zstd;

use strict;
use warnings;

use Digest::SHA qw(sha256);
use Exporter qw(import);
use Test::More;
use PcapTest;
use PcapTest::Pcapng qw(epb);

our @EXPORT = qw(zstd unzstd noise);
our @EXPORT_OK = qw(noise_bytes);

my $count = 0;


# Frames, one for each text, with checksums; options of the program in front.
sub zstd
{
    my ($options, @texts) = @_;

    my $file = work_dir() . '/zstd.in';

    return join '', map {
        spew($file, $_);
        my $out = qx{zstd -q -c --check @$options <$file};
        die "zstd: $?\n" if $?;
        $out;
    } @texts;
}


# What is in the file; '' when that is not whole.
sub unzstd
{
    my ($file) = @_;

    open my $in, '<:raw', $file or return '';

    my $from = fileno $in;
    my $pid = open my $out, '-|';

    die "fork: $!\n" if !defined $pid;

    if (!$pid) {
        open STDIN, '<&=', $from or die "$file: $!\n";
        exec 'zstd', '-q', '-d', '-c' or die "zstd: $!\n";
    }

    binmode $out;

    my $text = do { local $/; <$out> };

    return defined $text ? $text : '' if close $out;
    diag("$file: zstd says no");

    return '';
}


# The same for the same seed.
sub noise_bytes
{
    my ($seed, $len) = @_;

    my ($text, $n) = ('', 0);

    $text .= sha256("$seed " . ++$n) while length $text < $len;

    return substr $text, 0, $len;
}


# A packet of len bytes, another one each time, the same in each run.
sub noise
{
    my ($len) = @_;

    return epb(0, 1_700_000_000 * 10 ** 9, noise_bytes(++$count, $len));
}


1;
