# PcapTest::Uaa: a strict stand-in for UAA's POST /introspect (it cannot be
# had as a Debian package). As UAA does: HTTP Basic of a client with the
# authority uaa.resource, or a token of POST /oauth/token (client_credentials)
# that has it; form with token=, 200 for every token with scope and aud as
# arrays, 401 and 403 with UAA's bodies, 405 for other methods.
# GET /token_keys needs no credentials and gets none: ETag, If-None-Match,
# 304, and 400 for a request that carries what is not its business.
# A test may change delay, answers and tokens while it runs.

package PcapTest::Uaa;

use strict;
use warnings;

use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::Server;

use constant ISSUER => 'https://uaa.test/oauth/token';


# Options: certs, cert (name of another certificate), port.
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { port => 8444, cert => 'uaa', %o,
        base => work_dir() . '/uaa' . ++$number }, $class;

    $self->{control} = { delay => 0, tokens => {} };
    $self->token('good', scope => ['pcap.capture', 'openid']);
    $self->token('admin', scope => ['pcap.admin'], user_name => 'root');
    $self->token('other', scope => ['pcap.capture'], user_name => 'mallory',
        user_id => 'u-2', sub => 'u-2');
    $self->token('bare', scope => ['openid']);
    $self->start();

    return $self;
}


sub start
{
    my ($self) = @_;

    my $listen = IO::Socket::INET->new(Listen => 128, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port})
        or die "the token endpoint cannot listen: $!\n";

    $self->{pid} = fork_child('uaa', sub { $self->serve($listen) },
        keep => [$listen]);

    my $pid = $self->{pid};

    at_end(sub { stop_child($pid, 'TERM', 2) });
}


sub stop
{
    my ($self) = @_;

    stop_child($self->{pid}, 'TERM', 2);
}


# Defines an active token; claims replace those of an ordinary user.
sub token
{
    my ($self, $token, %claims) = @_;

    $self->{control}{tokens}{$token} = {
        active => JSON::PP::true, user_id => 'u-1', sub => 'u-1',
        user_name => 'alice', email => 'alice@example.com',
        client_id => 'cf', cid => 'cf', azp => 'cf', zid => 'uaa',
        grant_type => 'password', origin => 'uaa', jti => "id-of-$token",
        aud => ['cf', 'pcap', 'openid'], iss => ISSUER,
        iat => int(time()), exp => int(time()) + 600,
        revocable => JSON::PP::false, %claims,
    };
    $self->tell();
}


# Opens the gate that answers wait at after tell(gate => 1).
sub open_gate
{
    my ($self) = @_;

    $self->tell(gate => 0);
}


# Changes behaviour: delay (s), gate (answers wait for it, at most 4 s),
# status and body (any answer), raw (bytes instead of an answer), endless
# (bytes behind it), silent (no answer at all), keys (a list of JWKs), etag,
# client (of /oauth/token: life in s, since: tokens made before are revoked,
# body, status, delay, gate, raw, endless).
sub tell
{
    my ($self, %change) = @_;

    my $c = $self->{control};

    delete @$c{qw(status body raw endless silent)} if %change;
    @$c{keys %change} = values %change;
    spew("$self->{base}.control", encode_json($c));
}


# The requests for /token_keys, as texts.
sub key_requests
{
    my ($self) = @_;

    return grep { m{^GET /token_keys } } map { $_->{text} } $self->seen();
}


# The requests for /oauth/token, as texts.
sub client_requests
{
    my ($self) = @_;

    return grep { m{^\S+ /oauth/token } } map { $_->{text} } $self->seen();
}


# How many introspections came in; all as hashes.
sub seen
{
    my ($self) = @_;

    return map { decode_json($_) }
        slurp("$self->{base}.seen") =~ /^(.*)\n/mg;
}


sub serve
{
    my ($self, $listen) = @_;

    PcapTest::Server::serve($listen, sub { $self->answer($_[0]) });
}


