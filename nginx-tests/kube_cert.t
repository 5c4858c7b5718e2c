# Users by client certificate (pcap_api_kube_client_cert): the common name is
# the user, organizations are groups, whoever nginx has verified by the
# client CA of the cluster; a token goes before it. The API server is
# PcapTest::Kube.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Fake;
use PcapTest::Kube;
use PcapTest::Lab;
use PcapTest::Nginx;

my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs);
my $token = $kube->token_file();
my $fake = PcapTest::Fake->new(certs => $certs, script => sub {
    my ($c) = @_;

    $c->begin();
    $c->traffic(3);
    return $c->stay(limit(20)) && $c->end()
        if ($c->{args}{filter}[0] || '') eq 'tcp';
    $c->end();
});
my $clients = $certs->authority('client-ca');
my %CERT = (
    ann     => { cn => 'ann', subject => { organizationName => 'dev' } },
    many    => { cn => 'many', subject => {
        organizationName => [ 'ops', 'dev' ] } },
    bob     => { cn => 'bob' },
    two     => { cn => 'two', subject => { commonName => [qw(two ann)],
        organizationName => 'dev' } },
    noname  => { subject => { commonName => [], organizationName => 'dev' } },
    utf8    => { cn => "j\xc3\xbcrgen", subject => {
        organizationName => 'dev' } },
    old     => { cn => 'ann', days => -1, subject => {
        organizationName => 'dev' } },
    short   => { cn => 'ann', days => 6 / 86400, subject => {
        organizationName => 'dev' } },
);

$certs->leaf($_, issuer => $clients, %{ $CERT{$_} }) for sort keys %CERT;
$certs->leaf('stranger', cn => 'ann', subject => {
    organizationName => 'dev' });

chmod 0755, work_dir();
chmod 0644, $token;

my $api = "pcap_api_kube /_kube forward=/_kube_forward token=$token;";
my $lab = lab(certs => $certs, nginx => {
    http => 'pcap_api_introspection_rate 1000 burst=10000;',
    check => $api,
    pcap => 'pcap_api_agent_ranges 127.1.0.0/28; pcap_api_reauth 1s;'
        . ' pcap_api_kube_client_cert on; pcap_api_reauth_max_age 1s;'
        . ' pcap_api_kube_node node-0 127.1.0.1:9494;',
    server => $kube->location('/_kube') . ' ssl_verify_client optional;'
        . ' ssl_client_certificate ' . $certs->file('client-ca.crt') . ';'
        . ' location /without/ { pcap_api on; pcap_api_kube_files on;'
        . " $api pcap_api_kube_node node-0 127.1.0.1:9494;"
        . ' pcap_api_agent_ranges 127.1.0.0/28; }' });
my $nginx = $lab->{nginx};

# nginx lets everybody in here, whoever vouches for him
my $lax = PcapTest::Nginx->new(certs => $certs, check => $api, port => 8450,
    pcap => 'pcap_api_agent_ranges 127.1.0.0/28; pcap_api_kube_client_cert on;'
        . ' pcap_api_kube_node node-0 127.1.0.1:9494;',
    server => $kube->location('/_kube') . ' ssl_verify_client optional_no_ca;'
        . ' ssl_client_certificate ' . $certs->file('client-ca.crt') . ';');

$lax->start();

my $account = PcapTest::Kube::ACCOUNT;

$kube->user('bea', username => 'bea');
$kube->allow(groups => ['dev'], verbs => ['create'],
    resources => ['packetcaptures'], namespace => 'dev');
$kube->allow(groups => ['dev'], verbs => ['get'],
    resources => ['packetcaptures/files'], namespace => 'dev');
$kube->allow(group => '', groups => ['dev'], verbs => ['list'],
    resources => ['pods'], namespace => 'dev');
$kube->pod('dev', 'web-0', node => 'node-0', ip => '10.1.0.1',
    labels => { app => 'web' });

my $path = '/v1/capture/k8s/dev?selector=app%3Dweb';


sub with
{
    my ($name, $path, %o) = @_;

    return $nginx->fetch($path, cert => $certs->file($name), token => undef,
        %o);
}


