# PcapTest::BoshStandIn: a Director and its UAA as far as pcap-cli asks them:
# GET /info, GET /deployments/NAME/instances, POST /uaa/oauth/token, with the
# status codes and bodies of the real ones. Strict: what they would not be
# asked is refused and told in the event log. A test changes what they know
# (tell) while they run.

package PcapTest::BoshStandIn;

use strict;
use warnings;

use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);
use PcapTest;
use PcapTest::Server;


# Options: certs, port.
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { port => 25555, %o,
        base => work_dir() . '/director' . ++$number }, $class;

    $self->{control} = { valid => ['good-token'], refresh => {},
        clients => {}, features => {}, instances => [ map { instance($_) }
        [ 'router', 0 ], [ 'diego-cell', 0 ], [ 'diego-cell', 1 ] ] };
    $self->tell();

    my $listen = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port})
        or die "the Director cannot listen: $!\n";

    $self->{pid} = fork_child('director', sub { $self->serve($listen) },
        keep => [ $listen ]);
    close $listen;

    my $pid = $self->{pid};

    at_end(sub { stop_child($pid, 'TERM', 2) });

    return $self;
}


sub stop { stop_child($_[0]{pid}, 'TERM', 2) }


# As bosh-director's deployments_controller.rb makes it.
sub instance
{
    my ($group, $index) = @{ $_[0] };

    return { agent_id => "a-$group-$index", cid => "vm-$group-$index",
        job => $group, index => $index,
        id => sprintf('%08x-0000-4000-8000-%012x', length $group, $index),
        az => 'z1', ips => ["10.0.0." . ($index + 10)],
        vm_created_at => '2026-01-01T00:00:00Z',
        expects_vm => JSON::PP::true };
}


