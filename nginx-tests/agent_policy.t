#!/usr/bin/perl

# What the owner of a machine allows, and no request can override: enabled,
# off_file, interfaces, max_snaplen, exclude_filter, metrics_names.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use PcapTest;
use Test::More;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Certs;
use PcapTest::Net;
use PcapTest::Pcapng qw(parse);
use PcapTest::Traffic qw(flood inject packet_id udp_frame);
use Time::HiRes qw(time);

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $net = PcapTest::Net->new();
my $ha = $net->host("pa$$");
my $hb = $net->host("pb$$");
my ($addr_a, $addr_b) = $net->join_hosts($ha, $hb);
my $off = work_dir() . '/captures-off';

$certs->leaf('prometheus', cn => 'pcap-metrics');

# udp from one port is never captured, and neither is that below a VLAN tag
my $agent = PcapTest::Agent->new(certs => $certs, host => $ha, conf => {
    off_file => $off, interfaces => [ 'eth*', 'dummy?' ], max_snaplen => 60,
    metrics_names => [ 'pcap-metrics' ], user => 'nobody',
    exclude_filter => 'udp port 5353 or (vlan and udp port 5353)' });


sub refusal
{
    my ($query) = @_;

    my ($status, $doc) = $C->fetch($agent, "/v1/capture?$query");

    return "$status: " . (ref $doc ? $doc->{detail} : $doc);
}


# --- interfaces ----------------------------------------------------------

my $not = qr/^403: (\S+) is not among the interfaces .*\(interfaces\)$/;

like(refusal('interface=lo'), $not, 'an interface that is not allowed');
like(refusal('interface=lo'), qr/by this machine's policy: eth\*, dummy\? \(/,
    'says which ones are');
like(refusal('interface=any'), $not, 'any is all of them');
like(refusal('interface=eth0&interface=lo'), $not, 'one of several');
like(refusal('interface=dummy10'), $not, '? is one character');

# by its other name
must(qw(ip netns exec), $ha->{ns}, qw(ip link property add dev lo altname
    eth9));
like(refusal('interface=eth9'), $not, 'by an allowed name of another');

my ($status, $doc) = $C->fetch($agent, '/v1/capture?interface=eth7');
is($status, 404, 'an interface that is allowed and not there');
is_deeply($doc->{interfaces}, ['eth0'], 'only what is allowed is offered');


# --- snaplen and exclude_filter -------------------------------------------

sub udp_from
{
    my ($seq, $port, @tags) = @_;

    my $frame = udp_frame(1, $seq, 40, @tags);

    substr $frame, 34 + 4 * @tags, 2, pack 'n', $port;

    return $frame;
}

