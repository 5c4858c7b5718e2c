# pcap-cli and a real pcap-store behind a real nginx: to storage, shown,
# fetched, gone on with, removed, and waited for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Cli;
use PcapTest::Lab;
use PcapTest::Router;
use PcapTest::StoreLab;


my $store = store_for(errors => qr/by signal 9/);
my $lab = lab(fakes => 2, nginx => { store => $store },
    script => sub {
    my ($c) = @_;

    return $c->refuse(400, '{"detail":"filter: syntax error"}')
        if ($c->{args}{filter}[0] || '') eq 'nonsense';
    $c->usual(20, size => 300);
});
my ($nginx, $certs) = @$lab{qw(nginx certs)};
my %api = (url => 'https://localhost:8443', certs => $certs);
my $router = PcapTest::Router->new(cut => 1.5);
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

# all that an agent refuses is known before it ends
$r = run(@ask, '30s', '-f', 'nonsense');
is($r->{code}, 1, 'a wrong filter') or diag($r->{stderr});
like($r->{stderr}, qr/^pcap-cli: .*no file: .*filter: syntax error/,
    'a wrong filter: it says so');
unlike($r->{stderr}, qr/^capturing/m, 'a wrong filter: and nothing else');

# something is missing
$r = run(@ask, '30s', '-q');
($id) = $r->{stdout} =~ /^([0-9a-f]{32})$/m;
ok(wait_for(10, sub { (-s "$store->{folder}/$id.part" || 0) > 2000 }),
    'killed: it is on the disk');
kill 'KILL', $store->process_of($id, 1);
wait_stored($nginx, $id, token => 'good');
$r = run('get', $id);
is($r->{code}, 3, 'killed: get says that something is missing');
like($r->{stderr}, qr/something is missing in the file, .*`pcap-cli show $id`/,
    'killed: and where to look');
is(join(' ', cli_files($r)), "$id.pcapng", 'killed: the file is there');

# live as well
$got = run('static', 'demo', '--tee', '--max-packets', 50, '--retention', '3h',
    '-o', 'live');
is($got->{code}, 0, '--tee') or diag($got->{stderr});
($id) = $got->{stderr} =~ /^also in storage: pcap-cli get ([0-9a-f]{32})$/m;
ok($id, '--tee: its id');
$r = run('get', $id || 'none', '-o', 'later');
is($r->{code}, 0, '--tee: fetched') or diag($r->{stderr});
ok(slurp("$r->{dir}/later") eq slurp("$got->{dir}/live"),
    '--tee: the same file');
like(run('list')->{stdout}, qr{^$id  stored .* [23]h  static/demo }m,
    '--tee: kept as long as was wanted');

# the stream is cut, and the capture goes on
$api{url} = 'https://localhost:8500';
$got = run('static', 'demo', '--tee', '--duration', '3s', '-o', 'cut');
is($got->{code}, 3, '--tee, cut') or diag($got->{stderr});
($id) = $got->{stderr}
    =~ /^(?:\S+: )?what is in storage.*: pcap-cli show ([0-9a-f]{32})$/m;
ok($id, '--tee, cut: its id') or diag($got->{stderr});
unlike($got->{stderr}, qr/continued/, '--tee, cut: nothing is continued');
$api{url} = 'https://localhost:8443';
is(wait_stored($nginx, $id || 'none', token => 'good')->{status}, 'limit',
    '--tee, cut: it goes on to its end');
$r = run('get', $id || 'none', '-o', 'all');

my ($part, $all) = (slurp("$got->{dir}/cut"), slurp("$r->{dir}/all"));

ok(length $part > 1000 && length $all > length $part,
    '--tee, cut: there is more') or diag(length $part, ' of ', length $all);

# Ctrl-C, and what was captured before it comes all the same
my $tee = cli_start(\%api, [ 'static', 'demo', '--tee', '--duration', '60s',
    '--json', '-o', 'stopped' ], env => { PCAP_TOKEN => 'good' });

ok(wait_for(10, sub { -s "$tee->{dir}/stopped" }), '--tee: it runs');
kill 'INT', $tee->{pid};
$got = cli_end($tee);
is($got->{code}, 0, '--tee, Ctrl-C') or diag($got->{stderr});
is("$got->{json}{status} $got->{json}{stored}", 'stopped 1',
    '--tee, Ctrl-C: JSON');
is(wait_stored($nginx, $got->{json}{capture_id}, token => 'good')->{status},
    'stopped', '--tee, Ctrl-C: ended for both');

finish();
