#!/usr/bin/perl
#
# pcap-store by itself, nginx being stood in for (PcapTest::Grants): captures
# that end well, are cut, refused or no captures; processes that are killed,
# and the store itself; a full disk; memory.

use strict;
use warnings;

use JSON::PP;
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
    errors => qr/its process ended without a word, by signal 9|what was left/);


sub test_good
{
    my $body = capture($ann, { parts => [ $head, [ 3, 100 ] ] });
    my ($status, $rec) = $store->request('POST', '/captures', $body);

    is($status, 201, 'a capture begins');
    is($rec->{state}, 'waiting', 'it waits');
    is_deeply($rec->{about}, $body->{about}, 'about comes back');
    ok(!exists $rec->{grant}, 'the grant does not');
    is($rec->{expires}, 0, 'retention has not begun');

    $rec = $store->wait_state($body->{id}, 'stored');
    $store->holds($rec, $head . data([ 3, 100 ]), 'a whole one');
    is($rec->{file}, "$body->{id}.pcapng", 'its name');
    is("@$rec{qw(status packets dropped lost detail)}", 'complete 3 0 0 ',
        'what the trailers said');
    is($rec->{expires}, $rec->{ended} + 1000, 'retention counts from the end');
    is(sprintf('%04o', (stat "$store->{folder}/$rec->{file}")[2] & 07777),
        '0600', 'it is for its owner alone');
    like(asked($body),
        qr{^GET /v1/grants/$body->{grant} .*\r\nHost: api\.example\r\n}s,
        'the API was asked as the body said');

    $store->refused($body, 409, qr/id is known/, 'the same again');
    unlike(slurp($store->{log}), qr/$body->{grant}/, 'the log has no grant');
    unlike(join('', map { slurp($_) } glob "$store->{folder}/records*"),
        qr/$body->{grant}/, 'nor have the records');

    return $body->{id};
}


sub test_slow
{
    my $body = capture($ann, { parts => [ $head, [ 10, 1000 ], 'hold',
        [ 10, 1000 ], 'hold' ] });
    my $sent = length($head) + length data([ 10, 1000 ]);
    my $id = $store->begin($body);

    $store->wait_state($id, 'running');
    ok(wait_for(5, sub {
        my (undef, $rec) = $store->request('GET', "/captures/$id");
        $rec->{bytes} == $sent;
    }), 'while it runs its bytes are known');
    is($store->files() =~ /\Q$id\E(\S+)/ && $1, '.part', 'it is in a .part');

    my ($status, $answer) = $store->request('DELETE', "/captures/$id");

    is($status, 409, 'it cannot be removed now');
    like($answer->{detail}, qr/still written/, 'and why');

    my (undef, $all) = $store->request('GET', '/status');

    is("$all->{healthy} $all->{running}", '1 1', 'the status counts it');
    ok($all->{bytes} >= $sent, 'with its bytes');
    go($body);
    $store->whole($store->wait_state($id, 'stored'), 'slow');
}


