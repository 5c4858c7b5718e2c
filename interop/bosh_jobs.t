#!/usr/bin/perl
#
# interop/bosh_jobs.t: both jobs at work below /var/vcap (a folder of this
# test's own mount namespace): pre-start, health, a capture from agent to file,
# /cli/, a Director, several environments, per-instance certificates, two CAs,
# drain. Their templates are tried in bosh_templates.t.
#
# Stand-ins: bpm (starts what bpm.yml says as vcap with its capabilities, below
# an init whose pid is in the pid file), UAA and Director. Needs the packages,
# see bosh_build.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../nginx-tests/lib";

use IO::Socket::INET;
use JSON::PP;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Director;
use PcapTest::Uaa;
use Test::More;
use Time::HiRes qw(time);

use Bosh;
use BoshJobs;

need_packages();


sub cli_capture
{
    my ($file, @args) = @_;

    return spawn('cli', ["$V/packages/pcap-cli/bin/pcap-cli", 'static', 'demo',
        '-i', 'lo', '--yes', '-F', '-o', $file, '-u', 'https://localhost:8443',
        '--ca-cert', $certs->file('ca.crt'), @args],
        env => { PCAP_TOKEN => 'good' }, out => "$file.log");
}


sub packets
{
    my ($file) = @_;

    my ($text, $status) = run_words('tshark', '-r', $file, '-T', 'fields',
        '-e', 'frame.interface_name', '-e', 'udp.dstport');
    my @lines = grep { /^web\/0\/lo\t9$/ } split /\n/, $text;

    return scalar @lines;
}


sub capture_once
{
    my ($name) = @_;

    my $file = work_dir() . '/x.pcapng';
    my $status = wait_exit(cli_capture($file, '--duration', '1s'), 20);
    ok(defined $status && $status == 0, "$name: pcap-cli ends with 0")
        or diag(slurp("$file.log"));
    cmp_ok(packets($file), '>', 50, "$name: packets of the VM are in the file");
}


sub jobs_work
{
    my $uaa = PcapTest::Uaa->new(certs => $certs);
    my $flow = traffic();

    my $agent_pid = start_agent({});
    my $api_pid = start_api({ drain => { timeout => 3 } });

    is((script('pcap-api', 'health'))[1], 0, 'bin/health: 0');
    capture_once('shared certificate');

    my ($text) = answers('/cli/pcap-cli-linux-amd64.sha256');
    my ($sha) = $text =~ /^([0-9a-f]{64})  pcap-cli-linux-amd64$/;
    my $copy = work_dir() . '/downloaded';
    answers('/cli/pcap-cli-linux-amd64', '-o', $copy);
    my ($sum) = run_words('sha256sum', $copy);
    ok($sha && $sum =~ /^$sha /, '/cli/: the program and its sha256');
    chmod 0755, $copy;
    is((run_words($copy, '--version'))[1], 0, '/cli/: it runs');
    like((answers('/cli/../../pcap-nginx/sbin/nginx', '--path-as-is', '-w',
        '%{http_code}'))[0], qr/40[04]$/, '/cli/: nothing above it');
    like((run_words('curl', '-s', '-w', '%{http_code}',
        'http://127.0.0.1:8081/v1/captures/x'))[0], qr/404$/,
        'the health port answers nothing but status');

    # the agent drains: the API's capture goes on and ends without it
    my $file = work_dir() . '/drained.pcapng';
    my $cli = cli_capture($file);
    ok(wait_for(10, sub { -s $file }), 'a capture runs')
        or diag(slurp("$file.log"), slurp("$V/sys/log/pcap-api/error.log"));
    my @said = drain('pcap-agent');
    is($said[-1], 0, "agent: drain says @said");
    ok(!alive($agent_pid), 'agent: has ended');
    ok(defined wait_exit($cli, 10), 'its capture has ended');
    cmp_ok(packets($file), '>', 0, 'and what it had sent is there');
    is((run_words('tshark', '-r', $file, '-c', '1'))[1], 0,
       'the file is whole');
    is_deeply([drain('pcap-agent')], [0], 'agent: drain again says 0');

    # a pid file that holds the pid of another job's init by now
    $agent_pid = start_agent({});
    my $api_file = "$V/sys/run/bpm/pcap-api/pcap-api.pid";
    spew($api_file, $agent_pid);
    is_deeply([drain('pcap-api')], [0], 'api: a pid of another job is none');
    ok(alive($agent_pid), 'that job runs on');
    spew($api_file, $api_pid);

    # the API drains
    $cli = cli_capture($file, '--no-reconnect');
    unlink $file;
    ok(wait_for(10, sub { -s $file }), 'a capture runs again');
    my $closed;
    @said = drain('pcap-api', sub {
        $closed ||= wait_for(3, sub { !listening(8443) }) });
    is($said[-1], 0, "api: drain says @said");
    ok($closed, 'api: no new connection is taken meanwhile');
    cmp_ok(scalar @said, '>', 1, 'api: it has waited for the capture');
    ok(!alive($api_pid), 'api: has ended');
    my $status = wait_exit($cli, 10);
    ok(defined $status, 'its capture has ended') or diag(slurp("$file.log"));
    cmp_ok(packets($file), '>', 0, 'and is readable');
    isnt($status, 0, 'pcap-cli says that it was cut');
    is((run_words('tshark', '-r', $file, '-c', '1'))[1], 0,
       'the file is whole');
    isnt((script('pcap-api', 'health'))[1], 0, 'bin/health: not 0 any more');

    foreign_health();
    certificates($agent_pid);
    director($uaa);
    other_programs();
    stop_child($flow, 'KILL', 5);
}


