# Many downloads at once from one real agent with its defaults: each has to wait
# for its turn, none misses a file, and no user has more than his share. Files
# keep their times; those of another cluster come from its own agents.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Audit;
use PcapTest::Kube;
use PcapTest::Lab;

my $FILES = 20;
my $CLIENTS = 24;
my $T0 = 1_700_000_000;
my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs);
my $token = $kube->token_file();
my $folder = work_dir() . '/captures';
my $key = audit_key(work_dir() . '/key');
my $log = work_dir() . '/audit.log';
my @names = map { "f$_.pcap" } 1 .. $FILES;

chmod 0755, work_dir();
chmod 0644, $token;
must('mkdir', '-p', "$folder/dev/web");

for my $i (1 .. $FILES) {
    spew("$folder/dev/web/f$i.pcap", chr($i) x 20_000);
    utime $T0 + 60 * $i, $T0 + 60 * $i, "$folder/dev/web/f$i.pcap";
}

my $agent = PcapTest::Agent->new(certs => $certs, addr => '127.1.0.1',
    conf => { user => 'nobody', files_folder => $folder });
my $conf = 'pcap_api on; pcap_api_kube_files on;'
    . ' pcap_api_agent_ranges 127.1.0.0/24;'
    . " pcap_api_kube /_kube forward=/_kube_forward token=$token;"
    . ' pcap_api_kube_node node-1 127.1.0.1:9494;'
    . ' pcap_api_kube_agents namespace=' . PcapTest::Kube::AGENTS
    . ' selector=app=pcap-agent;';
my $lab = lab(certs => $certs, nginx => { workers => 2,
    listen => 'reuseport', allow => [ qr/\[alert\].*exited on signal 9/ ],
    http => "pcap_api_audit $log key=$key;"
        . ' pcap_api_introspection_rate 1000 burst=10000;',
    server => $kube->location('/_kube')
        . " location / { $conf pcap_api_kube_downloads $CLIENTS; }"
        . " location /few/ { $conf pcap_api_kube_downloads 2;"
        . ' pcap_api_kube_zip store; add_header X-Pid $pid always; }'
        . " location /again/ { $conf pcap_api_reauth 1s;"
        . ' pcap_api_kube_zip store; }'
        . " location /short/ { $conf pcap_api_max_duration 2s;"
        . ' pcap_api_kube_zip store; }'
        . ' location = /metrics { pcap_api_metrics on; }' });
my $nginx = $lab->{nginx};

$kube->user($_, username => $_) for qw(ann bea);


sub grant
{
    $kube->allow(users => [qw(ann bea)], verbs => [qw(get delete)],
        resources => ['packetcaptures/files'], namespace => 'dev');
}


grant();
$kube->capture('dev', 'web', [ [ 'node-1', \@names, 'Finished' ] ]);


# One that reads nothing of what it has asked for, and has a place of the agent:
# that of somebody who has just gone is free a moment later.
sub slow
{
    return wait_for(10, sub {
        my $c = PcapTest::AgentClient->new($agent, rcvbuf => 4096);

        $c->get('/v1/files/dev/web/big.pcap');
        $c->read_until(10, sub { $_[0]{head} });
        return $c if $c->{head} =~ m{^HTTP/1\.1 200 };
        $c->reset_connection();
        return undef;
    }) || die "no place of the agent is free\n";
}


sub metrics
{
    my %now = $nginx->fetch('/metrics')->{body} =~ /^pcap_api_(\S+) (\d+)$/mg;

    return { map { $_ => $now{$_} } 'downloads_total{status="complete"}',
        'downloads_total{status="partial"}', 'downloads_total{status="cut"}',
        (map { "download_${_}_total" } qw(files bytes missing)),
        'files_removed_total', 'requests_total{route="files"}' };
}


sub refused { return scalar(() = slurp($agent->{log}) =~ /refused with 429/g) }

# --- all at once ------------------------------------------------------------

my @clients = map { $nginx->get('/download/dev/web/files.zip',
    token => 'ann', no_wait => 1) } 1 .. $CLIENTS;
my %seen;

