#!/usr/bin/perl

# Files that were captured before, as the agent serves them: lists, files,
# their removal, and every way out of the folder that a path could be.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use PcapTest;
use Test::More;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Certs;
use PcapTest::Confined;
use JSON::PP;
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM pack_sockaddr_un);

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $folder = work_dir() . '/pcap';
my $pcap = pack 'VvvVVVV', 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1;

$certs->leaf('scraper', cn => 'prometheus');
mkdir $_, 0700 or die "$_: $!\n" for $folder, "$folder/prod",
    "$folder/prod/web", "$folder/prod/empty", "$folder/prod/more";
chmod 0755, work_dir();

# outside, where no path may lead
mkdir work_dir() . '/secret', 0755;
spew(work_dir() . '/secret/key.pcap', 'SECRET');

my $web = "$folder/prod/web";

spew("$web/a_eth0.pcap", $pcap . 'x' x 1000);
spew("$web/b \"q\\\" \x{c3}\x{a4}.pcap", $pcap);
spew("$web/empty.pcap", '');
spew("$web/bad\x{ff}name.pcap", $pcap);
spew("$web/bad\nname.pcap", $pcap);
spew("$web/.hidden", $pcap);
mkdir "$web/folder.pcap" or die;
symlink '../../../secret/key.pcap', "$web/link.pcap" or die;
symlink 'a_eth0.pcap', "$web/inside.pcap" or die;
symlink '../../secret', "$folder/prod/linked" or die;
symlink 'prod', "$folder/staging" or die;
POSIX::mkfifo("$web/fifo.pcap", 0600) or die;
socket my $sock, AF_UNIX, SOCK_STREAM, 0 or die;
bind $sock, pack_sockaddr_un("$web/sock.pcap") or die "bind: $!\n";
utime 1_700_000_000, 1_700_000_000, "$web/a_eth0.pcap";
utime -86400, -86400, "$web/empty.pcap";
chmod 0600, glob "$web/*.pcap";

my %conf = (user => 'nobody');
my $agent = PcapTest::Agent->new(certs => $certs, conf => { %conf,
    files_folder => $folder, metrics_names => ['prometheus'] });


# One request: ( status, document or body, client ).
sub ask
{
    my ($method, $target, %o) = @_;

    my $c = $C->new($o{agent} || $agent, %o);
    return (0, $c->{error}, $c) if $c->{error};

    $c->put("$method $target HTTP/1.1\r\nHost: agent\r\n\r\n");
    $c->read_to_end($o{wait} || 10);

    my $json = eval { decode_json($c->{body}) };

    return ($c->{status} || 0, $json || $c->{body}, $c);
}


sub names
{
    my ($doc) = @_;

    return join '|', map { $_->{name} } @{ $doc->{files} };
}


# Behind the answer.
sub logs
{
    my ($what) = @_;

    return wait_for(5, sub { slurp($agent->{log}) =~ $what });
}


# --- a list, a file ---------------------------------------------------------

my ($status, $doc, $c) = ask(GET => '/v1/files/prod/web');

is($status, 200, 'a list');
like($c->{head}, qr{^Content-Type: application/json\r$}m, 'is JSON');
ok($c->{complete}, 'to its end');
is(names($doc), "a_eth0.pcap|b \"q\\\" \x{e4}.pcap|empty.pcap",
    'regular files alone, in order');
is_deeply($doc->{files}[0], { name => 'a_eth0.pcap', bytes => 1024,
    modified => '2023-11-14T22:13:20Z' }, 'what is told of each');
is($doc->{files}[2]{modified}, '1970-01-01T00:00:00Z', 'a time before all');
is($doc->{omitted}, 2, 'two names cannot be told');

is_deeply((ask(GET => '/v1/files/prod/empty'))[1], { files => [] },
    'an empty folder');

($status, $doc, $c) = ask(GET => '/v1/files/prod/web/a_eth0.pcap?id='
    . 'ab' x 16);
is($status, 200, 'a file');
like($c->{head}, qr{^Content-Type: application/vnd\.tcpdump\.pcap\r$}m,
    'its type');