sub test_cut
{
    my $body = capture($ann, { parts => [ $head, ([ 1, 1000 ]) x 5 ],
        cut => length($head) + 3 * length(data([ 1, 1000 ])) + 500 });
    my $rec = $store->wait_state($store->begin($body), 'stored');

    $store->holds($rec, $head . data([ 3, 1000 ]), 'cut in a block');
    is("$rec->{status} $rec->{lost}", ' 500', 'no verdict; what was lost');
    like($rec->{detail}, qr/^the API's answer was cut: /, 'and why');

    $body = capture($ann, { parts => [ $head ], trailers => {
        'X-Pcap-Status' => 'splendid', 'X-Pcap-Packets' => '1e3' } });
    $rec = $store->wait_state($store->begin($body), 'stored');
    is("$rec->{status} $rec->{packets}", ' 0', 'trailers that are none');
    like($rec->{detail}, qr/without a verdict/, 'count as cut');
}


sub test_refused
{
    my @cases = (
        [ 403, '{"detail":"not yours: \u001b[31m"}', 'not yours: ?[31m' ],
        [ 503, 'nothing to read', 'the API answered with 503' ],
        [ 500, '{"detail":7}', 'the API answered with 500' ],
        [ 302, '', 'the API answered with 302' ],
        [ 403, '{"detail":"' . "\x{c3}\x{a4}" x 300 . '"}',
            "\x{e4}" x 256 ],
        [ 403, '{"detail":"' . 'y' x 70000 . '"}',
            'the API answered with 403' ],
    );

    for my $case (@cases) {
        my ($status, $text, $detail) = @$case;
        my $body = capture($ann, { status => $status, body => $text });
        my $rec = $store->wait_state($store->begin($body), 'failed');

        is($rec->{detail}, $detail, "refused with $status: says why");
        is("$rec->{bytes}$rec->{file}$rec->{expires}", '00',
            'there is no file');
    }
}


sub test_garbage
{
    my $rec = $store->wait_state($store->begin(capture($ann,
        { parts => [ 'this is no capture' x 10 ] })), 'failed');

    like($rec->{detail}, qr/^no capture: /, 'garbage is no capture');
    is($rec->{lost}, 180, 'all of it is lost');

    $rec = $store->wait_state($store->begin(capture($ann,
        { parts => [ $head, [ 3, 50 ], "\0" x 40, [ 9, 50 ] ] })), 'stored');
    $store->holds($rec, $head . data([ 3, 50 ]), 'garbage behind blocks');
    is($rec->{status}, 'error', 'it ended with an error');
    like($rec->{detail}, qr/^no capture: /, 'and why');

    $rec = $store->wait_state($store->begin(capture($ann, { parts => [] })),
        'failed');
    is($rec->{detail}, 'nothing came', 'a capture without a byte is none');
    unlike($store->files(), qr/\.part|$rec->{id}/, 'no file is left of them');
}


sub test_child_killed
{
    my $body = capture($ann, { parts => [ $head, [ 900, 5000 ], 'hold' ] });
    my $id = $store->begin($body);

    $store->wait_state($id, 'running');
    ok(wait_for(5, sub {
        -s "$store->{folder}/$id.part" }), 'it has written something');
    kill('KILL', $store->captures());

    my $rec = $store->wait_state($id, 'interrupted');

    $store->whole($rec, 'its process was killed');
    is("$rec->{status}, $rec->{detail}",
        ', its process was ended by signal 9', 'and that is said');
    is($rec->{expires}, $rec->{ended} + 1000, 'it is kept as others are');

    $body = capture($ann, { silent => 1 });
    $id = $store->begin($body);
    asked($body);
    kill('KILL', $store->captures());
    $rec = $store->wait_state($id, 'failed');
    is("$rec->{file}, $rec->{detail}",
        ', its process was ended by signal 9', 'before a byte came');
}


# What is left cannot be read for a while: it is neither lost nor forgotten.
sub test_not_recovered
{
    for my $case ('mended', 'removed', 'too old') {
        my $body = capture($ann, { parts => [ $head, [ 900, 5000 ], 'hold' ] });

        $body->{retention} = 4 if $case eq 'too old';

        my $id = $store->begin($body);
        my $part = "$store->{folder}/$id.part";

        ok(wait_for(5, sub { -s $part }), "$case: it is written");
        chmod 0, $part;
        kill('KILL', $store->captures());

        my $rec = $store->wait_state($id, 'interrupted');

        like($rec->{detail}, qr/could not be ended yet: .*denied/,
            "$case: why");
        is("$rec->{file}", '', "$case: no file yet");

        if ($case eq 'mended') {
            chmod 0600, $part;
            ok(wait_for(20, sub {
                (undef, $rec) = $store->request('GET', "/captures/$id");
                return $rec->{file};
            }), "$case: ended later");
            $store->whole($rec, $case);

        } elsif ($case eq 'removed') {
            is(($store->request('DELETE', "/captures/$id"))[0], 200,
                "$case: DELETE");
            $rec = $store->wait_state($id, 'gone');

        } else {
            $rec = $store->wait_state($id, 'gone', 15);
            cmp_ok($rec->{gone} - $rec->{created}, '<=', 6,
                "$case: when its time was over");
        }

        ok(!-e $part, "$case: nothing is left") if $case ne 'mended';
    }
}


sub test_killed
{
    my $body = capture($ann, { parts => [ $head, [ 9, 5000 ], 'hold' ] });
    my $waits = capture($ann, { silent => 1 });
    my $id = $store->begin($body);

    $store->begin($waits);
    asked($waits);
    $store->wait_state($id, 'running');

    my ($before) = $store->captures();

    $store->kill();
    ok(wait_for(5, sub { !alive($before) }), 'no child outlives the store');
    is($store->files() =~ /\Q$id\E(\S+)/ && $1, '.pcapng', 'its file is ended');

    # some time ago
    my $then = int(time()) - 500;

    utime $then, $then, "$store->{folder}/$id.pcapng";
    $store->start();

    my $rec = $store->wait_state($id, 'interrupted');

    $store->holds($rec, $head . data([ 9, 5000 ]), 'the store was killed');
    is("$rec->{status}, $rec->{detail}", ', the store was killed',
        'and that is said');
    is($rec->{ended}, $then, 'it ended when it was written last');
    is($rec->{expires}, $rec->{ended} + 1000, 'it is kept as others are');
    is($store->wait_state($waits->{id}, 'failed')->{detail},
        'the store was killed', 'one that had not begun has failed');

    spew("$store->{folder}/" . 'f' x 32 . '.part', 'a stranger');
    $body = capture($ann, { parts => [ $head, [ 900, 5000 ], 'hold' ] });
    $id = $store->begin($body);
    ok(wait_for(5, sub { -s "$store->{folder}/$id.part" }), 'another one');
    $store->kill(all => 1);
    is($store->files() =~ /\Q$id\E(\S+)/ && $1, '.part', 'its .part is left');
    $store->start();
    $store->whole($store->wait_state($id, 'interrupted'), 'all were killed');
    like(slurp($store->{log}), qr/f{32}\.part has no record, and is left/,
        'a file that nobody knows');
    ok(unlink("$store->{folder}/" . 'f' x 32 . '.part'), 'stays');
}


sub test_stop
{
    my $body = capture($bob, { parts => [ $head, [ 9, 500 ], 'hold' ] });
    my $waits = capture($bob, { silent => 1 });
    my $id = $store->begin($body);

    $store->begin($waits);
    asked($waits);
    $store->wait_state($id, 'running');
    kill('HUP', $store->{pid});

    my $start = time();

    $store->stop();
    cmp_ok(time() - $start, '<', limit(2), 'it ends at once');
    ok(!-e $store->{socket}, 'its socket is gone');
    $store->start();

    my (undef, $rec) = $store->request('GET', "/captures/$id");

    $store->holds($rec, $head . data([ 9, 500 ]), 'stopped');
    is("$rec->{state}, $rec->{status}, $rec->{detail}",
        'interrupted, , the store was stopped', 'and that is said');
    (undef, $rec) = $store->request('GET', "/captures/$waits->{id}");
    is("$rec->{state}, $rec->{detail}", 'failed, the store was stopped',
        'one that had not begun has failed');
}


sub test_lists
{
    my (undef, $all) = $store->request('GET', '/captures');
    my (undef, $bobs) = $store->request('GET', "/captures?owner=$bob");
    my (undef, $none) = $store->request('GET', '/captures?owner='
        . 'c' x 64);

    is(scalar @{ $all->{captures} }, captures_made(), 'all are listed');
    is(scalar @{ $bobs->{captures} }, 2, 'those of an owner');
    is_deeply($none, { captures => [], truncated => JSON::PP::false },
        'of one who has none');

    my @created = map { $_->{created} } @{ $all->{captures} };

    is("@created", join(' ', sort { $b <=> $a } @created), 'newest first');

    my ($status) = $store->request('GET', '/captures?owner=x');

    is($status, 400, 'no owner at all');
}


sub test_delete
{
    my ($id) = @_;

    my ($status, $rec) = $store->request('DELETE', "/captures/$id");

    is("$status $rec->{state} $rec->{file}", '200 gone ', 'removed');
    ok(abs($rec->{gone} - time()) < limit(3), 'since now');
    unlike($store->files(), qr/$id/, 'its file is gone');

    my ($again, $same) = $store->request('DELETE', "/captures/$id");

    is("$again $same->{gone}", "200 $rec->{gone}", 'again is no error');
    ($status) = $store->request('DELETE', '/captures/' . 'e' x 32);
    is($status, 404, 'what is not there');
}


sub test_disk
{
    my $dir = PcapTest::Store::own_dir("$work/small");
    my $mount = sub { must('mount', '-t', 'tmpfs', '-o', join(',', @_, 'uid='
        . getpwnam('nobody') . ',mode=0755'), 'tmpfs', $dir) };

    $mount->('size=80m');

    my $s = PcapTest::Store->new(api => $api, folder => $dir);
    my $body = capture($ann, { parts => [ $head, 'hold',
        ([ 16, 65000 ]) x 20 ] });
    my $id = $s->begin($body);

    $s->wait_state($id, 'running');
    $mount->('remount', 'size=4m');
    $s->refused(capture($ann, { parts => [] }), 507,
        qr/disk of this store is full: \d+ bytes are free, 67108864 /,
        'no new one on a full disk');
    go($body);

    my $rec = $s->wait_state($id, 'stored', 20);

    like($rec->{detail}, qr/No space left on device/, 'a full disk is named');
    is($rec->{status}, 'limit', 'and is a limit');
    cmp_ok($rec->{lost}, '>', 0, 'what was lost is counted');
    cmp_ok($rec->{bytes}, '>', 1 << 20, 'what was there is kept');
    $s->whole($rec, 'full disk');
    $s->stop();
    $s->start();
    is($s->wait_state($id, 'stored')->{sha256}, $rec->{sha256},
        'its record is there after a restart');
    $s->stop();
    must('umount', $dir);
}


sub rss
{
    my ($pid) = @_;

    return slurp("/proc/$pid/status") =~ /^VmRSS:\s*(\d+) kB/m ? $1 : 0;
}


sub test_memory
{
    my $mib = [ 16, 65536 - 32 ];
    my $body = capture($ann, { parts => [ $head, ($mib) x 20, 'hold',
        ($mib) x 180, 'hold2' ] });
    my $id = $store->begin($body);
    my $size = length data($mib);
    my $written = sub {
        my ($n) = @_;
        wait_for(60, sub {
            my (undef, $rec) = $store->request('GET', "/captures/$id");
            $rec->{bytes} >= length($head) + $n * $size;
        });
    };

    ok($written->(20), '20 MiB');

    my ($pid) = $store->captures();
    my $first = rss($pid);

    go($body);
    ok($written->(200), '200 MiB');

    my $last = rss($pid);

    ok($first && $last && $last < $first + 2048, 'memory is constant')
        or diag("$first kB, then $last kB");
    go($body, 2);

    my $rec = $store->wait_state($id, 'stored', 60);

    is($rec->{bytes}, length($head) + 200 * $size, 'all of it is there');
}


my $id = test_good();

test_slow();
test_cut();
test_refused();
test_garbage();
test_child_killed();
test_not_recovered();
test_killed();
test_stop();
test_lists();
test_delete($id);
test_disk();
test_memory();
finish();
