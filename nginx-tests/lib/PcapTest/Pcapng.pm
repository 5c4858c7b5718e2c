# PcapTest::Pcapng: a reader and a builder of pcapng and classic pcap that
# share nothing with the library under test. The reader is strict: whatever
# is not exactly as the format says ends in an error. The builder can be
# told to make wrong blocks.

package PcapTest::Pcapng;

use strict;
use warnings;

use Exporter qw(import);
use PcapTest;

our @EXPORT_OK = qw(parse parse_pcap shb idb epb isb opt block);

use constant {
    SHB => 0x0A0D0D0A, IDB => 1, NRB => 4, ISB => 5, EPB => 6,
};

my %ISB_COUNTERS = (4 => 'ifrecv', 5 => 'ifdrop', 6 => 'filteraccept',
    7 => 'osdrop', 8 => 'usrdeliv');


# --- builder; every function takes big => 1 for the other byte order -----

sub opt
{
    my ($code, $value, %o) = @_;

    return pack($o{big} ? 'nn' : 'vv', $code, length $value) . $value
        . ("\0" x (-length($value) % 4));
}


sub options
{
    my ($list, %o) = @_;

    return '' if !@$list;

    return join('', map { opt($_->[0], $_->[1], %o) } @$list) . "\0\0\0\0";
}


# len and tail replace the two lengths, for wrong blocks
sub block
{
    my ($type, $body, %o) = @_;

    my $l = $o{big} ? 'N' : 'V';

    $body .= "\0" x (-length($body) % 4);

    my $len = 12 + length $body;

    return pack("$l$l", $type, defined $o{len} ? $o{len} : $len) . $body
        . pack($l, defined $o{tail} ? $o{tail} : $len);
}


sub shb
{
    my (%o) = @_;

    return block(SHB, pack($o{big} ? 'NnnQ>' : 'VvvQ<', 0x1A2B3C4D,
        defined $o{major} ? $o{major} : 1, 0, ~0)
        . options($o{opts} || [], %o), %o);
}


# name, linktype, snaplen, tsresol (undef: none), opts
sub idb
{
    my (%o) = @_;

    my @opts = (defined $o{name} ? [ 2, $o{name} ] : (),
        exists $o{tsresol} && !defined $o{tsresol} ? ()
            : [ 9, chr(defined $o{tsresol} ? $o{tsresol} : 9) ],
        @{ $o{opts} || [] });

    return block(IDB, pack($o{big} ? 'nnN' : 'vvV',
        defined $o{linktype} ? $o{linktype} : 1, 0,
        defined $o{snaplen} ? $o{snaplen} : 262144)
        . options(\@opts, %o), %o);
}


# iface, ts (ns), data, origlen, caplen (when it shall lie), opts
sub epb
{
    my ($iface, $ts, $data, %o) = @_;

    my $n = length $data;

    return block(EPB, pack($o{big} ? 'N5' : 'V5', $iface, $ts >> 32,
        $ts & 0xffffffff, defined $o{caplen} ? $o{caplen} : $n,
        defined $o{origlen} ? $o{origlen} : $n)
        . $data . ("\0" x (-$n % 4)) . options($o{opts} || [], %o), %o);
}


# counters: endtime, filteraccept, osdrop, usrdeliv, ...; opts for others
sub isb
{
    my ($iface, $ts, %o) = @_;

    my $q = $o{big} ? 'Q>' : 'Q<';
    my $v = $o{big} ? 'NN' : 'VV';
    my @opts;

    push @opts, [ 3, pack $v, $o{endtime} >> 32, $o{endtime} & 0xffffffff ]
        if defined $o{endtime};

    for my $code (sort keys %ISB_COUNTERS) {
        my $value = $o{ $ISB_COUNTERS{$code} };
        push @opts, [ $code, pack $q, $value ] if defined $value;
    }

    push @opts, @{ $o{opts} || [] };

    return block(ISB, pack($o{big} ? 'N3' : 'V3', $iface, $ts >> 32,
        $ts & 0xffffffff) . options(\@opts, %o), %o);
}


# --- reader ---------------------------------------------------------------

# Options as [ [code, value], ... ].
sub read_options
{
    my ($area) = @_;

    my ($pos, @opts) = (0);

    while ($pos < length $area) {
        die "option at the end is cut\n" if length($area) - $pos < 4;

        my ($code, $len) = unpack 'vv', substr $area, $pos, 4;

        if ($code == 0) {
            die "end of options in the middle\n"
                if $len || $pos + 4 != length $area;
            return \@opts;
        }

        die "option $code is too long\n" if $pos + 4 + $len > length $area;
        push @opts, [ $code, substr $area, $pos + 4, $len ];
        $pos += 4 + $len + (-$len % 4);
    }

    die "options without an end\n" if @opts;

    return \@opts;
}


sub values_of
{
    my ($opts, $code) = @_;

    return map { $_->[1] } grep { $_->[0] == $code } @$opts;
}


sub first_of
{
    my ($opts, $code) = @_;

    my ($value) = values_of($opts, $code);

    return $value;
}


sub read_idb
{
    my ($file, $body) = @_;

    my ($linktype, $reserved, $snaplen) = unpack 'vvV', $body;
    my $opts = read_options(substr $body, 8);
    my ($tsresol) = values_of($opts, 9);

    die "if_tsresol is not 9\n" if !defined $tsresol || ord $tsresol != 9;

    push @{ $file->{ifaces} }, {
        linktype => $linktype, snaplen => $snaplen, opts => $opts,
        name => scalar first_of($opts, 2),
        description => scalar first_of($opts, 3),
        filter => scalar first_of($opts, 11),
        packets => 0,
    };
}


