# PcapTest::Client: an HTTP/1.1 client over TLS that shows everything: when
# the header came, which chunks, which trailers, and whether the end was
# proper. It can read at a limited rate, stop reading, or vanish.

package PcapTest::Client;

use strict;
use warnings;

use IO::Socket::SSL;
use Socket qw(SOL_SOCKET SO_RCVBUF SO_LINGER inet_aton pack_sockaddr_in);
use Time::HiRes qw(time);
use PcapTest;


# Connects and sends. Options: port, method, headers ([name, value] pairs),
# token, form or json (a body), version, rcvbuf, addr, local, ca, half (the end
# of the request is held back until finish_request()).
sub new
{
    my ($class, $path, %o) = @_;

    my $self = bless { raw => '', body => '', trailers => {}, %o }, $class;

    # set before it connects, or the first window is that of a large buffer
    my $s = IO::Socket::INET->new(Proto => 'tcp', Timeout => limit(5),
        ($o{local} ? (LocalAddr => $o{local}) : ()))
        or die "socket: $!\n";

    setsockopt $s, SOL_SOCKET, SO_RCVBUF, pack 'l', $o{rcvbuf}
        if $o{rcvbuf};
    $s->connect(pack_sockaddr_in($o{port} || 8443,
        inet_aton($o{addr} || '127.0.0.1'))) or die "connect: $!\n";

    IO::Socket::SSL->start_SSL($s, SSL_ca_file => $o{ca},
        SSL_verifycn_name => 'localhost', SSL_verifycn_scheme => 'http',
        SSL_alpn_protocols => ['http/1.1'], Timeout => limit(5),
        ($o{cert} ? (SSL_cert_file => "$o{cert}.crt",
            SSL_key_file => "$o{cert}.key") : ()))
        or die "TLS: $SSL_ERROR\n";

    $self->{s} = $s;
    $s->blocking(0);

    my $text = $self->request_text($path);

    $self->{rest} = substr $text, -2, 2, '' if $o{half};
    $self->send_all($text);

    return $self;
}


sub finish_request
{
    my ($self) = @_;

    $self->send_all(delete $self->{rest});
}


