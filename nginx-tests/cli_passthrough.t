# pcap-cli called as `bosh`: everything but `bosh pcap` reaches the next bosh
# on PATH as if this program were not there: arguments, exit code, signals.
# And what `bosh pcap` does where there is no API.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use File::Copy qw(copy);
use PcapTest;
use PcapTest::BoshStandIn;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::StandIn;

my $certs = PcapTest::Certs->new();

$certs->leaf('director', names => ['localhost']);

my $director = PcapTest::BoshStandIn->new(certs => $certs);
my $none = { url => 'https://localhost:1', certs => $certs };
my $bin = work_dir() . '/bin';
my $run;


# A bosh that tells how it was called and leaves as it is told.
sub real_bosh
{
    my ($dir, $name) = @_;

    mkdir $dir;
    spew("$dir/bosh", "#!/bin/sh\n"
        . "echo \"$name \$#\"\nfor a; do echo \"[\$a]\"; done\n"
        . "case \$1 in\nexit) exit \$2 ;;\nkill) kill -\$2 \$\$ ;;\n"
        . "wait) trap 'exit 9' TERM; : >ready;"
        . " while :; do sleep 0.05; done ;;\n"
        . "input) cat ;;\nenv) env ;;\ntty) [ -t 0 ] && echo terminal ;;\n"
        . "esac\n");
    chmod 0755, "$dir/bosh";
}


# Runs `bosh ARGS` with these folders on PATH.
sub bosh
{
    my ($args, %o) = @_;

    my @dirs = @{ $o{dirs} || [ 'ours', 'real' ] };

    return cli($none, $args, program => [ '/usr/bin/env', $o{name} || 'bosh' ],
        %o, env => { PATH => join(':', map { m{^[/.]|^$} ? $_ : "$bin/$_" }
            @dirs, '/usr/bin', '/bin'), PCAP_TOKEN => undef,
            PCAP_API => undef, %{ $o{env} || {} } });
}


sub words { return [ $_[0]{stdout} =~ /^\[(.*?)\]$/msg ] }

mkdir $bin;
mkdir "$bin/$_" for qw(ours again copy);
symlink tool('cli'), "$bin/ours/bosh" or die;
symlink tool('cli'), "$bin/ours/bosh-pcap" or die;
symlink tool('cli'), "$bin/again/bosh" or die;
copy(tool('cli'), "$bin/copy/bosh") or die;
chmod 0755, "$bin/copy/bosh";
real_bosh("$bin/real", 'real');
real_bosh("$bin/other", 'other');
mkdir "$bin/$_" for qw(plain folder);
spew("$bin/plain/bosh", 'no program');
mkdir "$bin/folder/bosh";

# --- arguments ------------------------------------------------------------

for my $args ([], ['vms'], [ '-e', 'x', 'vms', '--json' ], ['-v'],
    [ 'interpolate', 'a file.yml', '', '*', '$HOME', "a\nb", "\e[2J\xff" ],
    [ '--', 'pcap' ], [ '-d', 'pcap', 'ssh' ], ['--help'], ['-h'],
    [ 'help', 'pcap' ], [ '', 'pcap' ], [ 'vms', '--ssh' ],
    [ 'run-errand', 'pcap' ], [ '--client-secret', 'x y', 'deploy', '-' ])
{
    $run = bosh($args);
    is($run->{code}, 0, "bosh @$args" =~ s/[^ -~]/?/gr);
    is_deeply(words($run), $args, 'the same words');
    is($run->{stderr}, '', 'and nothing said');
}

$run = bosh([ 'vms' ], env => { BOSH_CLIENT_SECRET => 'x', ODD => "a b" });
is($run->{code}, 0, 'with variables');
$run = bosh(['env'], env => { ODD => 'a  b' });
like($run->{stdout}, qr/^ODD=a  b$/m, 'variables are the same');

# argv[0]: what is behind it sees the path it was found by, as from a shell
$run = cli($none, [ 'exit', '3' ], program => [ "$bin/ours/bosh" ],
    env => { PATH => "$bin/ours:$bin/real:/usr/bin:/bin" });
is($run->{code}, 3, 'called by its path');
$run = cli($none, [ '-c', 'exec -a bosh ' . tool('cli') . ' exit 4' ],
    program => ['bash'], env => { PATH => "$bin/real:/usr/bin:/bin" });
is($run->{code}, 4, 'called by another argv[0]');

# --- exit codes and signals -----------------------------------------------

for my $code (0, 1, 2, 126, 255) {
    is(bosh([ 'exit', $code ])->{code}, $code, "exit code $code");
}

is(bosh([ 'kill', $_ ])->{code}, "signal $_", "signal $_") for 9, 15;

my $started = cli_start($none, ['wait'], program => [ '/usr/bin/env',
    'bosh' ], env => { PATH => "$bin/ours:$bin/real:/usr/bin:/bin" });
ok(wait_for(5, sub { -e "$started->{dir}/ready" }), 'it waits');
kill 'TERM', $started->{pid};
is(cli_end($started)->{code}, 9, 'a signal reaches it: it is that process');

$run = bosh([], prefix => [ 'sh', '-c',
    'exec "$@" input <<END' . "\nhello\nEND\n", 'sh' ]);
like($run->{stdout}, qr/^hello$/m, 'its input is the same');