like($c->{head}, qr{^Content-Length: 1024\r$}m, 'its length');
like($c->{head}, qr{^Last-Modified: \w{3}, \d\d \w{3} 20\d\d [\d:]{8} GMT\r$}m,
    'and its time');
is($c->{body}, $pcap . 'x' x 1000, 'its bytes');
ok(logs(qr/(?:ab){16}: files: prod\/web, a_eth0\.pcap: sent/),
    'the log has it');

($status, undef, $c) = ask(GET => '/v1/files/prod/web/empty.pcap');
is("$status $c->{body}", '200 ', 'an empty file');
like($c->{head}, qr{^Content-Length: 0\r$}m, 'is one of 0 bytes');
is((ask(GET => '/v1/files/prod/web/b%20%22q%5C%22%20%C3%A4.pcap'))[0], 200,
    'a name that has to be encoded');
is((ask(GET => '/v1/files/%70rod/web/%61_eth0.pcap'))[0], 200,
    'one that need not be');


# --- what is not there, or not to be had ------------------------------------

my $long = 'a' x 4096;

# 410: there is no such file in a folder that is there; GET has 404 for it
my @paths = (
    [ 404, 'prod/none' ], [ 404, 'none/web' ], [ 410, 'prod/web/none.pcap' ],
    [ 404, 'prod/web/folder.pcap' ], [ 404, 'prod/web/fifo.pcap' ],
    [ 404, 'prod/web/sock.pcap' ], [ 404, 'prod/web/link.pcap' ],
    [ 404, 'prod/web/inside.pcap' ], [ 404, 'prod/linked' ],
    [ 404, 'prod/linked/key.pcap' ], [ 404, 'staging/web' ],
    [ 404, 'staging/web/a_eth0.pcap' ], [ 410, 'prod/web/a_eth0.pcap%20' ],
    [ 400, '' ], [ 400, 'prod' ], [ 400, 'prod/' ], [ 400, '/web' ],
    [ 400, 'prod/web/' ], [ 400, 'prod//a_eth0.pcap' ],
    [ 400, 'prod/web/a_eth0.pcap/' ], [ 400, 'prod/web/x/y' ],
    [ 400, '../secret' ], [ 400, 'prod/..' ], [ 400, 'prod/web/..' ],
    [ 400, 'prod/web/.' ], [ 400, 'prod/../../secret/key.pcap' ],
    [ 400, '%2e%2e/secret/key.pcap' ], [ 400, 'prod/%2E%2e/key.pcap' ],
    [ 400, 'prod/.%2e' ], [ 400, 'prod/web/..%2f..%2f..%2fsecret%2fkey.pcap' ],
    [ 400, 'prod%2fweb/a_eth0.pcap' ], [ 400, 'prod%2Fweb%2Fa_eth0.pcap' ],
    [ 400, '%2fetc/passwd' ], [ 400, '/etc/passwd' ],
    [ 400, '//etc/passwd' ], [ 400, 'prod/web/%2fetc%2fpasswd' ],
    [ 400, 'prod/web/a_eth0.pcap%00' ], [ 400, 'prod/web%00/a_eth0.pcap' ],
    [ 400, '%00/web' ], [ 400, 'prod/web/a%0aeth0.pcap' ],
    [ 400, 'prod/web/a%7f' ], [ 400, 'prod/web/a%' ],
    [ 400, 'prod/web/a%2' ], [ 400, 'prod/web/a%zz' ],
    [ 400, "prod/web/$long" ], [ 400, "prod/$long" ], [ 400, "$long/web" ],
    [ 400, 'prod/' . 'a' x 254 ], [ 400, 'prod/web/' . 'a' x 256 ],
    [ 404, 'prod/' . 'a' x 253 ], [ 410, 'prod/web/' . 'a' x 255 ],
    [ 410, 'prod/web/%252e%252e' ], [ 410, 'prod/web/...' ],
    [ 410, 'prod/web/%ff' ],
);

