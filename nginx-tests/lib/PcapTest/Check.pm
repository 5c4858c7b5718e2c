# PcapTest::Check: what every capture must show, whatever the test is about:
# the file is well-formed for our reader and for tshark, in strict time
# order, its numbers agree with the trailers, the verdict stands where
# docs/PROTOCOL.md says, and each agent's packets are all there.

package PcapTest::Check;

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP;
use Test::More;
use PcapTest;
use PcapTest::Pcapng ();
use PcapTest::Wireshark qw(complaints steps_back);

our @EXPORT = qw(capture_ok pcap_ok messages_of has_message no_message
    verdicts_of count_of ids_of tshark_ok strict_order status_is problem_is
    agents_quiet instance_failed);

my $files = 0;


sub save
{
    my ($bytes, $ending) = @_;

    return spew(work_dir() . '/capture' . ++$files . ".$ending", $bytes);
}


# Wireshark reads the file and has nothing to say about it; capinfos sees the
# same order. packets is how many it must find.
sub tshark_ok
{
    my ($file, $name, %o) = @_;

    my ($text, $packets) = complaints($file);

    is($text, '', "$name: Wireshark reads it");
    is($packets, $o{packets}, "$name: as many packets")
        if defined $o{packets};

    return if $o{late} || $o{empty};

    ok(!steps_back($file), "$name: capinfos sees strict order");
}


# The number of steps back in time.
sub strict_order
{
    my ($file) = @_;

    my ($last, $back) = (0, 0);

    for my $p (@{ $file->{packets} }) {
        $back++ if $p->[1] < $last;
        $last = $p->[1] if $p->[1] > $last;
    }

    return $back;
}


# Messages in the file: [ TYPE, ORIGIN, text ], each once.
sub messages_of
{
    my ($file) = @_;

    my (%seen, @all);

    for my $comment (@{ $file->{comments} }) {
        next if $seen{$comment}++;
        push @all, [ $1, $2, $3 ]
            if $comment =~ /^pcap-api ([A-Z_]+) (\S+): (.*)$/s;
    }

    return @all;
}


sub has_message
{
    my ($file, $type, $origin, $text, $name) = @_;

    my @all = messages_of($file);
    my $found = grep { $_->[0] eq $type && $_->[1] eq $origin
        && (!defined $text || $_->[2] =~ $text) } @all;

    ok($found, $name || "message $type of $origin")
        or diag(map { "@$_\n" } @all);
}


sub no_message
{
    my ($file, $type, $name) = @_;

    my @all = grep { $_->[0] eq $type } messages_of($file);

    is(join("\n", map { "@$_" } @all), '', $name || "no message $type");
}


# The instance could not start, or was lost: any of the types that say so.
sub instance_failed
{
    my ($file, $origin, $text, $name) = @_;

    my @all = grep { $_->[1] eq $origin && $_->[0] =~
        /^(?:INSTANCE_UNAVAILABLE|START_CAPTURE_FAILED|INVALID_REQUEST
        |CONNECTION_ERROR|LIMIT_REACHED|CLOCK_SKEW)$/x }
        messages_of($file);

    ok((grep { !defined $text || $_->[2] =~ $text } @all),
        ($name ? "$name: " : '') . "the file says that $origin failed")
        or diag(map { "@$_\n" } messages_of($file));
}


# The verdicts: { api => { status => ..., packets => ... }, 'web/0' => ... }.
sub verdicts_of
{
    my ($file) = @_;

    my %all;

    for my $m (messages_of($file)) {
        next if $m->[0] ne 'STATUS';
        $all{ $m->[1] } = { map { split /=/, $_, 2 } split / /, $m->[2] };
    }

    return \%all;
}


# Packets of an instance ("web/0"), all its interfaces.
sub count_of
{
    my ($file, $instance) = @_;

    my $n = 0;

    for my $i (@{ $file->{ifaces} }) {
        $n += $i->{packets} if ($i->{name} || '') =~ m{^\Q$instance\E/[^/]+$};
    }

    return $n;
}


# Sequence numbers of the numbered packets of one sender, in file order.
sub ids_of
{
    my ($file, $sender) = @_;

    my @seq;

    for my $p (@{ $file->{packets} }) {
        my $at = index $p->[4], 'PCAPTEST';
        next if $at < 0;
        my ($id, $seq) = unpack 'NN', substr $p->[4], $at + 8, 8;
        push @seq, $seq if $id == $sender;
    }

    return @seq;
}