sub answer
{
    my ($self, $s) = @_;

    IO::Socket::SSL->start_SSL($s, SSL_server => 1,
        SSL_cert_file => $self->{certs}->file("$self->{cert}.crt"),
        SSL_key_file => $self->{certs}->file("$self->{cert}.key"))
        or return;

    my $text = '';

    while ($text !~ /\r\n\r\n/ || $text !~ /\r\n\r\n(.*)/s
        || length $1 < ($text =~ /^content-length: (\d+)\r$/im ? $1 : 0))
    {
        $s->sysread($text, 4096, length $text) or return;
    }

    my $control = decode_json(slurp("$self->{base}.control"));

    sysopen my $fh, "$self->{base}.seen", O_WRONLY | O_CREAT | O_APPEND,
        0644;
    syswrite $fh, encode_json({ t => time(), text => $text }) . "\n";

    my $client = $text =~ m{^\S+ /oauth/token } ? $control->{client} || {} : {};

    select undef, undef, undef, $_ for grep { $_ } $control->{delay},
        $client->{delay};
    wait_for(4, sub { !decode_json(slurp("$self->{base}.control"))
        ->{client}{gate} }) if $client->{gate};

    wait_for(4, sub { !decode_json(slurp("$self->{base}.control"))->{gate} })
        if $control->{gate};

    if ($control->{silent}) {
        $s->sysread($text, 1);
        return;
    }

    my $reply = defined $control->{raw} ? $control->{raw}
        : defined $client->{raw} ? $client->{raw}
        : $self->reply($control, $text);

    # a hostile answer may be larger than what the peer reads
    while (length $reply) {
        my $n = $s->syswrite($reply, 65536) or return;
        substr $reply, 0, $n, '';
    }

    my $left = $control->{endless} || $client->{endless} || 0;

    for (; $left > 0; $left -= 65536) {
        $s->syswrite(' ' x 65536) or return;
    }

    $s->close();
}


sub http
{
    my ($status, $body, @fields) = @_;

    return join("\r\n", "HTTP/1.1 $status",
        'Content-Type: application/json;charset=UTF-8',
        'Cache-Control: no-store', 'X-Content-Type-Options: nosniff',
        'Content-Length: ' . length $body, 'Connection: close', @fields,
        '', '') . $body;
}


# UAA: TokenKeyEndpoint, the ETag is the time of the zone's last change.
sub keys_reply
{
    my ($self, $control, $method, $text) = @_;

    return http('405 Method Not Allowed', '{"error":"method_not_allowed"}')
        if $method ne 'GET';

    return http('400 Bad Request', '{"error":"invalid_request"}')
        if $text =~ /^(?:authorization|cookie|content-length):/im
        || $text !~ m{^accept: application/json\r$}im;

    return http($control->{status}, defined $control->{body}
        ? $control->{body} : '{}') if $control->{status};

    return http('200 OK', $control->{body}) if defined $control->{body};

    my $etag = $control->{etag};
    my ($match) = $text =~ /^if-none-match: (.*)\r$/im;

    return "HTTP/1.1 304 Not Modified\r\nETag: $etag\r\n"
        . "Connection: close\r\n\r\n"
        if defined $etag && defined $match && $match eq $etag;

    return http('200 OK', encode_json({ keys => $control->{keys} || [] }),
        defined $etag ? "ETag: $etag" : ());
}


