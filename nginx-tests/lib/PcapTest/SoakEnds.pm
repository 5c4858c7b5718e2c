# PcapTest::SoakEnds: may a capture of soak.t have ended as it did? Each end
# needs a reason that the run itself made: a limit or a stop that was asked
# for, an agent or a worker that was killed. What the API says of it (GET
# /v1/captures/ID, the trailers, the audit log) is held against that.
#
# It asks nobody and starts nothing: soak_judge.t shows with made-up runs what
# it finds.

package PcapTest::SoakEnds;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(end_faults share_faults audit_faults whole_records);

# How the agents of "mixed" fail, each in its own way, and which of them may
# end before it is asked to.
our %MAY_FAIL = (
    'fake/1' => qr/^full$/,
    'fake/2' => qr/no connection|ended before|connection was cut/,
    'fake/3' => qr/connection was cut/,
    'fake/4' => qr/./,
);
our %MAY_END = ('fake/5' => 1);

# What the status may be for each reason; '' is none: the agents have ended,
# or failed. "partial" is explained by the targets.
our %STATUS = ('' => 'complete', user => 'stopped', admin => 'stopped',
    right => 'stopped', duration => 'limit', max_packets => 'limit');

# A connection that was made when the agent died, or is made while it starts.
use constant SLACK_S => 1;

# The record at which a snaplen would have had to cut: docs/PROTOCOL.md
use constant SNAPLEN => 262144;


# Was that end asked for? $c: see end_faults().
sub asked_for
{
    my ($c, $reason) = @_;

    return $c->{asked}{$reason} || 0 if $reason =~ /^(?:user|admin|right)$/;

    return $c->{path} =~ /[?&]$reason=/ if $reason =~ /^(?:duration|max_\w+)$/;

    return $c->{dead} if $reason eq 'worker died';

    return $reason eq '';
}


# An accident of that agent within the capture; one process that was killed
# explains one target and no other.
sub accident
{
    my ($c, $who, $what, $accidents) = @_;

    for my $a (@$accidents) {
        next if $a->{who} ne $who || $a->{what} ne $what || $a->{used}
            || $a->{t} > $c->{ended} || ($a->{until} || $a->{t})
            < $c->{began} - ($what eq 'agent' ? SLACK_S : 0);
        $a->{used} = 1 if $what eq 'process';
        return 1;
    }

    return 0;
}


# Targets that failed, or ended before they were asked to, for no reason.
sub target_faults
{
    my ($c, $row, $accidents) = @_;

    my @faults;

    for my $t (@{ $row->{targets} }) {
        my $name = $t->{name};
        my $why = $t->{error} // '';

        if ($t->{state} eq 'failed') {
            my $may = $MAY_FAIL{$name};

            push @faults, "$name failed for no reason: \"$why\""
                if $may ? $why !~ $may
                : !($why =~ /no\ connection|does\ not\ answer|going\ away
                |ended\ before/x && accident($c, $name, 'agent', $accidents))
                && !accident($c, $name, 'process', $accidents);

        } elsif (!$row->{end_reason} && !$MAY_END{$name}) {
            push @faults, "$name: $t->{state} by itself for no reason"
                if !accident($c, $name, 'agent', $accidents);
        }
    }

    return @faults;
}