# --- which one ------------------------------------------------------------

for my $case (
    [ [ 'ours', 'real', 'other' ], 'real' ],
    [ [ 'ours', 'other', 'real' ], 'other' ],
    [ [ 'ours', 'again', 'real' ], 'real' ],
    [ [ 'ours', 'ours', 'real', 'ours' ], 'real' ],
    [ [ 'ours', 'real', 'again' ], 'real' ],
    [ [ 'ours', 'plain', 'folder', '/none', 'real' ], 'real' ],
    [ [ 'ours', '', '.', 'real' ], 'real' ],
    [ [ 'ours', 'copy', 'real' ], 'real' ])
{
    my ($dirs, $which) = @$case;

    $run = bosh(['x'], dirs => $dirs);
    like($run->{stdout}, qr/^$which 1$/m, "PATH @$dirs");
}

for my $dirs ([ 'ours' ], [ 'ours', 'again', 'ours' ], [ 'ours', 'plain' ],
    [ 'ours', 'copy', 'ours' ])
{
    $run = bosh(['vms'], dirs => $dirs, seconds => 5);
    is($run->{code}, 1, "no other one: @$dirs");
    like($run->{stderr}, qr/no other bosh on PATH behind this one: install/,
        'words');
}

# --- bosh pcap ------------------------------------------------------------

my %env = (BOSH_ENVIRONMENT => 'https://localhost:25555',
    BOSH_DEPLOYMENT => 'cf', BOSH_CONFIG => '/none', PCAP_TOKEN =>
    'good-token', BOSH_CA_CERT => $certs->file('ca.crt'));

for my $case (
    [ 'bosh', [ 'pcap', '--ssh', '-o', 'a b', '', '--stop-timeout', '5s' ],
        [ 'pcap', '-o', 'a b', '', '--stop-timeout', '5s' ] ],
    [ 'bosh', [ '-n', 'pcap', 'router', '--gw-user', 'x', '--ssh' ],
        [ '-n', 'pcap', 'router', '--gw-user', 'x' ] ],
    [ 'bosh-pcap', [ '--ssh', 'router' ], [ 'pcap', 'router' ] ],
    [ 'bosh', [ '-d', 'cf', 'pcap', 'router', '-o', 'x' ],
        [ '-d', 'cf', 'pcap', 'router', '-o', 'x' ] ])
{
    my ($name, $args, $want) = @$case;

    $run = bosh($args, name => $name, env => \%env);
    is($run->{code}, 0, "$name @$args") or diag($run->{stderr});
    is_deeply(words($run), $want, 'the bosh CLI gets');
    like($run->{stderr}, qr/going on with the bosh CLI's own pcap, over SSH/,
        'and it is said');
}

like($run->{stderr}, qr/no pcap API answers at https:\/\/localhost:9495/,
    'no API: why');

$run = cli($none, [ 'bosh', '--ssh', 'exit' ], env => {
    PATH => "$bin/ours:$bin/real:/usr/bin:/bin" });
is_deeply(words($run), [ 'pcap', 'exit' ], 'pcap-cli bosh --ssh');

$run = bosh(['pcap'], env => \%env, name => 'bosh-pcap');
is($run->{code}, 1, 'bosh-pcap without an API');
is($run->{stdout}, '', 'does not use SSH unasked') or diag($run->{stdout});

$run = bosh([ 'pcap', '-u', 'https://localhost:1' ], env => \%env);
is($run->{code}, 1, 'an API that was named and is down');
is($run->{stdout}, '', 'is no reason for SSH');

$run = bosh([ '-e', 'https://localhost:1', 'pcap' ], env => \%env);
is($run->{code}, 1, 'nor is a Director that is down');
is($run->{stdout}, '', 'a reason for SSH');

$run = bosh([ 'pcap', '--ssh' ], dirs => ['ours']);
is($run->{code}, 1, '--ssh without a bosh CLI');
like($run->{stderr}, qr/no other bosh on PATH/, 'words');

my $api = PcapTest::StandIn->new(certs => $certs, port => 9495,
    script => sub { $_[0]->usual(2, 10, 'complete') });

for my $case (
    [ 'bosh', [ 'pcap', 'router', '-o', 'x' ] ],
    [ 'bosh', [ '-ne', 'https://localhost:25555', '--no-color', 'pcap',
        'router', '-o', 'x', '--parallel=3' ] ],
    [ 'bosh-pcap', [ 'router', '-o', 'x' ] ])
{
    my ($name, $args) = @$case;

    $run = bosh($args, name => $name, env => \%env);
    is($run->{code}, 0, "$name @$args") or diag($run->{stderr});
    is_deeply([ cli_files($run) ], ['x'], 'a capture');
    is(($api->events('capture'))[-1]{group}, 'cf', 'of the deployment');
}

$run = bosh([ 'pcap', '--help' ]);
like($run->{stdout}, qr/^usage: pcap-cli bosh \[GROUP/, 'bosh pcap --help');
$run = bosh([ 'pcap', '--nope' ]);
is($run->{code}, 2, 'bosh pcap --nope');
like($run->{stderr}, qr/see bosh pcap --help/, 'words');

is(scalar $director->events('died'), 0, 'nothing odd was asked');
is(scalar $api->events('died'), 0, 'nothing odd was asked');
$api->stop();
finish();
