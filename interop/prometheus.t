#!/usr/bin/perl
#
# interop/prometheus.t: the real Prometheus scrapes /metrics, promtool finds
# nothing to say about it, every alert of docs/alerts.yml fires when it should
# (interop/fixtures/alerts_test.yml), and every expression of
# docs/dashboard.json has an answer. A real agent is scraped as well.
#
# Both programs are those of Debian's package, unpacked into build/interop and
# not installed; TEST_PROMETHEUS names another folder that has them. Runs in
# a network namespace of its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../nginx-tests/lib";

use File::Path qw(make_path);
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use Bosh;

my $root = root();
my $bin = $ENV{TEST_PROMETHEUS} || build() . '/prometheus/usr/bin';
my @pids;


# Unpacks the package once; returns why it cannot be had, or ''.
sub fetch
{
    return '' if -x "$bin/promtool";

    my $dir = tempdir(CLEANUP => 1);
    my ($text, $status) = run_words('sh', '-c',
        'cd "$1" && apt-get -q -o APT::Sandbox::User=root download prometheus',
        'sh', $dir);
    my ($deb) = glob "$dir/prometheus_*.deb";

    $text =~ s/\s+/ /g;
    return 'apt-get download prometheus: ' . substr $text, -300
        if $status || !$deb;

    make_path(build() . '/prometheus');
    ($text, $status) = run_words('dpkg-deb', '-x', $deb,
        build() . '/prometheus');

    return $status ? "dpkg-deb: $text" : '';
}


# What needs the network comes first; then this begins again without it.
if (!$ENV{INTEROP_INSIDE}) {
    my $why = $> == 0 ? fetch() : 'network namespaces need root';

    plan(skip_all => $why) if $why ne '';
    $ENV{INTEROP_INSIDE} = 1;
    $ENV{PCAPTEST_INSIDE} = 1;
    exec 'unshare', '--net', '--mount', '--pid', '--fork', '--kill-child',
        '--mount-proc', $^X, "-I$FindBin::Bin/lib",
        "$FindBin::Bin/$FindBin::Script" or die "unshare: $!\n";
}

require PcapTest::Agent;
require PcapTest::Certs;


sub begin
{
    my ($log, @cmd) = @_;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log or die "$log: $!\n";
        open STDERR, '>&', \*STDOUT;
        exec { $cmd[0] } @cmd or die "$cmd[0]: $!\n";
    }

    push @pids, $pid;
}


sub write_file
{
    my ($file, $text) = @_;

    open my $fh, '>', $file or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";

    return $file;
}


sub read_file
{
    my ($file) = @_;

    open my $fh, '<', $file or die "$file: $!\n";
    local $/;

    return scalar <$fh>;
}


sub get
{
    my (@args) = @_;

    my ($text) = run_words('curl', '-sS', '-m', '10', @args);

    return $text;
}


# Waits for something true; undef after the deadline.
sub wait_until
{
    my ($seconds, $code) = @_;

    my $end = time() + $seconds;

    while (time() < $end) {
        my $got = $code->();
        return $got if $got;
        select undef, undef, undef, 0.1;
    }

    return undef;
}


# The samples of an instant query, or undef with what was said.
sub query
{
    my ($expr) = @_;

    my $text = get('-G', '--data-urlencode', "query=$expr",
        'http://127.0.0.1:9090/api/v1/query');
    my $doc = eval { decode_json($text) } || {};

    return ($doc->{status} || '') eq 'success'
        ? ($doc->{data}{result}, '') : (undef, $text);
}


my $dir = tempdir(CLEANUP => 1);

chmod 0755, $dir;
make_path("$dir/logs");
write_file("$dir/key", 'k' x 32);
chmod 0600, "$dir/key";
write_file("$dir/nginx.conf", <<EOF_CONF);
load_module $root/build/ngx_pcap_api_module.so;
daemon off;
pid $dir/nginx.pid;
events { }
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    pcap_api_zone pcap 8m;
    pcap_api_audit $dir/audit.log key=$dir/key;
    server {
        listen 127.0.0.1:9180;
        location = /metrics { pcap_api_metrics on; }
    }
}
EOF_CONF