# --- where it comes from ----------------------------------------------------

for my $case ([ 200 ], [ 200, 'Sec-Fetch-Site: none' ],
    [ 200, 'Sec-Fetch-Site: same-origin', 'Origin: https://pcap.example.com' ],
    [ 403, 'Sec-Fetch-Site: cross-site' ], [ 403, 'Sec-Fetch-Site: same-site' ],
    [ 403, 'Origin: https://evil.example.com' ], [ 403, 'Origin: null' ])
{
    my ($status, @fields) = @$case;
    my $c = with('ann', '/v1/captures', headers => [ map { [ split /: / ] }
        @fields ]);

    status_is($c, $status, "from: @fields") or diag($c->{body});
    like($c->{body}, qr/page of another site/, 'and why') if $status == 403;
}

problem_is($nginx->fetch('/v1/captures', token => undef, headers =>
    [ [ Origin => 'https://evil.example.com' ] ]), 401, undef,
    'without any of them there is no identity');
status_is($nginx->fetch('/v1/captures', token => 'bea', headers =>
    [ [ Origin => 'https://evil.example.com' ] ]), 200,
    'a token is nothing that a browser adds');

for my $case ([ 200, 'ann' ], [ 401, 'stranger' ]) {
    my ($status, $name) = @$case;

    status_is($lax->fetch('/v1/captures', cert => $certs->file($name),
        token => undef), $status, "whoever may come in: $name");
}

# --- what does not go together ----------------------------------------------

