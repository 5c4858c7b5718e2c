#!/usr/bin/perl

# What the owner of a machine allows, where agent_policy.t does not look: in
# containers, on "any", in pcap files, and on a link type that exclude_filter
# does not compile on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use PcapTest;
use Test::More;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Cell;
use PcapTest::Certs;
use PcapTest::Pcapng qw(parse parse_pcap);
use PcapTest::Traffic qw(marker packet_id);

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $cell = PcapTest::Cell->new();
my $web = $cell->container('web-1', app => 'app-web');
my $inside = 'container=web-1&app=app-web';

must(qw(ip netns exec), $web->{ns}, qw(ip link property add dev lo altname
    eth9));

my $agent = PcapTest::Agent->new(certs => $certs, conf => $cell->conf(
    user => 'nobody', interfaces => [ 'eth*', 'any' ], max_snaplen => 70,
    exclude_filter => 'udp port 5353'));


sub refusal
{
    my ($query) = @_;

    my ($status, $doc) = $C->fetch($agent, "/v1/capture?$query");

    return "$status: " . (ref $doc ? $doc->{detail} : $doc);
}


# Two packets, of which one is never captured. Returns the file.
sub capture
{
    my ($query, $id) = @_;

    my $c = $C->capture($agent, $query, sub {
        marker(ns => $web->{ns}, to => '169.254.0.1', id => $id,
            port => $_) for 5353, 5354;
        $_[0]->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', $id,
            0) });
    });

    return $c->{body};
}


sub judge
{
    my ($name, $file, $snaplen) = @_;

    my @udp = grep { defined } map { (packet_id($_->[4]))[0] }
        @{ $file->{packets} };

    is(scalar @udp, 1, "$name: one of two");
    is($snaplen, 70, "$name: snaplen is cut");
    is((scalar grep { length $_->[4] > 70 } @{ $file->{packets} }), 0,
        "$name: and so is every packet");
}


# --- exclude_filter and max_snaplen ---------------------------------------

my $id = 0;

for my $dev (qw(eth0 any)) {
    my $f = parse(capture("$inside&interface=$dev", ++$id));

    judge("$dev, no snaplen", $f, $f->{ifaces}[0]{snaplen});

    $f = parse(capture("$inside&interface=$dev&snaplen=2000&filter=udp%20or"
        . '%20icmp', ++$id));
    judge("$dev, snaplen", $f, $f->{ifaces}[0]{snaplen});

    my $body = capture("$inside&interface=$dev&format=pcap", ++$id);
    my $p = parse_pcap($body);

    judge("$dev, pcap", $p, unpack 'x16 V', $body);
}


# --- interfaces -----------------------------------------------------------

my $not = qr/^403: (\S+) is not among the interfaces .*\(interfaces\)$/;

like(refusal("$inside&interface=lo"), $not, 'in a container as well');
like(refusal("$inside&interface=eth9"), $not,
    'and by an allowed name of another');
like(refusal("$inside&interface=eth0&interface=eth9"), $not,
    'one of several');
$agent->stop();


# --- a link type that cannot tell -----------------------------------------

$agent = PcapTest::Agent->new(certs => $certs, name => 'vlan',
    conf => { user => 'nobody', exclude_filter => 'vlan 7' });
like(refusal('interface=any'),
    qr/^403: what is never captured .* cannot be told on this link type: \S/,
    'what cannot be excluded is not captured');

my $c = $C->capture($agent, 'interface=lo', sub { });
ok($c->{complete}, 'on Ethernet it can');
$agent->stop();

$cell->destroy('web-1');
finish();
