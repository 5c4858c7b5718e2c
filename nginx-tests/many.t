# 200 agents in one capture: all are opened, all come, in strict order, and
# all are let go.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;

my $AGENTS = 200;


my $lab = lab(fakes => $AGENTS, nginx => { conns => 2048, pcap =>
    # a sixteenth of it is when another one is begun beside a slow one: perl
    # agents may take longer than that of the default
    'pcap_api_start_timeout 60s;'

    # all other defaults, but where sanitizers are too slow for them
    . (sanitized() ? ' pcap_api_heartbeat 1s; pcap_api_reorder_window 10s;'
    . ' pcap_api_heartbeat_timeout 20s;'
    : ' pcap_api_max_targets 200;') }, script => sub {
    my ($c) = @_;

    $c->begin();
    $c->gate('go');
    $c->traffic(50) for 1 .. 4;
    $c->stay(limit(60));
    $c->end();
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my ($worker) = $nginx->workers();


# What the worker has open: paths and kinds, each with its inode; of a TCP
# connection the worker's own port as well.
sub open_files
{
    my %tcp = map { my @f = split; ($f[9] => hex((split /:/, $f[1])[1])) }
        grep { /^\s*\d+:/ } split /\n/, slurp('/proc/net/tcp');

    return map { my ($inode) = /^socket:\[(\d+)\]$/;
        $_ . ($inode && $tcp{$inode} ? ":$tcp{$inode} TCP" : '') }
        grep { defined } map { readlink $_ } glob "/proc/$worker/fd/*";
}


# A worker that has answered has opened what it needs for events.
status_is($nginx->fetch('/v1/status'), 200, 'the worker is at work');

my $fds = sub { scalar(() = glob "/proc/$worker/fd/*") };
my $before = $fds->();
my %had = map { $_ => 1 } open_files();
my $c = $nginx->get('/v1/capture/static/demo?filter=icmp',
    header_seconds => 35);

status_is($c, 200);
is($fake->connections(), $AGENTS, 'all agents are open');
cmp_ok($fds->(), '>=', $before + $AGENTS, 'each has its connection');

my @events = $fake->events();
my ($open, $most) = (0, 0);

for my $e (@events) {
    $open++ if $e->{event} eq 'accepted';
    $open-- if $e->{event} eq 'request';
    $most = $open if $open > $most;
}

cmp_ok($most, '<=', 16 + 2, 'no more than pcap_api_start_parallel at once');

$fake->open_gate('go');

ok($c->read_until(30, sub {
    my $left = 0;
    for my $n (0 .. $AGENTS - 1) {
        seen_count($c, $n, 199) or $left++ , last;
    }
    !$left;
}), 'the last packet of each has come');
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'stopped');

is(scalar @{ $file->{ifaces} }, $AGENTS, 'an interface for each');
is_deeply([ map { $_->{packets} } @{ $file->{ifaces} } ],
    [ (200) x $AGENTS ], 'all packets of each');
is(verdicts_of($file)->{api}{late}, 0, 'nothing is late');
is(scalar(grep { /^web/ } keys %{ verdicts_of($file) }), $AGENTS,
    'a verdict for each');
is(scalar keys %{ $file->{hosts} }, $AGENTS, 'a name for each address');
agents_quiet('many', $fake);

# What may be open beyond that are connections of the clients of this test
# (to port 8443), which nginx keeps until it sees that they have left.
my @more;

ok(wait_for(2, sub { !(@more = grep { !$had{$_} && !/:8443 TCP$/ }
    open_files()) }), 'no file is left open') or diag(join "\n", @more);

finish();
