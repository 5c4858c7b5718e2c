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
        name => $query, packets => $fake->sent_in($c, @{ $o{wait} }));

    is(verdicts_of($file)->{api}{late}, 0, 'nothing is late');
    agents_quiet($query, $fake);

    return $file;
}


# The offset (ms) that the file gives for an instance. A busy machine adds
# the time that the first block took.
sub offset_of
{
    my ($file, $n) = @_;

    my ($iface) = grep { $_->{name} =~ m{^web/$n/} } @{ $file->{ifaces} };

    return $iface->{description} =~ /clock_offset_ms=([-+][\d.]+)/
        ? $1 : undef;
}


for my $n (1, 2, 5) {
    my $file = run("instance=web/0&instance=web/$n", wait => [ 0, $n ]);
    my $off = offset_of($file, $n);

    cmp_ok(abs($off - 1000 * $SKEW{$n}), '<', 1000,
        'the offset stands in the interface description');

    # announced is what is over 100 ms, and nothing else
    for my $k (0, $n) {
        is((grep { $_->[0] eq 'CLOCK_SKEW' && $_->[1] eq "web/$k" }
            messages_of($file)) ? 1 : 0,
            abs(offset_of($file, $k)) >= 101 ? 1 : 0,
            "CLOCK_SKEW of web/$k, if it is off");
    }
}

for my $n (3, 4) {
    my $file = run("instance=web/0&instance=web/$n", wait => [0],
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
