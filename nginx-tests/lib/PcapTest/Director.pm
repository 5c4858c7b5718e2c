# PcapTest::Director: a strict stand-in for the BOSH Director (it cannot be
# had as a Debian package), over TLS, with the status codes and bodies of the
# real one (bosh-director: base_controller.rb, info_controller.rb,
# deployments_controller.rb, permission_authorizer.rb, errors.rb). Whatever a
# client sends beyond what it has to is told as a violation.
#
# A test may change answers, tokens and deployments while it runs. As a
# process of its own, without PcapTest:
#   perl -Ilib -MPcapTest::Director -e 'PcapTest::Director::main(@ARGV)' \
#       CONTROL.json CERT KEY [ADDRESS:PORT]
# where CONTROL.json has uuid, tokens ({ TOKEN: [SCOPE...] }) and
# deployments ({ NAME: { teams, instances } }).

package PcapTest::Director;

use strict;
use warnings;

use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(time);

use constant UUID => 'e55134c3-0a63-47be-8409-c9e53e965d5c';
use constant LIST => '/deployments?exclude_configs=true'
    . '&exclude_releases=true&exclude_stemcells=true&exclude_lock=true';


# Options: certs, cert (name of another certificate), addr, port, uuid,
# headers (names that a client may send).
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { addr => '127.0.0.1', port => 25555,
        cert => 'director', uuid => UUID,
        headers => [qw(host connection accept authorization)], %o,
        base => PcapTest::work_dir() . '/director' . ++$number }, $class;

    $self->{certs}->leaf('director', names => ['director.test']);
    $self->{crt} = $self->{certs}->file("$self->{cert}.crt");
    $self->{key} = $self->{certs}->file("$self->{cert}.key");
    $self->{control} = { uuid => $self->{uuid}, tokens => {},
        deployments => {} };
    $self->tell();
    $self->start();

    PcapTest::at_end(sub { $self->stop() });

    return $self;
}


sub start
{
    my ($self) = @_;

    my $listen = $self->listening();

    $self->{pid} = PcapTest::fork_child('director',
        sub { $self->serve($listen) }, keep => [ $listen ]);
}


sub stop
{
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    PcapTest::stop_child($pid, 'TERM', 2);
}


sub main
{
    my ($control, $crt, $key, $listen) = @_;

    my ($addr, $port) = ($listen || '127.0.0.1:25555') =~ /^(.+):(\d+)$/
        or die "ADDRESS:PORT\n";
    my $self = bless { addr => $addr, port => $port, crt => $crt,
        key => $key, file => $control, base => $control }, __PACKAGE__;

    $self->serve($self->listening());
}


sub listening
{
    my ($self) = @_;

    return IO::Socket::INET->new(Listen => 128, ReuseAddr => 1,
        LocalAddr => $self->{addr}, LocalPort => $self->{port})
        || die "the Director cannot listen: $!\n";
}


# --- what it knows ---------------------------------------------------------

# A row of GET /deployments/N/instances. Options: ips, vm (0: none), expects,
# az; more replaces.
sub instance
{
    my ($job, $index, $id, %o) = @_;

    my $vm = !exists $o{vm} || delete $o{vm};
    my $expects = !exists $o{expects} || delete $o{expects};
    my $ips = delete $o{ips} || [];

    return { agent_id => $vm ? "agent-$id" : undef,
        cid => $vm ? "vm-$id" : undef, job => $job, index => $index,
        id => $id, az => 'z1', ips => $vm ? $ips : [],
        vm_created_at => $vm ? '2026-11-20T10:00:00Z' : undef,
        expects_vm => $expects ? JSON::PP::true : JSON::PP::false, %o };
}


# A UUID that can be told from others.
sub id
{
    my ($n) = @_;

    return sprintf '%08x-1111-4222-8333-%012x', $n, $n;
}


sub deployment
{
    my ($self, $name, $teams, @instances) = @_;

    $self->{control}{deployments}{$name} = { teams => $teams,
        instances => \@instances };
    $self->save();
}


# The scopes that the Director finds in a token.
sub token
{
    my ($self, $token, @scopes) = @_;

    $self->{control}{tokens}{$token} = \@scopes;
    $self->save();
}


# Changes behaviour of one question (info, list, instances) until the next
# call: delay (s), status, type and body (any answer), raw (bytes instead of
# one), size (bytes of spaces in front of the body), cut (bytes after which
# the connection breaks), silent.
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