my $nginx = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';

begin("$dir/logs/nginx", $nginx, '-p', $dir, '-c', "$dir/nginx.conf", '-e',
    "$dir/logs/error.log");

my $text = wait_until(10, sub {
    my $t = get('http://127.0.0.1:9180/metrics');
    $t =~ /^pcap_api_build_info/m && $t;
});

ok($text, '/metrics answers') or diag(read_file("$dir/logs/nginx"));

my $certs = PcapTest::Certs->new();

$certs->leaf('prometheus', cn => 'prometheus');

my $agent = PcapTest::Agent->new(certs => $certs,
    conf => { metrics_names => ['prometheus'] });
my ($ca, $cert, $cert_key) = map { $certs->file($_) }
    qw(ca.crt prometheus.crt prometheus.key);

$text .= get('--cacert', $ca, '--cert', $cert, '--key', $cert_key,
    '--connect-to', "pcap-agent:9494:$agent->{endpoint}",
    'https://pcap-agent:9494/v1/metrics');
like($text, qr/^pcap_agent_captures_running 0$/m, 'an agent answers');

# --- promtool ---------------------------------------------------------------

my ($said, $status) = run_words('sh', '-c', '"$1" check metrics <"$2"', 'sh',
    "$bin/promtool", write_file("$dir/metrics.txt", $text || ''));

is($status, 0, 'promtool check metrics');
is($said, '', 'has nothing to say');
($said, $status) = run_words("$bin/promtool", 'check', 'rules',
    "$root/docs/alerts.yml");
is($status, 0, 'promtool check rules') or diag($said);
($said, $status) = run_words("$bin/promtool", 'test', 'rules',
    "$root/interop/fixtures/alerts_test.yml");
is($status, 0, 'promtool test rules') or diag($said);

my $tests = read_file("$root/interop/fixtures/alerts_test.yml");
my @alerts = read_file("$root/docs/alerts.yml") =~ /- alert: (\w+)/g;

is(join(' ', grep { $tests !~ /alertname: $_\b/ } @alerts), '',
    'every alert has a test');

# --- Prometheus itself ------------------------------------------------------

write_file("$dir/prometheus.yml", <<EOF_CONF);
global: { scrape_interval: 500ms, scrape_timeout: 500ms }
rule_files: [ $root/docs/alerts.yml ]
scrape_configs:
  - job_name: pcap-api
    static_configs: [ { targets: [ '127.0.0.1:9180' ] } ]
  - job_name: pcap-agent
    scheme: https
    metrics_path: /v1/metrics
    tls_config:
      { ca_file: $ca, cert_file: $cert, key_file: $cert_key,
        server_name: pcap-agent }
    static_configs: [ { targets: [ '$agent->{endpoint}' ] } ]
EOF_CONF
begin("$dir/logs/prometheus", "$bin/prometheus",
    "--config.file=$dir/prometheus.yml", "--storage.tsdb.path=$dir/data",
    '--web.listen-address=127.0.0.1:9090');

ok(wait_until(30, sub {
    my ($r) = query('count_over_time(up{job=~"pcap-api|pcap-agent"}[1m]) > 4'
        . ' and up == 1');
    $r && @$r == 2;
}), 'Prometheus scrapes both') or diag(read_file("$dir/logs/prometheus"));

my $board = decode_json(read_file("$root/docs/dashboard.json"));
my $n = 0;

for my $panel (@{ $board->{panels} }) {
    for my $target (@{ $panel->{targets} }) {
        my $expr = $target->{expr};

        $expr =~ s/\$__rate_interval/1m/g;
        $expr =~ s/\$instance/.*/g;

        my ($r, $error) = query($expr);
        my $name = "$panel->{title}: $target->{legendFormat}";

        ok($r && @$r, "$name: has an answer") or diag("$expr\n$error");
        $n++;
    }
}

cmp_ok($n, '>', 20, 'expressions of the dashboard');

my ($firing) = query('ALERTS{alertstate="firing"}');

is(scalar @{ $firing || [1] }, 0, 'no alert fires');

kill 'TERM', @pids;
waitpid $_, 0 for @pids;
PcapTest::finish();
