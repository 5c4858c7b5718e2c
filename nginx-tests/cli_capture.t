# pcap-cli: what it asks for, what it writes and where, what it says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use JSON::PP;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Check;
use PcapTest::Cli;
use PcapTest::Pcapng qw(parse parse_pcap idb);
use PcapTest::StandIn;


my $certs = PcapTest::Certs->new();
my $api = PcapTest::StandIn->new(certs => $certs, script => sub {
    my ($c, $r) = @_;

    my ($n, $count) = $r->{group} =~ /^g(\d+)-(\d+)$/ ? ($1, $2) : (2, 100);

    if ($r->{group} eq 'mixed') {
        $c->begin();
        $c->chunk(PcapTest::StandIn::head(2, linktype => [ 1, 276 ]));
        $c->chunk(PcapTest::StandIn::packets(2, 10));
        $c->wait_delete(5);
        $c->chunk(PcapTest::StandIn::tail(2, 10, 'stopped'));
        return $c->end(Status => 'stopped', Packets => 10, Dropped => 0);
    }

    if ($r->{group} eq 'late') {
        $c->begin();
        $c->chunk(PcapTest::StandIn::head(2)
            . PcapTest::StandIn::packets(2, 10)
            . idb(name => 'web/2/any', linktype => 276));
        $c->wait_delete(5);
        $c->chunk(PcapTest::StandIn::tail(2, 10, 'stopped'));
        return $c->end(Status => 'stopped', Packets => 10, Dropped => 0);
    }

    $c->usual($n, $count, 'complete', dropped => $r->{group} eq 'drops'
        ? 7 : 0);
});

my $run;
my $expected = PcapTest::StandIn::head(2) . PcapTest::StandIn::packets(2, 100)
    . PcapTest::StandIn::tail(2, 100, 'complete');

# --- a file with a name of its own ----------------------------------------

$run = cli($api, [ 'static', 'demo' ]);

is($run->{code}, 0, 'complete') or diag($run->{stderr});
my ($name) = cli_files($run);
like($name, qr/^static-demo-\d{8}T\d{6}Z\.pcapng$/, 'default name');
is(scalar cli_files($run), 1, 'one file');
is(sprintf('%o', (stat "$run->{dir}/$name")[2] & 07777), '600', 'mode');
ok(slurp("$run->{dir}/$name") eq $expected, 'the bytes of the API');
tshark_ok("$run->{dir}/$name", 'default');
is($run->{stdout}, '', 'nothing on standard output');
like($run->{stderr}, qr/^capturing 2 instances/, 'targets come first');
like($run->{stderr}, qr/^  web\/0  eth0\n  web\/1  eth0$/m, 'targets');
like($run->{stderr}, qr/^web\/1 +50 +50 +0$/m, 'ledger');
like($run->{stderr}, qr/^100 packets .* 0 dropped: \Q$name\E\ncomplete$/m,
    'summary');
unlike($run->{stderr}, qr/[^\n -~]/, 'no control characters in a pipe');
unlike($run->{stderr}, qr/good-token|PACKET-SECRET/, 'no secrets');

# --- the request ----------------------------------------------------------

$run = cli($api, [ 'static', 'demo', '-o', 'x', '-i', 'eth0', '-i', 'any',
    '-f', "tcp port 80 and host 1.2.3.4 && \xc3\xa4=+%", '-s96',
    '--duration=30s', '--max-bytes', '100m', '--max-packets', '7000',
    '--promiscuous', '--promiscuous', '--reason', 'ticket #1 & more',
    '--instance', 'web/0', '--instance', 'web/1' ]);

is($run->{code}, 0, 'all options');
my ($asked) = ($api->events('capture'))[-1];
is_deeply($asked->{form}, [ [ 'format', 'pcapng' ], [ 'interface', 'eth0' ],
    [ 'interface', 'any' ], [ 'filter',
    "tcp port 80 and host 1.2.3.4 && \xc3\xa4=+%" ], [ 'snaplen', '96' ],
    [ 'duration', '30s' ], [ 'max_bytes', '100m' ],
    [ 'max_packets', '7000' ], [ 'promiscuous', '1' ],
    [ 'reason', 'ticket #1 & more' ], [ 'instance', 'web/0' ],
    [ 'instance', 'web/1' ] ], 'the form');

