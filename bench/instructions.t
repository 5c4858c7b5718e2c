#!/usr/bin/perl
#
# bench/instructions.t: holds bench/instructions and instructions-module to
# their bounds, case by case, and shows that a figure that is too high would be
# found. It needs `make module benches` and valgrind, the module's part root;
# load does not matter.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp ();
use Test::More;

my $TOOL = dirname(__FILE__) . '/instructions';
my $TABLE = "$TOOL.table";


# What the tool prints with another table, and its status.
sub with_table
{
    my ($text, @cases) = @_;

    my $file = File::Temp->new;
    print $file $text;
    close $file;

    my $out = `$TOOL --table $file @cases 2>&1`;

    return ($out, $? >> 8);
}


open my $fh, '<', $TABLE or die "$TABLE: $!\n";
my $table = do { local $/; <$fh> };
my ($compiler) = $table =~ /^(compiler .*)/m;
my @cases = $table =~ /^(\w+)\s+[\d.]+\s+\d+$/mg;

# All of a tool's cases, one point each. What it printed.
sub all_cases
{
    my ($tool, @cases) = @_;

    my $out = `$tool 2>&1`;
    my $status = $? >> 8;
    my %line = map { /^(\w+)\s+[\d.]+\s/ ? ($1 => $_) : () } split /\n/,
        $out;

    SKIP: {
        skip "the bounds are for another compiler:\n$out", 2 + @cases
            if $status == 0 && $out =~ /not compared/;

        is($status, 0, 'nothing is too high');
        is(join(' ', sort keys %line), join(' ', sort @cases),
            'what ran is what the table has');

        for my $name (@cases) {
            like($line{$name} || $out, qr/\bok\b/, $line{$name} || $name);
        }
    }

    return $out;
}


my $out = all_cases($TOOL, grep { !/^module_/ } @cases);
my $status;

SKIP: {
    my @module = grep { /^module_/ } @cases;
    skip 'network namespaces need root', 2 + @module if $> != 0;
    all_cases("$TOOL-module", @module);
}

SKIP: {
    skip 'the bounds are for another compiler', 6
        if $out =~ /not compared/;

    ($out, $status) = with_table("$compiler\nscan_64 10.0 11\n", 'scan_64');
    is($status, 1, 'a figure above its bound fails');
    like($out, qr/^scan_64 .* ABOVE ITS BOUND$/m, 'and is named');

    ($out, $status) = with_table("$compiler\nscan_64 60.0 66\n", 'scan_64');
    is($status, 0, 'a figure far below its bound does not fail');
    like($out, qr/^scan_64 .* lower the bound/m, 'but is told');

    ($out, $status) = with_table("$compiler\nscan_64 900.0 990\n", 'scan_64');
    is($status, 1, 'one that can only be a mistake fails');
    like($out, qr/^scan_64 .* TOO FEW: not everything is counted$/m,
        'and is named');

    ($out, $status) = with_table("$compiler\n", 'scan_64');
    is($status, 1, 'a case without a bound fails');
    like($out, qr/^scan_64 .* no bound$/m, 'and is named');
}

($out, $status) = with_table("compiler GCC 1\nscan_64 1.0 1\n", 'scan_64');
is($status, 0, 'the bounds of another compiler fail nothing');
like($out, qr/not compared: the bounds are for GCC 1$/m, 'and that is said');

(undef, $status) = with_table($table, 'scan_65');
is($status, 2, 'a case that is none');

done_testing();