# UAA: UaaTokenEndpoint. The token tells when it was made and how long it is
# good, so that any process knows it.
sub client_reply
{
    my ($control, $method, $text, $client, $form) = @_;

    my $c = $control->{client} || {};

    return http('405 Method Not Allowed', '{"error":"method_not_allowed"}')
        if $method ne 'POST';

    return http('401 Unauthorized', '{"error":"unauthorized",'
        . '"error_description":"Bad credentials"}')
        if $client !~ /^(?:pcap:pcap-secret|weak:weak-secret)$/;

    return http('400 Bad Request', '{"error":"unsupported_grant_type"}')
        if $form !~ /(?:^|&)grant_type=client_credentials(?:&|$)/
        || $text !~ m{^content-type: application/x-www-form-urlencoded\b}im
        || $text !~ m{^accept: application/json\r$}im;

    return http($c->{status} || '200 OK', defined $c->{body} ? $c->{body}
        : '{}') if defined $c->{body} || $c->{status};

    my $life = $c->{life} || 43199;
    my ($name) = $client =~ /^(\w+):/;

    return http('200 OK', encode_json({ access_token => sprintf('%s.%.6f.%d',
        $name, time(), $life), token_type => 'bearer', expires_in => $life,
        scope => 'uaa.resource', jti => 'id-of-client' }));
}


# "name:secret" of the caller by Basic, or as if by Bearer, which wins; undef
# for a bearer token that is none of ours or is over.
sub client_of
{
    my ($control, $text) = @_;

    my ($bearer) = $text =~ /^authorization: Bearer (\S+)\r$/im;
    my ($basic) = $text =~ /^authorization: Basic (\S+)\r$/im;

    return defined $basic ? decode_base64($basic) : '' if !defined $bearer;

    my ($name, $made, $life) = $bearer =~ /^(pcap|weak)\.([\d.]+)\.(\d+)$/
        or return;

    return if $made + $life < time()
        || $made < (($control->{client} || {})->{since} || 0);

    return "$name:$name-secret";
}


sub reply
{
    my ($self, $control, $text) = @_;

    my ($method, $path) = $text =~ m{^(\S+) (\S+) HTTP/1\.[01]\r\n}
        or return http('400 Bad Request', '{"error":"invalid_request"}');

    return $self->keys_reply($control, $method, $text)
        if $path eq '/token_keys';

    my ($form) = $text =~ /\r\n\r\n(.*)/s;
    my $client = client_of($control, $text);

    return client_reply($control, $method, $text, $client || '', $form)
        if $path eq '/oauth/token';

    return http('404 Not Found', '{"error":"not_found"}')
        if $path ne '/introspect';

    # UAA: OAuth2AuthenticationProcessingFilter
    return http('401 Unauthorized', '{"error":"invalid_token",'
        . '"error_description":"The token expired, was revoked, or the token '
        . 'ID is incorrect."}', 'WWW-Authenticate: Bearer realm="oauth", '
        . 'error="invalid_token"') if !defined $client;

    # UAA: ClientBasicAuthenticationFilter, OAuth2AuthenticationEntryPoint
    return http('401 Unauthorized', '{"error":"unauthorized",'
        . '"error_description":"Bad credentials"}',
        'WWW-Authenticate: Basic realm="UAA/client", error="unauthorized", '
        . 'error_description="Bad credentials"')
        if $client !~ /^(?:pcap:pcap-secret|weak:weak-secret)$/;

    return http('403 Forbidden', '{"error":"access_denied",'
        . '"error_description":"Access is denied"}')
        if $client =~ /^weak:/;

    return http('405 Method Not Allowed', '{"error":"method_not_allowed",'
        . '"error_description":"Request method \'' . $method
        . '\' not supported"}', 'Allow: POST') if $method ne 'POST';

    return http('415 Unsupported Media Type', '{"error":"unsupported"}')
        if $text !~ m{^content-type: application/x-www-form-urlencoded\b}im;

    return http($control->{status}, defined $control->{body}
        ? $control->{body} : '{}') if $control->{status};

    return http('200 OK', $control->{body}) if defined $control->{body};

    my ($token) = $form =~ /(?:^|&)token=([^&]*)/
        or return http('400 Bad Request', '{"error":"invalid_request",'
        . '"error_description":"Required parameter \'token\' is not '
        . 'present."}');

    $token =~ tr/+/ /;
    $token =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;

    my $claims = $control->{tokens}{$token};

    $claims = undef if $claims && $claims->{exp} < time()
        && !$claims->{keep};

    return http('200 OK', $claims ? encode_json($claims)
        : '{"active":false}');
}


1;
