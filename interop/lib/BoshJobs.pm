# BoshJobs: the jobs of the release as the Director leaves them on a VM:
# rendered below /var/vcap, a folder of the test's own mount namespace, with the
# compiled packages, a persistent disk and a user vcap; and started as monit,
# bpm and the bosh agent do. bpm is stood in for: what bpm.yml says runs as vcap
# with its capabilities, below an init whose pid is in the pid file.

package BoshJobs;

use strict;
use warnings;

use Exporter qw(import);
use IO::Socket::INET;
use PcapTest;
use PcapTest::Certs;
use Test::More;

use Bosh;

our @EXPORT = qw($V $ID $certs setup_vcap pem api_properties agent_properties
    job script bpm_process bpm_start traffic answers listening start_agent
    start_api drain);

our $V = '/var/vcap';
our $ID = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';
our $certs;                                # made by setup_vcap()

my $SPEC = { id => $ID, index => 0, name => 'pcap-api', ip => '127.0.0.1',
             address => '127.0.0.1', deployment => 'pcap' };


# A vcap of this namespace, and /var/vcap with the compiled packages.
sub setup_vcap
{
    my $root = root();
    my $work = work_dir();

    $certs = PcapTest::Certs->new();

    for my $name (qw(passwd group)) {
        spew("$work/$name", slurp("/etc/$name") . ($name eq 'passwd'
            ? "vcap:x:1999:1999::/nonexistent:/bin/false\n"
            : "vcap:x:1999:\n"));
        chmod 0644, "$work/$name";
        must('mount', '--bind', "$work/$name", "/etc/$name");
    }

    # Read-only: what cleans up behind a test must not reach the packages.
    must('mount', '--bind', "$root/build/interop/packages", '/mnt');
    must('mount', '-o', 'remount,bind,ro', '/mnt');
    must('mount', '-t', 'tmpfs', 'none', '/var');
    must('mkdir', '-p', "$V/packages", "$V/jobs", "$V/sys/run/bpm",
         "$V/sys/log", "$V/data", "$V/store", '/var/tmp');
    must('mount', '-t', 'tmpfs', 'none', "$V/store");
    must('mount', '--move', '/mnt', "$V/packages");
    must('mkdir', '-p', "$V/jobs/bpm/bin");
    die "no packages: run interop/bosh_build.t\n"
        if !-x "$V/packages/pcap-nginx/sbin/nginx";
}


sub pem { return slurp($certs->file($_[0])) }

sub api_properties
{
    return {
        listen => { port => 8443, tls => {
            certificate => pem('front.crt'),
            private_key => pem('front.key') } },
        agents_mtls => { certificate => pem('api.crt'),
            private_key => pem('api.key'), ca => pem('ca.crt') },
        uaa => { url => 'https://127.0.0.1:8444', ca => pem('ca.crt'),
            common_name => 'uaa.test', client => 'pcap',
            client_secret => 'pcap-secret',
            issuer => 'https://uaa.test/oauth/token' },
        static => { groups => [ { name => 'demo', instances => [
            { name => 'web/0', address => '127.0.0.1:9494' } ] } ] },
    };
}


sub agent_properties
{
    return { listen => { tls => { certificate => pem('agent.crt'),
        private_key => pem('agent.key'), client_cas => pem('ca.crt') } } };
}


sub job
{
    my ($job, $properties, %o) = @_;

    must('rm', '-rf', "$V/jobs/$job");
    my ($text, $status) = render($job, { properties => $properties,
        spec => $SPEC, links => $o{links} || {} }, "$V/jobs/$job");

    # as the bosh agent leaves them
    must('chown', '-R', 'root:vcap', "$V/jobs/$job") if !$status;
    system("chmod 640 $V/jobs/$job/config/*") if !$status;

    for my $script (glob "$V/jobs/$job/bin/*") {
        my ($words, $broken) = run_words('bash', '-n', $script);
        ok(0, "$script is shell") || diag($words) if $broken;
    }

    return ($text, $status);
}


sub script
{
    my ($job, $name, @args) = @_;

    return run_words('env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
        "$V/jobs/$job/bin/$name", @args);
}


# Of a job's processes the one of that name, or the one of the job's.
sub bpm_process
{
    my ($job, $name) = @_;

    my ($p) = grep { $_->{name} eq ($name || $job) }
        @{ yaml_of("$V/jobs/$job/config/bpm.yml")->{processes} };

    return $p;
}


