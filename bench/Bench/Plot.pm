# Bench::Plot: figures as plain SVG text, one panel beside the other, the
# abscissa logarithmic. Colours follow the viewer, light or dark.

package Bench::Plot;

use strict;
use warnings;

my ($WIDTH, $HEIGHT, $LEFT, $TOP, $BOTTOM) = (440, 300, 56, 44, 48);
my ($WIDE, $HIGH) = ($WIDTH - $LEFT - 20, $HEIGHT - $TOP - $BOTTOM);


# A round number at or above the value: 1, 2, 2.5, 5 times a power of ten.
sub round_up
{
    my ($value) = @_;

    my $power = 10 ** int(log($value) / log(10) - ($value < 1 ? 1 : 0));
    my ($factor) = grep { $_ * $power >= $value } 1, 2, 2.5, 5, 10, 20;

    return $factor * $power;
}


sub largest
{
    my ($panel) = @_;

    my @values = (($panel->{limit} || ()), map { map { $_->[1] } @{ $_->[1] } }
        @{ $panel->{series} });
    my ($most) = sort { $b <=> $a } @values;

    return round_up($most > 0 ? $most * 1.05 : 1);
}


sub text
{
    my ($x, $y, $class, $text) = @_;

    $text =~ s/&/&amp;/g;
    $text =~ s/</&lt;/g;

    return sprintf qq(<text x="%.1f" y="%.1f" class="%s">%s</text>\n), $x, $y,
        $class, $text;
}


sub axes
{
    my ($left, $panel, $most, $at) = @_;

    my ($x0, $y0) = ($left + $LEFT, $TOP + $HIGH);
    my $out = text($x0, 20, 'title', $panel->{title});

    for my $i (0 .. 5) {
        my $y = $y0 - $HIGH * $i / 5;

        $out .= sprintf qq(<path class="grid" d="M%.1f %.1fh%d"/>\n), $x0, $y,
            $WIDE;
        $out .= text($x0 - 8, $y + 4, 'right', 0 + sprintf '%.3g',
            $most * $i / 5);
    }

    $out .= text($at->($_), $y0 + 20, 'middle', $_)
        for map { $_->[0] } @{ $panel->{series}[0][1] };
    $out .= text($x0 + $WIDE / 2, $y0 + 40, 'middle', 'agents');

    return $out;
}


sub panel
{
    my ($left, $panel) = @_;

    my $most = largest($panel);
    my @x = map { $_->[0] } @{ $panel->{series}[0][1] };
    my ($first, $last) = (log $x[0], log $x[-1]);
    my $at = sub { $left + $LEFT + 14 + ($WIDE - 28) * (log($_[0]) - $first)
        / ($last - $first) };
    my $up = sub { $TOP + $HIGH - $HIGH * $_[0] / $most };
    my $out = axes($left, $panel, $most, $at);
    my $n = 0;

    if ($panel->{limit}) {
        $out .= sprintf qq(<path class="limit" d="M%.1f %.1fh%d"/>\n),
            $left + $LEFT, $up->($panel->{limit}), $WIDE;
        $out .= text($left + $LEFT + $WIDE, $up->($panel->{limit}) - 5,
            'right', "target: at most $panel->{limit}");
    }

    for my $series (@{ $panel->{series} }) {
        my ($name, $points) = @$series;
        my @at = map { [ $at->($_->[0]), $up->($_->[1]) ] } @$points;

        $out .= sprintf qq(<path class="line s%d" d="M%s"/>\n), $n,
            join 'L', map { sprintf '%.1f %.1f', @$_ } @at;
        $out .= sprintf qq(<circle class="dot s%d" cx="%.1f" cy="%.1f" )
            . qq(r="3.5"/>\n), $n, @$_ for @at;
        $out .= text($at[$_][0], $at[$_][1] - 9, 'middle value',
            0 + sprintf '%.3g', $points->[$_][1]) for 0 .. $#at;
        $out .= text($left + $LEFT + 8 + 110 * $n, 38, "left key s$n", $name)
            if @{ $panel->{series} } > 1;
        $n++;
    }

    return $out;
}


# Panels: { title, limit, series => [ [ name, [ [ x, y ], ... ] ], ... ] }.
sub svg
{
    my (@panels) = @_;

    my $width = $WIDTH * @panels;
    my $out = <<"EOF_HEAD";
<svg xmlns="http://www.w3.org/2000/svg" width="$width" height="$HEIGHT"
     viewBox="0 0 $width $HEIGHT">
<style>
text { font: 12px sans-serif; fill: #444; }
.title { font-weight: bold; }
.right { text-anchor: end; }
.middle { text-anchor: middle; }
.grid { stroke: #8886; fill: none; }
.limit { stroke: #d33; stroke-dasharray: 5 4; fill: none; }
.line { stroke-width: 2; fill: none; }
.line.s0 { stroke: #27c; } .dot.s0, .key.s0 { fill: #27c; }
.line.s1 { stroke: #c72; } .dot.s1, .key.s1 { fill: #c72; }
\@media (prefers-color-scheme: dark) { text { fill: #ccc; } }
</style>
EOF_HEAD

    for my $i (0 .. $#panels) {
        $out .= panel($WIDTH * $i, $panels[$i]);
    }

    return "$out</svg>\n";
}


1;
