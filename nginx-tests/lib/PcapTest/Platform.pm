# PcapTest::Platform: what the stand-ins for platforms have in common (they
# cannot be had as Debian packages): a server over TLS, a process for each
# connection, that answers as the real one does, tells what a client sends
# beyond what it has to as a violation, and misbehaves where a test wants it.
#
# A stand-in is a class that says: name(), host(), port(), variable() (of the
# nginx location), control() (what it knows at first), good_path(PATH),
# wants_token(PATH), question(PATH) (its name for tell()), and reply(CONTROL,
# METHOD, PATH, AUTHORIZATION): [ status, type, body, field... ].

package PcapTest::Platform;

use strict;
use warnings;

use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(time);


# Options: certs, cert (name of another certificate), addr, port, headers
# (names that a client may send), and what control() makes of them.
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { addr => '127.0.0.1', port => $class->port(),
        cert => $class->name(),
        headers => [qw(host connection accept authorization)], %o,
        base => PcapTest::work_dir() . '/' . $class->name() . ++$number },
        $class;

    $self->{certs}->leaf($class->name(), names => [$class->host()]);
    $self->{crt} = $self->{certs}->file("$self->{cert}.crt");
    $self->{key} = $self->{certs}->file("$self->{cert}.key");
    $self->{control} = { tokens => {}, $self->control() };
    $self->tell();
    $self->start();

    PcapTest::at_end(sub { $self->stop() });

    return $self;
}


sub start
{
    my ($self) = @_;

    my $listen = $self->listening();

    $self->{pid} = PcapTest::fork_child($self->name(),
        sub { $self->serve($listen) }, keep => [ $listen ]);
}


sub stop
{
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    PcapTest::stop_child($pid, 'TERM', 2);
}


# As a process of its own.
sub run
{
    my ($class, $control, $crt, $key, $listen) = @_;

    my ($addr, $port) = ($listen || '127.0.0.1:' . $class->port())
        =~ /^(.+):(\d+)$/ or die "ADDRESS:PORT\n";
    my $self = bless { addr => $addr, port => $port, crt => $crt,
        key => $key, file => $control, base => $control }, $class;

    $self->serve($self->listening());
}


sub listening
{
    my ($self) = @_;

    return IO::Socket::INET->new(Listen => 128, ReuseAddr => 1,
        LocalAddr => $self->{addr}, LocalPort => $self->{port})
        || die $self->name() . " cannot listen: $!\n";
}


# Changes behaviour of one question (what question() says) until the next
# call: delay (s), status, type and body (any answer), raw (bytes instead of
# one), many ([ VALUE, COUNT ]: a list of it as body), size (bytes of spaces in
# front of the body), cut (bytes after which the connection breaks), silent.
sub tell
{
    my ($self, $question, %change) = @_;

    $self->{control}{change} = $question ? { $question => \%change } : {};
    $self->save();
}


sub save
{
    my ($self) = @_;

    my $json = encode_json($self->{control});
    my $file = "$self->{base}.control";

    open my $fh, '>', "$file.new" or die "$file: $!\n";
    print $fh $json;
    close $fh;
    rename "$file.new", $file or die "$file: $!\n";
}


# Requests as hashes (path, field, text), oldest first; of one question.
sub seen
{
    my ($self, $path) = @_;

    return grep { !defined $path || $_->{path} =~ $path } map {
        decode_json($_) } slurp_file("$self->{base}.seen") =~ /^(.*)\n/mg;
}


sub violations
{
    my ($self) = @_;

    return map { @{ $_->{violations} } } $self->seen();
}


# An nginx location that asks this platform.
sub location
{
    my ($self, $uri, %o) = @_;

    my %all = (
        proxy_pass => "https://$self->{addr}:$self->{port}"
            . $self->variable(),
        proxy_http_version         => '1.1',
        proxy_buffering            => 'off',
        proxy_buffer_size          => '16k',
        proxy_buffers              => '4 16k',
        proxy_busy_buffers_size    => '32k',
        proxy_next_upstream        => 'off',
        proxy_pass_request_headers => 'off',
        proxy_pass_request_body    => 'off',
        'proxy_set_header Host'    => $self->host(),
        'proxy_set_header Accept'  => 'application/json',
        'proxy_set_header Authorization' => '"bearer $pcap_bearer"',
        proxy_ignore_headers       => 'X-Accel-Redirect X-Accel-Expires'
            . ' X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset Expires'
            . ' Cache-Control Set-Cookie Vary',
        proxy_connect_timeout      => '3s',
        proxy_read_timeout         => '10s',
        proxy_ssl_verify           => 'on',
        proxy_ssl_server_name      => 'on',
        proxy_ssl_name             => $self->host(),
        proxy_ssl_trusted_certificate => $self->{certs}->file('ca.crt'),
        %o,
    );

    return "location = $uri { internal;\n" . join("\n", map {
        "            $_ $all{$_};" } grep { defined $all{$_} }
        sort keys %all) . "\n        }\n";
}


# --- serving ---------------------------------------------------------------

