# PcapTest::Net: the hosts of a test. A host is a network namespace with a
# management interface towards nginx (mgmt0) and as many links to other
# hosts as the test joins. Links are silent by themselves: no IPv6, fixed
# neighbours. Everything dies with the namespaces of the test.

package PcapTest::Net;

use strict;
use warnings;

use PcapTest;


sub new
{
    my ($class) = @_;

    return bless { hosts => {}, nlinks => 0 }, $class;
}


sub quiet
{
    my ($ns) = @_;

    my @in = defined $ns ? ('ip', 'netns', 'exec', $ns) : ();

    must(@in, 'sh', '-c', 'for f in all default; do'
        . ' p=/proc/sys/net/ipv6/conf/$f/disable_ipv6;'
        . ' [ ! -e $p ] || echo 1 > $p; done');
}


# Makes a host; returns { ns, addr } where addr is its management address.
# nginx is reached from there at { gw }.
sub host
{
    my ($self, $ns) = @_;

    quiet() if !%{ $self->{hosts} };

    my $n = 1 + keys %{ $self->{hosts} };
    my $host = { ns => $ns, gw => "10.9.$n.1", addr => "10.9.$n.2" };

    must('ip', 'netns', 'add', $ns);
    quiet($ns);
    must(qw(ip -n), $ns, qw(link set lo up));
    must(qw(ip link add name), "m$n", qw(type veth peer name mgmt0 netns),
        $ns);
    must(qw(ip addr add), "$host->{gw}/24", 'dev', "m$n");
    must(qw(ip link set), "m$n", 'up');
    must(qw(ip -n), $ns, qw(addr add), "$host->{addr}/24", qw(dev mgmt0));
    must(qw(ip -n), $ns, qw(link set mgmt0 up));

    return $self->{hosts}{$ns} = $host;
}


sub mac
{
    my ($ns, $dev) = @_;

    my $text = `ip -n $ns -o link show dev $dev`;

    $text =~ m{link/ether ([0-9a-f:]+)} or die "no address of $ns $dev\n";

    return $1;
}


# Joins two hosts; both ends are called $dev. Returns their addresses.
sub join_hosts
{
    my ($self, $left, $right, $dev) = @_;

    my $n = ++$self->{nlinks};
    my @end = ([ $left->{ns}, "192.168.$n.1" ],
        [ $right->{ns}, "192.168.$n.2" ]);

    $dev ||= 'eth0';

    must(qw(ip link add name), $dev, 'netns', $left->{ns},
        qw(type veth peer name), $dev, 'netns', $right->{ns});

    for my $e (@end) {
        must(qw(ip -n), $e->[0], qw(addr add), "$e->[1]/24", 'dev', $dev);
        must(qw(ip -n), $e->[0], qw(link set), $dev, 'up');
    }

    must(qw(ip -n), $end[0][0], qw(neigh replace), $end[1][1], 'lladdr',
        mac($end[1][0], $dev), 'dev', $dev, qw(nud permanent));
    must(qw(ip -n), $end[1][0], qw(neigh replace), $end[0][1], 'lladdr',
        mac($end[0][0], $dev), 'dev', $dev, qw(nud permanent));

    return map { $_->[1] } @end;
}


1;
