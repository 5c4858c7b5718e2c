# pcap-cli: refusals and their words, usage errors, TLS, and that neither a
# token nor what a hostile peer sends ever gets to a terminal.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use IO::Socket::INET;
use JSON::PP;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::Pcapng qw(shb idb isb epb);
use PcapTest::StandIn;

my $T = 1_700_000_000_000_000_000;
my $certs = PcapTest::Certs->new();

$certs->leaf('expired', names => ['localhost'], days => -1);
$certs->leaf('other', names => ['other.example']);
$certs->leaf('stranger', names => ['localhost'],
    issuer => $certs->{wrong_ca});

my ($api, $run);


sub script_is
{
    my ($script, %o) = @_;

    $api->stop() if $api;
    $api = PcapTest::StandIn->new(certs => $certs, script => $script, %o);
}


# --- problem documents ----------------------------------------------------

script_is(sub {
    my ($c, $r) = @_;

    my $group = $r->{group};

    return $c->problem(403, 'Forbidden', 'the right pcap.capture is missing')
        if $group eq 'forbidden';
    return $c->problem(502, 'Bad Gateway', "no agent\ncould start",
        targets => [
            { name => 'web/0', type => 'START_CAPTURE_FAILED',
              detail => 'no such interface' },
            { name => "web/\e[31m1", type => 'CONNECTION_ERROR',
              detail => "a\nb\x{9b}31m" } ]) if $group eq 'targets';
    return $c->problem(502, 'Bad Gateway', 'many', targets => [
        map { { name => "web/$_", detail => 'x' } } 1 .. 60 ])
        if $group eq 'many';
    return $c->reply(302, 'text/html', '<html>moved</html>',
        'Location: https://localhost:8443/v1/elsewhere') if $group eq 'moved';
    return $c->reply(500, 'text/html', '<html>\e[2J</html>')
        if $group eq 'html';
    return $c->reply(200, 'text/html', '<html>hello</html>')
        if $group eq 'page';
    return $c->reply(404, 'application/json', '{"title":"a title"}')
        if $group eq 'json';
    return $c->reply(404, 'application/problem+json', '{"title": 7, ')
        if $group eq 'broken';
    return $c->reply(404, 'application/problem+json',
        '{"title":7,"detail":[],"targets":{"a":1},"request_id":{}}')
        if $group eq 'types';
    return $c->reply(404, 'application/problem+json', '[' x 100_000)
        if $group eq 'deep';
    return $c->reply(404, 'application/problem+json', '"' . 'x' x 1_000_000)
        if $group eq 'long';
    die "group $group\n";
});

