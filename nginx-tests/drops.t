# The ledger: what agents say they lost is announced when it happens, summed
# in the verdicts and in the trailer, and told apart by instance; what a cut
# agent lost is called unknown, never zero.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = lab(fakes => 3, script => sub {
    my ($c) = @_;

    my $mode = $c->{args}{filter}[0] || '';

    $c->begin(ifaces => [ { name => 'eth0' }, { name => 'eth1' } ]);
    $c->traffic(10);

    # web/1 loses 7 at once and 5 later, on two interfaces
    if ($c->{n} == 1) {
        $c->{dropped} = [ 7, 0 ];
        $c->beat();
        $c->gate('more');
        $c->{dropped} = [ 7, 5 ];
        $c->beat();
    }

    # web/2 is cut, or its counters go back
    if ($c->{n} == 2 && $mode eq 'cut') {
        $c->{dropped} = [ 3, 0 ];
        $c->beat();
        $c->gate('cut');
        return $c->cut();
    }

    if ($c->{n} == 2 && $mode eq 'back') {
        $c->{dropped} = [ 3, 0 ];
        $c->beat();
        $c->gate('cut');
        $c->{dropped} = [ 2, 0 ];
        $c->beat();
    }

    $c->stay(limit(30), sub { $c->traffic(1) });
    $c->end();
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};

# --- announced and summed -------------------------------------------------

my $c = $nginx->get('/v1/capture/static/demo'
    . '?interface=eth0&interface=eth1');

ok($c->read_until(5, sub { index($_[0]{body}, 'pcap-api CONGESTED web/1')
    >= 0 }), 'drops are announced while the capture runs');
$fake->open_gate('more');
ok($c->read_until(5, sub { seen_count($c, 0, 20) && seen_count($c, 1, 15) }),
    'it goes on');
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'stopped', packets => { map { ("web/$_"
    => $fake->wait_event(5, 'sent', $_)->{sent}) } 0 .. 2 });
my $v = verdicts_of($file);

has_message($file, 'CONGESTED', 'web/1', qr/\b7\b/);
is($c->trailer('x-pcap-dropped'), 12, 'X-Pcap-Dropped is the sum');
is($v->{api}{dropped}, 12, 'api: dropped');
is($v->{'web/1'}{dropped}, 12, 'web/1: dropped, both interfaces');
is($v->{'web/0'}{dropped}, 0, 'web/0: nothing');
is($v->{'web/1'}{received}, $v->{'web/1'}{packets} + 12,
    'received is delivered and dropped');
is_deeply([ grep { $_->[0] eq 'CONGESTED' && $_->[1] ne 'web/1' }
    messages_of($file) ], [], 'nobody else was congested');

# the counters of the closing statistics, as Wireshark shows them
my %last;

$last{ $file->{ifaces}[ $_->{iface} ]{name} } = $_ for @{ $file->{isbs} };
is($last{'web/1/eth0'}{osdrop}, 7, 'isb_osdrop of eth0');
is($last{'web/1/eth1'}{osdrop}, 5, 'isb_osdrop of eth1');
is($last{'web/0/eth0'}{osdrop}, 0, 'isb_osdrop of the other');
agents_quiet('sums', $fake);

# --- cut: unknown ---------------------------------------------------------

for my $mode (qw(cut back)) {
    unlink "$fake->{file}.cut";
    $c = $nginx->get("/v1/capture/static/demo?filter=$mode&instance=web/0"
        . "&interface=eth0&interface=eth1"
        . '&instance=web/2');
    ok($c->read_until(5, sub { seen_count($c, 2, 9) }), "$mode: it runs");
    $fake->open_gate('cut');
    ok($c->read_until(5, sub { index($_[0]{body},
        'pcap-api INSTANCE_UNAVAILABLE web/2') >= 0 }), "$mode: announced");
    stop_capture($lab, $c);
    $file = capture_ok($c, status => 'partial', name => $mode,
        packets => { 'web/2' => 10 });
    $v = verdicts_of($file);
    is($v->{'web/2'}{dropped}, 3, "$mode: what is known");
    like($v->{'web/2'}{unknown_since} || '', qr/^\d{4}-/,
        "$mode: the rest is unknown");
    ok(!$v->{'web/0'}{unknown_since}, "$mode: of that one only");
    agents_quiet($mode, $fake);
}

finish();