# Claims as an unsigned JWT: the command line reads only exp.
sub jwt
{
    my (%claims) = @_;

    my ($head, $body) = map { encode_base64($_, '') =~ tr{+/}{-_}r =~ s/=//gr }
        '{"alg":"RS256"}', encode_json(\%claims);

    return "$head.$body.c2lnbmF0dXJl";
}


# valid: access tokens; read_only: those without the scope; refresh: token =>
# answer (a hash, or an error's name); clients: name => [secret, access];
# features, auth, info (status), delay (s), instances, body (of any answer),
# token_down (so many requests for tokens get a 503).
sub tell
{
    my ($self, %change) = @_;

    @{ $self->{control} }{keys %change} = values %change;
    spew("$self->{base}.control", encode_json($self->{control}));
}


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


sub serve
{
    my ($self, $listen) = @_;

    PcapTest::Server::serve($listen, sub { $self->answer($_[0]) },
        sub { $self->event('died', text => $_[0]) });
}


sub answer
{
    my ($self, $s) = @_;

    IO::Socket::SSL->start_SSL($s, SSL_server => 1,
        SSL_cert_file => $self->{certs}->file('director.crt'),
        SSL_key_file => $self->{certs}->file('director.key'))
        or return;

    my $text = '';

    while ($text !~ /\r\n\r\n/ || $text !~ /\r\n\r\n(.*)/s
        || length $1 < ($text =~ /^content-length: (\d+)\r$/im ? $1 : 0))
    {
        $s->sysread($text, 4096, length $text) or return;
    }

    my ($method, $path) = $text =~ m{^(\S+) (\S+) HTTP/1\.1\r\n}
        or die "request line\n";
    my ($auth) = $text =~ /^authorization: ([^\r]*)\r$/im;
    my ($form) = $text =~ /\r\n\r\n(.*)/s;
    my $c = $self->{now} = decode_json(slurp("$self->{base}.control"));

    $self->event('request', method => $method, path => $path);

    my $reply = $method eq 'GET' && $path eq '/info' ? $self->info($auth)
        : $method eq 'POST' && $path eq '/uaa/oauth/token'
        ? $self->token($auth, $form, $text)
        : $method eq 'GET' && $path =~ m{^/deployments/([\w.-]+)/instances$}
        ? $self->instances($auth, $1) : die "asked for $method $path\n";

    select undef, undef, undef, $c->{delay} if $c->{delay};

    while (length $reply) {
        my $n = $s->syswrite($reply, 65536) or return;
        substr $reply, 0, $n, '';
    }

    $s->close();
}


sub http
{
    my ($status, $type, $body, @fields) = @_;

    return join("\r\n", "HTTP/1.1 $status X", "Content-Type: $type",
        'Content-Length: ' . length $body, 'Connection: close', @fields,
        '', '') . $body;
}


sub info
{
    my ($self, $auth) = @_;

    die "a token for /info\n" if defined $auth;

    my $c = $self->{now};

    return http($c->{info} || 200, 'application/json', $c->{body} ||
        encode_json({ name => 'bosh', uuid => 'u-1', version => '280.0.0',
            user => undef, cpi => 'warden_cpi',
            user_authentication => $c->{auth} || { type => 'uaa',
                options => { url => "https://localhost:$self->{port}/uaa",
                urls => [] } },
            features => { local_dns => { status => JSON::PP::true,
                extras => { domain_name => 'bosh' } }, %{ $c->{features} } }
        }));
}


sub instances
{
    my ($self, $auth, $deployment) = @_;

    my ($token) = ($auth || '') =~ /^bearer (\S+)$/i;
    my $c = $self->{now};

    $self->event('instances', token => $token);

    # errors.rb; base_controller.rb
    return http(401, 'application/json', encode_json({ code => 600000,
        description => "Require one of the scopes: bosh.admin, \e[2J" }))
        if grep { $_ eq $token } @{ $c->{read_only} || [] };
    return http(401, 'text/plain', "Not authorized: '/deployments'\n",
        'WWW-Authenticate: Basic realm="BOSH Director"')
        if !grep { $_ eq $token } @{ $c->{valid} };
    return http(404, 'application/json', encode_json({ code => 70000,
        description => "Deployment '$deployment' doesn't exist" }))
        if $deployment ne 'cf';

    return http(200, 'application/json', encode_json($c->{instances}));
}


# UAA: 200, or 401 {"error","error_description"}.
sub token
{
    my ($self, $auth, $form, $text) = @_;

    my $c = $self->{now};
    my ($basic) = ($auth || '') =~ /^Basic (\S+)$/;
    my ($client, $secret) = split /:/, decode_base64($basic || ''), 2;
    my %form = map { /^(\w+)=([\w.~%-]*)$/ or die "form $_\n";
        ($1, $2 =~ s/%([0-9A-F]{2})/chr hex $1/ger) } split /&/, $form;

    die "content type\n"
        if $text !~ m{^content-type: application/x-www-form-urlencoded\r$}im;

    $self->event('token', client => $client, %form);

    return http(503, 'text/plain', 'no server available')
        if (() = $self->events('token')) <= ($c->{token_down} || 0);

    if ($form{grant_type} eq 'client_credentials') {
        my $known = $c->{clients}{$client};

        return http(401, 'application/json', '{"error":"unauthorized",'
            . '"error_description":"Bad credentials"}')
            if !$known || $known->[0] ne $secret;
        return http(200, 'application/json', encode_json({
            access_token => $known->[1], token_type => 'bearer',
            expires_in => 599, scope => 'bosh.admin', jti => 'x' }));
    }

    die "client $client\n" if $client ne 'bosh_cli' || $secret ne '';

    my $answer = $c->{refresh}{ $form{refresh_token} || '' };

    return http($answer->{status} || 200, 'application/json',
        encode_json($answer)) if ref $answer;
    return http(401, 'application/json', encode_json({
        error => $answer || 'invalid_token', error_description =>
        "Invalid refresh token (expired): $form{refresh_token}" }));
}


1;
