# files.pcapng: all files of a PacketCapture on all nodes as one file in the
# order of time, with an interface for each endpoint, by real agents. The API
# server is PcapTest::Kube.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Agent;
use PcapTest::Audit;
use PcapTest::Kube;
use PcapTest::Lab;
use PcapTest::Pcapng ();

my $T0 = 1_700_000_000;
my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs);
my $token = $kube->token_file();
my %folder = map { $_ => work_dir() . "/pcap-$_" } 1, 2;

chmod 0755, work_dir();
chmod 0644, $token;
mkdir $folder{$_} for 1, 2;

my %agent = map { $_ => PcapTest::Agent->new(certs => $certs, addr =>
    "127.1.0.$_", conf => { user => 'nobody', files_folder => $folder{$_} })
    } 1, 2;
my $key = audit_key(work_dir() . '/key');
my $audit = work_dir() . '/audit.log';

# what captures have to say, and how they are cut, is nothing for files
my $lab = lab(certs => $certs, nginx => {
    http => 'pcap_api_introspection_rate 1000 burst=10000;'
        . ' pcap_api_require_reason on; pcap_api_max_snaplen 40;'
        . " pcap_api_audit $audit key=$key;",
    server => $kube->location('/_kube') . ' location / { pcap_api on;'
        . ' pcap_api_kube_files on; pcap_api_agent_ranges 127.1.0.0/24;'
        . " pcap_api_kube /_kube forward=/_kube_forward token=$token;"
        . ' pcap_api_reauth 1s; pcap_api_kube_node node-1 127.1.0.1:9494;'
        . ' pcap_api_kube_node node-2 127.1.0.2:9494; }' });
my $nginx = $lab->{nginx};

$kube->user($_, username => $_) for qw(ann eve fwd);
$kube->allow(users => [qw(ann bea)], verbs => ['get'],
    resources => ['packetcaptures/files'], namespace => 'dev');
$kube->allow(users => ['fwd'], verbs => ['impersonate'], group => '',
    resources => ['users']);


# A file of packets at these times, ms after $T0. big: the other byte order;
# ns; link (type); junk (bytes behind them).
sub pcap
{
    my ($node, $name, $file, $times, %o) = @_;

    my ($L, $S) = $o{big} ? ('N', 'n') : ('V', 'v');
    my $ns = $o{ns} ? 1000 : 1;
    my $bytes = pack "$L$S$S$L$L$L$L", $o{ns} ? 0xA1B23C4D : 0xA1B2C3D4, 2,
        4, 0, 0, 65535, $o{link} // 1;

    $bytes .= pack("$L$L$L$L", $T0 + int($_ / 1000), $_ % 1000 * 1000 * $ns,
        60, 60) . "\0" x 12 . "\x08\0" . "\x45" . "\0" x 45 for @$times;
    mkdir $_ for "$folder{$node}/dev", "$folder{$node}/dev/$name";
    spew("$folder{$node}/dev/$name/$file", $bytes . ($o{junk} || ''));
}


