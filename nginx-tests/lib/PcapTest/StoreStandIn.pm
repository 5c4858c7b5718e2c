# PcapTest::StoreStandIn: what an API with a store answers pcap-cli, and an
# object store that it may redirect to, for what the real ones never do:
# break in the middle, lie about checksums, change a file. As strict as the
# contract: a POST with a member or an option that it does not name is a 400,
# a Range without a strong If-Range ends the test, a token at the object store
# is told in the event log.

package PcapTest::StoreStandIn;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use JSON::PP;
use PcapTest;
use PcapTest::StandIn;

our @EXPORT = qw(store_api object_store store_tell store_bytes store_id);

my %MEMBERS = map { $_ => 1 } qw(resolver target options retention);
my %SINGLE = map { $_ => 1 } qw(filter snaplen format duration max_bytes
    max_packets promiscuous reason process);
my %LISTS = map { $_ => 1 } qw(interface instance index);


sub store_id { return sprintf '%032x', $_[0] }


# The same bytes each time, and none like the others.
sub store_bytes
{
    my ($n) = @_;

    srand 7;

    return join '', map { chr int rand 256 } 1 .. $n;
}


# Control of a test: records (by id, as the API shows them), body (of the
# file), sha256, etag, name (of the file), type, raw (its length before it was
# compressed), plan (what becomes of each request
# for a file, one after the other: { cut => BYTES }, { stall => BYTES },
# { status => N, ... }, { redirect => URL }, { etag, body, range }; then all
# goes well), states (of the capture that a POST makes, one for each look).
sub store_tell
{
    my ($api, %o) = @_;

    # JSON::PP takes its time with long strings
    spew("$api->{base}.body", defined $o{body} ? delete $o{body} : '');
    unlink "$api->{base}.events";
    spew("$api->{base}.control", encode_json(\%o));
}


sub control
{
    my ($c) = @_;

    my $o = decode_json(slurp("$c->{api}{base}.control"));

    $o->{body} = slurp("$c->{api}{base}.body");
    $o->{etag} ||= '"' . substr(sha256_hex($o->{body}), 0, 16) . '"';

    return $o;
}


sub store_api
{
    return PcapTest::StandIn->new(@_, script => sub { die "a stream\n" },
        store => \&answer);
}


sub object_store
{
    return PcapTest::StandIn->new(@_, elsewhere => sub {
        my ($c, $r) = @_;

        $c->event('leak') if grep { /authorization|cookie/i
            || $r->{field}{$_} =~ /good-token/ } keys %{ $r->{field} };
        return $c->reply(403, 'application/xml', '<Error/>')
            if $r->{path} !~ /X-Amz-Signature=5ec4e7$/;
        file($c, $r, control($c), 0);
    });
}


sub answer
{
    my ($c, $r) = @_;

    my $o = control($c);
    my ($id, $tail) = $r->{path}
        =~ m{^/v1/captures(?:/([0-9a-f]{32})(/file)?)?$}
        or return $c->problem(404, 'Not Found', 'no such resource');
    my $rec = $id ? $o->{records}{$id} : undef;
    my $what = "$r->{method} " . ($tail ? 'file' : $id ? 'one' : 'all');

    return post($c, $r, $o) if $what eq 'POST all';
    return json($c, 200, { captures => [ map { $o->{records}{$_} }
        sort keys %{ $o->{records} } ], unreachable => [] })
        if $what eq 'GET all';
    return look($c, $id, $o) if $what eq 'GET one'
        && $o->{states};
    return $c->problem(404, 'Not Found', "there is no stored capture $id")
        if !$rec;
    return json($c, 200, $rec) if $what eq 'GET one';

    my $state = $rec->{stored}{state};

    if ($what eq 'DELETE file') {
        return $c->problem(409, 'Conflict', 'stop it first')
            if $state =~ /^(?:waiting|running)$/;
        $c->event('removed', id => $id);
        return $c->send_raw("HTTP/1.1 204 No Content\r\n"
            . "Connection: close\r\n\r\n") && $c->{s}->close();
    }

    if ($what eq 'DELETE one') {
        $c->event('delete', id => $id);
        return json($c, 202, {});
    }

    return $c->problem(405, 'Method Not Allowed', $r->{method})
        if $what ne 'GET file';

    return $c->reply(409, 'application/problem+json', encode_json({
        title => 'Conflict', detail => "capture $id is still being written" }),
        'Retry-After: 5') if $state =~ /^(?:waiting|running)$/;
    return $c->problem(410, 'Gone', "the file of capture $id was removed at "
        . $rec->{stored}{gone}) if $state eq 'gone';
    return $c->problem(404, 'Not Found', "capture $id has no file: "
        . $rec->{stored}{detail}) if $state eq 'failed';

    return file($c, $r, $o, 1);
}


sub json
{
    my ($c, $status, $doc, @fields) = @_;

    $c->reply($status, 'application/json', encode_json($doc), @fields);
}


