# BoshJobs: the jobs of the release as the Director leaves them on a VM:
# rendered below /var/vcap, a folder of the test's own mount namespace, with the
# compiled packages and a user vcap.

package BoshJobs;

use strict;
use warnings;

use Exporter qw(import);
use PcapTest;
use PcapTest::Certs;
use Test::More;

use Bosh;

our @EXPORT = qw($V $ID $certs setup_vcap pem api_properties agent_properties
    job script bpm_process);

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
         "$V/sys/log", "$V/data", '/var/tmp');
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


sub bpm_process
{
    return yaml_of("$V/jobs/$_[0]/config/bpm.yml")->{processes}[0];
}


1;
