#!/usr/bin/perl

# All files of a folder as one stream from the real agent: every kind of pcap
# in one order, what is cut or broken, more files than may be open, and what
# becomes of it when somebody reads slowly or has had enough.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use PcapTest;
use Test::More;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Certs;
use PcapTest::Confined;
use PcapTest::Pcapng qw(parse shb idb epb);
use PcapTest::Wireshark qw(complaints steps_back);
use JSON::PP;

use constant { SEC => 1_000_000_000, T0 => 1_700_000_000 * 1_000_000_000 };

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $folder = work_dir() . '/pcap';

mkdir $_ or die for $folder, "$folder/prod";
chmod 0755, work_dir();

my $agent = PcapTest::Agent->new(certs => $certs, conf => { user => 'nobody',
    files_folder => $folder });


sub folder_of
{
    my ($name, %files) = @_;

    mkdir "$folder/prod/$name" or die;
    spew("$folder/prod/$name/$_", $files{$_}) for keys %files;
}


# A classic file: packets are [ ts_ns, data, original length ].
sub pcap
{
    my ($o, @packets) = @_;

    my ($w, $h) = $o->{big} ? ('N', 'n') : ('V', 'v');
    my $unit = $o->{usec} ? 1000 : 1;

    return join '', pack("$w$h$h$w$w$w$w", $o->{usec} ? 0xA1B2C3D4
        : 0xA1B23C4D, 2, 4, 0, 0, 65535, $o->{linktype} || 1),
        map { pack("$w$w$w$w", int($_->[0] / SEC), int($_->[0] % SEC / $unit),
            length $_->[1], $_->[2] || length $_->[1]) . $_->[1] } @packets;
}


sub packet
{
    my ($tag) = @_;

    return "\x02" x 12 . "\x08\x00" . sprintf '%-46s', $tag;
}


# From first on, every so many nanoseconds.
sub every
{
    my ($tag, $first, $step, $n) = @_;

    return map { [ T0 + $first + $_ * $step, packet("$tag-$_") ] } 0 .. $n - 1;
}


sub merged
{
    my ($name, %o) = @_;

    my $c = $C->new($agent, %o);
    $c->get("/v1/files/prod/$name?format=pcapng"
        . ($o{query} ? "&$o{query}" : ''));
    $c->read_to_end($o{wait} || 20) if !$o{begin};

    return $c;
}


