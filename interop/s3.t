#!/usr/bin/perl
#
# interop/s3.t: store/s3.h against storage that others wrote: MinIO over TLS,
# versitygw without. What we sign they check, what we upload plain curl gets
# back by a URL of ours; tags, aborted uploads, lost answers, a server that is
# away for a while, wrong keys, a wrong region and a clock that is off. What
# buckets and tags are asked for beside is signed by curl, not by us.
#
# Both are built by Go into build/interop/bin; without Go, or where the modules
# cannot be had, their points are skipped and shown. Runs in a network
# namespace of its own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../nginx-tests/lib";

use Digest::SHA ();
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(time);

use Bosh;
use S3Servers;

my $root = root();
my $client = build() . '/s3_client';
my $MIB = 1 << 20;

# What needs the network comes first; then this begins again without it.
if (!$ENV{INTEROP_INSIDE}) {
    plan(skip_all => 'network namespaces need root') if $> != 0;
    plan(skip_all => 'no go command here')
        if !grep { -x "$_/go" } split /:/, $ENV{PATH};

    fetch();
    my ($text, $status) = run_words('make', '-s', '-C', $root,
        'build/interop/s3_client');
    die $text if $status;

    $ENV{INTEROP_INSIDE} = 1;
    $ENV{INTEROP_WHY} = join "\n", map { $_->{why} || '' } servers();
    exec 'unshare', '--net', '--mount', '--pid', '--fork', '--kill-child',
        '--mount-proc', $^X, "$FindBin::Bin/$FindBin::Script"
        or die "unshare: $!\n";
}


# Where our client goes, as its environment.
sub where
{
    my ($s) = @_;

    return (S3_ENDPOINT => $s->{url}, S3_BUCKET => 'captures',
        S3_REGION => $s->{region}, S3_ACCESS_KEY => 'pcap',
        S3_SECRET_KEY => 'secret-secret', S3_CA => $s->{ca} || '');
}


# Our client; further environment in %$more. Its words and exit status.
sub s3
{
    my ($s, $more, @args) = @_;

    local %ENV = (%ENV, where($s), %$more);

    return run_words($client, @args);
}


# A file of that size whose content is its own.
sub file_of
{
    my ($dir, $size) = @_;

    my $name = "$dir/file.$size";
    return $name if -e $name;

    open my $fh, '>', $name or die "$name: $!\n";
    my $block = join '', map { Digest::SHA::sha512("$size $_") } 1 .. 16384;
    my $left = $size;

    while ($left > 0) {
        my $n = $left < length $block ? $left : length $block;
        print $fh substr $block, 0, $n;
        $left -= $n;
    }

    close $fh or die "$name: $!\n";

    return $name;
}


sub url_of
{
    my ($s, $key, $seconds) = @_;

    my ($text) = s3($s, {}, 'url', $key, 'my capture".pcapng', $seconds);
    chomp $text;

    return $text;
}


# Plain curl fetches it by a URL, and it is what was sent.
sub comes_back
{
    my ($s, $key, $file, $what) = @_;

    my $got = "$s->{dir}/got";
    unlink $got;
    my $status = curl($s, '-o', $got, '-D', "$s->{dir}/head", '-w',
        '%{http_code}', url_of($s, $key, 60));

    is($status, 200, "$what: plain curl gets it");
    is(system('cmp', '-s', $file, $got), 0, "$what: as it was sent");
}


sub sizes
{
    my ($s) = @_;

    for my $size (0, 1, 5 * $MIB - 1, 5 * $MIB) {
        my $file = file_of($s->{dir}, $size);
        my $key = "a b/ü+&=/$size.pcapng";
        my ($text, $status) = s3($s, {}, 'put', $key, $file);

        is($status, 0, "$s->{name}, put of $size bytes") or diag($text);
        comes_back($s, $key, $file, "$s->{name}, $size bytes");
        ($text) = s3($s, {}, 'size', $key);
        is($text, "$size\n", "$s->{name}, $size bytes: its size");
    }

    for my $size (1, 5 * $MIB - 1, 5 * $MIB, 300 * $MIB) {
        my $file = file_of($s->{dir}, $size);
        my ($text, $status) = s3($s, {}, 'upload', "parts/$size", $file,
            8 * $MIB);

        is($status, 0, "$s->{name}, upload of $size bytes") or diag($text);
        comes_back($s, "parts/$size", $file, "$s->{name}, upload of $size");
    }
}


