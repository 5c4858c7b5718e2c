# One capture of two real agents from the first byte to the last: header,
# section, interfaces, names, packets, statistics, verdict, trailers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Traffic qw(flood);


my $lab = hosts_lab();
my $nginx = $lab->{nginx};

# --- status ---------------------------------------------------------------

my $s = $nginx->fetch('/v1/status', token => undef);
my $doc = eval { JSON::PP::decode_json($s->{body}) } || {};

is($s->{status}, 200, 'status needs no token');
like($s->header('content-type'), qr{^application/json}, 'status is JSON');
ok($doc->{healthy}, 'healthy');
is($doc->{compatibility_level}, 1, 'compatibility level');
like($doc->{version}, qr/^\d+\.\d+\.\d+/, 'version');
ok((grep { $_ eq 'static' } @{ $doc->{resolvers} || [] }), 'resolver');

# --- a capture ------------------------------------------------------------

my $c = $nginx->get('/v1/capture/static/demo?interface=eth0&filter=udp'
    . '&reason=a%20ticket');

status_is($c, 200);
like(capture_id($c), qr/^[0-9a-f]{32}$/, 'capture id');
like($c->header('content-disposition'), qr/filename="?[\w.-]+\.pcapng/,
    'file name');
like($c->header('trailer'), qr/X-Pcap-Status/i, 'trailers are announced');
ok($c->header('x-vcap-request-id'), 'request id');
is($c->{complete}, undef, 'the capture runs');

is(wait_exit(flood(ns => 'web0', to => $lab->{addr}[1], id => 1,
    count => 200, pps => 2000), 10), 0, 'packets are sent');
wait_seen($c, 1, 199, 2);
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'stopped',
    packets => { 'web/0' => 200, 'web/1' => 200 });

agents_quiet('stopped', @{ $lab->{agents} });

is_deeply([ sort map { $_->{name} } @{ $file->{ifaces} } ],
    [ 'web/0/eth0', 'web/1/eth0' ], 'interfaces are named after instances');
like($file->{ifaces}[0]{description}, qr/10\.9\.1\.2/,
    'interface description has the address');
is_deeply($file->{hosts}{'10.9.1.2'}, ['web/0'], 'name of the address');
like(join("\n", @{ $file->{shb}{comments} }), qr/a ticket/,
    'reason in the section');
like(join("\n", @{ $file->{shb}{comments} }), qr/alice/,
    'user in the section');
like(join("\n", @{ $file->{shb}{comments} }), qr/@{[ capture_id($c) ]}/,
    'capture id in the section');

my $v = verdicts_of($file);

for my $n (0, 1) {
    is($v->{"web/$n"}{packets}, 200, "verdict of web/$n: packets");
    is($v->{"web/$n"}{received}, 200, "verdict of web/$n: received");
    is($v->{"web/$n"}{dropped}, 0, "verdict of web/$n: dropped");
    ok((grep { $_->{iface} == $n && $_->{after} == 400 }
        @{ $file->{isbs} }), "closing statistics of web/$n");
}

no_message($file, 'INSTANCE_UNAVAILABLE');
has_message($file, 'CAPTURE_STOPPED', 'api');
like($nginx->access(), qr{^200 GET \S+ [0-9a-f]{32} alice stopped 400 0 }m,
    'variables in the access log');

# --- classic pcap ---------------------------------------------------------

$c = $nginx->get('/v1/capture/static/demo', form =>
    'interface=eth0&format=pcap&filter=udp&snaplen=60');
status_is($c, 200, 'POST form');
like($c->header('content-disposition'), qr/\.pcap\b/, 'file name');
wait_exit(flood(ns => 'web0', to => $lab->{addr}[1], id => 2, count => 50,
    pps => 2000, size => 500), 10);
wait_seen($c, 2, 49, 2);
stop_capture($lab, $c);

my $pcap = pcap_ok($c, status => 'stopped');

is(scalar @{ $pcap->{packets} }, 100, 'all packets');
is_deeply([ grep { $_->[2] != 60 || $_->[3] != 542 }
    @{ $pcap->{packets} } ], [], 'snaplen and original length');

# --- a POST with the default interface ------------------------------------

$c = $nginx->get('/v1/capture/static/demo', form => 'instance=web%2F1'
    . '&filter=icmp');
status_is($c, 200, 'default interface');
stop_capture($lab, $c);
$file = capture_ok($c, status => 'stopped');
is_deeply([ map { $_->{name} } @{ $file->{ifaces} } ], [ 'web/1/mgmt0' ],
    'the one that holds the address; the selected instance only');

finish();
