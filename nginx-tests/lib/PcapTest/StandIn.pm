# PcapTest::StandIn: an API that answers pcap-cli as a test wants, for what
# the real one never does: lies, cuts, stalls, hostile bytes. It is strict
# about what it is asked: TLS, method, path, form, token; whatever the
# contract does not allow is refused and told in the event log.
#
# Each connection is a process; a script gets ($c, $request) once a capture
# was asked for properly.

package PcapTest::StandIn;

use strict;
use warnings;

use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::Server;
use PcapTest::Pcapng qw(shb idb epb isb);

use constant ID => '0123456789abcdef' x 2;

my %OPTIONS = map { $_ => 1 } qw(interface instance filter snaplen format
    continues duration max_bytes max_packets promiscuous reason index
    process selector);

my $number = 0;


# Options: certs, script, status (answer of /v1/status), cert, port, token (or
# a list of them, or a sub that returns one), delete (sub of the same kind for
# DELETE), put (the same for a fresh token; without it, this is an older API),
# base_path (of a named environment, in front of /v1/), store (sub of the same
# kind for everything about stored captures, see PcapTest::StoreStandIn),
# elsewhere (the same in place of all others, and without a look at the token:
# no API), client_ca (a file: a certificate of that CA is as good as a token).
sub new
{
    my ($class, %o) = @_;

    my $self = bless { port => 8443, cert => 'front', %o,
        base => work_dir() . '/standin' . ++$number }, $class;

    my $listen = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port})
        or die "stand-in cannot listen: $!\n";

    $self->{pid} = fork_child('standin', sub { $self->serve($listen) },
        keep => [$listen]);
    close $listen;

    return $self;
}


sub stop
{
    my ($self) = @_;

    stop_child($self->{pid}, 'TERM', 2);
}


sub url { return "https://localhost:$_[0]{port}" }


sub events
{
    my ($self, $event) = @_;

    return grep { !defined $event || $_->{event} eq $event }
        map { decode_json($_) } slurp("$self->{base}.events") =~ /^(.*)\n/mg;
}


sub wait_event
{
    my ($self, $seconds, $event) = @_;

    my @found;

    wait_for($seconds, sub { @found = $self->events($event) });

    return $found[-1];
}


# Lets the script that waits at gate() go on.
sub open_gate
{
    my ($self) = @_;

    spew("$self->{base}.gate", 'open');
}


sub serve
{
    my ($self, $listen) = @_;

    my $context = IO::Socket::SSL::SSL_Context->new(
        SSL_server    => 1,
        SSL_cert_file => $self->{certs}->file("$self->{cert}.crt"),
        SSL_key_file  => $self->{certs}->file("$self->{cert}.key"),
        $self->{client_ca} ? (SSL_ca_file => $self->{client_ca},
            SSL_verify_mode => SSL_VERIFY_PEER) : (),
    ) or die "TLS context: $SSL_ERROR\n";

    PcapTest::Server::serve($listen, sub {
        my ($s) = @_;

        IO::Socket::SSL->start_SSL($s, SSL_server => 1,
            SSL_reuse_ctx => $context) or return;

        my $c = bless { s => $s, api => $self }, 'PcapTest::StandIn::Conn';

        eval { $c->answer(); 1 } or $c->event('died', text => "$@");
    });
}


# --- the usual stream -----------------------------------------------------

# Section, interfaces web/0/eth0 .. web/N-1/eth0.
sub head
{
    my ($n, %o) = @_;

    return shb(opts => [ [ 4, 'stand-in' ],
        map { [ 1, $_ ] } @{ $o{comments} || [] } ])
        . join '', map { idb(name => "web/$_/eth0",
            linktype => $o{linktype} ? $o{linktype}[$_] : 1) } 0 .. $n - 1;
}


# One packet for each interface in turn.
sub packets
{
    my ($ifaces, $count, $from) = @_;

    my $t = 1_700_000_000_000_000_000;

    $from ||= 0;

    return join '', map { epb($_ % $ifaces, $t + $_ * 1000,
        sprintf('PACKET-SECRET-%08d', $_)) } $from .. $from + $count - 1;
}


