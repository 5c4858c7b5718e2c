# Compressed captures from POST to the file: a real nginx, a real pcap-store
# with `compress` zstd, real packets; and pcap-cli, which makes a capture of
# the file again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use PcapTest::Cli;
use PcapTest::Lab;
use PcapTest::StoreLab;
use PcapTest::Zstd;


my $store = store_for(conf => { compress => 'zstd', zstd_level => 5 });
my $lab = lab(fakes => 2, nginx => { store => $store },
    script => sub { $_[0]->usual(20, size => 300) });
my ($nginx, $certs) = @$lab{qw(nginx certs)};
my %api = (url => 'https://localhost:8443', certs => $certs);


sub run { return cli(\%api, [@_], env => { PCAP_TOKEN => 'good' }) }


for my $format ('pcapng', 'pcap') {
    my $name = "$format.zst";
    my $id = stored($nginx, $name, options => { max_packets => 50, format =>
        $format })->{id};
    my $end = wait_stored($nginx, $id)->{stored};
    my $c = download($nginx, $id);
    my $file = "$store->{folder}/$id.$name";
    my $body = $c->{body};
    my $raw = unzstd($file);

    ok(length $body && $body eq slurp($file), "$name: it is the file");
    is($c->header('content-type'), 'application/zstd', "$name: its type");
    is($c->header('content-encoding'), undef, "$name: which is no encoding");
    is($c->header('content-disposition'),
        "attachment; filename=\"$id.$name\"", "$name: its name");
    is($c->header('x-pcap-sha256'), sha256_hex($body), "$name: its digest");
    is($c->header('x-pcap-uncompressed-bytes'), length $raw,
        "$name: what it was");
    is("@$end{qw(compression bytes uncompressed_bytes)}", 'zstd '
        . length($body) . ' ' . length $raw, "$name: as the document says");
    is($end->{lost}, undef, "$name: nothing is lost");

    my $etag = $c->header('etag');

    $c = download($nginx, $id, headers => [ [ Range => 'bytes=100-' ],
        [ 'If-Range' => $etag ] ]);
    is($c->{status}, 206, "$name: the rest of it");
    is($c->{body}, substr($body, 100), "$name: to the byte");

    my $head = join ' ', 'curl -sSI --cacert', $certs->file('ca.crt'),
        "-H 'Authorization: bearer good'", "$api{url}/v1/captures/$id/file";

    like(scalar qx{$head}, qr/^content-length: ${\length $body}\r$/mi,
        "$name: HEAD");

    my $got = run('get', $id);

    is($got->{code}, 0, "$name: get") or diag($got->{stderr});
    ok(slurp("$got->{dir}/$id.$name") eq $body, "$name: as it is stored");
    $got = run('get', $id, '-o', 'x');
    is($got->{code}, 0, "$name: get -o") or diag($got->{stderr});
    ok(slurp("$got->{dir}/x") eq $raw, "$name: decompressed");
    is(run('get', $id, '-o', '-')->{stdout}, $raw,
        "$name: to standard output");
    like(qx{tshark -r $got->{dir}/x 2>/dev/null | wc -l}, qr/^50$/,
        "$name: tshark reads it");
    like(qx{zstd -q -dc $file | tshark -r - 2>/dev/null | wc -l}, qr/^50$/,
        "$name: behind zstd, too");
    like(run('show', $id)->{stdout},
        qr/^compressed zstd, ${\length $raw} bytes /m, "$name: show");
    is(run('rm', $id)->{code}, 0, "$name: rm");
    ok(!-e $file, "$name: it is gone");
}

finish();
