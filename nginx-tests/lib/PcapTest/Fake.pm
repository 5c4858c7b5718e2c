# PcapTest::Fake: agents that do whatever a test wants, over real mTLS. One
# process listens on every 127.x address; each connection is a child that
# runs the script of the address it was reached on. What scripts send and
# see is written to an event log that the test reads.

package PcapTest::Fake;

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use POSIX ();
use Socket qw(MSG_PEEK MSG_DONTWAIT SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::Server;
use PcapTest::Pcapng qw(shb idb epb isb);


# Options: certs; script or scripts (by number of the agent); cert, ca (file
# names, for negative tests); port.
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { port => 9494, cert => 'agent', ca => 'ca.crt', %o,
        file => work_dir() . '/fake' . ++$number . '.events' }, $class;

    my $listen = IO::Socket::INET->new(Listen => 1024, ReuseAddr => 1,
        LocalAddr => $o{addr} || '0.0.0.0', LocalPort => $self->{port})
        or die "fake agents cannot listen: $!\n";

    $self->{pid} = fork_child('fake', sub { $self->serve($listen) },
        keep => [$listen]);
    at_end(sub { stop_child($self->{pid}, 'TERM', 2) });

    return $self;
}


# The address of fake agent $n, and a row of the static group for it.
sub addr
{
    my ($self, $n) = @_;

    return '127.1.' . int($n / 200) . '.' . (1 + $n % 200);
}


sub target
{
    my ($self, $group, $instance, $n) = @_;

    return [ $group, $instance, $self->addr($n) . ":$self->{port}",
        'pcap-agent' ];
}


# Events as hashes, oldest first; filtered by name and number.
sub events
{
    my ($self, $event, $n) = @_;

    my $addr = defined $n ? $self->addr($n) : undef;

    return grep { (!defined $event || $_->{event} eq $event)
        && (!defined $addr || $_->{addr} eq $addr) }
        map { decode_json($_) } slurp($self->{file}) =~ /^(.*)\n/mg;
}


sub wait_event
{
    my ($self, $seconds, $event, $n, $count) = @_;

    my @found;

    wait_for($seconds, sub {
        (@found = $self->events($event, $n)) >= ($count || 1)
    });

    return $found[-1];
}


# What agents @n have sent in the capture of a client, once they have ended:
# { 'web/0' => packets, ... }.
sub sent_in
{
    my ($self, $c, @n) = @_;

    my $id = $c->header('x-pcap-capture-id');
    my %sent;

    for my $n (@n) {
        my ($e) = @{ wait_for(5, sub {
            my @found = grep { $_->{id} eq $id } $self->events('sent', $n);
            @found ? \@found : undef;
        }) || [] };

        $sent{"web/$n"} = $e ? $e->{sent} : 'unknown, it has not ended';
    }

    return \%sent;
}


# Connections that are being served now.
sub connections
{
    my ($self) = @_;

    return scalar children($self->{pid});
}


# Opens a gate that scripts wait at (see gate()).
sub open_gate
{
    my ($self, $name) = @_;

    spew("$self->{file}.$name", 'open');
}


sub serve
{
    my ($self, $listen) = @_;

    my $context = IO::Socket::SSL::SSL_Context->new(
        SSL_server      => 1,
        SSL_cert_file   => $self->{certs}->file("$self->{cert}.crt"),
        SSL_key_file    => $self->{certs}->file("$self->{cert}.key"),
        SSL_ca_file     => $self->{certs}->file($self->{ca}),
        SSL_verify_mode => SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    ) or die "TLS context: $SSL_ERROR\n";

    PcapTest::Server::serve($listen, sub { $self->connection($_[0], $context) },
        sub { print STDERR "# fake agent: $_[0]" });
}


sub connection
{
    my ($self, $s, $context) = @_;

    my $c = bless { fake => $self, addr => $s->sockhost, seq => 0,
        skew => 0, ifaces => [], file => $self->{file} },
        'PcapTest::Fake::Conn';

    my ($x, $y) = $c->{addr} =~ /^127\.1\.(\d+)\.(\d+)$/;

    $c->{n} = defined $x ? $x * 200 + $y - 1 : 0;

    my $script = ($self->{scripts} || {})->{ $c->{n} } || $self->{script};

    $c->{s} = $s;
    $c->event('accepted');

    # before TLS: for agents that only accept, or talk nonsense
    return $self->{raw}->($c) if $self->{raw};

    if (!IO::Socket::SSL->start_SSL($s, SSL_server => 1,
        SSL_reuse_ctx => $context, Timeout => limit(10)))
    {
        $c->event('tls_failed', error => "$SSL_ERROR");
        return;
    }

    $c->{s} = $s;
    $c->read_request() or return;
    $script->($c);
    $c->event('done');
}