# Does the status follow from the reason, and from what became of the targets?
sub status_faults
{
    my ($c, $row, $accidents) = @_;

    my $status = $row->{status};
    my $reason = $row->{end_reason} // '';
    my @targets = @{ $row->{targets} };
    my $failed = grep { $_->{state} eq 'failed' } @targets;

    # also when they fail while they are asked to end
    return $failed == @targets ? () : "error with $failed of "
        . @targets . ' targets failed' if $status eq 'error';

    if ($status eq 'partial') {
        return $failed || grep({ $MAY_END{ $_->{name} }
            || accident($c, $_->{name}, 'agent', $accidents) } @targets)
            ? () : 'partial, and all targets were there';
    }

    # behind the last record of a limit it matters no more what fails
    return "$status, and $failed targets have failed" if $failed
        && $reason !~ /^max_/;

    return ($STATUS{$reason} // '?') eq $status ? ()
        : "$status by reason \"$reason\"";
}


# What is wrong with the end of a capture, as texts. $c has path, complete,
# said (the status in the trailers), began, ended (seconds), asked ({ user,
# admin, right }), dead (its worker was killed while it ran) and mute (its
# client is known to lose the trailers); $row is what
# the API says of it, $accidents a list of { who, what ("agent": as a whole,
# or "process"), t, until }, which notes here what it has explained.
sub end_faults
{
    my ($c, $row, $accidents) = @_;

    my $reason = $row->{end_reason} // '';

    return "the API has it as $row->{state}" if $row->{state} ne 'ended';

    # its last words may have been with the worker
    return $c->{complete} ? "complete, and \"$reason\"" : ()
        if $c->{dead} && ($reason eq 'worker died' || !$c->{complete});

    return 'the API has cut it: "' . $reason . '", and its client was there'
        if $reason =~ /^client /;

    my @faults;

    push @faults, "ended for \"$reason\", which nobody asked for"
        if !asked_for($c, $reason);
    push @faults, 'cut, and the API says ' . $row->{status}
        if !$c->{complete} && $row->{status} ne 'error';
    push @faults, 'its trailers say ' . ($c->{said} // 'nothing')
        . ", the API $row->{status}" if $c->{complete} && !$c->{mute}
        && ($c->{said} // '') ne $row->{status};

    return (@faults, status_faults($c, $row, $accidents),
        target_faults($c, $row, $accidents));
}


# As many have to be whole as there were, but for those that were with a worker
# that was killed; and a process of an agent can take one capture with it, if
# it was the last target.
sub share_faults
{
    my (%n) = @_;

    my $least = $n{answered} - $n{on_dead} - $n{killed};

    return $n{whole} >= $least ? ()
        : "$n{whole} of $n{answered} captures are whole: $n{on_dead} were "
        . "with killed workers, $n{killed} processes of agents were killed, "
        . "so $least should be";
}


sub word { return $_[0] =~ /"$_[1]":"([^"]*)"/ ? $1 : '' }


# What is wrong with an audit log: a start and an end for each capture, which
# says what its client was told. $captures: { ID => { said (the status in the
# trailers, undef when it was cut) } }.
sub audit_faults
{
    my ($text, $captures) = @_;

    my (%starts, %ends, %said, @faults);

    while ($text =~ /^(.*)\n/mg) {
        my $line = $1;
        my ($event, $id) = (word($line, 'event'), word($line, 'capture'));

        $starts{$id}++ if $event eq 'start';
        next if $event ne 'end';
        $ends{$id}++;
        $said{$id} = word($line, 'status');
    }

    for my $id (sort keys %{ { %starts, %ends, %$captures } }) {
        my ($s, $e) = ($starts{$id} || 0, $ends{$id} || 0);
        my $c = $captures->{$id};

        push @faults, "audit: $id has $s starts and $e ends"
            if $s != 1 || $e != 1;
        push @faults, "audit: $id ended as \"$said{$id}\", its client was told"
            . " $c->{said}" if $e && $c && defined $c->{said}
            && $said{$id} ne $c->{said};
    }

    return @faults;
}


# A classic pcap that was cut has no mark where: the part of it that is whole.
# Dies when a record cannot be one.
sub whole_records
{
    my ($bytes) = @_;

    my ($pos, $end) = (24, length $bytes);

    while ($end - $pos >= 16) {
        my (undef, $ns, $cap, $orig) = unpack 'V4', substr $bytes, $pos, 16;

        die "record at $pos: $ns ns, $cap of $orig bytes\n"
            if $ns >= 1e9 || $cap > $orig || $cap > SNAPLEN;
        last if $cap > $end - $pos - 16;
        $pos += 16 + $cap;
    }

    return substr $bytes, 0, $pos;
}


1;
