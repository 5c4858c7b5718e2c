# Every leg verifies its peer: no client certificate, wrong authority, wrong
# name, expired - towards agents, from agents, and towards the token
# endpoint. Each refusal has a twin that works.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::SSL;
use PcapTest::Lab;


my $certs = PcapTest::Certs->new();

$certs->leaf('api-wrong-ca', cn => 'pcap-api', issuer => $certs->{wrong_ca});
$certs->leaf('api-wrong-name', cn => 'somebody', names => ['somebody']);
$certs->leaf('api-expired', cn => 'pcap-api', days => -1);
$certs->leaf('agent-wrong-ca', names => ['pcap-agent'],
    issuer => $certs->{wrong_ca});
$certs->leaf('agent-wrong-name', names => ['other-agent']);
$certs->leaf('agent-expired', names => ['pcap-agent'], days => -1);
$certs->leaf('uaa-wrong-ca', names => ['uaa.test'],
    issuer => $certs->{wrong_ca});
$certs->leaf('uaa-wrong-name', names => ['evil.test']);
$certs->leaf('uaa-expired', names => ['uaa.test'], days => -1);

my $net = PcapTest::Net->new();
my $host = $net->host('web0');
my $agent = PcapTest::Agent->new(certs => $certs, host => $host);
my $good = PcapTest::Fake->new(certs => $certs, script =>
    sub { $_[0]->usual(2) });
my $uaa = PcapTest::Uaa->new(certs => $certs);
my $port = 8500;


# An nginx of its own for each case.
sub api
{
    my (%o) = @_;

    # a handshake error that nginx 1.22 has no softer level for: with TLS 1.3
    # the agent's refusal comes after the handshake, instead of an answer
    my $late = 'SSL_read() failed (SSL: error:0A00045C:SSL routines::tlsv13'
        . ' alert certificate required:SSL alert number 116) while reading'
        . ' response header from upstream, ';
    my @allow = exists $o{api_cert} && !defined $o{api_cert} ? (
        qr{\[crit\] [0-9#]+: \*\d+ \Q$late\E.*"https://$host->{addr}:9494/}
        ) : ();

    return PcapTest::Nginx->new(certs => $certs, port => ++$port, %o,
        groups => [ $agent->target('demo', 'web/0'), @{ $o{more} || [] } ],
        allow => \@allow)->start();
}


# How often the agent's log has this line so far: that it refuses must not be
# that it is down.
sub agent_says
{
    my ($line) = @_;

    return scalar(() = slurp($agent->{log}) =~ /: \Q$line\E$/mg);
}


# --- the API's certificate, as agents see it ------------------------------

my $nginx = api();
my $c = $nginx->get('/v1/capture/static/demo?filter=icmp');

status_is($c, 200, 'the right certificate');
stop_capture({ nginx => $nginx }, $c);
capture_ok($c, status => 'stopped', name => 'the right certificate');
$nginx->stop();

for my $case (
    [ undef, 'no client certificate',
        'TLS handshake refused: peer did not return a certificate' ],
    [ 'api-wrong-ca', 'wrong authority', 'TLS handshake refused: '
        . 'unable to get local issuer certificate' ],
    [ 'api-wrong-name', 'wrong name',
        'client refused: no name of its certificate is in allowed_names' ],
    [ 'api-expired', 'expired',
        'TLS handshake refused: certificate has expired' ])
{
    my ($cert, $name, $why) = @$case;
    my $told = agent_says($why);

    $nginx = api(api_cert => $cert);
    $c = $nginx->fetch('/v1/capture/static/demo');
    my $doc = problem_is($c, 502, undef, "towards the agent, $name");
    is($doc->{targets}[0]{name}, 'web/0', "$name: target");
    $nginx->stop();
    ok(wait_for(2, sub { agent_says($why) == $told + 1 }),
        "the agent says why: $name") or diag(slurp($agent->{log}));

    # the same without nginx, so that it is the agent who refuses
    my $s = IO::Socket::SSL->new(PeerAddr => $host->{addr},
        PeerPort => 9494, SSL_ca_file => $certs->file('ca.crt'),
        SSL_verifycn_name => 'pcap-agent', SSL_verifycn_scheme => 'http',
        defined $cert ? (SSL_cert_file => $certs->file("$cert.crt"),
        SSL_key_file => $certs->file("$cert.key")) : ());
    my $got = '';

    if ($s) {
        print $s "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
        sysread $s, $got, 4096;
        $got = '' if !defined $got;
    }

    unlike($got, qr/^HTTP/, "agent refuses: $name");
    ok(wait_for(2, sub { agent_says($why) == $told + 2 }),
        "and says why: $name") or diag(slurp($agent->{log}));
}

# --- the agents' certificates, as the API sees them -----------------------

for my $case ([ 'agent-wrong-ca', 'wrong authority' ],
    [ 'agent-wrong-name', 'wrong name' ], [ 'agent-expired', 'expired' ])
{
    my ($cert, $name) = @$case;
    my $bad = PcapTest::Fake->new(certs => $certs, port => ++$port,
        cert => $cert, script => sub { $_[0]->usual(2) });

    $nginx = api(groups => [], more => [ $bad->target('bad', 'bad/0', 5),
        $bad->target('both', 'bad/0', 5), $good->target('both', 'good/0', 0)
        ]);

    my $doc = problem_is($nginx->fetch('/v1/capture/static/bad'), 502,
        undef, "from the agent, $name");
    is($doc->{targets}[0]{name}, 'bad/0', "$name: target");
    is(scalar $bad->events('request'), 0, "$name: no request was sent");

    $c = $nginx->get('/v1/capture/static/both');
    $c->read_until(5, sub { seen_count($c, 0, 3) });
    stop_capture({ nginx => $nginx }, $c);
    my $sent = $good->sent_in($c, 0)->{'web/0'};
    instance_failed(capture_ok($c, status => 'partial', name => $name,
        packets => { 'good/0' => $sent }), 'bad/0');
    agents_quiet($name, $bad, $good);
    $nginx->stop();
}

# agents that trust another authority
my $strict = PcapTest::Fake->new(certs => $certs, port => ++$port,
    ca => 'wrong-ca.crt', script => sub { $_[0]->usual(2) });

$nginx = api(more => [ $strict->target('strict', 'strict/0', 0) ]);
problem_is($nginx->fetch('/v1/capture/static/strict'), 502, undef,
    'an agent that does not know our authority');
$nginx->stop();

# --- the token endpoint ---------------------------------------------------

for my $case ([ 'uaa-wrong-ca', 'wrong authority' ],
    [ 'uaa-wrong-name', 'wrong name' ], [ 'uaa-expired', 'expired' ])
{
    my ($cert, $name) = @$case;
    my $false = PcapTest::Uaa->new(certs => $certs, port => ++$port,
        cert => $cert);

    $nginx = api(uaa_port => $port);
    problem_is($nginx->fetch('/v1/capture/static/demo'), 503, undef,
        "token endpoint, $name");
    is(scalar $false->seen(), 0, "$name: no token was sent");
    $nginx->stop();
}

agents_quiet('all', $agent, $good);

finish();
