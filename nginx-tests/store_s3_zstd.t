#!/usr/bin/perl
#
# pcap-store with `compress` zstd and S3, a stand-in for it (PcapTest::S3):
# parts end behind frames, so that what is in S3 when a store is killed and its
# file is lost can be made a whole object. interop/store_s3.t does that with
# MinIO.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Test::More;
use PcapTest;
use PcapTest::Grants;
use PcapTest::Pcapng qw(shb idb parse);
use PcapTest::S3;
use PcapTest::Store;
use PcapTest::Zstd;

my $work = work_dir();
my $head = shb() . idb();
my $ann = 'a' x 64;
my $api = serve_grants("$work/api.sock");
my $s3 = PcapTest::S3->new();
my $store = PcapTest::Store->new(api => $api, conf => { s3 => $s3->conf(),
    compress => 'zstd' }, errors => qr/upload ended, by signal 9/);


sub record
{
    my ($id) = @_;

    return ($store->request('GET', "/captures/$id"))[1];
}


sub in_s3
{
    my ($id) = @_;

    my $rec;

    ok(wait_for(20, sub {
        $rec = record($id);
        return $rec && ($rec->{place} // '') eq 's3';
    }), 'it is in S3') or diag(encode_json($rec || {}),
        substr(slurp($store->{log}), -2000), substr($s3->asked(), -1000));

    return $rec;
}


# The object, decompressed by zstd, is the first bytes of what was sent.
sub holds
{
    my ($rec, $sent, $name) = @_;

    my $object = $s3->object("pcap/$rec->{id}.pcapng.zst");
    my $got = unzstd(spew("$work/object", $object));

    ok(length $got && $got eq substr($sent, 0, length $got),
        "$name: zstd reads what was sent");
    is("$rec->{file} $rec->{bytes} $rec->{raw}",
        "$rec->{id}.pcapng.zst " . length($object) . ' ' . length $got,
        "$name: so says the record");
    is($rec->{sha256}, sha256_hex($object), "$name: and so its hash")
        if $rec->{sha256};
    ok(wait_for(5, sub { $store->files() eq '' }), "$name: no file is left")
        or diag($store->files());

    return $got;
}


sub wait_parts
{
    my ($n, $id) = @_;

    ok(wait_for(30, sub {
        my ($upload) = $s3->uploads($id);
        return $upload && scalar(my @parts = $s3->parts($upload)) >= $n;
    }), "$n parts are in S3") or diag($s3->asked(), slurp($store->{log}));
}


# MiB of noise, the next ones.
sub mib
{
    my ($n) = @_;

    our $seed;

    return map { [ 16, 65536 - 32, ++$seed ] } 1 .. $n;
}


sub test_small
{
    my $id = $store->begin(capture($ann, { parts => [ $head,
        [ 900, 1000 ] ] }));
    my $rec = in_s3($id);

    is(holds($rec, $head . data([ 900, 1000 ]), 'small'),
        $head . data([ 900, 1000 ]), 'small: all of it');
    is($s3->count("^put 200 pcap/$id\\.pcapng\\.zst"), 1, 'small: by one PUT');
    is($rec->{state}, 'stored', 'small: stored');

    my (undef, $answer) = $store->request('GET', "/captures/$id/url");
    my $url = $answer->{url};
    my $fields = qx{curl -sS -D - -o /dev/null '$url'};

    like($fields, qr{^content-disposition: .*$id\.pcapng\.zst}mi,
        'small: its name');
    is(($store->request('DELETE', "/captures/$id"))[0], 200, 'removed');
    ok(wait_for(10, sub { $s3->object("pcap/$id.pcapng.zst") eq '' }),
        'its object, too');
}


sub begun
{
    my @parts = ($head, mib(18));
    my $sent = join '', map { data($_) } @parts;
    my @more = mib(2);
    my $body = capture($ann, { parts => [ @parts, 'hold', @more ] });
    my $id = $store->begin($body);

    wait_parts(2, $id);

    return ($body, $sent, $sent . join '', map { data($_) } @more);
}


sub test_large
{
    my ($body, undef, $all) = begun();

    go($body);
    is(length holds(in_s3($body->{id}), $all, 'large'), length $all,
        'large: all of it');
}


sub test_killed
{
    my ($body, $sent, $all) = begun();
    my $id = $body->{id};

    kill 'KILL', $store->process_of($id, 0);
    go($body);
    is(length holds(in_s3($id), $all, 'killed upload'), length $all,
        'killed upload: all of it');

    ($body, $sent) = begun();
    $id = $body->{id};
    $store->kill(all => 1);
    $store->start();

    my $rec = in_s3($id);

    is("$rec->{state} $rec->{lost}", 'interrupted 0', 'killed store');
    is(length holds($rec, $sent, 'killed store'), length $sent,
        'killed store: all that was written');
}


# The local file is lost with the store: what is in S3 is all there is.
sub test_lost_file
{
    my ($body, $sent) = begun();
    my $id = $body->{id};
    my $raw;

    ok(wait_for(5, sub { ($raw = record($id)->{raw}) == length $sent }),
        'lost file: all is taken');
    $store->kill(all => 1);
    unlink "$store->{folder}/$id.part" or die "$id.part: $!\n";
    $store->start();

    my $rec = in_s3($id);
    my $got = holds($rec, $sent, 'lost file');

    is($rec->{state}, 'interrupted', 'lost file: interrupted');
    like($rec->{detail}, qr/local file is gone/, 'lost file: why');
    is($rec->{lost}, length($sent) - length $got,
        'lost file: what is lost is told in bytes of the capture');
    cmp_ok(length $got, '>', 16 << 20, 'lost file: two parts are left');
    ok(eval { parse($got); 1 }, 'lost file: a valid capture') or diag($@);
}


test_small();
test_large();
test_killed();
test_lost_file();
finish();
