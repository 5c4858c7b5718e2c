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
use PcapTest::Audit;
use PcapTest::FileAgents;
use PcapTest::Kube;
use PcapTest::Lab;
use PcapTest::Nginx;
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
my $log = work_dir() . '/audit.log';

chmod 0755, work_dir();
chmod 0644, $kube->token_file();

# nodes 1 to 3 are good, of 4 nobody listens, from 5 on they do as files say
my $nodes = join '', map { "pcap_api_kube_node node-$_ "
    . ($_ < 4 ? $files->addr($_) : $_ < 5 ? '127.1.0.4:9499'
    : $fake->addr($_) . ':9495') . ' tls_name=pcap-agent;' } 1 .. 6;
my $conf = 'pcap_api on; pcap_api_agents /_pcap_agent;'
    . ' pcap_api_agent_ranges 127.0.0.0/8; pcap_api_kube_files on;'
    . " $nodes pcap_api_kube /_kube token=" . $kube->token_file() . ';';
my $lab = lab(certs => $certs, nginx => { listen => 'sndbuf=128k',
    agent => { proxy_connect_timeout => '2s', proxy_read_timeout => '2s' },
    http => "pcap_api_audit $log key=$key; pcap_api_drain_timeout 3s;",
    pcap => 'pcap_api_client_stall ' . limit(2) . 's;', server =>
    'pcap_api_client_stall ' . limit(2) . 's;' . $kube->location('/_kube')
    . "location / { $conf } location /store/ { $conf pcap_api_kube_zip store;"
    . ' }' });
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

capture('good', [ 'node-1', ['web_cali1.pcap'] ], [ 'node-2',
    [ 'a b+c%41.pcap', 'empty.pcap', 'web_cali1.pcap' ] ]);

for my $way ('', '/store') {
    my $name = $way || 'deflate';
    my $c = download('good', way => $way);

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

my ($line, $end) = audit_lines($log);

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

# --- what cannot be had ------------------------------------------------------

$files->put(1, 'dev/part', 'one.pcap', 'one');
$files->put(3, 'dev/part', 'last.pcap', 'last');
capture('part', [ 'node-1', [ 'none.pcap', 'one.pcap' ] ],
    [ 'node-4', [ 'x.pcap', 'y.pcap' ] ], [ 'node-9', ['z.pcap'] ],
    [ 'node-5', [ qw(status-503.pcap chunked.pcap shrinks-90000.pcap
    empty-100.pcap grows-7000.pcap silent.pcap after.pcap) ] ],
    [ 'node-6', ['stalls-3000.pcap'] ], [ 'node-3', ['last.pcap'] ]);

my $c = download('part');
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

my @ends = grep { $_->{event} eq 'end' } audit_lines($log);

is_deeply([ @{ $ends[-1] }{qw(status files missing bytes)} ], [ 'partial', 5,
    9, 3 + 4 + 60000 + 7000 + 2000 ], 'part: audit');
is((grep { / 200 0 / } $files->asked()) + 0, 0, 'no file in vain');

for my $way ('', '/store') {
    my $name = "nothing$way";

    capture('nothing', [ 'node-1', ['none.pcap'] ], [ 'node-4',
        ['x.pcap'] ], [ 'node-5', ['empty-1.pcap'] ]);
    $c = download('nothing', way => $way);
    status_is($c, 204, $name);
    is($c->header('content-type'), undef, "$name: no type");
    is($c->{body}, '', "$name: no body");
    @ends = grep { $_->{event} eq 'end' } audit_lines($log);
    is_deeply([ @{ $ends[-1] }{qw(status files missing)} ], [ 'partial', 0,
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
@ends = grep { $_->{event} eq 'end' } audit_lines($log);
is("$ends[-1]{status} $ends[-1]{end_reason}", 'cut server failed',
    'store: audit');

finish();