package PcapTest::Fake::Conn;

use strict;
use warnings;

use IO::Socket::SSL;
use JSON::PP;
use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use Socket qw(MSG_PEEK MSG_DONTWAIT SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::Pcapng qw(shb idb epb isb);


# One line, one write: lines of several processes do not mix.
sub event
{
    my ($c, $event, %more) = @_;

    sysopen my $fh, $c->{file}, O_WRONLY | O_CREAT | O_APPEND, 0644
        or return;
    syswrite $fh, encode_json({ event => $event, addr => $c->{addr},
        pid => $$, t => time(), %more }) . "\n";
}


sub read_request
{
    my ($c) = @_;

    my $text = '';

    while ($text !~ /\r\n\r\n/) {
        my $n = $c->{s}->sysread($text, 4096, length $text);

        if (!$n) {
            $c->event('no_request');
            return 0;
        }
    }

    my ($line) = $text =~ /^([^\r\n]*)/;
    my ($method, $path, $query) =
        $line =~ m{^(\S+) ([^?\s]+)(?:\?(\S*))? HTTP/1\.1$};
    my %args;

    for my $pair (split /&/, defined $query ? $query : '') {
        my ($name, $value) = split /=/, $pair, 2;
        $value =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
        push @{ $args{$name} }, $value;
    }

    $c->{path} = $path;
    $c->{args} = \%args;
    $c->{heartbeat} = ($args{heartbeat_ms}[0] || 100) / 1000;
    $c->event('request', text => $text, method => $method, path => $path,
        args => \%args);

    return 1;
}


# Sends bytes as they are. A peer that is gone ends this child.
sub send_raw
{
    my ($c, $bytes) = @_;

    my $at = 0;

    while ($at < length $bytes) {
        my $n = $c->{s}->syswrite($bytes, length($bytes) - $at, $at);

        if (!$n) {
            $c->event('gone', sent => $c->{sent});
            POSIX::_exit(0);
        }

        $at += $n;
    }
}


sub chunk
{
    my ($c, $bytes) = @_;

    $c->send_raw(sprintf("%x\r\n", length $bytes) . $bytes . "\r\n");
}


sub head
{
    my ($c, $status, @fields) = @_;

    $c->send_raw(join("\r\n", 'HTTP/1.1 ' . ($status || '200 OK'),
        @fields ? @fields : ('Content-Type: application/x-pcapng',
        'Transfer-Encoding: chunked', 'Connection: close'), '', ''));
}


# A whole error answer.
sub refuse
{
    my ($c, $status, $body, $type) = @_;

    $c->head($status, 'Content-Type: '
        . ($type || 'application/problem+json'),
        'Content-Length: ' . length $body, 'Connection: close');
    $c->send_raw($body);
    $c->close();
}


sub now { my ($c) = @_; return now_ns() + $c->{skew} }


# Header and first chunk: SHB, IDBs, ISBs. Options: ifaces (of idb()),
# skew (ns), t (the first promise, default now).
sub begin
{
    my ($c, %o) = @_;

    $c->{skew} = $o{skew} || 0;
    $c->{ifaces} = $o{ifaces} || [ { name => 'eth0' } ];
    $c->{sent} = 0;
    $c->{count} = [ map { 0 } @{ $c->{ifaces} } ];
    $c->{dropped} = [ map { 0 } @{ $c->{ifaces} } ];
    $c->head();
    $c->chunk(shb() . join('', map { idb(snaplen => $c->{args}{snaplen}[0],
        %$_) } @{ $c->{ifaces} })
        . $c->beats($o{t}));
}


# An ISB per interface, promising T (default: now).
sub beats
{
    my ($c, $t) = @_;

    my $now = $c->now();

    $t = $now if !defined $t;

    return join '', map { isb($_, $t, endtime => $now, filteraccept =>
        $c->{count}[$_] + $c->{dropped}[$_] + ($c->{lost}[$_] || 0),
        osdrop => $c->{dropped}[$_], usrdeliv => $c->{count}[$_]) }
        0 .. $#{ $c->{ifaces} };
}


sub beat
{
    my ($c, $t) = @_;

    $c->chunk($c->beats($t));
}


# Sends records [ iface, ts, data, origlen ] as one chunk and counts them.
sub packets
{
    my ($c, @records) = @_;

    my $bytes = '';

    for my $r (@records) {
        my ($iface, $ts, $data, $orig) = @$r;
        $bytes .= epb($iface, $ts, $data, origlen => $orig);
        $c->{count}[$iface]++;
        $c->{sent}++;
    }

    $c->chunk($bytes);
}


# $k records of $size bytes with the time stamp now, numbered through.
sub traffic
{
    my ($c, $k, $size) = @_;

    my $ts = $c->now();

    $c->packets(map { [ 0, $ts + $_, pack('a8NN', 'PCAPTEST', $c->{n},
        $c->{seq}++) . ('x' x (($size || 60) - 16)) ] } 0 .. $k - 1);
}


# 'fin' when the API has half-closed, 'rst' when it is gone, else ''.
sub peer_state
{
    my ($c) = @_;

    my $got = recv $c->{s}, my $byte, 1, MSG_PEEK | MSG_DONTWAIT;

    if (!defined $got) {
        return $!{EAGAIN} ? '' : 'rst';
    }

    return 'fin' if $byte eq '';

    # a TLS record: close_notify, or nothing that matters
    $c->{s}->blocking(0);
    my $n = $c->{s}->sysread(my $more, 1024);
    $c->{s}->blocking(1);

    return defined $n && $n == 0 ? 'fin' : '';
}


# Heartbeats until the API half-closes, or $seconds are over; the block
# runs before each. Returns 'fin', 'rst' or 'time'.
sub stay
{
    my ($c, $seconds, $code) = @_;

    my $end = time() + ($seconds || 60);

    while (time() < $end) {
        my $state = $c->peer_state();

        if ($state) {
            $c->event($state, sent => $c->{sent});
            return $state;
        }

        $code->($c) if $code;
        $c->beat();

        my $r = '';
        vec($r, fileno $c->{s}, 1) = 1;
        my $wait = $c->{heartbeat} < $end - time()
            ? $c->{heartbeat} : $end - time();
        select $r, undef, undef, $wait if $wait > 0;
    }

    return 'time';
}


# Says nothing, not even heartbeats, until the API is gone; at most $seconds.
sub hang
{
    my ($c, $seconds) = @_;

    my $end = time() + limit($seconds || 20);

    while (time() < $end) {
        my $state = $c->peer_state();
        return $c->event($state) if $state;

        my $r = '';
        vec($r, fileno $c->{s}, 1) = 1;
        select $r, undef, undef, 0.05;
    }
}


# Waits (with heartbeats) until the test opens the gate.
sub gate
{
    my ($c, $name, %o) = @_;

    my $file = "$c->{file}.$name";
    my $end = time() + limit(30);

    while (!-e $file && time() < $end) {
        $c->beat() if !$o{silent};
        select undef, undef, undef, 0.02;
    }
}


# The proper end: last ISBs, final chunk, close.
sub end
{
    my ($c) = @_;

    $c->beat();
    $c->send_raw("0\r\n\r\n");
    $c->event('sent', sent => $c->{sent}, count => $c->{count},
        id => $c->{args}{id}[0]);
    $c->close();
}


sub close
{
    my ($c) = @_;

    my $s = delete $c->{s} or return;

    $s->close();
}


# Cuts the connection: TCP FIN without a word, or RST.
sub cut
{
    my ($c, $hard) = @_;

    my $s = delete $c->{s} or return;

    setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0 if $hard;
    $c->event('cut', sent => $c->{sent}, count => $c->{count});
    $s->close(SSL_no_shutdown => 1, SSL_fast_shutdown => 1);
}


# As fast as it is read, until the API asks for the end.
sub busy
{
    my ($c) = @_;

    while (!$c->peer_state()) {
        $c->traffic(40, 1400);
        $c->beat();
    }
}


# The usual script: begin, traffic of $k packets per heartbeat until the
# API half-closes, proper end.
sub usual
{
    my ($c, $k, %o) = @_;

    $c->begin(%o);
    $c->stay(limit(60), sub { $c->traffic($k, $o{size}) if $k });
    $c->end();
}


1;