# What bpm puts in front of a job, "tini -w -s -- EXE ARGS", by a copy of perl:
# hands signals on, ends with its child.
sub tini
{
    my $tini = "$V/jobs/bpm/bin/tini";
    my $script = "$V/jobs/bpm/bin/tini.pl";

    return ($tini, $script, '-w', '-s', '--') if -x $tini;

    must('cp', '-L', $^X, $tini);
    spew($script, <<'END');
shift @ARGV while $ARGV[0] ne '--';
shift @ARGV;
my $pid;
my @signals = qw(HUP INT QUIT TERM USR1 USR2);
$SIG{$_} = sub { kill $_[0], $pid if $pid } for @signals;
$pid = fork // die "fork: $!\n";
if ($pid == 0) {
    $SIG{$_} = 'DEFAULT' for @signals;
    exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n";
}
1 until waitpid($pid, 0) == $pid;
exit($? >> 8 || $? & 127);
END
    chmod 0755, $tini, $script;

    return ($tini, $script, '-w', '-s', '--');
}


# bpm's stand-in: the hook as root, then start as vcap with the capabilities of
# bpm.yml alone.
sub bpm_start
{
    my ($job, $name) = @_;

    $name ||= $job;

    my $p = bpm_process($job, $name);
    my $caps = join ',', '-all', map { '+' . lc } @{ $p->{capabilities} || [] };

    if (my $hook = $p->{hooks}{pre_start}) {
        my ($text, $status) = run_words($hook);
        die "$hook: $text\n" if $status;
    }

    my $pid = spawn($name, ['setpriv', '--reuid', 'vcap', '--regid', 'vcap',
        '--clear-groups', '--no-new-privs', '--inh-caps', $caps,
        '--ambient-caps', $caps, '--bounding-set', $caps, tini(),
        $p->{executable}, @{ $p->{args} }]);
    spew("$V/sys/run/bpm/$name.pid.new", $pid);
    mkdir "$V/sys/run/bpm/$job";
    rename "$V/sys/run/bpm/$name.pid.new", "$V/sys/run/bpm/$job/$name.pid";
    at_end(sub { stop_child($pid, 'TERM', 20) });

    return $pid;
}


# Packets on lo that no capture leaves out.
sub traffic
{
    return fork_child('traffic', sub {
        my $socket = IO::Socket::INET->new(Proto => 'udp',
            PeerAddr => '127.0.0.1:9');

        for (1 .. 20_000) {
            $socket->send('x' x 100);
            select undef, undef, undef, 0.002;
        }
    });
}


sub answers
{
    my ($path, @args) = @_;

    return run_words('curl', '-s', '--cacert', $certs->file('ca.crt'), @args,
        "https://localhost:8443$path");
}


sub listening
{
    return IO::Socket::INET->new(PeerAddr => "127.0.0.1:$_[0]",
        Timeout => 1) ? 1 : 0;
}


sub start_agent
{
    my ($change, %o) = @_;

    my ($text, $status) = job('pcap-agent',
        merge_into(agent_properties(), $change));
    diag($text) if $status;
    ($text, $status) = script('pcap-agent', 'pre-start');
    ok($status == 0, 'pcap-agent: pre-start') or diag($text);
    return if $o{ctl};

    my $pid = bpm_start('pcap-agent');
    ok(wait_for(5, sub { listening(9494) }), 'pcap-agent: starts as vcap');

    return $pid;
}


sub start_api
{
    my ($change) = @_;

    my ($text, $status) = job('pcap-api',
        merge_into(api_properties(), $change));
    diag($text) if $status;
    ($text, $status) = script('pcap-api', 'pre-start');
    ok($status == 0, 'pcap-api: pre-start') or diag($text);
    my $pid = bpm_start('pcap-api');
    ok(wait_for(5, sub { listening(8443) }), 'pcap-api: starts as vcap')
        or diag(slurp("$V/sys/log/pcap-api/error.log"));

    return $pid;
}


# Calls bin/drain as bosh does until it says 0; returns what it said.
sub drain
{
    my ($job, $while) = @_;
    my @said;

    while (@said < 40) {
        my ($text, $status) = script($job, 'drain');

        die "drain: $text\n" if $status != 0 || $text !~ /^(-?\d+)\n\z/;
        push @said, $1;
        return @said if $1 >= 0;
        $while->() if $while;
        select undef, undef, undef, -$1;
    }

    return @said;
}


1;
