#!/usr/bin/perl
#
# interop/cf_plugin.t: pcap-cli as a plugin of the real cf CLI: installed,
# listed, helped, run, ended by Ctrl-C in a shell on a terminal, uninstalled;
# and under its other name. Cloud Controller, UAA and pcap API are stand-ins;
# tshark reads the files.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../nginx-tests/lib";

# Before PcapTest takes the network away.
BEGIN {
    require Cf;

    if (!$ENV{PCAPTEST_INSIDE}) {
        my ($bin, $why) = Cf::cf_cli();

        $ENV{PCAP_CF_CLI} = $bin if $bin;
        $ENV{PCAP_CF_WHY} = $why;
    }
}

use Test::More;
use PcapTest;
use PcapTest::Certs;
use PcapTest::CfStandIn;
use PcapTest::Cli;
use PcapTest::StandIn;

# Without the CLI it fails; PCAP_NO_CF_CLI=1 is for machines that are not meant
# to fetch it.
if ($ENV{PCAP_CF_WHY}) {
    plan(skip_all => "the real cf CLI: $ENV{PCAP_CF_WHY}")
        if $ENV{PCAP_NO_CF_CLI};
    ok(0, "the real cf CLI: $ENV{PCAP_CF_WHY} (PCAP_NO_CF_CLI=1 skips)");
    done_testing();
    exit 1;
}

my $cf_cli = $ENV{PCAP_CF_CLI};
my $plugin = tool('cli');
my $certs = PcapTest::Certs->new();

$certs->leaf('pcap', names => ['pcap.sys.test']);

# The CLI reads the token it has.
my ($token, $next, $old) = map { PcapTest::CfStandIn::jwt(exp => $_,
    user_name => 'alice', user_id => 'u-1', jti => "j-$_") }
    time() + 3600, time() + 7200, 1;

my $guid = PcapTest::CfStandIn::app('my-app')->{guid};
my $cf = PcapTest::CfStandIn->new(certs => $certs);
my $long = PcapTest::CfStandIn::app('long', guid => 'guid-long');

# The app "long" is captured until the client asks for the end.
my $api = PcapTest::StandIn->new(certs => $certs, port => 443,
    cert => 'pcap', token => $token, script => sub {
    my ($c, $r) = @_;

    return $c->usual(2, 10, 'complete') if $r->{group} ne 'guid-long';

    my $before = () = $c->{api}->events('delete');

    $c->begin();
    $c->chunk(PcapTest::StandIn::head(2));
    $c->chunk(PcapTest::StandIn::packets(2, 10));
    wait_for(10, sub { $before < (() = $c->{api}->events('delete')) });
    select undef, undef, undef, 1;
    $c->chunk(PcapTest::StandIn::packets(2, 10, 10));
    $c->chunk(PcapTest::StandIn::tail(2, 20, 'stopped'));
    $c->end(Status => 'stopped', Packets => 20, Dropped => 0);
});

$cf->tell(valid => [$token], apps => [ PcapTest::CfStandIn::app('my-app'),
    $long ]);

my $home = work_dir() . '/home';
my $config = "$home/.cf/config.json";
my $run;

mkdir $home;
mkdir "$home/.cf";


sub config
{
    my ($access, $refresh) = @_;

    spew($config, <<"JSON");
{
  "AccessToken": "bearer $access",
  "APIVersion": "3.180.0",
  "AuthorizationEndpoint": "https://login.sys.test",
  "ConfigVersion": 4,
  "OrganizationFields": { "GUID": "0", "Name": "acme" },
  "RefreshToken": "$refresh",
  "SpaceFields": { "GUID": "@{[ PcapTest::CfStandIn::SPACE ]}",
    "Name": "dev", "AllowSSH": true },
  "SSLDisabled": false,
  "Target": "https://api.sys.test",
  "UaaEndpoint": "https://uaa.sys.test",
  "UAAOAuthClient": "cf"
}
JSON
}


sub env
{
    return (CF_HOME => $home, HOME => $home, PCAP_TOKEN => '',
        PCAP_API => '', PCAP_CA => '', PATH => "$ENV{PATH}",
        SSL_CERT_FILE => $certs->file('ca.crt'), @_);
}


