# Kubernetes: the files of a capture as one archive, read by unzip, by python
# and by bsdtar from a pipe. Nodes that are away, files that shrink, grow or
# are not there, and what is told of them; clients that are slow, stall or
# leave; a worker that goes. ZIP_MIB and ZIP_FILES say how large (256, 1000) a
# file is and how many there are, for which memory has to be the same:
#
#     ZIP_MIB=5120 ZIP_FILES=10000 prove -v nginx-tests/kube_zip.t

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use PcapTest::Agent;
use PcapTest::Audit;
use PcapTest::FileAgents;
use PcapTest::Kube;
use PcapTest::Lab;
use PcapTest::Nginx;
use POSIX ();
use Time::HiRes qw(time);

my $mib = $ENV{ZIP_MIB} || (sanitized() ? 64 : 256);
my $many = $ENV{ZIP_FILES} || (sanitized() ? 100 : 1000);
my $slack = sanitized() ? 400_000 : 3072;           # KiB
my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs);
my $files = PcapTest::FileAgents->new(certs => $certs);
my $fake = PcapTest::Fake->new(certs => $certs, port => 9495, script =>
    \&misbehave);
my $key = audit_key(work_dir() . '/key');
my $folder = work_dir() . '/captures';
my $log = work_dir() . '/audit.log';

chmod 0755, work_dir();
chmod 0644, $kube->token_file();
mkdir $folder;
PcapTest::Agent->new(certs => $certs, addr => '127.1.0.7', port => 9496,
    conf => { user => 'nobody', files_folder => $folder });

# nodes 1 to 3 are good, of 4 nobody listens, 5 and 6 do as files say, 7 is a
# real one
my $nodes = join '', map { "pcap_api_kube_node node-$_ "
    . ($_ < 4 ? $files->addr($_) : $_ < 5 ? '127.1.0.4:9499'
    : $_ < 7 ? $fake->addr($_) . ':9495' : '127.1.0.7:9496')
    . ' tls_name=pcap-agent;' } 1 .. 7;
my $conf = 'pcap_api on; pcap_api_agents /_pcap_agent;'
    . ' pcap_api_agent_ranges 127.0.0.0/8; pcap_api_kube_files on;'
    . " $nodes pcap_api_kube /_kube token=" . $kube->token_file() . ';';
my $lax = PcapTest::Nginx->new(certs => $certs, agent =>
    { proxy_ssl_verify => 'off' })->agent_location();
my $lab = lab(certs => $certs, nginx => {
    agent => { proxy_connect_timeout => '2s', proxy_read_timeout => '2s' },
    http => "pcap_api_audit $log key=$key; pcap_api_drain_timeout 3s;",
    pcap => 'pcap_api_client_stall ' . limit(2) . 's;', server =>
    'pcap_api_client_stall ' . limit(2) . 's;' . $kube->location('/_kube')
    . "location / { $conf } location /store/ { $conf pcap_api_kube_zip store;"
    . " } location = /_lax { internal; $lax } location /lax/ { "
    . ($conf =~ s{/_pcap_agent}{/_lax}r) . ' }' });
my $nginx = $lab->{nginx};

$kube->user('good', username => 'ann');
$kube->allow(users => ['ann'], verbs => ['get'], resources =>
    ['packetcaptures/files'], namespace => 'dev');