my ($r) = ($api->events('request'))[-1];
like($r->{field}{'user-agent'}, qr{^pcap-cli/\d}, 'user agent');
ok(!exists $r->{field}{expect}, 'no Expect');
is($r->{path}, '/v1/capture/static/demo', 'nothing in the path');

# --- existing files -------------------------------------------------------

{
    my $dir = work_dir() . '/files';
    mkdir $dir;
    spew("$dir/x", 'old');
    chmod 0644, "$dir/x";
    symlink 'x', "$dir/link";
    symlink 'nowhere', "$dir/dangling";

    $run = cli($api, [ 'static', 'demo', '-o', "$dir/x" ]);
    is($run->{code}, 1, 'an existing file is refused');
    like($run->{stderr}, qr/exists; -F replaces it/, 'and why');
    is(slurp("$dir/x"), 'old', 'it is as it was');
    is(scalar $api->events('capture'), 2, 'nothing was asked of the API');

    $run = cli($api, [ 'static', 'demo', '-o', "$dir/dangling" ]);
    is($run->{code}, 1, 'a dangling link is refused');
    ok(!-e "$dir/nowhere", 'and not followed');

    $run = cli($api, [ 'static', 'demo', '-Fo', "$dir/link" ]);
    is($run->{code}, 1, 'a link is not replaced');
    is(slurp("$dir/x"), 'old', 'nor its target');

    $run = cli($api, [ 'static', 'demo', '-F', '-o', "$dir/x" ],
        env => { PCAP_TOKEN => 'wrong' });
    is($run->{code}, 4, 'refused by the API');
    is(slurp("$dir/x"), 'old', 'with -F too the old file stays');

    $run = cli($api, [ 'static', 'demo', '-F', '-o', "$dir/x" ]);
    is($run->{code}, 0, '-F');
    ok(slurp("$dir/x") eq $expected, 'replaced');
    is(sprintf('%o', (stat "$dir/x")[2] & 07777), '600', 'mode is new');
    is_deeply([ map { s{.*/}{}r } sort glob "$dir/* $dir/.*[!.]*" ],
        [qw(dangling link x)], 'no temporary file');

    $run = cli($api, [ 'static', 'demo', '-o', $dir ]);
    is($run->{code}, 1, 'a folder is refused');

    $run = cli($api, [ 'static', 'demo', '-o', "$dir/no/x" ]);
    is($run->{code}, 1, 'no such folder');
    like($run->{stderr}, qr/No such file/, 'and why');
}

# --- standard output, pipes, devices --------------------------------------

$run = cli($api, [ 'static', 'demo', '-o', '-' ]);
is($run->{code}, 0, 'standard output');
ok($run->{stdout} eq $expected, 'all of it');
is_deeply([ cli_files($run) ], [], 'no file');

$run = cli($api, [ 'static', 'demo', '-o', '-', '-q', '--json' ]);
my $json = eval { decode_json($run->{stderr}) };
is($json->{packets}, 100, 'JSON goes to standard error beside the capture');
ok($run->{stdout} eq $expected, 'and not into it');

# more than is buffered here: the API has to wait
my $many = 80_000;

$run = cli($api, [ 'static', "g2-$many", '-o', '-' ],
    prefix => [ 'sh', '-c', '"$@" | { sleep 1; cat > piped; }', 'sh' ]);
ok(slurp("$run->{dir}/piped") eq PcapTest::StandIn::head(2)
    . PcapTest::StandIn::packets(2, $many)
    . PcapTest::StandIn::tail(2, $many, 'complete'),
    'a slow reader gets everything') or diag($run->{stderr});

$run = cli($api, [ 'static', 'demo', '-o', '/dev/null' ]);
is($run->{code}, 0, '/dev/null needs no -F');
ok(-c '/dev/null', 'and stays what it is');

# --- pcap -----------------------------------------------------------------

