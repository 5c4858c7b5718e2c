# pcap-cli bosh: takes over where the bosh CLI is logged in. Stored and
# refreshed tokens, clients, the config file written back, refusals of
# Director and UAA, where the API is, and what is shown and asked.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Fcntl qw(:flock);
use IO::Socket::INET;
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::BoshStandIn;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::Router;
use PcapTest::StandIn;

my $certs = PcapTest::Certs->new();

$certs->leaf('director', names => ['localhost'], ips => ['127.0.0.1'],
    issuer => $certs->{wrong_ca});

# Director and UAA have one CA, the API another.
my $ca = slurp($certs->file('wrong-ca.crt'));
my $director = PcapTest::BoshStandIn->new(certs => $certs);
my $api = PcapTest::StandIn->new(certs => $certs,
    script => sub { $_[0]->usual(2, 10, 'complete') });
my $old = PcapTest::BoshStandIn::jwt(exp => 1, sub => 'OLD-SECRET');
my $secrets = qr/good-token|\Q$old\E|SECRET/;

my ($run, $config, $number);


# Writes a config file and returns its name. tokens: access, refresh, url,
# more (lines of the entry).
sub config
{
    my (%o) = @_;

    my $dir = work_dir() . '/home' . ++$number;
    my $pem = $ca =~ s/^/    /gmr;

    mkdir $dir;
    $config = "$dir/config";
    spew($config, "environments:\n"
        . "- url: https://elsewhere:25555\n  alias: other\n"
        . "  access_token: OTHER-SECRET\n"
        . '- url: ' . ($o{url} || 'https://localhost:25555')
        . "\n  alias: prod\n"
        . ($o{no_ca} ? '' : "  ca_cert: |\n$pem")
        . "  future: [kept, {also: this}]\n"
        . ($o{access} ? "  access_token_type: bearer\n"
            . "  access_token: $o{access}\n" : '')
        . ($o{refresh} ? "  refresh_token: $o{refresh}\n" : '')
        . ($o{more} || '') . "unknown: {key: 'kept'}\n");
    chmod 0644, $config;

    return $config;
}


sub bosh
{
    my ($args, %o) = @_;

    my %env = (BOSH_CONFIG => $config, BOSH_ENVIRONMENT => 'prod',
        BOSH_DEPLOYMENT => 'cf', PCAP_TOKEN => undef, %{ $o{env} || {} });

    delete $o{env};
    $run = cli($api, [ 'bosh', @$args ], %o, env => \%env);

    return $run;
}


# What stands in the config, as lines of `key: value` of this environment.
sub entry
{
    my ($key) = @_;

    my ($text) = slurp($config) =~ /alias: prod\n(.*)/s;

    return ($text || '') =~ /^  \Q$key\E: "?([^"\n]*)"?$/m ? $1 : undef;
}


sub like_usual
{
    my ($name) = @_;

    is($run->{code}, 0, "$name: exit code") or diag($run->{stderr});
    unlike($run->{stderr} . $run->{stdout}, $secrets, "$name: no secrets");
}

# --- a token that is good -------------------------------------------------

config(access => 'good-token', refresh => 'REFRESH-SECRET');
my $before = slurp($config);

bosh([ '-v', '--json', 'router', 'diego-cell/1', '-f', 'tcp' ]);
like_usual('stored token');
is(slurp($config), $before, 'the config is not touched');
is(scalar $director->events('token'), 0, 'nor is the UAA asked');
is($run->{json}{packets}, 10, 'a capture');
is_deeply([ map { "$_->[0]=$_->[1]" }
    @{ ($api->events('capture'))[-1]{form} } ],
    [ 'format=pcapng', 'instance=router', 'instance=diego-cell/1',
    'filter=tcp' ], 'what the API is asked for');
is(($api->events('capture'))[-1]{group}, 'cf', 'of the deployment');
like($run->{stderr}, qr/^environment https:\/\/localhost:25555, deployment c/m,
    'says where');
like($run->{stderr}, qr{^  router/00000006-\S+  10\.0\.0\.10$}m, 'and what');
unlike($run->{stderr}, qr{diego-cell/0000000a-0000-4000-8000-000000000000},
    'but not what was not asked for');
like(join(' ', cli_files($run)), qr/^bosh-cf-\d+T\d+Z\.pcapng$/,
    'the name of the file');

bosh([ 'ROUTER' ]);
is($run->{code}, 1, 'no such group');
like($run->{stderr}, qr/cf has no instance ROUTER/, 'words');

bosh([ '-e', 'https://localhost:25555', '-d', 'cf', '-g', 'router', '-n',
    '-l', '96', '--file', 'x' ], env => { BOSH_ENVIRONMENT => 'nope',
    BOSH_DEPLOYMENT => 'nope' });
like_usual('by URL, flags of others');
is_deeply([ cli_files($run) ], ['x'], 'the file');

