# Bench::Counts: what bench/instructions and bench/instructions-module share:
# the table of bounds, callgrind's output, the words about a figure. It starts
# nothing.

package Bench::Counts;

use strict;
use warnings;

use Cwd ();
use Exporter qw(import);
use File::Basename qw(dirname);
use Getopt::Long qw(GetOptions);

our @EXPORT = qw(top_dir build_dir count_die slurp_file self_cost per_record
    count_cases);

my $TOP = Cwd::abs_path(dirname(__FILE__) . '/../..');


sub top_dir { return $TOP }


sub build_dir
{
    my $build = $ENV{BUILDDIR} || 'build';

    return $build =~ m{^/} ? $build : "$TOP/$build";
}


sub count_die
{
    my ($text) = @_;

    print STDERR "instructions: $text\n";
    exit 2;
}


sub slurp_file
{
    my ($file) = @_;

    open my $fh, '<:raw', $file or count_die("$file: $!");
    local $/;

    return scalar <$fh>;
}


# Lines of the table: "compiler TEXT", or a case, what was reached, the bound.
sub read_table
{
    my ($file) = @_;

    my %table;

    for my $line (split /\n/, slurp_file($file)) {
        next if $line =~ /^\s*(?:#|$)/;
        my ($name, @rest) = split ' ', $line;
        $table{$name} = $name eq 'compiler' ? "@rest" : [ @rest ];
    }

    return \%table;
}


# What is in the file already stays, but for the figures.
sub write_table
{
    my ($file, $got, @names) = @_;

    my %row = map { $_ => sprintf('%-18s %9.1f %8.0f', $_, $got->{$_},
        $got->{$_} * 1.1) } keys %$got;
    my @lines = map { /^(\w+)\s+[\d.]+\s+\d+$/ && $row{$1} || $_ }
        split /\n/, slurp_file($file);
    my $old = join "\n", @lines;

    push @lines, map { $row{$_} } grep { $row{$_} && $old !~ /^$_\s/m }
        @names;

    open my $fh, '>', $file or count_die("$file: $!");
    print $fh map { "$_\n" } @lines;
    close $fh or count_die("$file: $!");
}


# As it stands in the program itself: "GCC 12", "clang 14".
sub compiler
{
    my ($program) = @_;

    my $text = slurp_file($program);

    return "clang $1" if $text =~ /clang version (\d+)/;
    return "GCC $1" if $text =~ /GCC: \([^)]*\) (\d+)/;
    return 'unknown';
}


# Instructions of callgrind's output (names not compressed) in functions, or
# objects, that match; what they call is left out.
sub self_cost
{
    my ($file, %match) = @_;

    my ($sum, $after_call, %counts) = (0, 0);

    open my $fh, '<', $file or count_die("$file: $!");

    while (my $line = <$fh>) {
        if ($line =~ /^(fn|ob)=(.*)/) {
            my ($what, $name) = ($1, $2);
            $counts{$what} = !$match{$what} || $name =~ $match{$what};

        } elsif ($line =~ /^calls=/) {
            $after_call = 1;

        } elsif ($line =~ /^[-+*\d]\S* (\d+)/) {
            $sum += $1 if $counts{fn} && $counts{ob} && !$after_call;
            $after_call = 0;
        }
    }

    return $sum;
}


# Two runs, each [ records, instructions ].
sub per_record
{
    my ($name, $one, $two) = @_;

    count_die("$name: no more records in twice the work")
        if $two->[0] <= $one->[0];

    return ($two->[1] - $one->[1]) / ($two->[0] - $one->[0]);
}


# What is to be said of a figure, and whether it is too high.
sub verdict
{
    my ($value, $row) = @_;

    return ('no bound', 1) if !$row;
    return ('ABOVE ITS BOUND', 1) if $value > $row->[1];
    return ('TOO FEW: not everything is counted', 1)
        if $value < 0.5 * $row->[0];
    return ('ok, but far below: lower the bound (--set)', 0)
        if $value < 0.9 * $row->[0];
    return ('ok', 0);
}


# The whole of a program: options, figures by $measure->($case), verdicts.
# Cases are [ name, ... ]; $program is what was compiled. Returns the status.
sub count_cases
{
    my ($measure, $program, @cases) = @_;

    my $file = "$TOP/bench/instructions.table";
    my $set;

    GetOptions('table=s' => \$file, 'set' => \$set)
        or count_die('usage: [--table FILE] [--set] [CASE...]');

    my %known = map { $_->[0] => $_ } @cases;
    my @names = map { $_->[0] } @cases;
    my ($unknown) = grep { !$known{$_} } @ARGV;
    count_die("no case $unknown; there are: @names") if defined $unknown;
    -e $program or count_die("$program is not built (make)");

    my $table = read_table($file);
    my $compiler = compiler($program);
    my $other = !$table->{compiler} || $compiler ne $table->{compiler};
    my ($failed, %got) = (0);

    $| = 1;
    print "instructions per record, $compiler",
        $other ? ", not compared: the bounds are for $table->{compiler}" : '',
        "\n";
    printf "%-18s %9s %8s %6s\n", qw(case measured reached bound);

    for my $case (@ARGV ? @known{@ARGV} : @cases) {
        my $name = $case->[0];
        my ($value, $more) = $measure->($case);
        my $row = $table->{$name};
        my ($text, $bad) = $other ? ('not compared', 0)
            : verdict($value, $row);

        $got{$name} = $value;
        $failed += $bad;
        printf "%-18s %9.1f %8s %6s  %s%s\n", $name, $value,
            $row ? @$row : ('-', '-'), $text, $more ? " ($more)" : '';
    }

    if ($set && !$other) {
        write_table($file, \%got, @names);
        print "written: $file\n";
        return 0;
    }

    return $failed ? 1 : 0;
}


1;