sub urls
{
    my ($s) = @_;

    my $url = url_of($s, 'parts/1', 60);
    my $head = "$s->{dir}/head";

    curl($s, '-o', '/dev/null', '-D', $head, $url);
    open my $fh, '<', $head or die "$head: $!\n";
    my $said = do { local $/; <$fh> };
    like($said,
        qr/^content-disposition:.*; filename="my_capture_\.pcapng"\r$/mi,
        "$s->{name}: the name of the download");
    like($said, qr/^content-type: application\/x-pcapng\r$/mi,
        "$s->{name}: its type");
    like(curl($s, '-r', '0-0', '-o', '/dev/null', '-w', '%{http_code}', $url),
        qr/^206/, "$s->{name}: a part of it");

    (my $other = $url) =~ s{parts/1\?}{parts/5242880?};
    (my $longer = $url) =~ s/Expires=60/Expires=600/;
    (my $wrong = $url) =~ s/(.)$/$1 eq '0' ? '1' : '0'/e;

    for my $case ([ 'another key', $other ], [ 'a longer time', $longer ],
        [ 'another signature', $wrong ])
    {
        my ($what, $bad) = @$case;
        like(curl($s, '-w', '%{http_code}', $bad),
            qr/SignatureDoesNotMatch.*403$/s,
            "$s->{name}: a URL with $what is refused");
    }

    my $short = url_of($s, 'parts/1', 1);
    select undef, undef, undef, 2.2;
    like(curl($s, '-w', '%{http_code}', $short), qr/403$/,
        "$s->{name}: a URL whose time is over");
}


sub tags
{
    my ($s) = @_;

    for my $key ('parts/1', 'a%20b/%C3%BC%2B%26%3D/1.pcapng') {
        my $text = signed($s, "$s->{url}/captures/$key?tagging=");

        like($text, qr{<Key>user</Key><Value>o_hara _ co=1</Value>},
            "$s->{name}: the user is a tag of $key");
        like($text, qr{<Key>target</Key><Value>cf/42/web 0</Value>},
            "$s->{name}: and the target");
    }
}


# Uploads that do not come to their end in the usual way.
sub ends
{
    my ($s) = @_;

    my $file = file_of($s->{dir}, 5 * $MIB);
    my ($text, $status) = s3($s, {}, 'begin', 'left', $file);
    my ($upload) = $text =~ /^part 1\n(\S+)\n$/;
    ok($upload, "$s->{name}: an upload is begun") or diag($text);

    like(signed($s, "$s->{url}/captures?uploads="), qr/\Q$upload\E/,
        "$s->{name}: and known");
    is((s3($s, {}, 'abort', 'left', $upload))[1], 0, "$s->{name}: given up");
    unlike(signed($s, "$s->{url}/captures?uploads="), qr/\Q$upload\E/,
        "$s->{name}: and gone");
    is((s3($s, {}, 'abort', 'left', $upload))[1], 0,
        "$s->{name}: twice is no error");

    ($text, $status) = s3($s, {}, 'again', 'twice', $file, 5 * $MIB);
    is($status, 0, "$s->{name}: completed, and the answer lost") or diag($text);

    ($text, $status) = s3($s, {}, 'upload', 'small',
        file_of($s->{dir}, 5 * $MIB - 1), $MIB);
    is($status, 1, "$s->{name}: parts that are too small");
    like($text, qr/400 EntityTooSmall/, "$s->{name}: and it says so");

    is((s3($s, {}, 'rm', 'twice'))[1], 0, "$s->{name}: removed");
    ($text, $status) = s3($s, {}, 'size', 'twice');
    like($text, qr/404/, "$s->{name}: it is not there any more");
    is((s3($s, {}, 'rm', 'twice'))[1], 0,
        "$s->{name}: removing it twice is no error");
}


