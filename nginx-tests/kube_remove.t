# DELETE of a PacketCapture's files: real agents remove them, then its status
# names none. What cannot be removed keeps its name, and nothing is removed
# while a node still captures. The API server is PcapTest::Kube.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Audit;
use PcapTest::Fake;
use PcapTest::Kube;
use PcapTest::Lab;
use Time::HiRes qw(time);

my $PCAP = pack 'VvvVVVV', 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1;
my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs);
my $token = $kube->token_file();
my %folder = map { $_ => work_dir() . "/pcap-$_" } 1, 2;
my @names = ('a_cali1.pcap', 'a_cali1.pcap1', 'b "q" %2f ä.pcap');

chmod 0755, work_dir();
chmod 0644, $token;
mkdir $folder{$_} for 1, 2;
utf8::encode(my $umlaut = $names[2]);

my %agent = map { $_ => PcapTest::Agent->new(certs => $certs, addr =>
    "127.1.0.$_", conf => { user => 'nobody', files_folder => $folder{$_} })
    } 1, 2;
my $fake = PcapTest::Fake->new(certs => $certs, port => 9495, script =>
    \&misbehave);
my $key = audit_key(work_dir() . '/key');
my $audit = work_dir() . '/audit.log';
my $lab = lab(certs => $certs, nginx => {
    http => "pcap_api_introspection_rate 1000 burst=10000;"
        . " pcap_api_audit $audit key=$key;",
    server => $kube->location('/_kube') . ' location / { pcap_api on;'
        . ' pcap_api_kube_files on; pcap_api_agent_ranges 127.1.0.0/24;'
        . " pcap_api_kube /_kube forward=/_kube_forward token=$token;"
        . ' pcap_api_kube_agents namespace=tigera-packetcapture'
        . ' selector=app=agent;'
        . ' pcap_api_kube_node node-1 127.1.0.1:9494;'
        . ' pcap_api_kube_node fake 127.1.0.9:9495; }' });
my $nginx = $lab->{nginx};

$kube->user('ann', username => 'ann');
$kube->allow(users => ['ann'], verbs => ['delete'],
    resources => ['packetcaptures/files']);
$kube->pod('tigera-packetcapture', 'agent-2', node => 'node-2', ip =>
    '127.1.0.2', labels => { app => 'agent' });


# An agent by the name of the file that it is to remove.
sub misbehave
{
    my ($c) = @_;

    my ($status) = $c->{path} =~ m{/status-(\d+)\.pcap$};

    return $c->refuse("$status No", '{"detail":"files: dev/cap/x/y: none"}')
        if $status;
    return $c->cut() if $c->{path} =~ /cut/;

    # a body of which nothing comes to an end
    $c->head('200 OK', 'Content-Length: 100000'), $c->send_raw('x' x 9000)
        if $c->{path} =~ /body/;
    $c->hang();
}


# The capture "cap" with its files on both nodes.
sub files_are_there
{
    my ($name, %o) = @_;

    for my $n (1, 2) {
        mkdir $_ for "$folder{$n}/dev", "$folder{$n}/dev/$name";
        spew("$folder{$n}/dev/$name/$_", $PCAP)
            for 'a_cali1.pcap', 'a_cali1.pcap1', $umlaut;
        chmod 0600, glob "$folder{$n}/dev/$name/*";
    }

    $kube->capture('dev', $name, $o{files} || [ map { [ "node-$_",
        [ @names ], 'Finished' ] } 1, 2 ]);
}


sub left
{
    my ($name) = @_;

    return join ' ', map { my $n = $_; map { "$n:" . s{.*/}{}r }
        glob "$folder{$n}/dev/$name/*" } 1, 2;
}


sub named
{
    my ($name) = @_;

    return join ' ', map { scalar @{ $_->{fileNames} } }
        @{ $kube->capture_of('dev', $name)->{status}{files} };
}


sub remove
{
    my ($name) = @_;

    return $nginx->fetch("/files/dev/$name", method => 'DELETE', token =>
        'ann', headers => [], seconds => 20);
}


files_are_there('cap');
files_are_there('other');

my $c = remove('cap');

is($c->{status}, 200, 'removed') or diag($c->{body});
is(left('cap'), '', 'all files have gone');
is(left('other') =~ tr/:/:/, 6 + 0, 'those of another capture have not');
is(named('cap'), '0 0', 'and their names');
is($kube->capture_of('dev', 'cap')->{status}{files}[0]{state}, 'Finished',
    'the rest of the status stays');
