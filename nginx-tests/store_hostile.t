#!/usr/bin/perl
#
# pcap-store: requests that are none, ids that are paths, users that may not
# connect, configurations that must not be taken.

use strict;
use warnings;

use JSON::PP;
use POSIX ();
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
my $json = JSON::PP->new->canonical->utf8;
my $store = PcapTest::Store->new(api => $api);


sub test_hostile
{
    spew("$store->{run}/secret.pcapng", 'secret');

    for my $id ('..', '../' . 'a' x 29, 'A' x 32, 'a' x 31, 'a' x 33,
        'a' x 31 . '/', "..%2f$store->{run}/secret", 'a' x 32 . '/x',
        'a' x 32 . '.part')
    {
        for my $method (qw(GET DELETE)) {
            my ($status) = $store->request($method, "/captures/$id");
            is($status, 404, "$method of " . substr $id, 0, 40);
        }
    }

    my %good = %{ capture($ann, { parts => [ $head ] }) };
    my @bad = (
        [ { id => '../../etc/passwd' }, 'an id that is none' ],
        [ { id => "\0" x 32 }, 'an id of NULs' ],
        [ { id => 7 }, 'an id that is a number' ],
        [ { grant => 'g' x 64 }, 'a grant that is none' ],
        [ { owner => 'a' x 63 }, 'an owner that is none' ],
        [ { host => 'a@b' }, 'a user in the host' ],
        [ { host => '' }, 'no host' ],
        [ { host => 'h' x 256 }, 'a long host' ],
        [ { host => "a\r\nX: y" }, 'two lines of host' ],
        [ { path => 'v1/' }, 'a relative path' ],
        [ { path => '/v1?x=' }, 'a query in the path' ],
        [ { path => '/' . 'p' x 255 }, 'a long path' ],
        [ { retention => 0 }, 'no retention' ],
        [ { retention => -1 }, 'a retention before' ],
        [ { retention => '5' }, 'a retention that is a text' ],
        [ { retention => 10 ** 12 }, 'a long retention' ],
        [ { about => [] }, 'about is no object' ],
        [ { about => { x => 'y' x 33000 } }, 'a long about' ],
        [ { more => 1 }, 'a key that is not known' ],
    );

    $store->refused({ %good, %{ $_->[0] } }, 400, qr/must be|needed|begin/,
        $_->[1]) for @bad;
    $store->refused($_, 400, qr/PCAP_BODY/, "body $_")
        for '', '{', '[]', '"x"', '{"id":"1","id":"2"}';
    delete $good{grant};
    $store->refused(\%good, 400, qr/grant/, 'no grant');

    for my $case (['PUT', '/captures', 405], ['POST', '/captures/x', 405],
        ['GET', '/', 404], ['GET', '/capturesx', 404],
        ['POST', '/status', 405], ['DELETE', '/captures', 405])
    {
        my ($status) = $store->request(@$case[0, 1], '{}');
        is($status, $case->[2], "@$case");
    }

    is(slurp("$store->{run}/secret.pcapng"), 'secret', 'nothing else goes');
}


sub test_scgi
{
    my $good = "CONTENT_LENGTH\0000\0SCGI\0001\0REQUEST_METHOD\0GET\0"
        . "REQUEST_URI\0/status\0";

    for my $case (
        [ 200, length($good) . ":$good,", 'good' ],
        [ 400, "GET / HTTP/1.1\r\n\r\n", 'HTTP' ],
        [ 400, '007:', 'zeros' ],
        [ 400, length($good) . ":$good;", 'no comma' ],
        [ 400, length($good) . ":$good,x", 'more than that' ],
        [ 413, '131073:', 'too long' ],
        [ 413, '999999999999999999999999999999:', 'far too long' ],
        [ 413, '131073:' . 'x' x 131073 . ',', 'too long, and all of it' ])
    {
        my ($status) = $store->request('', '', '', raw => $case->[1]);
        is($status, $case->[0], "SCGI: $case->[2]");
    }

    my $body = capture($ann, { parts => [ $head ] });

    $body->{about} = { x => 'y' x 131072 };

    my ($status, $answer) = $store->request('POST', '/captures', $body);

    is($status, 413, 'a body that is too long');
    like($answer->{detail}, qr/longer than 128 KiB/, 'and why');
}


sub test_patience
{
    my @idle = map { $store->connect() } 1 .. 40;
    my $half = $store->connect();

    syswrite $half, '70:CONTENT_LENGTH';

    my $start = time();
    my ($status) = $store->request('GET', '/status');

    is($status, 200, 'others are served meanwhile');
    cmp_ok(time() - $start, '<', limit(1), 'at once');
    is(sysread($half, my $ignored, 1), 0, 'half a request is closed');
    ok(time() - $start > 4 && time() - $start < limit(7), 'after 5 s');
}


