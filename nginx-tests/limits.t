# Limits are exact to the record, a capture ends by them properly and says
# which one it was.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use Time::HiRes qw(time);


my $lab = lab(fakes => 2, script => sub {
    my ($c) = @_;

    # 100 bytes, numbered; much at once, so that a limit falls into a chunk
    $c->begin();
    $c->stay(limit(30), sub { $c->traffic($c->{n} ? 3 : 70, 100) });
    $c->end();
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};


sub limited
{
    my ($query, $which, %o) = @_;

    my $start = time();
    my $c = $nginx->get("/v1/capture/static/demo?$query");
    my $name = $o{name} || $query;

    status_is($c, 200, $name);
    $c->read_end(15);

    my $file = $query =~ /format=pcap\b/ ? pcap_ok($c, status => 'limit',
        name => $name) : capture_ok($c, status => 'limit', name => $name,
        last => $o{last});

    if ($query !~ /format=pcap\b/) {
        has_message($file, 'LIMIT_REACHED', 'api', qr/$which/,
            "$name: LIMIT_REACHED names it");
    }

    agents_quiet($name, $fake);

    return ($file, time() - $start, $c);
}


# --- max_packets ----------------------------------------------------------

for my $n (1, 7, 69, 70, 71, 1000) {
    my ($file) = limited("max_packets=$n", 'max_packets', last => 1);
    is(scalar @{ $file->{packets} }, $n, "exactly $n packets");
}

my ($file) = limited('max_packets=123&format=pcap', 'max_packets');
is(scalar @{ $file->{packets} }, 123, 'exactly 123 packets of pcap');

# --- max_bytes ------------------------------------------------------------

for my $case ([ 100, 1 ], [ 199, 1 ], [ 200, 2 ], [ 12_345, 123 ],
    [ '10k', 102 ])
{
    ($file) = limited("max_bytes=$case->[0]", 'max_bytes', last => 1);
    is(scalar @{ $file->{packets} }, $case->[1],
        "max_bytes=$case->[0]: the one that would exceed is not sent");
}

($file) = limited('max_bytes=99', 'max_bytes');
is(scalar @{ $file->{packets} }, 0, 'not even the first fits');
($file) = limited('max_bytes=5000&format=pcap', 'max_bytes');
is(scalar @{ $file->{packets} }, 50, 'pcap: 50 packets');

# whichever comes first
($file) = limited('max_bytes=1m&max_packets=5&duration=20s', 'max_packets');
is(scalar @{ $file->{packets} }, 5, 'the first of three limits');

# --- duration -------------------------------------------------------------

($file, my $took, my $c) = limited('duration=1s', 'duration');
cmp_ok($c->{eof_at} || time(), '>', 0, 'ended');
cmp_ok($took, '>=', 1, 'not before 1 s');
cmp_ok($took, '<', limit(3.5), 'soon after');

my ($first, $last) = @{ $file->{packets} }[0, -1];

cmp_ok(($last->[1] - $first->[1]) / 1e9, '<=', 1.6, 'packets of one second')
    if $first;
(undef, $took) = limited('duration=300ms', 'duration');
cmp_ok($took, '<', limit(2.5), 'milliseconds');
(undef, $took) = limited('duration=1&format=pcap', 'duration');
cmp_ok($took, '>=', 1, 'a bare number is seconds');

finish();
