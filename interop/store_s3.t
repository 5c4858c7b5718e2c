#!/usr/bin/perl
#
# interop/store_s3.t: pcap-store with storage that others wrote: MinIO over
# TLS, versitygw without; nginx is stood in for. Captures small and large,
# parts while they run, a server that is away, a store and an upload that are
# killed, a wrong secret, what is deleted. What the buckets hold is asked by
# curl, which signs by itself. nginx-tests/store_s3.t has what these servers
# do not do: lie.
#
# Both are built by Go; without it, or where the modules cannot be had, their
# points are skipped and shown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../nginx-tests/lib";

use S3Servers;

# What needs the network comes first: PcapTest begins again without it.
BEGIN {
    if (!$ENV{PCAPTEST_INSIDE}) {
        $ENV{STORE_S3_GO} = grep({ -x "$_/go" } split /:/, $ENV{PATH})
            ? 'yes' : '';
        fetch() if $ENV{STORE_S3_GO};
        $ENV{STORE_S3_WHY} = join "\n", map { $ENV{STORE_S3_GO}
            ? $_->{why} || '' : 'no go command here' } servers();
    }
}

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Test::More;
use PcapTest;
use PcapTest::Grants;
use PcapTest::Pcapng qw(shb idb parse);
use PcapTest::Store;
use PcapTest::Zstd;

my $head = shb() . idb();
my $ann = 'a' x 64;
my $mib = [ 16, 65536 - 32 ];
my $api = serve_grants(work_dir() . '/api.sock');
my ($s, $store);


sub about
{
    return (about => { user => "ann o'hara", resolver => 'cf',
        target => 'app/1' });
}


sub record
{
    my ($id) = @_;

    return ($store->request('GET', "/captures/$id"))[1];
}


# What the bucket says to a request that curl signs.
sub bucket
{
    my ($path, @args) = @_;

    return signed($s, @args, "$s->{url}/captures$path");
}


sub uploads
{
    return scalar(() = bucket('?uploads=') =~ /<UploadId>/g);
}


