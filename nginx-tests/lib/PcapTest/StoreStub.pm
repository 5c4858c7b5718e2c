# PcapTest::StoreStub: what stands where pcap-store does and says what a test
# wants, one answer at a time: asked() is nginx's next question, say_it() its
# answer. The real one is PcapTest::Store.

package PcapTest::StoreStub;

use strict;
use warnings;

use Exporter qw(import);
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use PcapTest;
use Time::HiRes qw(time);

our @EXPORT = qw(say_it record);


# With socket, folder and api, as PcapTest::Nginx wants them.
sub new
{
    my ($class) = @_;

    my $self = bless { socket => work_dir() . '/store.sock',
        folder => work_dir() . '/files', api => work_dir() . '/api.sock' },
        $class;

    mkdir $self->{folder};
    chmod 0755, work_dir(), $self->{folder};
    $self->listen();

    return $self;
}


sub listen
{
    my ($self) = @_;

    $self->{listener} = IO::Socket::UNIX->new(Local => $self->{socket},
        Listen => 8) or die "$self->{socket}: $!\n";
    chmod 0777, $self->{socket};
}


sub close
{
    my ($self) = @_;

    delete $self->{listener};
    unlink $self->{socket};
}


# Does nginx ask?
sub pending
{
    my ($self, $seconds) = @_;

    return IO::Select->new($self->{listener})->can_read($seconds);
}


# One request: a hash of its pairs, with socket, first (the first name), raw
# and doc (the JSON of its body).
sub asked
{
    my ($self) = @_;

    return undef if !$self->pending(limit(5));

    my $s = $self->{listener}->accept();
    my $text = '';

    while (1) {
        my ($len) = $text =~ /^(\d+):/;

        last if defined $len && length $text >= length($len) + $len + 2;
        return undef if !sysread $s, $text, 65536, length $text;
    }

    $text =~ s/^\d+://;
    $text =~ s/,$//;

    my @pairs = split /\0/, $text, -1;
    my %h = (@pairs[0 .. $#pairs - ($#pairs % 2 ? 0 : 1)], socket => $s,
        first => $pairs[0], raw => $text);

    $h{doc} = eval { decode_json($h{PCAP_BODY}) } if $h{PCAP_BODY};

    return \%h;
}


sub say_it
{
    my ($h, $status, $doc) = @_;

    my $body = ref $doc ? encode_json($doc) : $doc;

    syswrite $h->{socket}, "Status: $status\r\nContent-Type: application/json"
        . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    CORE::close(delete $h->{socket});
}


# A record of what $doc, the body of a POST, asks for.
sub record
{
    my ($doc, %o) = @_;

    return { id => $doc->{id}, owner => $doc->{owner}, state => 'waiting',
        created => int(time()), ended => 0, expires => 0, gone => 0,
        bytes => 0, lost => 0, packets => 0, dropped => 0, answer => 0,
        status => '', detail => '', sha256 => '', file => '', place =>
        'local', about => $doc->{about}, %o };
}


1;
