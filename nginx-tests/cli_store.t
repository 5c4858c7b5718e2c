# pcap-cli and stored captures: --store, get, rm, and what list and show say
# of them: refusals, connections that break, files that change, checksums
# that do not fit, and a redirect that the token must not follow.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Digest::SHA qw(sha256_hex);
use PcapTest;
use PcapTest::BoshStandIn;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::StandIn;
use PcapTest::StoreStandIn;

my $ID = PcapTest::StandIn::ID;
my $BODY = store_bytes(300_000);
my $SUM = sha256_hex($BODY);
my %FAST = (PCAP_CLI_TIME_SCALE => 1000);

my $certs = PcapTest::Certs->new();
my $api = store_api(certs => $certs);
my $s3 = object_store(certs => $certs, port => 8453);
my $there = 'https://localhost:8453/bucket/x?X-Amz-Signature=5ec4e7';
my $run;


sub record
{
    my ($state, %o) = @_;

    return { id => $ID, state => 'ended', resolver => 'static',
        target => 'demo', user => 'alice', started => '2026-11-21T08:13:00Z',
        target_count => 2, packets => 7, dropped => 0, %{ $o{more} || {} },
        stored => { state => $state, bytes => length $BODY,
            %{ $o{stored} || {} } } };
}


# One stored capture, whose file is $BODY.
sub has
{
    my (%o) = @_;

    store_tell($api, body => $BODY, records => { $ID => record('stored') },
        %o);
}


sub get
{
    my ($args, %o) = @_;

    return cli($api, [ 'get', $ID, @$args ],
        env => { %FAST, %{ $o{env} || {} } }, %o);
}


# How many bytes of files have left the stand-in.
sub sent
{
    my $sum = 0;

    $sum += $_->{bytes} for $api->events('sent');

    return $sum;
}


sub ranges { return map { $_->{range} || '-' } $_[0]->events('file') }

sub content { return slurp("$_[0]{dir}/$_[1]") }


# --- usage ----------------------------------------------------------------

has();

for my $case (
    [ [], qr/need a limit: --duration, --max-bytes or --max-packets/ ],
    [ [ '--duration', '1s', '-o', 'x' ], qr/nothing is written here/ ],
    [ [ '--duration', '1s', '-F' ], qr/nothing is written here/ ],
    [ [ '--duration', '1s', '--format', 'pcap' ], qr/--format pcapng/ ],
    [ [ '--duration', '1s', '--no-reconnect' ], qr/no stream/ ],
    [ [ '--duration', '1s', '--retention', 'long' ], qr/--retention: / ])
{
    my ($args, $words) = @$case;

    $run = cli($api, [ 'static', 'demo', '--store', @$args ]);
    is($run->{code}, 2, "usage: @$args");
    like($run->{stderr}, $words, 'it says why');
}

for my $args ([ 'static', 'demo', '--wait' ], [ 'get' ], [ 'rm' ],
    [ 'static', 'demo', '--retention', '1h' ], [ 'static', 'demo', '--tee' ],
    [ 'static', 'demo', '--tee', '--store', '--duration', '1s' ],
    [ 'static', 'demo', '--tee', '--wait', '--duration', '1s' ],
    [ 'static', 'demo', '--tee', '--reconnect-timeout', '1s', '--duration',
      '1s' ], [ 'get', $ID, $ID ],
    [ 'get', '../x' ], [ 'rm', $ID, 'x' ], [ 'get', $ID, '-f', 'tcp' ])
{
    is(cli($api, $args)->{code}, 2, "usage: @$args");
}

is(scalar $api->events(), 0, 'nothing was asked of the API');

# --- to storage -----------------------------------------------------------

my @ask = ('static', 'demo', '--store', '--max-packets', 10);

$run = cli($api, [ @ask, '-i', 'eth0', '-i', 'lo', '-f', "a \"b\"", '-s', 96,
    '--duration', '30s', '--max-bytes', '100m', '--promiscuous', '--instance',
    'web/0', '--reason', "w\xc3\xa4h", '--retention', '48h' ]);