sub serve
{
    my ($self, $listen) = @_;

    my $context = IO::Socket::SSL::SSL_Context->new(SSL_server => 1,
        SSL_cert_file => $self->{crt}, SSL_key_file => $self->{key})
        or die "TLS context: $SSL_ERROR\n";
    my %child;

    local $SIG{CHLD} = sub {
        while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) {
            delete $child{$pid};
        }
    };
    local $SIG{TERM} = sub { kill 'KILL', keys %child; POSIX::_exit(0) };

    while (1) {
        my $s = $listen->accept() or next;
        my $pid = fork();

        if (defined $pid && $pid == 0) {
            $SIG{TERM} = $SIG{CHLD} = 'DEFAULT';
            $SIG{PIPE} = 'IGNORE';
            close $listen;
            IO::Socket::SSL->start_SSL($s, SSL_server => 1,
                SSL_reuse_ctx => $context) and eval { $self->answer($s); 1 }
                or print STDERR '# ', $self->name(), ": $@$SSL_ERROR\n";
            POSIX::_exit(0);
        }

        $child{$pid} = 1 if $pid;
        close $s;
    }
}


sub slurp_file
{
    my ($file) = @_;

    open my $fh, '<', $file or return '';
    local $/;

    return scalar <$fh>;
}


# What is wrong about a request beside its path, as texts.
sub faults
{
    my ($self, $method, $path, $fields, $body) = @_;

    my (%seen, @faults);
    my %may = map { $_ => 1 } @{ $self->{headers} || [] };

    for my $f (@$fields) {
        my ($name, $value) = $f =~ /^([A-Za-z-]+): ?(.*)$/
            or push(@faults, "field $f"), next;
        push @faults, "$name twice" if $seen{ lc $name }++;
        push @faults, "foreign header $name"
            if $self->{headers} && !$may{ lc $name };
    }

    push @faults, "method $method" if $method ne 'GET';
    push @faults, "a body of " . length $body if length $body;
    push @faults, "path $path" if !$self->good_path($path);

    return @faults;
}


sub answer
{
    my ($self, $s) = @_;

    my $text = '';

    while ($text !~ /\r\n\r\n/) {
        $s->sysread($text, 4096, length $text) or return;
    }

    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($line, @fields) = split /\r\n/, $head;
    my ($method, $path) = $line =~ m{^(\S+) (/\S*) HTTP/1\.1$}
        or die "request line $line\n";
    my ($auth) = map { /^authorization: ?(.*)$/i ? $1 : () } @fields;
    my @faults = $self->faults($method, $path, \@fields, $body);

    # a token goes along where it is needed only
    push @faults, "a token for $path"
        if !$self->wants_token($path) && ($auth || '') =~ /^\S+ +\S/;

    my $control = decode_json(slurp_file($self->{file}
        || "$self->{base}.control"));

    sysopen my $fh, "$self->{base}.seen", O_WRONLY | O_CREAT | O_APPEND,
        0644;
    syswrite $fh, encode_json({ t => time(), path => $path, text => $text,
        auth => $auth, violations => \@faults }) . "\n";

    $self->send_answer($s, ($control->{change} || {})->{
        $self->question($path) } || {},
        $self->reply($control, $method, $path, $auth));
}


sub send_answer
{
    my ($self, $s, $change, $reply) = @_;

    select undef, undef, undef, $change->{delay} if $change->{delay};

    if ($change->{silent}) {
        $s->sysread(my $byte, 1);
        return;
    }

    my ($status, $type, $body, @fields) = @$reply;

    $status = $change->{status} if $change->{status};
    $type = $change->{type} if $change->{type};
    $body = $change->{body} if defined $change->{body};
    push @fields, @{ $change->{fields} || [] };
    $body = "[$change->{many}[0]" . ",$change->{many}[0]" x $change->{many}[1]
        . ']' if $change->{many};

    my $space = $change->{size} || 0;
    my $bytes = defined $change->{raw} ? $change->{raw}
        : join("\r\n", "HTTP/1.1 $status", "Content-Type: $type",
            'Content-Length: ' . ($space + length $body),
            'Connection: close', 'Server: nginx',
            'X-Content-Type-Options: nosniff', @fields, '', '');

    send_all($s, $bytes) or return;

    for (my $n = 0; $n < $space; $n += 65536) {
        send_all($s, ' ' x ($space - $n < 65536 ? $space - $n : 65536))
            or return;
    }

    if (defined $change->{cut}) {
        send_all($s, substr $body, 0, $change->{cut});
        $s->close(SSL_no_shutdown => 1);
        return;
    }

    send_all($s, $body) if !defined $change->{raw};
    $s->close();
}


sub send_all
{
    my ($s, $bytes) = @_;

    while (length $bytes) {
        my $n = $s->syswrite($bytes, 65536) or return 0;
        substr $bytes, 0, $n, '';
    }

    return 1;
}


sub json_reply
{
    my ($status, $doc) = @_;

    return [ $status, 'application/json',
        JSON::PP->new->utf8->canonical->encode($doc) ];
}


1;
