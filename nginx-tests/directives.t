# Each directive with a wrong value: nginx -t fails and says what is allowed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = lab(no_start => 1);


sub config_says
{
    my ($name, $want, %o) = @_;

    my $nginx = PcapTest::Nginx->new(certs => $lab->{certs}, groups =>
        [ [ 'demo', 'web/0', '127.1.0.1:9494', 'pcap-agent' ] ], %o);
    my ($ok, $text) = $nginx->test_config();

    if (!defined $want) {
        ok($ok, "$name: fine") or diag($text);
        return;
    }

    ok(!$ok, "$name: refused");
    like($text, $want, "$name: says why");
}


config_says('the usual', undef);

# each time of docs/DIRECTIVES.md
for my $d (qw(start_timeout heartbeat_timeout reorder_window client_stall
    stop_timeout max_clock_skew token_cache heartbeat reauth
    reauth_max_age))
{
    config_says("$d soon", qr/pcap_api_$d/, pcap => "pcap_api_$d soon;");
    config_says("$d twice", qr/duplicate/,
        pcap => "pcap_api_$d 1s; pcap_api_$d 1s;");
    config_says("$d alone", qr/pcap_api_$d/, pcap => "pcap_api_$d;");
}

config_says('token_cache', qr/pcap_api_token_cache/,
    pcap => 'pcap_api_token_cache 11s;');
config_says('token_cache 0', undef, pcap => 'pcap_api_token_cache 0;');
config_says('reauth 0', undef, pcap => 'pcap_api_reauth 0;');
config_says('reauth 999ms', qr/"pcap_api_reauth", allowed is 0 \(never\), or/,
    pcap => 'pcap_api_reauth 999ms;');
config_says('reauth_max_age 0', qr/"pcap_api_reauth_max_age", allowed is 1s/,
    pcap => 'pcap_api_reauth_max_age 0;');
config_says('drain_timeout soon', qr/pcap_api_drain_timeout/,
    http => 'pcap_api_drain_timeout soon;');
config_says('drain_timeout in a location', qr/is not allowed here/,
    pcap => 'pcap_api_drain_timeout 5s;');
config_says('heartbeat low', qr/pcap_api_heartbeat/,
    pcap => 'pcap_api_heartbeat 4ms;');
config_says('heartbeat high', qr/pcap_api_heartbeat/,
    pcap => 'pcap_api_heartbeat 1001ms;');
config_says('heartbeat 5ms', undef, pcap => 'pcap_api_heartbeat 5ms;');
config_says('heartbeat 1s', undef, pcap => 'pcap_api_heartbeat 1s;');

