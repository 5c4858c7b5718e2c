# PcapTest::Confined: what the kernel says of the one process that serves a
# connection of a real agent: its capabilities, its lists, its limits and what
# it has open.

package PcapTest::Confined;

use strict;
use warnings;

use Exporter qw(import);
use PcapTest;
use Test::More;

our @EXPORT = qw(confined status_of $CAP_NET_RAW);

our $CAP_NET_RAW = sprintf '%016x', 1 << 13;


sub status_of
{
    my ($pid) = @_;

    return { slurp("/proc/$pid/status") =~ /^(\w+):\s*(.*?)\s*$/mg };
}


# Options: filters (how many lists), open (a pattern of its descriptors), and
# by name the sets of capabilities that are not empty.
sub confined
{
    my ($agent, $name, %want) = @_;

    # not one that is just ending
    ok(wait_for(5, sub { $agent->connections() == 1 }), "$name: one process");

    my ($pid) = children($agent->{pid});
    my $s = status_of($pid);

    is(join(' ', map { "$_ $s->{$_}" } qw(CapInh CapPrm CapEff CapBnd
        CapAmb)), join(' ', map { "$_ " . ($want{$_} || '0' x 16) }
        qw(CapInh CapPrm CapEff CapBnd CapAmb)), "$name: capabilities");
    is("$s->{NoNewPrivs} $s->{Seccomp}", '1 2',
        "$name: no_new_privs, seccomp");
    is($s->{Seccomp_filters}, $want{filters}, "$name: so many lists")
        if exists $s->{Seccomp_filters};
    isnt((split ' ', $s->{Uid})[1], 0, "$name: not root");

    # the connection, the parent; a capture's socket and what wakes libpcap
    like(join(' ', sort { $a <=> $b } map { m{(\d+)$} }
        glob "/proc/$pid/fd/*"), $want{open}, "$name: what is open");
    like(slurp("/proc/$pid/limits"),
        qr/^Max core file size +0 +0 .*^Max open files +64 +64 /ms,
        "$name: limits");
    like(slurp("/proc/$pid/limits"), qr/^Max address space +\d+ +\d+ /m,
        "$name: limited memory") if !sanitized();
    is(readlink("/proc/$pid/exe"), readlink("/proc/$agent->{pid}/exe"),
        "$name: that is the agent");
}


1;
