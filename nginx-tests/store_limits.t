#!/usr/bin/perl
#
# pcap-store: how many captures at once, how many bytes, for how long: to the
# number, to the byte, to the second.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::Grants;
use PcapTest::Pcapng qw(shb idb);
use PcapTest::Store;

my $work = work_dir();
my $head = shb() . idb();
my $ann = 'a' x 64;
my $bob = 'b' x 64;
my $api = serve_grants("$work/api.sock");
my $store = PcapTest::Store->new(api => $api,
    conf => { max_captures_per_user => 3, max_captures => 4 });


sub test_numbers
{
    my @held = map { capture($_, { parts => [ $head, 'hold' ] }) }
        $ann, $ann, $ann, $bob;

    $store->begin($_) for @held[0 .. 2];
    $store->refused(capture($ann, { parts => [] }), 429,
        qr/max_captures_per_user of this store, 3,/, 'too many of one');
    $store->begin($held[3]);
    $store->refused(capture($bob, { parts => [] }), 503,
        qr/max_captures of this store, 4,/, 'too many of all');
    go($_) for @held;
    $store->wait_state($_->{id}, 'stored') for @held;
}


sub test_quotas
{
    my $block = length data([ 1, 1000 ]);
    my $quota = length($head) + 20 * $block + 10;
    my $all = $quota + length($head) + 5 * $block;
    my $q = PcapTest::Store->new(api => $api, conf => {
        max_bytes_per_user => $quota, max_bytes => $all });
    my $rec = $q->wait_state($q->begin(capture($ann,
        { parts => [ $head, ([ 1, 1000 ]) x 50 ] })), 'stored');

    $q->holds($rec, $head . data([ 20, 1000 ]), 'the quota of one');
    is($rec->{status}, 'limit', 'it is a limit');
    is($rec->{detail}, 'the quota of max_bytes_per_user of this store, '
        . "$quota bytes, is used up", 'that has a name');

    my $more = capture($ann, { parts => [ $head ] });

    $rec = $q->wait_state($q->begin($more), 'failed');
    like($rec->{detail}, qr/max_bytes_per_user/, 'there is room for 10 bytes');

    $rec = $q->wait_state($q->begin(capture($bob,
        { parts => [ $head, ([ 1, 1000 ]) x 50 ] })), 'stored');
    is($rec->{detail}, "the quota of max_bytes of this store, $all bytes, is "
        . 'used up', 'the quota of all has one, too');
    is((stat "$q->{folder}/$rec->{file}")[7] + length($head) + 20 * $block
        <= $all ? 1 : 0, 1, 'and is kept');

    my (undef, $status) = $q->request('GET', '/status');

    is("$status->{captures} $status->{running}", '2 0', 'two have files');
    $q->request('DELETE', "/captures/$rec->{id}");
    $rec = $q->wait_state($q->begin(capture($bob, { parts => [ $head ] })),
        'stored');
    is($rec->{status}, 'complete', 'what is removed makes room');
}


sub test_quotas_shared
{
    my $block = length data([ 1, 1000 ]);
    my $quota = 2 * length($head) + 30 * $block;
    my $q = PcapTest::Store->new(api => $api, conf => {
        max_bytes_per_user => $quota, max_bytes => 10 * $quota });
    my @two = map { capture($ann, { parts => [ $head, 'hold',
        ([ 1, 1000 ]) x 40 ] }) } 1, 2;
    my @ids = map { $q->begin($_) } @two;

    $q->wait_state($_, 'running') for @ids;
    go($_) for @two;

    my $sum = 0;

    for my $id (@ids) {
        my $rec = $q->wait_state($id, 'stored');

        $q->whole($rec, 'shared');
        is($rec->{status}, 'limit', 'both have a limit');
        $sum += $rec->{bytes};
    }

    cmp_ok($sum, '<=', $quota, 'together they keep to the quota');
    cmp_ok($sum, '>', $quota - 2 * 17000, 'and use it');

    $q = PcapTest::Store->new(api => $api, conf => {
        max_bytes_per_user => length($head) + $block });
    my $rec = $q->wait_state($q->begin(capture($ann,
        { parts => [ $head, [ 1, 1000 ] ] })), 'stored');
    is($rec->{status}, 'complete', 'as much as the quota may be taken');
    $q->refused(capture($ann, { parts => [] }), 429,
        qr/max_bytes_per_user of this store, $rec->{bytes} bytes, is used up/,
        'then no more');
    is($q->wait_state($q->begin(capture($bob, { parts => [ $head ] })),
        'stored')->{status}, 'complete', 'of another one it is no matter');
}


sub test_retention
{
    my $body = capture($ann, { parts => [ $head ] }, retention => 2);
    my $rec = $store->wait_state($store->begin($body), 'stored');
    my $file = "$store->{folder}/$rec->{file}";

    wait_for(10, sub { !-e $file });

    my $gone = time();

    ok($gone >= $rec->{expires} && $gone < $rec->{expires} + limit(0.5),
        'it goes when its second begins')
        or diag($gone - $rec->{expires});
    $rec = $store->wait_state($body->{id}, 'gone');
    is($rec->{gone}, $rec->{expires}, 'to the second');

    # longer than its retention, but running
    $body = capture($ann, { parts => [ $head, 'hold' ] }, retention => 1);
    $store->begin($body);
    $store->wait_state($body->{id}, 'running');
    wait_for(5, sub {
        (undef, $rec) = $store->request('GET', "/captures/$body->{id}");
        time() > $rec->{created} + 2.1;
    });
    is($rec->{state}, 'running', 'one that runs is not touched');
    go($body);
    $rec = $store->wait_state($body->{id}, 'gone');
    is($rec->{gone} - $rec->{ended}, 1, 'its retention begins at its end');

    # over while the store is away
    $body = capture($ann, { parts => [ $head ] }, retention => 1);
    $rec = $store->wait_state($store->begin($body), 'stored');
    $store->stop();
    wait_for(5, sub { time() > $rec->{expires} });
    ok(-e "$store->{folder}/$rec->{file}", 'the store is away');
    $store->start();
    $store->wait_state($body->{id}, 'gone');
    ok(!-e "$store->{folder}/$rec->{file}", 'it goes with the next start');
}


sub test_forget
{
    my $s = PcapTest::Store->new(api => $api, conf => { keep_records => 1 });
    my $body = capture($ann, { status => 403, body => '{}' });
    my $rec = $s->wait_state($s->begin($body), 'failed');

    wait_for(5, sub { time() > $rec->{ended} + 2 });
    $s->stop();
    $s->start();

    my ($status) = $s->request('GET', "/captures/$body->{id}");

    is($status, 404, 'keep_records is over');
}


test_numbers();
test_quotas();
test_quotas_shared();
test_retention();
test_forget();
finish();