for my $case ([ qr/"ignore_invalid_headers off"/, '',
    $kube->location('/_kube') =~ s/ignore_invalid_headers off;//r ],
    [ qr/"pcap_api_peers" exclude each other/, 'pcap_api_kube_client_cert on;'
        . ' pcap_api_peers /_peer; pcap_api_environment lab;',
        $kube->location('/_kube') ],
    [ undef, 'pcap_api_kube_client_cert on;', $kube->location('/_kube') ])
{
    my ($like, $pcap, $server) = @$case;
    my ($good, $text) = PcapTest::Nginx->new(certs => $certs, check => $api,
        pcap => "pcap_api_agent_ranges 127.1.0.0/28; $pcap", server => $server,
        )->test_config();

    ok($like ? !$good && $text =~ $like : $good, 'configuration: '
        . ($like || 'a good one')) or diag($text);
}

# --- who it is --------------------------------------------------------------

problem_is(with('ann', $path), 503, qr/service account/,
    'the service account may not list pods there');
$kube->allow(group => '', users => [$account], verbs => ['list'],
    resources => ['pods'], namespace => 'dev');

my $before = () = $kube->seen();
my $c = with('ann', $path);

status_is($c, 200, 'a certificate') or diag($c->{body});
capture_ok($c, status => 'complete', packets => { 'web-0' => 3 });
like($c->{body}, qr/user: ann\W/a, 'its common name is the user');

my @seen = $kube->seen();

splice @seen, 0, $before;

is(join(' ', map { "$_->{method} " . ($_->{path} =~ s{.*/|\?.*}{}gr) } @seen),
    'POST subjectaccessreviews POST subjectaccessreviews'
    . ' POST subjectaccessreviews GET pods', 'no token is looked at');

my @asked = map { decode_json($_->{body})->{spec} } @seen[ 0 .. 2 ];

is_deeply([ map { [ $_->{user}, $_->{groups} ] } @asked ],
    [ ([ 'ann', [ 'dev', 'system:authenticated' ] ]) x 3 ],
    'as an API server has it');
is_deeply($asked[2]{resourceAttributes}, { group => '', resource => 'pods',
    verb => 'list', namespace => 'dev' }, 'he could list pods himself');
is($seen[3]{account} // $seen[3]{token}, slurp($token) =~ s/\s+//r,
    'the service account does');

status_is(with('many', $path), 200, 'a group of several');
status_is(with('utf8', $path), 200, 'a name that is not ASCII');
problem_is(with('bob', $path), 403, qr/"bob" is not authorized to create/,
    'one without a right');

# --- who it is not ----------------------------------------------------------

problem_is(with('two', $path), 401, qr/one common name/, 'two names');
problem_is(with('noname', $path), 401, qr/one common name/, 'no name');
is(with('stranger', $path)->{status}, 400, 'of another CA: nginx refuses');
is(with('old', $path)->{status}, 400, 'one that has expired, as well');
problem_is($nginx->fetch($path, token => undef), 401, qr/a token is needed/,
    'none at all');
problem_is(with('ann', '/without/download/dev/web/files.zip'), 401,
    qr/a token is needed/, 'where it is not configured');

# what stands for the certificate is no token
my ($hash) = `openssl x509 -in @{[ $certs->file('ann') ]}.crt -outform DER |
    openssl sha256` =~ /([0-9a-f]{64})/;

problem_is($nginx->fetch($path, token => "x509.$hash"), 401, qr/not valid/,
    'its digest is none');
problem_is(with('ann', $path, token => 'nobody'), 401, qr/not valid/,
    'a token goes before a certificate');
problem_is(with('ann', $path, token => 'bea'), 403, qr/"bea" is not/,
    'also for who it is');

# --- while a capture runs ---------------------------------------------------

$c = $nginx->get("$path&filter=tcp", cert => $certs->file('ann'),
    token => undef);
$c->read_header(10);

my $reviews = () = $kube->seen(qr/tokenreview/);

$before = () = $kube->seen(qr/subjectaccess/);
ok(wait_for(10, sub { (() = $kube->seen(qr/subjectaccess/)) > $before }),
    'the right is looked at again');
is(scalar(() = $kube->seen(qr/tokenreview/)), $reviews, 'and no token');

my $id = capture_id($c);

problem_is(with('ann', "/v1/captures/$id/token", method => 'PUT'), 400,
    qr/a certificate is none/, 'it is no fresh token');

my $d = with('bob', "/v1/captures/$id", method => 'DELETE');

is($d->{status}, 404, 'nobody else may end it');
is(with('ann', "/v1/captures/$id", method => 'DELETE')->{status}, 202,
    'its user may');
$c->read_end(15);
is($c->trailer('x-pcap-status'), 'stopped', 'and it ends');

# one that expires ends what it began
$certs->leaf('short', issuer => $clients, %{ $CERT{short} });
$c = $nginx->get("$path&filter=tcp", cert => $certs->file('short'),
    token => undef);
$c->read_header(10);
$c->read_end(30);
is($c->trailer('x-pcap-status'), 'stopped', 'an expired one ends a capture');
like($c->{body}, qr/no valid token for too long/, 'and why');

# --- pcap-cli with a kubeconfig ---------------------------------------------

spew(work_dir() . '/kubeconfig', join "\n", 'apiVersion: v1', 'kind: Config',
    'current-context: dev', 'contexts:',
    '- {name: dev, context: {cluster: main, user: ann, namespace: dev}}',
    'clusters:', '- {name: main, cluster: {server: "https://localhost:6443"}}',
    'users:', '- name: ann', '  user:', map { "    client-$_->[0]: "
    . $certs->file("ann.$_->[1]") } [ 'certificate', 'crt' ], [ 'key', 'key' ]);

for my $flag ('--client-cert', '') {
    my $out = work_dir() . "/cli$flag.pcapng";
    my $status = wait_exit(spawn("cli$flag", [ tool('cli'), 'k8s', '-l',
        'app=web', '--kubeconfig', work_dir() . '/kubeconfig', '-u',
        'https://localhost:8443', '--ca-cert', $certs->file('ca.crt'),
        '-o', $out, $flag || () ]), 20);
    my $words = slurp(work_dir() . "/cli$flag.out");

    if ($flag) {
        is($status, 0, 'pcap-cli k8s --client-cert') or diag($words);
        is(@{ PcapTest::Pcapng::parse(slurp($out))->{packets} || [] }, 3,
            'and its packets');
    } else {
        isnt($status, 0, 'without it: refused');
        like($words, qr/kubectl create token/, 'with what helps');
    }
}

is_deeply([ $kube->violations() ], [], 'every question was a good one');
agents_quiet('the end', $fake);
finish();