for my $p (@paths) {
    my ($code, $path) = @$p;
    my $short = length $path > 50 ? substr($path, 0, 20) . '...' : $path;

    for my $method (qw(GET DELETE)) {
        next if $method eq 'DELETE' && $path !~ m{^[^/]+/[^/]+/.};

        my ($got, $answer) = ask($method, "/v1/files/$path");
        my $want = $code == 410 && $method eq 'GET' ? 404 : $code;

        is($got, $want, "$want: $method $short");
        like(ref $answer ? $answer->{detail} : $answer, qr/^files: /,
            "words: $method $short");
    }
}

ok(-e "$web/link.pcap" && -p "$web/fifo.pcap" && -d "$web/folder.pcap"
    && -e work_dir() . '/secret/key.pcap', 'all of it is still there');

is((ask(GET => '/v1/files/prod/web?nonsense=1'))[0], 400, 'unknown option');
is((ask(GET => '/v1/files/prod/web?filter=tcp'))[0], 400,
    'an option of captures');
is((ask(GET => '/v1/files/prod/web/a_eth0.pcap?format=pcapng'))[0], 400,
    'one of folders');
is((ask(GET => '/v1/files/prod/web?format=pcap'))[0], 400, 'format=pcap');
is((ask(GET => '/v1/files/prod/web?heartbeat_ms=100'))[0], 400,
    'a heartbeat of a list');

for my $bad ([ POST => 'prod/web/x' ], [ DELETE => 'prod/web' ],
    [ PUT => 'prod/web' ], [ HEAD => 'prod/web/x' ])
{
    is((ask($bad->[0], "/v1/files/$bad->[1]"))[0], 405, "405: @$bad");
}

like((ask(POST => '/v1/files/prod/web/x'))[2]{head},
    qr/^Allow: GET, DELETE\r$/m, 'which methods there are');
is((ask(DELETE => '/v1/capture'))[0], 405, 'captures are not deleted');

is((eval { ask(GET => '/v1/files/prod/web', cert => undef) })[0] || 0, 0,
    'no certificate');
($status, $doc) = ask(GET => '/v1/files/prod/web', cert => 'scraper');
is($status, 403, 'a certificate for metrics');


# --- who holds which rights -------------------------------------------------

wait_for(5, sub { !$agent->connections() });
is(status_of($agent->{pid})->{CapPrm}, '0000000000002006',
    'the parent keeps what files need');
is(status_of($agent->{pid})->{CapEff}, '0' x 16, 'and raises none of it');

my $waits = $C->new($agent);
my ($session) = children($agent->{pid});

is(status_of($session)->{CapPrm}, $CAP_NET_RAW,
    'who reads the request has nothing of it');
ok((grep { slurp("/proc/$_/comm") eq "pcap-files\n" } children($session)),
    'its child has');
$waits->get('/v1/capture?interface=lo');
ok($waits->started(), 'a capture beside');
is(join(' ', children($session)), '', 'has no child for files');
$waits->half_close();
$waits->read_to_end(10);


# --- removal ----------------------------------------------------------------

spew("$folder/prod/more/gone.pcap", $pcap);
($status, undef, $c) = ask(DELETE => '/v1/files/prod/more/gone.pcap');
is($status, 204, 'removed');
is($c->{body}, '', 'without a body');
ok(!-e "$folder/prod/more/gone.pcap" && -d "$folder/prod/more",
    'the file, not the folder');
is((ask(DELETE => '/v1/files/prod/more/gone.pcap'))[0], 410, 'and once more');
ok(logs(qr{removed prod/more/gone\.pcap for pcap-api}),
    'the log says by whom');


# --- lengths that change ----------------------------------------------------

sub truncate_to
{
    my ($file, $bytes) = @_;

    truncate $file, $bytes or die "$file: $!\n";
}

# a reader that stops in the middle, with more on the way than buffers hold
my $size = (64 << 20) + 12345;
my $grows = "$folder/prod/more/grows.pcap";
my $shrinks = "$folder/prod/more/shrinks.pcap";

spew($_, $pcap), truncate_to($_, $size) for $grows, $shrinks;

