# pcap-cli on a terminal: live rows, the question above five targets, Ctrl-C
# as a key, and packets never on the screen.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Check;
use PcapTest::Cli;
use PcapTest::Pcapng qw(parse isb);
use PcapTest::StandIn;

my $T = 1_700_000_000_000_000_000;
my $certs = PcapTest::Certs->new();

# gN: N instances, 10 packets at once, 10 more after the DELETE or the gate
my $api = PcapTest::StandIn->new(certs => $certs, script => sub {
    my ($c, $r) = @_;

    my ($n, $how) = $r->{group} =~ /^g(\d+)(|-gate)$/ or die "group\n";

    $c->begin();
    $c->chunk(PcapTest::StandIn::head($n));
    $c->chunk(PcapTest::StandIn::packets($n, 10));
    $c->chunk(isb(0, $T, filteraccept => 8, osdrop => 3, opts => [ [ 1,
        'pcap-api CONGESTED web/0: 3 packets' ] ]));

    $how ? $c->gate() : $c->wait_delete(10);

    my $status = $how ? 'complete' : 'stopped';

    $c->chunk(PcapTest::StandIn::packets($n, 10, 10));
    $c->chunk(PcapTest::StandIn::tail($n, 20, $status));
    $c->end(Status => $status, Packets => 20, Dropped => 0);
});

my $run;


sub deletes { return scalar $api->events('delete') }


sub packets_of
{
    my ($run) = @_;

    return scalar @{ parse(slurp("$run->{dir}/x"))->{packets} };
}


# --- live rows, Ctrl-C ----------------------------------------------------

$run = on_terminal($api, [ 'static', 'g2', '-o', 'x' ], keys => [
    [ qr/web\/0 +5 packets .* 3 dropped.*web\/1 +5 packets .* 0 dropped/s,
      "\x03" ] ]);

ok(!$run->{hung}, 'it ends') or diag($run->{screen});
is($run->{code}, 0, 'Ctrl-C stops');
like($run->{screen}, qr/web\/1 +5 packets +110 B +0 B\/s +0 dropped/,
    'a row for each');
like($run->{screen}, qr/\r\e\[2A\e\[J/, 'rows are drawn in place');
like($run->{screen}, qr/CONGESTED: 3 packets/, 'messages between rows');
like($run->{screen}, qr/stopped\r\n$/, 'the last word');
is(packets_of($run), 20, 'all packets');
is(deletes(), 1, 'one DELETE');

# every escape sequence is one of ours
(my $rest = $run->{screen}) =~ s/\r\e\[\d+A\e\[J//g;
unlike($rest, qr/\e/, 'no other escape sequence');

unlink glob work_dir() . '/standin*.events';

# --- small terminals ------------------------------------------------------

$run = on_terminal($api, [ 'static', 'g40', '-y', '-o', 'x' ], rows => 10,
    cols => 40, keys => [ [ qr/and 32 more/, "\x03" ] ]);

is($run->{code}, 0, 'more rows than the terminal has') or diag($run->{screen});
like($run->{screen}, qr/\.\.\. and 32 more\r\n/, 'the rest is counted');
like($run->{screen}, qr/^web\/7 [^\r\n]{33,34}\r$/m, 'rows are cut');
unlink glob work_dir() . '/standin*.events';

$run = on_terminal($api, [ 'static', 'g2', '-o', 'x' ],
    env => { TERM => 'dumb' }, keys => [ [ qr/CONGESTED/, "\x03" ] ]);
is($run->{code}, 0, 'dumb terminal');
unlike($run->{screen}, qr/\e/, 'no escape sequences');
unlink glob work_dir() . '/standin*.events';

# --- the question ---------------------------------------------------------

$run = on_terminal($api, [ 'static', 'g6', '-o', 'x' ],
    keys => [ [ qr/Go on\? \[y\/N\] /, "n\n" ] ]);

is($run->{code}, 0, 'n: stopped') or diag($run->{screen});
like($run->{screen}, qr/capture of 6 instances has begun\. Go on/, 'asked');
like($run->{screen}, qr/web\/5  eth0.*Go on/s, 'targets come before');
is(deletes(), 1, 'n: by a DELETE');
is(packets_of($run), 20, 'n: the file is whole');
unlink glob work_dir() . '/standin*.events';

$run = on_terminal($api, [ 'static', 'g6-gate', '-o', 'x' ], keys => [
    [ qr/Go on\? /, "y\n" ],
    [ qr/web\/5 +1 packets/, sub { $api->open_gate() } ] ]);

is($run->{code}, 0, 'y: goes on') or diag($run->{screen});
is(deletes(), 0, 'y: no DELETE');
like($run->{screen}, qr/complete\r\n$/, 'y: to the end');
unlink glob work_dir() . '/standin*.gate';

$run = on_terminal($api, [ 'static', 'g6', '-o', 'x' ],
    keys => [ [ qr/Go on\? /, "\x03" ] ]);
is($run->{code}, 0, 'Ctrl-C at the question');
is(deletes(), 1, 'is a DELETE');
unlink glob work_dir() . '/standin*.events';

$run = on_terminal($api, [ 'static', 'g6', '-o', 'x' ],
    keys => [ [ qr/Go on\? /, "\x04" ] ]);
is($run->{code}, 0, 'Ctrl-D at the question');
is(deletes(), 1, 'is a no');
unlink glob work_dir() . '/standin*.events';

# the API ends while the question stands
$run = on_terminal($api, [ 'static', 'g6-gate', '-o', 'x' ],
    keys => [ [ qr/Go on\? /, sub { $api->open_gate() } ] ]);
is($run->{code}, 0, 'the end does not wait for the answer');
unlink glob work_dir() . '/standin*.gate';

for my $args ([ 'g5' ], [ 'g6', '-y' ], [ 'g6', '--yes' ]) {
    $run = on_terminal($api, [ 'static', @$args, '-o', 'x' ],
        keys => [ [ qr/web\/4 +2 packets|web\/4 +1 packets/, "\x03" ] ]);
    is($run->{code}, 0, "@$args");
    unlike($run->{screen}, qr/Go on/, "@$args: not asked");
    unlink glob work_dir() . '/standin*.events';
}

# --- packets and the screen -----------------------------------------------

for my $args ([ '-o', '-' ], [ '-o', '/dev/stdout' ], [ '-o', '/dev/tty' ],
    [ '-Fo', '/dev/tty' ])
{
    $run = on_terminal($api, [ 'static', 'g2', @$args ], all => 1);
    is($run->{code}, 1, "@$args: refused");
    like($run->{screen}, qr/packets do not go to a terminal/, 'and said');
    unlike($run->{screen}, qr/PACKET/, 'no packet');
}

is(scalar(grep { $_->{event} eq 'capture' } $api->events()), 0,
    'and nothing was captured');

is(scalar $api->events('died'), 0, 'nothing odd was asked');
$api->stop();
finish();
