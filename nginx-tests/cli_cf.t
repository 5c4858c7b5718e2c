# pcap-cli cf: takes over where the cf CLI is logged in. The app by its name,
# stored and refreshed tokens, the config file written back, refusals of Cloud
# Controller and UAA, where the API is, and whom it trusts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Encode qw(encode);
use Fcntl qw(:flock);
use JSON::PP;
use PcapTest;
use PcapTest::Certs;
use PcapTest::CfStandIn;
use PcapTest::Cli;
use PcapTest::StandIn;

my $certs = PcapTest::Certs->new();

$certs->leaf('pcap', names => [ 'pcap.sys.test', 'localhost' ]);

my $cf = PcapTest::CfStandIn->new(certs => $certs);
my $api = PcapTest::StandIn->new(certs => $certs, port => 443,
    cert => 'pcap', script => sub {
    my ($c, $r) = @_;

    return $c->usual(2, 10, 'complete') if $r->{group} ne 'guid-six';

    $c->begin();
    $c->chunk(PcapTest::StandIn::head(6));
    $c->chunk(PcapTest::StandIn::packets(6, 12));
    $c->wait_delete(10);
    $c->chunk(PcapTest::StandIn::tail(6, 12, 'stopped'));
    $c->end(Status => 'stopped', Packets => 12, Dropped => 0);
});
my $old = PcapTest::CfStandIn::jwt(exp => 1, sub => 'OLD-SECRET');
my $guid = PcapTest::CfStandIn::app('my-app')->{guid};
my $secrets = qr/good-token|\Q$old\E|SECRET/;

# What must not be taken for a part of the query or a list; in UTF-8.
my $odd = "50% of, a + b \x{e4}\"&x=y/z?#";
my $odd_bytes = encode('UTF-8', $odd);

my ($run, $home, $config, $number);


