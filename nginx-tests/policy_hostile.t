#!/usr/bin/perl

# What agents say of their policy (if_filter) is cleaned and bounded, whatever
# it is, and costs no capture anything.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;

my @said = (
    "\0(not (...)) and (not (a\e[2J\xff\0b)) and (udp)",
    "\0(not (...)) and (not (" . 'host 192.0.2.1 or ' x 1700
        . 'tcp)) and (udp)',
    "\1" . 'B' x 80,
    "\0",
    '',
    "\0(not ((((((((",
    "\0))) and (not (x)) and (udp)",
    "\0(not (...)) and (not (x)) and (tcp)",
    "\0(not (...)) and (udp)",
    "\0(not ()) and (not ()) and (udp)",
    "\0" . 'x' x 65534,
    "\0 and (udp)",
    "\0(not (%s%n)) and (not (%s%n%V)) and (udp)",
);

my $lab = lab(fakes => scalar @said, script => sub {
    my ($f) = @_;

    $f->begin(ifaces => [ map { { name => $_, opts =>
        [ [ 11, $said[ $f->{n} ] ] ] } } @{ $f->{args}{interface} } ]);
    $f->traffic(2);
    $f->end();
});

my $c = $lab->{nginx}->get('/v1/capture/static/demo?interface=eth0&interface=lo'
    . '&filter=udp');
$c->read_end(10);

my $file = capture_ok($c, status => 'complete', name => 'any text');
my @filters = map { $_->{filter} } @{ $file->{ifaces} };

is(scalar @filters, 2 * @said, 'each interface is there');
is_deeply([ @filters[ map { 2 * $_ } 0 .. $#said ] ],
    [ @filters[ map { 2 * $_ + 1 } 0 .. $#said ] ], 'with the same filter');
@filters = @filters[ map { 2 * $_ } 0 .. $#said ];

is($filters[0], "\0(not (...)) and (not (a?[2J??b)) and (udp)", 'cleaned');
is((grep { defined && length > 1001 } @filters), 0, 'at most 1000 bytes');
is(length $filters[$_], 1001, "cut: $_") for 1, 10;
like($filters[$_], qr/\.\.\.\z/, "with dots: $_") for 1, 10;
ok(!defined $filters[$_], "no text: $_") for 2, 3, 4;
is($filters[5], $said[5], 'as it came');
is((grep { defined && substr($_, 0, 1) ne "\0" } @filters), 0,
    'all of them are said to be text');

my %told;

for my $m (messages_of($file)) {
    $told{ $m->[1] } = $m->[2] if $m->[0] eq 'POLICY';
}

is_deeply([ sort keys %told ], [ 'web/0', 'web/1', 'web/12' ],
    'words where the text is what it should be');
is($told{'web/0'}, "this machine's policy leaves out packets: (a?[2J??b)",
    'cleaned, too');
like($told{'web/1'}, qr/^[^\n]{100,250} \.\.\.\)$|^[^\n]{100,250}\.\.\.\)$/,
    'and cut');
is($told{'web/12'}, "this machine's policy leaves out packets: (%s%n%V)",
    'no format');

agents_quiet('any text', $lab->{fake});

finish();
