# PcapTest::CfRpc: the cf CLI's side of its plugin protocol, as bytes: Go's
# net/rpc over gob, of which it knows what the golden vectors of Go 1.19 show.
# Strict: a request that is not, byte for byte, one that Go would take is told
# in the event log. What it answers can be anything.

package PcapTest::CfRpc;

use strict;
use warnings;

use Exporter qw(import);
use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use PcapTest;

our @EXPORT_OK = qw(frame uint text flag space org);

my $REQUEST = '2fff83030101075265717565737401ff84000102010d536572766963654d'
    . '6574686f64010c0001035365710106000000';
my $RESPONSE = '3aff8503010108526573706f6e736501ff86000103010d53657276696365'
    . '4d6574686f64010c00010353657101060001054572726f72010c000000';
my $SPACE = '24ff8b03010105537061636501ff8c000101010b53706163654669656c647301'
    . 'ff8e0000002bff8d0301010b53706163654669656c647301ff8e0001020104477569'
    . '64010c0001044e616d65010c000000';
my $NOTHING = '0aff87030102ff8800000003ff8800';


# answers: { METHOD: bytes of a body in hex, { error => TEXT }, or a list of
# these, one for each call }; raw: { METHOD: hex instead of any answer };
# gone: the method behind whose answer the cf CLI is gone.
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { answers => {}, raw => {}, gone => '', %o,
        base => work_dir() . '/rpc' . ++$number }, $class;

    my $listen = IO::Socket::INET->new(Listen => 4,
        LocalAddr => '127.0.0.1', LocalPort => 0)
        or die "the cf CLI cannot listen: $!\n";

    $self->{port} = $listen->sockport();
    $self->{pid} = fork_child('rpc', sub { $self->serve($listen) },
        keep => [ $listen ]);
    close $listen;

    my $pid = $self->{pid};

    at_end(sub { stop_child($pid, 'TERM', 2) });

    return $self;
}


sub stop { stop_child($_[0]{pid}, 'TERM', 2) }


sub events
{
    my ($self, $event) = @_;

    return grep { !defined $event || $_->{event} eq $event }
        map { decode_json($_) } slurp("$self->{base}.events") =~ /^(.*)\n/mg;
}


sub event
{
    my ($self, $event, %o) = @_;

    sysopen my $fh, "$self->{base}.events", O_WRONLY | O_CREAT | O_APPEND,
        0644;
    syswrite $fh, encode_json({ event => $event, %o }) . "\n";
}


# --- gob, in hex ------------------------------------------------------------

sub uint
{
    my ($n) = @_;

    return sprintf '%02x', $n if $n < 128;

    my $hex = sprintf '%x', $n;

    $hex = "0$hex" if length($hex) % 2;

    return sprintf('%02x', 256 - length($hex) / 2) . $hex;
}


sub frame { return uint(length($_[0]) / 2) . $_[0] }

sub string { return uint(length $_[0]) . unpack 'H*', $_[0] }

sub text { return frame('0c00' . string($_[0])) }

sub flag { return frame($_[0] ? '020001' : '020000') }

sub space
{
    my ($guid, $name) = @_;

    return $SPACE . frame('ff8c01'
        . ($guid ne '' ? '01' . string($guid) . '01' . string($name) : '')
        . '0000');
}


sub org
{
    my ($name) = @_;

    my $fields = frame('ff9103010112' . unpack('H*', 'OrganizationFields')
        . '01ff92000101' . '01' . string('Name') . '010c00' . '0000');

    return frame('ff8f030101' . string('Organization') . '01ff90000101'
        . '01' . string('OrganizationFields') . '01ff92000000') . $fields
        . frame('ff900101' . string($name) . '0000');
}


sub header
{
    my ($method, $seq, $error) = @_;

    my ($hex, $last) = ('ff8601' . string($method), 0);

    if ($seq) {
        $hex .= '01' . uint($seq);
        $last = 1;
    }

    $hex .= sprintf('%02x', 2 - $last) . string($error) if defined $error;

    return frame($hex . '00');
}


# --- the server -------------------------------------------------------------

sub serve
{
    my ($self, $listen) = @_;

    my $s = $listen->accept() or return;

    $self->event('connected');
    eval { $self->calls($s, $listen); 1 }
        or $self->event('died', text => "$@");
    POSIX::_exit(0);
}


# The next message without its length, in hex; undef at the end.
sub message
{
    my ($self, $s) = @_;

    sysread($s, my $n, 1) or return;
    $n = ord $n;

    if ($n >= 128) {
        sysread $s, my $more, 256 - $n;
        $n = hex unpack 'H*', $more;
    }

    my $body = '';

    while (length $body < $n) {
        sysread $s, $body, $n - length $body, length $body or die "cut\n";
    }

    return unpack 'H*', $body;
}


sub calls
{
    my ($self, $s, $listen) = @_;

    my $seq = 0;
    my $type = $self->message($s);

    return if !defined $type;
    die "no Request: $type\n" if $type ne substr $REQUEST, 2;

    while (defined(my $request = $self->message($s))) {
        my ($len, $rest) = $request =~ /^ff8401(..)(.*)$/
            or die "request $request\n";
        my $name = pack 'H*', substr $rest, 0, 2 * hex $len;
        my $end = substr $rest, 2 * hex $len;

        die "sequence $end\n" if $end ne ($seq ? '01' . uint($seq) : '')
            . '00';

        my ($method) = $name =~ /^CliRpcCmd\.(\w+)$/ or die "method $name\n";
        my $arg = '';

        if ($method eq 'SetPluginMetadata') {
            do {
                $arg = $self->message($s);
                $self->event('metadata', hex => $arg);
            } while ($arg =~ /^ff[0-9a-f][13579bdf]/);

        } else {
            $arg = $self->message($s);
            die "argument $arg\n" if $arg ne '0c0000';
        }

        $self->event('call', method => $method);
        $self->answer($s, $method, $name, $seq);
        close $listen if $self->{gone} eq $method;
        return if $self->{gone} eq $method;
        $seq++;
    }
}


sub answer
{
    my ($self, $s, $method, $name, $seq) = @_;

    my $a = $self->{answers}{$method};
    my $raw = $self->{raw}{$method};

    $a = @$a > 1 ? shift @$a : $a->[0] if ref $a eq 'ARRAY';

    my $hex = $self->{defined}++ ? '' : $RESPONSE;

    $hex .= !defined $a
        ? header($name, $seq, "rpc: can't find method $name") . $NOTHING
        : ref $a ? header($name, $seq, $a->{error}) . $NOTHING
        : header($name, $seq) . $a;
    $hex = $raw if defined $raw;
    local $SIG{PIPE} = 'IGNORE';
    syswrite $s, pack 'H*', $hex;
}


1;