# No packet is below what was promised before it, save for so many; the
# counts are right at every moment.
sub judge
{
    my ($c, $title, %o) = @_;

    ok($c->{complete}, "$title: a whole stream");

    my $f = eval { parse($c->{body}) };
    ok($f, "$title: reads back") or diag($@), return { ifaces => [] };

    my ($late, $promised, $k, @seen, @wrong) = (0, 0, 0);

    for my $i (0 .. $#{ $f->{packets} } + 1) {
        for (; $k < @{ $f->{isbs} } && $f->{isbs}[$k]{after} <= $i; $k++) {
            my $isb = $f->{isbs}[$k];

            push @wrong, "promise of $isb->{ts}" if $isb->{ts} < $promised;
            push @wrong, "count of $isb->{iface}"
                if $isb->{usrdeliv} != ($seen[ $isb->{iface} ] || 0);
            $promised = $isb->{ts};
        }

        my $p = $f->{packets}[$i] or last;

        $seen[ $p->[0] ]++;
        $late++ if $p->[1] < $promised;
    }

    is(join(', ', @wrong), '', "$title: promises and counts");
    is($late, $o{late} || 0, "$title: late packets");

    my %last = map { $_->{iface} => $_ } @{ $f->{isbs} };
    is(scalar grep({ $last{$_}{filteraccept} == $f->{ifaces}[$_]{packets} }
        0 .. $#{ $f->{ifaces} }), scalar @{ $f->{ifaces} },
        "$title: the last counts");
    is(join('|', @{ $f->{isbs}[-1]{comments} }), $o{end} || '',
        "$title: what the end says");

    my $file = spew(work_dir() . '/merged.pcapng', $c->{body});
    my ($text, $n) = complaints($file);
    is($text, '', "$title: Wireshark is content");
    is($n, scalar @{ $f->{packets} }, "$title: and sees each packet");
    ok(!steps_back($file), "$title: capinfos: strict time order")
        if !$o{late};

    return $f;
}


sub tags
{
    my ($f, $iface) = @_;

    return map { substr($_->[4], 14) =~ /^(\S+)/ } grep {
        !defined $iface || $_->[0] == $iface } @{ $f->{packets} };
}


sub interfaces
{
    my ($f) = @_;

    return { map { $_->{name} . ($_->{linktype} == 1 ? '' : "/$_->{linktype}")
        => $_->{packets} } @{ $f->{ifaces} } };
}


# --- every kind of file, and rotated ones -----------------------------------

my @all = every('a', 0, 30_000, 300);
my @back = every('d', 5_000, 40_000, 100);

@back[10 .. 19] = reverse @back[10 .. 19];
@back[50, 60] = @back[60, 50];

folder_of('kinds',
    'a-1_cali1-2023-11-14T22-13-20.000.pcap' => pcap({}, @all[0 .. 99]),
    'a-1_cali1.pcap.1' => pcap({ big => 1 }, @all[100 .. 199]),
    'a-1_cali1.pcap' => pcap({ usec => 1 }, @all[200 .. 299]),
    'b_cali2.pcap' => pcap({ big => 1, usec => 1 },
        every('b', 10_000, 50_000, 150)),
    'c_cali3.pcap' => pcap({ linktype => 101 }, [ T0 + 77, 'E' . "\0" x 40,
        1500 ]),
    'd_cali4.pcap' => pcap({}, @back),
    'e_cali5.pcap' => pcap({}),
    'f_cali6.pcap' => '',
    'g_cali7.pcap' => substr(pcap({}, every('g', 1000, 1000, 10)), 0, -20),
    'h_cali8.pcap' => shb() . idb(name => 'one', linktype => 1)
        . idb(name => 'two', linktype => 113)
        . join('', map { epb($_ % 2, T0 + $_ * 20_000, packet("h-$_")) }
            0 .. 49),
    'notes.txt' => 'no packets',
    'empty.pcap' => '');

my $f = judge(merged('kinds', query => 'id=' . 'cd' x 16), 'kinds');

is_deeply(interfaces($f), { 'a-1_cali1' => 300, 'b_cali2' => 150,
    'c_cali3/101' => 1, 'd_cali4' => 100, 'e_cali5' => 0, 'g_cali7' => 9,
    'h_cali8' => 25, 'h_cali8/113' => 25 }, 'kinds: interfaces');

my ($ia) = grep { $f->{ifaces}[$_]{name} eq 'a-1_cali1' }
    0 .. $#{ $f->{ifaces} };
is_deeply([ tags($f, $ia) ], [ map { "a-$_" } 0 .. 299 ],
    'kinds: rotated files are one interface, in order');
is_deeply([ map { [ @$_[1, 2, 3] ] } grep { $_->[3] == 1500 }
    @{ $f->{packets} } ], [ [ T0 + 77, 41, 1500 ] ],
    'kinds: time, captured and original length');
ok(wait_for(5, sub { slurp($agent->{log})
    =~ /(?:cd){16}: files: prod\/kinds, merged: \d+ \(asked for: 0\), 0 / }),
    'kinds: the log has it') or diag(slurp($agent->{log}));


# --- what is broken ---------------------------------------------------------

my $hole = pcap({}, every('z', 0, 1000, 20));

substr($hole, -76 * 5) = "\0" x 400;
folder_of('broken',
    'good_e.pcap' => pcap({}, every('good', 0, 1000, 50)),
    'garbage_e.pcap' => 'this is no capture' x 10,
    'middle_e.pcap' => pcap({}, every('m', 0, 1000, 10)) . "\xff" x 100,
    'hole_e.pcap' => $hole,
    'link_e.pcap' => shb() . idb(linktype => 1) . epb(0, T0 + 1, packet('k'))
        . idb(linktype => 101) . epb(1, T0 + 2, 'E' . "\0" x 40));
symlink 'good_e.pcap', "$folder/prod/broken/other_e.pcap";

$f = judge(merged('broken'), 'broken', end => 'files: not all could be read');
is_deeply(interfaces($f), { good_e => 50, garbage_e => 0, middle_e => 10,
    hole_e => 15, link_e => 1 }, 'broken: the others go on');
is((grep { $_->{name} eq 'garbage_e' } @{ $f->{ifaces} })[0]{description},
    '1 of its files could not be read', 'broken: what is known at the start');
ok(wait_for(5, sub { 4 == (() = slurp($agent->{log})
    =~ /cannot be read to its end: /g) }),
    'broken: the log says which and why');

# those that somebody else knows of
for my $case ([ 6, 'files: not all could be read' ], [ 5 ], [ 4 ]) {
    my ($n, $end) = @$case;

    folder_of("of-$n", map { ("e${_}_e.pcap" => pcap({}, every($_, 0, 1000,
        3))) } 1 .. 5);
    $f = judge(merged("of-$n", query => "files=$n"), "5 files of $n",
        end => $end);
    is(scalar @{ $f->{packets} }, 15, "5 files of $n: all packets");
}

folder_of('none', 'notes.txt' => 'x', 'x.pcap' => '');
my $c = merged('none');
is($c->{status}, 404, 'nothing to merge');
like(decode_json($c->{body})->{detail}, qr/there are no packets/, 'and why');
is(merged('nowhere')->{status}, 404, 'no such folder');

folder_of('headers', 'a_e.pcap' => pcap({}), 'b_e.pcap' => pcap({}));
$f = judge(merged('headers'), 'headers alone');
is_deeply(interfaces($f), { a_e => 0, b_e => 0 }, 'headers: interfaces');

# steps back of up to 0.9 s, all the way: more than is read at a time
srand 8;
folder_of('steps', map { my $e = $_; ("s${e}_e.pcap" => pcap({}, map {
    [ T0 + $_ * 10_000_000 + int(rand 900) * 1_000_000, packet("s$e-$_") ] }
    0 .. 9999)) } 1 .. 3);
$f = judge(merged('steps', query => 'heartbeat_ms=5'), 'steps');
is(scalar @{ $f->{packets} }, 30_000, 'steps: each packet');
cmp_ok(scalar @{ $f->{isbs} }, '>', 6, 'steps: with heartbeats');

# a step back of more than is put right
folder_of('late', 'a_e.pcap' => pcap({}, every('x', 0, 100_000_000, 40),
    every('y', 500_000_000, 1000, 2), every('z', 4 * SEC, 1000, 3)));
$c = merged('late');
ok($c->{complete}, 'late: a whole stream');
is(scalar @{ parse($c->{body})->{packets} }, 45, 'late: nothing is lost');


# --- many -------------------------------------------------------------------

# more than may be open, all beginning at once in each of ten rounds
folder_of('many', map { my $e = $_ % 100; my $r = int $_ / 100;
    (sprintf('pod%02d_e.pcap.%d', $e, $r) => pcap({},
        every("p$e", $r * SEC + $e, 9_000_000, 100))) } 0 .. 999);
$f = judge(merged('many'), 'many');
is(scalar @{ $f->{ifaces} }, 100, 'many: one interface for each endpoint');
is(scalar @{ $f->{packets} }, 100_000, 'many: each packet');
ok(!grep({ $f->{packets}[$_][1] < $f->{packets}[$_ - 1][1] }
    1 .. 99_999), 'many: in order');

# 420 files that all have to be open at once: some wait, none is lost
folder_of('wide', map { (sprintf('pod%03d_e.pcap%s', $_ % 210,
    $_ < 210 ? '' : '.1') => pcap({}, every("w$_", $_, SEC / 10, 40))) }
    0 .. 419);
$c = merged('wide');
ok($c->{complete}, 'wide: a whole stream');
is(scalar @{ parse($c->{body})->{packets} }, 420 * 40, 'wide: each packet');

folder_of('crowd', map { ("pod${_}_e.pcap" => pcap({})) } 0 .. 256);
$c = merged('crowd');
is($c->{status}, 507, 'more endpoints than there may be interfaces');
like(decode_json($c->{body})->{detail}, qr/more than 256 endpoints/,
    'and told so');


# --- slow, and enough -------------------------------------------------------

my $block = join '', map { pack('V4', 1_700_000_000 + int $_ / 100,
    $_ % 100 * 10_000_000, 1400, 1400) . 'x' x 1400 } 0 .. 9999;

for my $name (qw(one two)) {
    mkdir "$folder/prod/large" if !-d "$folder/prod/large";
    open my $fh, '>', "$folder/prod/large/${name}_e.pcap" or die;
    print $fh pcap({});
    print $fh $block for 1 .. 3;
    close $fh;
}

wait_for(5, sub { !$agent->connections() });
$c = merged('large', begin => 1, rcvbuf => 65536, query => 'heartbeat_ms=20');
ok($c->started(), 'large: it began');

my ($pid) = children($agent->{pid});

# it reads as far as it may, and waits
ok(wait_for(10, sub { status_of($pid)->{State} =~ /^S/ }),
    'large: nobody reads: it waits');
is(join(' ', map { status_of($pid)->{$_} } qw(CapPrm CapEff)),
    join(' ', ('0' x 16) x 2), 'large: without any capability');
ok($c->read_until(20, sub { length $c->{body} > 20 << 20 }),
    'large: then it goes on');

my $peak = status_of($pid)->{VmHWM} =~ s/ kB//r;
cmp_ok($peak, '<', 48 << 10, "large: at $peak KiB of memory")
    if !sanitized();

$c->half_close();
$c->read_to_end(20);
ok($c->{complete}, 'large: whoever has had enough gets a good end');
$f = parse($c->{body});
my %last = map { $_->{iface} => $_ } @{ $f->{isbs} };
is_deeply([ map { $last{$_}{usrdeliv} } 0, 1 ],
    [ map { $_->{packets} } @{ $f->{ifaces} } ], 'large: the last counts');
cmp_ok(scalar @{ $f->{isbs} }, '>', 4, 'large: with heartbeats');

# an agent that ends in the middle has some time, and then leaves no good end
folder_of('medium', 'a_e.pcap' => pcap({}) . $block);
$c = merged('medium', begin => 1, rcvbuf => 65536);
$c->started();
my $log = $agent->{log};
kill 'TERM', $agent->{pid};
ok(wait_for(5, sub { slurp($log) =~ /draining/ }), 'drain: begun');
$c->read_until(30, sub { $c->{ended} });
ok($c->{complete}, 'drain: what can be sent within drain_timeout is');
$agent->stop();

my $brief = PcapTest::Agent->new(certs => $certs, conf => { user => 'nobody',
    files_folder => $folder, drain_timeout => 1 });
$agent = $brief;
$c = merged('large', begin => 1, rcvbuf => 65536);
$c->started();
kill 'TERM', $brief->{pid};
ok(wait_for(10, sub { slurp($brief->{log}) =~ /merged: .* cut$/m }),
    'drain: what takes longer is cut');
$c->read_to_end(10);
ok(!$c->{complete}, 'drain: and does not look complete');
$brief->stop();

finish();