is(remove('cap')->{status}, 200, 'once more');

files_are_there('cap');
unlink "$folder{1}/dev/cap/a_cali1.pcap";
is(remove('cap')->{status}, 200, 'one that was not there any more');
is(left('cap') . named('cap'), '0 0', 'is removed');

# --- many of them: each gives its memory back --------------------------------

sub worker_peak
{
    my ($pid) = $nginx->workers();
    my ($kib) = slurp("/proc/$pid/status") =~ /^VmPeak:\s+(\d+)/m;

    return $kib;
}


my @many = map { "m$_.pcap" } 1 .. 1000;

mkdir "$folder{1}/dev/many";
spew("$folder{1}/dev/many/$_", 'x') for @many;
$kube->capture('dev', 'many', [ [ 'node-1', \@many, 'Finished' ] ]);

my $peak = worker_peak();

is(remove('many')->{status}, 200, '1000 files');
is(left('many'), '', 'have gone');
cmp_ok(worker_peak() - $peak, '<', sanitized() ? 400_000 : 4096,
    'KiB more than before, at most');

# --- an agent that is busy for a moment -------------------------------------

mkdir "$folder{1}/dev/big";
must('truncate', '-s', '300M', "$folder{1}/dev/big/big.pcap");
chmod 0644, "$folder{1}/dev/big/big.pcap";
files_are_there('cap');


sub refused
{
    return scalar(() = slurp($agent{1}{log}) =~ /refused with 429/g);
}


# It has a place of the agent: that of somebody who has just gone is free a
# moment later.
sub slow
{
    return wait_for(10, sub {
        my $s = PcapTest::AgentClient->new($agent{1}, rcvbuf => 4096);

        $s->get('/v1/files/dev/big/big.pcap');
        $s->read_until(10, sub { $_[0]{head} });
        return $s if $s->{head} =~ m{^HTTP/1\.1 200 };
        $s->reset_connection();
        return undef;
    }) || die "no place of the agent is free\n";
}


my @slow = map { slow() } 1 .. 16;
my $refused = refused();

$c = $nginx->get('/files/dev/cap', method => 'DELETE', token => 'ann',
    no_wait => 1);
ok(wait_for(10, sub { refused() > $refused + 1 }), 'it is asked again');
(shift @slow)->reset_connection();
$c->read_header(20);
$c->read_end(20);
is($c->{status}, 200, 'and removes then') or diag($c->{body});
is(left('cap'), '', 'all files');
files_are_there('cap');
push @slow, slow();
$c = remove('cap');
problem_is($c, 503, qr/are not removed: its agent has too much to do/,
    'busy until pcap_api_start_timeout is over');
is($c->header('retry-after'), 1, 'to be tried again');
isnt(left('cap'), '', 'nothing is removed');
$_->reset_connection() for @slow;

# --- somebody else writes, too -----------------------------------------------

files_are_there('cap');
$kube->conflicts(3);
is(remove('cap')->{status}, 200, 'three conflicts');
is(named('cap'), '0 0', 'it is written in the end');
files_are_there('cap');
$kube->conflicts(4);
problem_is(remove('cap'), 503, qr/files are removed, their names are not/,
    'four of them');
$kube->conflicts(0);

# somebody captures again meanwhile: what that left keeps its name
files_are_there('cap');
$kube->conflicts(1);
$kube->change(sub { $_[0]{change} = { 'packetcaptures/status' => { delay => 1
    } } });

my $put = () = $kube->seen(qr{/status});

$c = $nginx->get('/files/dev/cap', method => 'DELETE', token => 'ann',
    no_wait => 1);
ok(wait_for(5, sub { (() = $kube->seen(qr{/status})) > $put }), 'it is put');
$kube->change(sub { push @{ $_[0]{clusters}{cluster}{captures}{'dev/cap'}
    {status}{files}[0]{fileNames} }, 'new.pcap'; $_[0]{change} = {} });
$c->read_end(10);
problem_is($c, 409, qr/the capture has other files now/, 'other files');
is(named('cap'), '4 3', 'their names stay');

# --- what is not removed -----------------------------------------------------

for my $state ('Capturing', 'Scheduled', 'WaitingForTraffic', 'Error') {
    files_are_there('cap', files => [ [ 'node-1', [ @names ], 'Finished' ],
        [ 'node-2', [ @names ], $state ] ]);
    problem_is(remove('cap'), 403, qr/^capture state is not Finished$/,
        $state);
}

