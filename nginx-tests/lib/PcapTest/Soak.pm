# PcapTest::Soak: what a long run is measured by. Samples of everything that
# could grow go to a CSV file; judge() says afterwards what did. It knows
# nothing of captures and starts nothing: soak.t does, and soak_judge.t shows
# that each kind of leak is found.

package PcapTest::Soak;

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP;
use List::Util qw(max min sum0);
use Time::HiRes qw(time);
use PcapTest;

our @EXPORT_OK = qw(resources sample write_csv judge growth);

# The columns of the file, in this order; kept: ended captures that the API
# still knows. -1: the API does not tell, which is wrong.
our @COLUMNS = qw(time_s captures rows kept free_pages workers worker_rss_kib
    worker_fds master_rss_kib master_fds agent_rss_kib agent_fds agent_procs
    packets dropped started checked killed reloads load);

# Memory may grow by a tenth and 2 MiB from the second quarter to the last: a
# pool that found its size late, not a leak per capture. On a busy machine a
# short run has hardly begun by its second quarter: 16 MiB.
use constant { GROWTH => 1.1, GROWTH_KIB => 2048, SHORT_KIB => 16384,
    SHORT_S => 600 };

# Open files of one process that is idle: log files reopened, resolver
# sockets; a leak per capture would be hundreds.
use constant FDS => 2;

# Captures known take pages of the zone, ended ones for ten minutes. With two
# agents or six a row has 640 bytes, its texts 200, its targets 816 or 2500:
# as the slab rounds that, 0.89 pages in runs of 20 s and of two minutes. What
# is gone beyond that may be verdicts, and slabs not full: far below one page
# for each process that a run of half an hour kills.
use constant { ROW_PAGES => 0.9, PAGES => 64 };


# Anonymous memory in KiB (shared memory is judged by its free pages) and
# open files of one process; both 0 when it is gone.
sub resources
{
    my ($pid) = @_;

    return { rss => (slurp("/proc/$pid/status")
        =~ /^RssAnon:\s+(\d+)/m)[0] || 0,
        fds => scalar(() = glob "/proc/$pid/fd/*") };
}


sub total { my ($what, @all) = @_; return sum0(map { $_->{$what} } @all) }


# One row. $now has what only the caller knows (the columns of that name);
# nginx and agents are asked and looked at here. Workers that are about to
# leave after a reload are counted, and not weighed.
sub sample
{
    my ($nginx, $agents, $start, $now) = @_;

    my @all = $nginx->workers();
    my @workers = map { resources($_) }
        grep { slurp("/proc/$_/cmdline") !~ /shutting down/ } @all;
    my @agents = map { resources($_) } grep { $_ }
        map { $_->{pid} } @$agents;
    my $master = resources($nginx->{pid});

    return { %$now, time_s => sprintf('%.1f', time() - $start),
        workers => scalar @all,
        worker_rss_kib => total('rss', @workers),
        worker_fds => total('fds', @workers),
        master_rss_kib => $master->{rss}, master_fds => $master->{fds},
        agent_rss_kib => total('rss', @agents),
        agent_fds => total('fds', @agents),
        agent_procs => sum0(map { $_->connections() }
            grep { $_->{pid} } @$agents),
        load => (split / /, slurp('/proc/loadavg'))[0] };
}


sub write_csv
{
    my ($file, @samples) = @_;

    spew($file, join '', map { join(',', @$_) . "\n" } \@COLUMNS,
        map { [ @$_{@COLUMNS} ] } @samples);
}


sub between
{
    my ($column, $from, $to, @samples) = @_;

    return map { $_->{$column} } grep { $_->{time_s} >= $from
        && $_->{time_s} < $to } @samples;
}


# The largest values of the second and the last quarter: workers change in
# the first one only.
sub quarters
{
    my ($column, $seconds, @samples) = @_;

    return map { max(between($column, $seconds * $_->[0], $seconds * $_->[1],
        @samples)) } [ 1 / 4, 1 / 2 ], [ 3 / 4, 1 ];
}


# Text when the largest value of the last quarter is beyond that of the
# second. On a busy machine captures come late: what is served by more
# connections than before, by their count, may be more by as much.
sub growth
{
    my ($column, $seconds, @samples) = @_;

    my ($before, $after) = quarters($column, $seconds, @samples);

    return "$column: not enough samples" if !$before || !$after;

    my ($few, $many) = quarters($column =~ s/rss_kib/fds/r, $seconds,
        @samples);
    my $share = $few && $many > $few ? $many / $few : 1;
    my $most = $before * $share * GROWTH
        + ($seconds < SHORT_S ? SHORT_KIB : GROWTH_KIB);

    return $after <= $most ? () : "$column grows: $before KiB in the second"
        . " quarter, $after in the last" . ($share == 1 ? ''
        : ", with $few and $many open files");
}


# Pages of the zone that no capture explains, where there are most of them;
# and samples that do not tell.
sub pages_lost
{
    my ($idle, @samples) = @_;

    my @blind = grep { $_->{rows} < 0 || $_->{kept} < 0
        || $_->{free_pages} < 0 } $idle, @samples;

    return 'not told: rows, kept captures or free pages of '
        . @blind . ' samples, first at ' . $blind[0]{time_s} . ' s' if @blind;

    my $known = sub { $_[0]{rows} + $_[0]{kept} };

    my ($worst) = sort { $b->[0] <=> $a->[0] } map { [
        $idle->{free_pages} - $_->{free_pages}
        - ROW_PAGES * ($known->($_) - $known->($idle)), $_ ] } @samples;

    return $worst->[0] <= PAGES ? ()
        : sprintf 'free_pages sink: %d of them are not explained by %d '
        . 'captures at %s s', $worst->[0], $known->($worst->[1]),
        $worst->[1]{time_s};
}


# What is wrong, as texts: none for a clean run. $idle and $end are samples
# taken with no capture there, before and after.
sub judge
{
    my ($seconds, $idle, $end, @samples) = @_;

    my @wrong = map { growth($_, $seconds, @samples) }
        qw(worker_rss_kib master_rss_kib agent_rss_kib);

    push @wrong, pages_lost($idle, @samples, $end);

    for my $who (qw(worker_fds master_fds agent_fds)) {
        push @wrong, "$who: $idle->{$who} when idle before, $end->{$who}"
            . ' after' if $end->{$who} > $idle->{$who} + FDS;
    }

    push @wrong, "$end->{rows} rows of captures are left"
        if $end->{rows} != 0;
    push @wrong, "$end->{agent_procs} processes of agents are left"
        if $end->{agent_procs} > 0;
    push @wrong, "$end->{workers} workers, before $idle->{workers}"
        if $end->{workers} != $idle->{workers};

    return @wrong;
}


1;