# Last statistics with the verdict.
sub tail
{
    my ($n, $count, $status, %o) = @_;

    my $t = 1_700_000_100_000_000_000;
    my $drop = $o{dropped} || 0;
    my $said = defined $o{said} ? $o{said} : $count;

    return join('', map {
        my $mine = int(($count + $n - 1 - $_) / $n);
        isb($_, $t, filteraccept => $mine + ($_ ? 0 : $drop),
            osdrop => $_ ? 0 : $drop, usrdeliv => $mine, opts => [ [ 1,
            "pcap-api STATUS web/$_: status=$status received="
            . ($mine + ($_ ? 0 : $drop)) . ' dropped=' . ($_ ? 0 : $drop)
            . " packets=$mine late=0" ] ])
    } 0 .. $n - 1) . isb(0, $t + 1, opts => [ [ 1, 'pcap-api STATUS api: '
        . "status=$status packets=$said dropped=$drop late=0" ] ]);
}


package PcapTest::StandIn::Conn;

use JSON::PP;
use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use Socket qw(SOL_SOCKET SO_LINGER);
use PcapTest;


sub event
{
    my ($c, $event, %o) = @_;

    sysopen my $fh, "$c->{api}{base}.events", O_WRONLY | O_CREAT | O_APPEND,
        0644;
    syswrite $fh, encode_json({ event => $event, at => Time::HiRes::time(),
        %o }) . "\n";
}


sub read_request
{
    my ($c) = @_;

    my $text = '';

    while ($text !~ /\r\n\r\n/) {
        $c->{s}->sysread($text, 4096, length $text) or return;
        die "head too long\n" if length $text > 40000;
    }

    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($line, @fields) = split /\r\n/, $head;
    my ($method, $path) = $line =~ m{^([A-Z]+) (/\S*) HTTP/1\.1$}
        or die "request line: $line\n";
    my %field = map { /^([\w-]+): (.*)$/ or die "field: $_\n"; (lc $1, $2) }
        @fields;

    while (length $body < ($field{'content-length'} || 0)) {
        $c->{s}->sysread($body, 4096, length $body) or return;
    }

    return { method => $method, path => $path, field => \%field,
        body => $body };
}


# The form as [ [name, value], ... ]; dies on what the contract forbids.
sub form
{
    my ($r) = @_;

    my (@pairs, %seen);

    die "content type\n" if ($r->{field}{'content-type'} || '')
        ne 'application/x-www-form-urlencoded';

    for my $pair (split /&/, $r->{body}) {
        my ($name, $value) = $pair =~ /^([a-z_]+)=([\w.~%+-]*)$/
            or die "pair: $pair\n";
        die "option $name\n" if !$OPTIONS{$name};
        die "repeated $name\n"
            if $seen{$name}++ && $name !~ /^in(?:dex|st|ter)/;
        $value =~ tr/+/ /;
        $value =~ s/%([0-9A-F]{2})/chr hex $1/ge;
        push @pairs, [ $name, $value ];
    }

    die "format\n" if !grep { $_->[0] eq 'format' && $_->[1] eq 'pcapng' }
        @pairs;

    return \@pairs;
}


sub answer
{
    my ($c) = @_;

    my $r = $c->read_request() or return;

    $c->event('request', %$r);

    return $c->{api}{elsewhere}->($c, $r) if $c->{api}{elsewhere};

    my $base_path = $c->{api}{base_path} || '';
    $r->{path} =~ s{^\Q$base_path\E(?=/v1/)}{}
        or return $c->problem(404, 'Not Found', 'no such environment');

    if ($r->{path} eq '/v1/status' && $r->{method} eq 'GET') {
        die "a token for status\n" if $r->{field}{authorization}
            && !$c->{api}{status_token};
        my $s = $c->{api}{status} || { healthy => JSON::PP::true,
            version => '0.1.0', compatibility_level => 1,
            message => '', resolvers => ['static'] };
        return $c->reply($c->{api}{status_code} || 200,
            'application/json', encode_json($s));
    }

    my ($token) = ($r->{field}{authorization} || '') =~ /^bearer (\S+)$/i;

    my $known = $c->{api}{token} || 'good-token';
    my @good = ref $known eq 'CODE' ? $known->($c)
        : ref $known ? @$known : $known;

    $r->{cn} = $c->{s}->peer_certificate('commonName')
        if $c->{api}{client_ca};

    return $c->problem(401, 'Unauthorized', 'no token is active')
        if !(defined $token ? grep { $_ eq $token } @good : $r->{cn});

    $r->{token} = $token;

    return $c->{api}{store}->($c, $r)
        if $c->{api}{store} && $r->{path} =~ m{^/v1/captures(?:/|$)};

    if ($r->{method} eq 'DELETE') {
        $r->{path} eq '/v1/captures/' . PcapTest::StandIn::ID
            or return $c->problem(404, 'Not Found', 'no such capture');
        $c->event('delete');
        return $c->{api}{delete}->($c, $r) if $c->{api}{delete};
        return $c->reply(202, 'application/json', '{}');
    }

    if ($r->{method} eq 'PUT' && $r->{path} eq '/v1/captures/'
        . PcapTest::StandIn::ID . '/token')
    {
        die "a body\n" if length $r->{body};
        $c->event('put', token => $token);
        return $c->{api}{put}->($c, $r) if $c->{api}{put};
        return $c->problem(404, 'Not Found', 'no such resource');
    }

    my ($group) = $r->{path}
        =~ m{^/v1/capture/(?:static|bosh|cf|k8s)/([\w.-]+)$}
        or return $c->problem(404, 'Not Found', 'no such resource');

    die "method $r->{method}\n" if $r->{method} ne 'POST';

    $r->{form} = form($r);
    $r->{group} = $group;
    $c->event('capture', group => $group, form => $r->{form},
        path => $r->{path}, token => $token, cn => $r->{cn});
    $c->{api}{script}->($c, $r);
}


