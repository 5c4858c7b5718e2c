# The entry point of the container: every variable, its default, what it takes
# and what it refuses; nothing of a variable reaches nginx's syntax; the real
# nginx with the real module takes what it writes, and serves it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use Test::More;
use PcapTest;
use PcapTest::Agent;
use PcapTest::Certs;
use PcapTest::Check;
use PcapTest::Client;
use PcapTest::Kube;

my $P = 'PACKETCAPTURE_API_';
my $NOBODY = 65534;
my ($nginx) = tool('nginx') =~ m{/} ? tool('nginx') : grep { -x } map {
    "$_/nginx" } split /:/, $ENV{PATH};
my $entry = root_dir() . '/k8s/entry';
my $work = work_dir();
my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs, keep => 1);
my ($account, $run) = ("$work/account", "$work/run");
my %ADDRESS = (KUBERNETES_SERVICE_HOST => '127.0.0.1',
    KUBERNETES_SERVICE_PORT => 6443);


sub full { return $_[0] =~ /^KUBERNETES/ ? $_[0] : "$P$_[0]" }


sub environment
{
    my ($env) = @_;

    my %all = (%ADDRESS, map { full($_) => $env->{$_} } keys %$env);

    delete @all{ grep { !defined $all{$_} } keys %all };

    return %all;
}


sub command
{
    my (@args) = @_;

    return ($entry, '--account', $account, '--run', $run, '--resolv',
        "$work/resolv.conf", '--nginx', $nginx, '--module', tool('module'),
        @args);
}


# As a kubelet does: as nobody in particular, nothing else in the environment.
sub as_nobody
{
    my ($env, @args) = @_;

    my %all = environment($env);

    return ('setpriv', "--reuid=$NOBODY", "--regid=$NOBODY",
        '--clear-groups', 'env', '-i', (map { "$_=$all{$_}" } sort
        keys %all), command(@args));
}


sub files_of_nobody
{
    my (@files) = @_;

    spew($_, '') for @files;
    chown $NOBODY, $NOBODY, @files;
}


# ( status, standard output, standard error ); there are hundreds of these,
# so only what opens files is run as nobody, and none is waited for longer
# than it takes.
sub entry
{
    my ($env, @args) = @_;

    my ($out, $err) = ("$work/entry.text", "$work/entry.words");

    files_of_nobody($out, $err);

    my $pid = (grep { $_ eq '--check' } @args)
        ? spawn('entry', [ as_nobody($env, @args) ], out => $out, err => $err)
        : fork_child('entry', sub {
            open STDOUT, '>', $out or die "$out: $!\n";
            open STDERR, '>', $err or die "$err: $!\n";
            %ENV = environment($env);
            exec command(@args);
        });

    local $SIG{ALRM} = sub { kill 'KILL', $pid };
    alarm limit(10);
    waitpid $pid, 0;
    my $status = $?;
    alarm 0;

    return ($status & 127 ? 'killed' : $status >> 8, slurp($out),
        slurp($err));
}


sub printed
{
    my (%env) = @_;

    my ($status, $text, $words) = entry(\%env, '--print');

    return $status == 0 ? $text : "status $status: $words";
}


# One line, which names the variable and says what is allowed.
sub refused
{
    my ($name, $env, $words, @args) = @_;

    my ($status, $text, $err) = entry($env, @args ? @args : '--print');

    $err =~ s/^entry: .* requests with X-CLUSTER-ID are refused\n//m;

    ok($status == 1 && $text eq '' && $err =~ /\Aentry: [ -~]+\n\z/
        && $err =~ $words, "refused: $name") or diag("$status $text $err");
}


sub nginx_takes
{
    my ($name, %env) = @_;

    my ($status, $text, $err) = entry(\%env, '--check');

    # nginx 1.25.1 has a word for it that 1.22 does not know
    $err =~ s/^.*"listen \.\.\. http2" directive is deprecated.*\n//mg;

    ok($status == 0 && $err !~ /\[(?:warn|emerg|alert|crit)\]/,
        "nginx -t: $name") or diag($err);
}


for my $dir ($account, $run) {
    mkdir $dir or die "$dir: $!\n";
    chown $NOBODY, $NOBODY, $dir;
}

spew("$account/ca.crt", slurp($certs->file('ca.crt')));
spew("$account/namespace", "pcap-api\n");
symlink $kube->token_file(), "$account/token" or die "token: $!\n";
spew("$work/resolv.conf", "search x\nnameserver 127.0.0.53\n"
    . "nameserver fd00::53\nnameserver fe80::1%eth0\n");