files_are_there('cap', files => [ [ 'node-1', [ @names ] ] ]);
problem_is(remove('cap'), 403, qr/^capture state cannot be determined$/,
    'no state');
is(left('cap') =~ tr/:/:/, 6, 'nothing is removed');

files_are_there('cap', files => [ map { [ $_, [ @names ], 'Finished' ] }
    qw(node-1 node-9) ]);
problem_is(remove('cap'), 502, qr/node "node-9" .*no agent is known/,
    'a node without an agent');
is(named('cap'), '3 3', 'all names stay');

files_are_there('cap');
rename "$folder{2}/dev", "$folder{2}/moved";
problem_is(remove('cap'), 502, qr/node "node-2" .*refuses/,
    'an agent without the folder of the capture');
is(named('cap'), '3 3', 'all names stay');
rename "$folder{2}/moved", "$folder{2}/dev";

files_are_there('cap', files => [ [ 'node-1', [ '../other/a_cali1.pcap',
    '..', 'x/../../other/a_cali1.pcap', @names ], 'Finished' ] ]);
problem_is(remove('cap'), 502, qr/"node-1".*can be no name of a file/,
    'names that lead elsewhere');
is(left('other') =~ tr/:/:/, 6, 'nothing there is removed');

files_are_there('cap');
$agent{2}->stop();
problem_is(remove('cap'), 502, qr/node "node-2" .*no connection/,
    'an agent that is down');
is(named('cap'), '3 3', 'all names stay');
$agent{2}->start();
is(remove('cap')->{status}, 200, 'when it is back');
is(left('cap') . named('cap'), '0 0', 'all is removed');

# --- agents that say something else ------------------------------------------

for my $case ([ 'status-200.pcap', qr/refuses/ ],
    [ 'status-403.pcap', qr/refuses/ ], [ 'status-404.pcap', qr/refuses/ ],
    [ 'status-500.pcap', qr/refuses/ ], [ 'body.pcap', qr/refuses/ ],
    [ 'cut.pcap', qr/no connection/ ], [ 'silent.pcap', qr/does not answer/ ])
{
    my ($file, $like) = @$case;
    my $began = time();

    $kube->capture('dev', 'odd', [ [ 'fake', [$file], 'Finished' ] ]);
    problem_is(remove('odd'), 502, qr/node "fake" .*$like/, $file);
    is(scalar(@{ $kube->{control}{clusters}{cluster}{captures}{'dev/odd'}
        {status}{files}[0]{fileNames} }), 1, "$file: its name stays");
    cmp_ok(time() - $began, '<', limit($file =~ /silent/ ? 8 : 4),
        "$file: in time");
}

$kube->capture('dev', 'odd', [ [ 'fake', ['status-410.pcap'], 'Finished' ] ]);
is(remove('odd')->{status}, 200, 'one that has gone already');

# --- another cluster's node of that name is another node ---------------------

$kube->managed('east');
$kube->allow(users => ['ann'], verbs => ['delete'], cluster => 'east',
    resources => ['packetcaptures/files']);
$kube->capture('dev', 'cap', [ [ 'node-1', [ @names ], 'Finished' ] ],
    cluster => 'east');
files_are_there('cap');
problem_is($nginx->fetch('/files/dev/cap', method => 'DELETE', token => 'ann',
    headers => [ [ 'X-Cluster-Id' => 'east' ] ]), 502,
    qr/no agent is known/, 'of another cluster');
is(left('cap') =~ tr/:/:/, 6, 'nothing is removed here');

# nor is an agent of here taken for one of there
$kube->pod('tigera-packetcapture', 'agent-1', node => 'node-1', ip =>
    '127.1.0.1', labels => { app => 'agent' }, cluster => 'east');
problem_is($nginx->fetch('/files/dev/cap', method => 'DELETE', token => 'ann',
    headers => [ [ 'X-Cluster-Id' => 'east' ] ]), 502,
    qr/certificate is not the one expected/, 'an address of another cluster');
is(left('cap') =~ tr/:/:/, 6, 'nothing is removed here');

my @removals = grep { /"event":"remove"/ } split /\n/, slurp($audit);

cmp_ok(scalar @removals, '>', 10, 'the audit log has each');
like($removals[0], qr/"user":"ann".*"namespace":"dev","packetcapture":"cap"/,
    'and what was removed');

is_deeply([ grep { !/conflict/ } $kube->violations() ], [],
    'every question was a good one');
finish();
