# pcap-cli k8s: takes over where kubectl is logged in. Every kind of
# credential, plugins that fail in every way, several kubeconfigs, contexts,
# namespaces, a pod's service account, and what is refused with a word.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use PcapTest;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::StandIn;

my $certs = PcapTest::Certs->new();

$certs->leaf('alice', cn => 'alice', issuer => $certs->{wrong_ca});

my $api = PcapTest::StandIn->new(certs => $certs,
    token => [ 'good-token', 'next-token' ],
    client_ca => $certs->file('wrong-ca.crt'),
    store => sub {
        my ($c, $r) = @_;

        $c->event('stored', body => $r->{body});
        $r->{method} eq 'DELETE' ? $c->reply(202, 'application/json', '{}')
            : $c->problem(503, 'Full', 'no room');
    },
    script => sub { $_[0]->usual(2, 10, 'complete') });
my $home = work_dir() . '/home';
my $secrets = qr/good-token|next-token|SECRET|PRIVATE KEY/;
my $v1 = 'client.authentication.k8s.io/v1';
my $number = 0;
my ($run, $config);

mkdir $_ for $home, "$home/.kube", "$home/bin";
$ENV{PATH} = "$home/bin:$ENV{PATH}";


# A kubeconfig with one context, its user as YAML. Returns its name. o: ns,
# cluster (YAML), name (of the context).
sub config
{
    my ($user, %o) = @_;

    my $name = $o{name} || 'dev';
    my $ns = $o{ns} ? ", namespace: $o{ns}" : '';

    return $config = spew("$home/config" . ++$number, <<"END");
apiVersion: v1
kind: Config
current-context: $name
contexts:
- name: $name
  context: {cluster: prod, user: $name-user$ns}
clusters:
- name: prod
  cluster: @{[ $o{cluster} || '{server: "https://10.0.0.1:6443"}' ]}
users:
- name: $name-user
  user: $user
END
}


# A plugin in a file of its own; sh. Returns its path.
sub plugin
{
    my ($script, $name) = @_;

    my $file = spew("$home/" . ($name || 'plugin' . ++$number),
        "#!/bin/sh\n$script\n");

    chmod 0755, $file;

    return $file;
}


# YAML of a user with that plugin. o: more (YAML), mode, version.
sub by_plugin
{
    my ($command, %o) = @_;

    return sprintf '{exec: {command: "%s", apiVersion: %s,'
        . ' interactiveMode: %s%s}}', $command, $o{version} || $v1,
        $o{mode} || 'Never', $o{more} ? ", $o{more}" : '';
}


# What a plugin prints: its status as JSON.
sub cred
{
    my ($status, $version) = @_;

    return sprintf '{"kind":"ExecCredential","apiVersion":"%s",'
        . '"status":%s}', $version || $v1, $status;
}


sub k8s
{
    my ($args, %o) = @_;

    my %env = (KUBECONFIG => $config, HOME => $home, PCAP_TOKEN => undef,
        %{ $o{env} || {} });

    delete $o{env};
    $run = cli($api, [ 'k8s', @$args ], %o, env => \%env);
    unlike($run->{stderr} . $run->{stdout}, $secrets, 'no secrets');

    return $run;
}


sub good
{
    my ($name) = @_;

    is($run->{code}, 0, "$name: exit code") or diag($run->{stderr});
    is(($api->events('capture'))[-1]{token}, 'good-token',
        "$name: the token");
}


sub bad
{
    my ($name, $code, $words) = @_;

    is($run->{code}, $code, "$name: exit code") or diag($run->{stderr});
    like($run->{stderr}, $words, "$name: words");
    is_deeply([ cli_files($run) ], [], "$name: no file");
}

# --- what is asked for ------------------------------------------------------

config('{token: good-token}', ns => 'web');
k8s([ '-l', 'app=web,tier!=db', 'web-0', 'web-6d4cf56db6-abcde', '-f', 'tcp',
    '-v', '--json' ]);
good('a token');

my $asked = ($api->events('capture'))[-1];

is($asked->{path}, '/v1/capture/k8s/web', 'of the namespace');
is_deeply([ map { "$_->[0]=$_->[1]" } @{ $asked->{form} } ],
    [ 'format=pcapng', 'selector=app=web,tier!=db', 'instance=web-0',
    'instance=web-6d4cf56db6-abcde', 'filter=tcp' ], 'selector and pods');
