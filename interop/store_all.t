#!/usr/bin/perl
#
# interop/store_all.t: captures to storage from end to end: pcap-cli, nginx with
# the module, pcap-store, and MinIO over TLS or versitygw without; downloads
# pass through nginx, and then are sent to S3. Only agents are stood in for.
#
# The servers are built by Go; without it, or where the modules cannot be had,
# their points are skipped and shown.

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
        $ENV{STORE_S3_WHY} = join "\n", map { $go ? $_->{why} || ''
            : 'no go command here' } servers();
    }
}

use Digest::SHA qw(sha256_hex);
use PcapTest::Cli;
use PcapTest::Lab qw(:DEFAULT !curl);
use PcapTest::StoreLab;


# The location that examples/pcap-api-store.conf has for S3.
sub objects
{
    my ($s) = @_;

    return 'location /_pcap_objects/ { internal; proxy_http_version 1.1;'
        . " proxy_pass $s->{url}/; proxy_buffering off;"
        . ' proxy_pass_request_headers off; proxy_pass_request_body off;'
        . ' proxy_intercept_errors on;'
        . " proxy_set_header Host localhost:$s->{port};"
        . ' proxy_set_header Range $http_range;'
        . ' proxy_set_header If-Range $http_if_range;'
        . ($s->{ca} ? ' proxy_ssl_verify on; proxy_ssl_server_name on;'
        . ' proxy_ssl_name localhost; proxy_ssl_trusted_certificate '
        . work_dir() . '/s3.crt;' : '') . ' }';
}


my ($lab, $store, $s, $ca);

# Of pcap-cli, that trusts nginx and the server.
sub run
{
    return cli({ url => 'https://localhost:8443', certs => $lab->{certs} },
        [@_], env => { PCAP_TOKEN => 'good', PCAP_CA => $ca });
}


# A capture of $n packets, once it is in S3: id and document.
sub taken
{
    my ($n, $name) = @_;

    my $r = run('static', 'demo', '--store', '--max-packets', $n, '-q');
    my ($id) = $r->{stdout} =~ /^([0-9a-f]{32})$/m;

    is($r->{code}, 0, "$s->{name}, $name: --store") or diag($r->{stderr});

    my $doc = wait_stored($lab->{nginx}, $id, token => 'good');

    ok(wait_for(30, sub { $store->files() !~ /\Q$id\E/ }),
        "$s->{name}, $name: its file has left the folder");

    return ($id, $doc);
}


# pcap-cli fetches it; what came.
sub fetched
{
    my ($id, $doc, $name) = @_;

    my $r = run('get', $id, '-v');

    is($r->{code}, 0, "$s->{name}, $name: get") or diag($r->{stderr});

    my $file = slurp("$r->{dir}/$id.pcapng");

    is(length $file, $doc->{stored}{bytes}, "$s->{name}, $name: its size");
    is(sha256_hex($file), $doc->{stored}{sha256},
        "$s->{name}, $name: its digest");

    return ($file, $r->{stderr});
}


sub test_proxy
{
    my ($id, $doc) = taken(200, 'proxy');
    my ($file) = fetched($id, $doc, 'proxy');
    my $nginx = $lab->{nginx};
    my $c = download($nginx, $id, token => 'good', headers =>
        [ [ Range => 'bytes=100-' ] ]);

    is($c->{status}, 206, "$s->{name}, proxy: a range");
    ok($c->{body} eq substr($file, 100), "$s->{name}, proxy: to the byte");

    my $half = work_dir() . "/half-$s->{name}";

    spew($half, substr $file, 0, 500);
    is(system('curl', '-sSf', '--cacert', $nginx->{certs}->file('ca.crt'),
        '-C', '-', '-H', 'Authorization: bearer good', '-o', $half,
        "https://localhost:8443/v1/captures/$id/file"), 0,
        "$s->{name}, proxy: curl -C -");
    ok(slurp($half) eq $file, "$s->{name}, proxy: and has all of it");
    is(run('rm', $id)->{code}, 0, "$s->{name}, proxy: rm");
    is(download($nginx, $id, token => 'good')->{status}, 410,
        "$s->{name}, proxy: gone");
    ok(wait_for(10, sub { signed($s, '-o', '/dev/null', '-w', '%{http_code}',
        "$s->{url}/captures/pcap/$id.pcapng") eq '404' }),
        "$s->{name}, proxy: from the bucket, too");
}


