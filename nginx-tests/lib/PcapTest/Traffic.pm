# PcapTest::Traffic: makes packets that can be told apart. Every UDP payload
# begins with "PCAPTEST", the sender's number and a sequence number, so that
# a reader can say which packet it is, wherever it was captured.

package PcapTest::Traffic;

use strict;
use warnings;

use Exporter qw(import);
use Socket;
use Time::HiRes qw(time);
use PcapTest;

our @EXPORT_OK = qw(flood marker inject in_ns packet_id frame udp_frame);

# linux/sched.h, asm/unistd_64.h
use constant {
    CLONE_NEWNET          => 0x40000000,
    SYS_SETNS             => 308,
    SYS_SCHED_SETAFFINITY => 203,
    AF_PACKET             => 17,
    SIOCGIFINDEX          => 0x8933,
};


# Moves this process into a namespace; only for children.
sub in_ns
{
    my ($ns) = @_;

    open my $fh, '<', "/run/netns/$ns" or die "$ns: $!";
    syscall(SYS_SETNS, fileno($fh), CLONE_NEWNET) == 0 or die "setns: $!";
}


sub pin
{
    my ($cpu) = @_;

    my $mask = pack 'Q', 1 << $cpu;

    syscall(SYS_SCHED_SETAFFINITY, 0, length $mask, $mask) >= 0
        or die "sched_setaffinity: $!";
}


sub payload
{
    my ($id, $seq, $size) = @_;

    my $head = 'PCAPTEST' . pack 'NN', $id, $seq;

    return $head . ('x' x ($size > length $head ? $size - length $head : 0));
}


# Starts a child that sends UDP packets and ends. Options: ns, to, port,
# id, count, pps, cpu, size or sizes ([min, max], cycled through), sndbuf.
# Returns its pid; its exit status tells that all were sent.
sub flood
{
    my (%opt) = @_;

    return fork_child("flood$opt{id}", sub {
        in_ns($opt{ns}) if $opt{ns};
        pin($opt{cpu}) if defined $opt{cpu};

        socket my $s, PF_INET, SOCK_DGRAM, 0 or die "socket: $!";
        connect $s, sockaddr_in($opt{port} || 9, inet_aton($opt{to}))
            or die "connect: $!";

        my ($min, $max) = @{ $opt{sizes} || [ $opt{size} || 100 ] };
        my $span = defined $max ? $max - $min + 1 : 1;
        my $pps = $opt{pps} || 1000;
        my $start = time();

        for my $seq (0 .. $opt{count} - 1) {
            if ($seq % 16 == 0) {
                my $ahead = $start + $seq / $pps - time();
                select undef, undef, undef, $ahead if $ahead > 0;
            }

            # ICMP "port unreachable" comes back as an error once: repeat
            my $p = payload($opt{id}, $seq, $min + $seq * 37 % $span);

            for my $try (1 .. 100) {
                last if defined send $s, $p, 0;
                die "send: $!" if $try == 100;
            }
        }
    });
}


# One packet, sent when this returns.
sub marker
{
    my (%opt) = @_;

    my $status = wait_exit(flood(%opt, count => 1), 5);

    die "marker was not sent\n" if !defined $status || $status;
}


# Sends raw frames out of an interface and returns when they are sent.
sub inject
{
    my ($ns, $dev, @frames) = @_;

    my $status = wait_exit(fork_child('inject', sub {
        in_ns($ns);
        socket my $s, AF_PACKET, SOCK_RAW, 0 or die "packet socket: $!";

        my $ifreq = pack 'Z16 x24', $dev;
        ioctl $s, SIOCGIFINDEX, $ifreq or die "$dev: $!";

        my $index = unpack 'x16 l', $ifreq;

        for my $f (@frames) {
            # sockaddr_ll: family, protocol, index, hatype, type, halen, addr
            send $s, $f, 0, pack('SnlSCCa8', AF_PACKET, 0, $index, 0, 0, 6,
                substr $f, 0, 6) or die "send: $!";
        }
    }), 5);

    die "inject failed\n" if !defined $status || $status;
}


# An Ethernet frame; tags are VLAN numbers, outermost first.
sub frame
{
    my ($type, $payload, @tags) = @_;

    return pack('H12 H12', '020000000001', '020000000002')
        . join('', map { pack 'nn', 0x8100, $_ } @tags)
        . pack('n', $type) . $payload;
}


# A frame with a UDP packet that packet_id() knows (checksums left out).
sub udp_frame
{
    my ($id, $seq, $size, @tags) = @_;

    my $data = payload($id, $seq, $size);
    my $udp = pack('nnnn', 9, 9, 8 + length $data, 0) . $data;

    return frame(0x0800, pack('CCnnnCCna4a4', 0x45, 0, 20 + length $udp, 0,
        0, 64, 17, 0, "\xc0\x00\x02\x01", "\xc0\x00\x02\x02") . $udp, @tags);
}


# ( sender, sequence number ) of a captured packet, or ().
sub packet_id
{
    my ($data) = @_;

    my $at = index $data, 'PCAPTEST';

    return $at < 0 || length $data < $at + 16
        ? () : unpack 'NN', substr $data, $at + 8, 8;
}


1;