# The API's file by curl, as /v1/capture/bosh/... answers it.
sub bosh_capture
{
    my ($name, $path) = @_;

    my $file = work_dir() . '/bosh.pcapng';
    unlink $file;
    my ($text) = answers("/v1/capture/bosh/$path&interface=lo&duration=1s",
        '-H', 'Authorization: bearer op', '-o', $file, '-w', '%{http_code}');
    is($text, 200, "$name: 200") or diag(slurp($file));
    ($text) = run_words('tshark', '-r', $file, '-T', 'fields', '-e',
        'frame.interface_name');
    my %names = map { $_ => 1 } grep { !/^Running/ } split /\n/, $text;
    is(join(' ', sort keys %names), "web/$ID/lo", "$name: the instance's name");
}


# The status of a capture of /NAME/v1/ as op.
sub bosh_status
{
    my ($environment) = @_;

    my ($text) = answers("$environment/v1/capture/bosh/cf?interface=lo"
        . '&duration=1s', '-H', 'Authorization: bearer op', '-o', '/dev/null',
        '-w', '%{http_code}');

    return $text;
}


# A second environment, with the same servers: only its own CAs are for it.
sub environments
{
    my ($bosh) = @_;

    for my $case ([ 'uaa', 503 ], [ 'director', 503 ], [ '', 200 ]) {
        my ($wrong, $expected) = @$case;
        my $ca = sub { pem($_[0] eq $wrong ? 'wrong-ca.crt' : 'ca.crt') };
        my $api_pid = start_api(merge_into($bosh, { bosh => { environments => [
            { name => 'b', director_url => 'https://127.0.0.1:25555',
              tls => { ca => $ca->('director'),
                       common_name => 'director.test' },
              agent_ranges => ['127.0.0.0/8'],
              uaa => { %{ api_properties()->{uaa} }, ca => $ca->('uaa') } }
            ] } }));
        is(bosh_status('/b'), $expected, $wrong ? "an environment's $wrong is"
            . " not verified by another's CAs" : 'an environment by its own');
        is(bosh_status(''), 200, 'the first one is as it was');
        stop_child($api_pid, 'TERM', 10);
    }
}


# Answers A with what stands in a file, and knows nothing while it is empty.
sub name_server
{
    my ($file) = @_;

    spew($file, '');
    my $socket = IO::Socket::INET->new(Proto => 'udp',
        LocalAddr => '127.0.0.1', LocalPort => 5353) or die "DNS: $!\n";

    return fork_child('dns', sub {
        while (defined $socket->recv(my $q, 512)) {
            my ($id, $type) = (substr($q, 0, 2), substr $q, -4, 2);
            my $address = slurp($file);
            my $known = $address ne '';
            my $answer = $known && $type eq "\0\1"
                ? "\xc0\x0c\0\1\0\1\0\0\0\0\0\4"
                    . pack('C4', split /\./, $address) : '';
            $socket->send($id . ($known ? "\x81\x80" : "\x81\x83")
                . pack('n4', 1, $answer ne '', 0, 0) . substr($q, 12)
                . $answer);
        }
    }, keep => [ $socket ]);
}


# UAA by a name: unknown at the start, then somewhere else, then there.
sub names
{
    my ($bosh) = @_;

    my $file = work_dir() . '/address';
    my $dns = name_server($file);
    my $api_pid = start_api(merge_into($bosh, { resolver => ['127.0.0.1:5353'],
        uaa => { url => 'https://uaa.pcap.test:8444' } }));
    is(bosh_status(''), 503, 'a name that nobody knows: 503, but it starts');
    spew($file, '127.0.0.9');
    is(bosh_status(''), 503, 'nobody is there');
    spew($file, '127.0.0.1');
    ok(wait_for(15, sub { bosh_status('') == 200 }),
        'a UAA that moved is found');
    stop_child($api_pid, 'TERM', 10);
    stop_child($dns, 'KILL', 5);
}