for my $case (
    [ 'on', 'pcap_api maybe;', 'pcap_api' ],
    [ 'static address', 'pcap_api_static g i/0 localhost:9494;',
        'literal address' ],
    [ 'static port', 'pcap_api_static g i/0 127.0.0.1;', '1 to 65535' ],
    [ 'static port 0', 'pcap_api_static g i/0 127.0.0.1:0;', '1 to 65535' ],
    [ 'static port', 'pcap_api_static g i/0 127.0.0.1:70000;',
        '1 to 65535' ],
    [ 'static group', 'pcap_api_static a/b/c i/0 127.0.0.1:1;', 'group' ],
    [ 'static instance', 'pcap_api_static g ../x 127.0.0.1:1;',
        'GROUP/NAME' ],
    [ 'static range', 'pcap_api_agent_ranges 10.0.0.0/8; pcap_api_static g'
        . ' i/0 127.2.0.1:9494;', 'outside of "pcap_api_agent_ranges"' ],
    [ 'static range after', 'pcap_api_static g i/0 127.2.0.1:9494;'
        . ' pcap_api_agent_ranges 10.0.0.0/8;',
        'outside of "pcap_api_agent_ranges"' ],
    [ 'static parameter', 'pcap_api_static g i/0 127.0.0.1:1 tls=x;',
        'static|tls=x' ],
    [ 'static few', 'pcap_api_static g i/0;', 'static' ],
    [ 'static twice', 'pcap_api_static demo web/0 127.0.0.1:9;',
        'web/0|duplicate' ],
    [ 'ranges', 'pcap_api_agent_ranges 10.0.0.0/33;', 'ranges|10.0.0.0' ],
    [ 'ranges', 'pcap_api_agent_ranges everywhere;', 'ranges|everywhere' ],
    [ 'routers', 'pcap_api_trusted_routers 1.2.3;', 'routers|1.2.3' ],
    [ 'max_targets', 'pcap_api_max_targets 0;', 'max_targets' ],
    [ 'max_targets', 'pcap_api_max_targets many;', 'max_targets' ],
    [ 'start_parallel', 'pcap_api_start_parallel 0;', 'start_parallel' ],
    [ 'rate', 'pcap_api_introspection_rate fast;', 'rate' ],
    [ 'rate', 'pcap_api_introspection_rate 0;', 'rate' ],
    [ 'rate', 'pcap_api_introspection_rate 5 burst=x;', 'rate|burst' ],
    [ 'rate', 'pcap_api_introspection_rate 5 burst=0;', 'rate|burst' ],
    [ 'rate', 'pcap_api_introspection_rate 5 boost=1;', 'rate|boost' ],
    [ 'bosh alone', 'pcap_api_bosh;', 'number of arguments' ],
    [ 'bosh URI', 'pcap_api_bosh _director;', 'URI of an internal' ],
    [ 'bosh URI', 'pcap_api_bosh /;', 'URI of an internal' ],
    [ 'bosh URL', 'pcap_api_bosh https://192.0.2.6:25555;',
        'URI of an internal' ],
    [ 'bosh name', 'pcap_api_bosh /d tls_name=;', 'tls_name=NAME' ],
    [ 'bosh name', 'pcap_api_bosh /d tls_name=*;', 'tls_name=NAME' ],
    [ 'bosh name', 'pcap_api_bosh /d tls_name=*.;', 'tls_name=NAME' ],
    [ 'bosh name', 'pcap_api_bosh /d tls_name=a.*;', 'tls_name=NAME' ],
    [ 'bosh name', 'pcap_api_bosh /d tls_name=a/b;', 'tls_name=NAME' ],
    [ 'bosh name', 'pcap_api_bosh /d tls_name=' . 'x' x 129 . ';',
        'tls_name=NAME' ],
    [ 'bosh port', 'pcap_api_bosh /d port=0;', 'port=1' ],
    [ 'bosh port', 'pcap_api_bosh /d port=65536;', 'port=1' ],
    [ 'bosh port', 'pcap_api_bosh /d port=x;', 'port=1' ],
    [ 'bosh parameter', 'pcap_api_bosh /d url=x;', 'tls_name=NAME.*port' ],
    [ 'bosh many', 'pcap_api_bosh /d port=1 tls_name=a x;',
        'number of arguments' ],
    [ 'bosh twice', 'pcap_api_bosh /d; pcap_api_bosh /e;', 'duplicate' ],
    [ 'bosh ranges', 'pcap_api_bosh /d;', 'needs "pcap_api_agent_ranges"' ],
    [ 'cf URI', 'pcap_api_cf _cc;', 'URI of an internal' ],
    [ 'cf URL', 'pcap_api_cf https://api.example.com;',
        'URI of an internal' ],
    [ 'cf name', 'pcap_api_cf /c tls_name=*.cell;', 'tls_name=NAME' ],
    [ 'cf port', 'pcap_api_cf /c port=65536;', 'port=1' ],
    [ 'cf parameter', 'pcap_api_cf /c url=x;', 'tls_name=NAME.*port' ],
    [ 'cf twice', 'pcap_api_cf /c; pcap_api_cf /d;', 'duplicate' ],
    [ 'cf ranges', 'pcap_api_cf /c;',
        '"pcap_api_cf" needs "pcap_api_agent_ranges"' ],
    [ 'cf scope', 'pcap_api_cf_scope "a b";', 'without spaces' ],
    [ 'cf opt-in', 'pcap_api_cf_opt_in on;', '"ssh", "annotation NAME"' ],
    [ 'cf opt-in', 'pcap_api_cf_opt_in ssh x;', '"ssh", "annotation NAME"' ],
    [ 'cf opt-in', 'pcap_api_cf_opt_in annotation;',
        '"ssh", "annotation NAME"' ],
    [ 'cf opt-in', 'pcap_api_cf_opt_in annotation "a b";',
        '"ssh", "annotation NAME"' ],
    [ 'cf opt-in', 'pcap_api_cf_opt_in annotation a b;',
        'number of arguments' ],
    [ 'cf opt-in twice', 'pcap_api_cf_opt_in ssh; pcap_api_cf_opt_in off;',
        'duplicate' ],
    [ 'cf exclude', 'pcap_api_cf_exclude;', 'number of arguments' ],
    [ 'cf exclude', 'pcap_api_cf_exclude a b/c;', 'a guid has 1 to' ],
    [ 'bosh scope', 'pcap_api_bosh_scope "a b";', 'without spaces' ],
    [ 'bosh scope', 'pcap_api_bosh_scope "";', 'without spaces' ],
    [ 'bosh scope twice', 'pcap_api_bosh_scope a; pcap_api_bosh_scope b;',
        'duplicate' ],
    [ 'inflight', 'pcap_api_introspection_inflight 0;', 'inflight' ],
    [ 'inflight', 'pcap_api_introspection_inflight -1;', 'inflight' ],
) {
    my ($name, $line, $word) = @$case;

    config_says("$name: $line", qr/$word/, pcap => $line);
}

