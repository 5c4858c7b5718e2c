#!/usr/bin/perl
#
# interop/bosh_templates.t: the jobs' templates, rendered as the Director does,
# with and without each optional property: nginx of the compiled package takes
# each nginx.conf, the agent each configuration. Needs the packages, see
# bosh_build.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../nginx-tests/lib";

use JSON::PP;
use PcapTest;
use Test::More;

use Bosh;
use BoshJobs;

need_packages();

my ($nginx, $agent) = ("$V/packages/pcap-nginx/sbin/nginx",
                       "$V/packages/pcap-agent/bin/pcap-agent");


sub nginx_takes
{
    my ($name, $properties, %o) = @_;

    my ($text, $status) = job('pcap-api', $properties, %o);
    return ok(0, "$name: renders") || diag($text) if $status;

    ($text, $status) = script('pcap-api', 'pre-start');
    ($text, $status) = run_words('setpriv', '--reuid', 'vcap', '--regid',
        'vcap', '--clear-groups', $nginx, '-t', '-c',
        "$V/jobs/pcap-api/config/nginx.conf") if $status == 0;
    my $conf = slurp("$V/jobs/pcap-api/config/nginx.conf");

    ok($status == 0 && $text !~ /\[(?:warn|emerg|alert|crit)\]/
       && (!$o{like} || $conf =~ $o{like})
       && (!$o{unlike} || $conf !~ $o{unlike}), "nginx -t: $name")
        or diag($text);
}


sub refused
{
    my ($name, $properties, $words) = @_;

    my ($text, $status) = job('pcap-api', $properties);
    ok($status != 0 && $text =~ $words, "refused: $name") or diag($text);
}


# Nodes of one API: this one is the first of three.
sub peer_templates
{
    my ($base, $with) = @_;
    my $peers = { peers => { tls => { certificate => pem('api.crt'),
        private_key => pem('api.key'), ca => pem('ca.crt') } } };
    my $link = sub { { 'pcap-api' => { properties => { peers => {
        port => 8445 } }, instances => [ { id => $ID, index => 0,
        address => '10.0.0.1' }, @_ ] } } };
    my @others = ({ id => 'b', index => 1, address => '10.0.0.2' },
                  { id => 'c', index => 7, address => '2001:db8::7' });

    $with->('nodes', $peers, links => $link->(@others), like => qr{
        pcap_api_node\ 0;.*pcap_api_peers\ /_pcap_peer;
        .*pcap_api_peer\ 1\ 10\.0\.0\.2:8445\ tls_name=pcap-api-peer;
        .*pcap_api_peer\ 7\ \[2001:db8::7\]:8445\ .*
        ssl_verify_client.*pcap_api_forwarded\ on}xs);
    $with->('one node', $peers, links => $link->(),
        unlike => qr/pcap_api_peer|_forwarded/);
    $with->('nodes without certificates', {}, links => $link->(@others),
        like => qr/pcap_api_node 0;/, unlike => qr/pcap_api_peer|_forwarded/);
    $with->('a number of its own', { node => 300 },
        like => qr/pcap_api_node 300;/);

    my $all = merge_into($base, $peers);
    for my $case ([ 'a node by name', { id => 'b', index => 1,
            address => 'b.pcap.bosh' }, qr/ip_addresses: true/ ],
        [ 'two nodes with one index', { id => 'b', index => 0,
            address => '10.0.0.2' }, qr/two nodes have one index/ ])
    {
        my ($text, $status) = job('pcap-api', $all,
            links => $link->($case->[1]));
        ok($status != 0 && $text =~ $case->[2], "refused: $case->[0]")
            or diag($text);
    }
}