is($run->{json}{packets}, 10, 'a capture');
like(join(' ', cli_files($run)), qr/^k8s-web-\d+T\d+Z\.pcapng$/, 'its name');
like($run->{stderr}, qr/^namespace web, context dev, as dev-user$/m,
    'says where');

k8s([ '-n', 'web', '-l', 'a in (b, c)', 'web-0', '--store',
    '--max-packets', '5' ]);
is($run->{code}, 1, 'to storage') or diag($run->{stderr});
is_deeply(JSON::PP::decode_json(($api->events('stored'))[-1]{body}),
    { resolver => 'k8s', target => 'web', options => { format => 'pcapng',
    selector => 'a in (b, c)', instance => ['web-0'], max_packets => '5' } },
    'what is asked for then');

# --- namespaces -------------------------------------------------------------

k8s([ '-n', 'dev-2', '-o', 'x' ]);
is(($api->events('capture'))[-1]{group}, 'dev-2', '-n wins');
is_deeply(($api->events('capture'))[-1]{form}, [ [ 'format', 'pcapng' ] ],
    'no selector: all pods');
config('{token: good-token}');
k8s([ '-o', 'x' ]);
is(($api->events('capture'))[-1]{group}, 'default', 'none: default');
config('{token: good-token}', ns => '"../../x"');
k8s([]);
bad('a namespace that is none', 2, qr/the namespace "\.\.\/\.\.\/x" of the/);
k8s([ '-n', 'web', '-A' ]);
bad('-A', 2, qr/-n NS/);

config('{}');
k8s([ '-n', 'by-hand', '-o', 'x', '--kubeconfig', '/nonexistent' ],
    env => { PCAP_TOKEN => 'good-token' });
good('token and namespace by hand');
config('{}', ns => 'ours');
k8s([ '-o', 'x' ], env => { PCAP_TOKEN => 'good-token' });
is(($api->events('capture'))[-1]{group}, 'ours',
    'a token by hand, the context\'s namespace');

# --- several files, contexts ------------------------------------------------

my $first = config('{token: good-token}', name => 'one', ns => 'n1');
my $second = config('{token: SECRET-2}', name => 'two', ns => 'n2');
my $both = "$home/nonexistent::$first:$second:$first";

k8s([ '-o', 'x' ], env => { KUBECONFIG => $both });
is(($api->events('capture'))[-1]{group}, 'n1', 'the first file has it');
k8s([ '--context', 'two' ], env => { KUBECONFIG => $both });
bad('the other one', 4, qr/HTTP 401/);
k8s([ '--context', 'three' ], env => { KUBECONFIG => $both });
bad('no such context', 2, qr/no context "three"; there are: one, two$/m);
k8s([ '--context', "\e[31m" ], env => { KUBECONFIG => $both });
bad('a hostile name', 2, qr/no context "\?\[31m"/);
k8s([ '-o', 'x', '--kubeconfig', $first ], env => { KUBECONFIG => $second });
is(($api->events('capture'))[-1]{group}, 'n1', '--kubeconfig wins');
k8s([ '--kubeconfig', "$home/no" ]);
bad('--kubeconfig is not there', 2, qr/there is no kubeconfig .*\/no$/m);
k8s([], env => { KUBECONFIG => "$home/no:$home/none" });
bad('none is there', 2, qr/no kubeconfig \S+\/no:\S+\/none, or nothing in it/);
k8s([], env => { KUBECONFIG => undef, HOME => "$home/no" });
bad('none is named', 2, qr/there is no kubeconfig: set KUBECONFIG/);
spew("$home/.kube/config", slurp($first));
k8s([ '-o', 'x' ], env => { KUBECONFIG => undef });
good('~/.kube/config');
k8s([ '-o', 'x' ], env => { KUBECONFIG => '' });
good('an empty KUBECONFIG is none');

spew("$home/broken", "users: [{name: x, user: {token: SECRET\n");
k8s([], env => { KUBECONFIG => "$first:$home/broken" });
bad('broken YAML', 2, qr{the kubeconfig .*/broken cannot be used: line });
spew("$home/broken", "kind: Pod\n");
k8s([], env => { KUBECONFIG => "$home/broken" });
bad('something else', 2, qr/kind is "Pod"/);
k8s([], env => { KUBECONFIG => $home });
bad('a folder', 2, qr/cannot read/);

