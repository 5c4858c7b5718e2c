# Agents that nobody has verified: no packet of theirs is taken, whether they
# would show a certificate or not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Fake;
use PcapTest::Lab;


my $lab = lab(fakes => 2, script => sub { $_[0]->usual(2) });
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my $path = '/v1/capture/static/demo?max_packets=2';

PcapTest::Fake->new(certs => $lab->{certs}, port => 9496, raw => sub {
    my ($c) = @_;

    $c->read_request() && $c->usual(2);
});

capture_ok($nginx->fetch($path), status => 'limit', name => 'verified');

for my $conf ([ 'proxy_ssl_verify off', { proxy_ssl_verify => 'off' } ],
    [ 'http', { proxy_pass => 'http://127.1.0.1:9496$pcap_agent_uri' } ])
{
    my ($name, $lines) = @$conf;

    $nginx->{agent} = $lines;
    ok($nginx->reload(), "$name: reload");
    problem_is($nginx->fetch($path), 502,
        qr/does not verify its agents: .*"proxy_ssl_verify on"/, $name);
    like($nginx->log(), qr/proxy_ssl_verify on" is missing .* nobody knows who/,
        "$name: it is logged");
}

finish();
