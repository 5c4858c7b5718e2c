# The audit log when things go wrong: no room on its disk, a log that was
# removed, a worker that stands still with its lock, a flood of refusals, a
# syslog daemon that is away.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Fcntl qw(:DEFAULT :flock);
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);
use Time::HiRes qw(time);
use PcapTest::Audit;
use PcapTest::Lab;


my $dir = work_dir() . '/audit';

mkdir $dir;
chmod 0755, $dir;
must(qw(mount -t tmpfs -o), 'size=64k,mode=755', 'tmpfs', $dir);
at_end(sub { system('umount', '-l', $dir) });

my $keys = work_dir() . '/keys';

mkdir $keys;

my $key = audit_key("$keys/key");
my $log = "$dir/audit.log";
my $state = "$keys/state";

my $metrics = 'server { listen 127.0.0.1:9180; access_log off;'
    . ' location = /metrics { pcap_api_metrics on; } }';

my $lab = lab(fakes => 1, script => sub { $_[0]->usual(1) }, nginx => {
    workers => 2, allow => [ qr/\[crit\].*pcap audit: a line could not/,
    qr/\[alert\].*connect\(\) failed \(111/,
    qr/\[crit\].*cannot reach the folder/ ],
    http => "pcap_api_audit $log key=$key state=$state; $metrics" });
my $nginx = $lab->{nginx};
my $path = '/v1/capture/static/demo';


sub quick_capture
{
    my (%o) = @_;

    my $c = $nginx->get("$path?max_packets=1", %o);

    $c->read_end(10);

    return $c;
}


# What Prometheus would see of it.
sub audit_up
{
    return `curl -sS -m 10 http://127.0.0.1:9180/metrics`
        =~ /^pcap_api_audit_up (\d)$/m ? $1 : 'nothing';
}


# Nothing goes onto the disk any more, but into the last page of the log;
# returns how to make room again.
sub fill_disk
{
    open my $fh, '>>', "$dir/full" or die;
    $fh->autoflush(1);

    for my $size (4096, 512, 64, 1) {
        1 while syswrite $fh, 'x' x $size;
    }

    return sub { unlink "$dir/full"; close $fh };
}


# --- a full disk ----------------------------------------------------------

is(quick_capture()->{status}, 200, 'a capture');
is(audit_up(), 1, 'it is up');

my $c = $nginx->get($path);

$c->read_until(5, sub { seen_count($c, 1, 3) });

my $room = fill_disk();
my ($last, $refused);

for (1 .. 20) {
    $last = quick_capture();
    last if $last->{status} != 200;
}

problem_is($last, 503, qr/audit log cannot be written/, 'no room');
ok($last->header('retry-after'), 'Retry-After');
is(quick_capture()->{status}, 503, 'no audit, no capture');
is(audit_up(), 0, 'it is not up');

like(slurp($log), qr/\n\z/, 'no part of a line is left');
is(audit_chain($key, [$log]), '', 'one chain');
like($nginx->log(), qr/\[crit\].*pcap audit: a line could not be written to/,
    'the error log says so');

stop_capture($lab, $c);
capture_ok($c, status => 'stopped', name => 'stopped without audit',
    packets => $lab->{fake}->sent_in($c, 0));

my $lost = audit_state($state)->{lost};

cmp_ok($lost, '>=', 1, 'what was lost is counted');
cmp_ok(audit_state($state)->{lost_total}, '>=', $lost, 'in all');
$room->();
is(quick_capture()->{status}, 200, 'with room again');
is(audit_up(), 1, 'and up');

my $l = (grep { $_->{lost} } audit_lines($log))[-1];

is($l->{lost}, $lost, 'the next line says how many');
is(audit_chain($key, [$log]), '', 'one chain');

# --- and captures all the same --------------------------------------------

$nginx->{http} =~ s/;/ failure=continue;/;
ok($nginx->reload(), 'failure=continue');
$room = fill_disk();
is(quick_capture()->{status}, 200, 'captures go on without audit')
    for 1 .. 12;
$room->();
cmp_ok(audit_state($state)->{lost}, '>', 0, 'but it is counted');
quick_capture();
is(audit_chain($key, [$log]), '', 'one chain');
$nginx->{http} =~ s/ failure=continue//;

# --- a log that was removed -----------------------------------------------

ok($nginx->reload(), 'failure=refuse');
rename $log, "$log.1";
is(quick_capture()->{status}, 200, 'renamed: workers still write to it');
unlink "$log.1";
is(quick_capture()->{status}, 503, 'removed: nothing is written into it');
is(audit_up(), 0, 'removed: it is not up');

my $st = audit_state($state);

kill 'USR1', $nginx->{pid};
ok(wait_for(5, sub { quick_capture()->{status} == 200 }),
    'reopened: captures go on');
is(audit_up(), 1, 'reopened: it is up');
is(audit_chain($key, [$log], $st->{seq}, $st->{mac}), '', 'one chain');

my ($exit, $text) = audit_verify('--key', $key, '--first',
    "$st->{seq}:$st->{mac}", $log);

is($exit, 0, 'pcap-cli: it follows from the head that was known');

# --- a folder that is closed while nginx runs ------------------------------

chmod 0700, $dir;
ok($nginx->reload(), 'a reload is not refused');
like($nginx->log(), qr/\[crit\].*"nobody" cannot reach the folder "\Q$dir\E/,
    'but told');
is(quick_capture()->{status}, 200, 'captures go on');
chmod 0755, $dir;
ok(wait_for(5, sub { (audit_lines($log))[-1]{event} eq 'end' }), 'to an end');

# --- a lock that is not given back ----------------------------------------

# As a worker does that is stopped, or frozen, in the middle of a line.
sub hold_lock
{
    pipe my $in, my $out or die "pipe: $!";

    my $pid = fork_child('holder', sub {
        open my $fh, '+<', $state or die "$state: $!";

        # struct flock of 64-bit Linux
        my $all = pack 's s x4 q q i x4', F_WRLCK, 0, 0, 0, 0;

        fcntl $fh, F_SETLK, $all or die "lock: $!";
        syswrite $out, 'x';
        kill 'STOP', $$;
    });

    close $out;
    sysread $in, my $x, 1;
    ok($x, 'somebody has the lock of the state');

    return $pid;
}


sub give_lock
{
    kill 'KILL', $_[0];
    ok(defined wait_exit($_[0], 5), 'the lock is given back');
}


# How long it takes, at most.
sub within
{
    my ($seconds, $name, $code) = @_;

    my $begun = time();
    my $got = $code->();

    cmp_ok(time() - $begun, '<', limit($seconds), "$name: soon");

    return $got;
}


my $was = audit_state($state);

$c = $nginx->get($path);
ok($c->read_until(5, sub { $c->{body} =~ /PCAPTEST/ }), 'a capture runs');

my $told = 0;
my $holder = hold_lock();

problem_is(within(1, 'refused', sub { quick_capture() }), 503,
    qr/audit log cannot be written/, 'no lock, no capture');
within(10, '20 more', sub {
    is(quick_capture()->{status}, 503, 'refused') for 1 .. 20 });

my $seen = length $c->{body};

ok($c->read_until(2, sub { length $c->{body} > $seen + 1000 }),
    'what runs goes on');
is(within(1, 'status', sub { $nginx->fetch('/v1/status') })->{status}, 200,
    'status');

$metrics = within(1, 'metrics', sub {
    scalar `curl -sS -m 10 http://127.0.0.1:9180/metrics` });

like($metrics, qr/^pcap_api_audit_up 0$/m, 'metrics: it is not up');
within(4, 'stop', sub { stop_capture($lab, $c) });
capture_ok($c, status => 'stopped', name => 'stopped without a lock',
    packets => $lab->{fake}->sent_in($c, 0));
give_lock($holder);

is(within(1, 'again', sub { quick_capture() })->{status}, 200,
    'and captures are possible again');
$told += $_->{lost} || 0 for grep { $_->{seq} > $was->{seq} }
    audit_lines($log);
cmp_ok($told, '>=', 21 + 1, 'the next line says how many are lost');
is(audit_state($state)->{lost_total} - $was->{lost_total}, $told,
    'each is counted once');
is(audit_chain($key, [$log], $st->{seq}, $st->{mac}), '', 'one chain');

$nginx->{http} =~ s/;/ failure=continue;/;
ok($nginx->reload(), 'failure=continue');
$holder = hold_lock();
is(within(1, 'continue', sub { quick_capture() })->{status}, 200,
    'no lock, and a capture all the same');
give_lock($holder);
$nginx->{http} =~ s/ failure=continue//;
ok($nginx->reload(), 'failure=refuse');

# --- a flood of refusals --------------------------------------------------

my $before = audit_lines($log);
my $start = time();
my @kids = map { fork_child('flood', sub {
    $nginx->fetch("/v1/capture/static/demo?reason=" . 'x' x 900,
        token => undef) for 1 .. 75;
}) } 1 .. 2;

wait_exit($_, 30) for @kids;

my @lines = audit_lines($log);
my $left = audit_state($state)->{suppressed};

$told = 0;
splice @lines, 0, $before;
$told += $_->{suppressed} || 0 for @lines;
cmp_ok(scalar @lines, '>=', 100, 'the first refusals have their lines');
cmp_ok(scalar @lines, '<=', 102 + time() - $start, 'others one per second');
is(@lines + $told + $left, 150, 'the rest is counted');
is($nginx->fetch($path, token => 'bare')->{status}, 403, 'a known user');
$l = (audit_lines($log))[-1];
is_deeply([ @$l{qw(http_status user suppressed)} ], [ 403, 'alice', $left ],
    'he has his line all the same, and it says how many have none');

# --- syslog ---------------------------------------------------------------

my $sock = "$keys/log";
my @got;


sub listen_log
{
    unlink $sock;

    my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $sock)
        or die "$sock: $!";

    chmod 0777, $sock;
    chmod 0755, $keys;
    $s->blocking(0);

    return $s;
}