for my $c (@clients) {
    $c->read_header(20);
    $c->read_end(40);
    $seen{ join ' ', $c->{status}, $c->trailer('x-pcap-status') // 'none',
        $c->trailer('x-pcap-files') // 0 }++;
}

is_deeply(\%seen, { "200 complete $FILES" => $CLIENTS },
    'each has all files') or diag(explain(\%seen));

is_deeply(metrics(), {
    'downloads_total{status="complete"}' => $CLIENTS,
    'downloads_total{status="partial"}' => 0,
    'downloads_total{status="cut"}' => 0,
    download_files_total => $CLIENTS * $FILES,
    download_bytes_total => $CLIENTS * $FILES * 20_000,
    download_missing_total => 0, files_removed_total => 0,
    'requests_total{route="files"}' => $CLIENTS }, 'they are counted')
    or diag(explain(metrics()));

my $zip = spew(work_dir() . '/files.zip', $clients[0]{body});
my %time = map { split } grep { /pcap/ } `TZ=UTC unzip -Z -T $zip |
    awk '/f[0-9]+.pcap/ { print \$NF, \$(NF-1) }'`;

is($time{'node-1/f20.pcap'}, '20231114.223320', 'a file keeps its time')
    or diag(`unzip -Z -T $zip`);

# --- a user's share ---------------------------------------------------------

must('mkdir', '-p', "$folder/dev/hold");
must('truncate', '-s', '300M', "$folder/dev/hold/big.pcap");
$kube->capture('dev', 'hold', [ [ 'node-1', ['big.pcap'], 'Finished' ] ]);

sub few
{
    return $nginx->fetch('/few/download/dev/web/files.zip', token => $_[0]);
}


# Two that last, one by each worker.
sub hold
{
    my %by;

    for my $try (1 .. 40) {
        my $c = $nginx->get('/few/download/dev/hold/files.zip',
            token => 'ann', rcvbuf => 4096, no_wait => 1);

        $c->read_header(10);

        my $pid = $c->header('x-pid');

        if ($by{$pid}) {
            $c->vanish();
            wait_for(10, sub { few('ann')->{status} == 200 });
            next;
        }

        $by{$pid} = $c;
        last if keys %by == 2;
    }

    return %by;
}


my %hold = hold();
my @hold = values %hold;
my $cut = metrics()->{'downloads_total{status="cut"}'};

# whichever worker it comes to
for my $pid (keys %hold) {
    my $c;

    for my $try (1 .. 40) {
        $c = few('ann');
        last if $c->header('x-pid') == $pid;
    }

    is($c->header('x-pid'), $pid, 'one of two workers');
    problem_is($c, 429, qr/"pcap_api_kube_downloads" allows 2/,
        'more than a user may');
}

problem_is($nginx->fetch("/few/$_->[1]", token => 'ann', method => $_->[0]),
    429, qr/"pcap_api_kube_downloads"/, "$_->[0] $_->[1]: a share, too")
    for [ GET => 'download/dev/web/files.pcapng' ],
    [ DELETE => 'files/dev/web' ];
status_is(few('bea'), 200, 'another one may');
$hold[0]->vanish();
ok(wait_for(10, sub { few('ann')->{status} == 200 }),
    'as he may when one has ended');
$hold[1]->vanish();
ok(wait_for(10, sub { metrics()->{'downloads_total{status="cut"}'}
    == $cut + 2 }), 'both that were left are counted');

# what a worker held is free when it has died
%hold = hold();

my ($dies, $lives) = keys %hold;

is(few('ann')->{status}, 429, 'two again');
kill 'KILL', $dies;
ok($hold{$dies}->gone(5), 'a worker is killed');
ok(wait_for(10, sub { few('ann')->{status} == 200 }),
    'the share of its download is free');
ok(!$hold{$lives}->gone(0), 'the other one goes on');
$hold{$lives}->vanish();
ok(wait_for(10, sub { $nginx->workers() == 2 }), 'two workers again');

# --- over time --------------------------------------------------------------

# How a download has ended that was cut for this reason.
sub cut_by
{
    my ($why) = @_;

    return grep { $_->{event} eq 'end' && $_->{status} eq 'cut'
        && ($_->{end_reason} // '') eq $why } audit_lines($log);
}


sub reviews { return scalar(() = $kube->seen(qr/subjectaccess/)) }

$kube->user('fwd', username => 'fwd');
$kube->allow(group => '', users => ['fwd'], verbs => ['impersonate'],
    resources => ['users'], names => ['bea']);

my $for_bea = $nginx->get('/again/download/dev/hold/files.zip', token => 'fwd',
    headers => [ [ 'Impersonate-User' => 'bea' ] ], rcvbuf => 4096,
    no_wait => 1);

$for_bea->read_header(10);

my $before_bea = reviews();

ok(wait_for(15, sub { reviews() > $before_bea + 5 }),
    'who is named by a forwarder: his right is asked for again');
is(scalar(cut_by('right')), 0, 'and found');
$for_bea->vanish();

for my $case ([ 'again', 'right' ], [ 'short', 'pcap_api_max_duration' ]) {
    my ($place, $why) = @$case;
    my $c = $nginx->get("/$place/download/dev/hold/files.zip",
        token => 'ann', rcvbuf => 4096, no_wait => 1);
    my $asked = reviews();

    $c->read_header(10);

    if ($why eq 'right') {
        ok(wait_for(10, sub { reviews() > $asked + 1 }),
            'a right is asked for again');
        is(scalar(cut_by($why)), 0, 'and while it is there nothing is cut');
        $kube->rights_again();
    }

    ok(wait_for(20, sub { cut_by($why) }), "$place: it is cut, $why");
    $c->read_end(20);
    ok($c->{eof} && !$c->{complete}, "$place: the client gets no end");
    grant();
}

like($nginx->log(), qr{download of dev/hold: its right is missing now},
    'the log tells of the right');

# --- files of another cluster -----------------------------------------------

# Its agents say whose they are: one that has the name of the home cluster's is
# not asked, wherever that cluster's API server leads.
my $east = work_dir() . '/east';

must('mkdir', '-p', "$east/dev/web");
spew("$east/dev/web/f1.pcap", 'of the east');
$certs->leaf('east', names => ['east.pcap-agent']);
PcapTest::Agent->new(certs => $certs, addr => '127.1.0.2', cert => 'east',
    conf => { user => 'nobody', files_folder => $east });
$kube->managed('east');
$kube->allow(users => ['ann'], verbs => ['get'], cluster => 'east',
    resources => ['packetcaptures/files'], namespace => 'dev');
$kube->capture('dev', 'web', [ map { [ $_, ['f1.pcap'], 'Finished' ] }
    qw(node-1 node-2) ], cluster => 'east');
$kube->pod(PcapTest::Kube::AGENTS, "agent-$_", node => "node-$_",
    ip => "127.1.0.$_", cluster => 'east', labels => { app => 'pcap-agent' })
    for 1, 2;

my $before = metrics();
my $f = $nginx->fetch('/download/dev/web/files.zip', token => 'ann',
    headers => [ [ 'X-CLUSTER-ID' => 'east' ] ], seconds => 20);

status_is($f, 200, 'files of another cluster') or diag($f->{body});
$zip = spew(work_dir() . '/east.zip', $f->{body});
is(`unzip -p $zip node-2/f1.pcap`, 'of the east', 'from its own agent');
is($f->trailer('x-pcap-missing'), 'node-1',
    'and none from one of the home cluster');
like(`unzip -p $zip MISSING.txt`, qr/^node-1\t\*\t.*certificate/,
    'the archive tells why');
ok(!(grep { $_->{cluster} eq 'east' && $_->{listener} ne 'forward' }
    $kube->seen()), 'that cluster was asked through the forwarding endpoint');

my $after = metrics();

is_deeply({ map { $_ => $after->{$_} - $before->{$_} } keys %$after }, {
    'downloads_total{status="complete"}' => 0,
    'downloads_total{status="partial"}' => 1,
    'downloads_total{status="cut"}' => 0, download_files_total => 1,
    download_bytes_total => 11, download_missing_total => 1,
    files_removed_total => 0, 'requests_total{route="files"}' => 1 },
    'what is missing is counted');

# --- an agent that is busy for a moment -------------------------------------

# as many slow readers as it serves at once; then one of them goes
must('truncate', '-s', '300M', "$folder/dev/web/big.pcap");

my @slow = map { slow() } 1 .. 16;

is((PcapTest::AgentClient->fetch($agent, '/v1/files/dev/web/f1.pcap'))[0],
    429, 'the agent serves all that it can');

my $refused = refused();
my $c = $nginx->get('/download/dev/web/files.zip', token => 'ann',
    no_wait => 1);

ok(wait_for(10, sub { refused() > $refused + 1 }), 'it is asked again');
(shift @slow)->reset_connection();
$c->read_header(20);
$c->read_end(20);
is($c->trailer('x-pcap-status'), 'complete', 'when it can it does');
is($c->trailer('x-pcap-files'), $FILES, 'and all files are there');

# who never gets his turn is told why
push @slow, slow();
$c = $nginx->fetch('/download/dev/web/files.zip', token => 'ann',
    seconds => 30);
problem_is($c, 503, qr/have too much to do/, 'an agent that stays busy');
is($c->header('retry-after'), 1, 'it may be otherwise in a moment');
like($nginx->log(), qr/"node-1" is missing .*the agent has too much to do/,
    'and the log tells why');
$_->reset_connection() for @slow;

# --- what is removed --------------------------------------------------------

unlink("$folder/dev/web/f2.pcap") or die "unlink: $!\n";
status_is($nginx->fetch('/files/dev/web', token => 'ann', method => 'DELETE',
    seconds => 20), 200, 'the files are removed');
is(metrics()->{files_removed_total}, $FILES - 1,
    'those that were there are counted');

finish();
