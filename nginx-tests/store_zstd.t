#!/usr/bin/perl
#
# pcap-store with `compress` zstd, nginx being stood in for (PcapTest::Grants):
# what is in its files is read by the program zstd. Captures that end well, are
# cut or killed, a store that is killed in mid-capture, frames that are torn, a
# full disk, quotas, memory. t/store_frame.c has each length of a small file.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Test::More;
use PcapTest;
use PcapTest::Grants;
use PcapTest::Pcapng qw(shb idb parse);
use PcapTest::Store;
use PcapTest::Zstd;

my $work = work_dir();
my $head = shb() . idb();
my $ann = 'a' x 64;
my $api = serve_grants("$work/api.sock");
my $store = PcapTest::Store->new(api => $api, conf => { compress => 'zstd' },
    errors => qr/its process ended without a word, by signal 9/);


# The file is what was sent, as zstd reads it, and the record says so.
sub holds
{
    my ($s, $rec, $sent, $name) = @_;

    my $file = slurp("$s->{folder}/$rec->{file}");
    my $got = unzstd("$s->{folder}/$rec->{file}");

    is($rec->{file}, "$rec->{id}.pcapng.zst", "$name: its name");
    ok($got eq $sent, "$name: zstd reads what was sent")
        or diag(length($got), ' of ', length($sent));
    is("$rec->{bytes} $rec->{raw}", length($file) . ' ' . length($sent),
        "$name: both lengths are known");
    is($rec->{sha256}, sha256_hex($file), "$name: and the file's hash");
}


sub record
{
    my ($s, $id) = @_;

    return ($s->request('GET', "/captures/$id"))[1];
}


sub test_good
{
    my $body = capture($ann, { parts => [ $head, [ 300, 1000 ] ] });
    my $rec = $store->wait_state($store->begin($body), 'stored');

    holds($store, $rec, $head . data([ 300, 1000 ]), 'a whole one');
    cmp_ok($rec->{bytes}, '<', $rec->{raw} / 10, 'it is small');
    is("$rec->{status} $rec->{lost} $rec->{detail}", 'complete 0 ',
        'and complete');

    my (undef, $all) = $store->request('GET', '/status');

    is($all->{bytes}, $rec->{bytes}, 'the file is what counts');
    $store->request('DELETE', "/captures/$rec->{id}");
    is($store->files(), '', 'removed');
}