is("$run->{code} $run->{stdout}", "0 $ID\n", 'the id');
like($run->{stderr}, qr/^capturing 2 instances to the storage of localhost/,
    'where it goes');
like($run->{stderr}, qr/is kept for 48h after its end$/m, 'for how long');
like($run->{stderr}, qr/pcap-cli $_ $ID$/m, $_) for qw(show stop get);
is_deeply([ cli_files($run) ], [], 'no file');
is_deeply(($api->events('stored'))[0]{doc}, { resolver => 'static',
    target => 'demo', retention => '48h', options => { format => 'pcapng',
    interface => [ 'eth0', 'lo' ], filter => 'a "b"', snaplen => 96,
    duration => '30s', max_bytes => '100m', max_packets => 10,
    promiscuous => 1, instance => [ 'web/0' ], reason => "w\x{e4}h" } },
    'what the API was asked for');

$run = cli($api, [ @ask, '-q' ]);
is("$run->{code} $run->{stdout}$run->{stderr}", "0 $ID\n", 'quiet');
$run = cli($api, [ @ask, '--json' ]);
is("$run->{code} $run->{json}{stored}{state}", '0 waiting', 'JSON');
is(cli($api, [ @ask, '--reason', "\xff" ])->{code}, 2, 'no UTF-8');

for my $case ([ 400, 1 ], [ 401, 4 ], [ 403, 4 ], [ 404, 1 ], [ 405, 1 ],
    [ 413, 1 ], [ 429, 1 ], [ 500, 1 ], [ 503, 1 ], [ 507, 1 ])
{
    my ($status, $code) = @$case;

    $run = cli($api, [ 'static', "http-$status", '--store', '--duration',
        '1s' ]);
    is("$run->{code} $run->{stdout}", "$code ", "HTTP $status");
    like($run->{stderr}, qr/\(HTTP $status\): as asked: $status$/m, 'told');
}

for my $case ([ 'waiting', 'running', 0, 2 ], [ 'waiting', 'failed', 1, 2 ],
    [ 'failed', 'stored', 1, 1 ], [ 503, 'failed', 0, 1 ])
{
    my ($first, $then, $code, $looks) = @$case;

    has(states => [ $first, $then ]);
    $run = cli($api, [ @ask ]);
    is("$run->{code} $run->{stdout}", "$code $ID\n", "$first, then $then");
    like($run->{stderr}, $code ? qr/^pcap-cli: .*no file: it is failed$/
        : qr/^capturing 2 instances/, 'told');
    is(scalar $api->events('look'), $looks, "$looks looks");
}

# Ctrl-C before it has begun
has(states => [ 'waiting' ]);

my $early = cli_start($api, \@ask);

ok($api->wait_event(10, 'look'), 'it looks');
kill 'INT', $early->{pid};
$run = cli_end($early);
is("$run->{code} $run->{stdout}", "1 $ID\n", 'Ctrl-C');
like($run->{stderr}, qr/^pcap-cli: not waiting .*`pcap-cli get $ID`/, 'told');
is(scalar $api->events('delete'), 0, 'it goes on');

has();
$run = cli($api, [ 'static', 'liar', '--store', '--duration', '1s' ]);
is("$run->{code} $run->{stdout}", '1 ', 'an id that is none');

# the question; n ends what has begun
store_tell($api, records => { $ID => record('running') });
$run = on_terminal($api, [ 'static', 'many', '--store', '--duration', '1s' ],
    keys => [ [ qr/capture of 6 instances has begun. Go on\? \[y\/N\]/,
    "n\n" ] ]);
is($run->{code}, 0, 'n at the question');
is(scalar $api->events('delete'), 1, 'it is stopped');
$run = on_terminal($api, [ 'static', 'many', '--store', '--duration', '1s',
    '--yes' ]);
is(scalar $api->events('delete'), 1, '--yes');