$run = cli($api, [ 'static', 'demo', '--format', 'pcap' ]);
is($run->{code}, 0, 'pcap');
($name) = cli_files($run);
like($name, qr/\.pcap$/, 'its name');

my $pcap = parse_pcap(slurp("$run->{dir}/$name"));
my $pcapng = parse($expected);

ok($pcap->{nsec}, 'nanoseconds');
is($pcap->{linktype}, 1, 'link type');
is_deeply([ map { [ @$_[1 .. 4] ] } @{ $pcap->{packets} } ],
    [ map { [ @$_[1 .. 4] ] } @{ $pcapng->{packets} } ], 'same packets');
tshark_ok("$run->{dir}/$name", 'pcap');

$run = cli($api, [ 'static', 'g1-0', '--format', 'pcap' ]);
($name) = cli_files($run);
is(length slurp("$run->{dir}/$name"), 24, 'an empty capture has its header');

$run = cli($api, [ 'static', 'mixed', '--format', 'pcap' ]);
is($run->{code}, 1, 'mixed link types do not fit into pcap');
like($run->{stderr}, qr/web\/0\/eth0 has link type 1, web\/1\/eth0 has 276/,
    'and why');
is_deeply([ cli_files($run) ], [], 'no file is left');
is(scalar $api->events('delete'), 1, 'the capture was stopped');

$run = cli($api, [ 'static', 'late', '--format', 'pcap' ]);
is($run->{code}, 1, 'another link type later');
($name) = cli_files($run);
is(scalar @{ parse_pcap(slurp("$run->{dir}/$name"))->{packets} }, 10,
    'what came before is there');

$run = cli($api, [ 'static', 'mixed' ]);
is($run->{code}, 0, 'pcapng holds them');

# --- JSON, quiet, ledger --------------------------------------------------

$run = cli($api, [ 'static', 'drops', '--json' ]);
$json = $run->{json};
is($run->{code}, 0, 'dropped packets are no failure');
is($json->{status}, 'complete', 'status');
is($json->{exit_code}, 0, 'exit code');
is($json->{packets}, 100, 'packets');
is($json->{dropped}, 7, 'dropped');
is($json->{capture_id}, PcapTest::StandIn::ID, 'capture id');
is($json->{request_id}, '11-22-33', 'request id');
is($json->{http_status}, 200, 'HTTP status');
is($json->{written_bytes}, -s "$run->{dir}/$json->{file}", 'bytes written');
is_deeply([ map { "$_->{name} $_->{received} $_->{packets} $_->{dropped} "
    . $_->{interfaces}[0]{name} } @{ $json->{instances} } ],
    [ 'web/0 57 50 7 web/0/eth0', 'web/1 50 50 0 web/1/eth0' ],
    'instances');
like($run->{stderr}, qr/^web\/0 +57 +50 +7$/m, 'ledger with drops');
is($run->{stdout} =~ tr/\n//, 1, 'one line');

$run = cli($api, [ 'static', 'demo', '-q' ]);
is($run->{stderr}, '', 'quiet');
is($run->{code}, 0, 'quiet and well');

# --- status, stop ---------------------------------------------------------

$run = cli($api, ['status'], env => { PCAP_TOKEN => undef });
is($run->{code}, 0, 'status') or diag $run->{stderr};
is($run->{stdout}, "localhost: healthy, version 0.1.0, compatibility level 1,"
    . " can capture: static\n", 'its words');
$run = cli($api, [ 'status', '--json' ], env => { PCAP_TOKEN => undef });
is($run->{json}{version}, '0.1.0', 'status as JSON');

$run = cli($api, [ 'stop', PcapTest::StandIn::ID ]);
is($run->{code}, 0, 'stop');
like($run->{stderr}, qr/is being stopped/, 'its words');

$run = cli($api, [ 'stop', 'f' x 32 ]);
is($run->{code}, 1, 'stop of an unknown capture');
like($run->{stderr}, qr/Not Found \(HTTP 404\): no such capture/, 'and why');

is_deeply([ grep { $_->{event} eq 'died' } $api->events() ], [],
    'the API was never asked anything odd');
$api->stop();
finish();
