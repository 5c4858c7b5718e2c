# The judge of long runs finds each kind of leak, and nothing in a clean run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use PcapTest;
use PcapTest::Soak qw(judge resources write_csv);

use constant SECONDS => 1800;


# A run of half an hour that kills 900 processes; what differs from a clean
# one is said by the block, which gets each sample, the one at the end too, and
# how far the run is (0..1).
sub run
{
    my ($code, %end) = @_;

    my $idle = { time_s => 0, rows => 0, kept => 12, free_pages => 16250,
        workers => 2, worker_fds => 40, master_fds => 20, agent_fds => 14,
        agent_procs => 0 };

    my @samples = map { {
        time_s => $_ * 10, captures => 50, rows => 50 - $_ % 4,
        kept => $_ < 145 ? 12 + 7 * $_ : 1024,
        workers => 2, worker_rss_kib => 9000 + 300 * ($_ % 5),
        worker_fds => 300, master_rss_kib => 3000, master_fds => 20,
        agent_rss_kib => 4000 + $_ % 3, agent_fds => 60, agent_procs => 70,
    } } 0 .. SECONDS / 10 - 1;

    my $end = { %$idle, time_s => SECONDS, kept => 1024 };

    # 24 more of them, as the mix of groups is by chance
    $_->{free_pages} = 16250 - int(0.9 * ($_->{kept} + $_->{rows} - 12))
        - 24 for @samples, $end;
    $code->($_, $_->{time_s} / SECONDS) for @samples, $end;

    return join '; ', judge(SECONDS, $idle, { %$end, %end }, @samples);
}


my $clean = sub { };

is(run($clean), '', 'a clean run');
is(run($clean, worker_fds => 42, agent_fds => 16), '', 'two files of a log');

my $n = 0;

for my $leak (
    [ qr/^worker_rss_kib grows/, sub { $_[0]{worker_rss_kib}
        += 12000 * $_[1] } ],
    [ qr/^master_rss_kib grows/, sub { $_[0]{master_rss_kib}
        += 6000 * $_[1] } ],
    [ qr/^agent_rss_kib grows/, sub { $_[0]{agent_rss_kib}
        += 7000 * $_[1] } ],
    [ qr/^free_pages sink: 9\d\d .* at 1800 s/, sub { $_[0]{free_pages}
        -= 900 * $_[1] } ],
    [ qr/^free_pages sink: .* at 1800 s/, $clean, free_pages => 15250 ],
    [ qr/^not told: .* 1 samples, first at 70 s/, sub { $_[0]{free_pages}
        = -1 if $_[0]{time_s} == 70 } ],
    [ qr/^not told: .* 180 samples/, sub { $_[0]{kept} = -1
        if $_[1] < 1 } ],
    [ qr/^not told: .*; -1 rows/, $clean, rows => -1 ],
    [ qr/^worker_fds: 40 .*, 43 after/, $clean, worker_fds => 43 ],
    [ qr/^master_fds/, $clean, master_fds => 30 ],
    [ qr/^agent_fds/, $clean, agent_fds => 20 ],
    [ qr/^1 rows/, $clean, rows => 1 ],
    [ qr/^1 processes/, $clean, agent_procs => 1 ],
    [ qr/^3 workers/, $clean, workers => 3 ],
) {
    my ($want, $code, %end) = @$leak;
    my $got = run($code, %end);

    like($got, $want, "leak " . ++$n);
    is($got =~ tr/;//, "$want" =~ tr/;//, "leak $n: and nothing else");
}

# what it is told by comes from processes
open my $fh, '<', '/dev/null' or die $!;

my $before = resources($$);

open my $more, '<', '/dev/null' or die $!;

my $ballast = 'x' x (8 << 20);
my $after = resources($$);

is($after->{fds}, $before->{fds} + 1, 'open files are counted');
cmp_ok($after->{rss}, '>=', $before->{rss} + (length($ballast) >> 10),
    'memory is counted');

my $file = work_dir() . '/soak.csv';

write_csv($file, { map { $_ => 1 } @PcapTest::Soak::COLUMNS });
like(slurp($file), qr/^time_s,captures,[a-z_,]+\n(?:1,)+1\n$/, 'the file');

finish();