# --- list, show -----------------------------------------------------------

my %records = map { store_id($_->[0]) => { %{ $_->[1] },
    id => store_id($_->[0]) } }
    [ 1, record('stored', stored => { expires => '2999-01-01T00:00:00Z',
        sha256 => $SUM }) ],
    [ 2, record('gone', more => { status => 'complete' },
        stored => { gone => '2026-11-22T00:00:00Z',
        expires => '2999-01-01T00:00:00Z' }) ],
    [ 3, record('failed', stored => { detail => "disk\e[2J full" }) ],
    [ 4, record('interrupted', stored => { lost => 512 }) ],
    [ 5, record('running', more => { bytes => 1234, state => 'running' }) ];

store_tell($api, records => \%records);
$run = cli($api, [ 'list' ]);
is($run->{code}, 0, 'list');
like($run->{stdout}, qr/^ID +STATE .* KEPT +TARGET +USER$/m, 'a head');
like($run->{stdout}, qr{^0+1  stored .* 300.0 kB +0 +\d+d  static/demo }m,
    'size and time that is left');
like($run->{stdout}, qr{^0+2  gone .* -  static/demo }m, 'one that is gone');
like($run->{stdout}, qr/^0+3  failed /m, 'one that failed');
like($run->{stdout}, qr/^0+4  interrupted /m, 'one that was cut');
like($run->{stdout}, qr/^0+5  running .* 1.2 kB /m, 'one that runs');

$run = cli($api, [ 'show', store_id(1) ]);
like($run->{stdout}, qr/^stored +stored, 300.0 kB \(300000 bytes\)
sha256 +$SUM\nexpires +2999-01-01T00:00:00Z$/m, 'show');
like(cli($api, [ 'show', store_id(2) ])->{stdout},
    qr/^gone +2026-11-22T00:00:00Z$/m, 'when it went');