$run = cli($api, [ '-c', 'exec "$0" k8s -o x --kubeconfig <(cat "$1")',
    tool('cli'), $first ], program => ['bash'],
    env => { PCAP_TOKEN => undef, HOME => $home });
good('a pipe');

$config = $first;
k8s([], env => { PCAP_API => undef });
bad('no API', 2, qr/which API\? Set PCAP_API .* a kubeconfig does not say/);

# --- token files ------------------------------------------------------------

spew("$home/token", "  good-token\n\n");
config('{tokenFile: token}');
k8s([ '-o', 'x' ]);
good('a token file');
config('{tokenFile: token, token: SECRET}');
k8s([ '-o', 'x' ]);
good('it wins over the token');
config('{tokenFile: nope, token: good-token}');
k8s([ '-o', 'x' ]);
good('unless it cannot be read');
config('{tokenFile: nope}');
k8s([]);
bad('no token file', 1, qr{there is no token file \S+/nope});
spew("$home/token", " \n");
config('{tokenFile: token}');
k8s([]);
bad('an empty one', 1, qr{/token holds no token});
spew("$home/token", 'SECRET SECRET');
k8s([]);
bad('a bad one', 1, qr{/token holds no token});

# --- plugins ----------------------------------------------------------------

my $seen = "$home/seen";
my $saying = cred('{"token":"good-token"}');
my $good = plugin("printf '%s\\n' \"\$0\" \"\$@\" >$seen\n"
    . "tr '\\0' '\\n' </proc/\$\$/environ >>$seen\ncat >>$seen\n"
    . "echo warning: SECRET >&2\n"
    . "echo '$saying'");

config(by_plugin($good, more => 'args: [get, "a b", ""],'
    . ' env: [{name: MINE, value: x=y}, {name: HOME, value: /theirs}],'
    . ' provideClusterInfo: true'), cluster => '{server: "https://k:1",'
    . ' certificate-authority: ca, proxy-url: "http://p", extensions: [{name:'
    . ' client.authentication.k8s.io/exec, extension: {aud: 1}}]}');
spew("$home/ca", 'CA');
k8s([ '-o', 'x', '-v' ]);
good('a plugin');

my $told = slurp($seen);

like($told, qr/^\Q$good\E\nget\na b\n\n/, 'its words');
like($told, qr/^MINE=x=y$/m, 'its variables');
is(scalar(() = $told =~ /^HOME=/mg), 1, 'in place of ours');
like($told, qr/^HOME=\/theirs$/m, 'theirs');
is_deeply(JSON::PP::decode_json($told =~ /^KUBERNETES_EXEC_INFO=(.*)$/m ? $1
    : '{}'), { kind => 'ExecCredential', apiVersion => $v1, spec => {
    interactive => JSON::PP::false, cluster => { server => 'https://k:1',
    'certificate-authority-data' => 'Q0E=', 'proxy-url' => 'http://p',
    config => { aud => 1 } } } }, 'what it is told');

rename $good, "$home/bin/pcaptest-login" or die;
config(by_plugin('pcaptest-login'));
k8s([ '-o', 'x' ]);
good('on PATH');
config(by_plugin('./bin/pcaptest-login'));
k8s([ '-o', 'x' ]);
good('beside the kubeconfig');

my $beta = 'client.authentication.k8s.io/v1beta1';

config("{exec: {command: "
    . plugin("echo '" . cred('{"token":"good-token"}', $beta) . "'")
    . ", apiVersion: $beta}}");
k8s([ '-o', 'x' ]);
good('v1beta1');

