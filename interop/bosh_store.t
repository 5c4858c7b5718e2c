#!/usr/bin/perl
#
# interop/bosh_store.t: job pcap-api with store.enabled at work below /var/vcap,
# as bosh_jobs.t has it without: captures by pcap-cli go to the persistent disk
# and come back, nginx and the store are killed and begin again, drain, and
# files in S3 (MinIO, by a name that the fake DNS here knows) through nginx.
#
# Needs the packages, see bosh_build.t. MinIO is built by Go; where it cannot be
# had, its points are skipped and shown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../nginx-tests/lib";

use S3Servers;

# What needs the network comes first: PcapTest begins again without it.
BEGIN {
    if (!$ENV{PCAPTEST_INSIDE}) {
        my $go = grep { -x "$_/go" } split /:/, $ENV{PATH};

        fetch() if $go;
        $ENV{BOSH_STORE_WHY} = $go ? (servers())[0]{why} || ''
            : 'no go command here';
    }
}

use IO::Socket::UNIX;
use JSON::PP;
use PcapTest;
use PcapTest::Uaa;
use Test::More;

use Bosh;
use BoshJobs;

need_packages();

my @auth = ('-H', 'Authorization: bearer good');
my $folder = "$V/store/pcap-api/captures";
my $socket = "$V/data/pcap-api/api.sock";
my %enabled = (enabled => JSON::PP::true, max_bytes => '64m');

# Tests ask more often than a user.
my %api = (drain => { timeout => 1 }, limits => { user_rate =>
    JSON::PP::false, request_rate => JSON::PP::false });


sub cli
{
    my ($command, @args) = @_;

    return run_words('env', 'PCAP_TOKEN=good',
        "$V/packages/pcap-cli/bin/pcap-cli", $command, @args, '-q', '-u',
        'https://localhost:8443', '--ca-cert', $certs->file('ca.crt'));
}


# Asks for a capture of lo to storage; its id.
sub begin_stored
{
    my ($name, @limits) = @_;

    my ($text, $status) = cli('static', 'demo', '-i', 'lo', '--yes',
        '--store', @limits);
    my ($id) = $text =~ /^([0-9a-f]{32})$/m;
    ok($status == 0 && $id, "$name: pcap-cli --store") or diag($text);

    return $id;
}


