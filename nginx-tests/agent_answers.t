# Agents that answer something else than a capture: problems, nonsense,
# nothing. Alone they make the API answer with a problem document; beside a
# good one they are named in the file and the capture is partial.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my %answer = (
    400 => sub { $_[0]->refuse('400 Bad Request', '{"type":"about:blank",'
        . '"title":"Bad Request","status":400,"detail":"filter: syntax '
        . 'error near foo"}') },
    403 => sub { $_[0]->refuse('403 Forbidden', '{"type":"about:blank",'
        . '"title":"Forbidden","status":403,"detail":"lo is not among the '
        . 'interfaces"}') },
    404 => sub { $_[0]->refuse('404 Not Found', '{"type":"about:blank",'
        . '"title":"Not Found","status":404,"detail":"no interface eth7",'
        . '"interfaces":["eth0","lo"]}') },
    429 => sub { $_[0]->refuse('429 Too Many Requests', '{"type":'
        . '"about:blank","title":"Too Many","status":429,"detail":"16 '
        . 'captures are running"}') },
    500 => sub { $_[0]->refuse('500 Oops', 'no json at all') },
    big => sub { $_[0]->refuse('500 Oops', '{"detail":"' . ('A' x 5_000_000)
        . '"}') },
    html => sub { $_[0]->refuse('503 Unavailable', "<html>\x00\x1b[31m"
        . '</html>', 'text/html') },
    redirect => sub {
        $_[0]->head('302 Found', 'Location: https://127.0.0.1:8443/v1/',
            'Content-Length: 0');
    },
    accel => sub {
        $_[0]->head('200 OK', 'X-Accel-Redirect: /v1/status',
            'Content-Type: application/x-pcapng', 'Content-Length: 0');
    },
    type => sub {
        $_[0]->head('200 OK', 'Content-Type: text/plain',
            'Transfer-Encoding: chunked');
        $_[0]->chunk('hello');
        $_[0]->send_raw("0\r\n\r\n");
    },
    empty => sub { $_[0]->head(); $_[0]->send_raw("0\r\n\r\n") },
    http => sub { $_[0]->send_raw("SSH-2.0-OpenSSH_9.2\r\n\r\n") },
    binary => sub { $_[0]->send_raw(join '', map { chr rand 256 } 1 .. 9999) },
    header => sub { $_[0]->send_raw('HTTP/1.1 200 OK' . "\r\nX: "
        . ('y' x 300_000) . "\r\n\r\n") },
    closing => sub { $_[0]->cut() },
    reset => sub { $_[0]->cut(1) },
    silent => sub { $_[0]->hang() },
    midway => sub {
        $_[0]->send_raw("HTTP/1.1 200 OK\r\nContent-Ty");
        $_[0]->hang();
    },
    shb => sub {
        $_[0]->head();
        $_[0]->chunk(PcapTest::Pcapng::shb());
        $_[0]->hang();
    },
);
my @names = sort keys %answer;
my %number = map { $names[$_] => 1 + $_ } 0 .. $#names;

my $lab = lab(fakes => 1, script => sub {
    my ($c) = @_;

    return $answer{ $names[$c->{n} - 1] }->($c) if $c->{n};
    $c->usual(2);
}, nginx => { pcap => 'pcap_api_start_timeout 1500ms; '
    . join ' ', map { "pcap_api_static all $_->[0] 127.1.0.$_->[1]:9494 "
    . 'tls_name=pcap-agent;' } [ 'good/0', 1 ],
    map { [ "bad/$_", 1 + $number{$_} ] } @names });
my ($nginx, $fake) = @$lab{qw(nginx fake)};

# --- each alone: a problem document ---------------------------------------

for my $name (@names) {
    my $c = $nginx->fetch("/v1/capture/static/all?instance=bad/$name");
    my $status = $name =~ /^(?:400|404)$/ ? 400
        : $name eq '403' ? 403
        : $name eq '429' ? '(?:429|502)' : '(?:502|504)';

    like($c->{status}, qr/^$status$/, "$name alone: status");

    my $doc = problem_is($c, $c->{status}, undef, "$name alone");

    is($doc->{targets}[0]{name}, "bad/$name", "$name alone: target");
    ok(length $c->{body} < 8192, "$name alone: short answer");
    unlike($c->{body}, qr/[\x00-\x09\x0b-\x1f]/, "$name alone: clean text");
    like($c->{body}, qr/syntax error near foo/,
        "libpcap's words are handed on") if $name eq '400';
    like($c->{body}, qr/lo is not among/, 'and what it does not allow')
        if $name eq '403';
    like($c->{body}, qr/no interface eth7/, 'and what the agent lacks')
        if $name eq '404';
}

# --- all beside a good one ------------------------------------------------

my $c = $nginx->get('/v1/capture/static/all');

status_is($c, 200, 'one good agent is enough');
ok($c->read_until(5, sub { seen_count($c, 0, 9) }), 'its packets come');
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'partial', packets => {
    'good/0' => $fake->wait_event(5, 'sent', 0)->{sent} });

instance_failed($file, "bad/$_") for @names;

is(scalar @{ $file->{ifaces} }, 1, 'one interface');
is(scalar $nginx->workers(), 1, 'the worker lives');
unlike($nginx->log(), qr/exited on signal/, 'and has not crashed');
agents_quiet('answers', $fake);

finish();
