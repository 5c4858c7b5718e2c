# What gives way when the registry is full: ended captures, the oldest of the
# user who has most, above 1024 of them or when the zone has no room; never one
# that runs, and nothing for what does not fit anyway.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use IO::Socket::SSL;
use JSON::PP;
use PcapTest::Lab;
use PcapTest::Pcapng qw(shb idb epb isb);


my $certs = PcapTest::Certs->new();

# An agent without processes, for speed: each answer is a whole small capture.
my $context = IO::Socket::SSL::SSL_Context->new(SSL_server => 1,
    SSL_cert_file => $certs->file('agent.crt'),
    SSL_key_file => $certs->file('agent.key'), SSL_ca_file =>
    $certs->file('ca.crt'), SSL_verify_mode => SSL_VERIFY_PEER);
my $listen = IO::Socket::INET->new(Listen => 128, ReuseAddr => 1,
    LocalAddr => '127.3.0.1', LocalPort => 9495) or die "listen: $!";
my $quick = fork_child('quick', sub {
    while (my $s = $listen->accept()) {
        my $text = '';

        IO::Socket::SSL->start_SSL($s, SSL_server => 1, SSL_reuse_ctx =>
            $context) or next;

        while ($text !~ /\r\n\r\n/) {
            $s->sysread($text, 4096, length $text) or last;
        }

        my $t = now_ns();
        my $body = shb() . idb(name => 'eth0', snaplen => 262144)
            . isb(0, $t, endtime => $t, filteraccept => 0, osdrop => 0,
            usrdeliv => 0) . epb(0, $t, 'x' x 60)
            . isb(0, $t + 1, endtime => $t, filteraccept => 1, osdrop => 0,
            usrdeliv => 1);

        $s->syswrite("HTTP/1.1 200 OK\r\nContent-Type: application/x-pcapng"
            . "\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            . sprintf("%x\r\n", length $body) . $body . "\r\n0\r\n\r\n");
        $s->close();
    }
}, keep => [$listen]);

close $listen;
at_end(sub { stop_child($quick, 'TERM', 2) });

my $lab = lab(certs => $certs, groups => [ [ 'demo', 'web/0',
    '127.3.0.1:9495', 'pcap-agent' ] ], nginx => { conns => 4096 });
my $nginx = $lab->{nginx};


sub listed
{
    my $c = $nginx->fetch('/v1/captures');

    return map { $_->{id} } @{ decode_json($c->{body})->{captures} };
}


sub status
{
    my ($id, %o) = @_;

    return $nginx->fetch("/v1/captures/$id", %o)->{status};
}


sub no_room
{
    my ($c, $name) = @_;

    $c->read_end(5);
    problem_is($c, 503, qr/no room.*"pcap_api_zone" is full/, $name);
    is($c->header('retry-after'), 10, 'for a while');
}

# --- more than 1024 -------------------------------------------------------

my $c = $nginx->fetch('/v1/capture/static/demo', token => 'other');
my $bobs = capture_id($c);

$c = $nginx->fetch('/v1/capture/static/demo');

my $first = capture_id($c);

capture_ok($c, status => 'complete', name => 'the first one');
is(status($first), 200, 'it is known');

my $r = curl($lab, '/v1/capture/static/demo?duration=[1001-2022]s');

is($r->{exit}, 0, '1022 captures') or diag($r->{err});
is(status($first), 200, 'as the oldest of its user');
is(scalar listed(), 1023, 'all are listed');
$c = $nginx->fetch('/v1/capture/static/demo');

my $last = capture_id($c);

is(status($last), 200, 'one more');
is(status($first), 404, 'the oldest is forgotten');
is(status($bobs, token => 'other'), 200, "not somebody else's older one");

my %now = map { $_ => 1 } listed();

is(scalar keys %now, 1023, 'still 1024 with that');
ok($now{$last} && !$now{$first}, 'the right ones');

# --- the zone is full -----------------------------------------------------

# 64 targets, of which one answers; 24 KiB each, 64 pages in all
$lab->{fake} = PcapTest::Fake->new(certs => $certs,
    script => sub { $_[0]->usual(2) });
$nginx->stop();
$nginx->{zone} = 'pcap_api_zone pcap 256k;';
$nginx->{agent} = {};
$nginx->{groups} = [ $lab->{fake}->target('demo', 'web/0', 0),
    (map { [ 'demo', "web/$_", '127.4.0.1:9' ] } 1 .. 63),
    (map { [ 'wide', "web/$_", '127.4.0.1:9' ] } 1 .. 900),
    (map { [ 'long', "web/$_", '127.4.0.1:9' ] } 1 .. 500) ];
$nginx->start();

my @id;

$c = $nginx->fetch('/v1/capture/static/demo?max_packets=1',
    token => 'other');
$bobs = capture_id($c);

for my $n (1 .. 14) {
    $c = $nginx->fetch('/v1/capture/static/demo?max_packets=1');
    is($c->{status}, 200, "capture $n");
    push @id, capture_id($c);
}

my @known = map { status($_) == 200 ? 1 : 0 } @id;

like(join('', @known), qr/^0+1{3,10}$/, 'the oldest gave way')
    or diag(join '', @known);
is(status($bobs, token => 'other'), 200, "but not somebody else's");
is(join(' ', sort(listed())), join(' ', sort @id[grep { $known[$_] }
    0 .. $#id]), 'those that are known are listed');

my @run;

# 900 targets never have room, 500 have none beside what runs
my $kept = join ' ', sort(listed());

no_room($nginx->get('/v1/capture/static/wide'), 'one that never fits');
is(join(' ', sort(listed())), $kept, 'for which nothing gave way');
push @run, $nginx->get('/v1/capture/static/demo');
is($run[0]{status}, 200, 'one that runs');
$kept = join ' ', sort(listed());
no_room($nginx->get('/v1/capture/static/long'), 'one that fits no more');
is(join(' ', sort(listed())), $kept, 'for which nothing gave way, either');

for my $n (1 .. 14) {
    my $more = $nginx->get('/v1/capture/static/demo');

    if ($more->{status} != 200) {
        no_room($more, 'until there is no room');
        last;
    }

    push @run, $more;
}

cmp_ok(scalar @run, '>', 3, 'some run');
cmp_ok(scalar @run, '<', 14, 'not all');
is(scalar listed(), scalar @run, 'none of these gave way, all others did');
stop_capture($lab, shift @run);
$c = $nginx->get('/v1/capture/static/demo');
is($c->{status}, 200, 'room again');
push @run, $c;
stop_capture($lab, $_) for @run;
agents_quiet('zone', $lab->{fake});

finish();