for my $line ('pcap_api_static six web/0 [2001:db8::1]:9494;',
    'pcap_api_agent_ranges 127.0.0.0/8 10.0.0.0/8 2001:db8::/32;',
    'pcap_api_trusted_routers 10.0.0.1 192.0.2.0/24;',
    'pcap_api_static_scope a b c;', 'pcap_api_static_scope off;',
    'pcap_api_admin_scope root;', 'pcap_api_issuer https://x/;',
    'pcap_api_introspection_rate 5 burst=1;',
    'pcap_api_max_clock_skew 0;', 'pcap_api_agents /_pcap_agent;',
    'pcap_api_bosh /d; pcap_api_agent_ranges 127.0.0.0/8;',
    'pcap_api_bosh /d port=9495 tls_name=*.pcap-agent;'
    . ' pcap_api_agent_ranges 127.0.0.0/8 2001:db8::/32;',
    'pcap_api_bosh_scope a b c;', 'pcap_api_bosh_scope off;',
    'pcap_api_cf /c port=9495 tls_name=cell-agent;'
    . ' pcap_api_agent_ranges 127.0.0.0/8; pcap_api_cf_exclude a b;'
    . ' pcap_api_cf_exclude c; pcap_api_cf_opt_in ssh;',
    'pcap_api_cf_scope a b c;', 'pcap_api_cf_scope off;',
    'pcap_api_cf_opt_in off;', 'pcap_api_cf_opt_in annotation a.b/c_d-e;')
{
    config_says($line, undef, pcap => $line);
}

# /metrics
config_says('metrics', undef, http => 'server { listen 127.0.0.1:9180;'
    . ' location = /metrics { pcap_api_metrics on; } }');
config_says('metrics wrong', qr/"yes" in "pcap_api_metrics"/,
    server => 'location = /m { pcap_api_metrics yes; }');
config_says('metrics in a server', qr/pcap_api_metrics.*not allowed here/,
    server => 'pcap_api_metrics on;');

# the zone, and what has no default
config_says('metrics without a zone', qr/"pcap_api_metrics on" needs/,
    zone => '# none', http => 'server { listen 127.0.0.1:9180;'
    . ' location = /metrics { pcap_api_metrics on; } }');
config_says('no zone', qr/pcap_api_zone/, zone => '# none');
config_says('zone size', qr/pcap_api_zone|size/,
    zone => 'pcap_api_zone pcap little;');
config_says('zone too small', qr/zone.*at least/,
    zone => 'pcap_api_zone pcap 1k;');
config_says('zone twice', qr/pcap_api_zone|duplicate/,
    zone => 'pcap_api_zone pcap 8m; pcap_api_zone pcap 8m;');
config_says('zone in a server', qr/not allowed here/,
    server => 'pcap_api_zone pcap2 8m;');
config_says('pcap_api in a server', qr/not allowed here/,
    server => 'pcap_api on;');
config_says('no introspection', qr/pcap_api_introspection/, server =>
    'location /v2/ { pcap_api on; pcap_api_static a b/0 127.0.0.1:1; }');

# the examples as they are, with other paths
my $certs = $lab->{certs};
my $dir = work_dir() . '/example';

mkdir $dir;

for my $name (qw(front pcap-api ca uaa-ca director-ca staging-ca
    router-ca)) {
    spew("$dir/$name.crt", slurp($certs->file('front.crt')));
    spew("$dir/$name.key", slurp($certs->file('front.key')));
}

for my $name ('uaa-client', 'uaa-client-staging') {
    spew("$dir/$name.conf", 'proxy_set_header Authorization "Basic eDp5";');
}