# Another program on the health port, with any status.
sub foreign_health
{
    my $port = 8081;

    for my $answer ("200 OK\r\n\r\n<html>ok</html>",
        "503 No\r\n\r\nbusy", "404 No\r\n\r\n{\"compatibility_level\": 1}",
        "200 OK\r\n\r\n" . 'x' x 200_000)
    {
        my $listen = IO::Socket::INET->new(Listen => 8, ReuseAddr => 1,
            LocalAddr => '127.0.0.1', LocalPort => $port) or die "$port: $!\n";
        my $pid = fork_child('foreign', sub {
            local $SIG{PIPE} = 'IGNORE';
            while (my $s = $listen->accept()) {
                sysread $s, my $request, 4096;
                print $s "HTTP/1.0 $answer";
                close $s;
            }
        }, keep => [ $listen ]);
        close $listen;
        isnt((script('pcap-api', 'health'))[1], 0,
            'bin/health: not ours: ' . substr $answer =~ s/\s+/ /gr, 0, 24);
        stop_child($pid, 'KILL', 5);
    }
}


# A stale pid file that names a program of the same name in another package.
sub other_programs
{
    for my $case ([ 'pcap-api', 'nginx/1/sbin/nginx' ],
        [ 'pcap-agent', 'other/1/bin/pcap-agent' ])
    {
        my ($job, $path) = @$case;
        my $exe = "$V/data/packages/$path";

        must('mkdir', '-p', $exe =~ s{/[^/]+$}{}r, "$V/sys/run/bpm/$job");
        must('cp', '/bin/sleep', $exe);
        my $pid = spawn('other', [ $exe, '600' ]);
        my $file = "$V/sys/run/bpm/$job/$job.pid";
        spew($file, $pid);
        ok(wait_for(5, sub { readlink("/proc/$pid/exe") eq $exe }),
            "$exe runs");
        is_deeply([ drain($job) ], [0], "$job: not its process: drain says 0");
        ok(alive($pid), 'which runs on');
        unlink $file;
        stop_child($pid, 'KILL', 5);
    }
}


# The same stack with a Director in place of the static group.
sub director
{
    my ($uaa) = @_;

    my $director = PcapTest::Director->new(certs => $certs);
    $uaa->token('op', scope => ['bosh.admin']);
    $director->token('op', 'bosh.admin');
    $director->deployment('cf', ['ops'], PcapTest::Director::instance(
        'web', 0, $ID, ips => ['127.0.0.1']));

    my $bosh = { static => undef, bosh => {
        director_url => 'https://127.0.0.1:25555',
        tls => { ca => pem('ca.crt'), common_name => 'director.test' },
        agent_ranges => ['127.0.0.0/8'] } };
    my $agent_pid = start_agent({});
    my $api_pid = start_api($bosh);
    like((run_words('curl', '-s', '-w', '%{http_code}',
        'http://127.0.0.1:8081/v1/status'))[0], qr/200$/,
        'a Director: the health port gets to it');
    for my $path ('captures/x', 'status/', 'status%0A', 'v1/status') {
        like((run_words('curl', '-s', '-w', '%{http_code}',
            "http://127.0.0.1:8081/v1/$path"))[0], qr/404$/,
            "the health port knows no /v1/$path");
    }
    bosh_capture('a Director', 'cf?instance=web');
    my ($text) = answers('/v1/status');
    like($text, qr/"bosh"/, 'a Director: /v1/status names bosh');
    $director->stop();
    ok(wait_for(15, sub { (run_words('curl', '-s', '-o', '/dev/null', '-w',
        '%{http_code}', 'http://127.0.0.1:8081/v1/status'))[0] == 503 }),
        'a Director that is down: 503');
    is((script('pcap-api', 'health'))[1], 0, 'bin/health: still 0');
    $director->start();
    stop_child($api_pid, 'TERM', 10);

    environments($bosh);
    names($bosh);

    $api_pid = start_api(merge_into($bosh, { agents_mtls => {
        common_name => '*.pcap-agent' } }));
    ($text) = answers('/v1/capture/bosh/cf?interface=lo', '-H',
        'Authorization: bearer op', '-w', '%{http_code}');
    like($text, qr/502$/, 'names of their own: a shared one is refused');
    stop_child($agent_pid, 'TERM', 20);

    $certs->leaf('own', names => ["$ID.pcap-agent"]);
    $agent_pid = start_agent({ listen => { tls => { instances => { $ID => {
        certificate => pem('own.crt'), private_key => pem('own.key')
        } } } } });
    bosh_capture('names of their own', 'cf?instance=web/0');
    stop_child($api_pid, 'TERM', 10);
    stop_child($agent_pid, 'TERM', 20);
    is(join('; ', $director->violations()), '',
       'the Director is asked for what is needed only');
}