sub refusals
{
    my ($s) = @_;

    my $file = file_of($s->{dir}, 1);
    my $t0 = time();
    local $ENV{S3_RETRY_S} = 60;
    my ($text, $status) = s3($s, { S3_SECRET_KEY => 'another-secret' }, 'put',
        'k', $file);
    is($status, 1, "$s->{name}: a wrong secret");
    like($text, qr/403 SignatureDoesNotMatch/, "$s->{name}: and it says so");
    unlike($text, qr/another-secret/, "$s->{name}: without the secret");

    ($text, $status) = s3($s, { S3_ACCESS_KEY => 'nobody' }, 'put', 'k',
        $file);
    like($text, qr/403 InvalidAccessKeyId|404 XAdminUserNotFound/,
        "$s->{name}: a wrong key");

    # this MinIO takes any region, also when it is told its own
    if ($s->{name} ne 'minio') {
        ($text, $status) = s3($s, { S3_REGION => 'eu-west-9' }, 'put', 'k',
            $file);
        is($status, 1, "$s->{name}: a wrong region");
        like($text, qr/40[03] \w+/, "$s->{name}: and it says so");
    }

    ($text, $status) = s3($s, { S3_BUCKET => 'nothing' }, 'put', 'k', $file);
    like($text, qr/404 NoSuchBucket/, "$s->{name}: a wrong bucket");
    cmp_ok(time() - $t0, '<', 20, "$s->{name}: none of these is tried again");

    # by a clock that is behind, the certificates of this test are not yet good
    for my $off ($s->{ca} ? () : -1200, 1200) {
        ($text, $status) = s3($s, { S3_CLOCK_S => $off }, 'upload',
            "off$off", file_of($s->{dir}, 5 * $MIB), 5 * $MIB);
        is($status, 0, "$s->{name}: a clock that is $off s off") or diag($text);
    }
}


# The server is killed in the middle of an upload, and comes back.
sub away
{
    my ($s) = @_;

    my $file = file_of($s->{dir}, 300 * $MIB);
    my $pipe;

    {
        local %ENV = (%ENV, where($s), S3_RETRY_S => 60);
        open $pipe, '-|', $client, 'upload', 'away', $file, 16 * $MIB
            or die "$client: $!\n";
    }

    while (my $line = <$pipe>) {
        last if $line eq "part 3\n";
    }

    end($s);
    select undef, undef, undef, 3;
    ok(begin($s), "$s->{name}: killed in an upload, and back after 3 s");

    my $text = join '', <$pipe>;
    close $pipe;
    is($?, 0, "$s->{name}: the upload came to its end") or diag($text);
    like($text, qr/^part 19$/m, "$s->{name}: with all its parts");
    comes_back($s, 'away', $file, "$s->{name}, away");
}


sub run_server
{
    my ($s) = @_;

    prepare($s, tempdir(CLEANUP => 1));

    if (!ok(begin($s), "$s->{name} runs")) {
        diag(run_words('tail', '-5', "$s->{dir}/log"));
        return;
    }

    my $status = signed($s, '-X', 'PUT', '-w', '%{http_code}',
        "$s->{url}/captures");
    like($status, qr/200$/, "$s->{name}: a bucket, made by curl");

    sizes($s);
    urls($s);
    tags($s);
    ends($s);
    refusals($s);
    away($s);
    end($s);
}


system('ip', 'link', 'set', 'lo', 'up') == 0 or die "lo\n";
my @why = split /\n/, $ENV{INTEROP_WHY}, -1;

my @servers = servers();

for my $i (0 .. $#servers) {
    SKIP: {
        skip($why[$i], 1) if $why[$i];
        eval { run_server($servers[$i]); 1 } or fail($@);
    }
}

END { end_all() }

done_testing();
