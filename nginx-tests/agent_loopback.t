# Captures that begin while the loopback interface is busy: each packet there
# passes a packet socket twice, and libpcap hides one of them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use PcapTest;
use Test::More;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Certs;
use PcapTest::Pcapng qw(parse);
use PcapTest::Traffic qw(flood packet_id);

use constant CAPTURES => 12;

my $agent = PcapTest::Agent->new(certs => PcapTest::Certs->new(),
    conf => { user => 'nobody', buffer_bytes => 1 << 20 });
my @floods = map { flood(to => '127.0.0.1', id => $_, pps => 30_000,
    count => 100_000_000) } 1, 2;

for my $interface (qw(lo any)) {
    my ($started, $whole, $foreign) = (0, 0, 0);

    for (1 .. CAPTURES) {
        my $c = PcapTest::AgentClient->new($agent);

        # nothing of the flood passes this
        $c->get("/v1/capture?interface=$interface&filter=udp+port+7");
        $started += $c->started() ? 1 : 0;
        diag($c->{body}) if ($c->{status} || 0) != 200;
        $c->half_close();
        $c->read_to_end(10);
        next if !$c->{complete};
        $whole++;
        $foreign += scalar @{ parse($c->{body})->{packets} };
    }

    is($started, CAPTURES, "$interface: every capture begins");
    is($whole, CAPTURES, "$interface: and is whole");
    is($foreign, 0, "$interface: nothing from before the filter is in them");
}

stop_child($_, 'KILL', 5) for @floods;
finish();