for my $user ('', 'udp', 'udp port 5353', 'udp port 5353 or udp',
    'not (not udp)', 'udp or vlan', '1=1')
{
    (my $query = $user) =~ s/ /%20/g;

    my $c = $C->capture($agent, "interface=eth0&snaplen=2000&filter=$query",
        sub {
            inject($hb->{ns}, 'eth0', udp_from(1, 5353),
                udp_from(2, 5353, 5), udp_from(3, 5354));
            $_[0]->read_until(5, sub { $_[0]->seen('PCAPTEST' . pack 'NN', 1,
                3) }) if $user ne 'udp port 5353';
        });
    my $f = parse($c->{body});
    my @seen = map { (packet_id($_->[4]))[1] // () } @{ $f->{packets} };
    my @tagged = grep { substr($_->[4], 12, 2) eq "\x81\0" }
        @{ $f->{packets} };

    is("@seen", $user eq 'udp port 5353' ? '' : '3',
        "excluded whatever is asked for, and nothing else: $user");
    is(scalar @tagged, 0, "below a tag as well: $user");
    is($f->{ifaces}[0]{snaplen}, 60, "snaplen is cut: $user");
    is((scalar grep { length $_->[4] > 60 } @{ $f->{packets} }), 0,
        "and so is every packet: $user");
}

like(refusal('interface=eth0&filter=udp)%20or%20(tcp'),
    qr/^400: filter: .*syntax error/, 'no way out of the parentheses');


# --- who may read metrics ------------------------------------------------

($status, $doc) = $C->fetch($agent, '/v1/capture?interface=eth0',
    cert => 'prometheus');
is($status, 403, 'metrics_names: no capture');
like($doc->{detail}, qr/^"pcap-metrics" may read status and metrics alone/,
    'and why');
is(($C->fetch($agent, '/v1/status', cert => 'prometheus'))[0], 200,
    'metrics_names: status');
is(($C->fetch($agent, '/v1/metrics', cert => 'prometheus'))[0], 200,
    'metrics_names: metrics');


# --- the switch ----------------------------------------------------------

# beside one whose client takes nothing, with more waiting than sockets hold
my $never = $C->new($agent, rcvbuf => 65536);
$never->get('/v1/capture?interface=eth0&filter=udp');
ok($never->started(), 'a capture runs');
is(wait_exit(flood(id => 1, to => $addr_a, ns => $hb->{ns}, count => 60_000,
    size => 100, pps => 60_000), 20), 0, 'more is sent than is read');

my $c = $C->new($agent);
$c->get('/v1/capture?interface=eth0');
ok($c->started(), 'another one');

spew($off, '');
my $begun = time();
like(refusal('interface=eth0'), qr/^403: captures are switched off .*off_file/,
    'off_file: refused at once');
$c->read_to_end(5);
cmp_ok(time() - $begun, '<', limit(2.5), 'and the running one ended soon');
ok($c->{complete}, 'well');

my $f = parse($c->{body});
is_deeply($f->{isbs}[-1]{comments}, ['switched off'],
    'its last ISB says so');
ok(wait_for(5, sub { !$agent->connections() }), 'who takes nothing has not'
    . ' drain_timeout for it');
cmp_ok(time() - $begun, '<', limit(6), 'but three seconds');
is(($C->fetch($agent, '/v1/status'))[1]{message}, 'captures are switched off',
    'status too');

unlink $off or die "$off: $!\n";
$c = $C->new($agent);
$c->get('/v1/capture?interface=eth0');
ok($c->started(), 'without the file it goes on at once');
$c->half_close();
$c->read_to_end(5);

my (undef, $metrics) = $C->fetch($agent, '/v1/metrics');
like($metrics, qr/^pcap_agent_captures_ended_total\{reason="switched_off"} 2$/m,
    'counted as ended by it');
like($metrics,
    qr/^pcap_agent_requests_refused_total\{reason="switched_off"} 1$/m,
    'and as refused');
like($metrics, qr/^pcap_agent_requests_refused_total\{reason="policy"} 7$/m,
    'like all that policy refused');

$agent->stop();
$agent->{conf} = { enabled => JSON::PP::false };
$agent->start();
like(refusal('interface=eth0'), qr/^403: captures are not enabled/,
    'enabled: false');
like(slurp($agent->{log}), qr/ policy: captures not enabled, interfaces all, /,
    'the log has the policy in force');
like(slurp($agent->{log}), qr/ enabled: it is false: every capture is refus/,
    'and warns');
$agent->stop();


# --- what it does not start with -----------------------------------------

sub check
{
    my (%change) = @_;

    my $file = spew(work_dir() . '/check.json',
        JSON::PP->new->encode({ %{ $agent->config() }, %change }));
    my $out = work_dir() . '/check.out';
    my $rc = system(tool('agent') . " --config $file --check >$out 2>&1");

    return ($rc >> 8, slurp($out));
}

my @wrong = (
    [ exclude_filter => 'tcp) or (udp', qr/exclude_filter: .*syntax error/ ],
    [ exclude_filter => 'host example.com',
        qr/exclude_filter: unknown host/ ],
    [ exclude_filter => 'ip and ip6', qr/exclude_filter: .*rejects all/ ],
    [ exclude_filter => '', qr/exclude_filter: must not be empty/ ],
    [ interfaces => [ 'eth0/1' ], qr{interfaces: "eth0/1" must be} ],
    [ interfaces => 'eth0', qr/interfaces: must be an array/ ],
    [ max_snaplen => 0, qr/max_snaplen: must be 1 to 262144/ ],
    [ off_file => 'off', qr/off_file: must be an absolute path/ ],
    [ enabled => 'yes', qr/enabled: must be true or false/ ],
    [ enabled => 1, qr/enabled: must be true or false/ ],
    [ max_cpu_percent => 101, qr/max_cpu_percent: must be 0 to 100/ ],
    [ max_bandwidth => '-1', qr/max_bandwidth: / ],
    [ drain_timeout => '0', qr/drain_timeout: / ],
    [ drain_timeout => 601, qr/drain_timeout: must be 1 to 600 seconds/ ],
);

for my $w (@wrong) {
    my ($key, $value, $words) = @$w;
    my ($rc, $out) = check($key => $value);

    isnt($rc, 0, "refused: $key " . (ref $value ? "@$value" : $value));
    like($out, $words, 'and named');
}

is((check(exclude_filter => 'ether host 00:00:00:00:00:01',
    max_bandwidth => 0, max_cpu_percent => 0, drain_timeout => '1m',
    enabled => JSON::PP::true))[0], 0, 'all of that can be right');


# --- what is valid, and captures nothing ----------------------------------

my $closed = work_dir() . '/closed';

mkdir $closed, 0700 or die "$closed: $!\n";
$agent->{conf} = { listen => '0.0.0.0:9494' };

for my $w (
    [ { off_file => "$closed/off" },
        qr/off_file: \S+ cannot be looked for as user nobody \(Permission / ],
    [ { off_file => spew(work_dir() . '/here', '') },
        qr/off_file: \S+ is there: every capture is refus/ ],
    [ { interface_default => 'lo', interfaces => [ 'eth*' ] },
        qr/interface_default: lo is not among `interfaces`/ ],
    [ { enabled => JSON::PP::false }, qr/enabled: it is false/ ],
    [ { listen => '192.0.2.77:9494' },
        qr/listen: this machine has no address as in 192\.0\.2\.77:9494/ ])
{
    my ($change, $words) = @$w;
    my ($rc, $out) = check(user => 'nobody', %$change);
    my ($key) = sort keys %$change;

    is($rc, 0, "valid: $key");
    like($out, qr/^pcap-agent: warning: .*$words/m, 'with a warning');
    unlike($out, qr/is good/, 'not good');
}

my ($good, $said) = check(user => 'nobody', off_file => "$closed-not/off");

is("$good $said", "0 pcap-agent: the configuration is good\n", 'none of it');

$agent = PcapTest::Agent->new(certs => $certs, host => $ha, name => 'unseen',
    conf => { off_file => "$closed/off", user => 'nobody' });
like(refusal('interface=eth0'), qr/^403: captures are switched off/,
    'what cannot be seen exists');
like(slurp($agent->{log}), qr/ off_file: \S+ cannot be looked for/,
    'and the log says why');
$agent->stop();

is(system(tool('agent') . ' --frob >' . work_dir() . '/frob 2>&1') >> 8, 1,
    'a flag that is none');
like(slurp(work_dir() . '/frob'), qr/--frob: unknown flag/, 'is unknown');

finish();
