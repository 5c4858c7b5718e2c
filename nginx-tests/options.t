# Options: each wrong one is a 400 that names it, before any agent is asked;
# what is right reaches the agents, and nothing else of the request does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = hosts_lab(nginx => { pcap => 'pcap_api_static fake fake/0 '
    . '127.1.0.1:9595 tls_name=pcap-agent; pcap_api_heartbeat 40ms;' });
my $nginx = $lab->{nginx};
my $fake = PcapTest::Fake->new(certs => $lab->{certs}, port => 9595,
    script => sub { $_[0]->usual(1) });
my $long = 'x' x 5001;

# --- what the API itself refuses ------------------------------------------

for my $case (
    # query, what the detail must name
    [ 'bogus=1', 'bogus' ],
    [ 'Filter=udp', 'Filter' ],
    [ '=1', 'option' ],
    [ 'continues=', 'continues' ],
    [ 'continues=12', 'continues' ],
    [ 'continues=' . 'A' x 32, 'continues' ],
    [ 'continues=' . 'a' x 33, 'continues' ],
    [ 'continues=' . 'a' x 32 . '&continues=' . 'a' x 32, 'continues' ],
    [ 'snaplen=0', 'snaplen' ],
    [ 'snaplen=262145', 'snaplen' ],
    [ 'snaplen=-1', 'snaplen' ],
    [ 'snaplen=12x', 'snaplen' ],
    [ 'snaplen=', 'snaplen' ],
    [ 'snaplen=99999999999999999999', 'snaplen' ],
    [ 'snaplen=100&snaplen=100', 'snaplen' ],
    [ 'format=xml', 'format' ],
    [ 'format=PCAP&format=pcap', 'format' ],
    [ 'duration=5x', 'duration' ],
    [ 'duration=0', 'duration' ],
    [ 'duration=-5s', 'duration' ],
    [ 'duration=99999999d', 'duration' ],
    [ 'max_bytes=0', 'max_bytes' ],
    [ 'max_bytes=1q', 'max_bytes' ],
    [ 'max_bytes=99999999999t', 'max_bytes' ],
    [ 'max_packets=0', 'max_packets' ],
    [ 'max_packets=many', 'max_packets' ],
    [ 'max_packets=1&max_packets=2', 'max_packets' ],
    [ 'promiscuous=2', 'promiscuous' ],
    [ 'interface=sixteencharslong', 'interface' ],
    [ 'interface=eth%2F0', 'interface' ],
    [ 'interface=..', 'interface' ],
    [ 'interface=', 'interface' ],
    [ 'interface=e%20h0', 'interface' ],
    [ 'interface=eth0%0d%0aX:1', 'interface' ],
    [ join('&', map { "interface=e$_" } 1 .. 9), 'interface' ],
    [ "filter=$long", 'filter' ],
    [ 'filter=a%00b', '' ],
    [ 'filter=a%01b', 'filter' ],
    [ 'filter=%zz', '' ],
    [ 'filter=%4', '' ],
    [ 'filter=tcp&filter=udp', 'filter' ],
    [ 'reason=a%0aforged', 'reason' ],
    [ 'reason=' . 'r' x 4096, 'reason' ],
    [ 'instance=../x', 'instance' ],
    [ 'instance=%3Cscript%3E', 'instance' ],
) {
    my ($query, $word) = @$case;
    my $name = length $query > 60 ? substr($query, 0, 60) . '...' : $query;
    my $c = $nginx->fetch("/v1/capture/static/fake?$query");

    problem_is($c, 400, qr/\Q$word\E/, $name);
    unlike($c->{body}, qr/[\x00-\x09\x0b-\x1f]/, "$name: no echo");

    # the same as a form
    $c = $nginx->fetch('/v1/capture/static/fake', form => $query);
    status_is($c, 400, "$name: as a form");
}

is(scalar $fake->events('accepted'), 0, 'no agent was asked');