# Unbuffered; returns false when the client is gone.
sub send_raw
{
    my ($c, $bytes) = @_;

    local $SIG{PIPE} = 'IGNORE';

    while (length $bytes) {
        my $n = $c->{s}->syswrite($bytes, 16384);
        return 0 if !$n;
        substr $bytes, 0, $n, '';
    }

    return 1;
}


sub reply
{
    my ($c, $status, $type, $body, @fields) = @_;

    $c->send_raw(join("\r\n", "HTTP/1.1 $status X", "Content-Type: $type",
        'Content-Length: ' . length $body, 'Connection: close', @fields,
        '', '') . $body);
    $c->{s}->close();
}


sub problem
{
    my ($c, $status, $title, $detail, %more) = @_;

    $c->reply($status, 'application/problem+json', encode_json({
        type => 'about:blank', title => $title, status => $status,
        detail => $detail, request_id => 'req-42', %more }));
}


# The head of a capture's answer.
sub begin
{
    my ($c, @fields) = @_;

    $c->send_raw(join "\r\n", 'HTTP/1.1 200 OK',
        'Content-Type: application/x-pcapng',
        'X-Pcap-Capture-Id: ' . PcapTest::StandIn::ID,
        'X-Vcap-Request-Id: 11-22-33', 'Transfer-Encoding: chunked',
        'Trailer: X-Pcap-Status, X-Pcap-Packets, X-Pcap-Dropped', @fields,
        '', '');
}


sub chunk
{
    my ($c, $bytes) = @_;

    return $c->send_raw(sprintf("%x\r\n", length $bytes) . $bytes . "\r\n");
}


# The last chunk with its trailers, and the end of the connection.
sub end
{
    my ($c, %trailers) = @_;

    $c->send_raw(join "\r\n", '0',
        (map { "X-Pcap-$_: $trailers{$_}" } sort keys %trailers), '', '');
    $c->{s}->close();
}


# Head, packets, tail and trailers of a capture that goes well.
sub usual
{
    my ($c, $n, $count, $status, %o) = @_;

    $c->begin();
    $c->chunk(PcapTest::StandIn::head($n));
    $c->chunk(PcapTest::StandIn::packets($n, $count)) if $count;
    $c->chunk(PcapTest::StandIn::tail($n, $count, $status, %o));
    $c->end(Status => $status, Packets => $count,
        Dropped => $o{dropped} || 0);
}


# The connection breaks without TLS or HTTP saying so.
sub cut
{
    my ($c) = @_;

    setsockopt $c->{s}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $c->{s}->close(SSL_no_shutdown => 1);
    POSIX::_exit(0);
}


# Waits until the test opens the gate.
sub gate
{
    my ($c) = @_;

    wait_for(10, sub { -e "$c->{api}{base}.gate" })
        or die "nobody opened the gate\n";
}


# Waits for the DELETE of this capture.
sub wait_delete
{
    my ($c, $seconds) = @_;

    my $got = $c->{api}->wait_event($seconds, 'delete');

    $c->event('no delete') if !$got;

    return $got;
}


# Waits until the client has closed the connection.
sub wait_gone
{
    my ($c, $seconds) = @_;

    my $gone = wait_for($seconds, sub {
        $c->{s}->blocking(0);
        my $n = $c->{s}->sysread(my $x, 100);
        return defined $n && $n == 0
            || !defined $n && !$!{EAGAIN} && !$!{EWOULDBLOCK};
    });

    $c->event($gone ? 'gone' : 'stays');
}


1;
