# Bench::Cgroup: two CPU groups of the benchmark's own, below the root of the
# cpu controller, version 1 or 2. "rest" has the highest weight, so that other
# work on the machine decides as little as possible; "share" has the same
# weight and a quota. A process moved into the share has that part of one core
# and no more. Both are removed at the end, also after Ctrl-C.

package Bench::Cgroup;

use strict;
use warnings;

use File::Basename qw(basename);
use Bench::Common;

# Kernel: neither quota nor period may be shorter (kernel/sched/core.c,
# min_cfs_quota_period).
our $QUOTA_MIN_US = 1000;
our $PERIOD_MIN_US = 5000;


# (version, folder of the cpu controller), nothing where there is none.
sub controller
{
    for (split /\n/, slurp('/proc/self/mounts')) {
        my (undef, $dir, $type, $options) = split ' ';

        return (1, $dir) if $type eq 'cgroup'
            && grep { $_ eq 'cpu' } split /,/, $options;
        return (2, $dir) if $type eq 'cgroup2'
            && slurp("$dir/cgroup.controllers") =~ /\bcpu\b/;
    }

    return;
}


# Where this process is now, to go back to.
sub home
{
    my ($version, $root) = @_;

    for (split /\n/, slurp('/proc/self/cgroup')) {
        my (undef, $names, $path) = split /:/, $_, 3;

        return "$root$path" if $version == 2 ? $names eq ''
            : grep { $_ eq 'cpu' } split /,/, $names;
    }

    return $root;
}


sub put
{
    my ($file, $text) = @_;

    open my $fh, '>', $file or return 0;

    return syswrite($fh, $text) && close $fh;
}


sub make
{
    my ($self, $name) = @_;

    my $dir = "$self->{root}/" . basename(scratch()) . "-$name";

    mkdir $dir or return undef;
    push @{ $self->{dirs} }, $dir;

    # the highest weight there is
    put($self->{version} == 1 ? ("$dir/cpu.shares", 262144)
        : ("$dir/cpu.weight", 10000)) or return undef;

    return $dir;
}


# undef where groups cannot be made; $why says why.
sub new
{
    my ($class, $why) = @_;

    my ($version, $root) = controller();

    if (!$version) {
        $$why = 'no cpu controller is mounted';
        return undef;
    }

    my $self = bless { version => $version, root => $root,
        home => home($version, $root), dirs => [] }, $class;

    at_end(sub { $self->remove() });

    if ($version == 2 && slurp("$root/cgroup.subtree_control") !~ /\bcpu\b/) {
        $$why = "cpu is not in $root/cgroup.subtree_control";
        return undef;
    }

    for my $name (qw(rest share)) {
        $self->{$name} = $self->make($name);

        if (!$self->{$name}) {
            $$why = "no group can be made below $root";
            return undef;
        }
    }

    return $self;
}


sub move
{
    my ($self, $name, $pid) = @_;

    return put("$self->{$name}/cgroup.procs", $pid)
        || die_line("cannot move a process to the group $name");
}


# Percent of one core; 0: no quota.
sub quota
{
    my ($self, $percent) = @_;

    my $period = $percent ? $QUOTA_MIN_US * 100 / $percent : 100000;
    $period = $PERIOD_MIN_US if $period < $PERIOD_MIN_US;
    $period = int($period);

    my $quota = $percent ? int($period * $percent / 100)
        : $self->{version} == 1 ? -1 : 'max';
    my $dir = $self->{share};
    my $ok = $self->{version} == 2 ? put("$dir/cpu.max", "$quota $period")
        : put("$dir/cpu.cfs_quota_us", -1)
          && put("$dir/cpu.cfs_period_us", $period)
          && put("$dir/cpu.cfs_quota_us", $quota);

    $ok or die_line("cannot set a quota of $percent %");

    return "$quota us of every $period us";
}


# What is still in the groups goes back where this process came from.
sub remove
{
    my ($self) = @_;

    for my $dir (@{ $self->{dirs} }) {
        wait_for(2, sub {
            put("$self->{home}/cgroup.procs", $_)
                for split /\n/, slurp("$dir/cgroup.procs");
            rmdir $dir;
            return !-d $dir;
        }) or print STDERR "bench: $dir is left\n";
    }

    $self->{dirs} = [];
}


1;