sub test_redirect
{
    my $nginx = $lab->{nginx};

    $nginx->{store_args} = 'objects=/_pcap_objects/ download=redirect';
    ok($nginx->reload(), 'redirect');

    my ($id, $doc) = taken(50, 'redirect');
    my $c = download($nginx, $id, token => 'good');
    my $url = $c->header('location') // '';

    is($c->{status}, 302, "$s->{name}: redirected");
    like($url, qr{^\Q$s->{url}\E/captures/pcap/$id\.pcapng\?.*Signature=},
        "$s->{name}: to the server");

    my $got = work_dir() . "/got-$s->{name}";

    is(S3Servers::curl($s, '-o', $got, '-w', '%{http_code}', $url), 200,
        "$s->{name}: plain curl needs no token there");
    is(sha256_hex(slurp($got)), $doc->{stored}{sha256},
        "$s->{name}: and has all of it");
    $url =~ s/\d(?=&X-Amz-SignedHeaders)/0/ || $url =~ s/.$//;
    is(S3Servers::curl($s, '-o', '/dev/null', '-w', '%{http_code}',
        "${url}0"), 403, "$s->{name}: a tampered URL is refused");

    if ($s->{ca}) {
        my (undef, $said) = fetched($id, $doc, 'redirect');

        like($said, qr/302/, "$s->{name}: pcap-cli was redirected");

    } else {
        isnt(run('get', $id)->{code}, 0,
            "$s->{name}: pcap-cli goes nowhere without TLS");
    }
}


sub run_server
{
    ($s) = @_;

    my $dir = work_dir() . "/$s->{name}";
    my $api = work_dir() . "/$s->{name}.sock";

    mkdir $dir;
    prepare($s, $dir);
    ok(begin($s), "$s->{name} runs") or return diag(slurp("$s->{dir}/log"));
    signed($s, '-X', 'PUT', "$s->{url}/captures");

    if ($s->{ca}) {
        spew(work_dir() . '/s3.crt', slurp($s->{ca}));
        chmod 0644, work_dir() . '/s3.crt';
    }

    $store = store_for(api => $api, conf => { s3 => { endpoint => $s->{url},
        bucket => 'captures', region => $s->{region}, access_key => 'pcap',
        secret_key => 'secret-secret', retry => '2s', stall => '10s',
        $s->{ca} ? (ca_file => work_dir() . '/s3.crt')
            : (allow_http => JSON::PP::true) } });
    $lab->{nginx}{store} = $store;
    $lab->{nginx}{store_args} = 'objects=/_pcap_objects/';
    $lab->{nginx}{server} = objects($s);
    $lab->{nginx}{pid} ? ok($lab->{nginx}->reload(), 'reloaded')
        : $lab->{nginx}->start();
    $ca = work_dir() . '/both.crt';
    spew($ca, slurp($lab->{certs}->file('ca.crt')) . ($s->{ca}
        ? slurp($s->{ca}) : ''));

    test_proxy();
    test_redirect();
    end($s);
}


my @why = split /\n/, $ENV{STORE_S3_WHY}, -1;
my @servers = servers();

at_end(sub { end_all() });
$lab = lab(fakes => 2, no_start => 1, script => sub {
    $_[0]->usual(20, size => 1000) });

for my $i (0 .. $#servers) {
    SKIP: {
        skip($why[$i], 1) if $why[$i];
        eval { run_server($servers[$i]); 1 } or fail($@);
    }
}

finish();
