# PcapTest::CfStandIn: a Cloud Controller and its UAA as far as pcap-cli asks
# them: GET /, GET /v3/apps?space_guids=&names=, POST /oauth/token, with the
# status codes and bodies of the real ones. What the pcap API asks is in
# PcapTest::CloudController. Strict: what they would not be asked is refused
# and told in the event log. A test changes what they know (tell) while they
# run.

package PcapTest::CfStandIn;

use strict;
use warnings;

use Fcntl qw(O_WRONLY O_CREAT O_APPEND);
use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);
use PcapTest;
use PcapTest::Server;

use constant SPACE => '5ace0000-0000-4000-8000-000000000001';


# Options: certs, address. The names api, uaa and login.sys.test lead there,
# pcap.sys.test to 127.0.0.1: this process has a /etc/hosts of its own.
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { address => '127.0.0.2', %o,
        base => work_dir() . '/cf' . ++$number }, $class;

    $self->{certs}->leaf('cf', names => [ map { "$_.sys.test" }
        qw(api uaa login) ], issuer => $o{issuer});
    $self->{control} = { valid => ['good-token'], refresh => {},
        clients => {}, apps => [ app('my-app') ] };
    $self->tell();

    $self->{hosts} = "$self->{base}.hosts";
    $self->hosts('127.0.0.1');
    must('mount', '--bind', $self->{hosts}, '/etc/hosts');
    at_end(sub { system 'umount', '/etc/hosts' });

    my $listen = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => $self->{address}, LocalPort => 443)
        or die "the Cloud Controller cannot listen: $!\n";

    $self->{pid} = fork_child('cf', sub { $self->serve($listen) },
        keep => [ $listen ]);
    close $listen;

    my $pid = $self->{pid};

    at_end(sub { stop_child($pid, 'TERM', 2) });

    return $self;
}


sub stop { stop_child($_[0]{pid}, 'TERM', 2) }


# Where pcap.sys.test is. The file itself stays: it is mounted.
sub hosts
{
    my ($self, $pcap) = @_;

    open my $fh, '>', $self->{hosts} or die "hosts: $!\n";
    print $fh "127.0.0.1 localhost\n$pcap pcap.sys.test\n$self->{address}"
        . " api.sys.test uaa.sys.test login.sys.test\n";
    close $fh or die "hosts: $!\n";
}


# As cloud_controller_ng's app_presenter.rb makes it, cut short.
sub app
{
    my ($name, %o) = @_;

    return { guid => sprintf('a99%05x-0000-4000-8000-000000000000',
        length $name), name => $name, state => 'STARTED', relationships => {
        space => { data => { guid => SPACE } } }, metadata => { labels => {},
        annotations => {} }, %o };
}


# Claims as an unsigned JWT: cf and pcap-cli read only exp and names.
sub jwt
{
    my (%claims) = @_;

    my ($head, $body) = map { encode_base64($_, '') =~ tr{+/}{-_}r =~ s/=//gr }
        '{"alg":"RS256"}', encode_json(\%claims);

    return "$head.$body.c2lnbmF0dXJl";
}


# valid: access tokens; refresh: token => answer (a hash, or an error's name);
# clients: name => [secret, access]; apps; root, list (any document instead);
# status, error (of the list); delay (s).
sub tell
{
    my ($self, %change) = @_;

    delete @{ $self->{control} }{qw(root list status error)};
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
        SSL_cert_file => $self->{certs}->file('cf.crt'),
        SSL_key_file => $self->{certs}->file('cf.key'))
        or return;

    my $text = '';

    while ($text !~ /\r\n\r\n/ || $text !~ /\r\n\r\n(.*)/s
        || length $1 < ($text =~ /^content-length: (\d+)\r$/im ? $1 : 0))
    {
        $s->sysread($text, 4096, length $text) or return;
    }

    my ($method, $path) = $text =~ m{^(\S+) (\S+) HTTP/1\.1\r\n}
        or die "request line\n";
    my ($host) = $text =~ /^host: ([^\r]*)\r$/im;
    my ($auth) = $text =~ /^authorization: ([^\r]*)\r$/im;
    my ($form) = $text =~ /\r\n\r\n(.*)/s;
    my $c = $self->{now} = decode_json(slurp("$self->{base}.control"));

    $self->event('request', method => $method, path => $path,
        host => $host);

    my $ask = "$method $host$path";
    my $reply = $ask eq 'GET api.sys.test/' ? $self->root($auth)
        : $ask =~ m{^POST (?:uaa|login)\.sys\.test/oauth/token$}
        ? $self->token($auth, $form, $text)
        : $ask =~ m{^GET api\.sys\.test/v3/apps\?(\S+)$}
        ? $self->apps($auth, $1) : die "asked for $ask\n";

    select undef, undef, undef, $c->{delay} if $c->{delay};

    while (length $reply) {
        my $n = $s->syswrite($reply, 65536) or return;
        substr $reply, 0, $n, '';
    }

    $s->close();
}


