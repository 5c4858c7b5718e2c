#!/usr/bin/perl
#
# pcap-store with S3, a stand-in for it (PcapTest::S3) that checks signatures:
# captures that are uploaded whole and in parts, while they run and after,
# over an S3 that is away, that lies, that refuses; processes that are killed;
# what is deleted. interop/store_s3.t does the same with storage of others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::Grants;
use PcapTest::Pcapng qw(shb idb parse);
use PcapTest::S3;
use PcapTest::Store;

my $work = work_dir();
my $head = shb() . idb();
my $ann = 'a' x 64;
my $mib = [ 16, 65536 - 32 ];
my $api = serve_grants("$work/api.sock");
my $s3 = PcapTest::S3->new();
my $store = PcapTest::Store->new(api => $api, conf => { s3 => $s3->conf(),
    max_captures_per_user => 20 },
    errors => qr/upload ended, by signal 9|403|404|NoSuch|no answer/);


sub about
{
    return (about => { user => 'ann', resolver => 'cf', target => 'app/1' });
}


sub record
{
    my ($id) = @_;

    return ($store->request('GET', "/captures/$id"))[1];
}


# The record once its object is whole.
sub in_s3
{
    my ($id, $seconds) = @_;

    my $rec;

    ok(wait_for($seconds || 20, sub {
        $rec = record($id);
        return $rec && ($rec->{place} // '') eq 's3';
    }), 'it is in S3') or diag(encode_json($rec || {}),
        substr(slurp($store->{log}), -2000), substr($s3->asked(), -1000));

    return $rec;
}


sub key
{
    my ($rec) = @_;

    return "pcap/$rec->{file}";
}


# The object is what was sent, the record says so, and the disk is empty.
sub holds
{
    my ($rec, $sent, $name) = @_;

    my $got = $s3->object(key($rec));

    ok($got eq $sent, "$name: the object is what was sent")
        or diag(length($got), ' of ', length($sent));
    is($rec->{bytes}, length $sent, "$name: its length is known");
    is($rec->{sha256}, sha256_hex($sent), "$name: so is its hash")
        if $rec->{state} eq 'stored';
    ok(wait_for(5, sub { $store->files() !~ /\Q$rec->{id}\E/ }),
        "$name: its file is gone") or diag($store->files());
}


# Parts of a running capture, so many are in S3.
sub wait_parts
{
    my ($n, $id) = @_;

    my $upload;

    ok(wait_for(30, sub {
        ($upload) = $s3->uploads($id);
        return $upload && scalar(my @parts = $s3->parts($upload)) >= $n;
    }), "$n parts are in S3") or diag($s3->asked(), slurp($store->{log}));

    return $upload;
}


sub curl
{
    my ($url, @args) = @_;

    open my $pipe, '-|', 'curl', '-sS', @args, $url or die "curl: $!\n";
    local $/;
    my $text = <$pipe>;
    close $pipe;

    return $text;
}


sub test_small
{
    my $sent = $head . data([ 3, 100 ]);
    my $id = $store->begin(capture($ann, { parts => [ $head, [ 3, 100 ] ] },
        about()));
    my $rec = in_s3($id);

    holds($rec, $sent, 'small');
    is("$rec->{state} $rec->{file}", "stored $id.pcapng", 'small: stored');
    is($s3->count("^put 200 pcap/$id"), 1, 'small: by one PUT');
    is($s3->count('^begin'), 0, 'small: and no upload');

    my $said = $s3->object_head(key($rec));

    like($said, qr{^x-amz-tagging: capture=$id&target=cf%2Fapp%2F1&user=ann$}m,
        'small: its tags');
    like($said, qr{^content-type: application/x-pcapng$}m, 'small: its type');
    like($said, qr{^content-disposition: attachment; filename="$id.pcapng"$}m,
        'small: its name');

    my ($status, $answer) = $store->request('GET', "/captures/$id/url");

    is("$status $answer->{expires}", '200 300', 'a URL');
    ok(curl($answer->{url}) eq $sent, 'by which anybody gets it');
    like(curl($answer->{url}, '-D', '-', '-o', '/dev/null'),
        qr/^Content-Disposition: attachment; filename="$id.pcapng"\r$/m,
        'and its name');
    like(curl($answer->{url} =~ s/Expires=300/Expires=900/r),
        qr/SignatureDoesNotMatch/, 'but not for longer');

    my (undef, $all) = $store->request('GET', '/status');

    is($all->{bytes}, 0, 'nothing rests on the disk');

    return $id;
}


# Who follows the file has it open by the time it goes.
sub test_live
{
    my $sent = $head . data([ 3, 100 ]);
    my $id = $store->begin({ %{ capture($ann, { parts => [ $head,
        [ 3, 100 ] ] }) }, live => JSON::PP::true });
    my $rec = in_s3($id);

    ok(-e "$store->{folder}/$rec->{file}", 'live: its file is still here');
    holds($rec, $sent, 'live');
}


sub test_urls
{
    my ($id) = @_;

    my $body = capture($ann, { parts => [ $head, [ 1, 10 ], 'hold' ] });
    my $other = $store->begin($body);

    $store->wait_state($other, 'running');
    is(($store->request('GET', "/captures/$other/url"))[0], 409,
        'no URL while it runs');
    is(($store->request('GET', '/captures/' . 'f' x 32 . '/url'))[0], 404,
        'no URL of what is not known');
    is(($store->request('GET', "/captures/$id/urls"))[0], 404,
        'no other request');
    is(($store->request('DELETE', "/captures/$id/url"))[0], 405,
        'a URL is not removed');
    go($body);
    in_s3($other);
}


sub test_large
{
    my $body = capture($ann, { parts => [ $head, ($mib) x 30, 'hold',
        ($mib) x 3 ] }, about());
    my $id = $store->begin($body);
    my $upload = wait_parts(3, $id);

    is(record($id)->{state}, 'running', 'large: while it runs');
    is(record($id)->{place}, 'local', 'large: and is here');
    ok(eval { parse(join '', map {
        slurp("$s3->{dir}/uploads/$upload/part.$_") } 1 .. 2); 1 },
        'large: parts end behind a block') or diag($@);
    go($body);
    holds(in_s3($id), $head . data($mib) x 33, 'large');
    is_deeply([ $s3->uploads() ], [], 'large: no upload is left');
}


sub test_away
{
    my $body = capture($ann, { parts => [ $head, ($mib) x 10, 'hold',
        ($mib) x 20 ] });
    my $id = $store->begin($body);

    wait_parts(1, $id);
    $s3->stop();
    go($body);
    ok(wait_for(20, sub {
        (record($id)->{detail} // '') =~ /^not yet in S3: no answer/;
    }), 'away: the record says so') or diag(encode_json(record($id)));

    my $rec = $store->wait_state($id, 'stored');

    is($rec->{place}, 'local', 'away: it is stored here');
    ok(slurp("$store->{folder}/$rec->{file}") eq $head . data($mib) x 30,
        'away: all of it');
    is(($store->request('GET', "/captures/$id/url"))[0], 409,
        'away: there is no URL');
    $s3->start();
    $rec = in_s3($id, 30);
    holds($rec, $head . data($mib) x 30, 'away');
    is($rec->{detail}, '', 'away: and says so no more');
}


# S3 says strange things for a while; what is stored is right all the same.
sub test_lies
{
    for my $case ([ complete => '200', 2 ], [ complete => 'blank', 1 ],
        [ part => '503', 2 ], [ part => '429', 1 ], [ begin => 'huge', 1 ],
        [ part => 'etag', 1 ], [ begin => 'doctype', 1 ],
        [ complete => 'lost', 1 ], [ part => 'close', 1 ],
        [ part => 'gone', 1 ], [ complete => 'gone', 1 ])
    {
        my ($op, $how, $times) = @$case;

        $s3->fault($op, how => $how, times => $times);

        my $id = $store->begin(capture($ann, { parts => [ $head,
            ($mib) x 9 ] }));

        holds(in_s3($id, 40), $head . data($mib) x 9, "$op: $how");
        is_deeply([ $s3->uploads() ], [], "$op: $how: nothing is left");
        $s3->fault($op);
    }
}


sub test_small_lies
{
    for my $how (qw(503 redirect lost close hang etag)) {
        $s3->fault('put', how => $how, times => 1);

        my $id = $store->begin(capture($ann, { parts => [ $head,
            [ 3, 100 ] ] }));

        holds(in_s3($id, 30), $head . data([ 3, 100 ]), "put: $how");
    }
}


# The process that reads what was captured has no key to what is stored.
sub test_memory
{
    my $body = capture($ann, { parts => [ $head, [ 1, 10 ], 'hold' ] });
    my $id = $store->begin($body);

    $store->wait_state($id, 'running');

    my $fetch = $store->process_of($id, 1);
    my $secret = $PcapTest::S3::SECRET;

    # there are others for a while, which look at the bucket or sweep
    ok(wait_for(5, sub { grep { $_ != $fetch && eval {
        find_in($_, $secret) } } children($store->{pid}) }),
        'an upload has the secret');
    ok(!find_in($fetch, $secret), 'a capture has it not');
    go($body);
    in_s3($id);
}


sub find_in
{
    my ($pid, $text) = @_;

    no warnings 'portable';

    open my $mem, '<:raw', "/proc/$pid/mem" or die "mem: $!\n";

    for my $line (split /\n/, slurp("/proc/$pid/maps")) {
        my ($from, $to) = map { hex } $line =~ /^(\w+)-(\w+) rw/ or next;
        my $got = '';

        # what a sanitizer keeps for itself
        next if $to - $from > 1 << 28;

        sysseek $mem, $from, 0;
        sysread $mem, $got, $to - $from or next;
        return 1 if index($got, $text) >= 0;
    }

    return 0;
}


sub test_killed_uploader
{
    my $body = capture($ann, { parts => [ $head, ($mib) x 20, 'hold',
        ($mib) x 10 ] });
    my $id = $store->begin($body);

    wait_parts(2, $id);

    my $pid = $store->process_of($id, 0);

    CORE::kill('KILL', $pid);
    ok(wait_for(10, sub { !alive($pid) || !-e "/proc/$pid/fd/0" }),
        'killed uploader: it is gone');
    go($body);
    holds(in_s3($id), $head . data($mib) x 30, 'killed uploader');
    is($s3->count("^begin 200 pcap/$id"), 1,
        'killed uploader: it went on with the same upload');
    cmp_ok($s3->count("^part 200 pcap/$id"), '<=', 5,
        'killed uploader: no part that was noted twice');
}


sub test_killed_store
{
    my $body = capture($ann, { parts => [ $head, ($mib) x 20, 'hold' ] });
    my $id = $store->begin($body);

    wait_parts(2, $id);
    $store->kill(all => 1);
    $store->start();

    my $rec = in_s3($id, 30);

    is($rec->{state}, 'interrupted', 'killed store');
    is($rec->{detail}, 'the store was killed', 'killed store: why');
    ok($rec->{bytes} > 16 << 20, 'killed store: what was there');
    holds($rec, substr($head . data($mib) x 20, 0, $rec->{bytes}),
        'killed store');
    is($s3->count("^begin 200 pcap/$id"), 1,
        'killed store: it went on with the same upload');
    cmp_ok($s3->count("^part 200 pcap/$id"), '<=', 4,
        'killed store: no part that was noted twice');
}


# The local file is lost with the store: what is in S3 is all there is.
sub test_lost_file
{
    my $body = capture($ann, { parts => [ $head, ($mib) x 20, 'hold' ] });
    my $id = $store->begin($body);

    wait_parts(2, $id);
    ok(wait_for(10, sub { record($id)->{bytes} > 20 << 20 }), 'all is here');
    $store->kill(all => 1);
    unlink "$store->{folder}/$id.part" or die "$id.part: $!\n";
    $store->start();

    my $rec = in_s3($id, 30);

    is($rec->{state}, 'interrupted', 'lost file');
    like($rec->{detail}, qr/local file is gone/, 'lost file: why');
    is($rec->{bytes} + $rec->{lost}, length($head) + 20 * length data($mib),
        'lost file: what is lost is known');
    ok($rec->{bytes} >= 16 << 20, 'lost file: two parts are there');
    holds($rec, substr($head . data($mib) x 20, 0, $rec->{bytes}),
        'lost file');
    ok(eval { parse($s3->object(key($rec))); 1 }, 'lost file: a capture')
        or diag($@);
}


# A whole file is removed by somebody before it is in S3.
sub test_stolen
{
    my $body = capture($ann, { parts => [ $head, ($mib) x 20, 'hold',
        ($mib) x 10 ] });
    my $id = $store->begin($body);

    wait_parts(2, $id);
    $s3->stop();
    go($body);
    $store->wait_state($id, 'stored');
    $store->stop();
    unlink "$store->{folder}/$id.pcapng" or die "$id: $!\n";
    $s3->start();
    $store->start();

    my $rec = in_s3($id, 30);

    is($rec->{state}, 'interrupted', 'stolen');
    holds($rec, substr($head . data($mib) x 30, 0, $rec->{bytes}), 'stolen');
}


sub test_remove
{
    my ($id) = @_;

    my $key = key(record($id));
    my ($status, $rec) = $store->request('DELETE', "/captures/$id");

    is("$status $rec->{state}", '200 gone', 'removed');
    ok(wait_for(10, sub { !grep { $_ eq $key } $s3->objects() }),
        'removed: so is its object');
    is(($store->request('GET', "/captures/$id/url"))[0], 404,
        'removed: no URL');

    # S3 is away: it is gone for users, and deleted by the next store
    $id = $store->begin(capture($ann, { parts => [ $head, [ 1, 10 ] ] }));
    $key = key(in_s3($id));
    $s3->stop();
    ($status, $rec) = $store->request('DELETE', "/captures/$id");
    is("$status $rec->{state}", '200 gone', 'removed while S3 is away');
    $store->stop();
    $s3->start();
    $store->start();
    ok(wait_for(20, sub { !grep { $_ eq $key } $s3->objects() }),
        'the next store has deleted it');
}


sub test_remove_uploading
{
    my $body = capture($ann, { parts => [ $head, ($mib) x 10, 'hold',
        ($mib) x 10 ] });
    my $id = $store->begin($body);

    wait_parts(1, $id);
    $s3->fault('part', how => 'hang');
    go($body);
    $store->wait_state($id, 'stored');

    my ($status, $rec) = $store->request('DELETE', "/captures/$id");

    is("$status $rec->{state}", '200 gone', 'removed while it is uploaded');
    ok(wait_for(10, sub { !(my @left = $s3->uploads()) }),
        'no upload is left')
        or diag($s3->uploads(), substr(slurp($store->{log}), -1500),
        substr($s3->asked(), -500));
    is($store->files() =~ /\Q$id\E/ || 0, 0, 'and no file');
    ok(!grep({ /\Q$id\E/ } $s3->objects()), 'and no object');
    $s3->fault('part');
}


sub test_retention
{
    my $id = $store->begin(capture($ann, { parts => [ $head, [ 1, 10 ] ] },
        retention => 2));
    my $key = key(in_s3($id));
    my $rec = $store->wait_state($id, 'gone', 15);

    ok($rec, 'its retention is over');
    ok(wait_for(10, sub { !grep { $_ eq $key } $s3->objects() }),
        'and its object is deleted');
}


# What the start says of the bucket, and the rule that it writes.
sub test_bucket
{
    my $rule = sub { slurp("$s3->{dir}/lifecycle") };
    my $logged = sub {
        my ($what) = @_;
        ok(wait_for(10, sub { slurp($store->{log}) =~ /$what/ }),
            "the log says: $what") or diag(slurp($store->{log}));
    };

    $logged->('the bucket captures is there');
    $logged->('s3.allow_http: ');
    $logged->('encrypts nothing');
    $logged->('has a rule now');
    like($rule->(), qr{<ID>pcap-store</ID>.*<Prefix>pcap/</Prefix>
        .*<Days>31</Days>.*<DaysAfterInitiation>1<}x, 'the rule');
    unlike(slurp($store->{log}), qr/is public/, 'it is not public');

    # rules of others stay; with ours alone it is brought up to date
    my $ours = $rule->();
    my $theirs = $ours =~ s{(<Rule>.*</Rule>)}{$1<Rule><ID>x</ID></Rule>}r;

    spew("$s3->{dir}/lifecycle", $theirs);
    spew("$s3->{dir}/public", 'true');
    $store->stop();
    $store->{conf}{s3}{lifecycle_days} = 7;
    $store->start();
    $logged->('has rules of others');
    $logged->('the bucket is public');
    is($rule->(), $theirs, 'rules of others stay');
    spew("$s3->{dir}/lifecycle", $ours);
    $store->stop();
    $store->start();
    $logged->('after 7 days');
    like($rule->(), qr{<Days>7</Days>}, 'ours has other days now');
    $store->stop();
    delete $store->{conf}{s3}{lifecycle_days};
    $store->{conf}{s3}{bucket} = 'nothing';
    $store->start();
    $logged->('bucket cannot be used now: .*404');
    $store->stop();
    $store->{conf}{s3}{bucket} = 'captures';
    $store->start();
}


# S3 is away: more captures wait than there are places, and the disk has an
# end. When it is back all is uploaded, and there is room again.
sub test_queue
{
    $s3->stop();
    $store->stop();
    $store->{conf}{max_captures} = 2;
    $store->{conf}{max_bytes} = 3 << 20;
    $store->start();

    my @ids;

    for (1 .. 5) {
        push @ids, $store->begin(capture($ann, { parts => [ $head,
            [ 3, 100 ] ] }));
        $store->wait_state($ids[-1], 'stored');
    }

    my $id = $store->begin(capture($ann, { parts => [ $head,
        ($mib) x 5 ] }));
    my $rec = $store->wait_state($id, 'stored');

    is($rec->{status}, 'limit', 'the disk is full: a limit');
    like($rec->{detail}, qr/max_bytes of this store/, 'and which');
    $s3->start();
    in_s3($_, 40) for @ids, $id;
    is(($store->request('GET', '/status'))[1]{bytes}, 0, 'there is room');
    in_s3($store->begin(capture($ann, { parts => [ $head, [ 3, 100 ] ] })));
    $store->stop();
    delete @{ $store->{conf} }{qw(max_captures max_bytes)};
    $store->start();
}


# A wrong secret: nothing is lost, and the right one mends it.
sub test_secret
{
    $store->stop();
    $store->{conf}{s3}{secret_key} = 'another-secret-of-ours';
    $store->start();

    my $sent = $head . data([ 3, 100 ]);
    my $id = $store->begin(capture($ann, { parts => [ $head, [ 3, 100 ] ] }));

    ok(wait_for(15, sub {
        (record($id)->{detail} // '') =~ /^not yet in S3: .*Signature/;
    }), 'wrong secret: the record says so');

    my $rec = record($id);

    is("$rec->{state} $rec->{place}", 'stored local', 'wrong secret: stored');
    ok(slurp("$store->{folder}/$rec->{file}") eq $sent, 'wrong secret: here');
    $store->stop();
    $store->{conf}{s3} = $s3->conf();
    spew("$store->{run}/secret", "$PcapTest::S3::SECRET\n");
    chmod 0600, "$store->{run}/secret";
    delete $store->{conf}{s3}{secret_key};
    $store->{conf}{s3}{secret_key_file} = "$store->{run}/secret";
    $store->start();
    holds(in_s3($id), $sent, 'the right secret');

    for my $text (slurp($store->{log}),
        map { slurp($_) } glob "$store->{folder}/records*")
    {
        unlike($text, qr/another-secret|\Q$PcapTest::S3::SECRET\E/,
            'no secret in log and records');
    }
}


my $id = test_small();

test_live();
test_bucket();
test_memory();
test_urls($id);
test_large();
test_away();
test_lies();
test_small_lies();
test_killed_uploader();
test_killed_store();
test_lost_file();
test_stolen();
test_remove($id);
test_remove_uploading();
test_retention();
test_queue();
test_secret();
finish();
