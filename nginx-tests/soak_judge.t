# The judge of long runs finds each kind of leak, and nothing in a clean run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use PcapTest;
use PcapTest::Soak qw(judge resources write_csv);
use PcapTest::SoakEnds qw(end_faults share_faults audit_faults whole_records);

use constant SECONDS => 1800;


# A run of half an hour that kills 900 processes; what differs from a clean
# one is said by the block, which gets each sample, the one at the end too, and
# how far the run is (0..1).
sub run
{
    my ($code, %end) = @_;

    my $idle = { time_s => 0, rows => 0, kept => 12, free_pages => 16250,
        workers => 2, worker_fds => 40, master_fds => 20, agent_fds => 14,
        agent_procs => 0 };

    my @samples = map { {
        time_s => $_ * 10, captures => 50, rows => 50 - $_ % 4,
        kept => $_ < 145 ? 12 + 7 * $_ : 1024,
        workers => 2, worker_rss_kib => 9000 + 300 * ($_ % 5),
        worker_fds => 300, master_rss_kib => 3000, master_fds => 20,
        agent_rss_kib => 4000 + $_ % 3, agent_fds => 60, agent_procs => 70,
    } } 0 .. SECONDS / 10 - 1;

    my $end = { %$idle, time_s => SECONDS, kept => 1024 };

    # 24 more of them, as the mix of groups is by chance
    $_->{free_pages} = 16250 - int(0.9 * ($_->{kept} + $_->{rows} - 12))
        - 24 for @samples, $end;
    $code->($_, $_->{time_s} / SECONDS) for @samples, $end;

    return join '; ', judge(SECONDS, $idle, { %$end, %end }, @samples);
}


my $clean = sub { };

is(run($clean), '', 'a clean run');
is(run($clean, worker_fds => 42, agent_fds => 16), '', 'two files of a log');

is(run(sub { my ($s, $at) = @_; $s->{worker_fds} *= 1 + $at;
    $s->{worker_rss_kib} *= 1 + $at if $at < 1 }, worker_fds => 40), '',
    'more captures in the end take more');

my $n = 0;

