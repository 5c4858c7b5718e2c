# pcap-cli and a real pcap-store behind a real nginx: to storage, shown,
# fetched, gone on with, removed, and waited for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Cli;
use PcapTest::Lab;
use PcapTest::StoreLab;


my $store = store_for();
my $lab = lab(fakes => 2, nginx => { store => $store },
    script => sub { $_[0]->usual(20, size => 300) });
my ($nginx, $certs) = @$lab{qw(nginx certs)};
my %api = (url => 'https://localhost:8443', certs => $certs);
my @ask = ('static', 'demo', '--store', '--duration');


sub run { return cli(\%api, [@_], env => { PCAP_TOKEN => 'good' }) }


my $r = run(@ask, '30s', '--retention', '2h', '-i', 'eth0', '-q');
my ($id) = $r->{stdout} =~ /^([0-9a-f]{32})$/m;

is($r->{code}, 0, '--store') or diag($r->{stderr});
wait_for(5, sub { run('show', $id)->{stdout} =~ /^packets +[1-9]/m });
is(run('get', $id)->{code}, 1, 'still written');
is(run('rm', $id)->{code}, 1, 'so it cannot be removed');
is(run('stop', $id)->{code}, 0, 'stopped');
wait_stored($nginx, $id, token => 'good');
like(run('list')->{stdout}, qr{^$id  stored .* [12]h  static/demo }m, 'list');

my $got = run('get', $id);
my $file = slurp("$got->{dir}/$id.pcapng");

is($got->{code}, 0, 'get') or diag($got->{stderr});
ok(length $file > 1000, 'a file');

my $dir = work_dir() . '/part';
my $etag = $nginx->fetch("/v1/captures/$id/file", token => 'good')
    ->header('etag');

mkdir $dir;
spew("$dir/x.part", substr $file, 0, 500);
spew("$dir/x.part.etag", "$id $etag\n");
$got = run('get', $id, '-o', "$dir/x", '-v');
is($got->{code}, 0, 'gone on with a part');
like($got->{stderr}, qr/^< HTTP\S+ 206/m, 'by a range');
ok(slurp("$dir/x") eq $file, 'it is the same');

is(run('rm', $id)->{code}, 0, 'rm');
like(run('get', $id)->{stderr}, qr/HTTP 410.* was removed at 2/, 'gone');

$got = run(@ask, '2s', '--max-packets', 5, '--wait', '-o', 'y');
is($got->{code}, 0, '--wait') or diag($got->{stderr});
is(join(' ', cli_files($got)), 'y', 'and its file');
is(run(@ask, '2s', '--retention', '30d')->{code}, 1, 'kept too long');

finish();