# What is wrong with a body; '' when nothing is.
sub wrong
{
    my ($r, $doc) = @_;

    return 'content type' if $r->{field}{'content-type'} ne 'application/json';
    return 'no object' if ref $doc ne 'HASH';

    for my $name (sort keys %$doc) {
        return "unknown member $name" if !$MEMBERS{$name};
    }

    my $options = $doc->{options};

    for my $name (sort keys %$options) {
        my $list = ref $options->{$name} eq 'ARRAY';
        return "option $name" if !($list ? $LISTS{$name} : $SINGLE{$name});
    }

    return 'format' if $options->{format} ne 'pcapng';
    return 'resolver' if $doc->{resolver} !~ /^(?:static|bosh|cf)$/;
    return 'limit' if !grep { defined $options->{$_} }
        qw(duration max_bytes max_packets);

    return '';
}


sub post
{
    my ($c, $r, $o) = @_;

    my $doc = eval { decode_json($r->{body}) };
    my $wrong = wrong($r, $doc);

    return $c->problem(400, 'Bad Request', $wrong) if $wrong;
    $c->event('stored', doc => $doc);

    # the group says what comes of it
    return $c->problem($1, 'Refused', "as asked: $1", $1 == 429
        ? (quota => 1) : ()) if $doc->{target} =~ /^http-(\d+)$/;
    return $c->reply(202, 'application/json', '{"id":"../x"}')
        if $doc->{target} eq 'liar';

    my $id = PcapTest::StandIn::ID;

    json($c, 202, { id => $id, node => 1, state => 'starting',
        resolver => $doc->{resolver}, target => $doc->{target},
        target_count => $doc->{target} eq 'many' ? 6 : 2,
        stored => { state => 'waiting', bytes => 0,
            file_url => "/v1/captures/$id/file" } },
        "Location: /v1/captures/$id");
}


# A look at the capture that a POST has made.
sub look
{
    my ($c, $id, $o) = @_;

    $c->event('look');

    my $n = grep { 1 } $c->{api}->events('look');
    my $state = $o->{states}[$n - 1] || $o->{states}[-1];

    return $c->problem($state, 'Odd', 'not now') if $state =~ /^\d+$/;
    return $c->cut() if $state eq 'cut';

    json($c, 200, { id => $id, state => 'running', ($o->{status}
        ? (status => $o->{status}) : ()), stored => { state => $state,
        bytes => length $o->{body}, detail => "it is $state" } });
}


# The file, or the rest of it; of the API when $api, which names a checksum.
sub file
{
    my ($c, $r, $o, $api) = @_;

    my $range = $r->{field}{range};
    my $if = $r->{field}{'if-range'};

    die "method $r->{method}\n" if $r->{method} ne 'GET';
    die "range without if-range\n" if defined $range xor defined $if;
    die "weak\n" if defined $if && $if !~ /^"[^"\s]+"$/;
    $c->event('file', range => $range, if_range => $if);

    my $n = grep { 1 } $c->{api}->events('file');
    my $plan = $o->{plan}[$n - 1] || {};
    my $body = defined $plan->{body} ? $plan->{body} : $o->{body};
    my $etag = $plan->{etag} || $o->{etag};

    if ($plan->{status}) {
        return $c->reply($plan->{status}, 'application/problem+json',
            encode_json({ title => 'As planned', status => $plan->{status},
            detail => 'planned' }), @{ $plan->{fields} || [] });
    }

    my @sum = $api ? 'X-Pcap-Sha256: ' . (defined $o->{sha256} ? $o->{sha256}
        : sha256_hex($body)) : ();

    # one that speaks of what only the API knows
    push @sum, 'X-Pcap-Sha256: ' . sha256_hex($body),
        'Content-Disposition: attachment; filename="other.pcapng"'
        if $o->{liar};

    push @sum, "X-Pcap-Uncompressed-Bytes: $o->{raw}"
        if $api && defined $o->{raw};

    # as the real one, without a checksum
    for my $url (grep { $_ } $plan->{redirect}, $o->{redirect}) {
        return json($c, 302, { url => $url }, "Location: $url");
    }

    my ($first, $status, @fields) = (0, 200);
    my $size = length $body;

    if (defined $range && $if eq $etag) {
        ($first) = $range =~ /^bytes=(\d+)-$/ or die "range $range\n";
        return $c->reply(416, 'text/plain', 'x', "Content-Range: bytes */$size")
            if $first >= $size;
        $first += $plan->{range} || 0;
        $status = 206;
        @fields = "Content-Range: bytes $first-" . ($size - 1) . "/$size";
    }

    my $rest = substr $body, $first;

    push @fields, @sum, "ETag: $etag", 'Accept-Ranges: bytes',
        'Content-Disposition: attachment; filename="'
        . ($o->{name} || PcapTest::StandIn::ID . '.pcapng') . '"';

    my $head = join "\r\n", "HTTP/1.1 $status X",
        'Content-Type: ' . ($o->{type} || 'application/x-pcapng'),
        'Connection: close',
        'Content-Length: ' . length $rest, @fields, '', '';

    my $cut = defined $plan->{cut} ? $plan->{cut} : $plan->{stall};

    $c->send_raw($head . (defined $cut ? substr $rest, 0, $cut : $rest));
    $c->event('sent', bytes => defined $cut ? $cut : length $rest);
    $c->wait_gone(30) if defined $plan->{stall};
    return $c->cut_softly() if defined $plan->{cut};
    $c->{s}->close();
}


package PcapTest::StandIn::Conn;


# What was sent arrives, and then the connection is gone.
sub cut_softly
{
    my ($c) = @_;

    $c->{s}->close(SSL_no_shutdown => 1);
    POSIX::_exit(0);
}


1;