# Rotation with two CAs at once, per-instance certificates, bin/ctl.
sub certificates
{
    my ($agent_pid) = @_;
    my $no = JSON::PP::false;

    my $new = $certs->{wrong_ca};
    $certs->leaf('agent-new', names => ['pcap-agent'], issuer => $new);
    $certs->leaf('api-new', cn => 'pcap-api', issuer => $new);
    my $both = pem('ca.crt') . pem('wrong-ca.crt');

    # 2: the API still shows the old one and the agent the new one
    stop_child($agent_pid, 'TERM', 20);
    $agent_pid = start_agent({ listen => { tls => { client_cas => $both,
        certificate => pem('agent-new.crt'),
        private_key => pem('agent-new.key') } } });
    my $api_pid = start_api({ agents_mtls => { ca => $both } });
    capture_once('two CAs, the agent is ahead');
    stop_child($api_pid, 'TERM', 10);

    $api_pid = start_api({ agents_mtls => { ca => $both,
        certificate => pem('api-new.crt'),
        private_key => pem('api-new.key') } });
    capture_once('two CAs, both have the new one');
    stop_child($api_pid, 'TERM', 10);

    # negative: an API that trusts the old CA alone
    $api_pid = start_api({});
    my $status = wait_exit(cli_capture(work_dir() . '/no.pcapng',
        '--duration', '1s'), 20);
    is($status >> 8, 1, 'an agent of another CA: no capture');
    like(slurp("$V/sys/log/pcap-api/error.log"), qr/certificate verify error/,
        'because its certificate is refused');
    stop_child($api_pid, 'TERM', 10);
    stop_child($agent_pid, 'TERM', 20);

    # certificates of their own, by the script, and bin/ctl
    my $dir = work_dir();
    must('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', "$dir/own.key",
        '-out', "$dir/own.crt", '-days', '2', '-subj', '/CN=own', '-batch',
        '-out', "$dir/own.crt") if !-f "$dir/own.key";
    my ($yaml) = run_words('sh', '-c', "echo '{\"i\":\"cell/$ID\"}' | "
        . root() . "/bosh/scripts/make-instance-certs $dir/own.crt"
        . " $dir/own.key");
    my $own = yaml_of($yaml)->{pcap_agent_instances};
    is_deeply([keys %$own], [$ID], 'make-instance-certs: one for the instance');
    is((run_words(root() . '/bosh/scripts/make-instance-certs', "$dir/own.crt",
        "$dir/own.key", 'x;y'))[1], 1, 'make-instance-certs: a wrong id');

    start_agent({ bpm => { enabled => $no },
        listen => { tls => { instances => $own } } }, ctl => 1);
    is((script('pcap-agent', 'ctl', 'start'))[1], 0, 'bin/ctl start');
    ok(wait_for(5, sub { listening(9494) }), 'bin/ctl: the agent listens');
    my ($uid) = slurp('/proc/' . slurp("$V/sys/run/pcap-agent/pcap-agent.pid")
        =~ s/\n//r . '/status') =~ /^Uid:\s+(\d+)/m;
    is($uid, 1999, 'bin/ctl: as vcap');

    my $group = sub { return { static => { groups => [ { name => 'demo',
        instances => [ { name => 'web/0', address => '127.0.0.1:9494',
        tls_name => $_[0] } ] } ] }, agents_mtls => {
        ca => slurp("$dir/own.crt") } } };
    $api_pid = start_api($group->("$ID.pcap-agent"));
    capture_once('a certificate of its own');
    stop_child($api_pid, 'TERM', 10);
    $api_pid = start_api($group->('bbbbbbbb' . substr($ID, 8) . '.pcap-agent'));
    $status = wait_exit(cli_capture("$dir/no.pcapng", '--duration', '1s'), 20);
    is($status >> 8, 1, 'the name of another instance: no capture');
    like(slurp("$V/sys/log/pcap-api/error.log"),
        qr/certificate does not match "bbbbbbbb-/, 'because of its name');
    stop_child($api_pid, 'TERM', 10);

    is((drain('pcap-agent'))[-1], 0, 'bin/drain without bpm');
    is((script('pcap-agent', 'ctl', 'stop'))[1], 0, 'bin/ctl stop');
    ok(!listening(9494), 'bin/ctl: nothing listens');
}


setup_vcap();
jobs_work();
unlike(slurp("$V/sys/log/pcap-api/error.log"), qr/\[(?:alert|crit|emerg)\]/,
    'no alert in the error log');
finish();