sub test_peers
{
    my %uid = (nobody => scalar getpwnam('nobody'), daemon => 1);
    my $other = PcapTest::Store->new(api => $api,
        conf => { listen_mode => '0666' });
    my %got;

    chmod 0777, $work;

    for my $who (sort keys %uid) {
        my $pid = fork_child($who, sub {
            POSIX::setuid($uid{$who});
            my ($status) = $other->request('GET', '/status');
            POSIX::_exit($status == 200 ? 3 : 4);
        });

        $got{$who} = wait_exit($pid, 10) >> 8;
    }

    is($got{nobody}, 3, 'its own user may connect');
    is($got{daemon}, 4, 'another one may not');
    chmod 0755, $work;
}


sub test_socket
{
    my $file = "$work/second.json";
    my %conf = %{ $store->config() };
    my $run = sub {
        spew($file, $json->encode({ %conf, @_ }));
        return scalar qx{@{[ tool('store') ]} --config $file 2>&1};
    };

    like($run->(folder => PcapTest::Store::own_dir("$work/other")),
        qr/error: listen: .*somebody else answers there/, 'a socket in use');
    spew("$store->{run}/file", 'x');
    like($run->(folder => "$work/other", listen => "$store->{run}/file"),
        qr/error: listen: /, 'no socket at all');
    is(slurp("$store->{run}/file"), 'x', 'is left alone');
    like($run->(listen => "$store->{run}/two.sock"),
        qr/error: folder: .*another pcap-store uses it/, 'a folder in use');
}


sub test_conf
{
    my $file = "$work/conf.json";
    my %conf = %{ $store->config() };
    my $check = sub {
        spew($file, ref $_[0] ? $json->encode($_[0]) : $_[0]);
        return scalar qx{@{[ tool('store') ]} --config $file --check 2>&1};
    };

    mkdir "$work/wide";
    chown scalar getpwnam('nobody'), 0, "$work/wide";
    chmod 0777, "$work/wide";

    like($check->(\%conf), qr/the configuration is good/, 'a good one');

    for my $case (
        [ { folder => '/nowhere' }, qr/folder: .*No such file/ ],
        [ { folder => '/' }, qr/folder: .*nobody else may write/ ],
        [ { folder => "$work/wide" }, qr/folder: .*nobody else may write/ ],
        [ { folder => 'here' }, qr/folder: must be an absolute path/ ],
        [ { listen => '/' . 'x' x 200 }, qr/listen: .* at most 107 bytes/ ],
        [ { api => '' }, qr/api: must not be empty/ ],
        [ { user => 'root' }, qr/user: as root, it must name another/ ],
        [ { peer_user => 'no-one' }, qr/peer_user: there is no user/ ],
        [ { listen_mode => '0999' }, qr/listen_mode: must be octal/ ],
        [ { max_bytes => 'much' }, qr/max_bytes: / ],
        [ { max_bytes => 0 }, qr/max_bytes: must be 1 to/ ],
        [ { max_captures => 0 }, qr/max_captures: must be 1 to 1024/ ],
        [ { max_captures => '5' }, qr/max_captures: must be a number/ ],
        [ { max_captures => 1.5 }, qr/max_captures: must be a number/ ],
        [ { keep_records => 100_000_000_000_000_000 },
            qr/keep_records: must be 1 to/ ],
        [ { compress => 'gzip' }, qr/compress: must be none or zstd/ ],
        [ { compress => JSON::PP::true }, qr/compress: must be a text/ ],
        [ { zstd_level => 0 }, qr/zstd_level: must be 1 to 19/ ],
        [ { zstd_level => 20 }, qr/zstd_level: must be 1 to 19/ ],
        [ { zstd_level => '3' }, qr/zstd_level: must be a number/ ],
        [ { log_level => 'loud' }, qr/log_level: must be error, warn/ ],
        [ { folders => '/' }, qr/unknown key "folders"/ ])
    {
        my ($key) = %{ $case->[0] };
        like($check->({ %conf, %{ $case->[0] } }), $case->[1],
            "$key $case->[0]{$key}");
    }

    delete $conf{api};
    like($check->(\%conf), qr/api: is needed/, 'no api');
    like($check->('[]'), qr/not an object/, 'no object');
    like(scalar qx{@{[ tool('store') ]} --version}, qr/^pcap-store \d/,
        'its version');
    like(scalar qx{@{[ tool('store') ]} --help}, qr/max_bytes_per_user/,
        'its keys');
}


test_hostile();
test_scgi();
test_patience();
test_peers();
test_socket();
test_conf();
finish();
