# A large capture costs as much memory as a small one: of the store's process
# that writes it, of nginx's workers that bring and send it, and of one that
# brings it live as well. STORE_MIB says how large (512; sanitizers: 64), as in
#
#     STORE_MIB=10240 prove nginx-tests/store_large.t

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::StoreLab;
use Time::HiRes qw(time);


my $mib = $ENV{STORE_MIB} || (sanitized() ? 64 : 512);
my $slack = sanitized() ? 400_000 : 2048;          # KiB
my $seconds = 60 + $mib / 20;
my $store = store_for(conf => { max_bytes => '100g', max_bytes_per_user =>
    '100g' });
my $lab = lab(fakes => 2, nginx => { store => $store, pcap =>
    'pcap_api_bandwidth off; pcap_api_client_stall 60s;' }, script => sub {
        my ($c) = @_;

        $c->begin();

        while (!$c->peer_state()) {
            $c->traffic(100, 8000);
            $c->beat();
        }

        $c->end();
    });
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my ($worker) = $nginx->workers();
my %rss;


# Notes resident memory in KiB: the least since the begin and the most.
sub look
{
    my ($what, $pid) = @_;

    my $status = eval { slurp("/proc/$pid/status") } // '';
    my ($kib) = $status =~ /^VmRSS:\s+(\d+)/m or return;
    my $r = $rss{$what} ||= { least => $kib, most => $kib };

    $r->{least} = $kib if $kib < $r->{least};
    $r->{most} = $kib if $kib > $r->{most};
}


sub flat
{
    my ($what) = @_;

    my $r = $rss{$what} || { least => 0, most => 0 };

    diag("$mib MiB, $what: $r->{least} to $r->{most} KiB");
    ok($r->{most} > 0, "$what: was looked at");
    cmp_ok($r->{most} - $r->{least}, '<=', $slack, "$what: memory is flat");
}


sub state_of
{
    my ($id) = @_;

    my $c = $nginx->fetch("/v1/captures/$id");

    return $c->{body} =~ /"state":"(?:waiting|running)","bytes"/ ? 1 : 0;
}


# A client that takes all and keeps nothing; the worker is looked at meanwhile.
sub fetched
{
    my ($what, $path) = @_;

    my $ca = $nginx->{certs}->file('ca.crt');
    my $sum = work_dir() . "/sum.$what";
    my $cmd = "curl -sS -N --cacert $ca -H 'Authorization: bearer good' "
        . "-D $sum.head 'https://localhost:8443$path' | sha256sum > $sum";
    my $pid = spawn('curl', [ 'sh', '-c', $cmd ]);
    my $status;

    # its first bytes cost buffers that stay
    wait_for(10, sub { -s "$sum.head" });
    select undef, undef, undef, 0.3;

    my $end = time() + limit($seconds);

    while (time() < $end) {
        look($what, $worker);
        $status = wait_exit($pid, 0.1);
        last if defined $status;
    }

    is($status, 0, "$what: has come");

    my ($id) = slurp("$sum.head") =~ /^x-pcap-capture-id: (\w+)/mi;

    return ((split ' ', slurp($sum))[0], $id);
}


my $doc = stored($nginx, 'up', options => { duration => '1h', max_bytes =>
    "${mib}m" });
my $id = $doc->{id};
my $writer = $store->process_of($id, 1);
my $end = time() + limit($seconds);

wait_for(10, sub { -s "$store->{folder}/$id.part" });

while (state_of($id) && time() < $end) {
    look('the store', $writer);
    look('worker, to the store', $worker);
    select undef, undef, undef, 0.1;
}

$doc = wait_stored($nginx, $id);
cmp_ok($doc->{stored}{bytes}, '>=', $mib * 1_000_000, 'so much is stored');
flat($_) for 'the store', 'worker, to the store';

my ($sum) = fetched('down', "/v1/captures/$id/file");

is($sum, $doc->{stored}{sha256}, 'down: all of it');
flat('down');
is($nginx->fetch("/v1/captures/$id/file", method => 'DELETE')->{status}, 204,
    'removed');

($sum, $id) = fetched('live', "/v1/capture/static/demo?store=1&duration=1h"
    . "&max_bytes=${mib}m");
$doc = wait_stored($nginx, $id);
is($sum, $doc->{stored}{sha256}, 'live: all of it');
flat('live');

finish();