for my $leak (
    [ qr/^worker_rss_kib grows/, sub { $_[0]{worker_rss_kib}
        += 12000 * $_[1] } ],
    [ qr/^worker_rss_kib grows.*, with \d+ and \d+ open files/, sub {
        my ($s, $at) = @_; $s->{worker_fds} += int(300 * $at) if $at < 1;
        $s->{worker_rss_kib} += 1000 * int(36 * $at) } ],
    [ qr/^master_rss_kib grows/, sub { $_[0]{master_rss_kib}
        += 6000 * $_[1] } ],
    [ qr/^agent_rss_kib grows/, sub { $_[0]{agent_rss_kib}
        += 7000 * $_[1] } ],
    [ qr/^free_pages sink: 9\d\d .* at 1800 s/, sub { $_[0]{free_pages}
        -= 900 * $_[1] } ],
    [ qr/^free_pages sink: .* at 1800 s/, $clean, free_pages => 15250 ],
    [ qr/^not told: .* 1 samples, first at 70 s/, sub { $_[0]{free_pages}
        = -1 if $_[0]{time_s} == 70 } ],
    [ qr/^not told: .* 180 samples/, sub { $_[0]{kept} = -1
        if $_[1] < 1 } ],
    [ qr/^not told: .*; -1 rows/, $clean, rows => -1 ],
    [ qr/^worker_fds: 40 .*, 43 after/, $clean, worker_fds => 43 ],
    [ qr/^master_fds/, $clean, master_fds => 30 ],
    [ qr/^agent_fds/, $clean, agent_fds => 20 ],
    [ qr/^1 rows/, $clean, rows => 1 ],
    [ qr/^1 processes/, $clean, agent_procs => 1 ],
    [ qr/^3 workers/, $clean, workers => 3 ],
) {
    my ($want, $code, %end) = @$leak;
    my $got = run($code, %end);

    like($got, $want, "leak " . ++$n);
    is($got =~ tr/;//, "$want" =~ tr/;//, "leak $n: and nothing else");
}

# --- how captures may end ---------------------------------------------------

my $DEMO = '/v1/capture/static/demo?interface=eth0';
my $MIXED = '/v1/capture/static/mixed?';
my $CUT = 'the connection was cut, what it lost since its last report is'
    . ' unknown';


# Targets from words as "web/0" (it has ended) and "web/0=text" (it failed).
sub targets
{
    return [ map { my ($name, $why) = split /=/, $_, 2;
        { name => $name, state => defined $why ? 'failed' : 'ended',
        defined $why ? (error => $why) : () } } @_ ];
}


# What is found in a capture from 10 s to 20 s; defaults: a whole one of both
# hosts, stopped by its client.
sub ends
{
    my ($c, $row, @accidents) = @_;

    $row = { state => 'ended', status => 'stopped', end_reason => 'user',
        targets => targets('web/0', 'web/1'), %$row };
    delete $row->{end_reason} if !$row->{end_reason};

    return join '; ', end_faults({ path => $DEMO, complete => 1, began => 10,
        ended => 20, asked => { user => 1 }, said => $row->{status}, %$c },
        $row, [ map { { %$_ } } @accidents ]);
}


my @cut = (complete => 0, said => undef);
my $killed = { who => 'web/0', what => 'process', t => 15 };
my $other = { who => 'web/1', what => 'process', t => 15 };
my $gone = { who => 'web/0', what => 'agent', t => 14, until => 14.5 };
my $both = targets("web/0=$CUT", "web/1=$CUT");
my $one = targets("web/0=$CUT", 'web/1');
my @error = (status => 'error', end_reason => '');

for my $fine (
    [ 'stopped', {}, {} ],
    [ 'by an admin', { asked => { admin => 1 } }, { end_reason => 'admin' } ],
    [ 'no right', { asked => { right => 1 } }, { end_reason => 'right' } ],
    [ 'duration', { path => "$DEMO&duration=5s" }, { status => 'limit',
        end_reason => 'duration' } ],
    [ 'one killed', {}, { status => 'partial', targets => $one }, $killed ],
    [ 'both killed', {@cut}, { @error, targets => $both }, $killed, $other ],
    [ 'died as it was stopped', {@cut}, { status => 'error',
        targets => $both }, $killed, $other ],
    [ 'behind a limit', { path => "$DEMO&max_packets=5" },
        { status => 'limit', end_reason => 'max_packets',
        targets => $one }, $killed ],
    [ 'no agent', {}, { status => 'partial', targets => targets(
        'web/0=no connection to the agent', 'web/1') }, $gone ],
    [ 'an agent leaves', {}, { status => 'partial' }, $gone ],
    [ 'all agents leave', {}, { status => 'complete', end_reason => '' },
        $gone, { %$gone, who => 'web/1' } ],
    [ 'its worker died', { @cut, dead => 1 }, { status => 'error',
        end_reason => 'worker died', targets => $both } ],
    [ 'mixed', { path => $MIXED }, { status => 'partial', targets => targets(
        'fake/0', 'fake/1=full', "fake/3=$CUT", 'fake/5') } ],
    [ 'curl loses trailers', { mute => 1, said => undef }, {} ],
) {
    my ($name, @args) = @$fine;

    is(ends(@args), '', "end: $name");
}

for my $wrong (
    [ qr/^the API has cut it: "client gone"/, {@cut},
        { status => 'error', end_reason => 'client gone' } ],
    [ qr/^the API has cut it: "client stalled"/, {@cut},
        { status => 'error', end_reason => 'client stalled' } ],
    [ qr/^the API has it as running$/, {}, { state => 'running' } ],
    [ qr/^cut, and the API says stopped$/, {@cut}, {} ],
    [ qr/^its trailers say complete, the API stopped$/,
        { said => 'complete' }, {} ],
    [ qr/^its trailers say nothing/, { said => undef }, {} ],
    [ qr/^ended for "user", which nobody/, { asked => {} }, {} ],
    [ qr/^ended for "admin", which nobody/, {}, { end_reason => 'admin' } ],
    [ qr/^ended for "right", which nobody/, {}, { end_reason => 'right' } ],
    [ qr/^ended for "duration", which nobody/, {}, { status => 'limit',
        end_reason => 'duration' } ],
    [ qr/^ended for "worker died", which nobody asked for; error with 0 of/,
        {@cut}, { status => 'error', end_reason => 'worker died' } ],
    [ qr/^ended for "token", .*; stopped by reason "token"$/, {},
        { end_reason => 'token' } ],
    [ qr/^error with 1 of 2 targets failed$/, {@cut}, { status => 'error',
        targets => $one }, $killed ],
    [ qr/^stopped, and 1 targets have failed$/, {}, { targets => $one },
        $killed ],
    [ qr/^partial, and all targets were there$/, {},
        { status => 'partial' } ],
    [ qr/^complete by reason "user"$/, {}, { status => 'complete' } ],
    [ qr{^web/0 failed for no reason: "the connection was cut, .*"$},
        {}, { status => 'partial', targets => $one } ],
    [ qr{^web/0 failed}, {}, { status => 'partial', targets => $one },
        { %$killed, t => 9 } ],
    [ qr{^web/0 failed}, {}, { status => 'partial', targets => $one },
        { %$killed, t => 21 } ],
    [ qr{^web/0 failed}, {}, { status => 'partial', targets => $one },
        $gone ],
    [ qr{^web/0 failed}, {}, { status => 'partial', targets => $one },
        { %$killed, used => 1 } ],
    [ qr{^web/1 failed}, {@cut}, { @error, targets => $both }, $killed,
        $killed ],
    [ qr{^web/0 failed}, {@cut}, { @error, targets =>
        targets("web/0=$CUT", "web/0=$CUT") }, $killed ],
    [ qr{^web/1: ended by itself}, {}, { status => 'complete',
        end_reason => '' }, $gone ],
    [ qr{^fake/0 failed}, { path => $MIXED }, { status => 'partial',
        targets => targets("fake/0=$CUT", 'fake/5') } ],
    [ qr{^fake/1 failed}, { path => $MIXED }, { status => 'partial',
        targets => targets("fake/1=$CUT", 'fake/5') } ],
    [ qr{^fake/0: ended by itself}, { path => $MIXED }, { end_reason => '',
        status => 'complete', targets => targets('fake/0', 'fake/5') } ],
) {
    my ($want, @args) = @$wrong;
    my $got = ends(@args);

    like($got, $want, "end: found: $want");
    is($got =~ tr/;//, "$want" =~ tr/;//, 'and nothing else');
}

my @share = (answered => 170, on_dead => 12, killed => 6);

is(join(' ', share_faults(@share, whole => 152)), '', 'as many as should be');
like(join(' ', share_faults(@share, whole => 151)), qr/^151 of 170 .* so 152/,
    'one less');

# --- the audit log ----------------------------------------------------------

sub audited
{
    my ($lines, %told) = @_;

    return join '; ', audit_faults(join('', map { my ($e, $id, $s) = split;
        qq({"seq":1,"event":"$e","capture":"$id","filter":"") . ($s
        ? qq(,"status":"$s") : '') . ',"prev":"0"}' . "\n" } @$lines), {
        map { $_ => { said => $told{$_} } } keys %told });
}


my @log = ('start a', 'token a', 'start b', 'stop b', 'end a limit',
    'end b cut');

is(audited(\@log, a => 'limit', b => undef), '', 'audit: a start and an end');

for my $wrong (
    [ qr/^audit: a has 1 starts and 0 ends$/, [ @log[0 .. 3, 5] ] ],
    [ qr/^audit: a has 0 starts and 1 ends$/, [ @log[1 .. 5] ] ],
    [ qr/^audit: a has 2 starts and 1 ends$/, [ @log, $log[0] ] ],
    [ qr/^audit: b has 1 starts and 2 ends$/, [ @log, $log[5] ] ],
    [ qr/^audit: c has 0 starts and 0 ends$/, \@log, c => undef ],
    [ qr/^audit: b ended as "cut", its client was told stopped$/, \@log,
        b => 'stopped' ],
) {
    my ($want, $lines, %told) = @$wrong;

    like(audited($lines, %told), $want, "audit: found: $want");
}

# --- classic pcap that was cut ----------------------------------------------

my $records = pack('VvvVVVV', 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)
    . pack('V4a4', 1, 2, 4, 60, 'abcd') . pack('V4a8', 1, 3, 8, 8, 'abcdefgh');

is(length whole_records(substr $records, 0, $_->[0]), $_->[1],
    "pcap: cut at $_->[0]") for [ 24, 24 ], [ 30, 24 ], [ 43, 24 ], [ 44, 44 ],
    [ 60, 44 ], [ 67, 44 ], [ 68, 68 ];

for my $wrong ([ 1e9, 4, 4 ], [ 0, 5, 4 ], [ 0, 262145, 262145 ]) {
    ok(!defined eval { whole_records($records . pack 'V4', 1, @$wrong) },
        "pcap: @$wrong is no record");
}

# what it is told by comes from processes
open my $fh, '<', '/dev/null' or die $!;

my $before = resources($$);

open my $more, '<', '/dev/null' or die $!;

my $ballast = 'x' x (8 << 20);
my $after = resources($$);

is($after->{fds}, $before->{fds} + 1, 'open files are counted');
cmp_ok($after->{rss}, '>=', $before->{rss} + (length($ballast) >> 10),
    'memory is counted');

my $file = work_dir() . '/soak.csv';

write_csv($file, { map { $_ => 1 } @PcapTest::Soak::COLUMNS });
like(slurp($file), qr/^time_s,captures,[a-z_,]+\n(?:1,)+1\n$/, 'the file');

finish();