my %FILES = (HTTPS_CERT => $certs->file('front.crt'), HTTPS_KEY =>
    $certs->file('front.key'), AGENTS_CERT => $certs->file('api.crt'),
    AGENTS_KEY => $certs->file('api.key'), AGENTS_CA =>
    $certs->file('ca.crt'), OIDC_CA => $certs->file('ca.crt'));
my %OIDC = (OIDC_AUTH_ENABLED => 'True', OIDC_AUTH_ISSUER =>
    'https://dex.test/dex', OIDC_AUTH_CLIENT_ID => 'web', OIDC_AUTH_JWKSURL
    => 'https://dex.test/dex/keys');
my %FORWARD = (MULTI_CLUSTER_FORWARDING_CA =>
    $certs->file('kube-forward-ca.crt'));

# --- every variable: default, what it takes ----------------------------------

my $dex = { DEX_ENABLED => 'True' };
my $forward = {%FORWARD};

# name, what else is set, default as printed, value, that one as printed
my @ALL = (
    [ 'KUBERNETES_SERVICE_HOST', {}, qr/server 127\.0\.0\.1:6443;/,
        'fd00::1', qr/server \[fd00::1\]:6443;/ ],
    [ 'KUBERNETES_SERVICE_PORT', {}, qr/server 127\.0\.0\.1:6443;/, '16443',
        qr/server 127\.0\.0\.1:16443;/ ],
    [ 'PORT', {}, qr/listen 8444 ssl/, '9000', qr/listen 9000 ssl/ ],
    [ 'HOST', {}, qr/listen \[::\]:8444 ssl http2 ipv6only=on;/, '::1',
        qr/listen \[::1\]:8444 ssl http2;\n\s+ssl_/ ],
    [ 'LOG_LEVEL', {}, qr/error_log stderr info;/, 'Warning',
        qr/error_log stderr warn;/ ],
    [ 'HTTPS_CERT', {}, qr{ssl_certificate /etc/pcap/https/tls\.crt;},
        '/certs/https/cert', qr{ssl_certificate /certs/https/cert;} ],
    [ 'HTTPS_KEY', {}, qr{ssl_certificate_key /etc/pcap/https/tls\.key;},
        '/certs/https/key', qr{ssl_certificate_key /certs/https/key;} ],
    [ 'DEX_ENABLED', {}, qr/\A(?!.*_oidc)/s, 'True', qr/_oidc/ ],
    [ 'DEX_ISSUER', $dex, qr{ issuer=https://127\.0\.0\.1:5556/dex },
        'https://login.test/#1', qr{ issuer=https://login\.test/#1 } ],
    [ 'DEX_CLIENT_ID', $dex, qr/ client_id=tigera-manager /, 'a.b-c',
        qr/ client_id=a\.b-c / ],
    [ 'DEX_JWK_URL', $dex, qr{pcap_server\ tigera-dex\.tigera-dex\.svc\.
        cluster\.local:5556;\s+proxy_pass\ https://\$pcap_server/dex/keys;}x,
        'https://keys.test/k?p=1', qr{keys\.test:443;\s+proxy_pass\ https://
        \$pcap_server/k\?p=1;}x ],
    [ 'DEX_USER_CLAIM', $dex, qr/ user_claim=email /, 'sub',
        qr/ user_claim=sub / ],
    [ 'DEX_GROUPS_CLAIM', $dex, qr/ groups_claim=;/, 'https://x.test/groups',
        qr{ groups_claim=https://x\.test/groups;} ],
    [ 'DEX_USERNAME_PREFIX', $dex, qr/\A(?!.*user_prefix)/s, '-',
        qr/ user_prefix=-;/ ],
    [ 'DEX_GROUPS_PREFIX', $dex, qr/\A(?!.*groups_prefix)/s, 'oidc:',
        qr/ groups_prefix=oidc:;/ ],
    [ 'OIDC_AUTH_ENABLED', { %OIDC, OIDC_AUTH_ENABLED => undef },
        qr/\A(?!.*_oidc)/s, 't', qr/_oidc/ ],
    [ 'OIDC_AUTH_ISSUER', \%OIDC, undef, 'https://a.test',
        qr{ issuer=https://a\.test } ],
    [ 'OIDC_AUTH_CLIENT_ID', \%OIDC, undef, 'x', qr/ client_id=x / ],
    [ 'OIDC_AUTH_JWKSURL', \%OIDC, undef, 'https://LOCALHOST:1/k',
        qr{server 127\.0\.0\.1:1;.*proxy_pass https://pcap_keys/k;}s ],
    [ 'OIDC_AUTH_USERNAME_CLAIM', \%OIDC, qr/ user_claim=email /, 'name',
        qr/ user_claim=name / ],
    [ 'OIDC_AUTH_GROUPS_CLAIM', \%OIDC, qr/ groups_claim=groups;/, 'roles',
        qr/ groups_claim=roles;/ ],
    [ 'OIDC_AUTH_USERNAME_PREFIX', \%OIDC, qr/\A(?!.*user_prefix)/s, 'u:',
        qr/ user_prefix=u:;/ ],
    [ 'OIDC_AUTH_GROUPS_PREFIX', \%OIDC, qr/\A(?!.*groups_prefix)/s, 'g:',
        qr/ groups_prefix=g:;/ ],
    [ 'MULTI_CLUSTER_FORWARDING_CA', { MULTI_CLUSTER_FORWARDING_ENDPOINT =>
        'https://manager.test' }, qr{certificate /manager-tls/cert;}, '/a/b',
        qr{certificate /a/b;} ],
    [ 'MULTI_CLUSTER_FORWARDING_ENDPOINT', $forward,
        qr{upstream\ pcap_kube_forward\ \{\s+server\ 127\.0\.0\.1:9443;.*
        proxy_ssl_name\ localhost;}sx, 'https://manager.test:9443/',
        qr{\$pcap_server\ manager\.test:9443;\s+proxy_pass\ https://
        \$pcap_server\$pcap_kube_uri;.*proxy_ssl_name\ manager\.test;}sx ],
    [ 'OIDC_CA', $dex, qr{certificate /etc/ssl/certs/ca-certificates\.crt;},
        '/ca', qr{certificate /ca;} ],
    [ 'CLIENT_CA', {}, qr/\A(?!.*client_cert)/s, '/clients',
        qr{_client_cert\ on;\s+ssl_verify_client\ optional;.*
        ssl_client_certificate\ /clients;}sx ],
    [ 'AUTHENTICATION', {}, qr/_authentication token_review;/,
        'authentication_review',
        qr/_authentication authentication_review;/ ],
    [ 'AUDIENCES', {}, qr/\A(?!.*_audience)/s, 'pcap,https://x.test',
        qr{_audience pcap https://x\.test;} ],
    [ 'AGENTS_NAMESPACE', {}, qr/ namespace=pcap-api /, 'calico-system',
        qr/ namespace=calico-system / ],
    [ 'AGENTS_SELECTOR', {},
        qr{ "selector=app\.kubernetes\.io/name=pcap-agent" },
        'app in (a, b),!c', qr/ "selector=app in \(a, b\),!c" / ],
    [ 'AGENTS_PORT', {}, qr/ port=9494 /, '1', qr/ port=1 / ],
    [ 'AGENTS_TLS_NAME', {}, qr/ tls_name=pcap-agent;/, 'agent.test',
        qr/ tls_name=agent\.test;/ ],
    [ 'AGENTS_RANGES', {}, qr{_agent_ranges\ 10\.0\.0\.0/8\ 172\.16\.0\.0/12
        \ 192\.168\.0\.0/16\ 100\.64\.0\.0/10\ fc00::/7;}x,
        '10.1.0.0/16,fd00::/8', qr{_agent_ranges 10\.1\.0\.0/16 fd00::/8;} ],
    [ 'AGENTS_CERT', {},
        qr{proxy_ssl_certificate /etc/pcap/agents/tls\.crt;}, '/c',
        qr{proxy_ssl_certificate /c;} ],
    [ 'AGENTS_KEY', {},
        qr{proxy_ssl_certificate_key /etc/pcap/agents/tls\.key;}, '/k',
        qr{proxy_ssl_certificate_key /k;} ],
    [ 'AGENTS_CA', {}, qr{certificate /etc/pcap/agents/ca\.crt;}, '/d',
        qr{certificate /d;} ],
    [ 'TRUSTED_ROUTERS', {}, qr/\A(?!.*_routers)/s, '10.0.0.7/32',
        qr{_trusted_routers 10\.0\.0\.7/32;} ],
    [ 'AGENTS_NODES', {}, qr/\A(?!.*_kube_node)/s,
        'n-1=10.0.0.1:9494,n2.x=[fd00::2]:9', qr{_node\ n-1\ 10\.0\.0\.1:9494
        \ tls_name=pcap-agent;\s+pcap_api_kube_node\ n2\.x\ \[fd00::2\]:9\ }x ],
);

for my $case (@ALL) {
    my ($name, $env, $default, $value, $shown) = @$case;
    my %rest = %$env;

    delete $rest{$name};
    like(printed(%rest), $default, "$name: default") if $default;
    like(printed(%rest, $name => ''), $default, "$name: empty is default")
        if $default && $name ne 'KUBERNETES_SERVICE_PORT'
        && $name ne 'KUBERNETES_SERVICE_HOST';
    like(printed(%$env, $name => $value), $shown, "$name: $value");
}

like(printed(KUBERNETES_SERVICE_HOST => 'api.test'),
    qr{resolver\ 127\.0\.0\.53\ \[fd00::53\]\ valid=30s;.*\$pcap_server
    \ api\.test:6443;.*proxy_ssl_name\ kubernetes\.default\.svc;}sx,
    'a name is looked up by the name servers of the pod');
like(printed(LOG_LEVEL => $_->[0]), qr/stderr $_->[1];/,
    "LOG_LEVEL: $_->[0]") for [ trace => 'info' ], [ DEBUG => 'info' ],
    [ Error => 'error' ], [ Fatal => 'crit' ], [ Panic => 'alert' ];
like(printed("${_}_SERVICE_HOST" => '10.0.0.1', "${_}_PORT_443_TCP" => 'x'),
    qr/pcap_api_kube /, 'variables of a Service are nobody\'s')
    for 'MANAGER';

# --- what each one refuses ---------------------------------------------------

my %BAD = (
    KUBERNETES_SERVICE_HOST => [ '1.2.3', '1.2.3.256', ':', 'a..b', '-a',
        '::1]', 'a_b', 'a' x 300 ],
    KUBERNETES_SERVICE_PORT => [ '0', '65536', '01', '-1', '443 ' ],
    PORT => [ '0', '65536', '8444/tcp', 'http', '+1', '99999999999' ],
    HOST => [ 'example.com', '1.2.3', '[::1', '0.0.0.0:80' ],
    LOG_LEVEL => [ 'verbose', 'info debug' ],
    HTTPS_CERT => [ 'tls.crt', '/', '/a/../../', '//a', 'data:x' ],
    DEX_ENABLED => [ 'yes', 'on', '2' ],
    DEX_ISSUER => [ 'http://a.test', 'a.test', 'https://' ],
    DEX_CLIENT_ID => [ 'a b', 'x' x 256 ],
    DEX_JWK_URL => [ 'http://a.test/k', 'https://', 'https://10.0.0.1/k',
        'https://u:p@a.test/', 'https://a.test:0/', 'https://a.test/#x',
        'https://[::1]/' ],
    MULTI_CLUSTER_FORWARDING_ENDPOINT => [ 'https://a.test/x',
        'https://a.test?x', 'a.test:9443', 'https://10.0.0.1:9443' ],
    AUTHENTICATION => [ 'none', 'Token_Review', 'off' ],
    AUDIENCES => [ ',', 'a,', 'a,,b' ],
    AGENTS_NAMESPACE => [ 'A', 'a.b', '-a', 'a' x 64 ],
    AGENTS_SELECTOR => [ ' a', 'a;b', 'x' x 501 ],
    AGENTS_PORT => [ 'x', '70000' ],
    AGENTS_TLS_NAME => [ '10.0.0.1', '*.x', 'a.' ],
    AGENTS_RANGES => [ '10.0.0.0', '10.0.0.0/33', 'fd00::/129', '10.0/8',
        '10.0.0.0/8,', 'x/8' ],
    AGENTS_NODES => [ 'a', 'a=1.2.3.4', 'a=host:1', 'a=::1:1', 'A=1.2.3.4:1',
        'a=1.2.3.4:0', 'a=1.2.3.4:1,', '=1.2.3.4:1', 'a=[1.2.3.4:1' ],
);

for my $name (sort keys %BAD) {
    refused("$name=" . substr($_, 0, 30), { $name => $_ }, qr/^entry:
        \ @{[full($name)]}:\ /x) for @{ $BAD{$name} };
}

# --- nothing begins another directive ----------------------------------------

my %VALUE = map { $_->[0] => $_->[3] } @ALL;

for my $name (sort keys %VALUE) {
    my $value = $VALUE{$name};
    my @bad = map { "$value$_" } ';', '"', "'", '$uri', '{', '}', '\\',
        "\n", "\r", "\t", "\x7f", "\xc3\xa4", ' x;', "; } #", '`id`',
        "\nenv X;", ';/', "\e[2J";

    push @bad, "$value x" if $name ne 'AGENTS_SELECTOR';

    my @taken = grep { my ($status, $text, $err) = entry({ $name => $_ },
        '--print'); $status != 1 || $text ne '' || $err !~
        /^entry: \Q@{[full($name)]}\E: "[ -~]+\n\z/m } @bad;

    is(join('|', @taken), '', "$name: no syntax of nginx gets in");
}

# --- what is wrong together --------------------------------------------------

refused('no API server', { KUBERNETES_SERVICE_HOST => undef },
    qr/KUBERNETES_SERVICE_HOST is not set: in a pod the kubelet sets it/);
refused('the address of a Service', { PORT => 'tcp://10.0.0.1:443' },
    qr/enableServiceLinks: false/);
refused('an unknown variable', { OIDC_AUTH_ISUER => 'x' },
    qr/${P}OIDC_AUTH_ISUER: there is no such variable, .* OIDC_AUTH_ISSUER,/);
refused('one part of many', { AGENTS_RANGES => join ',', ('10.0.0.0/8') x 9,
    '10.0.0' }, qr/${P}AGENTS_RANGES: "10\.0\.0" is not of networks/);
refused('both of the two', { %OIDC, DEX_ENABLED => 1 },
    qr/${P}DEX_ENABLED and ${P}OIDC_AUTH_ENABLED are both True/);
refused("no $_", { %OIDC, $_ => '' },
    qr/$P$_ is needed with ${P}OIDC_AUTH_ENABLED/)
    for qw(OIDC_AUTH_ISSUER OIDC_AUTH_CLIENT_ID OIDC_AUTH_JWKSURL);
refused('an option', {}, qr/"--x" is no option: --print/, '--x');
refused('two options', {}, qr/exclude each other/, '--print', '--check');
refused('half an option', {}, qr/--run needs a path/, '--run');
refused('a path with blanks', {}, qr/--run: "\/a b" is not an absolute/,
    '--run', '/a b');

for my $case ([ HTTPS_CERT => {} ], [ AGENTS_CA => {} ],
    [ OIDC_CA => {%OIDC} ], [ CLIENT_CA => {} ],
    [ MULTI_CLUSTER_FORWARDING_CA => {} ])
{
    my ($name, $env) = @$case;

    refused("$name that is not there", { %FILES, %$env, $name => '/none' },
        qr{^entry: $P$name: /none: no such file or directory$}, '--check');
}

spew("$work/resolv.conf", "search x\n");
refused('no name server', $dex, qr/a name server is needed for tigera-dex/);
spew("$work/resolv.conf", "nameserver 127.0.0.53\n");
rename "$account/namespace", "$account/ns";
refused('no namespace', {}, qr/AGENTS_NAMESPACE is not set, and .* cannot/);
spew("$account/namespace", "a;b\n");
refused('a wrong namespace', {}, qr/account\/namespace: "a;b" is no names/);
rename "$account/ns", "$account/namespace";
rename "$account/token", "$account/tok";
refused('no token', \%FILES, qr/token: no such file .*; automountServiceAcc/,
    '--check');
rename "$account/tok", "$account/token";

# --- nginx and the module take it --------------------------------------------

my ($more) = slurp(root_dir() . '/pcapx/version.h') =~
    /PCAP_VERSION\s+"([^"]+)"/;

like(printed(), qr/"version":"\Q$more\E"/, 'the version is that of pcapx');
nginx_takes('defaults', %FILES);
nginx_takes('Dex', %FILES, DEX_ENABLED => 1, DEX_GROUPS_CLAIM => 'groups');
nginx_takes('Dex without groups', %FILES, DEX_ENABLED => 1);
nginx_takes('an OpenID provider alone', %FILES, %OIDC, AUTHENTICATION =>
    'off');
nginx_takes('forwarding', %FILES, %FORWARD);
nginx_takes('what each variable may be', (map { $_ => $VALUE{$_} } grep {
    !$FILES{$_} && !/^DEX|CA$/ } keys %VALUE), %FILES, %FORWARD,
    AGENTS_RANGES => '10.0.0.0/8,fd00::/8');
nginx_takes('client certificates', %FILES, CLIENT_CA =>
    $certs->file('ca.crt'));
nginx_takes('authentication reviews', %FILES, AUTHENTICATION =>
    'authentication_review', HOST => '127.0.0.1');

# --- and serve it ------------------------------------------------------------

$kube->user('alice');
$kube->managed('east');
$kube->capture('dev', 'none', []);
$kube->capture('dev', 'web', [ [ 'node-1', ['a.pcap'], 'Finished' ] ]);
$kube->pod(PcapTest::Kube::AGENTS, 'agent-1', node => 'node-1', ip =>
    '127.1.0.1', labels => { 'app.kubernetes.io/name' => 'pcap-agent' });
$kube->allow(users => ['user-alice'], verbs => ['get', 'delete'],
    resources => ['packetcaptures/files'], namespace => 'dev', cluster => $_)
    for PcapTest::Kube::HOME, 'east';

my $folder = "$work/captures";

mkdir $_ for $folder, "$folder/dev", "$folder/dev/web";
spew("$folder/dev/web/a.pcap", pack 'VvvVVVV', 0xA1B2C3D4, 2, 4, 0, 0, 65535,
    1);
PcapTest::Agent->new(certs => $certs, addr => '127.1.0.1', conf => {
    files_folder => $folder });
files_of_nobody("$work/out", "$work/err");

my $pid = spawn('nginx', [ as_nobody({ %FILES, %FORWARD,
    AGENTS_NAMESPACE => PcapTest::Kube::AGENTS, AGENTS_RANGES =>
    '127.1.0.0/24' }) ], out =>
    "$work/out", err => "$work/err");


sub fetch
{
    my ($path, %o) = @_;

    my $c = PcapTest::Client->new($path, port => 8444, ca =>
        $certs->file('ca.crt'), %o);

    $c->read_header(10);
    $c->read_end(10);

    return $c;
}


ok(wait_for(10, sub { eval { fetch('/health')->{status} == 200 } }),
    'nginx serves') or diag(slurp("$work/err"));

my ($worker) = children($pid);

like(slurp("/proc/$worker/status"), qr/^Uid:\s+$NOBODY\s+$NOBODY\s/m,
    'as nobody in particular');
is(fetch('/health')->{body}, "ok\n", '/health');
is_deeply(decode_json(fetch('/version')->{body}), { version => $more },
    '/version');
is(fetch('/version')->header('content-type'), 'application/json',
    '/version is JSON');

my @alice = (token => 'alice');
my @east = (headers => [ [ 'X-CLUSTER-ID', 'east' ] ]);


sub zip_of { return "/packet-capture/download/$_[0]/files.zip" }


problem_is(fetch(zip_of('dev/web')), 401, undef, 'nobody');
problem_is(fetch('/download/dev'), 400, qr/request URL is malformed/,
    'a malformed URL');
problem_is(fetch(zip_of('prod/web'), @alice), 403, qr/prod/,
    'no right there');
problem_is(fetch(zip_of('dev/web'), @alice, @east), 404, undef,
    'no such capture in a managed cluster');
status_is(fetch(zip_of('dev/none'), @alice), 204, 'nothing to send');
problem_is(fetch('/files/dev/none', @alice, method => 'DELETE'), 403,
    qr/state cannot be determined/, 'a capture without a state');

my $zip = fetch(zip_of('dev/web'), @alice);

status_is($zip, 200, 'what the node has');
spew("$work/files.zip", $zip->{body});
is(`unzip -p $work/files.zip node-1/a.pcap`, slurp(
    "$folder/dev/web/a.pcap"), 'the file, in the folder of its node');
is_deeply([ map { @{ $_->{violations} } } $kube->seen() ], [],
    'the API server has no complaint');
my %clusters = map { ("$_->{listener} $_->{cluster}" => 1) } $kube->seen();
is(join(', ', sort keys %clusters), 'api cluster, forward east',
    'both endpoints were asked');

is(stop_child($pid, 'TERM', 10), 0, 'SIGTERM ends it');
unlike(slurp("$work/err"), qr/\[(?:alert|crit|emerg)\]/, 'a quiet error log');
unlike(slurp("$work/out") . slurp("$work/err"), qr/bearer|account-token/i,
    'no token in a log');
finish();
