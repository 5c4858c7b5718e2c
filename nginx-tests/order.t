# The order of the merge with agents whose records are known: equal time
# stamps keep target order, the same input gives the same output, a silent
# agent holds the others back for the reorder window and no longer, and what
# it brings later is sent, counted and announced.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $base = now_ns();
my $lab = lab(fakes => 3, nginx => { pcap =>
    'pcap_api_max_clock_skew 0; pcap_api_reorder_window ' . limit(500)
    . 'ms;' },
    script => sub {
    my ($c) = @_;

    # times in the near past, the same for all agents, equal ones included
    if (($c->{args}{filter}[0] || '') ne 'late') {
        $c->begin(t => $base);
        srand 7 + $c->{n};
        my $t = $base;
        for my $chunk (1 .. 20) {
            my @records;
            for (1 .. 50) {
                $t += 1000 * int rand 3;
                push @records, [ 0, $t, pack 'a8NN', 'PCAPTEST', $c->{n},
                    $c->{seq}++ ];
            }
            $c->packets(@records);
            $c->beat($t) if $chunk % 5 == 0;
        }
        $c->end();
        return;
    }

    # web/0 is silent until the gate opens, then brings what is old by now
    $c->begin();

    if ($c->{n} == 0) {
        my $old = $c->now();
        open my $begun, '>', "$c->{file}.begun" or die "begun: $!\n";
        close $begun;
        $c->gate('go', silent => 1);
        $c->packets(map { [ 0, $old + $_, pack 'a8NN', 'PCAPTEST', 0, $_ ] }
            0 .. 9);
        $c->stay(limit(30));
    } else {
        # no record is older than what web/0 has promised
        $c->gate('begun');
        $c->stay(limit(30), sub { $c->traffic(1) });
    }

    $c->end();
});

# --- determinism ----------------------------------------------------------

my @runs;

for my $run (0, 1) {
    my $c = $lab->{nginx}->get('/v1/capture/static/demo');
    $c->read_end(15);
    push @runs, capture_ok($c, status => 'complete', name => "run $run",
        packets => { map { ("web/$_" => 1000) } 0 .. 2 });
}

my $flat = sub { join ' ', map { "$_->[0]:" . join '.', unpack 'x8NN',
    $_->[4] } @{ $_[0]{packets} } };

ok($flat->($runs[0]) eq $flat->($runs[1]), 'same input, same output');

my ($last, $wrong) = ([ 0, 0 ], 0);

for my $p (@{ $runs[0]{packets} }) {
    $wrong++ if $p->[1] == $last->[1] && $p->[0] < $last->[0];
    $last = $p;
}

is($wrong, 0, 'equal time stamps keep target order');
is(verdicts_of($runs[0])->{api}{late}, 0, 'nothing is late');

# --- a silent agent -------------------------------------------------------

my $c = $lab->{nginx}->get('/v1/capture/static/demo?filter=late');

status_is($c, 200);

my $start = Time::HiRes::time();

ok($c->read_until(5, sub { seen_count($c, 1, 0) }), 'the others come');
cmp_ok(Time::HiRes::time() - $start, '>=', 0.4,
    'but not before the reorder window is over');
ok($c->read_until(5, sub { seen_count($c, 1, 8) }), 'and go on');
$lab->{fake}->open_gate('go');
ok($c->read_until(5, sub { seen_count($c, 0, 9) }), 'late records come');
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'stopped', late => 1,
    packets => { 'web/0' => 10 });

is(verdicts_of($file)->{api}{late}, 10, 'late records are counted');
is(verdicts_of($file)->{'web/0'}{late}, 10, 'at their instance');
has_message($file, 'CONGESTED', 'web/0', qr/10/);
is(strict_order({ packets => [ grep { $_->[0] != 0 }
    @{ $file->{packets} } ] }), 0, 'the others are in order');
agents_quiet('late', $lab->{fake});

finish();
