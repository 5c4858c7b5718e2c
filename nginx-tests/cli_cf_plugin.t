# pcap-cli as a plugin of the cf CLI, without one: metadata, the command, what
# it asks and in which order, a cf CLI that is gone in the middle, and one
# that answers with anything. interop/cf_plugin.t has the real one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use PcapTest;
use PcapTest::Certs;
use PcapTest::CfRpc qw(frame uint text flag space org);
use PcapTest::CfStandIn;
use PcapTest::Cli;
use PcapTest::StandIn;

my $certs = PcapTest::Certs->new();

$certs->leaf('pcap', names => [ 'pcap.sys.test', 'localhost' ]);

my $cf = PcapTest::CfStandIn->new(certs => $certs);
# The app "long" is captured until the client asks for the end, by when its
# token has ended.
my $api = PcapTest::StandIn->new(certs => $certs, port => 443,
    cert => 'pcap', token => [ 'good-token', 'next-SECRET' ], script => sub {
    my ($c, $r) = @_;

    return $c->usual(2, 10, 'complete') if $r->{group} ne 'guid-long';

    my $before = () = $c->{api}->events('ended');

    $c->begin();
    $c->chunk(PcapTest::StandIn::head(2));
    $c->chunk(PcapTest::StandIn::packets(2, 10));
    wait_for(10, sub { $before < (() = $c->{api}->events('ended')) });
    $c->chunk(PcapTest::StandIn::tail(2, 10, 'stopped'));
    $c->end(Status => 'stopped', Packets => 10, Dropped => 0);
}, delete => sub {
    my ($c, $r) = @_;

    return $c->problem(401, 'Unauthorized', 'it has ended')
        if $r->{token} ne 'next-SECRET';

    $c->event('ended');
    $c->reply(202, 'application/json', '{}');
});
my $guid = PcapTest::CfStandIn::app('my-app')->{guid};
my $secrets = qr/good-token|SECRET/;
my $home = work_dir() . '/home';

mkdir $home;

my %answers = (ApiEndpoint => text('https://api.sys.test'),
    IsSSLDisabled => flag(0), GetCurrentOrg => org('acme'),
    GetCurrentSpace => space(PcapTest::CfStandIn::SPACE, 'dev'),
    Username => text('alice'), AccessToken => text('bearer good-token'));

my ($run, $rpc);


# Runs it with these words behind the port. Options: answers, raw, gone (of
# the cf CLI), env, program.
sub plugin
{
    my ($args, %o) = @_;

    my %env = (CF_HOME => $home, PCAP_TOKEN => undef, PCAP_API => undef,
        PCAP_CA => undef, SSL_CERT_FILE => $certs->file('ca.crt'),
        %{ delete $o{env} || {} });

    $rpc = PcapTest::CfRpc->new(answers => { %answers,
        %{ delete $o{answers} || {} } }, raw => delete $o{raw} || {},
        gone => delete $o{gone} || '');
    $run = cli($api, [ $rpc->{port}, @$args ], %o, env => \%env);
    $rpc->stop();
    is_deeply([ $rpc->events('died') ], [], "@$args: every byte is Go's");

    return $run;
}


sub like_usual
{
    my ($name) = @_;

    is($run->{code}, 0, "$name: exit code") or diag($run->{stderr});
    unlike($run->{stderr} . $run->{stdout}, $secrets, "$name: no secrets");
}


sub calls { return join ' ', map { $_->{method} } $rpc->events('call') }

# --- the command -----------------------------------------------------------

plugin([ 'pcap', 'my-app', '--verbose', '--index', '1', '-o', 'x' ]);
like_usual('pcap');
is(calls(), 'ApiEndpoint IsSSLDisabled GetCurrentSpace GetCurrentOrg Username'
    . ' AccessToken', 'what the cf CLI is asked');
is(($api->events('capture'))[-1]{group}, $guid, 'a capture of the app');
is_deeply([ cli_files($run) ], ['x'], 'a file');
is_deeply([ glob "$home/.cf/*" ], [], 'no config is needed');
like($run->{stderr}, qr/^app my-app, space dev, org acme, at api.sys.test as /m,
    'says where and as whom');

plugin([ 'capture', 'my-app', '-o', 'x' ]);
like_usual('capture');

plugin([ 'pcap', 'my-app', '-o', 'x' ], env => { PCAP_TOKEN => 'good-token' },
    answers => { AccessToken => { error => 'x' } });