sub begun
{
    my ($file) = @_;

    my $x = $C->new($agent, rcvbuf => 65536);

    $x->get("/v1/files/prod/more/$file");
    ok($x->read_until(5, sub { defined $x->{head} }), "$file: it began");

    return $x;
}

# Reads so many bytes, or to the end, and keeps none. Returns how many.
sub read_bytes
{
    my ($x, $want) = @_;

    my $n = 0;

    $x->read_until(30, sub {
        $n += length $x->{body};
        $x->{body} = '';
        return $n >= $want;
    });

    return $n;
}

sub length_read
{
    my ($x) = @_;

    return read_bytes($x, 1 << 60);
}

$c = begun('grows.pcap');
truncate_to($grows, 2 * $size);
is(length_read($c), $size, 'a file that grows: as long as it was');
ok(!$c->{reset}, 'and a good end');

$c = begun('shrinks.pcap');
truncate_to($shrinks, 1 << 20);
my $n = length_read($c);
cmp_ok($n, '<', $size, 'a file that shrinks: the end comes too early');
cmp_ok($n, '>=', 1 << 20, 'behind what there is');
ok(wait_for(5, sub { slurp($agent->{log}) =~
    /shrinks\.pcap: it has shrunk, \d+ bytes are missing/ }), 'and is told');
unlink $grows, $shrinks;


# --- 5 GiB ------------------------------------------------------------------

my $large = "$folder/prod/more/large.pcap";

spew($large, $pcap);
truncate_to($large, 5 << 30);

$c = $C->new($agent);
$c->get('/v1/files/prod/more/large.pcap');
ok($c->read_until(5, sub { defined $c->{head} }), '5 GiB: it began');
like($c->{head}, qr/^Content-Length: 5368709120\r$/m, '5 GiB: its length');

my ($pid) = children($agent->{pid});

# 256 MiB of it: what it costs does not depend on how far it has come
$n = read_bytes($c, 256 << 20);

my $peak = status_of($pid)->{VmHWM} =~ s/ kB//r;
cmp_ok($n, '>=', 256 << 20, '5 GiB: 256 MiB were read');
cmp_ok($peak, '<', 40 << 10, "5 GiB: at $peak KiB of memory")
    if !sanitized();
is(join(' ', map { status_of($pid)->{$_} } qw(CapPrm CapEff)),
    join(' ', ('0' x 16) x 2), '5 GiB: without any capability');
is(status_of($pid)->{Seccomp_filters}, 2, '5 GiB: below two lists')
    if exists status_of($pid)->{Seccomp_filters};

my ($child) = grep { slurp("/proc/$_/comm") eq "pcap-files\n" }
    children($pid);
is(join(' ', map { status_of($child)->{$_} } qw(CapPrm CapEff)),
    '0000000000000006 ' . '0' x 16, 'who opens files has these alone');
isnt((split ' ', status_of($child)->{Uid})[1], 0, 'and is not root');
is((ask(GET => '/v1/status'))[1]{files_running}, 1, 'the status counts it');
$c->reset_connection();
unlink $large;


# --- 10 000 files -----------------------------------------------------------

mkdir "$folder/prod/many";
spew(sprintf("$folder/prod/many/pod-%05d_eth0.pcap", $_), $pcap)
    for 1 .. 10_000;
($status, $doc) = ask(GET => '/v1/files/prod/many', wait => 30);
is(scalar @{ $doc->{files} }, 10_000, '10 000 files');
is($doc->{files}[-1]{name}, 'pod-10000_eth0.pcap', 'in order');
ok(!$doc->{truncated}, 'all of them');
system 'rm', '-rf', "$folder/prod/many";


# --- how many, and when not -------------------------------------------------

wait_for(5, sub { !$agent->connections() });

my $slow = "$folder/prod/more/slow.pcap";
spew($slow, $pcap);
truncate_to($slow, $size);

my @busy = map { my $x = $C->new($agent, rcvbuf => 65536);
    $x->get('/v1/files/prod/more/slow.pcap');
    $x->read_until(5, sub { defined $x->{head} });
    $x } 1 .. 16;
is(join(' ', map { $_->{status} } @busy), join(' ', (200) x 16),
    'sixteen at once');
