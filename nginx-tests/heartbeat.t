# The heartbeat that agents are asked for: what pcap_api_heartbeat says, and
# without it by how many agents the worker has.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;

my $FEW = 50;


my $lab = lab(fakes => $FEW + 1, script => sub {
    my ($c) = @_;

    $c->gate('late', silent => 1) if ($c->{args}{filter}[0] || '') eq 'late';
    $c->begin();
    $c->traffic(1);
    $c->stay(60) if ($c->{args}{filter}[0] || '') eq 'stay';
    $c->end();
}, nginx => { conns => 1024,
    pcap => 'pcap_api_start_timeout 30s;',
    server => 'location /v1/said/ { pcap_api on;'
    . ' pcap_api_static demo web/50 127.1.0.51:9494 tls_name=pcap-agent;'
    . ' pcap_api_introspection /_pcap_introspect; pcap_api_heartbeat 30ms; }'
    });
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my $seen = 0;


# What each agent of one capture was asked for, the number of them for each.
sub asked
{
    my ($query, $base) = @_;

    $base ||= '/v1';

    my $c = $nginx->get("$base/capture/static/$query", header_seconds => 35);

    $c->read_end(10);
    status_is($c, 200, $query =~ /instance/ ? 'some' : 'all');

    my @requests = grep { $_->{event} eq 'request' } $fake->events();
    my %by;

    $by{"@{ $_->{args}{heartbeat_ms} }"}++ for @requests[$seen .. $#requests];
    $seen = @requests;

    return \%by;
}


my $some = join '&', map { "instance=web/$_" } 0 .. $FEW - 1;

is_deeply(asked("demo?$some"), { 15 => $FEW }, '50 agents: 15 ms');
is_deeply(asked('demo'), { 100 => $FEW + 1 }, '51 agents: 100 ms');
is_deeply(asked('demo?instance=web/50'), { 15 => 1 }, 'one agent: 15 ms');

my $c = $nginx->get("/v1/capture/static/demo?filter=stay&$some",
    header_seconds => 35);

status_is($c, 200, '50 that go on');
$seen += 50;
is_deeply(asked('demo?instance=web/50'), { 100 => 1 }, 'the 51st: 100 ms');
stop_capture($lab, $c);
is_deeply(asked('demo?instance=web/50'), { 15 => 1 }, 'alone again: 15 ms');
is_deeply(asked('demo?instance=web/50', '/v1/said'), { 30 => 1 },
    'what the configuration says');

# those that have not answered yet count as well
$c = $nginx->get("/v1/capture/static/demo?filter=late&$some", no_wait => 1);
ok($fake->wait_event(35, 'request', undef, $seen + $FEW), '50 are asked');
$seen += $FEW;
is_deeply(asked('demo?instance=web/50'), { 100 => 1 },
    'the 51st beside 50 that have not answered: 100 ms');
$fake->open_gate('late');
$c->read_header(35);
$c->read_end(10);
is_deeply(asked('demo?instance=web/50'), { 15 => 1 }, 'and alone: 15 ms');
agents_quiet('heartbeat', $fake);

finish();