sub in_s3
{
    my ($id, $name) = @_;

    my $rec;

    ok(wait_for(60, sub {
        $rec = record($id);
        return $rec && ($rec->{place} // '') eq 's3';
    }), "$s->{name}, $name: it is in S3") or diag(encode_json($rec || {}),
        substr(slurp($store->{log}), -2000));

    return $rec;
}


# A URL of ours and plain curl: what was sent.
sub holds
{
    my ($rec, $sent, $name) = @_;

    my (undef, $answer) = $store->request('GET', "/captures/$rec->{id}/url");
    my $file = work_dir() . '/got';
    my $status = curl($s, '-o', $file, '-w', '%{http_code}', $answer->{url});

    is($status, 200, "$s->{name}, $name: plain curl gets it");
    is(sha256_hex(slurp($file)), sha256_hex($sent),
        "$s->{name}, $name: it is what was sent");
    is($rec->{sha256}, sha256_hex($sent), "$s->{name}, $name: as recorded")
        if $rec->{sha256};
    ok(wait_for(5, sub { $store->files() !~ /\Q$rec->{id}\E/ }),
        "$s->{name}, $name: its file is gone");
}


# The number of parts that curl finds in its upload.
sub parts
{
    my ($id) = @_;

    my ($key, $upload) = bucket('?uploads=') =~
        m{<Key>(pcap/$id\.pcapng)</Key>\s*<UploadId>([^<]+)</UploadId>}
        or return 0;

    return scalar(() = bucket("/$key?uploadId=$upload") =~ /<PartNumber>/g);
}


sub wait_parts
{
    my ($id, $n) = @_;

    ok(wait_for(40, sub { parts($id) >= $n }),
        "$s->{name}: $n parts are there while it runs")
        or diag(substr(slurp($store->{log}), -2000), bucket('?uploads='));
}


sub held
{
    my ($first, $then) = @_;

    return capture($ann, { parts => [ $head, ($mib) x $first, 'hold',
        ($mib) x $then ] }, about());
}


sub sent
{
    my ($n) = @_;

    return $head . data($mib) x $n;
}


sub test_small
{
    my $id = $store->begin(capture($ann, { parts => [ $head, [ 3, 100 ] ] },
        about()));
    my $rec = in_s3($id, 'small');

    holds($rec, $head . data([ 3, 100 ]), 'small');

    my $tags = bucket("/pcap/$id.pcapng?tagging=");

    like($tags, qr{<Key>user</Key><Value>ann o_hara</Value>},
        "$s->{name}: the user is a tag");
    like($tags, qr{<Key>target</Key><Value>cf/app/1</Value>},
        "$s->{name}: and the target");
    like($tags, qr{<Key>capture</Key><Value>$id</Value>},
        "$s->{name}: and the capture");

    return $id;
}


sub test_large
{
    my $body = held(35, 5);
    my $id = $store->begin($body);

    wait_parts($id, 4);
    is(record($id)->{state}, 'running', "$s->{name}: it runs");
    go($body);
    holds(in_s3($id, 'large'), sent(40), 'large');
}


# 20 s without a server, in mid-upload.
sub test_away
{
    my $body = held(20, 20);
    my $id = $store->begin($body);

    wait_parts($id, 2);
    end($s);
    go($body);
    $store->wait_state($id, 'stored');
    ok(wait_for(20, sub { (record($id)->{detail} // '') =~
        /^not yet in S3: no answer/ }), "$s->{name}: the record says so");
    sleep 20;
    ok(begin($s), "$s->{name}: killed, and back after 20 s");

    my $rec = in_s3($id, 'away');

    is($rec->{state}, 'stored', "$s->{name}, away: nothing is lost");
    holds($rec, sent(40), 'away');
}


sub test_killed
{
    my $body = held(20, 10);
    my $id = $store->begin($body);

    wait_parts($id, 2);

    kill 'KILL', $store->process_of($id, 0);
    go($body);
    holds(in_s3($id, 'killed upload'), sent(30), 'killed upload');

    $body = held(20, 10);
    $id = $store->begin($body);
    wait_parts($id, 2);
    $store->kill(all => 1);
    $store->start();

    my $rec = in_s3($id, 'killed store');

    is($rec->{state}, 'interrupted', "$s->{name}: interrupted");
    holds($rec, substr(sent(20), 0, $rec->{bytes}), 'killed store');
}


# Compressed, and a store that is killed in mid-capture; then its file is lost,
# too. The objects are read by the program zstd.
sub test_zstd
{
    $store->stop();
    $store->{conf}{compress} = 'zstd';
    $store->start();

    for my $lost (0, 1) {
        my $name = $lost ? 'compressed, lost file' : 'compressed, killed';
        my @noise = map { [ 16, 65536 - 32, "$name $_" ] } 1 .. 20;
        my $sent = join '', map { data($_) } $head, @noise;
        my $id = $store->begin(capture($ann, { parts => [ $head, @noise,
            'hold' ] }, about()));
        my $upload = sub { bucket('?uploads=') =~
            m{<Key>(pcap/$id\.pcapng\.zst)</Key>\s*<UploadId>([^<]+)<} };

        ok(wait_for(40, sub {
            my ($key, $of) = $upload->() or return 0;
            return 2 == grep { /./ } bucket("/$key?uploadId=$of")
                =~ /<PartNumber>/g;
        }), "$s->{name}, $name: 2 parts are there");
        ok(wait_for(10, sub { record($id)->{raw} == length $sent }),
            "$s->{name}, $name: all is taken");
        $store->kill(all => 1);
        unlink "$store->{folder}/$id.part" if $lost;
        $store->start();

        my $rec = in_s3($id, $name);
        my $url = ($store->request('GET', "/captures/$id/url"))[1]{url};
        my $file = work_dir() . '/got.zst';
        my $fields = curl($s, '-o', $file, '-D', '-', $url);

        is(system('zstd', '-q', '-t', $file), 0,
            "$s->{name}, $name: zstd -t of the object");

        my $got = unzstd($file);

        ok(length $got && $got eq substr($sent, 0, length $got),
            "$s->{name}, $name: it is what was sent");
        like($fields, qr{^content-type: application/zstd\r$}mi,
            "$s->{name}, $name: its type");
        is("$rec->{state} $rec->{bytes} $rec->{raw} $rec->{lost}",
            'interrupted ' . (-s $file) . ' ' . length($got) . ' '
            . (length($sent) - length $got),
            "$s->{name}, $name: the record is true");
        cmp_ok($rec->{lost}, $lost ? '>' : '==', 0,
            "$s->{name}, $name: what is lost");
    }

    $store->stop();
    $store->{conf}{compress} = 'none';
    $store->start();
}


sub test_removed
{
    my ($id) = @_;

    my $there = sub { bucket("/pcap/$id.pcapng", '-o', '/dev/null', '-w',
        '%{http_code}') };

    is($there->(), 200, "$s->{name}: an object");
    is(($store->request('DELETE', "/captures/$id"))[0], 200, 'removed');
    ok(wait_for(10, sub { $there->() == 404 }),
        "$s->{name}: it is deleted");

    $id = $store->begin(capture($ann, { parts => [ $head, [ 1, 9 ] ] },
        retention => 2));
    in_s3($id, 'retention');
    ok(wait_for(15, sub { $there->() == 404 }),
        "$s->{name}: so is one whose retention is over");

    # it is removed in mid-upload: it has ended, and S3 is stopped meanwhile
    my $body = held(20, 20);

    $id = $store->begin($body);
    wait_parts($id, 2);
    kill 'STOP', $s->{pid};
    go($body);
    $store->wait_state($id, 'stored');
    is(($store->request('DELETE', "/captures/$id"))[0], 200,
        'removed in mid-upload');
    kill 'CONT', $s->{pid};
    ok(wait_for(30, sub { uploads() == 0 }),
        "$s->{name}: no upload is left") or diag(bucket('?uploads='));
    is($there->(), 404, "$s->{name}: and no object");
}


sub test_secret
{
    $store->stop();
    $store->{conf}{s3}{secret_key} = 'another-secret';
    $store->start();

    my $id = $store->begin(capture($ann, { parts => [ $head, [ 3, 9 ] ] }));

    ok(wait_for(20, sub { (record($id)->{detail} // '') =~
        /^not yet in S3: .*SignatureDoesNotMatch/ }),
        "$s->{name}: a wrong secret is named");
    $store->stop();
    $store->{conf}{s3}{secret_key} = 'secret-secret';
    $store->start();
    holds(in_s3($id, 'secret'), $head . data([ 3, 9 ]), 'secret');
    unlike(slurp($store->{log}), qr/another-secret|secret-secret/,
        "$s->{name}: no secret in the log");
}


# MinIO has rules, versitygw none; neither of them has what aborts uploads.
sub test_rule
{
    my $logged = wait_for(10, sub {
        slurp($store->{log}) =~ /s3: the bucket has (a rule now|no rule)/ && $1
    });

    is($logged, $s->{ca} ? 'a rule now' : 'no rule',
        "$s->{name}: its rule, or that there is none")
        or diag(slurp($store->{log}));
    like(bucket('?lifecycle='), qr{<ID>pcap-store</ID>.*<Days>31</Days>}s,
        "$s->{name}: the rule") if $s->{ca};
}


sub run_server
{
    ($s) = @_;

    my $dir = work_dir() . "/$s->{name}";

    mkdir $dir;
    prepare($s, $dir);

    if (!ok(begin($s), "$s->{name} runs")) {
        diag(slurp("$s->{dir}/log"));
        return;
    }

    signed($s, '-X', 'PUT', "$s->{url}/captures");

    if ($s->{ca}) {
        my $ca = work_dir() . '/ca.crt';

        spew($ca, slurp($s->{ca}));
        chmod 0644, $ca;
    }

    $store = PcapTest::Store->new(api => $api, errors =>
        qr/upload ended, by signal 9|SignatureDoesNotMatch|cannot be used now/,
        conf => { s3 => { endpoint => $s->{url}, bucket => 'captures',
            region => $s->{region}, access_key => 'pcap',
            secret_key => 'secret-secret', retry => '2s', stall => '10s',
            $s->{ca} ? (ca_file => work_dir() . '/ca.crt')
                : (allow_http => JSON::PP::true) } });

    my $id = test_small();

    test_rule();
    test_large();
    test_away();
    test_killed();
    test_zstd();
    test_removed($id);
    test_secret();
    is(uploads(), 0, "$s->{name}: at last no upload is left");
    $store->stop();
    end($s);
}


my @why = split /\n/, $ENV{STORE_S3_WHY}, -1;
my @servers = servers();

at_end(sub { end_all() });

for my $i (0 .. $#servers) {
    SKIP: {
        skip($why[$i], 1) if $why[$i];
        eval { run_server($servers[$i]); 1 } or fail($@);
    }
}

finish();
