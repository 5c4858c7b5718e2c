# The harness itself: what it builds is what tshark and openssl understand,
# and its token endpoint is as strict as UAA.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Check;
use PcapTest::Fake;
use PcapTest::Net;
use PcapTest::Pcapng qw(parse shb idb epb isb);
use PcapTest::Traffic qw(flood inject udp_frame packet_id);
use PcapTest::Uaa;


my $certs = PcapTest::Certs->new();
my $uaa = PcapTest::Uaa->new(certs => $certs);

# --- builder and reader ---------------------------------------------------

my $t = now_ns();
my $bytes = shb(opts => [ [ 4, 'harness' ], [ 1, 'a comment' ] ])
    . idb(name => 'web/0/eth0') . idb(name => 'web/1/any', linktype => 276)
    . epb(0, $t, udp_frame(1, 7, 60)) . epb(1, $t + 1, 'y' x 33,
        opts => [ [ 1, 'pcap-api STATUS api: status=complete' ] ])
    . isb(0, $t + 2, filteraccept => 5, osdrop => 1, endtime => $t);

for my $big (0, 1) {
    my $copy = $big ? shb(big => 1) . idb(name => 'eth0', big => 1)
        . epb(0, $t, udp_frame(1, 1, 20), big => 1)
        . isb(0, $t, filteraccept => 1, big => 1) : $bytes;
    tshark_ok(spew(work_dir() . "/built$big.pcapng", $copy), "big=$big");
}

my $file = parse($bytes);

is($file->{packets}[0][1], $t, 'time stamp');
is_deeply([ packet_id($file->{packets}[0][4]) ], [ 1, 7 ], 'packet id');
is($file->{packets}[1][5], 'pcap-api STATUS api: status=complete', 'comment');
is($file->{isbs}[0]{filteraccept}, 5, 'counter');
is($file->{ifaces}[1]{packets}, 1, 'count of an interface');
is($file->{shb}{application}, 'harness', 'application');

for my $bad (
    [ 'cut', substr $bytes, 0, -4 ],
    [ 'two lengths', shb() . idb() . epb(0, $t, 'x', tail => 4) ],
    [ 'caplen', shb() . idb() . epb(0, $t, 'x', caplen => 99) ],
    [ 'interface', shb() . idb() . epb(3, $t, 'x') ],
    [ 'no section', idb() ],
    [ 'type', shb() . PcapTest::Pcapng::block(77, 'x') ])
{
    ok(!eval { parse($bad->[1]) }, "refused: $bad->[0] ($@)");
}

# --- token endpoint -------------------------------------------------------

my $url = 'https://uaa.test:8444/introspect';
my $curl = 'curl -s -m 10 --resolve uaa.test:8444:127.0.0.1 --cacert '
    . $certs->file('ca.crt') . " -w '\\n%{http_code}'";

like(`$curl -u pcap:pcap-secret -d token=good $url`,
    qr/"scope":\["pcap.capture","openid"\].*\n200$/s, 'active token');
is(`$curl -u pcap:pcap-secret -d token=none $url`,
    qq({"active":false}\n200), 'unknown token');
like(`$curl -u pcap:wrong -d token=good $url`,
    qr/Bad credentials.*\n401$/s, 'wrong client');
like(`$curl -u weak:weak-secret -d token=good $url`,
    qr/access_denied.*\n403$/s, 'client without uaa.resource');
like(`$curl -u pcap:pcap-secret $url`, qr/\n405$/, 'GET');
is(scalar $uaa->seen(), 5, 'requests are counted');

# --- namespaces, traffic --------------------------------------------------

my $net = PcapTest::Net->new();
my $web0 = $net->host('web0');
my $web1 = $net->host('web1');
my ($a, $b) = $net->join_hosts($web0, $web1);
my $dump = spawn('tcpdump', [ 'tcpdump', '-i', 'eth0', '-U', '-Z', 'root',
    '--immediate-mode', '-w', work_dir() . '/dump.pcap' ], ns => 'web1');

ok(wait_for(10, sub { slurp(work_dir() . '/tcpdump.out') =~ /listening/ }),
    'tcpdump listens');
is(wait_exit(flood(ns => 'web0', to => $b, id => 3, count => 50,
    pps => 5000, cpu => 1), 10), 0, 'flood ends well');
inject('web0', 'eth0', udp_frame(4, 0, 60, 100));
my $dumped;
ok(wait_for(5, sub {
    $dumped = eval { PcapTest::Pcapng::parse_pcap(slurp(work_dir()
        . '/dump.pcap')) };
    $dumped && @{ $dumped->{packets} } >= 51;
}), 'all were captured');
is_deeply([ grep { !defined } map { (packet_id($_->[4]))[1] }
    @{ $dumped->{packets} } ], [], 'and nothing else: links are quiet')
    or diag(`tcpdump -nr @{[ work_dir() ]}/dump.pcap 2>&1 | grep -v UDP`);
stop_child($dump, 'INT');

# --- fake agents ----------------------------------------------------------

my $fake = PcapTest::Fake->new(certs => $certs, script => sub {
    my ($c) = @_;
    $c->usual(3);
});
my $s = IO::Socket::SSL->new(PeerAddr => $fake->addr(5), PeerPort => 9494,
    SSL_ca_file => $certs->file('ca.crt'), SSL_verifycn_name => 'pcap-agent',
    SSL_verifycn_scheme => 'http',
    SSL_cert_file => $certs->file('api.crt'),
    SSL_key_file => $certs->file('api.key'));

ok($s, 'mTLS to a fake agent');
print $s "GET /v1/capture?heartbeat_ms=20&filter=tcp%20port%2080"
    . " HTTP/1.1\r\nHost: x\r\n\r\n";

my $got = '';
sysread $s, $got, 65536, length $got while $got !~ /PCAPTEST/;
is($fake->wait_event(5, 'request', 5)->{args}{filter}[0], 'tcp port 80',
    'request was understood');
is($fake->connections(), 1, 'one connection');
shutdown $s, 1;
ok($fake->wait_event(5, 'fin', 5), 'half-close is seen');
while (sysread $s, my $part, 65536) { $got .= $part }
like($got, qr/\r\n0\r\n\r\n$/, 'proper end after the half-close');
ok($fake->wait_event(5, 'sent', 5)->{sent} >= 3, 'sent packets are counted');
agents_quiet('fake', $fake);

finish();
