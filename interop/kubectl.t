#!/usr/bin/perl
#
# interop/kubectl.t: the same kubeconfigs for the real kubectl and for
# pcap-cli k8s: both must take the same context, namespace and token out of
# them, and tell a credential plugin the same. Both servers are stand-ins.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../nginx-tests/lib";

use Test::More;
use JSON::PP;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::StandIn;

if (system('kubectl version --client >/dev/null 2>&1') != 0) {
    plan(skip_all => 'kubectl: it is not installed (kubernetes-client)');
}

my $certs = PcapTest::Certs->new();
my $v1 = 'client.authentication.k8s.io/v1';
my $home = work_dir() . '/home';
my @tokens = map { "token-$_" } 0 .. 9;
my $api = PcapTest::StandIn->new(certs => $certs, token => \@tokens,
    script => sub { $_[0]->usual(1, 2, 'complete') });

# kubectl's server: notes who asks, and knows nothing.
my $cluster = PcapTest::StandIn->new(certs => $certs, port => 6443,
    elsewhere => sub {
    $_[0]->reply(200, 'application/json', '{}');
});

mkdir $_ for $home, "$home/.kube", "$home/sub";


# A file with these contexts ([name, user, namespace or undef]) and users
# (name => YAML). o: current.
sub config
{
    my ($file, $contexts, $users, %o) = @_;

    return spew("$home/$file", join "\n", 'apiVersion: v1', 'kind: Config',
        defined $o{current} ? "current-context: $o{current}" : (),
        'contexts:', (map { "- {name: $_->[0], context: {cluster: main, user:"
        . " $_->[1]" . (defined $_->[2] ? ", namespace: $_->[2]" : '')
        . '}}' } @$contexts), 'clusters:', '- name: main',
        '  cluster: {server: "https://localhost:6443",'
        . ' certificate-authority: "' . $certs->file('ca.crt') . '",'
        . ' tls-server-name: localhost, extensions: [{name:'
        . ' client.authentication.k8s.io/exec, extension: {audience: a,'
        . ' deep: [1, "2", null, true]}}]}', 'users:',
        (map { "- {name: $_, user: $users->{$_}}" } sort keys %$users), '');
}


# A plugin that notes what it is told in FILE.PROGRAM and hands out a token.
sub plugin
{
    my ($file, $token) = @_;

    spew("$home/$file", "#!/bin/sh\n"
        . "echo \"\$KUBERNETES_EXEC_INFO\" >'$home/$file.'\$PROGRAM\n"
        . "echo \"\$1|\$VARIABLE\" >>'$home/$file.'\$PROGRAM\n"
        . "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"$v1\","
        . "\"status\":{\"token\":\"$token\"}}'\n");
    chmod 0755, "$home/$file";
}


# Both with the same words and KUBECONFIG; what each of them makes of it.
sub both
{
    my ($name, $want, $files, @args) = @_;

    my %env = (HOME => $home, PCAP_TOKEN => undef, KUBECONFIG => $files);
    my $seen = () = $cluster->events('request');
    my $kubectl = cli($api, [ 'get', '--raw', '/x', @args ],
        program => ['kubectl'], env => { %env, PROGRAM => 'kubectl' });
    my ($asked) = ($cluster->events('request'))[$seen];
    my $ns = cli($api, [ 'config', 'view', '--minify', '-o',
        'jsonpath={..namespace}', @args ], program => ['kubectl'],
        env => \%env)->{stdout} || 'default';

    my $captured = () = $api->events('capture');
    my $run = cli($api, [ 'k8s', '-o', 'x', @args ],
        env => { %env, PROGRAM => 'pcap-cli' });
    my ($ours) = ($api->events('capture'))[$captured];

    is(($asked->{field}{authorization} || '') . " $ns", "Bearer $want",
        "$name: kubectl") or diag($kubectl->{stderr});
    is('Bearer ' . ($ours->{token} || '') . ' ' . ($ours->{group} || ''),
        "Bearer $want", "$name: pcap-cli") or diag($run->{stderr});
}


spew("$home/sub/file", "token-3\n");
plugin('sub/login', 'token-4');

my $one = config('one', [ [ 'a', 'alice', 'web' ], [ 'b', 'bob' ] ],
    { alice => '{token: token-1}', bob => '{tokenFile: sub/file}',
    both => '{token: token-1, tokenFile: sub/file}' }, current => 'a');
my $two = config('two', [ [ 'a', 'bob', 'other' ], [ 'c', 'bob', 'c' ],
    [ 'd', 'both' ] ], { bob => '{token: token-5}',
    alice => '{token: token-6}' }, current => 'c');
my $users = config('users', [], { alice => '{token: token-7}' });
my $exec = config('sub/exec', [ [ 'e', 'eve', 'e' ] ], { eve => '{exec: {'
    . "command: ./login, args: [x], apiVersion: $v1, interactiveMode: Never,"
    . ' env: [{name: VARIABLE, value: why}], provideClusterInfo: true}}' },
    current => 'e');

both('the current context', 'token-1 web', $one);
both('another one', 'token-3 default', $one, '--context', 'b');
both('two files', 'token-1 web', "$one:$two");
both('the other way', 'token-5 c', "$two:$one");
both('a context of the second', 'token-3 c', "$one:$two", '--context', 'c');
both('users first', 'token-7 web', "$users:$one:$two");
both('an empty name, one that is not there', 'token-1 web',
    ":$home/none:$one:");
both('token and file', 'token-3 default', "$one:$two", '--context', 'd');
both('--kubeconfig', 'token-5 c', $one, '--kubeconfig', $two);
both('a plugin', 'token-4 e', $exec);

my ($theirs, $ours) = map { slurp("$home/sub/login.$_") } qw(kubectl pcap-cli);

is_deeply(map({ decode_json($_ =~ /^(.*)$/m ? $1 : '{}') } $ours, $theirs),
    'the plugin is told the same');
is($ours =~ s/.*\n(.*\n)$/$1/sr, "x|why\n", 'words and variables');
is($theirs =~ s/.*\n(.*\n)$/$1/sr, "x|why\n", 'of both');

is(scalar(() = $api->events('died')), 0, 'nothing odd was asked');
$api->stop();
$cluster->stop();
finish();
