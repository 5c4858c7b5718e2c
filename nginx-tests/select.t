# Which instances: instance=, groups, the order of targets, and the limits
# of the configuration.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = lab(fakes => 4, script => sub {
    my ($c) = @_;

    $c->begin();
    $c->traffic(5);
    $c->end();
}, nginx => { pcap => 'pcap_api_static other api/0 127.1.0.9:9494'
    . ' tls_name=pcap-agent; pcap_api_max_targets 3;'
    . ' pcap_api_agent_ranges 127.1.0.0/24;' });
my ($nginx, $fake) = @$lab{qw(nginx fake)};


sub names_of
{
    my ($query, $name) = @_;

    my $c = $nginx->get("/v1/capture/static/$query");

    $c->read_end(10);

    my $file = capture_ok($c, status => 'complete', name => $query);

    return join ' ', map { $_->{name} } @{ $file->{ifaces} };
}


is(names_of('demo?instance=web/2'), 'web/2/eth0', 'one');
is(names_of('demo?instance=web%2F3'), 'web/3/eth0', 'encoded');
is(names_of('demo?instance=web/3&instance=web/1'), 'web/1/eth0 web/3/eth0',
    'two, in target order');
is(names_of('demo?instance=web/1&instance=web/1'), 'web/1/eth0',
    'the same twice is once');
is(names_of('other'), 'api/0/eth0', 'another group');

problem_is($nginx->fetch('/v1/capture/static/demo?instance=web/9'), 404,
    qr{web/9}, 'unknown instance');
problem_is($nginx->fetch('/v1/capture/static/demo?instance=web/1&'
    . 'instance=web/9'), 404, qr{web/9}, 'one of two is unknown');
problem_is($nginx->fetch('/v1/capture/static/nowhere'), 404, undef,
    'unknown group');
problem_is($nginx->fetch('/v1/capture/static/'), 404, undef, 'no group');
problem_is($nginx->fetch('/v1/capture/static/demo/web'), 404, undef,
    'something behind the group');
problem_is($nginx->fetch('/v1/capture/static/%2e%2e'), 404, undef, 'dots');
problem_is($nginx->fetch('/v1/capture/static/demo'), 413, undef,
    'more than pcap_api_max_targets');

agents_quiet('all', $fake);

finish();