sub status_is
{
    my ($c, $status, $name) = @_;

    is($c->{status}, $status, $name || "answer is $status")
        or diag($c->{body});
}


# A problem document: status, media type, members; detail must match.
sub problem_is
{
    my ($c, $status, $detail, $name) = @_;

    $name ||= "problem $status";

    my $doc = eval { decode_json($c->{body}) };

    is($c->{status}, $status, "$name: status");
    is($c->header('content-type'), 'application/problem+json',
        "$name: content type");
    is(ref $doc eq 'HASH' ? $doc->{status} : undef, $status,
        "$name: status member") or diag($c->{body});
    ok(ref $doc eq 'HASH' && !(grep { !defined $doc->{$_} || ref $doc->{$_} }
        qw(type title detail request_id)), "$name: members");

    like(ref $doc eq 'HASH' ? $doc->{detail} : '', $detail,
        "$name: detail") if $detail;

    return $doc;
}


# The checks of one finished pcapng capture. $c is a client that has read to
# the end. Expected: status (of the trailer), packets ({ instance => count
# }), late (records out of order are fine), cut (no proper end: the verdict
# stands in the file only), last (packets came while it ended: the last one
# has the verdict, too), name. Returns the parsed file.
sub capture_ok
{
    my ($c, %e) = @_;

    my $name = $e{name} || 'capture';
    my $file = eval { PcapTest::Pcapng::parse($c->{body}) };

    ok($file, "$name: well-formed") or diag($@), return;
    is($c->{status}, 200, "$name: HTTP status");
    is($c->header('content-type'), 'application/x-pcapng',
        "$name: content type");

    tshark_ok(save($c->{body}, 'pcapng'), $name, late => $e{late},
        empty => !@{ $file->{packets} },
        packets => scalar @{ $file->{packets} });
    is(strict_order($file), 0, "$name: strict order") if !$e{late};

    my $n = @{ $file->{packets} };
    my $v = verdicts_of($file);
    my $api = $v->{api} || {};

    if ($e{cut}) {
        ok(!$c->{complete}, "$name: no proper end");
    } else {
        ok($c->{complete}, "$name: proper end");
        is($c->trailer('x-pcap-status'), $e{status}, "$name: X-Pcap-Status");
        is($c->trailer('x-pcap-packets'), $n, "$name: X-Pcap-Packets");
        is($c->trailer('x-pcap-dropped'), $api->{dropped},
            "$name: X-Pcap-Dropped");
    }

    is($api->{status}, $e{status}, "$name: status in the file");
    is($api->{packets}, $n, "$name: packets in the file");

    my $isb = $file->{isbs}[-1] || { comments => [] };

    ok((grep { /^pcap-api STATUS api: / } @{ $isb->{comments} }),
        "$name: verdict in the last statistics");

    if ($e{last}) {
        my @comments = @{ $file->{packets}[-1] };
        ok((grep { /^pcap-api STATUS api: / } splice @comments, 5),
            "$name: verdict in the last packet");
    }

    for my $instance (sort keys %{ $e{packets} || {} }) {
        is(count_of($file, $instance), $e{packets}{$instance},
            "$name: packets of $instance");
    }

    return $file;
}


# The same for classic pcap.
sub pcap_ok
{
    my ($c, %e) = @_;

    my $name = $e{name} || 'pcap';
    my $file = eval { PcapTest::Pcapng::parse_pcap($c->{body}) };

    ok($file, "$name: well-formed") or diag($@), return;
    is($c->header('content-type'), 'application/vnd.tcpdump.pcap',
        "$name: content type");
    ok($file->{nsec}, "$name: nanoseconds");
    tshark_ok(save($c->{body}, 'pcap'), $name,
        empty => !@{ $file->{packets} },
        packets => scalar @{ $file->{packets} });
    is(strict_order($file), 0, "$name: strict order");
    ok($c->{complete}, "$name: proper end");
    is($c->trailer('x-pcap-status'), $e{status}, "$name: X-Pcap-Status");
    is($c->trailer('x-pcap-packets'), scalar @{ $file->{packets} },
        "$name: X-Pcap-Packets");

    return $file;
}


# After a capture every connection to agents (and so every process of
# theirs) is gone within a second (limit(1): 4 s under sanitizers).
sub agents_quiet
{
    my ($name, @agents) = @_;

    for my $a (@agents) {
        my $left;

        wait_for(1, sub { !($left = $a->connections()) });
        is($left, 0, "$name: agents are gone within 1 s");
    }
}


1;