sub api_templates
{
    my $base = api_properties();
    my $with = sub {
        my ($name, $change, %o) = @_;
        nginx_takes($name, merge_into($base, $change), %o);
    };

    nginx_takes('static groups and introspection', $base,
        like => qr/Basic cGNhcDpwY2FwLXNlY3JldA==/,
        unlike => qr/pcap_api_bosh/);
    $with->('clients need a certificate', { listen => { tls => {
        client_cas => pem('ca.crt') } } }, like => qr/ssl_verify_client/);
    $with->('IPv6', { listen => { address => '[::]' } },
        like => qr/listen \[::\]:8443 ssl/);
    $with->('another port for health', { health => { port => 9000 } },
        like => qr/listen 127\.0\.0\.1:9000/);

    # pre-start binds as vcap; unprivileged ports begin at 0 in some containers
    run_words('sh', '-c',
        'echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start');
    my ($text, $status) = job('pcap-api', merge_into($base,
        { listen => { port => 443 } }));
    ($text, $status) = script('pcap-api', 'pre-start') if $status == 0;
    is($status, 0, 'pre-start: port 443') or diag($text);

    $with->('logs and workers', { log_level => 'info', worker_processes => 2,
        worker_connections => 512 }, like => qr/worker_processes 2;/);
    $with->('drain.timeout', { drain => { timeout => 7 } }, like => qr/
        worker_shutdown_timeout\ 17s;.*pcap_api_drain_timeout\ 7s;/xs);
    $with->('audit', { audit => { key => 'k' x 32 } },
        like => qr{pcap_api_audit /var/vcap/sys/log/pcap-api/audit\.jsonl key});
    ok(-s "$V/data/pcap-api/audit.state.key", 'audit: the key is known');
    $with->('audit: another key', { audit => { key => 'K' x 40,
        failure => 'continue' } }, like => qr/failure=continue;/);
    $with->('audit: syslog', { audit => { key => 'k' x 32,
        target => 'syslog:server=127.0.0.1:514,tag=pcap' } },
        like => qr/pcap_api_audit syslog:server=127\.0\.0\.1:514,tag=pcap key/);
    refused("audit: $_", merge_into($base, { audit => { key => 'k' x 32,
        target => $_ } }), qr/audit\.target/) for
        '/var/vcap/sys/log/pcap-api/audit.log', '/etc/audit',
        'syslog:server=a;b';
    $with->('metrics', { metrics => { port => 9100 } },
        like => qr/listen 127\.0\.0\.1:9100;.*pcap_api_metrics on;/s);
    $with->('no metrics by default', {}, unlike => qr/pcap_api_metrics/);
    $with->('routers', { trusted_routers => ['10.0.0.0/8', '2001:db8::/32'] },
        like => qr{trusted_routers 10\.0\.0\.0/8 2001:db8::/32;});
    $with->('no download', { cli => { enabled => JSON::PP::false } },
        unlike => qr{location /cli/});
    $with->('scopes', { admin_scope => 'ops.admin',
        static => { scope => ['a.b', 'c.d'] } }, like => qr/scope a\.b c\.d;/);
    $with->('no scope', { static => { scope => [] } },
        like => qr/static_scope off;/);
    $with->('an audience', { uaa => { audience => 'pcap' } },
        like => qr/pcap_api_audience pcap;/);
    $with->('an issuer by default', { uaa => { issuer => undef } },
        like => qr{pcap_api_issuer https://127\.0\.0\.1:8444/oauth/token;});
    peer_templates($base, $with);

    my %limits = (zone_size => '16m', token_cache => '5s',
        introspection_rate => '100 burst=200', introspection_inflight => 8,
        max_targets => 10, start_parallel => 4, start_timeout => '3s',
        heartbeat => '50ms', heartbeat_timeout => '2s',
        reorder_window => '500ms', client_stall => '30s', stop_timeout => '1s',
        max_clock_skew => 0, reauth => '1m', reauth_max_age => '2h',
        max_captures => 50, max_captures_per_user => 'off',
        request_rate => '100 burst=300', failed_token_cost => 20,
        user_rate => '5 burst=6', max_duration => '1h', max_bytes => '1g',
        max_packets => 1000000, max_snaplen => '256 bosh',
        bandwidth => '10m', worker_bandwidth => '50m', worker_cpu => '70%',
        idle_timeout => '5m', require_reason => 'bosh cf',
        bosh_exclude => 'off secret/* */vault');
    $with->("limits.$_", { limits => { $_ => $limits{$_} } },
        like => qr/\Q$limits{$_}\E;/) for sort keys %limits;

    # off and on without quotes
    $with->("limits.$_: off", { limits => { $_ => JSON::PP::false } },
        like => qr/pcap_api_$_ off;/) for qw(max_captures
        max_captures_per_user request_rate user_rate max_duration max_bytes
        max_packets max_snaplen bandwidth worker_bandwidth worker_cpu
        idle_timeout require_reason bosh_exclude);
    $with->('limits.require_reason: on', { limits => { require_reason =>
        JSON::PP::true } }, like => qr/pcap_api_require_reason on;/);

    my $bosh = { bosh => { director_url => 'https://127.0.0.1:25555',
        tls => { ca => pem('ca.crt') },
        agent_ranges => ['10.0.0.0/16', '10.1.0.0/16'] } };
    my $director = merge_into($base, $bosh);

    nginx_takes('a Director', $director, like => qr{pcap_api_bosh\ /_pcap
        _director\ tls_name=pcap-agent\ port=9494;.*agent_ranges\ 10\.0\.0\.0/16
        \ 10\.1\.0\.0/16\ 127\.0\.0\.1/32;.*bosh_scope\ off;}xs);
    nginx_takes('a Director and no static group', merge_into($director,
        { static => undef }), unlike => qr/pcap_api_static/);
    nginx_takes('a Director: scope, port, name', merge_into($director, { bosh =>
        { token_scope => 'pcap.capture', agent_port => 9500,
          tls => { common_name => 'director.test' } } }),
        like => qr/port=9500;.*scope pcap\.capture;.*name +director\.test;/s);
    nginx_takes('a Director: per-instance names', merge_into($director,
        { agents_mtls => { common_name => '*.pcap-agent' } }),
        like => qr/tls_name=\*\.pcap-agent/);
    nginx_takes('two Directors', merge_into($director, { bosh => {
        environments => [ { name => 'staging', director_url =>
        'https://127.0.0.2:25555', tls => { ca => pem('wrong-ca.crt') },
        agent_ranges => ['10.2.0.0/16'], uaa => { url =>
        'https://127.0.0.2:8443', client_secret => 's' } } ] } }),
        like => qr{location /staging/v1/ .*_director_staging tls_name}s);
    is_deeply({ map { $_ => slurp("$V/data/pcap-api/authorities/$_.crt") }
        qw(uaa director uaa_staging director_staging) }, {
        uaa => pem('ca.crt'), director => pem('ca.crt'),
        uaa_staging => pem('wrong-ca.crt'),
        director_staging => pem('wrong-ca.crt') },
        'pre-start: a file of CAs for each server');
    nginx_takes('an address is not looked up', $director,
        unlike => qr/resolver/);
    nginx_takes('names', merge_into($director, {
        bosh => { director_url => 'https://director.pcap.test:25555' },
        uaa => { url => 'https://uaa.pcap.test' } }), like => qr{
        resolver\ +169\.254\.0\.2;.*set\ \$pcap_uaa_server
        \ uaa\.pcap\.test:443;.*set\ \$pcap_director_server}xs);
    nginx_takes('other name servers', merge_into($director, {
        uaa => { url => 'https://uaa.pcap.test' },
        resolver => ['10.0.0.2', '[2001:db8::1]:53'] }),
        like => qr/resolver +10\.0\.0\.2 \[2001:db8::1\]:53;/);
    nginx_takes('token keys', merge_into($base, { uaa => {
        client_secret => undef } }), like => qr/pcap_api_token_keys/,
        unlike => qr/introspection/);
    nginx_takes('limits.token_keys_valid', merge_into($base, { uaa => {
        client_secret => undef }, limits => { token_keys_valid => '5m' } }),
        like => qr/keys_valid 5m;/);
    nginx_takes('token keys and a Director', merge_into($director, { uaa => {
        client_secret => undef } }), like => qr/pcap_api_token_keys/);

    my $apps = merge_into($base, { cf => { api_url => 'https://127.0.0.1:9022',
        tls => { ca => pem('ca.crt') }, agent_ranges => ['10.0.4.0/24'] } });

    nginx_takes('a Cloud Foundry', $apps, like => qr{pcap_api_cf\ /_pcap_cc
        \ tls_name=pcap-agent\ port=9494;.*cf_scope\ off;.*cf_opt_in\ ssh;
        .*agent_ranges\ 10\.0\.4\.0/24\ 127\.0\.0\.1/32;}xs,
        unlike => qr/pcap_api_bosh|cf_exclude/);
    nginx_takes('a Cloud Foundry: all of it', merge_into($apps, { cf => {
        agent_port => 9500, token_scope => ['pcap.capture'], opt_in =>
        'annotation example.com/pcap', excluded_apps => ['a-1', 'a-2'],
        tls => { common_name => 'api.test' } } }), like => qr{port=9500;
        .*cf_scope\ pcap\.capture;.*cf_opt_in\ annotation\ example\.com/pcap;
        .*cf_exclude\ a-1\ a-2;.*proxy_ssl_name\ api\.test;}xs);
    nginx_takes('a Director, and a Cloud Foundry by name', merge_into($director,
        { bosh => { environments => [ { name => 'apps', cf => { api_url =>
        'https://127.0.0.2:9022', agent_ranges => ['10.0.5.0/24'] },
        uaa => { url => 'https://127.0.0.2:8443', ca => pem('wrong-ca.crt'),
        client_secret => 's' } } ] } }),
        like => qr{location /apps/v1/ .*pcap_api_cf /_pcap_cc_apps }s);
    nginx_takes('cf.opt_in: off', merge_into($apps, { cf => { opt_in =>
        JSON::PP::false } }), like => qr/cf_opt_in off;/);
    refused('a Cloud Foundry without ranges', merge_into($apps, { cf => {
        agent_ranges => [] } }), qr/cf\.agent_ranges is needed/);
    refused('an opt_in that ends its directive', merge_into($apps, { cf => {
        opt_in => 'off; x' } }), qr/not allowed here/);

    refused('skip_verify', merge_into($base, { agents_mtls => {
        skip_verify => JSON::PP::true } }), qr/always verified/);
    refused('no mutual TLS', merge_into($base, { agents_mtls => {
        enabled => JSON::PP::false } }), qr/always verified/);
    refused('an empty client_secret', merge_into($base, { uaa => {
        client_secret => '' } }), qr/client_secret is empty/);
    refused('a Director without ranges', merge_into($director, { bosh => {
        agent_ranges => [] } }), qr/agent_ranges is needed/);
    refused('a name and no name server', merge_into($director, {
        uaa => { url => 'https://uaa.pcap.test' }, resolver => [] }),
        qr/resolver is needed for uaa\.pcap\.test/);
    refused('no CA', merge_into($base, { uaa => { ca => undef } }),
        qr/the uaa's CA is missing/);
    refused('a Director over HTTP', merge_into($director, { bosh => {
        director_url => 'http://127.0.0.1:25555' } }), qr/not like https/);
    refused('a property that ends its directive', merge_into($base, {
        admin_scope => 'x; pcap_api off' }), qr/not allowed here/);
    refused('two environments of one name', merge_into($director, { bosh => {
        environments => [ map { { name => 'a', director_url =>
        'https://127.0.0.2:1', agent_ranges => ['10.0.0.0/8'],
        uaa => { url => 'https://127.0.0.2:2', ca => 'x' } } } 1 .. 2 ] } }),
        qr/there twice/);
    refused('no certificate', merge_into($base, { listen => { tls => {
        certificate => undef } } }), qr/listen\.tls\.certificate/);
    refused('a property that the spec does not know', merge_into($base, {
        concurrent_captures => 5 }), qr/no such property/);
}


# Every file of the job, by name.
sub rendered
{
    my ($properties) = @_;

    my ($text, $status) = job('pcap-api', $properties);
    die $text if $status;
    my ($names) = run_words('find', "$V/jobs/pcap-api", '-type', 'f');

    return { map { $_ => slurp($_) } split /\n/, $names };
}


# The configuration of pcap-store, which the compiled one has taken.
sub store_takes
{
    my ($name, $properties, $expected) = @_;

    my ($text, $status) = job('pcap-api', $properties);
    return ok(0, "$name: renders") || diag($text) if $status;

    my $conf = "$V/jobs/pcap-api/config/pcap-store.json";
    ($text, $status) = script('pcap-api', 'pre-start');
    ($text, $status) = run_words('setpriv', '--reuid', 'vcap', '--regid',
        'vcap', '--clear-groups', "$V/packages/pcap-store/bin/pcap-store",
        '--config', $conf, '--check') if $status == 0;
    is($status, 0, "pcap-store --check: $name") or diag($text);
    my $got = yaml_of($conf);
    is_deeply({ map { $_ => $got->{$_} } keys %$expected }, $expected,
        "pcap-store.json: $name") or diag(slurp($conf));
}


# Both processes; what each sees of the disk.
sub store_processes
{
    my ($local) = @_;

    job('pcap-api', $local);
    my ($nginx, $store) = map { bpm_process('pcap-api', $_) }
        qw(pcap-api pcap-store);
    is($nginx->{hooks}{pre_start}, "$V/jobs/pcap-api/bin/free-socket",
        'bpm.yml: nginx starts behind free-socket');
    is_deeply($nginx->{additional_volumes},
        [ { path => "$V/store/pcap-api/captures" } ],
        'bpm.yml: nginx reads the files, and cannot write to them');
    ok(!$nginx->{persistent_disk} && $store->{persistent_disk}
        && $store->{ephemeral_disk} && !$store->{capabilities},
        'bpm.yml: pcap-store has the disk, and no capability');
    like(slurp("$V/jobs/pcap-api/monit"), qr{check\ process\ pcap-store\n
        \s+with\ pidfile\ /var/vcap/sys/run/bpm/pcap-api/pcap-store\.pid\n
        .*bpm\ start\ pcap-api\ -p\ pcap-store.*depends\ on\ pcap-api\n}xs,
        'monit: pcap-store');
    unlike(slurp("$V/jobs/pcap-api/monit"), qr/depends on pcap-store/,
        'monit: the API does not need it');
}


sub store_templates
{
    my $base = api_properties();
    my %yes = (enabled => JSON::PP::true);
    my $local = merge_into($base, { store => { %yes } });
    my $dir = 'unix:/var/vcap/data/pcap-api';
    my $locations = qr{location = /_pcap_store .*location /_pcap_files/ }s;

    # not enabled: as if there were none, whatever else is set
    my $without = rendered($base);
    is_deeply(rendered(merge_into($base, { store => { enabled =>
        JSON::PP::false, max_bytes => '1g', s3 => { endpoint => 'x' } } })),
        $without, 'the store is not enabled: nothing differs');
    my @named = grep { $without->{$_} =~ /pcap.store/
        && !m{/(?:free-socket|drain)$} } sort keys %$without;
    is("@named", '', 'the store is not enabled: no file speaks of it');
    is($without->{"$V/jobs/pcap-api/config/pcap-store.json"}, "{\n}\n",
        'the store is not enabled: it has no configuration');

    nginx_takes('the store', $local, like => qr{
        listen\ \Q$dir\E/api\.sock;.*pcap_api_store\ /_pcap_store
        \ files=/_pcap_files/\ folder=/var/vcap/store/pcap-api/captures
        \ download=proxy;.*scgi_pass\ +\Q$dir\E
        /store\.sock;.*alias\ /var/vcap/store/pcap-api/captures/;}xs,
        unlike => qr/_pcap_objects|pcap_api_store_/);
    my $conf = slurp("$V/jobs/pcap-api/config/nginx.conf");
    my ($health) = $conf =~ /(server \{\s+listen 127\.0\.0\.1:8081.*)/s;
    unlike($health, qr/store/, 'the store: the health port has none of it');
    is(() = $conf =~ /listen unix:/g, 1, 'the store: one unix socket');
    store_processes($local);

    nginx_takes("store.$_->[0]", merge_into($local, { store => {
        $_->[0] => $_->[1] } }), like => qr/pcap_api_store_$_->[0] $_->[1];/)
        for [ 'retention', '12h' ], [ 'max_retention', '14d' ],
        [ 'unattended', '2h' ], [ 'reader_scope', 'pcap.read' ];
    my ($text, $status) = job('pcap-api', merge_into($local, { store => {
        retention => '10d' } }));
    ($text, $status) = script('pcap-api', 'pre-start');
    ok($status && $text =~ /retention.*is more than.*max_retention/,
        'pre-start refuses a retention above its maximum') or diag($text);
    nginx_takes('the store: of two environments', merge_into($local, {
        bosh => { environments => [ { name => 'two', director_url =>
        'https://127.0.0.2:25555', agent_ranges => ['10.0.0.0/8'], uaa => {
        url => 'https://127.0.0.2:8443', ca => pem('ca.crt') } } ] } }),
        like => qr{location\ /v1/\ \{[^\}]*pcap_api_store\ .*
        location\ /two/v1/\ \{[^\}]*pcap_api_store\ }xs);
    # as colocate-api-with-director.yml has it
    nginx_takes('the store: on a Director', merge_into($local, {
        listen => { port => 9495 }, health => { port => 9496 } }),
        like => qr/listen 0\.0\.0\.0:9495 ssl;.*listen unix:/s);

    # as scale-out.yml has it: what other nodes have is asked for there
    nginx_takes('the store: nodes', merge_into($local, { peers => { tls => {
        certificate => pem('api.crt'), private_key => pem('api.key'),
        ca => pem('ca.crt') } } }), links => { 'pcap-api' => {
        properties => { peers => { port => 8445 } }, instances => [
        { id => $ID, index => 0, address => '10.0.0.1' },
        { id => 'b', index => 1, address => '10.0.0.2' } ] } }, like => qr{
        location\ =\ /_pcap_peer\ \{[^\}]*Range\ \$http_range;\s+
        proxy_set_header\ +If-Range\ \$http_if_range;\s+
        proxy_hide_header\ +Set-Cookie;.*
        listen\ 0\.0\.0\.0:8445\ ssl;.*pcap_api_forwarded\ on;[^\}]*
        pcap_api_store\ /_pcap_store\ .*$locations}xs);

    my %values = (max_bytes => '1g', max_bytes_per_user => '100m',
        max_captures => 7, max_captures_per_user => 3, keep_records => '10d');
    store_takes("store.$_", merge_into($local, { store => {
        $_ => $values{$_} } }), { $_ => $values{$_} }) for sort keys %values;
    store_takes('defaults', $local, { max_bytes => '20g', compress => undef,
        zstd_level => undef, s3 => undef, log_level => 'info',
        listen => "$V/data/pcap-api/store.sock", api =>
        "$V/data/pcap-api/api.sock", folder => "$V/store/pcap-api/captures" });
    store_takes('log_level', merge_into($local, { log_level => 'warn' }),
        { log_level => 'warn' });
    store_takes('zstd', merge_into($local, { store => { compress => 'zstd',
        zstd_level => 5 } }), { compress => 'zstd', zstd_level => 5 });

    refused("store.$_->[0]", merge_into($local, { store => {
        $_->[0] => $_->[1] } }), qr/store\.$_->[0]: .* is not $_->[2]/)
        for [ 'max_bytes', '20 GB', 'a size such as 20g' ],
        [ 'keep_records', 'long', 'a time such as' ],
        [ 'max_captures', 'many', 'a number' ],
        [ 'compress', 'gzip', 'none or zstd' ],
        [ 'download', 'direct', 'proxy or redirect' ];
    refused('store.reader_scope', merge_into($local, { store => {
        reader_scope => 'x; y' } }), qr/store\.reader_scope.*not allowed here/);
    s3_templates($local);
}


sub s3_templates
{
    my ($local) = @_;

    my $s3 = merge_into($local, { store => { s3 => { endpoint =>
        'https://s3.pcap.test', region => 'eu', bucket => 'captures',
        access_key => 'AK', secret_key => 'very"secret' } } });
    my $with = sub { return merge_into($s3, { store => $_[0] }) };

    nginx_takes('S3', $s3, like => qr{resolver\ .*objects=/_pcap_objects/
        \ download=proxy;.*location\ /_pcap_objects/\ \{\s+internal;\s+
        set\ \$pcap_s3_server\ s3\.pcap\.test:443;.*
        Host\ s3\.pcap\.test;.*
        proxy_hide_header\ +Set-Cookie;.*trusted_certificate
        \ /etc/ssl/certs/ca-certificates\.crt;.*name\ +s3\.pcap\.test;}xs);
    nginx_takes('S3: buckets as hosts, a port, a CA', $with->({ s3 => {
        style => 'virtual', endpoint => 'https://s3.pcap.test:9000',
        ca => pem('ca.crt') } }), like => qr{set\ \$pcap_s3_server
        \ captures\.s3\.pcap\.test:9000;.*Host\ captures\.s3\.pcap\.test:9000;
        .*trusted_certificate\ \S+/config/s3_ca\.crt;
        .*name\ +captures\.s3\.pcap\.test;}xs);
    store_takes('S3', $with->({ s3 => { prefix => 'a/', style => 'virtual',
        session_token => 'st', lifecycle_days => 0, stall => '10s',
        retry => '5m', ca => pem('ca.crt') } }), { s3 => {
        endpoint => 'https://s3.pcap.test', region => 'eu',
        bucket => 'captures', access_key => 'AK', secret_key => 'very"secret',
        prefix => 'a/', style => 'virtual', session_token => 'st',
        lifecycle_days => 0, stall => '10s', retry => '5m',
        ca_file => "$V/jobs/pcap-api/config/s3_ca.crt" } });
    is(slurp("$V/jobs/pcap-api/config/s3_ca.crt"), pem('ca.crt') . "\n",
        'S3: its CA');
    my $files = rendered($with->({ s3 => { session_token => 'st-st' } }));
    is(join(' ', map { s{.*/}{}r } grep { $files->{$_} =~ /secret|st-st/
        && $files->{$_} !~ /client_secret/ } grep { !/nginx\.conf$/ }
        sort keys %$files), 'pcap-store.json', 'S3: one file has its secrets');
    my $open = sprintf '%o', (stat "$V/jobs/pcap-api/config/pcap-store.json")
        [2] & 0777;
    is($open, 640, 'S3: it is for root and vcap');
    nginx_takes('S3: redirected', $with->({ download => 'redirect', s3 => {
        endpoint => 'https://10.0.0.9', public_endpoint =>
        'https://s3.example.com' } }), like => qr/ download=redirect;/,
        unlike => qr/_pcap_objects|resolver/);

    refused('S3: a half', merge_into($local, { store => { s3 => {
        bucket => 'captures' } } }), qr/store\.s3\.endpoint,\ store\.s3\.region,
        \ store\.s3\.access_key,\ store\.s3\.secret_key:\ needed/x);
    refused('S3: no TLS', $with->({ download => 'redirect', s3 => {
        endpoint => 'http://s3.pcap.test' } }),
        qr{store\.s3\.endpoint: this is not like https://host:port});
    refused('S3: an address behind nginx', $with->({ s3 => {
        endpoint => 'https://10.0.0.9' } }), qr/nginx verifies names alone/);
    refused('S3: no name server', merge_into($s3, { resolver => [] }),
        qr/resolver is needed for s3\.pcap\.test/);
    refused('S3: two endpoints behind nginx', $with->({ s3 => {
        public_endpoint => 'https://s3.example.com' } }),
        qr/public_endpoint: only with store\.download: redirect/);
    refused('redirected to nowhere', merge_into($local, { store => {
        download => 'redirect' } }), qr/redirect is for files in S3/);
    refused('S3: a bucket', $with->({ s3 => { bucket => 'A b' } }),
        qr/store\.s3\.bucket: this is not 3 to 63/);
    refused('S3: a style', $with->({ s3 => { style => 'dns' } }),
        qr/store\.s3\.style: this is not path or virtual/);
    refused('S3: a secret of two lines', $with->({ s3 => {
        secret_key => "a\nb" } }), qr/secret_key: this is not a text/);
}


sub agent_takes
{
    my ($name, $change, $like) = @_;

    my ($text, $status) = job('pcap-agent',
        merge_into(agent_properties(), $change));
    return ok(0, "$name: renders") || diag($text) if $status;

    my $conf = slurp("$V/jobs/pcap-agent/config/agent.json");
    ($text, $status) = run_words($agent, '--config',
        "$V/jobs/pcap-agent/config/agent.json", '--check');
    ok($status == 0 && (!$like || $conf =~ $like), "agent --check: $name")
        or diag($text, $conf);
}


sub agent_templates
{
    my $no = JSON::PP::false;

    agent_takes('defaults', {}, qr/"0\.0\.0\.0:9494"(?!.*"user")/s);
    agent_takes('without bpm', { bpm => { enabled => $no } },
        qr/"user": "vcap"/);
    like(slurp("$V/jobs/pcap-agent/monit"), qr{bin/ctl start.*bin/ctl stop}s,
        'monit: bin/ctl');
    agent_takes('address and port', { listen => { address => '127.0.0.1',
        port => 9500 } }, qr/127\.0\.0\.1:9500/);
    agent_takes('IPv6', { listen => { address => '[::]' } }, qr/\[::\]:9494/);
    agent_takes('names', { allowed_names => ['a', 'b'] });
    agent_takes('an interface', { interface_default => 'eth1' }, qr/"eth1"/);
    my %keys = (log_level => 'debug', buffer_bytes => '16m',
        buffer_bytes_total => '256m', max_captures => 4,
        max_unauthenticated => 8, max_unauthenticated_per_address => 2,
        retire_ms => 10, max_bandwidth => '10m', max_bandwidth_total => 0,
        max_cpu_percent => 50, drain_timeout => 30, max_snaplen => 128,
        off_file => '/var/vcap/data/pcap-agent/off',
        exclude_filter => 'port 5353');
    agent_takes($_, { $_ => $keys{$_} }, qr/"$_": "?$keys{$_}"?/)
        for sort keys %keys;
    agent_takes('switched off', { enabled => $no }, qr/"enabled": false/);
    agent_takes('policy', { interfaces => ['eth*', 'any'], metrics_names =>
        ['prometheus'] }, qr/"eth\*".*"prometheus"|"prometheus".*"eth\*"/s);
    like(slurp("$V/jobs/pcap-agent/bin/drain"), qr/^GIVE_UP=25$/m,
        'drain waits as long as the agent takes, and more');
    is(bpm_process('pcap-agent')->{ephemeral_disk}, JSON::PP::true,
        'bpm.yml: off_file can be seen');
    agent_takes('two CAs', { listen => { tls => { client_cas =>
        pem('ca.crt') . pem('wrong-ca.crt') } } });
    agent_takes('containers.mode: off', { containers => { mode => $no } },
        qr/\A(?!.*"container_)/s);
    agent_takes('containers, entered', { bpm => { enabled => $no },
        containers => { mode => 'netns', interface => 'eth1',
        metadata => 'none' } }, qr/"container_metadata": "none"/);
    agent_takes('containers, from outside', { containers => {
        mode => 'veth' } }, qr/"container_mode": "veth"/);
    is_deeply(bpm_process('pcap-agent')->{additional_volumes}, [ { path =>
        '/var/vcap/data/container-metadata', mount_only => JSON::PP::true } ],
        'bpm.yml: sees the metadata of containers');
    my ($text, $status) = job('pcap-agent', merge_into(agent_properties(),
        { containers => { mode => 'netns' } }));
    ok($status != 0 && $text =~ /needs bpm\.enabled: false/,
       'containers are not entered under bpm') or diag($text);
    agent_takes('two CAs again', { listen => { tls => { client_cas =>
        pem('ca.crt') . pem('wrong-ca.crt') } } });
    like(slurp("$V/jobs/pcap-agent/monit"), qr{bpm start pcap-agent},
        'monit: bpm');
    is_deeply(bpm_process('pcap-agent')->{capabilities}, ['NET_RAW'],
        'bpm.yml: NET_RAW alone');

    agent_takes('two broken keys', { listen => { tls => { instances => {
        'other' => { certificate => 'x', private_key => 'y' } } } } });
    ($text, $status) = job('pcap-agent', merge_into(agent_properties(),
        { listen => { tls => { private_key => pem('api.key') } } }));
    ($text, $status) = run_words($agent, '--config',
        "$V/jobs/pcap-agent/config/agent.json", '--check');
    ok($status != 0, 'agent --check refuses a key of another certificate');
}


setup_vcap();
api_templates();
store_templates();
agent_templates();
finish();