# A packet is [ iface, ts_ns, caplen, origlen, data, comment, ... ].
sub read_epb
{
    my ($file, $body) = @_;

    my ($iface, $hi, $lo, $cap, $orig) = unpack 'V5', $body;
    my $pad = $cap + (-$cap % 4);

    die "packet is longer than its block\n" if 20 + $pad > length $body;
    die "packet of unknown interface $iface\n"
        if $iface >= @{ $file->{ifaces} };
    die "captured more than there was\n" if $cap > $orig;

    my $i = $file->{ifaces}[$iface];

    die "packet is longer than snaplen\n" if $i->{snaplen}
        && $cap > $i->{snaplen};

    my @comments;

    if (length $body > 20 + $pad) {
        @comments = values_of(read_options(substr $body, 20 + $pad), 1);
        push @{ $file->{comments} }, @comments;
    }

    $i->{packets}++;
    push @{ $file->{packets} }, [ $iface, $hi << 32 | $lo, $cap, $orig,
        substr($body, 20, $cap), @comments ];
}


sub read_isb
{
    my ($file, $body) = @_;

    my ($iface, $hi, $lo) = unpack 'V3', $body;

    die "statistics of unknown interface $iface\n"
        if $iface >= @{ $file->{ifaces} };

    my $opts = read_options(substr $body, 12);
    my %isb = (iface => $iface, ts => $hi << 32 | $lo, after =>
        scalar @{ $file->{packets} }, comments => [ values_of($opts, 1) ]);

    for my $code (keys %ISB_COUNTERS) {
        my ($value) = values_of($opts, $code);
        $isb{ $ISB_COUNTERS{$code} } = unpack 'Q<', $value
            if defined $value;
    }

    push @{ $file->{isbs} }, \%isb;
    push @{ $file->{comments} }, @{ $isb{comments} };
}


sub read_nrb
{
    my ($file, $body) = @_;

    my $pos = 0;

    while ($pos + 4 <= length $body) {
        my ($type, $len) = unpack 'vv', substr $body, $pos, 4;
        last if $type == 0;
        my $v = substr $body, $pos + 4, $len;
        my $alen = $type == 1 ? 4 : 16;
        my $addr = $alen == 4
            ? join('.', unpack 'C4', $v) : unpack 'H32', $v;
        $file->{hosts}{$addr} = [ split /\0/, substr $v, $alen ];
        $pos += 4 + $len + (-$len % 4);
    }
}


# The whole file as { shb, ifaces, packets, isbs, hosts, comments }. Dies
# with what is wrong where, unless partial is given: then what is whole is
# returned and {rest} says how many bytes were not read.
sub parse
{
    my ($bytes, %o) = @_;

    my $file = { ifaces => [], packets => [], isbs => [], hosts => {},
        comments => [], rest => 0 };
    my ($pos, $end) = (0, length $bytes);

    while ($pos < $end) {
        my ($type, $len) = $end - $pos < 12 ? (0, 12)
            : unpack 'VV', substr $bytes, $pos, 8;

        if ($len > $end - $pos && $o{partial}) {
            $file->{rest} = $end - $pos;
            last;
        }

        die "block at $pos has a length of $len\n"
            if $len < 12 || $len % 4 || $len > $end - $pos;
        die "block at $pos has two lengths\n"
            if unpack('V', substr $bytes, $pos + $len - 4, 4) != $len;

        my $body = substr $bytes, $pos + 8, $len - 12;

        die "block at $pos is before the section header\n"
            if !$file->{shb} && $type != SHB;

        eval {
            if ($type == EPB)    { read_epb($file, $body) }
            elsif ($type == ISB) { read_isb($file, $body) }
            elsif ($type == IDB) { read_idb($file, $body) }
            elsif ($type == NRB) { read_nrb($file, $body) }
            elsif ($type == SHB) {
                die "second section\n" if $file->{shb};
                die "foreign byte order\n"
                    if unpack('V', $body) != 0x1A2B3C4D;
                my $opts = read_options(substr $body, 16);
                $file->{shb} = { opts => $opts,
                    comments => [ values_of($opts, 1) ],
                    application => scalar first_of($opts, 4) };
                push @{ $file->{comments} }, values_of($opts, 1);
            }
            else { die "unknown type $type\n" }
            1;
        } or die "block at $pos: $@";

        $pos += $len;
    }

    die "empty file\n" if !$file->{shb} && !$o{partial};

    return $file;
}


# Classic pcap with nanoseconds: { linktype, snaplen, packets }.
sub parse_pcap
{
    my ($bytes, %o) = @_;

    die "no pcap header\n" if length $bytes < 24;

    my ($magic, $major, $minor, undef, undef, $snaplen, $linktype) =
        unpack 'VvvVVVV', $bytes;

    my $unit = $magic == 0xA1B23C4D ? 1
        : $magic == 0xA1B2C3D4 ? 1000 : die "wrong magic\n";
    my ($pos, $end, @packets) = (24, length $bytes);

    while ($pos < $end) {
        die "record at $pos is cut\n" if $end - $pos < 16;

        my ($s, $frac, $cap, $orig) = unpack 'V4', substr $bytes, $pos, 16;

        die "record at $pos is cut\n" if $cap > $end - $pos - 16;
        push @packets, [ 0, $s * 1_000_000_000 + $frac * $unit, $cap, $orig,
            substr($bytes, $pos + 16, $cap) ];
        $pos += 16 + $cap;
    }

    return { linktype => $linktype, snaplen => $snaplen, nsec => $unit == 1,
        packets => \@packets };
}


1;