# Its document, once its state is one of these.
sub in_state
{
    my ($id, $states, $name) = @_;
    my $doc = {};

    ok(wait_for(20, sub {
        my ($text) = answers("/v1/captures/$id", @auth);
        $doc = eval { decode_json($text) } || {};
        return ($doc->{stored}{state} // '') =~ /^(?:$states)$/;
    }), "$name: $states") or diag(encode_json($doc), store_log());

    return $doc;
}


# It runs, and some packets of it are on the disk.
sub writes
{
    my ($id, $name) = @_;

    in_state($id, 'running', $name);
    ok(wait_for(10, sub { (-s "$folder/$id.part" || 0) > 2000 }),
        "$name: packets are on the disk");
}


# The packets of the file that pcap-cli gets; all of it must be well-formed. It
# exits with that code, 0 when none is given.
sub got
{
    my ($id, $name, $code) = @_;

    my $file = work_dir() . "/$id.pcapng";
    my ($text, $status) = cli('get', $id, '-F', '-o', $file);
    is($status, $code || 0, "$name: pcap-cli get") or diag($text, store_log());
    ($text, $status) = run_words('tshark', '-r', $file, '-T', 'fields', '-e',
        'frame.interface_name');
    is($status, 0, "$name: the file is whole") or diag($text);

    return scalar grep { $_ eq 'web/0/lo' } split /\n/, $text;
}


sub store_log
{
    return join '', map { slurp($_) } grep { -e }
        work_dir() . '/pcap-store.out';
}


sub start_store
{
    my $pid = bpm_start('pcap-api', 'pcap-store');

    ok(wait_for(5, sub { IO::Socket::UNIX->new(Peer =>
        "$V/data/pcap-api/store.sock") }), 'pcap-store: starts as vcap')
        or diag(store_log());

    return $pid;
}


# Of "tini -- nginx" all that runs: as a container ends, at once.
sub kill_all
{
    my ($pid) = @_;

    my @all = ($pid);
    push @all, children($all[$_]) for 0;
    push @all, map { children($_) } @all[1 .. $#all];
    kill 'KILL', @all;
    ok(wait_for(5, sub { !grep { alive($_) } @all }), 'all of it is killed');
}


# Nothing of the store is in the arguments or the environment of a process.
sub no_secret
{
    my ($secret, @pids) = @_;
    my @found;

    for my $pid (map { ($_, children($_)) } @pids) {
        push @found, grep { slurp("/proc/$pid/$_") =~ /\Q$secret\E/ }
            qw(cmdline environ);
    }

    is("@found", '', 'no secret in an argument or an environment');
}


sub no_disk
{
    job('pcap-api', merge_into(api_properties(), { store => { %enabled } }));
    must('umount', "$V/store");
    my ($text, $status) = script('pcap-api', 'pre-start');
    ok($status != 0 && $text =~ /no persistent disk.*persistent_disk_type/s,
        'pre-start: no disk') or diag($text);
    ok(!-e "$V/store/pcap-api", 'pre-start: and nothing is made there');
    must('mount', '-t', 'tmpfs', 'none', "$V/store");
}


# To the disk and back; whose the files are.
sub stores
{
    my $id = begin_stored('a capture', '--max-packets', 50);
    my $doc = in_state($id, 'stored', 'a capture');

    is(got($id, 'a capture'), 50, 'a capture: its packets');
    my @st = stat "$folder/$id.pcapng";
    is(sprintf('%o %d', $st[2] & 07777, $st[4]), '600 1999',
        'a capture: its file is vcap\'s alone');
    is(sprintf('%o', (stat $folder)[2] & 07777), '700', 'and the folder');
    is((answers("/v1/captures/$id/file", '-o', '/dev/null', '-w',
        '%{http_code}'))[0], 401, 'a capture: not without a token');
    is((answers("/_pcap_files/$id.pcapng", @auth, '-o', '/dev/null', '-w',
        '%{http_code}'))[0], 404, 'a capture: not around the API');

    return $id;
}


# A container that is killed leaves nginx's socket behind.
sub stale_socket
{
    my ($api_pid, $id) = @_;

    is((script('pcap-api', 'free-socket'))[1], 0, 'free-socket');
    ok(-S $socket, 'free-socket: one that nginx listens on stays');
    my $running = begin_stored('before the kill', '--duration', '2m');
    writes($running, 'before the kill');
    kill_all($api_pid);
    ok(-S $socket, 'nginx is killed: its socket is still there');

    my $p = bpm_process('pcap-api');
    my ($text, $status) = run_words('timeout', '10', 'setpriv', '--reuid',
        'vcap', '--regid', 'vcap', '--clear-groups', $p->{executable},
        @{ $p->{args} });
    ok($status != 0 && $text =~ /api\.sock failed .*in use/,
        'nginx does not start over it') or diag($text);

    # monit knows no pre-start
    $api_pid = bpm_start('pcap-api');
    ok(wait_for(5, sub { listening(8443) && -S $socket }),
        'started as by monit: nginx runs')
        or diag(slurp("$V/sys/log/pcap-api/error.log"));
    is(got($id, 'after the kill'), 50, 'after the kill: a file of before');
    my $doc = in_state($running, 'stored|interrupted', 'cut by the kill');
    like($doc->{stored}{detail}, qr/answer was cut/,
        'cut by the kill: says so');
    cmp_ok(got($running, 'cut by the kill'), '>', 0,
        'cut by the kill: what had come is there');
    my $next = begin_stored('after the kill', '--max-packets', 5);
    in_state($next, 'stored', 'after the kill');

    # live as well
    my $file = work_dir() . '/tee.pcapng';
    ($text, $status) = cli('static', 'demo', '-i', 'lo', '--yes', '--tee', '-F',
        '--json', '-o', $file, '--max-packets', 20);
    is($status, 0, '--tee') or diag($text);
    my ($tee) = $text =~ /"capture_id":"([0-9a-f]{32})"/;
    is(got($tee // 'none', '--tee'), 20, '--tee: stored as well');
    ok(slurp($file) eq slurp(work_dir() . "/$tee.pcapng"),
        '--tee: the same file');

    return $api_pid;
}


# The API without its store: everything else works.
sub store_is_away
{
    my ($store_pid) = @_;

    my $running = begin_stored('store killed', '--duration', '2m');
    writes($running, 'store killed');
    kill_all($store_pid);
    is((script('pcap-api', 'health'))[1], 0, 'no store: bin/health is 0');
    my ($text) = answers('/v1/status', '-o', '/dev/null', '-w',
        '%{http_code}');
    is($text, 200, 'no store: /v1/status');
    my $file = work_dir() . '/live.pcapng';
    my $status;
    ($text, $status) = cli('static', 'demo', '-i', 'lo', '--yes', '-F', '-o',
        $file, '--max-packets', 20);
    is($status, 0, 'no store: a live capture') or diag($text);
    ($text, $status) = cli('static', 'demo', '-i', 'lo', '--yes', '--store',
        '--max-packets', 5);
    isnt($status, 0, 'no store: --store is refused');
    unlike($text, qr/^[0-9a-f]{32}$/m, 'no store: and has no id');

    $store_pid = start_store();
    in_state($running, 'interrupted', 'store killed');
    cmp_ok(got($running, 'store killed', 3), '>', 0,
        'store killed: what had come is there');

    return $store_pid;
}


# nginx drains, then the store has the rest, then both have ended.
sub drains
{
    my ($api_pid, $store_pid) = @_;

    my $id = begin_stored('drain', '--duration', '2m');
    writes($id, 'drain');
    my @said = drain('pcap-api');
    is($said[-1], 0, "drain says @said");
    ok(!alive($api_pid) && !alive($store_pid), 'drain: both have ended');
    ok(!-e "$folder/$id.part" && -e "$folder/$id.pcapng",
        'drain: the file is under its last name');
    is_deeply([ drain('pcap-api') ], [0], 'drain again says 0');
    like(store_log(), qr/stopping: 0 captures end/,
        'drain: the store was told when nothing ran any more')
        or diag(store_log());

    # alone: whatever became of nginx
    $store_pid = start_store();
    spew("$folder/slow.part", '');
    is((script('pcap-api', 'drain'))[0], "-1\n",
        'drain: a file that is not whole yet is waited for');
    unlike((split /pcap-store 0/, store_log())[-1], qr/stopping/,
        'drain: the store is not told before');
    unlink "$folder/slow.part";
    @said = drain('pcap-api');
    is($said[-1], 0, "drain of the store alone says @said");
    ok(!alive($store_pid), 'drain: it has ended');
    ok(!-e "$V/sys/run/pcap-api/draining.store", 'drain: nothing is left');

    $store_pid = start_store();
    $api_pid = bpm_start('pcap-api');
    ok(wait_for(5, sub { listening(8443) }), 'started again');
    my $doc = in_state($id, 'stored', 'drain');
    is($doc->{status}, 'stopped', 'drain: with a verdict');
    cmp_ok(got($id, 'drain'), '>', 0, 'drain: and its packets');

    return ($api_pid, $store_pid);
}


# Answers A for whatever is asked, as one that knows 127.0.0.1 alone.
sub name_server
{
    my $listen = IO::Socket::INET->new(Proto => 'udp',
        LocalAddr => '127.0.0.1', LocalPort => 5353) or die "DNS: $!\n";

    return fork_child('dns', sub {
        while (defined $listen->recv(my $q, 512)) {
            my $answer = substr($q, -4, 2) eq "\0\1"
                ? "\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" : '';
            $listen->send(substr($q, 0, 2) . "\x81\x80"
                . pack('n4', 1, $answer ne '', 0, 0) . substr($q, 12)
                . $answer);
        }
    }, keep => [ $listen ]);
}


sub in_s3
{
    my ($s) = grep { $_->{name} eq 'minio' } servers();
    my $dir = work_dir() . '/minio';

    at_end(sub { end_all() });
    mkdir $dir;
    prepare($s, $dir);
    ok(begin($s), 'MinIO runs') or return diag(slurp("$s->{dir}/log"));
    signed($s, '-X', 'PUT', "$s->{url}/captures");

    my $dns = name_server();
    my $api_pid = start_api({ %api, resolver => ['127.0.0.1:5353'],
        store => { %enabled, s3 => { endpoint => $s->{url},
            region => $s->{region}, bucket => 'captures',
            access_key => 'pcap', secret_key => 'secret-secret',
            retry => '2s', ca => slurp($s->{ca}) } } });
    my $store_pid = start_store();
    no_secret('secret-secret', $api_pid, $store_pid);

    my $id = begin_stored('S3', '--max-packets', 60);
    in_state($id, 'stored', 'S3');
    ok(wait_for(20, sub { !-e "$folder/$id.pcapng" }),
        'S3: the file has left the disk') or diag(store_log());
    is(got($id, 'S3'), 60, 'S3: it comes through nginx');
    my ($text) = answers("/v1/captures/$id/file", @auth, '-r', '100-199',
        '-o', '/dev/null', '-w', '%{http_code} %{size_download}');
    is($text, '206 100', 'S3: a range of it');
    is((cli('rm', $id))[1], 0, 'S3: pcap-cli rm');
    ok(wait_for(10, sub { signed($s, '-o', '/dev/null', '-w', '%{http_code}',
        "$s->{url}/captures/pcap/$id.pcapng") eq '404' }),
        'S3: the object is gone');

    my @said = drain('pcap-api');
    is($said[-1], 0, "S3: drain says @said");
    ok(!alive($api_pid) && !alive($store_pid), 'S3: both have ended');
    unlike(store_log() . slurp("$V/sys/log/pcap-api/error.log"),
        qr/secret-secret/, 'S3: no secret in a log');
    stop_child($dns, 'KILL', 5);
    end($s);
}


sub main
{
    setup_vcap();
    no_disk();

    my $uaa = PcapTest::Uaa->new(certs => $certs);
    my $flow = traffic();

    start_agent({});
    my $api_pid = start_api({ %api, store => { %enabled } });
    my $store_pid = start_store();
    my $id = stores();

    $api_pid = stale_socket($api_pid, $id);
    $store_pid = store_is_away($store_pid);
    ($api_pid, $store_pid) = drains($api_pid, $store_pid);
    is((drain('pcap-api'))[-1], 0, 'drain without a capture');

    SKIP: {
        skip($ENV{BOSH_STORE_WHY}, 1) if $ENV{BOSH_STORE_WHY};
        in_s3();
    }

    is((drain('pcap-agent'))[-1], 0, 'the agent ends');
    stop_child($flow, 'KILL', 5);
    unlike(slurp("$V/sys/log/pcap-api/error.log"),
        qr/\[(?:alert|crit|emerg)\](?!.*api\.sock|.*still could not bind)/,
        'no alert in the error log');
    finish();
}


main();