sub cf
{
    my ($args, %env) = @_;

    $run = cli($api, $args, program => [$cf_cli], env => { env(%env) });

    return $run;
}


# Packets in a file, as tshark counts them.
sub packets_of
{
    my ($file) = @_;

    open my $pipe, '-|', "tshark -n -r '$file' 2>/dev/null" or return -1;

    my $n = () = <$pipe>;

    return close($pipe) ? $n : -1;
}


sub installed { return -e "$home/.cf/plugins/$_[0]" }

# --- install, list, help ----------------------------------------------------

config($token, 'REFRESH-SECRET');

cf(['version']);
like($run->{stdout}, qr/^cf version 8\.18\.[34]/, 'the real cf CLI: '
    . $run->{stdout} =~ s/\n.*//sr);

cf([ 'install-plugin', '-f', $plugin ]);
is($run->{code}, 0, 'cf install-plugin') or diag($run->{stdout});
like($run->{stdout}, qr/Plugin pcap \d+\.\d+\.\d+ successfully installed/,
    'it says so');
ok(installed('pcap'), 'the binary is there');

cf(['plugins']);
like($run->{stdout}, qr/^pcap +\d+\.\d+\.\d+ +pcap +Capture network traffic/m,
    'cf plugins');

for my $args ([ 'help', 'pcap' ], [ 'pcap', '--help' ], [ 'pcap', '-h' ]) {
    cf($args);
    is($run->{code}, 0, "cf @$args");
    like($run->{stdout}, qr/USAGE:\n   cf pcap APP \[--index N\]/, 'usage');
    like($run->{stdout}, qr/^   --filter +-f EXPR: capture only/m, 'options');
    like($run->{stdout}, qr/^   cf pcap my-app -o my-app.pcapng/m, 'examples');
}

# --- run --------------------------------------------------------------------

my $before = slurp($config);

cf([ 'pcap', 'my-app', '-o', 'x.pcapng', '--index', '1', '-f', 'tcp' ]);
is($run->{code}, 0, 'cf pcap') or diag($run->{stderr});
is(packets_of("$run->{dir}/x.pcapng"), 10, 'tshark reads all packets');
is(($api->events('capture'))[-1]{group}, $guid, 'of the app');
is(join(' ', map { "$_->[0]=$_->[1]" }
    @{ ($api->events('capture'))[-1]{form} }), 'format=pcapng index=1'
    . ' filter=tcp', 'what the API is asked for');
like($run->{stderr}, qr/^app my-app, space dev, org acme, at api.sys.test as /m,
    'taken from the cf CLI by RPC');
is(scalar(my @none = $cf->events('token')), 0, 'the UAA is not asked');

cf([ 'pcap', 'my-app', '-v', '-o', 'x.pcapng' ]);
is($run->{code}, 0, '-v is eaten by the cf CLI');
unlike($run->{stderr}, qr/^< /m, 'and shows nothing');

cf([ 'pcap', 'my-app', '--verbose', '-o', 'x.pcapng' ]);
like($run->{stderr}, qr/^< HTTP/m, '--verbose arrives');
unlike($run->{stderr} . $run->{stdout}, qr/\Q$token\E/, 'without the token');

cf([ 'pcap', 'my-app', '-o', '-' ]);
is($run->{code}, 0, 'to a pipe');
is(packets_of($run->{out}), 10, 'whole, without a word of others in it');

for my $args ([ 'nobody' ], [ 'my-app', '--bogus' ], []) {
    cf([ 'pcap', @$args ]);
    is($run->{code}, 1, "cf pcap @$args: each exit status becomes 1");
    like($run->{stderr}, qr/^pcap-cli: /m, 'words');
}

# The cf CLI refreshes what has ended, and keeps it.
$cf->tell(valid => [$token], refresh => { 'REFRESH-SECRET' => {
    access_token => $token, refresh_token => 'NEXT-SECRET', token_type =>
    'bearer', expires_in => 599 } });
config($old, 'REFRESH-SECRET');
cf([ 'pcap', 'my-app', '-o', 'x.pcapng' ]);
is($run->{code}, 0, 'a token that has ended') or diag($run->{stderr});
is(scalar(@none = $cf->events('token')), 1, 'is refreshed once');
like(slurp($config), qr/"RefreshToken": "NEXT-SECRET"/, 'and kept');

# --- Ctrl-C -----------------------------------------------------------------

# In a shell with job control both get SIGINT; the CLI dies at once, and the
# shell asks for the next command while the file is being finished.
{
    local $ENV{TEST_PCAP_CLI} = '/bin/bash';
    my ($dir) = $cf_cli =~ m{^(.*)/};

    $run = on_terminal($api, [ '--norc', '--noprofile', '-i' ],
        env => { env(PS1 => 'READY> ', PATH => "$dir:$ENV{PATH}") },
        all => 1, seconds => 40, keys => [
        [ qr/READY> /, "stty -g; cf pcap long -o x.pcapng\n" ],
        [ qr/web\/0 +5 packets/, "\x03" ],
        [ qr/READY> .*READY> .*^.*stopped\r\n/ms, "stty -g; exit\n" ] ]);
}

ok(!$run->{hung}, 'Ctrl-C: the shell goes on') or diag($run->{screen});
is(packets_of("$run->{dir}/x.pcapng"), 20, 'the file is complete');
is(scalar(my @deletes = $api->events('delete')), 1, 'one DELETE');
like($run->{screen}, qr/packets .* dropped.*stopped\r\n/s, 'with a summary');

my ($rest) = $run->{screen} =~ /once more quits at once(.*)/s;

unlike($rest // "\e", qr/\e\[\d*[AJ]/,
    'no rows are drawn over the prompt of the shell');

my @modes = $run->{screen} =~ /((?:[0-9a-f]+:){20,}[0-9a-f]+)\r/g;

is(scalar @modes, 2, 'modes of the terminal before and after');
is($modes[0] // 0, $modes[1] // 1, 'are the same');

# Whoever ends the CLI alone does not know of the plugin.
my $started = cli_start($api, [ 'pcap', 'long', '-o', 'x.pcapng' ],
    program => [$cf_cli], env => { env() });

wait_for(10, sub { -s "$started->{dir}/x.pcapng" });
kill 'TERM', $started->{pid};
cli_end($started);
ok(wait_for(8, sub { slurp($started->{err}) =~ /^stopped$/m }),
    'the cf CLI is ended: so is the capture') or diag(slurp($started->{err}));
like(slurp($started->{err}), qr/^stopping: the cf CLI is gone$/m, 'as it says');
is(packets_of("$started->{dir}/x.pcapng"), 20, 'the file is complete');

# --- uninstall, and the other name --------------------------------------------

cf([ 'uninstall-plugin', 'pcap' ]);
is($run->{code}, 0, 'cf uninstall-plugin') or diag($run->{stdout});
ok(!installed('pcap'), 'the binary is gone');
cf([ 'pcap', 'my-app' ]);
isnt($run->{code}, 0, 'and so is the command');

# The CLI runs a copy of another name while it installs.
cf([ 'install-plugin', '-f', $plugin ], PCAP_CF_PLUGIN => 'cf-capture');
is($run->{code}, 0, 'as cf-capture') or diag($run->{stdout});
cf(['plugins']);
like($run->{stdout}, qr/^cf-capture +\d+\.\d+\.\d+ +capture +Capture/m,
    'cf plugins');
cf([ 'help', 'capture' ]);
like($run->{stdout}, qr/USAGE:\n   cf capture APP/, 'cf help capture');
cf([ 'capture', 'my-app', '-o', 'x.pcapng' ]);
is($run->{code}, 0, 'cf capture') or diag($run->{stderr});
is(packets_of("$run->{dir}/x.pcapng"), 10, 'tshark reads it');
cf([ 'uninstall-plugin', 'cf-capture' ]);
ok($run->{code} == 0 && !installed('cf-capture'), 'uninstalled');

is_deeply([ $cf->events('died'), $api->events('died') ], [],
    'nothing odd was asked') or diag(explain([ $cf->events('died') ]));
$cf->stop();
$api->stop();
finish();