sub there
{
    my ($name, @files) = @_;

    my %of;

    push @{ $of{ $_->[0] } }, $_->[1] for @files;
    pcap($_->[0], $name, @$_[1 .. $#$_]) for @files;
    $kube->capture('dev', $name, [ map { [ "node-$_", $of{$_}, 'Finished' ] }
        sort keys %of ]);
}


sub fetch
{
    my ($name, %o) = @_;

    return $nginx->fetch("/download/dev/$name/files.pcapng", token => 'ann',
        seconds => 20, %o);
}


# --- two nodes, each with two endpoints, one of them rotated ----------------

there('cap', [ 1, 'a_cali1.pcap', [ map { 10 * $_ } 50 .. 99 ] ],
    [ 1, 'a_cali1.pcap1', [ map { 10 * $_ } 0 .. 49 ] ],
    [ 1, 'b_cali2.pcap', [ map { 10 * $_ + 3 } 0 .. 99 ], ns => 1 ],
    [ 2, 'a_cali1.pcap', [ map { 10 * $_ + 5 } 0 .. 99 ], big => 1 ],
    [ 2, 'c_cali3.pcap', [ 7, 5, 9, 3, 2000 ] ],
    [ 2, 'empty.pcap', [] ]);

my $c = fetch('cap');
my $file = capture_ok($c, status => 'complete', name => 'merged',
    packets => { 'node-1' => 200, 'node-2' => 105 }) || {};

is(join(' ', sort map { $_->{name} } @{ $file->{ifaces} }), join(' ', map {
    "node-$_" } qw(1/a_cali1 1/b_cali2 2/a_cali1 2/c_cali3 2/empty)),
    'an interface for each endpoint');
like($c->header('content-disposition'), qr/filename="cap-\d+T\d+Z\.pcapng"/,
    'a name');

my $id = $c->header('x-pcap-capture-id');

like(slurp($audit), qr/"event":"$_","capture":"$id".*"packetcapture":"cap"/,
    "the audit log has its $_, with its id") for qw(start end);

my $saved = spew(work_dir() . '/merged.pcapng', $c->{body});

like(`capinfos -o '$saved' 2>&1`, qr/Strict time order:\s+True/,
    'capinfos: strict time order');
like(`capinfos -c -M '$saved' 2>&1`, qr/Number of packets:\s+305\b/,
    'capinfos: all packets');

# --- many endpoints, other link types, long names ---------------------------

there('many', map { my $n = $_; map { [ $n, sprintf('%s%03d_cali.pcap',
    'workload-' x 20, $_), [ $_ * 7, $_ * 7 + 1000 ], link => $_ % 2 ? 1 : 101
    ] } 0 .. 99 } 1, 2);
$file = capture_ok(fetch('many'), status => 'complete', name => 'many',
    packets => { 'node-1' => 200, 'node-2' => 200 }) || {};
is(scalar @{ $file->{ifaces} }, 200, '200 interfaces');

# --- what is wrong ----------------------------------------------------------

there('junk', [ 1, 'a.pcap', [ 1 .. 5 ], junk => "\xff" x 40 ],
    [ 1, 'b.pcap', [ 3 .. 9 ] ], [ 2, 'c.pcap', [ 1 .. 3 ] ]);
$c = fetch('junk');
status_is($c, 200, 'one with junk behind its packets');
$file = PcapTest::Pcapng::parse($c->{body});
is(scalar @{ $file->{packets} }, 15, 'has all of them');
ok($c->{complete}, 'and an end');

# files that the status names and that no agent has
for my $case ([ 'lost', 'a.pcap', 'b.pcap' ], [ 'wrong', 'a.pcap', '../b' ]) {
    my ($name, @files) = @$case;

    pcap(1, $name, 'a.pcap', [ 1, 2 ]);
    $kube->capture('dev', $name, [ [ 'node-1', \@files, 'Finished' ] ]);
    $c = fetch($name);
    is($c->trailer('x-pcap-status'), 'partial', "$name: not all");
    is($c->trailer('x-pcap-packets'), 2, "$name: all of what is there");
    like($c->{body}, qr/UNKNOWN node-1: not all files could be read/,
        "$name: and the file says so");
}

# its agent, which has no packet, may have ended before the other one answers
there('idle', [ 1, 'a.pcap', [] ], [ 2, 'c.pcap', [ 1, 2 ] ]);
$kube->capture('dev', 'idle', [ [ 'node-1', [qw(a.pcap b.pcap)], 'Finished' ],
    [ 'node-2', ['c.pcap'], 'Finished' ] ]);

for my $n (1 .. 8) {
    $c = fetch('idle');
    is($c->trailer('x-pcap-status'), 'partial', "no packets, not all: $n");
    like($c->{body}, qr/UNKNOWN node-1: not all files could be read/,
        "and the file says so: $n");
}

$kube->capture('dev', 'nowhere', [ [ '../node', ['a.pcap'], 'Finished' ] ]);
problem_is(fetch('nowhere'), 502, qr/can be no name of a node/,
    'nodes that can be none');

$agent{2}->stop();
$c = fetch('cap');
status_is($c, 200, 'an agent that is down');
is($c->trailer('x-pcap-status'), 'partial', 'is told');
like($c->{body}, qr/INSTANCE_UNAVAILABLE node-2|START_CAPTURE_FAILED node-2/,
    'by the file, too');
$agent{1}->stop();
problem_is(fetch('cap'), 502, qr/no connection|no instance/, 'both');
$agent{$_}->start() for 1, 2;

$kube->capture('dev', 'none', []);
$c = fetch('none');
is("$c->{status} " . length $c->{body}, '204 0', 'no files');
$kube->capture('dev', 'early', undef);
is(fetch('early')->{status}, 204, 'no status');
problem_is(fetch('else'), 404, qr/no packetcapture "else"/, 'no capture');
problem_is(fetch('cap', token => 'eve'), 403, qr/not authorized to get/,
    'no right');
problem_is(fetch('cap', token => undef), 401, undef, 'no token');
$kube->capture('dev', 'gone', [ [ 'node-1', ['x.pcap'], 'Finished' ] ]);
problem_is(fetch('gone'), 502, qr/there is none/, 'files that are gone');

# a node whose name can be none has no agent that could be asked
$kube->capture('dev', 'odd', [ [ 'node-1', ['a.pcap'], 'Finished' ],
    [ '../node', ['a.pcap'], 'Finished' ],
    [ 'node-1', ['a.pcap'], 'Finished' ] ]);
pcap(1, 'odd', 'a.pcap', [ 1, 2 ]);
$c = fetch('odd');
is($c->trailer('x-pcap-status'), 'partial', 'a node of no name: not all');
like($c->{body}, qr{INSTANCE_UNAVAILABLE \.\./node: }, 'and the file says so');
is($c->trailer('x-pcap-packets'), 2, 'with what others have');

# --- the right is looked at again, of the same one --------------------------

there('long', [ 1, 'a.pcap', [ 0 .. 60_000 ] ], [ 2, 'a.pcap',
    [ 0 .. 60_000 ] ]);

for my $case ([ 'its user', token => 'ann' ], [ 'a forwarder', token =>
    'fwd', headers => [ [ 'Impersonate-User' => 'bea' ] ] ])
{
    my ($name, %o) = @$case;

    $c = $nginx->get('/download/dev/long/files.pcapng', %o, rcvbuf => 4096,
        no_wait => 1);
    $c->read_header(15);

    my $before = () = $kube->seen(qr/subjectaccess/);

    ok(wait_for(10, sub { (() = $kube->seen(qr/subjectaccess/)) > $before }),
        "$name: it is looked at again");
    $c->read_end(20);
    is($c->trailer('x-pcap-status'), 'complete', "$name: and is there");
    is($c->trailer('x-pcap-packets'), 120_002, "$name: all packets");
}

my @bea = grep { /"user":"bea"/ } split /\n/, slurp($audit);

is(scalar(@bea), 2, 'the audit log has start and end for whom he named');
is(scalar(grep { /"user":"bea","forwarder":"fwd"/ } @bea), 2,
    'with who it was');

# --- the right is lost ------------------------------------------------------

$c = $nginx->get('/download/dev/long/files.pcapng', token => 'ann',
    rcvbuf => 4096, no_wait => 1);
$c->read_header(15);
$kube->rights_again();

my $asked = () = $kube->seen(qr/subjectaccess/);

ok(wait_for(10, sub { (() = $kube->seen(qr/subjectaccess/)) > $asked }),
    'a right that is lost: it is looked at again');
$c->read_end(20);
is($c->trailer('x-pcap-status'), 'stopped', 'its user gets no more');
like($c->{body}, qr/the right to this capture is missing now/, 'and why');
like(slurp($audit), qr/"event":"end"[^\n]*"user":"ann"[^\n]*"end_reason":
    "right"/x, 'the audit log has it');

is_deeply([ $kube->violations() ], [], 'every question was a good one');
finish();