# An agent by the name of the file that it is asked for.
sub misbehave
{
    my ($c) = @_;

    my ($name, $n) = $c->{path} =~ m{/(\w+?)-?(\d*)\.pcap$};
    my @type = 'Content-Type: application/vnd.tcpdump.pcap';

    return $c->refuse("$n No", '{"detail":"no"}') if $name eq 'status';
    return $c->hang() if $name eq 'silent';

    # each byte begins the time anew that nginx gives it
    if ($name eq 'drips') {
        $c->head('200 OK', @type, "Content-Length: $n");

        for my $try (1 .. 60) {
            $c->send_raw('d');
            select undef, undef, undef, 0.5;
        }

        return $c->close();
    }

    # as late as nginx allows, and small
    if ($name eq 'late') {
        select undef, undef, undef, 1.5;
        $c->head('200 OK', @type, "Content-Length: $n");
        select undef, undef, undef, 1.5;
        $c->send_raw('l');
        select undef, undef, undef, 1;
        $c->send_raw('l' x ($n - 1));

        return $c->close();
    }

    if ($name eq 'chunked') {
        $c->head('200 OK', @type, 'Transfer-Encoding: chunked');
        $c->chunk('abc');
        $c->send_raw("0\r\n\r\n");
        return $c->close();
    }

    if ($name eq 'endless') {
        $c->head('200 OK', @type, 'Content-Length: 1000000000000');
        $c->{sent} = 0;

        while (1) {
            $c->send_raw('x' x 65536);
            $c->{sent} += 65536;
            spew("$c->{file}.sent", $c->{sent});
        }
    }

    # of the bytes that were said: all and more, some, none; and some, and then
    # nothing more comes
    $c->head('200 OK', @type, "Content-Length: $n", 'Connection: close');
    $c->send_raw('g' x ($n + 5000)) if $name eq 'grows';
    $c->send_raw('s' x ($n * 2 / 3)) if $name =~ /^(?:shrinks|stalls)$/;
    $c->hang() if $name eq 'stalls';
    $c->close();
}


sub capture
{
    my ($name, @nodes) = @_;

    $kube->capture('dev', $name, [ map { [ $_->[0], $_->[1], 'Finished' ] }
        @nodes ]);
}


sub download
{
    my ($name, %o) = @_;

    return $nginx->fetch(($o{way} || '') . "/download/dev/$name/files.zip",
        seconds => 60, %o);
}


# What one program says of the bytes; they come from a pipe if it is that one.
sub says
{
    my ($cmd, $file) = @_;

    my $text = `$cmd 2>&1`;

    return ($? == 0, $text);
}