like_usual('PCAP_TOKEN');
unlike(calls(), qr/AccessToken/, 'in place of the CLI\'s');

plugin([ 'pcap', '--bogus' ]);
is($run->{code}, 2, 'usage');
like($run->{stderr}, qr/no option --bogus\n.*see cf help pcap$/m, 'words');
is(calls(), '', 'nobody is asked');

plugin([ 'capture' ]);
like($run->{stderr}, qr/see cf help capture$/m, 'under its other name');

plugin([ 'pcap', 'my-app' ], answers => { AccessToken => { error =>
    "Token expired\e[2J" } });
is($run->{code}, 4, 'not logged in');
like($run->{stderr}, qr/no token \(Token expired\?\[2J\): log in with `cf l/,
    'words');

for my $case ([ 'ApiEndpoint', text(''), qr/`cf api URL`/ ],
    [ 'GetCurrentSpace', space('', ''), qr/`cf target -o ORG -s SPACE`/ ])
{
    plugin([ 'pcap', 'my-app' ], answers => { $case->[0] => $case->[1] });
    is($run->{code}, 2, "$case->[0] is empty");
    like($run->{stderr}, $case->[2], 'words');
}

plugin([ 'pcap', 'my-app', '-o', 'x' ], answers => { IsSSLDisabled =>
    flag(1) }, env => { SSL_CERT_FILE => undef });
like_usual('IsSSLDisabled');
like($run->{stderr}, qr/^pcap-cli: WARNING: no certificate is verified/m,
    'is loud');

# --- a token that ends -------------------------------------------------------

plugin([ 'pcap', 'my-app', '-o', 'x' ], answers => { AccessToken => [
    text('bearer STALE-SECRET'), text('bearer good-token') ] });
like_usual('a fresh one from the cf CLI');
like(calls(), qr/AccessToken AccessToken$/, 'asked again');

plugin([ 'pcap', 'my-app' ], answers => { AccessToken =>
    text('bearer STALE-SECRET') });
is($run->{code}, 4, 'it has no other');
like($run->{stderr}, qr/the cf CLI has no other: log in with `cf login`/,
    'words');
unlike($run->{stderr}, $secrets, 'no secrets');

# gone, as on Ctrl-C: on with its config file
mkdir "$home/.cf";

sub config
{
    my ($target, $access, $refresh) = @_;

    $access ||= 'STALE-SECRET';
    $refresh = 'REFRESH-SECRET' if !defined $refresh;
    spew("$home/.cf/config.json", qq({"AccessToken":"bearer $access",)
        . qq("RefreshToken":"$refresh","Target":"$target"}));
}

my @gone = (answers => { AccessToken => text('bearer STALE-SECRET') },
    gone => 'AccessToken');

$cf->tell(refresh => { 'REFRESH-SECRET' => { access_token => 'good-token',
    refresh_token => 'NEXT-SECRET', token_type => 'bearer' } });
config('https://api.sys.test');
plugin([ 'pcap', 'my-app', '-o', 'x' ], @gone);
like_usual('the cf CLI is gone');
is(slurp("$home/.cf/config.json"), qq({\n  "AccessToken": "bearer good-token",)
    . qq(\n  "RefreshToken": "NEXT-SECRET",\n)
    . qq(  "Target": "https://api.sys.test"\n}), 'its config is refreshed');

# there, but with nothing else: the cf CLI only looks at the token's end
my @same = (answers => { AccessToken => text('bearer STALE-SECRET') });

config('https://api.sys.test');
plugin([ 'pcap', 'my-app', '-o', 'x' ], @same);
like_usual('the cf CLI has the same token');
like(calls(), qr/AccessToken AccessToken$/, 'it was asked');
like(slurp("$home/.cf/config.json"), qr/"bearer good-token".*NEXT-SECRET/s,
    'its config is refreshed');

for my $config ([ 'https://api.elsewhere.test' ],
    [ 'https://api.sys.test', 'STALE-SECRET', '' ])
{
    my $tokens = () = $cf->events('token');

    config(@$config);
    plugin([ 'pcap', 'my-app' ], @same);
    is($run->{code}, 4, "the same token, and a config of no use");
    like($run->{stderr}, qr/the cf CLI has no other: log in/, 'words');
    is(scalar(my @now = $cf->events('token')), $tokens, 'no UAA is asked');
}

config('https://api.elsewhere.test');
plugin([ 'pcap', 'my-app' ], @gone);
is($run->{code}, 1, 'gone, and logged in elsewhere');
like($run->{stderr}, qr/logged in elsewhere by now/, 'words');

unlink "$home/.cf/config.json";
plugin([ 'pcap', 'my-app' ], @gone);
is($run->{code}, 1, 'gone, without a config');
like($run->{stderr}, qr/the token has expired: .*config\.json is not there/,
    'words');
unlike($run->{stderr}, $secrets, 'no secrets');

# in the middle of a capture
for my $how ('there', 'gone') {
    my $long = PcapTest::CfStandIn::app('long', guid => 'guid-long');

    $cf->tell(valid => [ 'good-token', 'next-SECRET' ], apps => [$long],
        refresh => { 'REFRESH-SECRET' => { access_token => 'next-SECRET',
        token_type => 'bearer' } });
    config('https://api.sys.test', 'good-token');
    $rpc = PcapTest::CfRpc->new(answers => { %answers, AccessToken => [
        text('bearer good-token'), text('bearer next-SECRET') ] },
        gone => $how eq 'gone' ? 'AccessToken' : '');

    my $n = () = $api->events('ended');
    my $m = () = $cf->events('token');
    my $started = cli_start($api, [ $rpc->{port}, 'pcap', 'long', '-o', 'x' ],
        env => { CF_HOME => $home, PCAP_TOKEN => undef, PCAP_API => undef,
        PCAP_CA => undef, SSL_CERT_FILE => $certs->file('ca.crt') });

    wait_for(10, sub { -s "$started->{dir}/x" });
    kill 'INT', $started->{pid};
    $run = cli_end($started);
    $rpc->stop();

    like_usual("the token has ended, the cf CLI is $how");
    is(scalar(my @now = $api->events('ended')) - $n, 1, 'ended once');
    is(scalar(my @asked = $cf->events('token')) - $m, $how eq 'gone' ? 1 : 0,
        'who was asked for another');
    like($run->{stderr}, qr/^stopped$/m, 'to the last word');
}

$cf->tell(valid => ['good-token'], apps => [
    PcapTest::CfStandIn::app('my-app') ]);

# --- a cf CLI that is ended before anything is captured ----------------------

sub tries { return grep { $_->{path} =~ m{^/v1/capture/} }
    $api->events('request') }

# While the app is looked for; and between a 401 of the API and a second try.
for my $case ([ 'apps', 'good-token', 0 ], [ 'token', 'EARLY-SECRET', 1 ]) {
    my ($event, $token, $tries) = @$case;
    my $n = () = $cf->events($event);
    my $m = () = tries();

    $cf->tell(delay => 1, valid => [ 'good-token', 'EARLY-SECRET' ],
        refresh => { 'REFRESH-SECRET' => { access_token => 'good-token',
        token_type => 'bearer' } });
    config('https://api.sys.test', $token);
    $rpc = PcapTest::CfRpc->new(answers => { %answers,
        AccessToken => text("bearer $token") });

    # a shell is the parent
    my $started = cli_start($api, [ $rpc->{port}, 'pcap', 'my-app', '-o',
        'x' ], program => [ '/bin/sh', '-c', '"$@" & wait', 'sh',
        tool('cli') ], env => { CF_HOME => $home, PCAP_TOKEN => undef,
        PCAP_API => undef, PCAP_CA => undef,
        SSL_CERT_FILE => $certs->file('ca.crt') });

    ok(wait_for(10, sub { $n < (() = $cf->events($event)) }),
        "$event: is asked");
    stop_child($started->{pid}, 'KILL', 2);
    ok(wait_for(10, sub { slurp($started->{err})
        =~ /^pcap-cli: the cf CLI is gone: nothing is captured$/m
        || -e "$started->{dir}/x" }), "$event: it is seen");
    is(scalar(my @now = tries()) - $m, $tries, "$event: what was asked for");
    ok(!-e "$started->{dir}/x", "$event: no file");
    $rpc->stop();
    $cf->tell(delay => 0);
}

$cf->tell(valid => ['good-token']);
unlink "$home/.cf/config.json";

# --- installing --------------------------------------------------------------

plugin(['SendMetadata'], answers => { SetPluginMetadata => flag(1) });
like_usual('metadata');

my $sent = pack 'H*', join '', map { $_->{hex} } $rpc->events('metadata');

like($sent, qr/\x01\x04pcap\x01\x02\x02\x00/, 'the name, version 0.1');
like($sent, qr/Capture network traffic of an app's containers/, 'help');
like($sent, qr/cf pcap APP \[--index N\]/, 'usage');
like($sent, qr/\x06filter.-f EXPR: capture only/, 'an option');
unlike($sent, qr/-v:|--ssh|deployment/, 'none that is not of cf');

plugin(['SendMetadata'], answers => { SetPluginMetadata => flag(0) });
is($run->{code}, 1, 'not taken');
plugin(['SendMetadata'], answers => { SetPluginMetadata => { error => 'x' } });
is($run->{code}, 1, 'refused');

my $link = work_dir() . '/cf-capture';

symlink tool('cli'), $link or die "symlink: $!";

for my $o ([ program => [$link] ],
    [ env => { PCAP_CF_PLUGIN => 'cf-capture' } ])
{
    plugin(['SendMetadata'], answers => { SetPluginMetadata => flag(1) }, @$o);
    like_usual('cf-capture');
    $sent = pack 'H*', join '', map { $_->{hex} } $rpc->events('metadata');
    like($sent, qr/\x01\x0acf-capture\x01.*\x01\x07capture\x02/s, 'its names');
    like($sent, qr/cf capture APP/, 'its usage');
}

plugin(['CLI-MESSAGE-UNINSTALL']);
is($run->{code}, 0, 'uninstall');
is(scalar(my @none = $rpc->events('connected')), 0, 'asks nobody');

# --- nobody, or a liar --------------------------------------------------------

$run = cli($api, [ 1, 'pcap', 'my-app' ]);
is($run->{code}, 1, 'nobody at the port');
like($run->{stderr}, qr/the cf CLI does not answer at port 1: Connection ref/,
    'words');
ok($run->{seconds} > 0.7, 'tried for a while');

my $response = '3aff8503010108526573706f6e736501ff86000103010d5365727669'
    . '63654d6574686f64010c00010353657101060001054572726f72010c000000';

for my $case (
    [ 'an empty message', '00', qr/malformed or too long/ ],
    [ '2 MiB', 'fd200000', qr/malformed or too long/ ],
    [ 'no gob', 'ff' x 300, qr/a type of no kind/ ],
    [ 'a type of no kind', '03ff8100', qr/a type of no kind/ ],
    [ 'types without end', join('', map { frame('fe0'
        . sprintf('%03x', 1001 + 2 * $_) . '020102fe0'
        . sprintf('%03x', 1002 + 2 * $_) . '00010c0000') } 0 .. 200),
        qr/too many types/ ],
    [ 'another method', $response . frame('ff860101' . '7800') . flag(0),
        qr/an answer to another question/ ],
    [ 'another sequence', $response . frame('ff860115' . unpack('H*',
        'CliRpcCmd.ApiEndpoint') . '010900') . flag(0),
        qr/an answer to another question/ ],
    [ 'no header', text('x') . text('y'), qr/an answer to another question/ ])
{
    my ($name, $hex, $words) = @$case;

    plugin([ 'pcap', 'my-app' ], raw => { ApiEndpoint => $hex });
    is($run->{code}, 1, $name);
    like($run->{stderr}, qr/the cf CLI \(ApiEndpoint\): /, 'which call');
    like($run->{stderr}, $words, 'words');
}

plugin([ 'pcap', 'my-app' ], gone => 'ApiEndpoint');
is($run->{code}, 1, 'gone too early');
like($run->{stderr}, qr/the cf CLI \(IsSSLDisabled\): it (?:is gone|does not)/,
    'words');

plugin([ 'pcap', 'my-app' ], answers => { ApiEndpoint => flag(1) });
is($run->{code}, 2, 'a bool in place of a text');
plugin([ 'pcap', 'my-app' ], answers => { ApiEndpoint =>
    text("https://api.sys.test\0.evil.test") });
is($run->{code}, 2, 'a NUL in it');
plugin([ 'pcap', 'my-app' ], answers => { AccessToken =>
    text("bearer good-token\r\nX-Evil: 1") });
is($run->{code}, 4, 'a token of two lines');

is_deeply([ $cf->events('died'), $api->events('died') ], [],
    'nothing odd was asked') or diag(explain([ $cf->events('died') ]));
$cf->stop();
$api->stop();
finish();