($status, $doc) = ask(GET => '/v1/files/prod/web');
is($status, 429, 'one more is too many');
like($doc->{detail}, qr/^files: 16 of 16/, 'and told so');
$_->reset_connection() for @busy;
wait_for(5, sub { !$agent->connections() });
like((ask(GET => '/v1/metrics'))[1],
    qr/^pcap_agent_requests_refused_total\{reason="files"\} [1-9]/m,
    'refusals are counted');
$agent->stop();

my $off = PcapTest::Agent->new(certs => $certs, conf => { %conf,
    off_file => work_dir() . '/off', files_folder => $folder });

$c = $C->new($off, rcvbuf => 65536);
$c->get('/v1/files/prod/more/slow.pcap');
$c->read_until(5, sub { defined $c->{head} });
spew(work_dir() . '/off', '');
($status, $doc) = ask(GET => '/v1/files/prod/web', agent => $off);
is($status, 403, 'switched off');
like($doc->{detail}, qr/^files are switched off/, 'that is why');
ok(wait_for(5, sub { slurp($off->{log}) =~ /files are switched off \(/ }),
    'and one that was under way is ended');
cmp_ok(length_read($c), '<', $size, 'before its length');
$off->stop();
unlink work_dir() . '/off';

# without the capabilities for it: what is root's alone is not served
my $raw = '-all,+net_raw';

must('chown', '-R', 'nobody', $certs->file(''));
my $least = PcapTest::Agent->new(certs => $certs, conf => { %conf,
    files_folder => $folder }, under => [ 'setpriv', '--reuid', 'nobody',
    '--regid', 'nogroup', '--clear-groups', '--inh-caps', $raw,
    '--ambient-caps', $raw, '--bounding-set', $raw ]);
like(slurp($least->{log}), qr/files_folder: without CAP_DAC_READ_SEARCH/,
    'no capabilities: a warning');
($status, $doc) = ask(GET => '/v1/files/prod/web', agent => $least);
is($status, 403, 'no capabilities: refused');
like($doc->{detail}, qr{^files: prod/web: the agent may not}, 'and told so');
chmod 0755, $folder, "$folder/prod", $web;
chmod 0644, "$web/a_eth0.pcap";
is((ask(GET => '/v1/files/prod/web/a_eth0.pcap', agent => $least))[0], 200,
    'no capabilities: what everybody may read');
is((ask(GET => '/v1/files/prod/web/empty.pcap', agent => $least))[0], 403,
    'no capabilities: a file of root\'s alone');
is((ask(DELETE => '/v1/files/prod/web/a_eth0.pcap', agent => $least))[0],
    403, 'no capabilities: nothing is removed');
ok(-e "$web/a_eth0.pcap", 'it is still there');
$least->stop();

my $plain = PcapTest::Agent->new(certs => $certs, conf => { %conf });
($status, $doc) = ask(GET => '/v1/files/prod/web', agent => $plain);
is($status, 404, 'not configured');
like($doc->{detail}, qr/files_folder/, 'names the key');
ok(!exists((ask(GET => '/v1/status', agent => $plain))[1]{files_running}),
    'and the status says nothing of files');
$plain->stop();


# --- what it is configured with ---------------------------------------------

sub check
{
    my (%change) = @_;

    my $file = spew(work_dir() . '/check.json', encode_json({
        %{ $agent->config() }, %change }));
    my $out = work_dir() . '/check.out';
    my $rc = system(tool('agent') . " --config $file --check >$out 2>&1");

    return ($rc >> 8, slurp($out));
}

is((check())[0], 0, '--check is content');
my ($rc, $out) = check(files_folder => 'var/pcap');
is($rc, 1, 'a relative folder');
like($out, qr/files_folder: must be an absolute path/, 'is refused');
($rc, $out) = check(files_folder => '/nonexistent/x');
like($out, qr{warning: files_folder: /nonexistent/x: No such file},
    'one that is not there is a warning');
($rc, $out) = check(files_folder => '/etc/passwd');
like($out, qr{warning: files_folder: /etc/passwd is no folder}, 'a file, too');

finish();