# the store's, with the lines that stand in its comments, S3 among them
my $store = slurp(root_dir() . '/examples/pcap-api-store.conf');
my ($listen) = $store =~ /^#     (listen .*;)$/m;
my ($include) = $store =~ /^#     (include .*;)$/m;
my ($directive) = $store =~ /^#     (pcap_api_store .*;)$/m;

$store =~ s{/run/pcap-api|/run/pcap-store|/etc/ssl/certs}{$dir}g;
$store =~ s{https://s3\.example\.com/}{https://127.0.0.1/};
$store =~ s{^# (location /_pcap_objects.*?^# \})}{$1 =~ s/^# //mgr}emsg;
like($store, qr/^    proxy_pass +https/m, 'the location of objects');
spew("$dir/pcap-api-store.conf", $store);
spew("$dir/ca-certificates.crt", slurp($certs->file('front.crt')));

for my $name ('pcap-api.conf', 'pcap-api-bosh.conf', 'pcap-api-cf.conf') {
    my $text = slurp(root_dir() . "/examples/$name");

    $text =~ s/^( +location \/v1\/)/    $listen\n    $include\n$1/m;
    $text =~ s/^( +pcap_api +on;)/$1 $directive/m;
    $text =~ s{/etc/pcap|/var/log/nginx|/run/pcap-api}{$dir}g;
    $text =~ s{\buaa\.example\.com/}{127.0.0.1/}g;
    spew("$dir/$name", 'load_module ' . tool('module') . ";\npid $dir/pid;\n"
        . "error_log $dir/log;\nevents {}\nhttp {\n$text}\n");

    my @cmd = (tool('nginx'), '-t', '-p', "$dir/", '-c', "$dir/$name", '-e',
        "$dir/log");
    my $said = `@cmd 2>&1`;

    is($?, 0, "examples/$name: nginx takes it") or diag($said);
}

# the token check: one of two ways, the nearer level wins
my $keys = 'pcap_api_token_keys /_pcap_token_keys;';
my $issuer = 'pcap_api_issuer https://uaa.test/oauth/token;';

config_says('both ways', qr/exclude each other/, pcap => "$keys $issuer");
config_says('keys without an issuer', qr/needs "pcap_api_issuer"/,
    check => $keys);
config_says('keys', undef, check => $keys, pcap => $issuer);
config_says('keys of a name', qr/internal location/,
    check => 'pcap_api_token_keys https://uaa.test/token_keys;',
    pcap => $issuer);
config_says('keys twice', qr/duplicate/, check => "$keys $keys",
    pcap => $issuer);
config_says('introspection, keys for the others', undef,
    http => "$keys $issuer");
config_says('keys, introspection for the others', undef, check => $keys,
    pcap => $issuer, http => 'pcap_api_introspection /_pcap_introspect;');
config_says("valid $_", qr/allowed is 1s to 1d/, check => $keys,
    pcap => "$issuer pcap_api_token_keys_valid $_;") for qw(0 999ms 25h);
config_says('a client token with keys',
    qr/pcap_api_client_token.*pcap_api_introspection/s, check => $keys,
    pcap => "$issuer pcap_api_client_token /_x;");
config_says('a client token that is no URI', qr/pcap_api_client_token.*URI/s,
    pcap => 'pcap_api_client_token x;');
# what is kept
config_says("retention $_", qr/allowed is 1s to 30d/,
    pcap => "pcap_api_store_retention $_;") for qw(0 999ms 31d off);
config_says("unattended $_", qr/allowed is 1s to 1d/,
    pcap => "pcap_api_store_unattended $_;") for qw(0 999ms 25h);
config_says('retention above its maximum', qr/is more than/,
    pcap => 'pcap_api_store_retention 2d; pcap_api_store_max_retention 1d;');
config_says('a store without files', qr/needs files=URI/,
    pcap => 'pcap_api_store /_x user=root;');
config_says("twice $_", qr/duplicate parameter "$_"/,
    pcap => "pcap_api_store /_x $_ objects=/_y/ $_;")
    for qw(user=root download=proxy files=/_f/ folder=/f);
config_says('two stores', qr/duplicate/, pcap => 'pcap_api_store /_x'
    . ' files=/_f/; pcap_api_store /_x files=/_f/;');
config_says('valid soon', qr/pcap_api_token_keys_valid/, check => $keys,
    pcap => "$issuer pcap_api_token_keys_valid soon;");
config_says('valid 1d', undef, check => $keys,
    pcap => "$issuer pcap_api_token_keys_valid 1d;");

finish();