bosh([ 'nobody/x' ]);
is($run->{code}, 1, 'no such instance');
bosh([ 'diego-cell/1', 'diego-cell/00000A-x' ]);
is($run->{code}, 1, 'nor this');
bosh([ 'diego-cell/0000000A-0000-4000-8000-000000000001' ]);
is($run->{code}, 1, 'an id in capitals is another one, as for the API');
like($run->{stderr}, qr{cf has no instance diego-cell/0000000A-}, 'words');
bosh([ 'diego-cell/0000000a-0000-4000-8000-000000000001', 'diego-cell/00' ]);
like_usual('an id, an index with a zero more');

# --- a token that has ended -----------------------------------------------

config(access => $old, refresh => 'REFRESH-SECRET');
$director->tell(refresh => { 'REFRESH-SECRET' => {
    access_token => 'good-token', refresh_token => 'NEXT-SECRET',
    token_type => 'bearer', expires_in => 599 } });

bosh(['-v']);
like_usual('expired');
is(entry('access_token'), 'good-token', 'the new token is kept');
is(entry('refresh_token'), 'NEXT-SECRET', 'with the next one');
like(slurp($config), qr/future: \[kept, \{also: this\}\]/, 'unknown keys');
like(slurp($config), qr/unknown: \{key: 'kept'\}/, 'also at the top');
like(slurp($config), qr/alias: other\n  access_token: OTHER-SECRET/,
    'other environments');
like(slurp($config), qr/ca_cert: \|\n    -----BEGIN/, 'and the CA');
is((stat $config)[2] & 0777, 0600, 'mode');
is(scalar(grep { $_->{token} eq $old } $director->events('instances')), 0,
    'what has ended is not sent');
is(($director->events('token'))[-1]{client}, 'bosh_cli', 'as bosh_cli');

# opaque, so that only the Director knows; and an empty refresh token
config(access => 'STALE-SECRET', refresh => 'REFRESH-SECRET');
$director->tell(refresh => { 'REFRESH-SECRET' => {
    access_token => 'good-token', refresh_token => '',
    token_type => 'bearer' } });
bosh([]);
like_usual('the Director says 401');
is(entry('access_token'), 'good-token', 'the new token is kept');
is(entry('refresh_token'), 'REFRESH-SECRET', 'an empty one is not');

# a link stays a link
config(access => $old, refresh => 'REFRESH-SECRET');
rename $config, "$config.real" or die;
symlink "$config.real", $config or die;
bosh([]);
like_usual('a linked config');
ok(-l $config, 'is still a link');
is(entry('access_token'), 'good-token', 'and what it names is new');

# the API refuses what the Director takes: once more with a fresh one
$director->tell(valid => [ 'good-token', 'EARLY-SECRET' ]);
config(access => 'EARLY-SECRET', refresh => 'REFRESH-SECRET');
bosh([ '-o', 'x', '--json' ]);
like_usual('the API says 401');
is($run->{json}{status}, 'complete', 'and takes the fresh one');
is(entry('access_token'), 'good-token', 'which is kept');

# but only once
$director->tell(refresh => { 'REFRESH-SECRET' => {
    access_token => 'EARLY-SECRET', token_type => 'bearer' } });
config(access => 'EARLY-SECRET', refresh => 'REFRESH-SECRET');
my $asked = () = $director->events('token');
bosh([]);
is($run->{code}, 4, 'refused again');
like($run->{stderr}, qr/Unauthorized \(HTTP 401\)/, 'words');
is(scalar($director->events('token')) - $asked, 1, 'asked once');
unlike($run->{stderr}, $secrets, 'no secrets');

$director->tell(valid => ['good-token']);

# --- the disk is full, the folder cannot be written -----------------------

my $full = work_dir() . '/full';

mkdir $full;
must('mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', $full);
$director->tell(refresh => { 'REFRESH-SECRET' => {
    access_token => 'good-token', refresh_token => '',
    token_type => 'bearer' } });
config(access => $old, refresh => 'REFRESH-SECRET');
$before = slurp($config);
spew("$full/config", $before);
spew("$full/config.lock", '');
system("cat /dev/zero > $full/filler 2>/dev/null");
bosh([], env => { BOSH_CONFIG => "$full/config" });
like_usual('no space for the config');
like($run->{stderr}, qr/refreshed token is not kept in .*: cannot write.*No s/,
    'words');
is(slurp("$full/config"), $before, 'it is as it was');
is(join(' ', sort map { s{.*/}{}r } glob "$full/*"),
    'config config.lock filler', 'nothing is left beside it');

system('mount', '-o', 'remount,ro', $full);
bosh([], env => { BOSH_CONFIG => "$full/config" });
is($run->{code}, 1, 'no place for the lock');
like($run->{stderr}, qr/has expired, and a new one could not be kept/,
    'words');
must('umount', $full);

# --- two at once ----------------------------------------------------------

$director->tell(delay => 0.5, refresh => { 'REFRESH-SECRET' => {
    access_token => 'good-token', refresh_token => 'NEXT-SECRET',
    token_type => 'bearer' } });
config(access => $old, refresh => 'REFRESH-SECRET');
$asked = () = $director->events('token');