# An nginx location that asks this Director.
sub location
{
    my ($self, $uri, %o) = @_;

    my %all = (
        proxy_pass => "https://$self->{addr}:$self->{port}"
            . '$pcap_director_uri',
        proxy_http_version         => '1.1',
        proxy_buffering            => 'off',
        proxy_buffer_size          => '16k',
        proxy_buffers              => '4 16k',
        proxy_busy_buffers_size    => '32k',
        proxy_next_upstream        => 'off',
        proxy_pass_request_headers => 'off',
        proxy_pass_request_body    => 'off',
        'proxy_set_header Host'    => 'director.test',
        'proxy_set_header Accept'  => 'application/json',
        'proxy_set_header Authorization' => '"bearer $pcap_bearer"',
        proxy_ignore_headers       => 'X-Accel-Redirect X-Accel-Expires'
            . ' X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset Expires'
            . ' Cache-Control Set-Cookie Vary',
        proxy_connect_timeout      => '3s',
        proxy_read_timeout         => '10s',
        proxy_ssl_verify           => 'on',
        proxy_ssl_server_name      => 'on',
        proxy_ssl_name             => 'director.test',
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
                or print STDERR "# Director: $@$SSL_ERROR\n";
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
    push @faults, "path $path" if $path !~ m{^(?:/info|\Q${\LIST}\E
        |/deployments/[\w.~%-]+/instances)$}x;

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
    push @faults, 'a token for /info'
        if $path eq '/info' && ($auth || '') =~ /^\S+ +\S/;

    my $control = decode_json(slurp_file($self->{file}
        || "$self->{base}.control"));

    sysopen my $fh, "$self->{base}.seen", O_WRONLY | O_CREAT | O_APPEND,
        0644;
    syswrite $fh, encode_json({ t => time(), path => $path, text => $text,
        auth => $auth, violations => \@faults }) . "\n";

    my $question = $path eq '/info' ? 'info' : $path =~ m{/instances$}
        ? 'instances' : 'list';

    $self->send_answer($s, ($control->{change} || {})->{$question} || {},
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
    $body = "[$change->{many}[0]" . ",$change->{many}[0]" x $change->{many}[1]
        . ']' if $change->{many};
    push @fields, @{ $change->{fields} || [] };

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


# --- answers ---------------------------------------------------------------

sub json_reply
{
    my ($status, $doc) = @_;

    return [ $status, 'application/json',
        JSON::PP->new->canonical->encode($doc) ];
}


sub lacks
{
    my (@scopes) = @_;

    return json_reply('401 Unauthorized', { code => 600000,
        description => 'Require one of the scopes: '
            . join(', ', @scopes) });
}


# [ status, type, body, field... ]
sub reply
{
    my ($self, $control, $method, $path, $auth) = @_;

    my $uuid = $control->{uuid};
    my ($token) = ($auth || '') =~ /^bearer (\S+)$/i;
    my $scopes = defined $token ? $control->{tokens}{$token} : undef;
    my %has = map { $_ => 1 } @{ $scopes || [] };

    # Sinatra knows no 405: another method is another route
    return [ '404 Not Found', 'text/html;charset=utf-8', '<h1>Not Found</h1>'
        ] if $method ne 'GET' || $path !~ m{^/(?:info$|deployments)};

    return json_reply('200 OK', { name => 'bosh-1', uuid => $uuid,
        version => '280.0.14 (00000000)', user => undef,
        cpi => 'warden_cpi', stemcell_os => '-', stemcell_version => '-',
        user_authentication => { type => 'uaa', options => { url =>
        'https://uaa.test:8443', urls => ['https://uaa.test:8443'] } },
        features => { local_dns => { status => JSON::PP::true, extras => {
        domain_name => 'bosh' } }, snapshots => { status =>
        JSON::PP::false }, config_server => { status => JSON::PP::true,
        extras => { urls => ['https://127.0.0.1:8844/api/'] } },
        %{ $control->{features} || {} } } }) if $path eq '/info';

    return [ '401 Unauthorized', 'text/plain',
        "Not authorized: '" . ($path =~ /^([^?]*)/)[0] . "'\n",
        'WWW-Authenticate: Basic realm="BOSH Director"' ] if !$scopes;

    my @admin = ('bosh.admin', "bosh.$uuid.admin");
    my @read = (@admin, 'bosh.read', "bosh.$uuid.read");
    my $readable = sub {
        my ($d) = @_;
        return grep { $has{$_} } @read, map { ("bosh.teams.$_.admin",
            "bosh.teams.$_.read") } @{ $d->{teams} };
    };

    if ($path =~ m{^/deployments(?:\?|$)}) {
        return lacks(@read) if !grep { $has{$_} } @read
            and !grep { /^bosh\.teams\..+\.admin$/ } keys %has;

        my $all = $control->{deployments};

        return json_reply('200 OK', [ map { { name => $_, teams =>
            $all->{$_}{teams} } } grep { $readable->($all->{$_}) }
            sort keys %$all ]);
    }

    my ($name) = $path =~ m{^/deployments/([^/?]+)/instances$};

    return [ '404 Not Found', 'text/html;charset=utf-8',
        '<h1>Not Found</h1>' ] if !defined $name;

    $name =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;

    my $d = $control->{deployments}{$name}
        or return json_reply('404 Not Found', { code => 70000,
        description => "Deployment '$name' doesn't exist" });

    return lacks(@read, map { ("bosh.teams.$_.admin",
        "bosh.teams.$_.read") } @{ $d->{teams} }) if !$readable->($d);

    return json_reply('200 OK', $d->{instances});
}


1;
