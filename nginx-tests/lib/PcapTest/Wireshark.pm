# PcapTest::Wireshark: what Wireshark says of a file. One sharkd (Wireshark's
# engine behind JSON lines, in Debian's wireshark-common) serves a whole test:
# tshark needs a third of a second of processor time to start, sharkd a few
# milliseconds per file, and it dissects each packet, which `tshark -q` does
# not. Files too large to dissect for every test are left to tshark.
#
# sharkd 4.0 answers "load" of a broken file with a line on standard error and
# without a result; "status" afterwards tells how many packets it has.

package PcapTest::Wireshark;

use strict;
use warnings;

use Exporter qw(import);
use IO::Handle;
use JSON::PP;
use POSIX ();
use Time::HiRes ();
use PcapTest;

our @EXPORT_OK = qw(complaints steps_back);

use constant TOO_LARGE => 8 << 20;

my ($sharkd, $requests);


sub start
{
    my $err = work_dir() . '/sharkd.stderr';

    pipe my $in, my $to or die "pipe: $!\n";
    pipe my $from, my $out or die "pipe: $!\n";

    my $pid = fork_child('sharkd', sub {
        POSIX::dup2(fileno $in, 0);
        POSIX::dup2(fileno $out, 1);
        open STDERR, '>>', $err or POSIX::_exit(126);
        close $_ for $to, $from;
        exec 'sharkd', '-' or POSIX::_exit(127);
    });

    $to->autoflush(1);
    at_end(sub { stop() });

    return { pid => $pid, to => $to, from => $from, err => $err,
        read => 0 };
}


sub stop
{
    my $old = $sharkd or return;

    undef $sharkd;
    # other children have its input open, too: it would not see the end
    stop_child($old->{pid}, 'TERM', 2);
}


# The answer with this number, or undef: it has died or hangs.
sub answer
{
    my ($id) = @_;

    my $text = '';
    my $end = Time::HiRes::time() + limit(60);

    while ($text !~ /^\{"jsonrpc":"2\.0","id":$id,.*\}\s*$/m) {
        my $bits = '';
        my $left = $end - Time::HiRes::time();

        vec($bits, fileno $sharkd->{from}, 1) = 1;
        return undef if $left <= 0 || !select $bits, undef, undef, $left;
        sysread $sharkd->{from}, $text, 65536, length $text or return undef;
    }

    my ($line) = $text =~ /^(\{"jsonrpc":"2\.0","id":$id,.*\})\s*$/m;

    return (eval { decode_json($line) } || {})->{result};
}


# What it has said on standard error since it was asked last.
sub said
{
    my $all = slurp($sharkd->{err});
    my $new = substr $all, $sharkd->{read};

    $sharkd->{read} = length $all;

    return grep { !/^(?:Running as user|Hello in child|load: filename=|$)/ }
        split /\n/, $new;
}


# Why this file is none that Wireshark reads ('' when it does), with how many
# packets it has read: ( text, packets ).
sub complaints
{
    my ($file) = @_;

    return by_tshark($file) if (-s $file || 0) > TOO_LARGE;

    $sharkd ||= start();
    $requests += 2;

    my ($load, $status) = ($requests - 1, $requests);

    for my $ask ({ id => $load, method => 'load', params => {
        file => $file } }, { id => $status, method => 'status' })
    {
        syswrite $sharkd->{to}, JSON::PP->new->canonical->encode({
            jsonrpc => '2.0', %$ask }) . "\n";
    }

    my $got = answer($status);
    my $text = join "\n", said();

    if (!$got) {
        stop();
        return ("sharkd has no answer\n$text", 0);
    }

    $text ||= "sharkd has loaded $got->{filename}"
        if ($got->{filename} // '') ne ($file =~ s{.*/}{}r);

    return ($text, $got->{frames});
}


sub by_tshark
{
    my ($file) = @_;

    my $err = work_dir() . '/tshark.stderr';
    my $lines = `tshark -r $file -T fields -e frame.number 2>$err | wc -l`;
    my $text = join "\n", grep { !/^Running as user/ } split /\n/,
        slurp($err);

    return ($text, int $lines);
}


# Does it say that time goes back?
sub steps_back
{
    my ($file) = @_;

    return scalar(`capinfos -o $file 2>&1`)
        !~ /Strict time order:\s+True/;
}


1;