# split over query and form is given twice as well
problem_is($nginx->fetch('/v1/capture/static/fake?snaplen=100',
    form => 'snaplen=100'), 400, qr/snaplen/, 'in query and form');
problem_is($nginx->fetch('/v1/capture/static/fake', method => 'POST',
    form => '{"snaplen":100}', headers => []), 400, undef, 'JSON as a form');

# --- what the agents refuse -----------------------------------------------

my $c = $nginx->fetch('/v1/capture/static/demo?filter=tcp%20prot%2080');
my $doc = problem_is($c, 400, undef, 'bad filter');

like($c->{body}, qr/syntax error|parse/i, "bad filter: libpcap's words");
is_deeply([ sort map { $_->{name} } @{ $doc->{targets} } ],
    [ 'web/0', 'web/1' ], 'bad filter: targets');

problem_is($nginx->fetch('/v1/capture/static/demo?filter=tcp%29%20or%20'
    . '%28udp'), 400, undef, 'a filter that breaks out');

$c = $nginx->fetch('/v1/capture/static/demo?interface=eth9');
problem_is($c, 400, undef, 'no such interface');
like($c->{body}, qr/eth9/, 'no such interface: named');

# on one of the two only
must(qw(ip -n web0 link add name x0 type veth peer name x1));
must(qw(ip -n web0 link set x0 up));
$c = $nginx->get('/v1/capture/static/demo?interface=x0');
status_is($c, 200, 'interface of one');
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'partial', name => 'interface of one');

instance_failed($file, 'web/1');
# nginx makes a buffer of no kind at all for "Content-Length: 0"
my $empty = $nginx->get('/v1/capture/static/fake?max_packets=1', form => '');

$empty->read_end(10);
status_is($empty, 200, 'an empty form');

agents_quiet('refused', @{ $lab->{agents} });

# --- what reaches the agent -----------------------------------------------

my $filter = 'tcp port 80 and host 10.0.0.1 or "%&=+#?" \' \\';

$c = $nginx->get('/v1/capture/static/fake', form => 'snaplen=1000'
    . '&interface=eth0&interface=any&promiscuous=1&filter='
    . join('', map { sprintf '%%%02x', ord } split //, $filter),
    headers => [ [ 'Cookie', 'secret=cookie' ],
        [ 'X-Forwarded-For', '192.0.2.77' ], [ 'X-Custom', 'custom' ],
        [ 'X-Forwarded-Client-Cert', 'xfcc' ],
        [ 'X-Vcap-Request-Id', 'aaaa-1111' ], [ 'User-Agent', 'u/1' ] ]);
status_is($c, 200, 'options for the agent');

my $request = $fake->wait_event(5, 'request', 0);

is($request->{method}, 'GET', 'agent: method');
is($request->{path}, '/v1/capture', 'agent: path');
is_deeply($request->{args}{interface}, [qw(eth0 any)], 'agent: interfaces');
is_deeply($request->{args}{filter}, [$filter], 'agent: filter, unchanged');
is_deeply($request->{args}{snaplen}, [1000], 'agent: snaplen');
is_deeply($request->{args}{promiscuous}, [1], 'agent: promiscuous');
is_deeply($request->{args}{format}, ['pcapng'], 'agent: format');
is_deeply($request->{args}{heartbeat_ms}, [40], 'agent: heartbeat');
is_deeply($request->{args}{id}, [ capture_id($c) ], 'agent: id');
like("@{ $request->{args}{exclude} }", qr/127\.0\.0\.1:8443/,
    'agent: exclude');
unlike($request->{text}, qr/good|authorization|cookie|custom|xfcc|aaaa-1111
    |alice|reason|u\/1/ix, 'agent: no token, no header, no user');
isnt($c->header('x-vcap-request-id'), 'aaaa-1111',
    'request id of a stranger is not taken over');
stop_capture($lab, $c);
capture_ok($c, status => 'stopped', name => 'fake');

finish();