sub http
{
    my ($status, $doc, @fields) = @_;

    my $body = ref $doc ? encode_json($doc) : $doc;

    return join("\r\n", "HTTP/1.1 $status X", 'Content-Type: application/json',
        'Content-Length: ' . length $body, 'Connection: close', @fields,
        '', '') . $body;
}


# root_controller.rb: no token, optional links are null
sub root
{
    my ($self, $auth) = @_;

    die "a token for the root\n" if defined $auth;

    return http(200, $self->{now}{root} || { links => {
        self => { href => 'https://api.sys.test' },
        cloud_controller_v3 => { href => 'https://api.sys.test/v3',
            meta => { version => '3.180.0' } },
        login => { href => 'https://login.sys.test' },
        uaa => { href => 'https://uaa.sys.test' }, credhub => undef } });
}


# apps_v3_controller.rb; base_message.rb: the list is split at commas, and
# each part decoded once more; names match in any case.
sub apps
{
    my ($self, $auth, $query) = @_;

    my ($token) = ($auth || '') =~ /^bearer (\S+)$/i;
    my $c = $self->{now};
    my %q = map { /^(\w+)=([\w.~%-]*)$/ or die "query $_\n"; ($1, $2) }
        split /&/, $query;

    $_ = s/%([0-9A-F]{2})/chr hex $1/ger for values %q;

    my @names = map { s/%([0-9A-F]{2})/chr hex $1/ger }
        split /,\s*/, delete $q{names}, -1;
    my $space = delete $q{space_guids};

    utf8::decode($_) for @names;

    $self->event('apps', token => $token, names => \@names);
    die "query: @{[ keys %q ]}\n" if %q;

    return http(401, { errors => [ { code => 1000, title =>
        'CF-InvalidAuthToken', detail => 'Invalid Auth Token' } ] })
        if !defined $token || !grep { $_ eq $token } @{ $c->{valid} };
    return http($c->{status}, $c->{error}) if $c->{status};
    return http(200, $c->{list}) if $c->{list};

    my @found = $space ne SPACE ? () : grep { my $app = $_;
        grep { lc $_ eq lc $app->{name} } @names } @{ $c->{apps} };
    my $page = { href => 'https://api.sys.test/v3/apps?page=1' };

    return http(200, { pagination => { total_results => scalar @found,
        total_pages => 1, first => $page, last => $page, next => undef,
        previous => undef }, resources => \@found });
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

    if ($form{grant_type} eq 'client_credentials') {
        my $known = $c->{clients}{$client};

        return http(401, '{"error":"unauthorized",'
            . '"error_description":"Bad credentials"}')
            if !$known || $known->[0] ne $secret;
        return http(200, { access_token => $known->[1], token_type =>
            'bearer', expires_in => 599, scope => 'x', jti => 'x' });
    }

    die "client $client\n" if $client ne 'cf' || $secret ne '';

    my $answer = $c->{refresh}{ $form{refresh_token} || '' };

    return http($answer->{status} || 200, $answer) if ref $answer;
    return http(401, { error => $answer || 'invalid_token',
        error_description =>
        "Invalid refresh token (expired): $form{refresh_token}" });
}


1;