for my $case (
    [ 'forbidden', 4, qr/^pcap-cli: Forbidden \(HTTP 403\): the right pcap.*
pcap-cli:   request id req-42$/m ],
    [ 'targets', 1, qr/^pcap-cli: Bad Gateway \(HTTP 502\): no agent could s.*
pcap-cli:   web\/0: START_CAPTURE_FAILED: no such interface
pcap-cli:   web\/\?\[31m1: CONNECTION_ERROR: a b\?31m
/m ],
    [ 'many', 1, qr/  \.\.\. and 10 more/ ],
    [ 'moved', 1, qr/redirects to https:\/\/localhost:8443\/v1\/elsewhere/ ],
    [ 'html', 1, qr/HTTP 500, without a word why/ ],
    [ 'page', 1, qr/the answer is not a capture/ ],
    [ 'json', 1, qr/HTTP 404, without a word why/ ],
    [ 'broken', 1, qr/HTTP 404/ ],
    [ 'types', 1, qr/refused \(HTTP 404\)$/m ],
    [ 'deep', 1, qr/HTTP 404/ ],
    [ 'long', 1, qr/HTTP 404/ ])
{
    my ($group, $code, $words) = @$case;

    $run = cli($api, [ 'static', $group ]);
    is($run->{code}, $code, "$group: exit code");
    like($run->{stderr}, $words, "$group: words");
    unlike($run->{stderr}, qr/<html|[^\n -~]/, "$group: nothing else");
    is_deeply([ cli_files($run) ], [], "$group: no file");
}

is(scalar(grep { $_->{path} =~ /elsewhere/ } $api->events('request')), 0,
    'a redirect is not followed');

$run = cli($api, [ 'static', 'targets', '--json' ]);
is($run->{json}{problem}{targets}[0]{name}, 'web/0', 'problem in JSON');
is($run->{json}{exit_code}, 1, 'exit code in JSON');
unlike($run->{stdout}, qr/[^\n -~]/, 'JSON is plain ASCII');

$run = cli($api, [ 'static', 'demo' ], env => { PCAP_TOKEN => 'wrong' });
is($run->{code}, 4, 'HTTP 401');
like($run->{stderr}, qr/Unauthorized \(HTTP 401\): no token is active/,
    'words of 401');

# --- tokens ---------------------------------------------------------------

script_is(sub { $_[0]->usual(1, 10, 'complete') });

my $secret = 'good-token';

spew(work_dir() . '/token', "bearer $secret\n");
spew(work_dir() . '/blank', "two words\n");
spew(work_dir() . '/huge', 'x' x 40_000);

for my $case (
    [ 'file', [ '--token-file', work_dir() . '/token' ], 0 ],
    [ 'option', [ '--token', $secret ], 0 ],
    [ 'blank', [ '--token-file', work_dir() . '/blank' ], 2 ],
    [ 'huge', [ '--token-file', work_dir() . '/huge' ], 2 ],
    [ 'missing', [ '--token-file', work_dir() . '/none' ], 2 ],
    [ 'line break', [ '--token', "a\r\nX-Evil: 1" ], 2 ],
    [ 'empty', [ '--token', '' ], 2 ],
    [ 'none', [], 2 ],
    [ 'both', [ '--token', 'a', '--token-file', '/x' ], 2 ])
{
    my ($what, $args, $code) = @$case;

    $run = cli($api, [ 'static', 'demo', '-v', @$args ],
        env => { PCAP_TOKEN => undef });
    is($run->{code}, $code, "token: $what") or diag($run->{stderr});
    unlike($run->{stderr} . $run->{stdout}, qr/\Q$secret\E/,
        "token: $what: not shown");
}

$run = cli($api, [ 'static', 'demo', '-v', '--json' ]);
like($run->{stderr}, qr/^> POST \/v1\/capture\/static\/demo HTTP/m,
    '-v shows the request');
like($run->{stderr}, qr/^> Authorization: \[hidden\]$/m, 'and hides this');
like($run->{stderr}, qr/with format=pcapng$/m, 'and shows the form');
like($run->{stderr}, qr/^< HTTP\/1.1 200/m, 'and the answer');
unlike($run->{stderr} . $run->{stdout}, qr/$secret|PACKET-SECRET/,
    '-v shows neither token nor packets');

$run = cli($api, [ 'stop', PcapTest::StandIn::ID, '-v' ]);
unlike($run->{stderr}, qr/$secret/, 'stop -v neither');

script_is(sub {
    my ($c) = @_;

    $c->begin();
    $c->chunk(PcapTest::StandIn::head(1));
    $c->event('begun');
    $c->wait_gone(5);
});

my $started = cli_start($api, [ 'static', 'demo', '--token', $secret ],
    env => { PCAP_TOKEN => undef });
$api->wait_event(5, 'begun');
unlike(slurp("/proc/$started->{pid}/cmdline"), qr/$secret/,
    'the process list does not show it');
kill 'INT', $started->{pid} for 1 .. 2;
cli_end($started);

# --- TLS ------------------------------------------------------------------

for my $case (
    [ 'expired', [], qr/expired/ ],
    [ 'other', [], qr/no alternative certificate subject name matches[^;]*$/ ],
    [ 'stranger', [], qr/certificate.*is its CA the one that PCAP_CA names/ ])
{
    my ($cert, $args, $words) = @$case;

    script_is(sub { $_[0]->usual(1, 10, 'complete') }, cert => $cert);

    $run = cli($api, [ 'static', 'demo', @$args ]);
    is($run->{code}, 1, "certificate $cert: refused");
    like($run->{stderr}, $words, "certificate $cert: words");
    is(scalar $api->events('request'), 0, "certificate $cert: no request");
}

$run = cli($api, [ 'static', 'demo', '-k' ]);
is($run->{code}, 0, '-k');
like($run->{stderr}, qr/^pcap-cli: WARNING: .* not verified/m, 'is loud');
$run = cli($api, [ 'static', 'demo', '-kq' ]);
like($run->{stderr}, qr/WARNING/, 'also when quiet');

$run = cli($api, [ 'static', 'demo', '--ca-cert',
    $certs->file('wrong-ca.crt') ]);
is($run->{code}, 0, '--ca-cert goes before PCAP_CA');

script_is(sub { $_[0]->usual(1, 10, 'complete') });

$run = cli($api, [ 'static', 'demo' ], env => { PCAP_CA => undef });
is($run->{code}, 1, 'the system does not know the CA');
like($run->{stderr}, qr/certificate.*; PCAP_CA or --ca-cert may name a file/,
    'what to do about it');
is(scalar $api->events('request'), 0, 'no request');

# --ca-cert is in place of the system's certificates, not beside them
my $dir = work_dir() . '/capath';
mkdir $dir;
must('sh', '-c', "cp $certs->{dir}/ca.crt $dir/ca.pem && openssl rehash $dir"
    . " && mount --bind $dir /etc/ssl/certs");
$run = cli($api, [ 'static', 'demo' ],
    env => { PCAP_CA => $certs->file('wrong-ca.crt') });
is($run->{code}, 1, 'the system does not help a CA file that does not fit');
must('umount', '/etc/ssl/certs');

$run = cli($api, [ 'static', 'demo', '--ca-cert', '/none' ]);
is($run->{code}, 1, 'no such CA file');
like($run->{stderr}, qr{/none; it has to be a file with certificates},
    'no such CA file: it says so');

$run = cli({ url => 'https://localhost:1', certs => $certs },
    [ 'static', 'demo', '--json' ]);
is($run->{code}, 1, 'nobody listens');
like($run->{json}{text}, qr/no answer from localhost/, 'words');

# a proxy gets the CONNECT and nothing of ours
my $proxy = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1')
    or die;
$started = cli_start($api, [ 'static', 'demo' ],
    env => { https_proxy => 'http://127.0.0.1:' . $proxy->sockport() });
my $s = $proxy->accept();
my $text = '';
sysread $s, $text, 4096, length $text while $text !~ /\r\n\r\n/;
like($text, qr/^CONNECT localhost:8443 HTTP\/1/, 'CONNECT to the proxy');
unlike($text, qr/authorization|$secret/i, 'without the token');
close $s;
is(cli_end($started)->{code}, 1, 'the proxy refuses');

# --- hostile texts --------------------------------------------------------

my $evil = "\e]0;owned\a\e[2J\x{9b}31m\xc2\x9b\xe2\x80\xae\x00\xff\r\nroot#";

script_is(sub {
    my ($c) = @_;

    $c->begin("X-Evil: \e[2J");
    $c->chunk(shb(opts => [ [ 1,
        "pcap-api START_CAPTURE_FAILED web/9: $evil" ] ])
        . idb(name => "web\e[2J/0/eth0") . epb(0, $T, 'x'));
    $c->chunk(isb(0, $T, opts => [
        [ 1, "pcap-api CONGESTED web/0: $evil" ],
        [ 1, "pcap-api NEWER_TYPE web\e[1m/0: hello" ],
        [ 1, "pcap-api lower web/0: not a message" ],
        [ 1, 'pcap-api CONGESTED web/0:no blank' ],
        [ 1, "pcap-api CONGESTED web/0: " . 'x' x 60_000 ] ]));
    $c->chunk(isb(0, $T, opts => [ [ 1,
        "pcap-api INSTANCE_UNAVAILABLE web/0: flood $_" ] ]))
        for 1 .. 500;
    $c->chunk(isb(0, $T, opts => [ [ 1,
        "pcap-api STATUS web/0: status=partial received=18446744073709551615 "
        . "dropped=18446744073709551616 unknown_since=\e[2J" ] ]));
    $c->chunk(isb(0, $T, opts => [ [ 1,
        'pcap-api STATUS api: status=partial packets=1 dropped=0 late=0' ] ]));
    $c->end(Status => 'partial', Packets => 1, Dropped => 0);
});

$run = cli($api, [ 'static', 'demo', '--json', '-v' ]);
is($run->{code}, 3, 'partial');
unlike($run->{stderr}, qr/[^\n -~]/, 'nothing but plain text is shown');
unlike($run->{stdout}, qr/[^\n -~]/, 'nor in JSON');
like($run->{stderr}, qr/web\/9: START_CAPTURE_FAILED: \?\]0;owned\?\?\[2J/,
    'message of the section');
like($run->{stderr}, qr/web\/0: CONGESTED: /, 'message of the statistics');
like($run->{stderr}, qr/web\?\[1m\/0: UNKNOWN: hello/, 'unknown type');
unlike($run->{stderr}, qr/not a message|no blank/, 'not messages');
cmp_ok(scalar(() = $run->{stderr} =~ /flood/g), '<=', 60,
    'a flood is not all shown');
like($run->{stderr}, qr/\d+ more messages not shown/, 'but counted');
is(scalar @{ $run->{json}{messages} }, 256, 'nor all kept');
is($run->{json}{instances}[0]{name}, 'web?[2J/0', 'names are cleaned');
is($run->{json}{instances}[0]{received}, 9223372036854775807,
    'a counter at its end');

# --- usage ----------------------------------------------------------------

for my $case (
    [ [], qr/which command\? There are: audit, bosh, cf, get, k8s, list, r/ ],
    [ ['captures'], qr/no command "captures"; there are: audit, bosh, cf, / ],
    [ [ '-k', 'audit', 'verify', 'x' ], qr/audit has to be the first word/ ],
    [ ['audit'], qr/audit has one command, verify/ ],
    [ ['static'], qr/needs GROUP/ ],
    [ [ 'static', 'a/b' ], qr/GROUP: / ],
    [ [ 'static', '../x' ], qr/GROUP: / ],
    [ [ 'static', 'a', 'b' ], qr/"b" is one argument too many/ ],
    [ [ 'static', 'a', '--nope' ], qr/no option --nope/ ],
    [ [ 'static', 'a', '--dur', '1' ], qr/no option --dur/ ],
    [ [ 'static', 'a', '-Z' ], qr/no option -Z/ ],
    [ [ 'static', 'a', "--\e[2J" ], qr/no option --\?\[2J/ ],
    [ [ 'static', 'a', '--duration' ], qr/--duration needs a value/ ],
    [ [ 'static', 'a', '--duration', '1x' ], qr/--duration: / ],
    [ [ 'static', 'a', '-s', '0' ], qr/--snaplen: / ],
    [ [ 'static', 'a', '-s1', '-s2' ], qr/--snaplen is given twice/ ],
    [ [ 'static', 'a', map { ('-i', "e$_") } 1 .. 9 ],
        qr/--interface is given too often/ ],
    [ [ 'static', 'a', '-i', 'a/b' ], qr/--interface: / ],
    [ [ 'static', 'a', '--quiet=1' ], qr/--quiet takes no value/ ],
    [ [ 'static', 'a', '--format', 'text' ], qr/--format: / ],
    [ [ 'static', 'a', '-f', 'x' x 5001 ], qr/--filter: / ],
    [ [ 'static', 'a', '--reason', "a\nb" ], qr/--reason: / ],
    [ [ 'static', 'a', '-u', 'http://x' ], qr/must begin with https/ ],
    [ [ 'static', 'a', '-u', 'https://u:p@x' ], qr/holds a user/ ],
    [ [ 'static', 'a', '-u', 'https://x/?a' ], qr/holds a user/ ],
    [ [ 'static', 'a', '-u', "https://x\e/" ], qr/malformed/ ],
    [ [ 'stop', 'abc' ], qr/ID: / ],
    [ [ 'stop', 'a' x 32, '-f', 'x' ], qr/does not take --filter/ ],
    [ [ 'status', 'x' ], qr/"x" is one argument too many/ ])
{
    my ($args, $words) = @$case;

    $run = cli($api, $args);
    is($run->{code}, 2, "usage: @{[ map { substr $_, 0, 20 } @$args ]}"
        =~ s/[^ -~]/?/gr);
    like($run->{stderr}, $words, 'words');
    unlike($run->{stderr}, qr/[^\n -~]/, 'plain');
}

$run = cli($api, [ 'static', 'a' ], env => { PCAP_API => undef });
is($run->{code}, 2, 'no API');
like($run->{stderr}, qr/Set PCAP_API or give -u URL/, 'words');

for my $args ([ '--help' ], [ 'static', '--help' ], [ '-h' ],
    [ 'stop', '-h' ])
{
    $run = cli($api, $args, env => { PCAP_API => undef });
    is($run->{code}, 0, "@$args");
    like($run->{stdout}, qr/^usage: pcap-cli/, 'help');
    unlike($run->{stdout}, qr/^.{81}/m, 'fits a terminal');
}

$run = cli($api, ['--version']);
like($run->{stdout}, qr/^pcap-cli \d+\.\d+\.\d+\n$/, 'version');

# --- status ---------------------------------------------------------------

for my $case (
    [ 200, { healthy => JSON::PP::false, version => '1', message => "\e[2Jx",
        compatibility_level => 1, resolvers => [ 'static', {} ] }, 3 ],
    [ 503, { healthy => JSON::PP::false, version => '1', message => '',
        compatibility_level => 1, resolvers => [] }, 1 ],
    [ 200, { healthy => JSON::PP::true, compatibility_level => 0 }, 1 ],
    [ 200, { healthy => [], version => {}, compatibility_level => 'x' }, 1 ],
    [ 500, {}, 1 ])
{
    my ($http, $doc, $code) = @$case;

    script_is(undef, status => $doc, status_code => $http);
    $run = cli($api, ['status'], env => { PCAP_TOKEN => undef });
    is($run->{code}, $code, "status $http: " . encode_json($doc));
    unlike($run->{stderr} . $run->{stdout}, qr/[^\n -~]/, 'plain');
}

is(scalar $api->events('died'), 0, 'nothing odd was asked');
$api->stop();
finish();
