# pcap-cli get of a file that the store has compressed: kept as it is or
# decompressed, by its name; gone on with, checked as it is stored; and what an
# API may say that means harm, or a disk that is full.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use Test::More;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::StandIn;
use PcapTest::StoreStandIn;
use PcapTest::Zstd;

my $ID = PcapTest::StandIn::ID;
my $RAW = join '', map { noise(1000) . 'x' x 9000 } 1 .. 200;
my $BODY = zstd([], substr($RAW, 0, 700_001), substr($RAW, 700_001));
my $SUM = sha256_hex($BODY);
my $LEN = length $RAW;
my %FAST = (PCAP_CLI_TIME_SCALE => 1000);

my $certs = PcapTest::Certs->new();
my $api = store_api(certs => $certs);
my $s3 = object_store(certs => $certs, port => 8453);
my $there = 'https://localhost:8453/bucket/x?X-Amz-Signature=5ec4e7';
my $run;


sub has
{
    my (%o) = @_;

    my $body = defined $o{body} ? $o{body} : $BODY;

    for my $server ($api, $s3) {
        store_tell($server, body => $body, name => "$ID.pcapng.zst",
            type => 'application/zstd', raw => $LEN, records => { $ID => {
            id => $ID, state => 'ended', stored => { state => 'stored',
            bytes => length $body, sha256 => $o{sha256} || sha256_hex($body),
            compression => 'zstd', uncompressed_bytes => $o{raw} || $LEN } } },
            $server == $s3 ? () : %o);
    }
}


sub get
{
    my ($args, %o) = @_;

    return cli($api, [ 'get', $ID, @$args ], env => \%FAST, %o);
}


sub content { return slurp("$_[0]{dir}/$_[1]") }


sub files { return join ' ', cli_files($_[0]) }


# --- by its name --------------------------------------------------------------

has();
$run = get([]);
is($run->{code}, 0, 'no name given') or diag($run->{stderr});
is(files($run), "$ID.pcapng.zst", 'it is called as the API calls it');
ok(content($run, "$ID.pcapng.zst") eq $BODY, 'and is as it is stored');

$run = get([ '-o', 'x.pcapng.zst' ]);
is(files($run), 'x.pcapng.zst', 'a name with .zst');
ok(content($run, 'x.pcapng.zst') eq $BODY, 'as it is stored');

$run = get([ '-o', 'x.pcapng', '--json' ]);
is($run->{code}, 0, 'a name without') or diag($run->{stderr});
is(files($run), 'x.pcapng', 'nothing else is left');
ok(content($run, 'x.pcapng') eq $RAW, 'it is decompressed');
is((stat "$run->{dir}/x.pcapng")[2] & 07777, 0600, 'for nobody else');
like($run->{stderr}, qr/^x\.pcapng: 2\.\d MB, decompressed from \d+\.\d kB, /m,
    'it says so');
is_deeply([ @{ $run->{json} }{qw(file bytes sha256 uncompressed_bytes)} ],
    [ 'x.pcapng', length $BODY, $SUM, $LEN ], 'as JSON, too');

my $dir = $run->{dir};

is(get([ '-o', "$dir/x.pcapng" ])->{code}, 1, 'a file that is there');
is(get([ '-F', '-o', "$dir/x.pcapng" ])->{code}, 0, 'is replaced by -F');
ok(slurp("$dir/x.pcapng") eq $RAW, 'by the whole');

$run = get([ '-o', '-' ]);
ok($run->{code} eq '0' && $run->{stdout} eq $RAW, 'standard output')
    or diag($run->{stderr});
$run = cli($api, [], program => [ 'sh', '-c',
    tool('cli') . " get $ID -o - | cat" ]);
ok($run->{stdout} eq $RAW, 'a pipe');
$run = cli($api, [], program => [ 'sh', '-c',
    '{ ' . tool('cli') . " get $ID -o -; echo \$? >code; } | head -c 10" ]);
is(content($run, 'code') . $run->{stderr}, "0\n", 'a reader that leaves');

has(body => $RAW, name => "$ID.pcapng", type => 'application/x-pcapng');
$run = get([ '-o', 'x.zst' ]);
is($run->{code} . files($run), 1, '.zst for what is not compressed');
like($run->{stderr}, qr/x\.zst: .* uncompressed; give it a name without \.zst/,
    'it says so');

# --- gone on with -------------------------------------------------------------