my @both = map { cli_start($api, [ 'bosh', '-o', 'x' ], env => {
    BOSH_CONFIG => $config, BOSH_ENVIRONMENT => 'prod',
    BOSH_DEPLOYMENT => 'cf', PCAP_TOKEN => undef }) } 1 .. 2;

for my $one (@both) {
    $run = cli_end($one);
    like_usual('one of two');
}

is(scalar($director->events('token')) - $asked, 1,
    'a refresh token is used once');
$director->tell(delay => 0);

# before it was asked, its name was given to another Director
config(access => $old, refresh => 'REFRESH-SECRET');
spew("$config.lock", '');
open my $lock, '+<', "$config.lock" or die;
flock $lock, LOCK_EX or die;
$asked = () = $director->events('token');
$run = cli_start($api, [ 'bosh', '-v' ], env => { BOSH_CONFIG => $config,
    BOSH_ENVIRONMENT => 'prod', BOSH_DEPLOYMENT => 'cf',
    PCAP_TOKEN => undef });
ok(wait_for(10, sub { slurp($run->{err}) =~ /the token: waiting/ }),
    'it waits for the lock');
spew($config, slurp($config) =~ s/localhost:25555/localhost:25556/r);
close $lock;
cli_end($run);
is($run->{code}, 1, 'the name is another Director\'s');
like($run->{stderr}, qr/is another Director's by now/, 'words');
is(scalar(my @none = $director->events('token')), $asked,
    'its tokens go nowhere');

# the user has logged in or out while the UAA was asked
for my $case ([ 'another user', { access => 'OTHER-SECRET',
        refresh => 'OTHER-SECRET' } ], [ 'logged out', {} ],
    [ 'another Director', { access => $old, refresh => 'REFRESH-SECRET',
        url => 'https://localhost:25556' } ])
{
    my ($name, $now) = @$case;

    $director->tell(delay => 0.5);
    config(access => $old, refresh => 'REFRESH-SECRET');
    $asked = () = $director->events('token');

    my $started = cli_start($api, [ 'bosh', '-v', '-o', 'x' ], env => {
        BOSH_CONFIG => $config, BOSH_ENVIRONMENT => 'prod',
        BOSH_DEPLOYMENT => 'cf', PCAP_TOKEN => undef });

    ok(wait_for(10, sub { $director->events('token') > $asked }),
        "$name: the UAA is asked");

    my $c = $config;

    config(%$now);
    $before = slurp($config);
    rename $config, $c or die;
    $config = $c;
    $run = cli_end($started);
    like_usual($name);
    is(slurp($config), $before, "$name: the config is left alone");
    like($run->{stderr}, qr/not kept in .*: its login has changed meanwhile$/m,
        'words');
    $director->tell(delay => 0);
}

# --- the UAA refuses ------------------------------------------------------

for my $case (
    [ 'invalid_token', 4, qr/log in with `bosh -e prod login`/ ],
    [ { status => 400, error => 'invalid_grant' }, 4, qr/invalid_grant/ ],
    [ { status => 401, error => "\e[2J" . 'x' x 500 }, 4, qr/\?\[2Jx/ ],
    [ { status => 401, error => ['x'] }, 4, qr/no reason/ ],
    [ { status => 503 }, 1, qr/UAA at localhost answers HTTP 503/ ],
    [ { access_token => '' }, 1, qr/answers without a token/ ],
    [ { access_token => "a b" }, 1, qr/answers without a token/ ],
    [ { access_token => ['x'] }, 1, qr/answers without a token/ ],
    [ { access_token => 'x', token_type => 'mac' }, 1, qr/without a token/ ])
{
    my ($answer, $code, $words) = @$case;

    config(access => $old, refresh => 'REFRESH-SECRET');
    $before = slurp($config);
    $director->tell(refresh => { 'REFRESH-SECRET' => $answer });
    bosh(['-v']);

    my $name = ref $answer ? join ' ', map { ref $_ ? '[]' : substr $_, 0, 20 }
        map { $answer->{$_} } sort keys %$answer : $answer;

    $name =~ s/[^ -~]/?/g;
    is($run->{code}, $code, "refused: $name");
    like($run->{stderr}, $words, 'words');
    unlike($run->{stderr}, $secrets, 'no secrets');
    unlike($run->{stderr}, qr/[^\n -~]/, 'plain');
    is(slurp($config), $before, 'the config is as it was');
    is_deeply([ cli_files($run) ], [], 'no file');
}

config(access => $old);
bosh([]);
is($run->{code}, 4, 'nothing to refresh with');
like($run->{stderr}, qr/not logged in .*`bosh -e prod login`/, 'words');
config();
bosh([]);
is($run->{code}, 4, 'not logged in at all');

# --- clients --------------------------------------------------------------

$director->tell(clients => { 'ci client' => [ 'CI:SECRET', 'good-token' ] });
config();
$before = slurp($config);

bosh([ '-v', '--client', 'ci client', '--client-secret', 'CI:SECRET' ]);
like_usual('a client');
is(slurp($config), $before, 'its token is not kept');

bosh(['-v'], env => { BOSH_CLIENT => 'ci client',
    BOSH_CLIENT_SECRET => 'CI:SECRET' });
like_usual('a client by variables');

bosh([], env => { BOSH_CLIENT => 'ci client',
    BOSH_CLIENT_SECRET => 'WRONG-SECRET' });
is($run->{code}, 4, 'a wrong secret');
like($run->{stderr}, qr/refuses the client ci client \(unauthorized\)/,
    'words');
unlike($run->{stderr}, $secrets, 'no secrets');

config(more => "  username: ci client\n  password: 'CI:SECRET'\n");
bosh([]);
like_usual('a client that the config names');

bosh(['--client-secret', 'CI:SECRET'], env => { PCAP_TOKEN => undef,
    BOSH_ENVIRONMENT => 'https://localhost:25555', BOSH_CONFIG => '/none',
    BOSH_CA_CERT => $ca, BOSH_CLIENT => 'ci client' });
like_usual('no config at all, the CA as a value');

$director->tell(delay => 2);

my $started = cli_start($api, [ 'bosh', '--client', 'ci client',
    '--client-secret', 'CI:SECRET', '--token', 'OTHER-SECRET' ], env => {
    BOSH_CONFIG => $config, BOSH_ENVIRONMENT => 'prod',
    BOSH_DEPLOYMENT => 'cf', PCAP_TOKEN => undef });
my $n = () = $director->events('request');
wait_for(5, sub { scalar($director->events('request')) > $n });
my $line = slurp("/proc/$started->{pid}/cmdline");
like($line, qr/ci client/, 'the process list shows the client');
unlike($line, $secrets, 'but no secret');
kill 'TERM', $started->{pid};
cli_end($started);
$director->tell(delay => 0);

# --- a token by hand ------------------------------------------------------

config(access => $old, refresh => 'REFRESH-SECRET');
bosh([], env => { PCAP_TOKEN => 'good-token' });
like_usual('PCAP_TOKEN');
bosh([], env => { PCAP_TOKEN => 'BAD-SECRET' });
is($run->{code}, 4, 'is not refreshed');

# --- the Director refuses -------------------------------------------------

config(access => 'good-token', refresh => 'REFRESH-SECRET');
$director->tell(valid => [], read_only => ['good-token']);
$asked = () = $director->events('token');
bosh([]);
is($run->{code}, 4, 'no right');
like($run->{stderr}, qr/HTTP 401\): Require one of the scopes: .*\?\[2J/,
    'words');
is(scalar($director->events('token')), $asked, 'no refresh helps');
$director->tell(valid => ['good-token'], read_only => []);

bosh([ '-d', 'nope' ]);
is($run->{code}, 1, 'no such deployment');
like($run->{stderr}, qr/HTTP 404\): Deployment 'nope' doesn't exist/,
    'words');

for my $case (
    [ { info => 500 }, qr/does not answer as a Director does .*HTTP 500/ ],
    [ { body => '<html>hello' }, qr/does not answer as a Director/ ],
    [ { body => '[' x 100_000 }, qr/does not answer as a Director/ ],
    [ { body => '"' . 'x' x 5_000_000 }, qr/no answer from the Director/ ],
    [ { instances => { a => 1 } }, qr/not answer with a list of instances/ ],
    [ { instances => [] }, qr/cf has no instances/ ])
{
    my ($change, $words) = @$case;

    $director->tell(%$change);
    bosh([]);
    is($run->{code}, 1, "Director: @{[ %$change ]}" =~ s/(.{60}).*/$1/sr);
    like($run->{stderr}, $words, 'words');
    $director->tell(info => 200, body => undef, instances =>
        [ map { PcapTest::BoshStandIn::instance([ 'router', $_ ]) } 0 .. 1 ]);
}

# odd members are shown as unknown, never followed
$director->tell(instances => [ 1, [], { job => 1, id => {}, ips => 'x' },
    { job => "a\e[2J", id => 'x', cid => undef, ips => [ 1, "\e[2J" ] },
    { job => 'router', index => 'x', id => 'y', cid => 'v', ips => ["\e1"] }
]);
bosh([]);
like_usual('odd instances');
unlike($run->{stderr}, qr/[^\n -~]/, 'plain');
like($run->{stderr}, qr{a\?\[2J/x  no VM}, 'no VM');

for my $case (
    [ { type => 'basic', options => {} }, qr/names no UAA/ ],
    [ { type => 'uaa', options => { url => 'http://localhost/' } },
        qr/the UAA's URL must begin with https/ ],
    [ { type => 'uaa', options => { url => [] } }, qr/names no UAA/ ],
    [ [], qr/names no UAA/ ])
{
    my ($auth, $words) = @$case;

    config(access => $old, refresh => 'REFRESH-SECRET');
    $director->tell(auth => $auth);
    bosh([]);
    is($run->{code}, 1, 'UAA');
    like($run->{stderr}, $words, 'words');
}

$director->tell(auth => { type => 'uaa', options => {
    urls => ['https://localhost:25555/uaa'] } }, refresh => {
    'REFRESH-SECRET' => { access_token => 'good-token' } });
bosh([]);
like_usual('a list of UAAs');
$director->tell(auth => undef);

# --- where the API is, and whom it is trusted by --------------------------

config(access => 'good-token');

$api->stop();
$api = PcapTest::StandIn->new(certs => $certs, port => 9495,
    script => sub { $_[0]->usual(2, 10, 'complete') });
bosh([], env => { PCAP_API => undef });
like_usual('beside the Director, port 9495');

$api->stop();
$api = PcapTest::StandIn->new(certs => $certs, port => 9443,
    script => sub { $_[0]->usual(2, 10, 'complete') });

bosh([], env => { PCAP_API => undef });
is($run->{code}, 1, 'nobody there');
like($run->{stderr},
    qr/no pcap API answers at https:\/\/localhost:9495 .*PCAP_API or -u$/m,
    'words');

$director->tell(features => { pcap => { status => JSON::PP::true,
    extras => { url => 'https://localhost:9443' } } });
bosh([], env => { PCAP_API => undef });
like_usual('as the Director says');

bosh([ '-u', 'https://localhost:1' ], env => { PCAP_API => undef });
is($run->{code}, 1, '-u wins');
like($run->{stderr}, qr/no answer from localhost/, 'words');

for my $url ('http://localhost:9443', "https://x\e/", 'https://u:p@x', {}) {
    $director->tell(features => { pcap => { extras => { url => $url } } });
    bosh([], env => { PCAP_API => undef });
    is($run->{code}, 1, 'a bad address') or diag($run->{stderr});
    unlike($run->{stderr}, qr/[^\n -~]/, 'plain');
}

$director->tell(features => {});

# the API's CA is not the Director's: PCAP_CA, or the system, or nothing
bosh([], env => { PCAP_CA => undef });
is($run->{code}, 1, 'an API that nobody vouches for');
like($run->{stderr}, qr/certificate/, 'words');
bosh(['-k'], env => { PCAP_CA => undef });
is($run->{code}, 0, '-k');
like($run->{stderr}, qr/WARNING: .* not verified/, 'is loud');

my $dir = work_dir() . '/capath';
mkdir $dir;
must('sh', '-c', "cp $certs->{dir}/ca.crt $dir/ca.pem && openssl rehash $dir"
    . " && mount --bind $dir /etc/ssl/certs");
bosh([], env => { PCAP_CA => undef });
like_usual('the system vouches for the API');
bosh([], env => { PCAP_CA => undef,
    SSL_CERT_FILE => $certs->file('wrong-ca.crt') });
like_usual('its folder beside a file of other CAs');
config(access => 'good-token', no_ca => 1);
bosh([]);
is($run->{code}, 1, 'but not for the Director');
like($run->{stderr}, qr/no answer from the Director.*certificate/, 'words');
bosh([ '-k' ]);
is($run->{code}, 1, 'and -k is not for the Director');
must('umount', '/etc/ssl/certs');

# the same without a folder of hashed names: a file, wherever it is
delete @ENV{qw(SSL_CERT_FILE CURL_CA_BUNDLE)};
config(access => 'good-token');
for my $name (qw(SSL_CERT_FILE CURL_CA_BUNDLE)) {
    bosh([], env => { PCAP_CA => undef, $name => $certs->file('ca.crt') });
    like_usual("$name vouches for the API");
}
bosh([], env => { PCAP_CA => undef, SSL_CERT_FILE => '/none' });
is($run->{code}, 1, 'a file that is not there does not');
bosh([], env => { PCAP_CA => undef, SSL_CERT_FILE => '/dev/zero' });
is($run->{code}, 1, 'nor one without end');
bosh([ '-u', $api->url() . '/prod' ], env => { PCAP_API => undef });
is($run->{code}, 1, 'an environment that the API does not have');
config(access => 'good-token', no_ca => 1);

bosh([ '--ca-cert', $certs->file('wrong-ca.crt') ]);
like_usual('--ca-cert, a file');
bosh([ '--ca-cert', '/none' ]);
is($run->{code}, 2, 'which is not there');
config(access => 'good-token');
bosh([], env => { BOSH_CA_CERT => slurp($certs->file('ca.crt')) });
is($run->{code}, 1, 'BOSH_CA_CERT wins over the config');

# --- proxies --------------------------------------------------------------

# Director, UAA (the token has run out) and API: all through it
my $socks = PcapTest::Router->new(socks => 1, port => 8501);

config(access => 'old-token', refresh => 'REFRESH-SECRET');
$director->tell(refresh => { 'REFRESH-SECRET' => {
    access_token => 'good-token', refresh_token => 'NEXT-SECRET',
    token_type => 'bearer', expires_in => 600 } });
bosh([ 'router' ], env => { BOSH_ALL_PROXY => 'socks5://127.0.0.1:8501' });
is($run->{code}, 0, 'a capture by SOCKS 5') or diag($run->{stderr});
is(join(' ', sort { $a cmp $b } keys %{{ map { $_ => 1 }
    $socks->asked_for() }}), join(' ', sort { $a cmp $b } keys %{{
    map { ("localhost:$_" => 1) } 25555, $director->{uaa_port} || 25555,
    $api->{port} }}), 'Director, UAA and API, by name');
config(access => 'good-token', refresh => 'REFRESH-SECRET');

my $proxy = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
    or die;

$started = cli_start($api, ['bosh'], env => { BOSH_CONFIG => $config,
    BOSH_ENVIRONMENT => 'prod', BOSH_DEPLOYMENT => 'cf', PCAP_TOKEN => undef,
    BOSH_ALL_PROXY => 'socks5://127.0.0.1:' . $proxy->sockport() });
my $s = $proxy->accept();
my $bytes = '';
wait_for(5, sub { sysread $s, $bytes, 3, length $bytes; length $bytes > 2 });
is(unpack('C', $bytes), 5, 'SOCKS 5');
syswrite $s, "\5\0";
$bytes = '';
$s->blocking(0);
wait_for(5, sub { sysread $s, $bytes, 100, length $bytes;
    $bytes =~ /\x05\x01\x00.{7}/s });
like($bytes, qr/\x05\x01\x00\x03\x09localhost/s, 'the proxy looks the name up');
close $s;
$run = cli_end($started);
is($run->{code}, 1, 'the proxy refuses');

for my $case ([ 'ssh+socks5://u@h?private-key=k', qr/`ssh -N -D 1080/ ],
    [ 'http://h:1', qr/socks5:\/\/HOST:PORT is expected/ ])
{
    bosh([], env => { BOSH_ALL_PROXY => $case->[0] });
    is($run->{code}, 2, "proxy $case->[0]");
    like($run->{stderr}, $case->[1], 'words');
}

# --- usage ----------------------------------------------------------------

for my $case (
    [ { BOSH_ENVIRONMENT => undef }, 2, qr/Set BOSH_ENVIRONMENT or give -e/ ],
    [ { BOSH_DEPLOYMENT => undef }, 2, qr/Set BOSH_DEPLOYMENT or give -d/ ],
    [ { BOSH_DEPLOYMENT => '../x' }, 2, qr/BOSH_DEPLOYMENT: / ],
    [ { BOSH_ENVIRONMENT => 'https://u:p@x' }, 2, qr/holds a user/ ],
    [ { BOSH_ENVIRONMENT => 'http://x' }, 2, qr/must begin with https/ ],
    [ { BOSH_ENVIRONMENT => "a b" }, 2, qr/malformed/ ],
    [ { BOSH_ENVIRONMENT => 'nosuch' }, 1,
        qr/no environment is called nosuch .*; there are: other, prod$/m ],
    [ { BOSH_ENVIRONMENT => '127.0.0.1:1' }, 1, qr/no answer from the Dir/ ],
    [ { BOSH_CONFIG => '/etc' }, 2, qr/cannot read \/etc/ ])
{
    my ($env, $code, $words) = @$case;

    bosh([], env => $env);
    is($run->{code}, $code, 'usage: ' . join '=', map { $_ || '' } %$env);
    like($run->{stderr}, $words, 'words');
}

spew($config, "environments: [\n");
bosh([]);
is($run->{code}, 2, 'a broken config');
like($run->{stderr}, qr/config file .* cannot be used: line \d+: /, 'words');
config(access => 'good-token');

# --- on a terminal --------------------------------------------------------

$director->tell(instances => [
    map { PcapTest::BoshStandIn::instance([ 'router', $_ ]) } 0 .. 59 ]);
bosh(['router']);
like_usual('many, but no terminal');
like($run->{stderr}, qr/  \.\.\. and 10 more/, 'not all are listed');

my %env = (env => { BOSH_CONFIG => $config, BOSH_ENVIRONMENT => 'prod',
    BOSH_DEPLOYMENT => 'cf', PCAP_TOKEN => '' });

$n = () = $api->events('capture');
$run = on_terminal($api, ['bosh'], %env,
    keys => [ [ qr/Capture 60 instances\? \[y\/N\]/, "n\n" ] ]);
is($run->{code}, 1, 'no') or diag($run->{screen});
like($run->{screen}, qr/nothing was captured/, 'words');
is(scalar($api->events('capture')), $n, 'no capture began');

$run = on_terminal($api, ['bosh'], %env,
    keys => [ [ qr/Capture 60 instances\?/, "y\n" ] ]);
is($run->{code}, 0, 'yes') or diag($run->{screen});
is(scalar($api->events('capture')), $n + 1, 'a capture');

$run = on_terminal($api, ['bosh'], env => { %{ $env{env} },
    BOSH_NON_INTERACTIVE => 'false' },
    keys => [ [ qr/Capture 60 instances\?/, "\004" ] ]);
is($run->{code}, 1, 'the end of input is no yes') or diag($run->{screen});

for my $args ([ 'bosh', '-n' ], [ 'bosh', 'router/3' ], ['bosh']) {
    local $env{env}{BOSH_NON_INTERACTIVE} = @$args > 1 ? '' : 'true';
    $run = on_terminal($api, $args, %env);
    is($run->{code}, 0, "not asked: @$args") or diag($run->{screen});
    unlike($run->{screen}, qr/\[y\/N\]/, 'no question');
}

# --- a token that runs out between two parts of a capture -----------------

is(scalar $api->events('died'), 0, 'the API was asked nothing odd');
$api->stop();
$api = PcapTest::StandIn->new(certs => $certs, script => sub {
    my ($c) = @_;

    my $times = () = $c->{api}->events('capture');

    return $c->problem(401, 'Unauthorized', 'it has expired') if $times == 2;
    return $c->usual(2, 10, 'complete') if $times > 2;

    $c->begin();
    $c->chunk(PcapTest::StandIn::head(2) . PcapTest::StandIn::packets(2, 4));
    $c->{s}->close();
});

$director->tell(refresh => { 'REFRESH-SECRET' => {
    access_token => 'good-token', refresh_token => 'NEXT-SECRET',
    token_type => 'bearer', expires_in => 600 } });
config(access => 'good-token', refresh => 'REFRESH-SECRET');

my $tokens = () = $director->events('token');

bosh([ '--json', 'router' ]);
is($run->{code}, 3, 'expired between two parts: a gap') or diag($run->{stderr});
is($run->{json}{parts}, 2, 'two parts');
is(scalar(() = $director->events('token')), $tokens + 1, 'one fresh token');
is(scalar(() = $api->events('capture')), 3, 'for one more try');
is(entry('refresh_token'), 'NEXT-SECRET', 'the next one is kept');
unlike($run->{stderr} . $run->{stdout}, $secrets, 'no secrets');
unlike($run->{stderr}, qr/\b401\b/, 'and no word of it');

# the UAA is down at the first try: that is no "no"
$api->stop();
unlink "$api->{base}.events";
$api = PcapTest::StandIn->new(certs => $certs, script => sub {
    my ($c) = @_;

    my $times = () = $c->{api}->events('capture');

    return $c->problem(401, 'Unauthorized', 'it has expired')
        if $times == 2 || $times == 3;
    return $c->usual(2, 10, 'complete') if $times > 3;

    $c->begin();
    $c->chunk(PcapTest::StandIn::head(2) . PcapTest::StandIn::packets(2, 4));
    $c->{s}->close();
});

config(access => 'good-token', refresh => 'REFRESH-SECRET');
$tokens = () = $director->events('token');
$director->tell(token_down => $tokens + 1, refresh => { 'REFRESH-SECRET' => {
    access_token => 'good-token', refresh_token => 'NEXT-SECRET',
    token_type => 'bearer', expires_in => 600 } });
bosh([ '--json', 'router' ]);
is($run->{code}, 3, 'a UAA that is down for a moment: it goes on')
    or diag($run->{stderr});
is($run->{json}{parts}, 2, 'two parts');
is(entry('refresh_token'), 'NEXT-SECRET', 'a token came after all');
unlike($run->{stderr}, qr/not continued/, 'and nothing was given up');

# --- a UAA that is slow while a stream runs -------------------------------

# The first stream lives for 1.3 s, so the third is asked for while the second
# runs; it is refused, and the token takes 3 s.
is(scalar $api->events('died'), 0, 'the API was asked nothing odd');
$api->stop();
$api = PcapTest::StandIn->new(certs => $certs, script => sub {
    my ($c) = @_;

    my $times = () = $c->{api}->events('capture');

    return $c->problem(401, 'Unauthorized', 'it has expired') if $times == 3;
    return $c->problem(403, 'Forbidden', 'enough') if $times > 3;

    my $end = time() + ($times == 1 ? 1.3 : limit(15));
    my $n = $times * 10_000;

    $c->begin();
    $c->chunk(PcapTest::StandIn::head(2));

    # not before the client has been told off
    while (time() < $end && !-e "$c->{api}{base}.gate") {
        $c->chunk(PcapTest::StandIn::packets(2, 2, $n));
        $n += 2;
        select undef, undef, undef, 0.05;
    }

    return $c->{s}->close() if $times == 1;

    $c->chunk(PcapTest::StandIn::tail(2, $n - 20_000, 'complete'));
    $c->end(Status => 'complete', Packets => $n - 20_000, Dropped => 0);
});

for my $how ('slow', 'slow, -o -') {
    unlink "$api->{base}.events", "$api->{base}.gate";
    config(access => 'good-token', refresh => 'REFRESH-SECRET');
    $director->tell(delay => 0);
    $tokens = () = $director->events('token');
    $run = cli_start($api, [ 'bosh', '-o', $how eq 'slow' ? 'x' : '-',
        'router' ], env => { BOSH_CONFIG => $config,
        BOSH_ENVIRONMENT => 'prod', BOSH_DEPLOYMENT => 'cf',
        PCAP_TOKEN => undef, PCAP_CLI_TIME_SCALE => 60 });
    ok($api->wait_event(10, 'capture'), "$how: it runs");
    $director->tell(delay => 3);
    ok(wait_for(10, sub { $director->events('token') > $tokens }),
        "$how: the UAA is asked");

    # it answers 3 s from now
    my $written = $how eq 'slow' ? "$run->{dir}/x" : $run->{out};
    my $size = -s $written;
    my $asked = time();
    ok(wait_for(2, sub { -s $written > $size + 1000 }), "$how: data goes on")
        or diag("$size, " . -s $written);
    cmp_ok(time() - $asked, '<', 2.5, "$how: at once");
    is(scalar(() = $api->events('capture')), 3, "$how: no token yet");
    ok(wait_for(10, sub { slurp($run->{err}) =~ /not continued/ }),
        "$how: in vain");
    $api->open_gate();
    cli_end($run);
    is($run->{code}, 3, "$how: one gap") or diag($run->{stderr});
    is(scalar(() = $api->events('capture')), 4, "$how: the fresh one is used");
    like($run->{stderr}, qr/not continued: .*HTTP 403/, "$how: to no avail");
    unlike($run->{stderr}, qr/401|cannot reconnect/, "$how: no other fault");
}

# who has had enough of waiting
unlink "$api->{base}.events", "$api->{base}.gate";
config(access => 'good-token', refresh => 'REFRESH-SECRET');
$director->tell(delay => 0);
$tokens = () = $director->events('token');
$run = cli_start($api, [ 'bosh', '-o', 'x' ], env => {
    BOSH_CONFIG => $config, BOSH_ENVIRONMENT => 'prod',
    BOSH_DEPLOYMENT => 'cf', PCAP_TOKEN => undef, PCAP_CLI_TIME_SCALE => 60 });
ok($api->wait_event(10, 'capture'), 'quit: it runs');
$director->tell(delay => 9);
ok(wait_for(10, sub { $director->events('token') > $tokens }),
    'quit: the UAA is asked');
my $since = time();
kill 'INT', $run->{pid};
ok(wait_for(5, sub { slurp($run->{err}) =~ /once more quits/ }), 'quit: heard');
kill 'INT', $run->{pid};
cli_end($run);
cmp_ok(time() - $since, '<', 7, 'quit: at once');
is($run->{code}, 3, 'quit: the file is of use') or diag($run->{stderr});
unlike($run->{stderr}, $secrets, 'quit: no secrets');

$director->tell(delay => 0);

# --- a token that has run out when the capture is stopped -----------------

is(scalar $api->events('died'), 0, 'the API was asked nothing odd');

# Refused so many times.
for my $case ([ 1, 0, 'stopped' ], [ 9, 3, 'none' ]) {
    my ($refused, $code, $status) = @$case;

    $api->stop();
    $api = PcapTest::StandIn->new(certs => $certs, script => sub {
        my ($c) = @_;

        $c->begin();
        $c->chunk(PcapTest::StandIn::head(2)
            . PcapTest::StandIn::packets(2, 10));
        wait_for(10, sub { $c->{api}->events('delete') > $refused })
            or return;
        $c->chunk(PcapTest::StandIn::tail(2, 10, 'stopped'));
        $c->end(Status => 'stopped', Packets => 10, Dropped => 0);
    }, delete => sub {
        my ($c) = @_;

        return $c->problem(401, 'Unauthorized', 'it has expired')
            if $c->{api}->events('delete') <= $refused;

        $c->reply(202, 'application/json', '{}');
    });

    config(access => 'good-token', refresh => 'REFRESH-SECRET');
    $tokens = () = $director->events('token');
    $run = cli_start($api, [ 'bosh', '-o', 'x', '--json' ], env => {
        BOSH_CONFIG => $config, BOSH_ENVIRONMENT => 'prod',
        BOSH_DEPLOYMENT => 'cf', PCAP_TOKEN => undef });
    ok(wait_for(10, sub { -s "$run->{dir}/x" }), 'it runs');
    kill 'INT', $run->{pid};
    cli_end($run);
    is($run->{code}, $code, "DELETE refused $refused times")
        or diag($run->{stderr});
    is($run->{json}{status}, $status, 'status');
    is(scalar(() = $api->events('delete')), 2, 'asked twice');
    is(scalar(() = $director->events('token')), $tokens + 1, 'a fresh token');
    unlike($run->{stderr} . $run->{stdout}, $secrets, 'no secrets');
}

like($run->{stderr}, qr/refuses to stop the capture: HTTP 401/, 'words');

# --- the Director is down -------------------------------------------------

is(scalar $director->events('died'), 0, 'the Director: nothing odd was asked')
    or diag(explain([ $director->events('died') ]));
is(scalar $api->events('died'), 0, 'nor the API');
$director->stop();
bosh([]);
is($run->{code}, 1, 'the Director is down');
like($run->{stderr}, qr/no answer from the Director at localhost/, 'words');

$api->stop();
finish();
