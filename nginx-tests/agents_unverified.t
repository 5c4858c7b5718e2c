# Agents that nobody has verified: nothing that they say is taken, no packet
# and no refusal, whether they would show a certificate or not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Fake;
use PcapTest::Lab;


sub script
{
    my ($c) = @_;

    return $c->refuse(403, '{"detail":"the policy forbids it"}')
        if ($c->{args}{filter}[0] || '') eq 'udp';
    $c->usual(2);
}


my $lab = lab(fakes => 2, script => \&script);
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my $path = '/v1/capture/static/demo?max_packets=2';

PcapTest::Fake->new(certs => $lab->{certs}, port => 9496, raw => sub {
    my ($c) = @_;

    $c->read_request() && script($c);
});

capture_ok($nginx->fetch($path), status => 'limit', name => 'verified');
problem_is($nginx->fetch("$path&filter=udp"), 403, qr/the policy forbids it/,
    'verified, refuses');

for my $conf ([ 'proxy_ssl_verify off', { proxy_ssl_verify => 'off' } ],
    [ 'http', { proxy_pass => 'http://127.1.0.1:9496$pcap_agent_uri' } ])
{
    my ($name, $lines) = @$conf;

    my $before = length $nginx->log();

    $nginx->{agent} = $lines;
    ok($nginx->reload(), "$name: reload");

    for my $query ('', '&filter=udp') {
        problem_is($nginx->fetch("$path$query"), 502,
            qr/does not verify its agents: .*"proxy_ssl_verify on"/,
            "$name$query");
    }

    like(substr($nginx->log(), $before),
        qr/proxy_ssl_verify on" is missing .* nobody knows who/,
        "$name: it is logged");
}

finish();