sub drain_log
{
    my ($s) = @_;

    while (defined $s->recv(my $msg, 65536)) {
        last if !length $msg;
        push @got, $msg;
    }
}


my $s = listen_log();

$nginx->stop('QUIT');
$nginx->{http} = "pcap_api_audit syslog:server=unix:$sock,facility=auth,"
    . "tag=pcap key=$key state=$state;";

$st = audit_state($state);
$nginx->start();

my $filter = 'udp or (' . '"' x 4900 . ')';

is(quick_capture(form => 'filter=' . $filter)->{status}, 200,
    'a capture with syslog');
wait_for(5, sub { drain_log($s); @got >= 2 });
is(scalar @got, 2, 'its lines come');
like($got[0], qr/^<38>\w{3} [ \d]\d \S+ \S+ pcap: \{"seq":/,
    'as syslog wants it');

@lines = map { /(\{.*)/s ? "$1\n" : '' } @got;

spew("$keys/got", join '', @lines);
is((audit_lines("$keys/got"))[0]{filter}, $filter, 'a long filter is whole');
is(audit_chain($key, ["$keys/got"], $st->{seq}, $st->{mac}), '',
    'the chain goes on from the log\'s');
spew("$keys/got", join '', map { "$_\n" } @got);
($exit, $text) = audit_verify('--key', $key, '--first',
    "$st->{seq}:$st->{mac}", "$keys/got");
is($exit, 0, 'pcap-cli: also in a syslog daemon\'s file') or diag($text);

# more than the daemon's queue holds: it is waited for
@got = ();
my $kid = fork_child('many', sub { quick_capture() for 1 .. 15 });

wait_for(20, sub { drain_log($s) if -S $sock; !alive($kid) });
wait_for(2, sub { drain_log($s); @got >= 30 });
is(scalar @got, 30, 'nothing is lost with a slow daemon');

# one that hangs
my $hung;

for (1 .. 400) {
    $hung = quick_capture();
    last if $hung->{status} != 200;
}

problem_is($hung, 503, qr/audit log cannot be written/, 'the daemon hangs');
$start = time();
is(quick_capture()->{status}, 503, 'it still does');
cmp_ok(time() - $start, '<', limit(0.9), 'but is not waited for again');
drain_log($s);
is(quick_capture()->{status}, 200, 'it is at work again');

close $s;
problem_is(quick_capture(), 503, qr/audit log cannot be written/,
    'the daemon is away');
$s = listen_log();
@got = ();
is(quick_capture()->{status}, 200, 'the daemon is back');
wait_for(5, sub { drain_log($s); @got >= 2 });
like($got[0], qr/"lost":\d/, 'and hears that something was lost');

finish();