like(cli($api, [ 'show', store_id(3) ])->{stdout},
    qr/^detail +disk\?\[2J full$/m, 'why it failed');
like(cli($api, [ 'show', store_id(4) ])->{stdout},
    qr/^lost +512 bytes/m, 'what is missing');

# --- get ------------------------------------------------------------------

has();
$run = get([]);
is("$run->{code} $run->{stdout}", '0 ', 'get');
like($run->{stderr}, qr/^$ID.pcapng: 300.0 kB, SHA-256 $SUM$/, 'what it was');
is_deeply([ cli_files($run) ], [ "$ID.pcapng" ], 'one file');
ok(content($run, "$ID.pcapng") eq $BODY, 'it is the file');
is((stat "$run->{dir}/$ID.pcapng")[2] & 07777, 0600, 'nobody else reads it');

is(get([ '-q' ])->{stderr}, '', 'quiet');
$run = get([ '--json', '-o', 'a b' ]);
is("$run->{code} $run->{json}{file} $run->{json}{sha256}", "0 a b $SUM",
    'JSON');
ok(content($run, 'a b') eq $BODY, '-o');

for my $case ([ "$ID.pcap", "$ID.pcap" ], [ '../evil' ], [ '.bashrc' ],
    [ '-x' ], [ "a\x7fb" ], [ 'x' x 200 ], [ '' ])
{
    my ($name, $file) = @$case;

    has(name => $name);
    is_deeply([ cli_files(get([])) ], [ $file || "$ID.pcapng" ],
        "the server calls it '" . substr($name, 0, 10) . "'");
}

# a file of that name
has();

my $dir = work_dir() . '/full';

mkdir $dir;
spew("$dir/$ID.pcapng", 'mine');
symlink "$dir/$ID.pcapng", "$dir/link";

for my $case ([ [ '-o', "$dir/$ID.pcapng" ], 'exists; -F replaces it' ],
    [ [ '-o', "$dir/link", '-F' ], 'is no file that could be replaced' ])
{
    my ($args, $words) = @$case;

    $run = get($args);
    is($run->{code}, 1, "a file is there: $words");
    like($run->{stderr}, qr/$words$/m, 'it says so');
}

is(slurp("$dir/$ID.pcapng"), 'mine', 'it is as it was');
is(scalar $api->events('file'), 0, 'and nothing was asked for');
is(get([ '-F', '-o', "$dir/$ID.pcapng" ])->{code}, 0, '-F');
ok(slurp("$dir/$ID.pcapng") eq $BODY, 'replaces it');
unlink "$dir/link";

# standard output
$run = get([ '-o', '-' ]);
ok($run->{code} eq '0' && $run->{stdout} eq $BODY, 'standard output, a file');
$run = cli($api, [], program => [ 'sh', '-c',
    tool('cli') . " get $ID -o - | cat" ]);
ok($run->{stdout} eq $BODY, 'a pipe');
like($run->{stderr}, qr/^standard output: 300.0 kB/m, 'in words');
$run = on_terminal($api, [ 'get', $ID, '-o', '-' ], all => 1);
is($run->{code}, 1, 'a terminal');
like($run->{screen}, qr/packets do not go to a terminal/, 'is refused');
$run = cli($api, [], program => [ 'sh', '-c',
    '{ ' . tool('cli') . " get $ID -o -; echo \$? >code; } | head -c 10" ]);
is(length $run->{stdout}, 10, 'a reader that leaves');
is(content($run, 'code') . $run->{stderr}, "0\n", 'has what it wanted');

# progress
has(plan => [ { stall => 150_000 } ]);
$run = on_terminal($api, [ 'get', $ID, '-o', 'x' ],
    keys => [ [ qr/x  150\.0 kB of 300\.0 kB  50 % /, "\x03" ] ]);
is($run->{code}, 1, 'Ctrl-C') or diag($run->{screen});
like($run->{screen}, qr/\r\e\[1A\e\[Jpcap-cli: interrupted/,
    'it says so, in the place of the row');
like($run->{screen}, qr/x\.part is kept/, 'and what is left');
is_deeply([ cli_files($run) ], [ 'x.part', 'x.part.etag' ], 'it is');
is((stat "$run->{dir}/x.part")[2] & 07777, 0600, 'for nobody else');

# ... by the next try
$dir = $run->{dir};
has();
$run = get([ '-o', "$dir/x" ]);
is($run->{code}, 0, 'the same once more') or diag($run->{stderr});
is_deeply([ ranges($api) ], [ 'bytes=149999-' ], 'only the rest is asked for');
is(sent(), 150_001, 'and sent');
ok(slurp("$dir/x") eq $BODY, 'it is whole');
is_deeply([ glob "$dir/x*" ], [ "$dir/x" ], 'nothing is left');

# --- connections that break -----------------------------------------------

has(plan => [ { cut => 100_000 }, { cut => 50_000 } ]);
$run = get([]);
is($run->{code}, 0, 'cut twice') or diag($run->{stderr});
ok(content($run, "$ID.pcapng") eq $BODY, 'and whole');
is_deeply([ ranges($api) ], [ '-', 'bytes=99999-', 'bytes=149998-' ],
    'by three requests');

# more cuts than tries in a row, each with some bytes
has(plan => [ map { { cut => 20_000 } } 1 .. 12 ]);
is(get([])->{code}, 0, 'cut often, with progress');

has(plan => [ { cut => 1000 }, map { { cut => 0 } } 1 .. 20 ]);
$run = get([]);
is($run->{code}, 1, 'cut for ever');
like($run->{stderr}, qr/gave up: nothing came in 7 tries/, 'it gives up');
like($run->{stderr}, qr/$ID\.pcapng\.part is kept/, 'and keeps what came');
is(scalar $api->events('file'), 8, 'seven tries after the last byte');

has(plan => [ { cut => 1000 }, { status => 503, fields => [
    'Retry-After: 20' ] }, { status => 429 }, { status => 502 } ]);
is(get([])->{code}, 0, 'refused for a while');

has(plan => [ { cut => 1000 }, { status => 410 } ]);
is(get([])->{code}, 1, 'removed meanwhile');
is(scalar $api->events('file'), 2, 'no further try');

has(plan => [ { cut => 100_000 }, { etag => '"other"' } ]);
$run = get([]);
is($run->{code}, 0, 'another file meanwhile');
is(sent(), 400_000, 'it comes from the beginning');
ok(content($run, "$ID.pcapng") eq $BODY, 'and is whole');

has(plan => [ { cut => 100_000 }, { range => 7 } ]);
$run = get([]);
is($run->{code}, 1, 'another part than asked for');
like($run->{stderr}, qr/another part of the file/, 'it says so');

has(plan => [ { stall => 1000 } ]);
$run = get([ '--timeout', '300ms' ]);
is($run->{code}, 0, 'a server that says nothing more');

has(plan => [ { cut => 1000 } ]);
$run = get([ '-o', '-' ]);
is($run->{code}, 1, 'cut, to standard output');
like($run->{stderr}, qr/what was written is not whole/, 'it says so');
is(scalar $api->events('file'), 1, 'there is no going back');

# --- checksums ------------------------------------------------------------

has(sha256 => 'a' x 64);
$run = get([]);
is($run->{code}, 1, 'wrong checksum');
like($run->{stderr}, qr/wrong checksum: .* $SUM, the API says a{64}; it was
?/, 'it says so');
is_deeply([ cli_files($run) ], [], 'no file');
$run = get([ '-o', '-' ]);
is($run->{code}, 1, 'wrong checksum, to standard output');
like($run->{stderr}, qr/do not use what was written/, 'it says so');

for my $sum ('', 'short', 'z' x 64) {
    has(sha256 => $sum);
    $run = get([]);
    is($run->{code}, 0, "no checksum: '" . substr($sum, 0, 5) . "'");
    like($run->{stderr}, qr/names no checksum/, 'it says so');
}

has(sha256 => uc $SUM);
is(get([])->{code}, 0, 'in capitals');

has(body => '');
$run = get([]);
is($run->{code}, 0, 'an empty file');
is_deeply([ cli_files($run) ], [ "$ID.pcapng" ], 'is one');

# --- parts of others ------------------------------------------------------

$dir = work_dir() . '/parts';
mkdir $dir;
has();

my $tag = '"' . substr($SUM, 0, 16) . '"';

sub part
{
    my ($text, $etag) = @_;

    unlink glob "$dir/*";
    spew("$dir/x.part", $text);
    spew("$dir/x.part.etag", $etag) if defined $etag;

    return get([ '-o', "$dir/x" ]);
}

for my $case ([ undef, 'no earlier try' ], [ "junk\n", 'no earlier try' ],
    [ store_id(1) . " $tag\n", 'part of another capture' ],
    [ "$ID \"a\r\nX: 1\"\n", 'no earlier try' ])
{
    my ($etag, $words) = @$case;

    $run = part('something', $etag);
    is($run->{code}, 1, "a part: $words");
    like($run->{stderr}, qr/refused to go on with .*$words/, 'it says so');
    is(slurp("$dir/x.part"), 'something', 'it is as it was');
}

is(scalar $api->events('file'), 0, 'nothing was asked for');

$run = part(substr($BODY, 0, 1000), "$ID $tag\n");
is($run->{code}, 0, 'a part of ours');
$run = part('damaged', "$ID $tag\n");
is($run->{code}, 1, 'one that is damaged');
like($run->{stderr}, qr/wrong checksum/, 'it is found');
is_deeply([ glob "$dir/*" ], [], 'and removed');
is(part($BODY, "$ID $tag\n")->{code}, 0, 'one that is whole');
is(part($BODY . 'more', "$ID $tag\n")->{code}, 0, 'one that is too long');
is(part('', undef)->{code}, 0, 'an empty one');

unlink glob "$dir/*";
spew("$dir/victim", 'v');
symlink "$dir/victim", "$dir/x.part";
$run = get([ '-o', "$dir/x" ]);
is($run->{code}, 1, 'a link');
like($run->{stderr}, qr/it is a symbolic link/, 'is not followed');
is(slurp("$dir/victim"), 'v', 'what it names is as it was');

# two at once
unlink glob "$dir/*";
has(plan => [ { stall => 1000 } ]);

my $first = cli_start($api, [ 'get', $ID, '-o', "$dir/x" ], env => {});

wait_for(10, sub { (-s "$dir/x.part" || 0) == 1000 });
$run = get([ '-o', "$dir/x" ]);
is($run->{code}, 1, 'the second of two');
like($run->{stderr}, qr/another process is at it/, 'waits for no one');
kill 'TERM', $first->{pid};
$run = cli_end($first);
is($run->{code}, 1, 'SIGTERM');
is(-s "$dir/x.part", 1000, 'the part is kept');

# --- refusals -------------------------------------------------------------

for my $case (
    [ 'running', 1, qr/\(HTTP 409\): .*\npcap-cli: it is still being writt/ ],
    [ 'gone', 1, qr/\(HTTP 410\): the file .* was removed at 2026-11-22T/ ],
    [ 'failed', 1, qr/\(HTTP 404\): capture $ID has no file: no space/ ])
{
    my ($state, $code, $words) = @$case;

    has(records => { $ID => record($state, stored => {
        gone => '2026-11-22T00:00:00Z', detail => 'no space' }) });
    $run = get([]);
    is($run->{code}, $code, "get: $state");
    like($run->{stderr}, $words, 'it says why');
    is_deeply([ cli_files($run) ], [], 'no file');
}

has();
is(cli($api, [ 'get', store_id(9) ])->{code}, 1, 'one that is not there');
is(get([], env => { PCAP_TOKEN => 'wrong' })->{code}, 4, 'HTTP 401');

for my $case ([ 403, 4 ], [ 429, 1 ], [ 500, 1 ], [ 501, 1 ], [ 503, 1 ]) {
    my ($status, $code) = @$case;

    has(plan => [ { status => $status } ]);
    $run = get([ '--json' ]);
    is("$run->{code} $run->{json}{http_status}", "$code $status",
        "HTTP $status");
}

is(cli({ url => 'https://localhost:1', certs => $certs }, [ 'get', $ID ])
    ->{code}, 1, 'nobody there');

# --- an object store ------------------------------------------------------

store_tell($s3, body => $BODY, plan => [ { cut => 100_000 },
    { status => 403 } ]);

my %sum = (records => { $ID => record('stored', stored => {
    sha256 => $SUM }) });

has(redirect => $there, %sum);
$run = get([ '-v' ]);
is($run->{code}, 0, 'redirected') or diag($run->{stderr});
ok(content($run, "$ID.pcapng") eq $BODY, 'it is the file');
is_deeply([ ranges($s3) ], [ '-', 'bytes=99999-', 'bytes=99999-' ],
    'also when that connection breaks');
is(scalar $api->events('file'), 3, 'each try begins at the API');
is(scalar $s3->events('leak'), 0, 'the token stays here');
unlike($run->{stderr}, qr/5ec4e7/, 'the signature is shown to nobody');
unlike($run->{stderr}, qr/good-token/, 'nor the token');

store_tell($s3, body => 'x' . substr $BODY, 1);
$run = get([]);
is($run->{code}, 1, 'another file there');
like($run->{stderr}, qr/wrong checksum/, 'is found');
store_tell($s3, body => 'x' . substr($BODY, 1), liar => 1);
$run = get([]);
is($run->{code}, 1, 'with a checksum and a name of its own');
like($run->{stderr}, qr/wrong checksum/, 'counts as little');
is((grep { /other/ } cli_files($run)), 0, 'and names no file here');
store_tell($s3, body => 'x' . substr $BODY, 1);

has(redirect => $there);
like(get([])->{stderr}, qr/names no checksum/, 'nobody names a checksum');
has(redirect => $there, %sum);

store_tell($s3, body => $BODY, plan => [ { redirect => $there } ]);
$run = get([]);
is($run->{code}, 1, 'redirected twice');
like($run->{stderr}, qr/redirects to, the answer is HTTP 302/, 'it says so');

for my $url ('http://localhost:8453/x', '/v1/status', 'file:///etc/passwd') {
    has(redirect => $url);
    $run = get([]);
    is($run->{code}, 1, "to $url");
    like($run->{stderr}, qr/not to an https address/, 'is refused');
}

# --- rm -------------------------------------------------------------------

%records = map { store_id($_) => { %{ record($_ == 2 ? 'running'
    : 'stored') }, id => store_id($_) } } 1 .. 4;
store_tell($api, records => \%records);

sub removed { return join ' ', map { $_->{id} + 0 } $api->events('removed') }

$run = cli($api, [ 'rm', store_id(1) ]);
is("$run->{code} " . removed(), '0 1', 'rm');
like($run->{stderr}, qr/^the file of 0+1 was removed$/, 'it says so');
$run = cli($api, [ 'rm', map { store_id($_) } 2, 9, 3 ]);
is("$run->{code} " . removed(), '1 1 3', 'it goes on after a failure');
like($run->{stderr}, qr/^pcap-cli: 0+2:\npcap-cli: .*HTTP 409.*stop it first/m,
    'which one, and why');
is(cli($api, [ 'rm', store_id(4) ], env => { PCAP_TOKEN => 'x' })->{code}, 4,
    'not allowed');
$run = cli($api, [ 'rm', '--json', store_id(4) ]);
is($run->{json}{http_status}, 204, 'JSON');

store_tell($api, records => \%records);

for my $case ([ "n\n", 1, '' ], [ "y\n", 0, '1 3' ]) {
    my ($key, $code, $gone) = @$case;

    $run = on_terminal($api, [ 'rm', store_id(1), store_id(3) ], keys => [
        [ qr/Remove the files of 2 captures for good\? \[y\/N\] /, $key ] ]);
    is("$run->{code} " . removed(), "$code $gone", "the question: $key");
}

for my $yes ('-n', '-y', '--yes', '--non-interactive') {
    $run = on_terminal($api, [ 'rm', store_id(1), $yes ]);
    is($run->{code}, 0, $yes);
    unlike($run->{screen}, qr/Remove/, 'no question');
}

# --- --wait ---------------------------------------------------------------

my @wait = (@ask, '--wait');

sub wait_for_it
{
    my ($states, $args, %o) = @_;

    has(states => $states, %o);

    return cli($api, [ @wait, @{ $args || [] } ], env => \%FAST);
}

$run = wait_for_it([ qw(waiting running 503 cut 502 running stored) ]);
is("$run->{code} $run->{stdout}", "0 $ID\n", '--wait') or diag($run->{stderr});
ok(content($run, "$ID.pcapng") eq $BODY, 'and its file');
is(scalar $api->events('look'), 7, 'by looks');

$run = wait_for_it([ 'stored' ], [ '-o', 'y', '--json' ]);
is("$run->{code} $run->{json}{file}", '0 y', 'one JSON object');
$run = wait_for_it([ 'stored' ], [ '-o', '-' ]);
ok($run->{code} eq '0' && $run->{stdout} eq $BODY, 'to standard output');

$run = wait_for_it([ 'interrupted' ]);
is($run->{code}, 3, 'interrupted');
ok(content($run, "$ID.pcapng") eq $BODY, 'the file is there all the same');
is(wait_for_it([ 'stored' ], [], status => 'partial')->{code}, 3, 'partial');

$run = wait_for_it([ 'failed' ]);
is($run->{code}, 1, 'failed');
like($run->{stderr}, qr/has no file: it is failed/, 'it says why');
is(wait_for_it([ 404 ])->{code}, 1, 'unknown');
is(wait_for_it([ 403 ])->{code}, 4, 'not allowed any more');
$run = wait_for_it([ 503 ]);
is($run->{code}, 1, 'it gives up');
is(scalar $api->events('look'), 10, 'after ten tries');

spew("$dir/there", 'x');
has(states => [ 'stored' ]);
$run = cli($api, [ @wait, '-o', "$dir/there" ]);
is($run->{code}, 1, 'a file is there');
is(scalar $api->events('stored'), 0, 'before anything is asked');

has(states => [ 'running' ]);
$first = cli_start($api, \@wait);
ok($api->wait_event(10, 'look'), 'it waits');
kill 'INT', $first->{pid};
$run = cli_end($first);
is($run->{code}, 1, 'Ctrl-C');
like($run->{stderr}, qr/the capture goes on; `pcap-cli get $ID` fetches/,
    'the capture goes on');
is(scalar $api->events('delete'), 0, 'indeed');

# --- as who is logged in with the bosh CLI --------------------------------

$certs->leaf('director', names => ['localhost'], ips => ['127.0.0.1']);

my $director = PcapTest::BoshStandIn->new(certs => $certs);
my $revoked = PcapTest::BoshStandIn::jwt(exp => 4000000000,
    sub => 'REVOKED-SECRET');
my $config = work_dir() . '/config';
my $pem = slurp($certs->file('ca.crt')) =~ s/^/    /gmr;

$director->tell(valid => [ 'good-token', $revoked ], refresh => {
    'REFRESH-SECRET' => { access_token => 'good-token',
    refresh_token => 'REFRESH-SECRET', token_type => 'bearer',
    expires_in => 600 } });


# With that token; another one renews it.
sub bosh
{
    my ($token, @args) = @_;

    spew($config, "environments:\n- url: https://localhost:25555\n"
        . "  alias: prod\n  ca_cert: |\n$pem  access_token_type: bearer\n"
        . "  access_token: $token\n  refresh_token: REFRESH-SECRET\n");

    my $r = cli($api, \@args, env => { PCAP_TOKEN => undef, %FAST,
        BOSH_CONFIG => $config });

    unlike($r->{stdout} . $r->{stderr}, qr/SECRET|good-token/, 'no secrets');

    return $r;
}


has(states => [ 'running', 401, 'stored' ], plan => [ { cut => 1000 },
    { status => 401 } ]);
$run = bosh($revoked, 'bosh', '-e', 'prod', '-d', 'cf', '--store',
    '--duration', '1s', 'router');
is("$run->{code} $run->{stdout}", "0 $ID\n", 'bosh --store')
    or diag($run->{stderr});
like($run->{stderr}, qr/^  .*pcap-cli get $ID -e prod$/m, 'what to type then');
is_deeply(($api->events('stored'))[0]{doc}, { resolver => 'bosh',
    target => 'cf', options => { format => 'pcapng', duration => '1s',
    instance => [ 'router' ] } }, 'what the API was asked for');
is(scalar $api->events('stored'), 1, 'once');

$run = bosh('good-token', 'get', $ID, '-e', 'prod');
is($run->{code}, 0, 'get, and a token that ends on the way')
    or diag($run->{stderr});
$run = bosh($revoked, 'get', $ID, '-e', 'prod');
is($run->{code}, 0, 'get, with a token that is refused');
$run = bosh($revoked, 'rm', $ID, '-e', 'prod');
is("$run->{code} " . scalar $api->events('removed'), '0 1', 'rm');

has(states => [ 'running', 401, 'stored' ]);
$run = bosh('good-token', 'bosh', '-e', 'prod', '-d', 'cf', '--store',
    '--duration', '1s', '--wait', '-y');
is($run->{code}, 0, 'a token that ends while it waits')
    or diag($run->{stderr});

my @died = map { $_->events('died') } $api, $s3, $director;

is_deeply(\@died, [], 'every request was as the contract says');

$_->stop() for $api, $s3, $director;
finish();