# The archive's files as a hash, by python; by all of them it is a good one.
sub archive
{
    my ($name, $c) = @_;

    our $n;

    my $file = work_dir() . '/zip' . ++$n;
    my %in;

    spew("$file.zip", $c->{body});

    my ($ok, $text) = says("unzip -t $file.zip");

    ok($ok, "$name: unzip") or diag($text);
    ($ok, $text) = says("cat $file.zip | bsdtar -xOf - | wc -c");

    my $piped = $text;

    ok($ok, "$name: bsdtar from a pipe") or diag($text);
    ($ok, $text) = says("python3 -c '
import hashlib, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
for i in z.infolist():
    h = hashlib.sha256(z.read(i)).hexdigest()
    print(i.filename, i.file_size, h, i.compress_type, sep=\"\\t\")
' $file.zip");
    ok($ok, "$name: python") or diag($text);

    for my $line (split /\n/, $text) {
        my ($path, $size, $sum, $type) = split /\t/, $line;

        ok(!$in{$path}, "$name: $path once");
        $in{$path} = { size => $size, sum => $sum, type => $type };
    }

    my $all = 0;

    $all += $_->{size} for values %in;
    is($piped + 0, $all, "$name: the same bytes from a pipe");
    $in{$_}{text} = `unzip -p $file.zip $_` for grep { $_ eq 'MISSING.txt' }
        keys %in;

    return \%in;
}


sub holds
{
    my ($name, $in, %expected) = @_;

    is_deeply({ map { $_ => $in->{$_}{sum} } grep { $_ ne 'MISSING.txt' }
        keys %$in }, { map { $_ => sha256_hex($expected{$_}) }
        keys %expected }, "$name: its files");
}


sub missing
{
    my ($name, $c, $in, @lines) = @_;

    is($in->{'MISSING.txt'}{text}, join('', map { "$_\n" } map { join "\t",
        @$_ } @lines), "$name: what is missing");
    is($c->trailer('x-pcap-status'), 'partial', "$name: partial");

    my %seen;

    is($c->trailer('x-pcap-missing'), join(', ', grep { !$seen{$_}++ }
        map { $_->[0] } @lines), "$name: nodes");
}


sub worker_rss
{
    my ($pid) = @_;

    my ($kib) = slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;

    return $kib;
}


# The line that ends a download: a moment behind what its client sees.
sub end_of
{
    my ($c) = @_;

    my $id = $c->header('x-vcap-request-id');

    return wait_for(5, sub { (grep { $_->{event} eq 'end'
        && $_->{request_id} eq $id } audit_lines($log))[0] }) || {};
}


# Its processor time so far, in seconds.
sub worker_cpu
{
    my ($pid) = @_;

    my @stat = split ' ', slurp("/proc/$pid/stat");

    return ($stat[13] + $stat[14]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}


sub alone
{
    my ($name) = @_;

    ok(wait_for(2, sub { !$fake->connections() }),
        "$name: no agent is at work");
}


# --- a good one --------------------------------------------------------------

my $began = time();
my %data = (
    'node-1/web_cali1.pcap' => join('', map { chr($_ * 7 % 256) } 1 .. 300000),
    'node-2/web_cali1.pcap' => 'another one of this name',
    'node-2/a b+c%41.pcap' => "\xd4\xc3\xb2\xa1" . "\0" x 20,
    'node-2/empty.pcap' => '',
);

for my $path (keys %data) {
    my ($n, $file) = $path =~ m{^node-(\d)/(.*)$};

    $files->put($n, 'dev/good', $file, $data{$path});
}

# a name that is listed twice is one file
capture('good', [ 'node-1', ['web_cali1.pcap'] ], [ 'node-2',
    [ 'a b+c%41.pcap', 'empty.pcap', 'web_cali1.pcap', 'empty.pcap' ] ]);

my $c;

for my $way ('', '/store') {
    my $name = $way || 'deflate';

    $c = download('good', way => $way);

    status_is($c, 200, $name);
    ok($c->{complete}, "$name: whole");
    is($c->header('content-type'), 'application/zip', "$name: type");
    is($c->header('content-disposition'), 'attachment; filename=files.zip',
        "$name: disposition");
    is($c->header('trailer'), 'X-Pcap-Status, X-Pcap-Files, X-Pcap-Missing',
        "$name: trailers are announced");

    my $in = archive($name, $c);

    holds($name, $in, %data);
    is_deeply([ map { $in->{$_}{type} } 'node-1/web_cali1.pcap' ],
        [ $way ? 0 : 8 ], "$name: is what it is");
    is_deeply([ map { $c->trailer("x-pcap-$_") } qw(status files missing) ],
        [ 'complete', 4, undef ], "$name: trailers");
    cmp_ok(length $c->{body}, $way ? '>' : '<', 100000, "$name: its size");
}

my $end = end_of($c);
my ($line) = grep { $_->{request_id} eq $end->{request_id} }
    audit_lines($log);

is_deeply([ @$line{qw(event user namespace packetcapture)} ], [ 'download',
    'ann', 'dev', 'good' ], 'audit: a download');
is_deeply([ @$end{qw(event user namespace packetcapture status end_reason
    files missing bytes request_id)} ], [ 'end', 'ann', 'dev', 'good',
    'complete', undef, 4, 0, 300048, $line->{request_id} ], 'audit: its end')
    or diag($end->{_});
is(audit_chain($key, [$log]), '', 'audit: a chain');

for my $version ('--http1.0', '--http2') {
    my $c = curl($lab, '/download/dev/good/files.zip', $version);

    is("$c->{exit} $c->{status}", '0 200', "$version: 200") or diag($c->{err});
    holds($version, archive($version, $c), %data);
}

$c = download('good', way => '/lax');
status_is($c, 204, 'agents that are not verified give nothing');
like($nginx->log(), qr/this API does not verify its agents/,
    'and the log tells why');

# --- what cannot be had ------------------------------------------------------

$files->put(1, 'dev/part', 'one.pcap', 'one');
$files->put(3, 'dev/part', 'last.pcap', 'last');
capture('part', [ 'node-1', [ 'none.pcap', 'one.pcap' ] ],
    [ 'node-4', [ 'x.pcap', 'y.pcap' ] ], [ 'node-9', ['z.pcap'] ],
    [ 'node-5', [ qw(status-503.pcap chunked.pcap shrinks-90000.pcap
    empty-100.pcap grows-7000.pcap silent.pcap after.pcap) ] ],
    [ 'node-6', ['stalls-3000.pcap'] ], [ 'node-3', ['last.pcap'] ]);

$c = download('part');

my $in = archive('part', $c);
my ($nobody) = grep { /\tz\.pcap\t|^node-9\t/ }
    split /\n/, $in->{'MISSING.txt'}{text};

status_is($c, 200, 'part');
ok($c->{complete}, 'part: whole');
holds('part', $in, 'node-1/one.pcap' => 'one', 'node-3/last.pcap' => 'last',
    'node-5/shrinks-90000.pcap' => 's' x 60000, 'node-5/grows-7000.pcap' =>
    'g' x 7000, 'node-6/stalls-3000.pcap' => 's' x 2000);
like($nobody, qr/^node-9\t\*\t\S/, 'part: a node without an agent');
missing('part', $c, $in,
    [ 'node-1', 'none.pcap', 'there is no such file' ],
    [ 'node-4', '*', 'no connection to the agent, or its certificate is not'
        . ' the one expected' ],
    [ split /\t/, $nobody ],
    [ 'node-5', 'status-503.pcap', 'the agent answered with status 503' ],
    [ 'node-5', 'chunked.pcap', 'the agent does not say how long it is' ],
    [ 'node-5', 'shrinks-90000.pcap', 'it ended early, its begin is here' ],
    [ 'node-5', 'empty-100.pcap', 'its connection was cut' ],
    [ 'node-5', '*', 'the agent does not answer' ],
    [ 'node-6', 'stalls-3000.pcap', 'it ended early, its begin is here' ]);
is($c->trailer('x-pcap-files'), 5, 'part: files');
alone('part');

is_deeply([ @{ end_of($c) }{qw(status files missing bytes)} ], [ 'partial', 5,
    9, 3 + 4 + 60000 + 7000 + 2000 ], 'part: audit');
is((grep { / 200 0 / } $files->asked()) + 0, 0, 'no file in vain');

# an agent that would keep what stands behind it out of it for hours
capture('drips', [ 'node-5', [ qw(drips-100000.pcap after.pcap) ] ],
    [ 'node-3', ['last.pcap'] ]);
$files->put(3, 'dev/drips', 'last.pcap', 'last');
$c = download('drips');
$in = archive('drips', $c);

my $drops = delete $in->{'node-5/drips-100000.pcap'};

is($drops->{sum}, sha256_hex('d' x $drops->{size}), 'drips: what has come');
holds('drips', $in, 'node-3/last.pcap' => 'last');
missing('drips', $c, $in,
    [ 'node-5', 'drips-100000.pcap', 'it ended early, its begin is here' ],
    [ 'node-5', '*', 'its agent is too slow' ]);

# one that is slow, and the same with each of many
capture('late', [ 'node-5', ['late-60000.pcap'] ],
    [ 'node-6', [ map { "late-$_.pcap" } 2 .. 9 ] ],
    [ 'node-3', ['last.pcap'] ]);
$files->put(3, 'dev/late', 'last.pcap', 'last');
$c = download('late');
$in = archive('late', $c);
is($in->{'node-5/late-60000.pcap'}{size}, 60000, 'late: one is there');
is($in->{'node-3/last.pcap'}{size}, 4, 'late: other nodes are, too');
is($in->{'node-6/late-2.pcap'}{size}, 2, 'late: of many the first');
ok(!$in->{'node-6/late-9.pcap'}, 'late: not the last');
like($in->{'MISSING.txt'}{text}, qr/^node-6\t\*\tits agent is too slow\n\z/m,
    'late: why');
unlike($in->{'MISSING.txt'}{text}, qr/node-5/, 'late: only them');

for my $way ('', '/store') {
    my $name = "nothing$way";

    capture('nothing', [ 'node-1', ['none.pcap'] ], [ 'node-4',
        ['x.pcap'] ], [ 'node-5', ['empty-1.pcap'] ]);
    $c = download('nothing', way => $way);
    status_is($c, 204, $name);
    is($c->header('content-type'), undef, "$name: no type");
    is($c->{body}, '', "$name: no body");
    is_deeply([ @{ end_of($c) }{qw(status files missing)} ], [ 'partial', 0,
        3 ], "$name: audit");
}

# in front of what is stored stands its size
capture('short', [ 'node-1', ['none.pcap'] ], [ 'node-5',
    [ 'grows-9000.pcap', 'empty-1.pcap' ] ]);
$c = download('short', way => '/store');
holds('store: with what is missing', archive('store', $c),
    'node-5/grows-9000.pcap' => 'g' x 9000);
missing('store', $c, archive('store', $c), [ 'node-1', 'none.pcap',
    'there is no such file' ], [ 'node-5', 'empty-1.pcap',
    'its connection was cut' ]);
capture('short', [ 'node-5', [ 'grows-9000.pcap', 'shrinks-90000.pcap',
    'grows-1.pcap' ] ]);
$c = download('short', way => '/store');
status_is($c, 200, 'store: a file that shrinks');
ok($c->{eof} && !$c->{complete}, 'store: the client gets no end');
like($nginx->log(), qr/is cut: "shrinks-90000.pcap" of .* 60000 of 90000 /,
    'store: and it is logged');
$end = end_of($c);
is("$end->{status} $end->{end_reason}", 'cut server failed',
    'store: audit');

# --- clients -----------------------------------------------------------------

# What the agent of the endless file has got rid of, once that grows no more.
sub held_up
{
    my ($last, $since) = (0, time());

    return wait_for(10, sub {
        my $now = slurp("$fake->{file}.sent") || 0;

        ($last, $since) = ($now, time()) if $now != $last || !$now;

        return time() - $since > 0.3 ? $last : undef;
    });
}


sub last_end
{
    my ($name, $expected) = @_;

    my $end = end_of($c);

    is("$end->{status} $end->{end_reason}", $expected, "$name: audit");
}


capture('endless', [ 'node-5', ['endless.pcap'] ]);

my ($worker) = $nginx->workers();
my $path = '/store/download/dev/endless/files.zip';

for my $hard (0, 1) {
    my $name = $hard ? 'RST' : 'FIN';

    unlink "$fake->{file}.sent";
    $c = $nginx->get($path, rcvbuf => 32768);
    status_is($c, 200, "$name: begins");

    my $rss = worker_rss($worker);
    my $sent = held_up();

    ok($sent, "$name: the agent is held up");
    cmp_ok($sent, '<', 16_000_000, "$name: with what sockets hold");
    cmp_ok(worker_rss($worker) - $rss, '<=', $slack, "$name: and no memory");
    is($fake->connections(), 1, "$name: one agent");

    # it goes on when the client does, and is held up again
    $c->read_end(3, rate => 8_000_000) if !$hard;
    cmp_ok(slurp("$fake->{file}.sent"), '>', $sent, "$name: goes on")
        if !$hard;
    $c->vanish($hard);
    alone($name);
    last_end($name, 'cut client gone');
}

$began = time();
$c = $nginx->get($path, rcvbuf => 32768);
alone('stalled') if wait_for(10, sub { !$fake->connections() });
cmp_ok(time() - $began, '>', limit(2) - 0.2, 'not before its time');
$c->read_end(20);
ok($c->{eof} && !$c->{complete}, 'stalled: no end');
last_end('stalled', 'cut client stalled');

# the compressor's memory of an entry that nobody ends, 0.3 MB
for my $round (0, 1) {
    my $rss = worker_rss($worker);

    for (1 .. 12) {
        $c = $nginx->get('/download/dev/endless/files.zip');
        ok($c->read_until(5, sub { $c->{bytes} > 65536 }), 'under way');
        $c->vanish(1);
    }

    alone('left');
    cmp_ok(worker_rss($worker) - $rss, '<=', sanitized() ? 400_000 : 1024,
        'those that left took their memory along') if $round;
}

# --- large and many ----------------------------------------------------------

# A client that keeps nothing of an archive, read from a pipe: the digest of
# its files, what the worker's memory grew by, and how fast that was.
sub piped
{
    my ($name, $path, $seconds) = @_;

    my $file = work_dir() . "/piped";
    my $ca = $certs->file('ca.crt');

    unlink glob "$file.*";

    my $pid = spawn('curl', [ 'bash', '-c', "set -o pipefail; curl -sS -N"
        . " --cacert $ca -H 'Authorization: bearer good' -D $file.head"
        . " https://localhost:8443$path | bsdtar -xOf - | sha256sum"
        . " > $file.sum" ], out => "$file.err");
    my ($began, $cpu, $status) = (time(), worker_cpu($worker));

    wait_for(10, sub { -s "$file.head" });

    # its first bytes cost buffers that stay
    wait_for(0.3, sub { 0 });

    my ($least, $most) = (worker_rss($worker)) x 2;
    my $end = time() + limit($seconds);

    while (time() < $end) {
        my $kib = worker_rss($worker);

        $least = $kib if $kib < $least;
        $most = $kib if $kib > $most;
        $status = wait_exit($pid, 0.05);
        last if defined $status;
    }

    is($status, 0, "$name: has come") or diag(slurp("$file.err"));

    my $took = time() - $began;

    diag(sprintf '%s: %.2f s, %.2f s of the worker, %d to %d KiB', $name,
        $took, worker_cpu($worker) - $cpu, $least, $most);
    cmp_ok($most - $least, '<=', $slack, "$name: memory is flat");

    return ((split ' ', slurp("$file.sum"))[0], $took);
}


# a file of holes, and bytes that do not pack at its ends
my $large = "$folder/dev/large/large.pcap";

must('mkdir', '-p', "$folder/dev/large", "$folder/dev/many");

open my $fh, '>:raw', $large or die "$large: $!";
print $fh map { chr rand 256 } 1 .. 1_000_000;
seek $fh, $mib * 1048576, 0;
print $fh 'its end';
close $fh or die "$large: $!";
capture('large', [ 'node-7', ['large.pcap'] ]);

my $sum = Digest::SHA->new(256)->addfile($large)->hexdigest();

for my $way ('', '/store') {
    my $name = "$mib MiB" . ($way || ' deflated');
    my ($got, $took) = piped($name, "$way/download/dev/large/files.zip",
        60 + $mib / 10);

    diag(sprintf '%s: %.0f MB/s', $name, $mib * 1.048576 / $took);
    is($got, $sum, "$name: all of it");
}

my @many = map { sprintf 'f%05d.pcap', $_ } 1 .. $many;

spew("$folder/dev/many/$_", "$_ " x 100) for @many;
capture('many', [ 'node-7', \@many ]);

my ($got) = piped("$many files", '/download/dev/many/files.zip',
    60 + $many / 20);

is($got, sha256_hex(map { "$_ " x 100 } @many), "$many files: all of them");

# --- a worker that goes ------------------------------------------------------

# deflated, or the client would have it all at once
$path = '/download/dev/endless/files.zip';
$c = $nginx->get($path);
ok($c->read_until(5, sub { $c->{bytes} > 65536 }), 'reload: it runs');
ok($nginx->reload(), 'reload: new workers');

my $at = $c->{bytes};

ok($c->read_until(5, sub { $c->{bytes} > $at + 200_000 }),
    'reload: it goes on');
ok(-e "/proc/$worker", 'reload: in the old worker');
kill 'QUIT', $nginx->{pid};
$began = time();
ok($c->gone(20) && !$c->{complete}, 'nginx goes: it is cut');
cmp_ok(time() - $began, '>', 2, 'nginx goes: not at once');
is(wait_exit(delete $nginx->{pid}, 5), 0, 'nginx goes: it ends');
last_end('nginx goes', 'cut drain');
alone('nginx goes');

# --- configuration -----------------------------------------------------------

for my $case ([ 'lzma', 0, qr/invalid value "lzma"/ ],
    [ 'store deflate', 0, qr/invalid number of arguments/ ],
    [ 'deflate', 1 ])
{
    my ($value, $good, $like) = @$case;
    my $t = PcapTest::Nginx->new(certs => $certs, http =>
        "pcap_api_kube_zip $value;");
    my ($ok, $text) = $t->test_config();

    is($ok ? 1 : 0, $good, "pcap_api_kube_zip $value") or diag($text);
    like($text, $like, 'and says why') if $like;
}

is(audit_chain($key, [$log]), '', 'audit: a chain to the end');
finish();
