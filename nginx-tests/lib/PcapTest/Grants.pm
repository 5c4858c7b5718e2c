# PcapTest::Grants: a stand-in for nginx as pcap-store sees it: a small HTTP
# server on a unix socket that serves grants. Each grant has a plan, a file
# that is named after it and says what the server does: stream, wait for a
# word of the test, cut, refuse, never answer.

package PcapTest::Grants;

use strict;
use warnings;

use Exporter qw(import);
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use Socket qw(SOMAXCONN);
use Test::More;
use PcapTest;
use PcapTest::Pcapng qw(epb);
use PcapTest::Server;
use PcapTest::Zstd qw(noise_bytes);

our @EXPORT = qw(serve_grants capture captures_made go data asked);

my $json = JSON::PP->new->canonical->utf8;
my $count = 0;
my $plans;


sub serve_grants
{
    my ($path) = @_;

    $plans = work_dir() . '/plans';
    mkdir $plans;

    my $listen = IO::Socket::UNIX->new(Local => $path, Listen => SOMAXCONN,
        Type => SOCK_STREAM) or die "$path: $!";
    chmod 0777, $path;

    my $pid = fork_child('api', sub {
        PcapTest::Server::serve($listen, \&serve_grant,
            sub { spew("$plans/died", $_[0]) });
    }, keep => [ $listen ]);

    close $listen;
    at_end(sub {
        stop_child($pid);
        is(slurp("$plans/died"), '', 'the API was asked for grants alone');
    });

    return $path;
}


# Grants as nginx has them: one request, then the connection ends.
sub serve_grant
{
    my ($s) = @_;

    my $text = '';

    while ($text !~ /\r\n\r\n/) {
        sysread $s, $text, 4096, length $text or return;
    }

    my ($grant) = $text =~ m{^GET /v1/grants/([0-9a-f]{64}) HTTP/1\.1\r\n}
        or die "strange request: $text";
    my $plan = $json->decode(slurp("$plans/$grant"));

    spew("$plans/$grant.asked", $text);
    hold($s, $grant, 'silent') if $plan->{silent};

    if ($plan->{status}) {
        put($s, "HTTP/1.1 $plan->{status} No\r\nContent-Type:"
            . " application/problem+json\r\nContent-Length: "
            . length($plan->{body}) . "\r\n\r\n$plan->{body}");
        return;
    }

    put($s, "HTTP/1.1 200 OK\r\nContent-Type: application/x-pcapng\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n");
    stream($s, $grant, $plan);
}


sub stream
{
    my ($s, $grant, $plan) = @_;

    my $cut = $plan->{cut};
    my $sent = 0;

    for my $part (@{ $plan->{parts} }) {

        if ($part =~ /^hold(\d*)$/) {
            hold($s, $grant, "go$1");
            next;
        }

        my $chunk = data($part);

        if (defined $cut && $sent + length $chunk > $cut) {
            put($s, sprintf "%x\r\n%s", length $chunk,
                substr $chunk, 0, $cut - $sent);
            return;
        }

        $sent += length $chunk;
        put($s, sprintf "%x\r\n%s\r\n", length $chunk, $chunk);
    }

    my $t = $plan->{trailers} || {};

    return if defined $cut;
    put($s, "0\r\n" . join('', map { "$_: $t->{$_}\r\n" } sort keys %$t)
        . "\r\n");
}


# A part is [ n, len ]: n packets of len bytes, [ n, len, seed ]: of such as
# nothing makes shorter, or a text.
sub data
{
    my ($part) = @_;

    return $part if !ref $part;

    my ($n, $len, $seed) = @$part;
    my $time = 1_700_000_000 * 10 ** 9;

    return epb(0, $time, 'x' x $len) x $n if !defined $seed;
    return join '', map { epb(0, $time, noise_bytes("$seed $_", $len)) }
        1 .. $n;
}


sub put
{
    my ($s, $text) = @_;

    my $at = 0;

    while ($at < length $text) {
        my $n = syswrite $s, $text, 1 << 20, $at;

        POSIX::_exit(0) if !$n;
        $at += $n;
    }
}


# Until the test says so, or the store has gone.
sub hold
{
    my ($s, $grant, $what) = @_;

    my $rin = '';

    vec($rin, fileno $s, 1) = 1;

    while (!-e "$plans/$grant.$what") {
        my $r = $rin;

        POSIX::_exit(0) if select($r, undef, undef, 0.02)
            && !sysread $s, my $ignored, 1;
    }
}


# A capture that is nobody's yet: its id, its grant and the body of its POST.
sub capture
{
    my ($owner, $plan, %o) = @_;

    my $n = ++$count;
    my $grant = sprintf '%064x', $n;

    $plan->{trailers} = { 'X-Pcap-Status' => 'complete',
        'X-Pcap-Packets' => 3, 'X-Pcap-Dropped' => 0 }
        if !exists $plan->{trailers};
    spew("$plans/$grant", $json->encode($plan));

    return { id => sprintf('%032x', $n), grant => $grant,
        host => 'api.example:80', path => '/v1/grants/', owner => $owner,
        retention => 1000, about => { reason => "n\x{fc}r $n" }, %o };
}


sub go
{
    my ($body, $n) = @_;

    spew("$plans/$body->{grant}.go" . ($n || ''), '');
}


# How many of them there have been.
sub captures_made { return $count }


# The request for this grant, once it has come.
sub asked
{
    my ($body) = @_;

    return wait_for(5, sub { slurp("$plans/$body->{grant}.asked") });
}


1;