has(plan => [ { cut => 1000 }, { cut => 5000 } ]);
$run = get([ '-o', 'x' ]);
is($run->{code}, 0, 'cut twice') or diag($run->{stderr});
ok(content($run, 'x') eq $RAW, 'and whole');
is(join(' ', map { $_->{range} // '-' } $api->events('file')),
    '- bytes=999- bytes=5998-', 'by ranges of what is stored');

has(plan => [ { cut => 1000 } ]);
$run = get([ '-o', '-' ]);
is($run->{code}, 1, 'cut, to standard output');
like($run->{stderr}, qr/what was written is not whole/, 'it says so');

has(redirect => $there, raw => undef);
$run = get([ '-o', 'x' ]);
is($run->{code}, 0, 'from an object store') or diag($run->{stderr});
ok(content($run, 'x') eq $RAW, 'decompressed, too');
like($run->{stderr}, qr/SHA-256 $SUM/, 'and checked');

# only the API says what there is to decompress
has(redirect => $there, raw => undef, records => { $ID => { id => $ID,
    state => 'ended', stored => { state => 'stored', sha256 => $SUM } } });
$run = get([ '-o', '-' ]);
is($run->{code}, 0, 'an object store that says zstd') or diag($run->{stderr});
ok($run->{stdout} eq $BODY, 'and the API not: as it is');

# --- a disk that is full ------------------------------------------------------

$dir = work_dir() . '/small';
mkdir $dir;
must('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', $dir);
at_end(sub { system('umount', $dir) });

has();
$run = get([ '-o', "$dir/x" ]);
is($run->{code}, 1, 'a full disk');
like($run->{stderr}, qr/cannot write \S+x\.raw\.part: No space left/,
    'it is named');
like($run->{stderr}, qr/x\.part is kept, as the store has it: the same/,
    'and what is left');
is(join(' ', map { s{.*/}{}r } glob "$dir/*"), 'x.part x.part.etag',
    'nothing half-made is');
must('mount', '-o', 'remount,size=8m', $dir);
$run = get([ '-o', "$dir/x" ]);
is($run->{code}, 0, 'the same once more') or diag($run->{stderr});
is(($api->events('file'))[-1]{range}, 'bytes=' . (length($BODY) - 1) . '-',
    'fetches nothing again');
ok(slurp("$dir/x") eq $RAW, 'it is whole');
is(join(' ', map { s{.*/}{}r } glob "$dir/*"), 'x', 'nothing else is left');

# --- who means harm -----------------------------------------------------------

my $bomb = zstd([ '-19' ], "\0" x (64 << 20));
my $wide = zstd([ '--ultra', '--long=27' ], $RAW);
my $broken = $BODY;

substr($broken, -1) ^= "\1";

for my $case (
    [ 'a bomb', $bomb, 100_000,
        qr/more than the 100000 bytes that the API says/ ],
    [ 'less than is said', $BODY, $LEN + 1,
        qr/it has $LEN bytes, the API says ${\($LEN + 1)}/ ],
    [ 'a wide window', $wide, $LEN, qr/too much memory for decoding/ ],
    [ 'broken', $broken, $LEN, qr/Restored data doesn't match checksum/ ],
    [ 'cut', substr($BODY, 0, -9), $LEN, qr/it ends within a frame/ ],
    [ 'no frame', $RAW, $LEN, qr/it cannot be decompressed: Unknown frame/ ],
    [ 'empty', '', $LEN, qr/it ends within a frame/ ])
{
    my ($name, $body, $raw, $words) = @$case;

    has(body => $body, raw => $raw);
    $run = get([ '-o', 'x' ]);
    is($run->{code}, 1, $name);
    like($run->{stderr}, $words, "$name: it says so");
    is(files($run), $body eq '' ? '' : 'x.part x.part.etag',
        "$name: nothing has the name");

    $run = get([ '-o', '-' ]);
    is($run->{code}, 1, "$name, to standard output");
    like($run->{stderr}, $words, "$name: it says so");
    cmp_ok(length $run->{stdout}, '<=', $raw, "$name: no more than is said");
}

# who wants it as it is may have it
is(get([ '-o', 'x.zst' ])->{code}, 0, 'empty, as it is stored');

has(sha256 => 'a' x 64);
$run = get([ '-o', 'x' ]);
is($run->{code} . files($run), 1, 'a wrong checksum is found before that');
like($run->{stderr}, qr/wrong checksum: .*it was removed/, 'it says so');
unlike($run->{stderr}, qr/is kept/, 'once');

is_deeply([ map { $_->events('died') } $api, $s3 ], [],
    'every request was as the contract says');
$_->stop() for $api, $s3;
finish();
