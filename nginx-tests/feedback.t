# Capture traffic is not captured: two captures of one interface do not feed
# each other, and neither does a target that is the proxy in front of the
# API.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::BoshLab;
use PcapTest::Client;


# gor is a router in front of nginx and has an agent; cli is its client
my $certs = PcapTest::Certs->new();
my $net = PcapTest::Net->new();
my ($gor, $cli) = map { $net->host($_) } qw(gor cli);
my ($front, $client) = $net->join_hosts($gor, $cli);
my $other_client = $client =~ s/\d+$/20/r;

must('ip', '-n', $cli->{ns}, 'addr', 'add', "$other_client/24", 'dev', 'eth0');

my $agent = PcapTest::Agent->new(certs => $certs, host => $gor);
my $here = PcapTest::Agent->new(certs => $certs, port => 9500);
my $lab = bosh_lab(certs => $certs, ranges => '10.9.0.0/16 127.0.0.0/8',
    groups => [ $agent->target('gor', 'gor/0'),
    $here->target('here', 'here/0') ], nginx => { pcap =>
    'pcap_api_trusted_routers 10.9.0.0/16;' });
my $nginx = $lab->{nginx};

$lab->{director}->deployment('net', ['ops'], vm('router', 0, 1,
    ips => [ $agent->{endpoint} =~ /^(.*):/ ]));


# Runs captures for some seconds on idle links; the numbers of packets.
sub idle
{
    my ($name, @clients) = @_;

    my $end = Time::HiRes::time() + 2;

    while (Time::HiRes::time() < $end) {
        $_->pull(0.05) for @clients;
    }

    my @counts;

    for my $c (@clients) {
        stop_capture($lab, $c);
        my $file = capture_ok($c, status => 'stopped', name => $name);
        push @counts, scalar @{ $file->{packets} };
    }

    cmp_ok($_, '<', 60, "$name: quiet ($_ packets)") for @counts;
}


# --- two captures of the interface that carries them ----------------------

idle('two captures', map { $nginx->get('/v1/capture/static/gor') } 1, 2);
idle('two captures of any',
    map { $nginx->get('/v1/capture/static/gor?interface=any') } 1, 2);

# --- the host of the API itself, leg to the client included ---------------

idle('two captures beside the API',
    map { $nginx->get('/v1/capture/static/here?interface=lo') } 1, 2);

# --- a filter of the user does not open the exclusion ---------------------

idle('with filters', map { $nginx->get("/v1/capture/static/gor?filter=$_") }
    'tcp', 'tcp%20or%20vlan', 'not%20udp');

# --- through the router ---------------------------------------------------

my $conf = spew(work_dir() . '/router.conf', <<"EOF_CONF");
daemon off;
user nobody nogroup;
worker_processes 1;
pid @{[ work_dir() ]}/router.pid;
error_log @{[ work_dir() ]}/router.log info;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path @{[ work_dir() ]}/r-body;
    proxy_temp_path @{[ work_dir() ]}/r-proxy;
    fastcgi_temp_path @{[ work_dir() ]}/r-fastcgi;
    uwsgi_temp_path @{[ work_dir() ]}/r-uwsgi;
    scgi_temp_path @{[ work_dir() ]}/r-scgi;
    server {
        listen $front:443 ssl;
        ssl_certificate @{[ $certs->file('front.crt') ]};
        ssl_certificate_key @{[ $certs->file('front.key') ]};
        location / {
            proxy_pass https://$gor->{gw}:8443;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Host localhost;
            proxy_set_header X-Forwarded-For \$remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Port 443;
            proxy_set_header X-Vcap-Request-Id aaaa-bbbb-1111;
        }
    }
}
EOF_CONF
my $router = spawn('router', [ tool('nginx'), '-c', $conf, '-e',
    work_dir() . '/router.log' ], ns => 'gor');

at_end(sub { stop_child($router) });

# Captures path twice at once through the router, for some seconds in which
# another client asks for the status, and nothing else happens.
sub through_router
{
    my ($name, $token, $path) = @_;

    my @curl = ('curl', '-sSN', '-m', 30, '--cacert', $certs->file('ca.crt'),
        '--connect-to', "localhost:443:$front:443", '--retry', 20,
        '--retry-connrefused', '--retry-delay', 1);
    my @runs = map {
        spawn("curl$_", [ @curl, '-H', "Authorization: bearer $token", '-D',
            work_dir() . "/head$_", '-o', work_dir() . "/router$_.pcapng",
            "https://localhost$path&duration=3s" ], ns => 'cli')
    } 1, 2;

    ok(wait_for(20, sub { 2 == grep { -s work_dir() . "/router$_.pcapng" }
        1, 2 }), "$name: both run");

    my $other = spawn('other', [ @curl, '--interface', $other_client,
        'https://localhost/v1/status' ], ns => 'cli');

    is(wait_exit($other, 20), 0, "$name: another client");

    for my $n (1, 2) {
        is(wait_exit($runs[$n - 1], 30), 0, "$name: curl $n ends")
            or diag(slurp(work_dir() . "/curl$n.out"));

        my $bytes = slurp(work_dir() . "/router$n.pcapng");
        my $file = eval { PcapTest::Pcapng::parse($bytes) };

        ok($file, "$name: file $n") or diag($@);
        is(verdicts_of($file)->{api}{status}, 'limit', 'is complete');
        cmp_ok(scalar @{ $file->{packets} }, '<', 60, "$name: quiet ("
            . @{ $file->{packets} } . ' packets)');

        my @others = grep { $_->[4] =~ /\x01\xbb/ } @{ $file->{packets} };

        cmp_ok(scalar @others, '>', 4, "$name: the other client is seen");
        tshark_ok(work_dir() . "/router$n.pcapng", "$name $n", empty => 1);
        like(slurp(work_dir() . "/head$n"), qr/^x-vcap-request-id: aaaa-bbbb/im,
            'request id of a trusted router is taken over');
        unlink work_dir() . "/router$n.pcapng";
    }
}


through_router('a group with the router', 'good',
    '/v1/capture/static/gor?interface=any');
through_router('the VM of the router', 'op',
    '/v1/capture/bosh/net?instance=router/0&interface=any');
through_router("the interface to its clients", 'op',
    '/v1/capture/bosh/net?interface=eth0');
strict_director($lab);
agents_quiet('all', $agent, $here);

finish();