# A home with a config as the cf CLI writes it, with keys it does not have.
# Options: access, refresh, and any of its keys.
sub config
{
    my (%o) = @_;

    my ($access, $refresh) = delete @o{qw(access refresh)};
    my %c = (Target => 'https://api.sys.test', SSLDisabled => 'false',
        Space => PcapTest::CfStandIn::SPACE, UAAGrantType => '',
        UAAOAuthClient => 'cf', UAAOAuthClientSecret => '', %o);

    $access = defined $access ? "bearer $access" : '';
    $refresh = '' if !defined $refresh;
    $home = work_dir() . '/home' . ++$number;
    mkdir $home;
    mkdir "$home/.cf";
    $config = "$home/.cf/config.json";
    spew($config, <<"JSON" =~ s/\n\z//r);
{
  "Zebra": "kept first",
  "AccessToken": "$access",
  "APIVersion": "3.180.0",
  "AsyncTimeout": 0,
  "AuthorizationEndpoint": "https://login.sys.test",
  "ColorEnabled": "",
  "ConfigVersion": 4,
  "OrganizationFields": {
    "GUID": "09000000-0000-4000-8000-000000000001",
    "Name": "acme"
  },
  "PluginRepos": [
    {
      "Name": "CF-Community",
      "URL": "https://plugins.cloudfoundry.org"
    }
  ],
  "RefreshToken": "$refresh",
  "SpaceFields": {
    "GUID": "$c{Space}",
    "Name": "dev",
    "AllowSSH": true
  },
  "SSLDisabled": $c{SSLDisabled},
  "Target": "$c{Target}",
  "UAAGrantType": "$c{UAAGrantType}",
  "UAAOAuthClient": "$c{UAAOAuthClient}",
  "UAAOAuthClientSecret": "$c{UAAOAuthClientSecret}",
  "Future": {
    "deep": [
      1,
      1.5,
      "\\u00e4"
    ]
  },
  "A": null
}
JSON
    chmod 0644, $config;

    return $config;
}


sub env
{
    my (%o) = @_;

    return (CF_HOME => $home, PCAP_TOKEN => undef, PCAP_API => undef,
        PCAP_CA => undef, SSL_CERT_FILE => $certs->file('ca.crt'), %o);
}


sub cf
{
    my ($args, %o) = @_;

    my %env = env(%{ delete $o{env} || {} });

    $run = cli($api, [ 'cf', @$args ], %o, env => \%env);

    return $run;
}


sub like_usual
{
    my ($name) = @_;

    is($run->{code}, 0, "$name: exit code") or diag($run->{stderr});
    unlike($run->{stderr} . $run->{stdout}, $secrets, "$name: no secrets");
}


# The config with other tokens, and nothing else changed.
sub is_config
{
    my ($before, $access, $refresh, $name) = @_;

    $before =~ s/("AccessToken": ")[^"]*/$1bearer $access/;
    $before =~ s/("RefreshToken": ")[^"]*/$1$refresh/;
    $before =~ s/\\u00e4/\xc3\xa4/;
    is(slurp($config), $before, $name);
}


sub asked { return scalar $cf->events('token') }

# --- a token that is good ------------------------------------------------

config(access => 'good-token', refresh => 'REFRESH-SECRET');
my $before = slurp($config);

cf([ '-v', '--json', 'my-app', '--index', 0, '--index', '2', '--process',
    'worker', '-f', 'tcp', '-i', 'lo' ]);
like_usual('stored token');
is(slurp($config), $before, 'the config is not touched');
is(asked(), 0, 'nor is the UAA asked');
is($run->{json}{packets}, 10, 'a capture');
is_deeply([ map { "$_->[0]=$_->[1]" }
    @{ ($api->events('capture'))[-1]{form} } ], [ 'format=pcapng', 'index=0',
    'index=2', 'process=worker', 'filter=tcp', 'interface=lo' ],
    'what the API is asked for');
is(($api->events('capture'))[-1]{group}, $guid, 'of the app');
is(($api->events('request'))[-1]{path}, "/v1/capture/cf/$guid", 'by its guid');
is_deeply([ map { $_->{path} } $api->events('request') ],
    [ '/v1/status', "/v1/capture/cf/$guid" ],
    'at pcap.SYSTEM_DOMAIN, which is asked without a token first');
like($run->{stderr}, qr/^app my-app, space dev, org acme, at api.sys.test$/m,
    'says where');
like(join(' ', cli_files($run)), qr/^cf-my-app-\d+T\d+Z\.pcapng$/,
    'the name of the file');

cf([ 'my-app', '-o', 'x' ], env => { HOME => $home, CF_HOME => undef });
like_usual('HOME');

# --- which app -----------------------------------------------------------

$cf->tell(apps => [ map { PcapTest::CfStandIn::app($_->[0], guid => $_->[1]) }
    [ 'MY-APP', 'guid-upper' ], [ 'my-app', 'guid-exact' ],
    [ 'My-App', 'guid-mixed' ], [ 'Other', 'guid-other' ],
    [ $odd, 'guid-odd' ] ]);

for my $case ([ 'my-app', 'guid-exact' ], [ 'MY-APP', 'guid-upper' ],
    [ 'oTHER', 'guid-other' ],
    [ $odd_bytes, 'guid-odd' ])
{
    cf([ $case->[0], '-o', 'x' ]);
    like_usual($case->[0]);
    is(($api->events('capture'))[-1]{group}, $case->[1], 'which one');
}

is_deeply(($cf->events('apps'))[-1]{names},
    [$odd], 'one name, as it was typed');

cf(['nobody']);
is($run->{code}, 1, 'no such app');
like($run->{stderr}, qr/no app nobody in the space dev; `cf apps` lists/,
    'words');

for my $bad ('', "a\nb", 'x' x 1001) {
    cf([$bad]);
    is($run->{code}, 2, 'no name: ' . length $bad);
}

for my $args ([ 'x', '--index', '-1' ], [ 'x', '--index', '1x' ],
    [ 'x', '--process', 'a/b' ], [ 'x', '--instance', 'web/0' ], [ 'x', 'y' ],
    [], [ 'x', '-d', 'y' ])
{
    cf($args);
    is($run->{code}, 2, "usage: @$args");
}

# --- what the Cloud Controller may say ------------------------------------

for my $case (
    [ { status => 403, error => { errors => [ { code => 10003, title =>
        'CF-NotAuthorized', detail => "not \e[2Jyou" } ] } }, 4,
        qr/refuses \(HTTP 403\): not \?\[2Jyou/ ],
    [ { status => 404, error => 'no JSON' }, 1, qr/404\): without a word why/ ],
    [ { status => 503, error => { errors => 'x' } }, 1, qr/HTTP 503/ ],
    [ { status => 302, error => {} }, 1, qr/HTTP 302/ ],
    [ { list => { resources => {} } }, 1, qr/with a list of apps/ ],
    [ { list => [] }, 1, qr/with a list of apps/ ],
    [ { list => { resources => [ 1, undef, {}, { name => 'my-app' } ] } }, 1,
        qr/no app my-app/ ],
    [ { list => { resources => [ { name => 'my-app', guid => '../x' } ] } },
        1, qr/a guid that is none/ ],
    [ { list => { resources => [ { name => 'my-app', guid => 'x' x 65 } ] } },
        1, qr/a guid that is none/ ],
    [ { list => { resources => [], more => 'x' x 4_200_000 } }, 1,
        qr/no answer from the Cloud Controller/ ])
{
    my ($answer, $code, $words) = @$case;
    my $captures = () = $api->events('capture');

    $cf->tell(%$answer);
    cf([ '-v', 'my-app' ]);
    is($run->{code}, $code, "answer: $words");
    like($run->{stderr}, $words, 'words');
    unlike($run->{stderr}, $secrets, 'no secrets');
    is_deeply([ cli_files($run) ], [], 'no file');
    is(scalar(my @now = $api->events('capture')), $captures, 'no capture');
}

$cf->tell();

# --- a token that has ended ------------------------------------------------

$cf->tell(refresh => { 'REFRESH-SECRET' => { access_token => 'good-token',
    refresh_token => 'NEXT-SECRET', token_type => 'bearer',
    expires_in => 599 } });

config(access => $old, refresh => 'REFRESH-SECRET');
$before = slurp($config);
cf([ '-v', 'my-app' ]);
like_usual('expired');
is_config($before, 'good-token', 'NEXT-SECRET',
    'new tokens; order, unknown keys and layout are kept');
is((stat $config)[2] & 0777, 0600, 'mode');
is_deeply([ map { s{.*/}{}r } glob "$home/.cf/*" ],
    [ 'config.json', 'config.json.lock' ], 'nothing else is left');
is(scalar(grep { ($_->{token} || '') eq $old } $cf->events('apps')), 0,
    'what has ended is not sent');
is(($cf->events('token'))[-1]{client}, 'cf', 'as the client cf');
is((grep { $_->{path} eq '/oauth/token' } $cf->events('request'))[-1]{host},
    'uaa.sys.test', 'at links.uaa');

$cf->tell(root => { links => { login => { href => 'https://login.sys.test' },
    uaa => undef } });
config(access => $old, refresh => 'REFRESH-SECRET');
cf(['my-app']);
like_usual('no links.uaa');
is((grep { $_->{path} eq '/oauth/token' } $cf->events('request'))[-1]{host},
    'login.sys.test', 'at links.login');

# the Cloud Controller knows better; and an empty refresh token
$cf->tell(refresh => { 'REFRESH-SECRET' => { access_token => 'good-token',
    refresh_token => '', token_type => 'bearer' } });
config(access => 'STALE-SECRET', refresh => 'REFRESH-SECRET');
rename $config, "$config.real" or die;
symlink "$config.real", $config or die;
cf(['my-app']);
like_usual('the Cloud Controller says 401');
ok(-l $config, 'a link is still a link');
like(slurp($config), qr/"RefreshToken": "REFRESH-SECRET"/,
    'an empty one is not kept');

# the API refuses what the Cloud Controller takes: once more, but only once
$cf->tell(valid => [ 'good-token', 'EARLY-SECRET' ]);
config(access => 'EARLY-SECRET', refresh => 'REFRESH-SECRET');
cf([ 'my-app', '-o', 'x' ]);
like_usual('the API says 401');

$cf->tell(refresh => { 'REFRESH-SECRET' => { access_token => 'EARLY-SECRET',
    token_type => 'bearer' } });
config(access => 'EARLY-SECRET', refresh => 'REFRESH-SECRET');
my $asked = asked();
cf(['my-app']);
is($run->{code}, 4, 'refused again');
is(asked() - $asked, 1, 'asked once');
unlike($run->{stderr}, $secrets, 'no secrets');

$cf->tell(refresh => { 'REFRESH-SECRET' => { access_token => 'STALE-SECRET',
    token_type => 'bearer' } });
config(access => $old, refresh => 'REFRESH-SECRET');
cf(['my-app']);
is($run->{code}, 4, 'fresh, but refused');
like($run->{stderr}, qr/the token is refused, though it is fresh/, 'words');

# --- two at once -----------------------------------------------------------

$cf->tell(valid => ['good-token'], delay => 0.3, refresh => {
    'REFRESH-SECRET' => { access_token => 'good-token', refresh_token =>
    'NEXT-SECRET', token_type => 'bearer' } });
config(access => $old, refresh => 'REFRESH-SECRET');
$asked = asked();

my @both = map { cli_start($api, [ 'cf', 'my-app', '-o', 'x' ],
    env => { env() }) } 1 .. 2;

for my $one (@both) {
    $run = cli_end($one);
    like_usual('one of two');
}

is(asked() - $asked, 1, 'a refresh token is used once');
$cf->tell(delay => 0);

# the user has logged in at another one in the meantime
config(access => $old, refresh => 'REFRESH-SECRET');
spew("$config.lock", '');
open my $lock, '+<', "$config.lock" or die;
flock $lock, LOCK_EX or die;
$asked = asked();

my $started = cli_start($api, [ 'cf', '-v', 'my-app' ], env => { env() });
wait_for(10, sub { slurp($started->{err}) =~ /refreshes the token: waiting/ });
my ($h, $c) = ($home, $config);
config(access => 'OTHER-SECRET', refresh => 'OTHER-SECRET',
    Target => 'https://api.elsewhere.test');
rename $config, $c or die;
($home, $config) = ($h, $c);
close $lock;
$run = cli_end($started);
is($run->{code}, 1, 'another Cloud Foundry');
like($run->{stderr}, qr/the cf CLI is logged in elsewhere by now/, 'words');
is(asked(), $asked, 'its tokens go nowhere');

# or did so, or logged out, while the UAA was asked: it is the user's config
for my $case (
    [ 'elsewhere', { access => 'OTHER-SECRET', refresh => 'OTHER-SECRET',
        Target => 'https://api.elsewhere.test' } ],
    [ 'elsewhere, by the same token', { access => $old, refresh =>
        'REFRESH-SECRET', Target => 'https://api.elsewhere.test' } ],
    [ 'another user', { access => 'OTHER-SECRET', refresh => 'OTHER-SECRET' } ],
    [ 'a client', { access => 'OTHER-SECRET', refresh => 'REFRESH-SECRET',
        UAAGrantType => 'client_credentials', UAAOAuthClient => 'ci' } ],
    [ 'logged out', {} ])
{
    my ($name, $now) = @$case;

    $cf->tell(delay => 0.5);
    config(access => $old, refresh => 'REFRESH-SECRET');
    $asked = asked();
    $started = cli_start($api, [ 'cf', '-v', 'my-app', '-o', 'x' ],
        env => { env() });
    ok(wait_for(10, sub { asked() > $asked }), "$name: the UAA is asked");
    ($h, $c) = ($home, $config);
    config(%$now);
    $before = slurp($config);
    rename $config, $c or die;
    ($home, $config) = ($h, $c);
    $run = cli_end($started);
    like_usual($name);
    is(slurp($config), $before, "$name: the config is left alone");
    like($run->{stderr}, qr/not kept in .*: its login has changed meanwhile$/m,
        'words');
    $cf->tell(delay => 0);
}

# --- the disk is full --------------------------------------------------------

my $full = work_dir() . '/full';

mkdir $full;
must('mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', $full);
config(access => $old, refresh => 'REFRESH-SECRET');
$before = slurp($config);
mkdir "$full/.cf";
spew("$full/.cf/config.json", $before);
spew("$full/.cf/config.json.lock", '');
system("cat /dev/zero > $full/filler 2>/dev/null");
cf(['my-app'], env => { CF_HOME => $full });
like_usual('no space for the config');
like($run->{stderr}, qr/refreshed token is not kept in .*: cannot write/,
    'words');
is(slurp("$full/.cf/config.json"), $before, 'it is as it was');
must('umount', $full);

# --- refusals ----------------------------------------------------------------

for my $case (
    [ 'invalid_token', 4, qr/log in with `cf login`/ ],
    [ { status => 400, error => "\e[2J" . 'x' x 500 }, 4, qr/\?\[2Jx/ ],
    [ { status => 503 }, 1, qr/UAA at uaa.sys.test answers HTTP 503/ ],
    [ { access_token => "a b" }, 1, qr/answers without a token/ ])
{
    my ($answer, $code, $words) = @$case;

    config(access => $old, refresh => 'REFRESH-SECRET');
    $before = slurp($config);
    $cf->tell(refresh => { 'REFRESH-SECRET' => $answer });
    cf([ '-v', 'my-app' ]);
    is($run->{code}, $code, "UAA: $words");
    like($run->{stderr}, $words, 'words');
    unlike($run->{stderr}, $secrets, 'no secrets');
    is(slurp($config), $before, 'the config is as it was');
}

for my $root ({ links => { uaa => { href => 'http://uaa.sys.test' } } },
    { links => { uaa => { href => 'https://x@uaa.sys.test' } } },
    { links => [] }, [ 1 ])
{
    config(access => $old, refresh => 'REFRESH-SECRET');
    $cf->tell(root => $root);
    $asked = asked();
    cf(['my-app']);
    is($run->{code}, 1, 'root: ' . encode_json($root));
    like($run->{stderr}, qr/the UAA's URL|does not answer as a Cloud C/,
        'words');
    is(asked(), $asked, 'no UAA is asked');
}

$cf->tell();

for my $case (
    [ { access => $old }, 4, qr/not logged in at api.sys.test: .*`cf login`/ ],
    [ {}, 4, qr/not logged in/ ],
    [ { access => 'good-token', Space => '' }, 2,
        qr/`cf target -o ORG -s SPACE`/ ],
    [ { access => 'good-token', Space => 'x&names=y' }, 2, qr/`cf target/ ],
    [ { access => 'good-token', Target => '' }, 2, qr/`cf api URL`/ ],
    [ { access => 'good-token', Target => 'http://api.sys.test' }, 2,
        qr/must begin with https/ ],
    [ { access => 'good-token', Target => 'https://127.0.0.2' }, 2,
        qr/127.0.0.2 tells no system domain; set PCAP_API or give -u/ ],
    [ { access => 'good-token', Target => 'https://localhost' }, 2,
        qr/tells no system domain/ ])
{
    config(%{ $case->[0] });
    cf(['my-app']);
    is($run->{code}, $case->[1], "config: $case->[2]") or diag($run->{stderr});
    like($run->{stderr}, $case->[2], 'words');
}

config();
unlink $config;
cf(['my-app']);
is($run->{code}, 2, 'no config');
like($run->{stderr}, qr/there is no .*config\.json: log in/, 'words');

for my $text ('', '[]', '{"AccessToken":"SECRET"', '{"a":1,"a":2}',
    '{"a":"' . 'x' x 1_048_600 . '"}')
{
    spew($config, $text);
    cf(['my-app']);
    is($run->{code}, 2, 'config: ' . substr $text, 0, 20);
    like($run->{stderr}, qr/config\.json: it is/, 'words');
    unlike($run->{stderr}, $secrets, 'no secrets');
}

cf(['my-app'], env => { CF_HOME => undef, HOME => undef });
is($run->{code}, 2, 'no home');

# --- other tokens ------------------------------------------------------------

$cf->tell(clients => { 'ci-client' => [ 'CI-SECRET', 'good-token' ] });
config(access => $old, UAAGrantType => 'client_credentials',
    UAAOAuthClient => 'ci-client', UAAOAuthClientSecret => 'CI-SECRET');
$before = slurp($config);
cf([ '-v', 'my-app' ]);
like_usual('a client');
is_config($before, 'good-token', '', 'its token is kept, as cf does');

config(access => 'STALE-SECRET', refresh => 'REFRESH-SECRET');
cf([ 'my-app', '-o', 'x' ], env => { PCAP_TOKEN => 'good-token' });
like_usual('PCAP_TOKEN');
cf([ 'my-app', '--token', 'STALE-SECRET' ]);
is($run->{code}, 4, 'a given token is not refreshed');
like($run->{stderr}, qr/the token is refused$/m, 'words');
unlike($run->{stderr}, $secrets, 'no secrets');

# --- where the API is --------------------------------------------------------

config(access => 'good-token');

for my $case ([ [ '-u', 'https://localhost' ], {} ],
    [ [], { PCAP_API => 'https://localhost' } ])
{
    my $n = () = $api->events('request');

    cf([ 'my-app', '-o', 'x', @{ $case->[0] } ], env => $case->[1]);
    like_usual('an API that is named');
    is(scalar(my @now = $api->events('request')) - $n, 1, 'is not probed');
}

# nobody answers there
$cf->hosts('127.0.0.3');
cf(['my-app']);
is($run->{code}, 1, 'none in this Cloud Foundry');
like($run->{stderr}, qr{no \s pcap \s API \s answers \s at
    \s https://pcap\.sys\.test \s .* would \s be \s in \s this \s Cloud}x,
    'words');
$cf->hosts('127.0.0.1');

# --- more than five ----------------------------------------------------------

$cf->tell(apps => [ PcapTest::CfStandIn::app('six', guid => 'guid-six') ]);
$run = on_terminal($api, [ 'cf', 'six', '-o', 'x' ],
    env => { env(map { $_ => '' } qw(PCAP_TOKEN PCAP_API PCAP_CA)) },
    keys => [ [ qr/Go on\? \[y\/N\] /, "n\n" ] ]);
is($run->{code}, 0, 'six instances') or diag($run->{screen});
like($run->{screen}, qr/web\/5  eth0.*capture of 6 instances has begun/s,
    'are shown, and asked about');
is(scalar(my @deletes = $api->events('delete')), 1, 'n ends it');
$cf->tell(apps => [ PcapTest::CfStandIn::app('my-app') ]);

# --- whom it trusts ----------------------------------------------------------

cf(['my-app'], env => { SSL_CERT_FILE => undef });
is($run->{code}, 1, 'nobody by default');
cf(['my-app'], env => { SSL_CERT_FILE => $certs->file('wrong-ca.crt') });
is($run->{code}, 1, 'not another CA');
like($run->{stderr}, qr/no pcap API answers .*(?:SSL|certificate)/, 'words');

cf([ 'my-app', '-o', 'x', '--ca-cert', $certs->file('ca.crt') ],
    env => { SSL_CERT_FILE => $certs->file('wrong-ca.crt') });
like_usual('--ca-cert');

$certs->leaf('pcap', names => ['pcap.sys.test'],
    issuer => $certs->{wrong_ca});
my $apart = PcapTest::StandIn->new(certs => $certs, port => 8445,
    cert => 'pcap', script => sub { $_[0]->usual(1, 10, 'complete') });
my @apart = ('my-app', '-o', 'x', '-u', 'https://pcap.sys.test:8445');

cf(\@apart, env => { PCAP_CA => $certs->file('wrong-ca.crt') });
like_usual('PCAP_CA is the API\'s alone');
cf([ @apart, '-k' ]);
like_usual('-k');
like($run->{stderr}, qr/^pcap-cli: WARNING: the API's certificate is not v/m,
    'is loud');
cf(\@apart);
is($run->{code}, 1, 'without both');

config(access => $old, refresh => 'REFRESH-SECRET', SSLDisabled => 'true');
$cf->tell(refresh => { 'REFRESH-SECRET' => { access_token => 'good-token',
    token_type => 'bearer' } });
cf([ @apart, '-q' ], env => { SSL_CERT_FILE => undef });
like_usual('SSLDisabled');
like($run->{stderr}, qr/^pcap-cli: WARNING: no certificate is verified, beca/m,
    'is loud');
$apart->stop();

is_deeply([ $cf->events('died'), $api->events('died') ], [],
    'nothing odd was asked') or diag(explain([ $cf->events('died') ]));
$cf->stop();
$api->stop();
finish();
