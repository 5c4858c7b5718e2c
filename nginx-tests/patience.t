# Who waits for whom: dead agents listed first do not keep the others out, an
# agent on a thin line is waited for, and all of them may fall ill at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Pcapng qw(epb isb);
use Time::HiRes qw(time);


my $N = 48;

my %how = (

    # more of them than may be in connect or handshake
    dead => sub {
        my ($c) = @_;

        return $c->hang() if $c->{n} < 5;
        $c->usual(1);
    },

    # web/0 brings its records at half of the speed at which they are made
    thin => sub {
        my ($c) = @_;
        my $begun = $c->now();

        $c->begin();

        if ($c->{n}) {
            $c->stay(limit(30), sub { $c->traffic(1) });
            return $c->end();
        }

        while (!$c->peer_state()) {
            my $t = $begun + ($c->now() - $begun) / 2;

            $c->packets([ 0, $t, 'thin' ]);
            $c->beat($t);
            select undef, undef, undef, 0.05;
        }

        $c->end();
    },

    # all but web/0 leave at once
    ill => sub {
        my ($c) = @_;

        $c->begin();

        if ($c->{n}) {
            $c->traffic(1);
            return $c->end();
        }

        $c->stay(limit(30), sub { $c->traffic(1) });
        $c->end();
    },
);

my $lab = lab(fakes => $N, nginx => { pcap => 'pcap_api_start_timeout 4s;'
    . ' pcap_api_start_parallel 2; pcap_api_reorder_window 500ms;'
    . ' pcap_api_heartbeat_timeout 10s;' },
    script => sub {
    my ($c) = @_;

    $how{ $c->{args}{filter}[0] }->($c);
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};


sub ask
{
    my ($how, $n) = @_;

    return $nginx->get("/v1/capture/static/demo?filter=$how"
        . join '', map { "&instance=web/$_" } 0 .. $n - 1);
}


# --- dead agents first -----------------------------------------------------

my $c = ask('dead', 8);

status_is($c, 200, 'five dead agents before three that live');
ok($c->read_until(limit(5), sub { seen_count($c, 5, 1) }), 'and one speaks');
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'partial', name => 'dead');

is(scalar @{ $file->{ifaces} }, 3, 'the three are in the file');
instance_failed($file, "web/$_") for 0 .. 4;
agents_quiet('dead', $fake);

# --- a thin line -----------------------------------------------------------

$c = ask('thin', 2);

# in 4 s it falls 2 s behind: four reorder windows, less than a heartbeat's
$c->read_until(4, sub { 0 });
stop_capture($lab, $c);
$file = capture_ok($c, status => 'stopped', name => 'thin');
no_message($file, 'CONGESTED', 'thin: nothing is late');
agents_quiet('thin', $fake);

# --- all at once -----------------------------------------------------------

$c = ask('ill', $N);
status_is($c, 200, 'ill');
ok($c->read_until(limit(10), sub {
    my %left = map { $_ => 1 } $c->{body} =~
        /pcap-api CAPTURE_STOPPED (web\/\d+): /g;
    return keys %left == $N - 1;
}), 'each of them is named, however many they are');
unlike($c->{body}, qr/messages more/, 'and none is left out');
stop_capture($lab, $c);
capture_ok($c, status => 'partial', name => 'ill');
agents_quiet('ill', $fake);

finish();
