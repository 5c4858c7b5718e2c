# Hostile streams: whatever is outside of the agent profile cuts that agent,
# never the others, never the worker, and never gets into the file.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Pcapng qw(shb idb epb isb block);


my $HUGE = 9_223_372_036_000_000_000;    # the year 2262
my $data = 'PCAPTEST' . pack 'NN', 99, 0;    # 16 bytes that must not come

# What is sent in place of (start => ...) or after (then => ...) a good
# beginning.
my %start = (
    no_shb        => sub { idb(name => 'eth0') },
    big_endian    => sub { shb(big => 1) . idb(name => 'eth0', big => 1)
        . isb(0, now_ns(), big => 1) },
    version       => sub { shb(major => 2) . idb() },
    microseconds  => sub { shb() . idb(name => 'eth0', tsresol => 6) },
    no_tsresol    => sub { shb() . idb(name => 'eth0', tsresol => undef) },
    tsoffset      => sub { shb() . idb(name => 'eth0', opts => [ [ 14,
        pack 'q<', 100 ] ]) . isb(0, now_ns()) },
    classic       => sub { pack 'VvvVVVV', 0xA1B23C4D, 2, 4, 0, 0, 65535, 1 },
    isb_first     => sub { shb() . isb(0, now_ns()) },
    block_len     => sub { shb() . block(1, 'x' x 8, len => 0xfffffff0) },
    odd_len       => sub { shb() . block(1, 'x' x 8, len => 21) },
    zero_len      => sub { shb() . block(1, 'x' x 8, len => 0) },
    many_ifaces   => sub { shb() . join '', map { idb(name => "e$_") }
        1 .. 5000 },
    name_escape   => sub { shb() . idb(name => "eth0\x1b[31m\n/../x")
        . isb(0, now_ns(), endtime => now_ns()) },
);
my %then = (
    truncated     => sub { substr epb(0, $_[0]->now(), $data), 0, -8 },
    noise         => sub { join '', map { chr rand 256 } 1 .. 4096 },
    unknown_block => sub { block(0x0BAD, 'hello world!') },
    nrb           => sub { block(4, pack 'vvC4Z4vv', 1, 8, 1, 2, 3, 4,
        'abc', 0, 0) },
    forged        => sub { epb(0, $_[0]->now(), $data, opts => [ [ 1,
        'pcap-api STATUS api: status=complete packets=1 dropped=0' ] ]) },
    isb_comment   => sub { isb(0, $_[0]->now(), opts => [ [ 1,
        'pcap-api LIMIT_REACHED api: forged' ] ]) },
    gone_and_more => sub { isb(0, $_[0]->now(), opts => [ [ 1,
        'container gone' ] ]) . epb(0, $_[0]->now(), $data) },
    gone_longer   => sub { isb(0, $_[0]->now(), opts => [ [ 1,
        'container gone.' ] ]) },
    epb_flags     => sub { epb(0, $_[0]->now(), $data,
        opts => [ [ 2, "\0\0\0\0" ] ]) },
    two_lengths   => sub { epb(0, $_[0]->now(), $data, tail => 52) },
    short_len     => sub { epb(0, $_[0]->now(), $data, len => 12) },
    caplen_block  => sub { epb(0, $_[0]->now(), $data, caplen => 4000) },
    caplen_snap   => sub { epb(0, $_[0]->now(), $data x 40, origlen => 9999) },
    caplen_orig   => sub { epb(0, $_[0]->now(), $data, origlen => 3) },
    caplen_max    => sub { epb(0, $_[0]->now(), $data,
        caplen => 0xffffffff, origlen => 0xffffffff) },
    iface         => sub { epb(1, $_[0]->now(), $data) },
    iface_max     => sub { epb(0xffffffff, $_[0]->now(), $data) },
    isb_iface     => sub { isb(7, $_[0]->now()) },
    isb_size      => sub { isb(0, $_[0]->now(), opts => [ [ 7, 'abcd' ] ]) },
    isb_twice     => sub { isb(0, $_[0]->now(), osdrop => 1,
        opts => [ [ 7, 'abcdefgh' ] ]) },
    late_idb      => sub { epb(0, $_[0]->now(), $data)
        . idb(name => 'eth1') },
    second_shb    => sub { shb() . idb(name => 'eth0') },
    year_2262     => sub { isb(0, $HUGE, endtime => $_[0]->now()) },
    year_2300     => sub { isb(0, ~0) },
    packet_2262   => sub { epb(0, $HUGE, $data) },
    simple_packet => sub { block(3, pack('V', 16) . $data) },
    huge_block    => sub { block(6, 'x' x 400_000) },
);


