# Peers that keep to the letter and mean harm: agents whose promises stand
# still, who send a byte now and then or millions of tiny chunks, counters
# that no machine reaches; a client whose form nginx itself refuses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::SSL;
use PcapTest::Lab;
use PcapTest::Pcapng qw(epb isb);


# What the bad agent does, by the filter of the request; web/1 is well.
my %bad = (
    stands => sub {
        my ($c) = @_;
        my $t = $c->now();
        my $n = 0;
        # the promise gets on by 1 ns each time
        while (!$c->peer_state()) {
            $c->beat($t + $n++);
            select undef, undef, undef, 0.05;
        }
        $c->end();
    },
    drips => sub {
        my ($c) = @_;
        for my $byte (split //, epb(0, $c->now(), 'x' x 2000)) {
            last if $c->peer_state();
            $c->chunk($byte);
            select undef, undef, undef, 0.2;
        }
    },
    crumbs => sub {
        my ($c) = @_;
        my $t = $c->now();
        $c->send_raw(join '', map { "1\r\n$_\r\n" } split //, isb(0, $t))
            for 1 .. 2000;
        $c->hang();
    },
    counter => sub {
        my ($c) = @_;
        $c->chunk(isb(0, $c->now(), filteraccept => 2 ** 60));
        $c->hang();
    },
    empty => sub {
        my ($c) = @_;
        $c->packets([ 0, $c->now(), '', 60 ]);
        $c->stay(limit(30));
        $c->end();
    },
    leaves => sub {
        my ($c) = @_;
        $c->traffic(3);
        $c->end();
    },
);

# What it says at the beginning, where that is the bad thing.
my %begin = (
    snaplen => [ { name => 'eth0', snaplen => 262144 } ],
    uninvited => [ { name => 'eth0' }, { name => 'eth1' } ],
);

my $lab = lab(fakes => 2, nginx => { pcap =>
    sprintf('pcap_api_reorder_window %dms; pcap_api_heartbeat_timeout %dms;',
    limit(500), limit(1500)) },
    script => sub {
    my ($c) = @_;

    my $how = $c->{args}{filter}[0];

    $c->begin(ifaces => $c->{n} == 0 ? $begin{$how} : undef);

    if ($c->{n} == 0 && $begin{$how}) {
        $c->hang();
        return;
    }

    if ($c->{n} == 0) {
        $bad{ $c->{args}{filter}[0] }->($c);
        return;
    }

    $c->stay(limit(30), sub { $c->traffic(1) });
    $c->end();
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my ($worker) = $nginx->workers();


# Stops a capture: whatever web/0 does, all that web/1 has sent is there, and
# nobody stays.
sub stopped
{
    my ($c, $status, $name, %packets) = @_;

    stop_capture($lab, $c);

    my $file = capture_ok($c, status => $status, name => $name,
        packets => { %packets, %{ $fake->sent_in($c, 1) } });

    is(verdicts_of($file)->{'web/1'}{unknown_since}, undef,
        "$name: what web/1 has sent is known");
    agents_quiet($name, $fake);

    return $file;
}


# --- an agent that talks, but does not get on -----------------------------

my $c = $nginx->get('/v1/capture/static/demo?filter=stands');

status_is($c, 200);
ok($c->read_until(5, sub { seen_count($c, 1, 20) }),
    'the others do not wait for a promise that stands still');
stopped($c, 'stopped', 'stands', 'web/0' => 0);

# --- a packet of no bytes reaches no limit ---------------------------------

$c = $nginx->get('/v1/capture/static/demo?filter=empty');
ok($c->read_until(5, sub { seen_count($c, 1, 5) }), 'empty: it goes on');
stopped($c, 'stopped', 'empty', 'web/0' => 1);

# --- an agent that ends well, but before the capture does ------------------

$c = $nginx->get('/v1/capture/static/demo?filter=leaves');
ok($c->read_until(5, sub { $c->{body} =~
    /pcap-api CAPTURE_STOPPED web\/0: / }), 'leaves: the file says so');
ok($c->read_until(5, sub { seen_count($c, 1, 5) }),
    'leaves: it goes on');
stopped($c, 'partial', 'leaves', 'web/0' => 3);

# --- an agent that gives more than was asked for ---------------------------

for my $case ([ 'snaplen', 'snaplen=100' ], [ 'uninvited', 'promiscuous=0' ])
{
    my ($name, $option) = @$case;

    $c = $nginx->get("/v1/capture/static/demo?filter=$name&$option");
    ok($c->read_until(5, sub { seen_count($c, 1, 3) }),
        "$name: the other runs");
    instance_failed(stopped($c, 'partial', $name, 'web/0' => 0), 'web/0',
        qr/asked for/, $name);
}

# --- agents that are cut ---------------------------------------------------

my %why = (
    drips   => qr/no sign of life/,
    crumbs  => qr/too many small chunks/,
    counter => qr/counter/,
);

for my $name (sort keys %why) {
    my $c = $nginx->get("/v1/capture/static/demo?filter=$name");

    status_is($c, 200);
    ok($c->read_until(6, sub { $c->{body} =~
        /pcap-api INSTANCE_UNAVAILABLE web\/0: / }), "$name: it is cut");

    my $seen = () = $c->{body} =~ /PCAPTEST/g;

    ok($c->read_until(5, sub { (() = $c->{body} =~ /PCAPTEST/g)
        > $seen + 3 }), "$name: the other goes on");

    my $file = stopped($c, 'partial', $name, 'web/0' => 0);

    has_message($file, 'INSTANCE_UNAVAILABLE', 'web/0', $why{$name});
}

# --- a form that nginx refuses while it is read ----------------------------

# The request lives on while nginx waits for the rest: no timer of ours may
# fire on it.

my $s = IO::Socket::SSL->new(PeerAddr => '127.0.0.1', PeerPort => 8443,
    SSL_ca_file => $lab->{certs}->file('ca.crt'),
    SSL_verifycn_name => 'localhost', SSL_verifycn_scheme => 'http')
    or die "TLS: $SSL_ERROR\n";

print $s "POST /v1/capture/static/demo HTTP/1.1\r\nHost: localhost\r\n"
    . "Authorization: bearer good\r\nTransfer-Encoding: chunked\r\n"
    . "Content-Type: application/x-www-form-urlencoded\r\n\r\n";

# an answer to another request shows that the header was read by now
is($nginx->fetch('/v1/status')->{status}, 200, 'status');
print $s "20000\r\nabcdef";
like(scalar <$s>, qr/ 413 /, 'a form too long is refused while it comes');

$c = $nginx->get('/v1/capture/static/demo?filter=stands&duration=500ms');
$c->read_end(10);
is($c->trailer('x-pcap-status'), 'limit', 'the timers of others go on');
agents_quiet('limit', $fake);
is(join(' ', $nginx->workers()), $worker, 'the worker lives');
close $s;

# --- nginx's own refusals ---------------------------------------------------

for my $case (
    [ 'an unknown transfer coding', 501,
        "POST /v1/status HTTP/1.1\r\nHost: localhost\r\n"
        . "Transfer-Encoding: gzip\r\n\r\n" ],
    [ 'HTTP/3.0 in words', 505, "GET /v1/status HTTP/3.0\r\n\r\n" ],
) {
    my ($name, $status, $text) = @$case;

    my $s = IO::Socket::SSL->new(PeerAddr => '127.0.0.1', PeerPort => 8443,
        SSL_ca_file => $lab->{certs}->file('ca.crt'),
        SSL_verifycn_name => 'localhost', SSL_verifycn_scheme => 'http')
        or die "TLS: $SSL_ERROR\n";

    print $s $text;

    my $answer = join '', <$s>;

    like($answer, qr/^HTTP\/1\.1 $status /, "$name: status");
    like($answer, qr/application\/problem\+json.*"status":$status/s,
        "$name: problem document");
    unlike($answer, qr/<html>/i, "$name: no page");
}

finish();