# While it is written what is there can be read.
sub test_running
{
    my $body = capture($ann, { parts => [ $head, [ 10, 1000 ], 'hold',
        [ 20, 1000 ], 'hold2', noise(3000) ], cut => length($head)
        + length(data([ 30, 1000 ])) + 1000 });
    my $id = $store->begin($body);
    my $part = "$store->{folder}/$id.part";

    for my $n (10, 30) {
        my $sent = $head . data([ $n, 1000 ]);
        my $rec;

        ok(wait_for(5, sub {
            $rec = record($store, $id);
            return $rec->{raw} == length $sent && $rec->{bytes} == -s $part;
        }), "running, $n packets: both lengths");
        ok(unzstd($part) eq $sent, "running, $n packets: whole frames");
        go($body, $n == 10 ? '' : 2);
    }

    my $rec = $store->wait_state($id, 'stored');

    holds($store, $rec, $head . data([ 30, 1000 ]), 'cut in a block');
    is($rec->{lost}, 1000, 'what was lost');
    like($rec->{detail}, qr/^the API's answer was cut: /, 'and why');
}


sub held
{
    my ($n) = @_;

    my $sent = $head . join '', map { noise(1000) } 1 .. $n;
    my $body = capture($ann, { parts => [ $sent, 'hold' ] });
    my $id = $store->begin($body);

    ok(wait_for(5, sub { record($store, $id)->{raw} == length $sent
        && -s "$store->{folder}/$id.part" }), 'it is written');

    return ($id, $sent);
}


sub test_killed
{
    my ($id, $sent) = held(50);

    kill('KILL', $store->process_of($id, 1));
    holds($store, $store->wait_state($id, 'interrupted'), $sent,
        'its process was killed');

    ($id, $sent) = held(50);
    $store->kill();
    ok(wait_for(5, sub { $store->files() =~ /$id\.pcapng\.zst/ }),
        'its process ends the file when the store is killed');
    $store->start();
    holds($store, $store->wait_state($id, 'interrupted'), $sent,
        'the store was killed');

    # all of them at once, and the next store does not compress

    ($id, $sent) = held(50);
    $store->kill(all => 1);
    is($store->files() =~ /\Q$id\E(\S+)/ && $1, '.part', 'a .part is left');
    $store->{conf}{compress} = 'none';
    $store->start();

    my $rec = $store->wait_state($id, 'interrupted');

    holds($store, $rec, $sent, 'all were killed');
    is("$rec->{lost}, $rec->{detail}", '0, the store was killed', 'and why');
    $rec = $store->wait_state($store->begin(capture($ann,
        { parts => [ $head ] })), 'stored');
    $store->holds($rec, $head, 'another one is not compressed');
    $store->stop();
    $store->{conf}{compress} = 'zstd';
    $store->start();
}


# What a kill within a write leaves, and a power cut: of three frames, which
# end at @at, so much of the file.
sub test_torn
{
    my @sent = ($head . noise(500), noise(600), noise(700));
    my @cases = (
        [ 'torn', 2, sub { $_[2] - 1 } ],
        [ 'its head alone', 2, sub { $_[1] + 9 } ],
        [ 'all but one are gone', 1, sub { $_[0] + 20 } ]);

    for my $case (@cases) {
        $case->[3] = capture($ann, { parts => [ $sent[0], 'hold', $sent[1],
            'hold2', $sent[2], 'hold3' ] });
        $store->begin($case->[3]);
    }

    my @at;

    for my $n (0 .. 2) {
        for my $case (@cases) {
            my $part = "$store->{folder}/$case->[3]{id}.part";

            ok(wait_for(5, sub { (-s $part // 0) > ($at[$n - 1] // 0) }),
                "$case->[0]: frame " . ($n + 1));
        }

        $at[$n] = -s "$store->{folder}/$cases[0][3]{id}.part";
        go($_->[3], ('', 2)[$n]) for $n < 2 ? @cases : ();
    }

    $store->kill(all => 1);

    for my $case (@cases) {
        my $part = "$store->{folder}/$case->[3]{id}.part";

        is(-s $part, $at[2], "$case->[0]: as long as the others");
        truncate $part, $case->[2]->(@at) or die "$part: $!\n";
    }

    $store->start();

    for my $case (@cases) {
        my ($name, $whole, undef, $body) = @$case;
        my $rec = $store->wait_state($body->{id}, 'interrupted');

        holds($store, $rec, join('', @sent[0 .. $whole - 1]), $name);

        # what was told before the kill may have come into the row, or not

        my $more = length join '', @sent[$whole + 1 .. 2];

        ok($rec->{lost} == length($sent[$whole])
            || $rec->{lost} == length($sent[$whole]) + $more,
            "$name: what is lost is told in bytes of the capture");
    }
}


sub test_disk
{
    my $dir = PcapTest::Store::own_dir("$work/small");
    my $mount = sub { must('mount', '-t', 'tmpfs', '-o', join(',', @_, 'uid='
        . getpwnam('nobody') . ',mode=0755'), 'tmpfs', $dir) };

    $mount->('size=80m');

    my $s = PcapTest::Store->new(api => $api, folder => $dir,
        conf => { compress => 'zstd' });
    my @noise = map { noise(50000) } 1 .. 16;
    my $body = capture($ann, { parts => [ $head, @noise[0 .. 5], 'hold',
        @noise[6 .. 15] ] });
    my $id = $s->begin($body);

    ok(wait_for(5, sub { (-s "$dir/$id.part" // 0) > 300_000 }),
        'full disk: a frame is written');

    my ($used) = qx{df -k --output=used $dir} =~ /(\d+)\s*$/;

    $mount->('remount', 'size=' . ($used + 200) . 'k');
    go($body);

    my $rec = $s->wait_state($id, 'stored', 20);
    my $all = $head . join '', @noise;

    like($rec->{detail}, qr/No space left on device/, 'a full disk is named');
    is($rec->{status}, 'limit', 'and is a limit');
    is($rec->{raw}, length($head) + length join('', @noise[0 .. 5]),
        'what was there is kept');
    is($rec->{lost}, length($all) - $rec->{raw}, 'what was lost is counted');
    holds($s, $rec, substr($all, 0, $rec->{raw}), 'full disk');
    ok(eval { parse(substr $all, 0, $rec->{raw}); 1 }, 'and ends at a block');
    $s->stop();
    must('umount', $dir);
}


# Bytes of the file count, to the byte; and what may be made shorter is.
sub test_quota
{
    my $quota = 200_000;
    my $s = PcapTest::Store->new(api => $api, conf => { compress => 'zstd',
        max_bytes_per_user => $quota });
    my $mib = [ 16, 65536 - 32 ];
    my $rec = $s->wait_state($s->begin(capture($ann, { parts => [ $head,
        ($mib) x 20 ] })), 'stored');

    is($rec->{status}, 'complete', '20 MiB fit into 200 kB');
    holds($s, $rec, $head . data($mib) x 20, '20 MiB');

    my @noise = map { noise(5000) } 1 .. 100;

    $rec = $s->wait_state($s->begin(capture($ann, { parts => [ $head,
        @noise ] })), 'stored');
    like($rec->{detail}, qr/^the quota of max_bytes_per_user .* used up$/,
        'noise does not');

    my (undef, $all) = $s->request('GET', '/status');

    cmp_ok($all->{bytes}, '<=', $quota, 'the quota holds');
    cmp_ok($all->{bytes}, '>', $quota - 20_000, 'and is used');
    holds($s, $rec, substr($head . join('', @noise), 0, $rec->{raw}),
        'the quota');
    $s->stop();
}


sub rss
{
    my ($pid) = @_;

    return slurp("/proc/$pid/status") =~ /^VmRSS:\s*(\d+) kB/m ? $1 : 0;
}


sub test_memory
{
    my $mib = [ 16, 65536 - 32 ];
    my $size = length data($mib);
    my $body = capture($ann, { parts => [ $head, ($mib) x 20, 'hold',
        ($mib) x 180, 'hold2' ] });
    my $id = $store->begin($body);
    my $taken = sub {
        my ($n) = @_;

        return wait_for(60, sub { record($store, $id)->{raw}
            >= length($head) + $n * $size });
    };

    ok($taken->(20), '20 MiB');

    my $pid = $store->process_of($id, 1);
    my $first = rss($pid);

    go($body);
    ok($taken->(200), '200 MiB');

    my $last = rss($pid);

    ok($first && $last < $first + 2048, 'memory is constant')
        or diag("$first kB, then $last kB");
    go($body, 2);
    is($store->wait_state($id, 'stored', 60)->{raw},
        length($head) + 200 * $size, 'all of it is there');
}


test_good();
test_running();
test_killed();
test_torn();
test_disk();
test_quota();
test_memory();
finish();
