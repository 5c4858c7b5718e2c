# Clocks that are off: a constant offset delays and is announced, nothing is
# late by it; too much is refused; a T far ahead of that is garbage.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;

my $YEARS = -5 * 365 * 86400;
my %SKEW = (1 => 3, 2 => -3, 3 => 10, 4 => -10, 5 => 0.05, 6 => $YEARS,
    7 => $YEARS);


my $lab = lab(fakes => 6, script => sub {
    my ($c) = @_;

    $c->begin(skew => int(1e9 * ($SKEW{ $c->{n} } || 0)));
    $c->stay(limit(30), sub { $c->traffic(2) });
    $c->end();
}, nginx => { server => 'location /v1/free/ { pcap_api on;'
    . ' pcap_api_introspection /_pcap_introspect; pcap_api_max_clock_skew 0;'
    . ' pcap_api_static demo web/6 127.1.0.7:9494 tls_name=pcap-agent;'
    . ' pcap_api_static demo web/7 127.1.0.8:9494 tls_name=pcap-agent; }' });
my ($nginx, $fake) = @$lab{qw(nginx fake)};


sub run
{
    my ($query, %o) = @_;

    my $c = $nginx->get(($o{path} || '/v1/capture/static/demo') . "?$query");

    status_is($c, 200, $query);

    # both sides of the offset must have come
    for my $n (@{ $o{wait} }) {
        ok($c->read_until(15, sub { seen_count($c, $n, 5) }),
            "packets of web/$n");
    }

    stop_capture($lab, $c);

    my $file = capture_ok($c, status => $o{status} || 'stopped',
        name => $query);

    is(verdicts_of($file)->{api}{late}, 0, 'nothing is late');
    agents_quiet($query, $fake);

    return $file;
}


for my $n (1, 2) {
    my $file = run("instance=web/0&instance=web/$n", wait => [ 0, $n ]);

    has_message($file, 'CLOCK_SKEW', "web/$n");
    ok(!(grep { $_->[0] eq 'CLOCK_SKEW' && $_->[1] eq 'web/0' }
        messages_of($file)), 'only of the one that is off');

    my ($iface) = grep { $_->{name} =~ m{^web/$n/} } @{ $file->{ifaces} };
    my $sign = $SKEW{$n} < 0 ? '-' : '\+?';

    like($iface->{description}, qr/$sign(?:3\.0|2\.9|30\d\d|29\d\d)/,
        'the offset stands in the interface description');
}

my $file = run('instance=web/0&instance=web/5', wait => [ 0, 5 ]);

no_message($file, 'CLOCK_SKEW', '50 ms is nothing to speak of');

for my $n (3, 4) {
    $file = run("instance=web/0&instance=web/$n", wait => [0],
        status => 'partial');
    instance_failed($file, "web/$n", qr/clock/i);
    is(count_of($file, "web/$n"), 0, 'none of its packets');

    $file = run("instance=web/$n", wait => [$n]);
    is(scalar @{ $file->{ifaces} }, 1, 'the only target may be off');
}

# 0 turns the check off, for replays
run('instance=web/6&instance=web/7', wait => [ 6, 7 ], path =>
    '/v1/free/capture/static/demo');

finish();