for my $case (
    [ 'exit 3', qr/has failed with exit code 3/ ],
    [ "printf 'why \\033[31m\\n' >&2; exit 1",
        qr/exit code 1\n.*it says: why \?\[31m/ ],
    [ 'kill -9 $$', qr/was ended by signal 9/ ],
    [ 'echo SECRET', qr/of no use: it prints no JSON/ ],
    [ '', qr/of no use: it prints no JSON/ ],
    [ "echo '[]'", qr/another object/ ],
    [ "echo '" . cred('{"token":"SECRET"}', $beta) . "'", qr/in version "/ ],
    [ "echo '" . cred('{}') . "'", qr/neither a token nor/ ],
    [ "echo '" . cred('{"token":"SECRET x"}') . "'", qr/its token is none/ ],
    [ 'exec cat /dev/zero', qr/prints more than 262144 bytes/ ])
{
    plugin($case->[0], 'failing');
    config(by_plugin("$home/failing"));
    k8s([]);
    bad("a plugin: $case->[0]" =~ s/\e|\\033/?/gr, 1, $case->[1]);
}

# it hangs, and so do its children; all of them are gone in the end
plugin("trap '' TERM\nsleep 1000 &\nsleep 1000", 'hanging');
config(by_plugin("$home/hanging"));
k8s([], env => { PCAP_CLI_TIME_SCALE => 100 });
bad('a plugin that hangs', 1, qr/has not ended within .* and was ended/);
ok($run->{seconds} < limit(10), 'in time');
ok(wait_for(5, sub { !grep { $_->[3] =~ /sleep 1000/ } procs() }),
    'nothing of it is left');

# Ctrl-C while it hangs
my $started = cli_start($api, ['k8s'], env => { KUBECONFIG => $config,
    HOME => $home, PCAP_TOKEN => undef });

ok(wait_for(10, sub { grep { $_->[3] =~ /sleep 1000/ } procs() }),
    'it runs');
kill 'INT', $started->{pid};
$run = cli_end($started);
bad('a plugin that is interrupted', 1, qr/was interrupted/);
ok(wait_for(5, sub { !grep { $_->[3] =~ /sleep 1000/ } procs() }),
    'it is ended, too');

# one that leaves a child behind which holds its output open
plugin("sleep 1000 &\necho '$saying'", 'leaving');
config(by_plugin("$home/leaving"));
k8s([ '-o', 'x' ], seconds => 10);
good('a plugin that leaves a child');
kill 'KILL', map { $_->[0] } grep { $_->[3] =~ /sleep 1000/ } procs();

config(by_plugin('pcaptest-none', more =>
    "installHint: \"get it\\nhere \\e[31m\""));
k8s([]);
bad('a plugin that is missing', 1, qr/it is not on PATH\n.*  get it here \?/);
chmod 0644, "$home/failing";
config(by_plugin("$home/failing"));
k8s([]);
bad('one that may not be run', 1, qr/cannot be run: Permission denied/);
spew("$home/failing", "#!/nonexistent\n");
chmod 0755, "$home/failing";
k8s([]);
bad('one without its shell', 1, qr/cannot be run: No such file/);
config(by_plugin("$home/failing", mode => 'Always'));
k8s([]);
bad('one that asks', 1, qr/asks its user .* no terminal/);
config(by_plugin("$home/failing", more => 'provideClusterInfo: true'),
    cluster => '{}');
k8s([]);
bad('a cluster without a server', 1, qr/"prod" is not there or has no serv/);

# at a terminal it may ask
plugin("printf 'Code: ' >&2\nread code\n[ \"\$code\" = 42 ] || exit 1\n"
    . "echo '$saying'", 'asking');
config(by_plugin("$home/asking", mode => 'IfAvailable'));
$run = on_terminal($api, [ 'k8s', '-o', 'x' ], env => { KUBECONFIG => $config,
    HOME => $home, PCAP_TOKEN => '' }, keys => [ [ qr/Code: /, "42\n" ] ]);
is($run->{code}, 0, 'a plugin that asks') or diag($run->{screen});

# --- certificates -----------------------------------------------------------

my %pem = map { $_ => slurp($certs->file("alice.$_")) } qw(crt key);
my %data = map { $_ => encode_base64($pem{$_}, '') } qw(crt key);

spew("$home/$_", $pem{$_}) for qw(crt key);
config("{client-certificate-data: $data{crt}, client-key-data: $data{key}}");
k8s([]);
bad('a certificate', 4, qr/only a client certificate: give --client-cert, wh/);
like($run->{stderr}, qr/`kubectl create token SERVICEACCOUNT`/, 'a hint');
k8s([ '-o', 'x', '-v', '--client-cert' ]);
is($run->{code}, 0, '--client-cert') or diag($run->{stderr});
is(($api->events('capture'))[-1]{cn}, 'alice', 'who it is');
is(($api->events('capture'))[-1]{token}, undef, 'no token');
config('{client-certificate: crt, client-key: key, token: good-token}');
k8s([ '-o', 'x' ]);
good('files and a token');
is(($api->events('capture'))[-1]{cn}, undef, 'not shown unasked');
k8s([ '-o', 'x', '--client-cert' ]);
good('both');
is(($api->events('capture'))[-1]{cn}, 'alice', 'both are shown');
config('{client-certificate: crt}');
k8s(['--client-cert']);
bad('no key', 2, qr/there is no client-key/);
config('{client-certificate: crt, client-key-data: "SECRET!"}');
k8s(['--client-cert']);
bad('a key that is none', 2, qr/client-key-data is no base64/);
config('{token: good-token}');
k8s(['--client-cert']);
bad('no certificate', 2, qr/--client-cert: there is no client certificate/);

my %json = map { $_ => JSON::PP->new->allow_nonref->encode($pem{$_}) }
    qw(crt key);

spew("$home/answer", cred("{\"clientCertificateData\":$json{crt},"
    . "\"clientKeyData\":$json{key}}"));
config(by_plugin(plugin("cat $home/answer")));
k8s([]);
bad('a certificate of a plugin', 4, qr/hands out a certificate, no token/);
k8s([ '-o', 'x', '--client-cert' ]);
is($run->{code}, 0, 'a certificate of a plugin') or diag($run->{stderr});
is(($api->events('capture'))[-1]{cn}, 'alice', 'who it is');

# --- what is not taken ------------------------------------------------------

for my $case (
    [ '{auth-provider: {name: gcp, config: {access-token: SECRET}}}',
        qr/auth-provider, .*kubectl create token/ ],
    [ '{username: admin, password: SECRET}', qr/password, .*kubectl create/ ],
    [ '{}', qr/has no credentials .*kubectl create token/ ],
    [ '{token: good-token, as: root}', qr/acts as somebody else/ ])
{
    config($case->[0]);
    k8s([]);
    bad($case->[0] =~ s/SECRET/.../r, 4, $case->[1]);
}

config('{token: "SECRET x"}');
k8s([]);
bad('a token that is none', 2, qr/the token of the user dev-user is none/);
config('{token: [SECRET]}');
k8s([]);
bad('a token that is a list', 2, qr/token of the user "dev-user": a text/);

# --- other commands ---------------------------------------------------------

config(by_plugin('pcaptest-login'));
$run = cli($api, [ 'stop', '--k8s', PcapTest::StandIn::ID ], env => {
    KUBECONFIG => $config, HOME => $home, PCAP_TOKEN => undef });
is($run->{code}, 0, 'stop --k8s') or diag($run->{stderr});
$run = cli($api, [ 'stop', '--context', 'dev', PcapTest::StandIn::ID ],
    env => { KUBECONFIG => $config, HOME => $home, PCAP_TOKEN => undef });
is($run->{code}, 0, 'stop --context') or diag($run->{stderr});
$run = cli($api, [ 'list', '--k8s', '--cf' ]);
is($run->{code}, 2, 'two logins');
like($run->{stderr}, qr/one of them/, 'words');

# --- in a pod ---------------------------------------------------------------

my $account = '/run/secrets/kubernetes.io/serviceaccount';

must('mount', '-t', 'tmpfs', 'tmpfs', '/run');
must('mkdir', '-p', $account);
spew("$account/token", 'good-token');
spew("$account/namespace", "inside\n");
unlink "$home/.kube/config";
$config = undef;

my %pod = (KUBERNETES_SERVICE_HOST => '10.0.0.1',
    KUBERNETES_SERVICE_PORT => 443);

k8s([ '-o', 'x' ], env => \%pod);
good('in a pod');
is(($api->events('capture'))[-1]{group}, 'inside', 'its namespace');
like($run->{stderr}, qr/as the pod's service account$/m, 'says so');
k8s([ '-o', 'x' ], env => { %pod, POD_NAMESPACE => 'named' });
is(($api->events('capture'))[-1]{group}, 'named', 'POD_NAMESPACE');
k8s([]);
bad('no pod', 2, qr/there is no kubeconfig/);

is(scalar(() = $api->events('died')), 0, 'nothing odd was asked')
    or diag(explain([ $api->events('died') ]));

$api->stop();
finish();