sub request_text
{
    my ($self, $path) = @_;

    my $body = $self->{json} // $self->{form};
    my $type = defined $self->{json} ? 'application/json'
        : 'application/x-www-form-urlencoded';
    my $method = $self->{method} || (defined $body ? 'POST' : 'GET');
    my @head = ("$method $path HTTP/" . ($self->{version} || '1.1'),
        'Host: localhost');

    push @head, "Authorization: bearer $self->{token}"
        if defined $self->{token};
    push @head, "Content-Type: $type", 'Content-Length: ' . length $body
        if defined $body;
    push @head, map { "$_->[0]: $_->[1]" } @{ $self->{headers} || [] };

    return join("\r\n", @head, '', '')
        . ($body // '');
}


sub send_all
{
    my ($self, $text) = @_;

    while (length $text) {
        my $n = $self->{s}->syswrite($text);

        if (defined $n) {
            substr $text, 0, $n, '';
            next;
        }

        return if $SSL_ERROR != SSL_WANT_WRITE && $SSL_ERROR != SSL_WANT_READ;

        my $w = '';
        vec($w, fileno $self->{s}, 1) = 1;
        select undef, $w, undef, limit(5);
    }
}


# One turn: waits up to $seconds for bytes and takes in at most $max.
# Returns the number of bytes, 0 at the end of the connection, undef when
# nothing came.
sub pull
{
    my ($self, $seconds, $max) = @_;

    return 0 if $self->{eof};

    # what another connection has left there would be taken for our end
    Net::SSLeay::ERR_clear_error();

    my $n = $self->{s}->sysread(my $part, $max || 65536);

    if (!defined $n && $SSL_ERROR == SSL_WANT_READ) {
        my $r = '';
        vec($r, fileno $self->{s}, 1) = 1;
        select $r, undef, undef, $seconds;
        $n = $self->{s}->sysread($part, $max || 65536);
        return undef if !defined $n && $SSL_ERROR == SSL_WANT_READ;
    }

    if (!$n) {
        $self->{eof} = 1;
        $self->{eof_at} = time();
        return 0;
    }

    $self->{raw} .= $part;
    $self->{bytes} += $n;
    $self->decode();

    return $n;
}


sub decode
{
    my ($self) = @_;

    while (!defined $self->{status}) {
        $self->{raw} =~ s/^(.*?)\r\n\r\n//s or return;

        # "100 Continue" is not the answer yet
        my $head = $1;
        $self->decode_head($head) if $head !~ m{^HTTP/1\.1 1\d\d };
    }

    if ($self->{chunked}) {
        $self->decode_chunks();
        return;
    }

    $self->{body} .= $self->{raw};
    $self->{raw} = '';
    $self->{complete} = 1 if defined $self->{length}
        && length $self->{body} >= $self->{length};
}


sub decode_head
{
    my ($self, $text) = @_;

    my ($line, @fields) = split /\r\n/, $text;

    $line =~ m{^HTTP/1\.[01] (\d{3})} or die "bad status line: $line\n";
    $self->{status} = $1;
    $self->{header_at} = time();
    $self->{head} = $text;

    for my $f (@fields) {
        my ($name, $value) = $f =~ /^([^:\s]+):\s*(.*?)\s*$/
            or die "bad header field: $f\n";
        push @{ $self->{fields}{ lc $name } }, $value;
    }

    $self->{chunked} = ($self->header('transfer-encoding') || '')
        eq 'chunked';
    $self->{length} = $self->header('content-length');
    $self->{length} = 0 if $self->{status} == 204;
    $self->{complete} = 1 if defined $self->{length}
        && $self->{length} == 0;
}


sub decode_chunks
{
    my ($self) = @_;

    while (!$self->{complete}) {
        if (defined $self->{left}) {
            return if length $self->{raw} < $self->{left} + 2;
            $self->{body} .= substr $self->{raw}, 0, $self->{left}, '';
            substr($self->{raw}, 0, 2, '') eq "\r\n"
                or die "chunk without an end\n";
            delete $self->{left};
            next;
        }

        if ($self->{last}) {
            # field lines up to the empty line
            return if $self->{raw} !~ s/^((?:[^\r\n]+\r\n)*)\r\n//;
            for my $f (split /\r\n/, $1) {
                my ($name, $value) = $f =~ /^([^:\s]+):\s*(.*?)\s*$/
                    or die "bad trailer: $f\n";
                $self->{trailers}{ lc $name } = $value;
            }
            $self->{complete} = 1;
            return;
        }

        return if $self->{raw} !~ s/^([0-9a-fA-F]+)\r\n//;
        my $n = hex $1;
        if ($n) { $self->{left} = $n } else { $self->{last} = 1 }
    }
}


sub header
{
    my ($self, $name) = @_;

    my $all = $self->{fields}{ lc $name } or return undef;

    return join ', ', @$all;
}


sub trailer
{
    my ($self, $name) = @_;

    return $self->{trailers}{ lc $name };
}


# Reads until the block is true; its truth, or undef after the deadline or
# the end.
sub read_until
{
    my ($self, $seconds, $code) = @_;

    my $end = time() + limit($seconds);

    while (1) {
        my $got = $code->($self);
        return $got if $got;
        my $left = $end - time();
        return undef if $left <= 0;

        my $n = $self->pull($left < 0.1 ? $left : 0.1);
        return $code->($self) if defined $n && $n == 0;
    }
}


sub read_header
{
    my ($self, $seconds) = @_;

    return $self->read_until($seconds || 10, sub { $self->{status} });
}


# Reads to the end of the response; true when it was proper. rate limits
# the bytes per second.
sub read_end
{
    my ($self, $seconds, %o) = @_;

    if (!$o{rate}) {
        return $self->read_until($seconds || 20,
            sub { $self->{complete} || $self->{eof} }) && $self->{complete};
    }

    my ($start, $end) = (time(), time() + limit($seconds));
    my $had = $self->{bytes} || 0;

    while (!$self->{complete} && !$self->{eof} && time() < $end) {
        my $ahead = ($self->{bytes} - $had) / $o{rate} - (time() - $start);
        select undef, undef, undef, $ahead if $ahead > 0.001;
        $self->pull(0.1, 16384);
    }

    return $self->{complete};
}


# The connection is closed by the server: true when that was seen in time.
sub gone
{
    my ($self, $seconds) = @_;

    return $self->read_until($seconds, sub { $self->{eof} });
}


# Leaves without a word: by FIN, or by RST when hard is given.
sub vanish
{
    my ($self, $hard) = @_;

    my $s = delete $self->{s} or return;

    setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0 if $hard;
    $s->close(SSL_no_shutdown => 1, SSL_fast_shutdown => 1);
    $self->{eof} = 1;
}


sub DESTROY
{
    my ($self) = @_;

    local ($@, $!, $?);
    $self->vanish();
}


1;
