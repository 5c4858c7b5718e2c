# PcapTest::AgentClient: speaks to one agent directly, as the API does, but
# can also misbehave: stop reading, close in every possible way, present
# other certificates, send other bytes.

package PcapTest::AgentClient;

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::SSL qw(SSL_VERIFY_PEER);
use JSON::PP;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF SHUT_WR);
use Time::HiRes qw(time);
use PcapTest;


# Options: cert (name of a leaf; undef: none), rcvbuf, plain (no TLS). The
# handshake's error, if any, is in {error}.
sub new
{
    my ($class, $agent, %o) = @_;

    my $self = bless { raw => '', body => '', chunks => 0, complete => 0 },
        $class;

    my $tcp = IO::Socket::INET->new(Proto => 'tcp', Timeout => limit(5),
        PeerAddr => $agent->{addr}, PeerPort => $agent->{port})
        or die "connect $agent->{addr}: $!";

    $tcp->setsockopt(SOL_SOCKET, SO_RCVBUF, $o{rcvbuf}) if $o{rcvbuf};
    $self->{sock} = $tcp;

    return $o{plain} ? $self : $self->secure($agent, %o);
}


# The handshake; of one that began plain, whenever it is called.
sub secure
{
    my ($self, $agent, %o) = @_;

    my $cert = exists $o{cert} ? $o{cert} : 'api';
    my $certs = $agent->{certs};

    my $tls = IO::Socket::SSL->start_SSL($self->{sock},
        SSL_verify_mode => SSL_VERIFY_PEER,
        SSL_ca_file => $certs->file('ca.crt'),
        SSL_verifycn_scheme => 'http', SSL_verifycn_name => 'pcap-agent',
        Timeout => limit(5),
        $o{tls} ? %{ $o{tls} } : (),
        defined $cert ? (SSL_cert_file => $certs->file("$cert.crt"),
            SSL_key_file => $certs->file("$cert.key")) : ());

    $self->{error} = "$IO::Socket::SSL::SSL_ERROR" if !$tls;
    $self->{sock}->blocking(0);

    return $self;
}


sub put
{
    my ($self, $bytes) = @_;

    while (length $bytes) {
        my $n = syswrite $self->{sock}, $bytes;

        if (defined $n) {
            substr $bytes, 0, $n, '';
        } elsif (!$!{EAGAIN}) {
            return 0;
        }
    }

    return 1;
}


sub get
{
    my ($self, $target) = @_;

    return $self->put("GET $target HTTP/1.1\r\nHost: agent\r\n\r\n");
}


# One read; 1 when something came, 0 when nothing did, undef at the end.
sub pump
{
    my ($self, $wait) = @_;

    my $s = $self->{sock};

    if (!$s->can('pending') || !$s->pending) {
        my $r = '';
        vec($r, fileno $s, 1) = 1;
        return 0 if select($r, undef, undef, $wait) <= 0;
    }

    my $n = sysread $s, my $got, 65536;

    if (!defined $n) {
        return 0 if $!{EAGAIN} || $!{EINTR};
        $self->{reset} = 1;
        return undef;
    }

    return undef if $n == 0;

    $self->{raw} .= $got;
    $self->decode();

    return 1;
}


# Takes the chunks that are whole out of {raw} into {body}.
sub decode
{
    my ($self) = @_;

    if (!defined $self->{head}) {
        my $at = index $self->{raw}, "\r\n\r\n";
        return if $at < 0;

        $self->{head} = substr $self->{raw}, 0, $at + 4, '';
        ($self->{status}) = $self->{head} =~ m{^HTTP/1\.1 (\d+) };
        $self->{chunked} = $self->{head} =~ /^Transfer-Encoding: chunked/mi;
    }

    if (!$self->{chunked}) {
        $self->{body} .= $self->{raw};
        $self->{raw} = '';
        return;
    }

    my $pos = 0;

    while (!$self->{complete}) {
        my $eol = index $self->{raw}, "\r\n", $pos;
        last if $eol < 0;

        my $text = substr $self->{raw}, $pos, $eol - $pos;
        die "not a chunk size: $text\n" if $text !~ /^[0-9a-f]+$/;

        my $len = hex $text;
        last if length $self->{raw} < $eol + 2 + $len + 2;
        die "chunk without an end\n"
            if substr($self->{raw}, $eol + 2 + $len, 2) ne "\r\n";

        push @{ $self->{chunk_list} }, substr $self->{raw}, $eol + 2, $len
            if $self->{keep_chunks};
        $self->{body} .= substr $self->{raw}, $eol + 2, $len;
        $self->{chunks}++;
        $self->{complete} = 1 if $len == 0;
        $pos = $eol + 2 + $len + 2;
    }

    substr $self->{raw}, 0, $pos, '';
}


# Reads until the block is true; 1, or 0 after the deadline or at the end.
sub read_until
{
    my ($self, $seconds, $code) = @_;

    my $end = time() + limit($seconds);

    while (1) {
        return 1 if $code->($self);
        return 0 if time() > $end;

        my $rc = $self->pump(0.05);

        if (!defined $rc) {
            $self->{ended} = 1;
            return $code->($self) ? 1 : 0;
        }
    }
}


sub read_to_end
{
    my ($self, $seconds) = @_;

    $self->read_until($seconds || 5, sub { $_[0]{ended} });

    return $self;
}


# The first chunk is here: the capture runs.
sub started
{
    my ($self) = @_;

    return $self->read_until(5, sub { $_[0]{chunks} > 0 });
}


sub seen
{
    my ($self, $bytes) = @_;

    return index($self->{body}, $bytes) >= 0;
}


# A FIN without close_notify, as the API does it.
sub half_close { return shutdown $_[0]{sock}, SHUT_WR }

# close_notify alone; the socket stays as it is.
sub close_notify
{
    my ($self) = @_;

    return Net::SSLeay::shutdown($self->{sock}->_get_ssl_object());
}


sub reset_connection
{
    my ($self) = @_;

    my $s = delete $self->{sock};

    $s->setsockopt(SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0);
    my $fd = fileno $s;
    Net::SSLeay::set_quiet_shutdown($s->_get_ssl_object(), 1);
    $s->close(SSL_no_shutdown => 1);
}


# One whole exchange: ( status, decoded JSON or body, client ).
sub fetch
{
    my ($class, $agent, $target, %o) = @_;

    my $c = $class->new($agent, %o);
    return (0, $c->{error}, $c) if $c->{error};

    $c->get($target);
    $c->read_to_end(10);

    my $json = eval { decode_json($c->{body}) };

    return ($c->{status} || 0, $json || $c->{body}, $c);
}


# A whole capture: starts, runs the block, half-closes, reads to the end.
sub capture
{
    my ($class, $agent, $query, $code, %o) = @_;

    my $c = $class->new($agent, %o);
    die "$c->{error}\n" if $c->{error};

    $c->get("/v1/capture?$query");
    $c->started() or die 'no first chunk: ' . ($c->{head} || '')
        . $c->{body} . "\n";
    $code->($c);
    $c->half_close();
    $c->read_to_end(10);

    return $c;
}


1;