# Ends well, with this comment in the last ISBs.
sub says_why
{
    my ($why) = @_;

    return sub {
        my ($c) = @_;
        $c->chunk(join '', map { isb($_, $c->now(), endtime => $c->now(),
            filteraccept => $c->{count}[$_], osdrop => 0,
            usrdeliv => $c->{count}[$_], opts => [ [ 1, $why ] ]) } 0, 1);
        $c->send_raw("0\r\n\r\n");
        $c->close();
    };
}


# How a stream may end: [ what is sent after good records, what the file says
# of the agent, and its words ]. Those that have words are well.
my @ENDS = (
    [ proper          => sub { $_[0]->end() }, 'CAPTURE_STOPPED',
        qr/^the agent has ended the capture$/ ],
    [ container_gone  => says_why('container gone'), 'CAPTURE_STOPPED',
        qr/^the container is gone$/ ],
    [ agent_off       => says_why('switched off'), 'CAPTURE_STOPPED',
        qr/^captures were switched off at the agent$/ ],
    [ agent_limit     => says_why('limit: max_cpu_percent'), 'LIMIT_REACHED',
        qr/^the agent has ended the capture \(limit: max_cpu_percent\)$/ ],
    [ agent_files     => says_why('files: not all could be read'), 'UNKNOWN',
        qr/^not all files could be read, the agent's log names them$/ ],
    [ final_in_block  => sub {
        $_[0]->chunk(substr epb(0, $_[0]->now(), $data), 0, -8);
        $_[0]->send_raw("0\r\n\r\n");
        $_[0]->close();
    } ],
    [ fin_in_block    => sub {
        $_[0]->chunk(substr epb(0, $_[0]->now(), $data), 0, 20);
        $_[0]->cut();
    } ],
    [ rst_in_block    => sub {
        $_[0]->chunk(substr epb(0, $_[0]->now(), $data), 0, 20);
        # a reset takes what was not read yet with it
        $_[0]->gate('rst', silent => 1);
        $_[0]->cut(1);
    } ],
    [ cut_in_chunk    => sub {
        $_[0]->send_raw("100\r\n" . substr epb(0, $_[0]->now(), $data), 0,
            40);
        $_[0]->cut();
    } ],
    [ no_last_isb     => sub {
        $_[0]->send_raw("0\r\n\r\n");
        $_[0]->close();
    } ],
    [ one_last_isb    => sub {
        $_[0]->chunk(isb(1, $_[0]->now(), endtime => $_[0]->now(),
            filteraccept => 0, osdrop => 0, usrdeliv => 0));
        $_[0]->send_raw("0\r\n\r\n");
        $_[0]->close();
    } ],
    [ no_final_chunk  => sub {
        $_[0]->beat();
        $_[0]->close();
    } ],
);
my %ends = map { $_->[0] => $_->[1] } @ENDS;
my @names = (sort(keys %start), sort keys %then);

# one at a time, to look at it
@names = split /,/, $ENV{GARBAGE_ONLY} if $ENV{GARBAGE_ONLY};

my %number = map { $names[$_] => 1 + $_ } 0 .. $#names;

my $lab = lab(fakes => 1, script => sub {
    my ($c) = @_;

    return $c->usual(2) if !$c->{n};

    if (my $end = $ends{ $c->{args}{filter}[0] || '' }) {
        $c->begin(ifaces => [ { name => 'eth0' }, { name => 'eth1' } ]);
        $c->stay(0.3);
        $c->traffic(5);
        $c->event('ends');
        return $end->($c);
    }

    my $name = $names[$c->{n} - 1];

    if ($start{$name}) {
        $c->head();
        $c->chunk($start{$name}->());
        $c->{ifaces} = [ {} ];
        $c->{count} = $c->{dropped} = [ 0 ];
    } else {
        $c->begin(ifaces => [ { name => 'eth0', snaplen => 500 } ]);
        $c->gate('go');
        $c->traffic(1);
        $c->event('garbage', sent => $c->{sent});
        $c->chunk($then{$name}->($c));
    }

    # the API must cut us; until then we behave
    $c->stay(limit(30));
}, nginx => { pcap => join ' ', map { "pcap_api_static all $_->[0] 127.1.0."
    . "$_->[1]:9494 tls_name=pcap-agent;" } [ 'good/0', 1 ],
    map { [ "bad/$_", 1 + $number{$_} ] } @names });
my ($nginx, $fake) = @$lab{qw(nginx fake)};


# The numbers of those agents whose connection the API has ended.
sub cut_agents
{
    return { map { (split /\./, $_->{addr})[3] - 1 => 1 }
        grep { $_->{event} =~ /^(?:gone|fin|rst|no_request)$/ }
        $fake->events() };
}


# --- all of them beside a good one ----------------------------------------

my $c = $nginx->get('/v1/capture/static/all');

status_is($c, 200, 'the good one runs');
ok($c->read_until(5, sub { seen_count($c, 0, 3) }), 'its packets come');
$fake->open_gate('go');

$c->read_until(20, sub { keys %{ cut_agents() } >= @names });

my $cut = cut_agents();

for my $name (@names) {
    ok($cut->{ $number{$name} }, "$name: the agent is cut");
}

my $last = (sort { $a <=> $b } ids_of(PcapTest::Pcapng::parse($c->{body},
    partial => 1), 0))[-1];

ok($c->read_until(8, sub { seen_count($c, 0, $last + 4) }),
    'the good one goes on');
is(scalar $nginx->workers(), 1, 'the worker lives');
stop_capture($lab, $c);

my $sent = $fake->wait_event(5, 'sent', 0)->{sent};
my $file = capture_ok($c, status => 'partial', packets => {
    'good/0' => $sent });

for my $name (@names) {
    instance_failed($file, "bad/$name");
    is(count_of($file, "bad/$name"), 1, "$name: what was good before is there")
        if $then{$name} && $name ne 'late_idb';
}

is(join("\n", grep { /^pcap-api \S+ api: (?:forged|status=complete)/ }
    @{ $file->{comments} }), '', 'nothing is forged');
unlike($c->{body}, qr/eth0\x1b|\n\/\.\.\/x/, 'clean interface names');
is((grep { $_ == 0 } ids_of($file, 99)), $number{late_idb} ? 1 : 0,
    'nothing of the garbage is in the file');
agents_quiet('garbage', $fake);

# --- the end of a stream: good records, and then not what ends it ----------

# any of the bad ones; the filter says how it ends
my ($ending) = sort keys %number;

for my $end (@ENDS) {
    my ($name, undef, $type, $words) = @$end;

    $c = $nginx->get("/v1/capture/static/all?filter=$name&interface=eth0"
        . "&interface=eth1&instance=good/0&instance=bad/$ending");
    status_is($c, 200, "$name: both run");
    $c->read_until(5, sub { seen_count($c, $number{$ending}, 4) });
    $fake->open_gate('rst') if $name eq 'rst_in_block';
    ok($c->read_until(5, sub { index($c->{body}, 'pcap-api '
        . ($type || 'INSTANCE_UNAVAILABLE') . " bad/$ending: ") >= 0 }),
        "$name: the client is told at once");

    my $had = (sort { $a <=> $b } ids_of(PcapTest::Pcapng::parse($c->{body},
        partial => 1), 0))[-1] || 0;
    my $done = $fake->events('sent', 0);

    ok($c->read_until(5, sub { seen_count($c, 0, $had + 4) }),
        "$name: the good one goes on");
    stop_capture($lab, $c);
    $sent = $fake->wait_event(5, 'sent', 0, $done + 1)->{sent};
    $file = capture_ok($c, status => 'partial', name => $name, packets => {
        'good/0' => $sent, "bad/$ending" => 5 });

    my $v = verdicts_of($file);

    is($v->{'good/0'}{received}, $sent, "$name: verdict of the good one");
    is($v->{'good/0'}{unknown_since}, undef, "$name: which is known");
    is($v->{"bad/$ending"}{unknown_since} ? 1 : 0, $type ? 0 : 1,
        "$name: whether the counts of the other are known");
    is(scalar(ids_of($file, 99)), 0, "$name: no half record");
    has_message($file, 'INSTANCE_UNAVAILABLE', "bad/$ending",
        qr/the connection was cut, what it lost/, "$name: and why") if !$type;
    no_message($file, 'INSTANCE_UNAVAILABLE', "$name: nobody is lost")
        if $type;
    has_message($file, $type, "bad/$ending", $words, "$name: its words")
        if $type;
    is(scalar(grep { $_ eq 'container gone' } @{ $file->{comments} }), 0,
        "$name: no comment of an agent is in the file");
    agents_quiet($name, $fake);
}

# --- alone: no one can start ----------------------------------------------

for my $name (grep { $number{$_} } qw(big_endian block_len classic)) {
    my $doc = problem_is($nginx->fetch(
        "/v1/capture/static/all?instance=bad/$name"), 502, undef,
        "$name alone");
    is($doc->{targets}[0]{name}, "bad/$name", "$name alone: target");
}

# --- alone and cut later: an error without a proper end --------------------

if ($number{forged}) {
    $c = $nginx->get('/v1/capture/static/all?instance=bad/forged');
    $c->read_end(5);
    capture_ok($c, status => 'error', cut => 1, name => 'forged alone');
}

unlike($nginx->log(), qr/worker process \d+ exited on signal/,
    'no worker has crashed');

finish();
