# The drop ledger with real agents and real packets: whatever happens, what
# an agent has seen is delivered or dropped at a named place, to the packet,
# and counted against what was sent; where that cannot be known it is said
# since when. Interface by interface for fakes that lie.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use POSIX qw(strftime);
use PcapTest::Cli;
use PcapTest::Lab;
use PcapTest::Traffic qw(flood marker);
use Time::HiRes qw(time);


my $lab = hosts_lab(conf => { buffer_bytes => 1 << 20 }, nginx => {
    listen => 'sndbuf=64k', pcap => 'pcap_api_stop_timeout 1s;' });
my ($nginx, $agents, $addr) = @$lab{qw(nginx agents addr)};
my $liar = PcapTest::Fake->new(certs => $lab->{certs}, addr => '127.1.0.1',
    script => sub {
    my ($c) = @_;

    # says that there was one packet more, or two less
    my $lie = $c->{args}{filter}[0] || '';

    # promises nothing, ever, and is gone
    return $c->begin(t => 0) if $lie eq 'nothing';

    $c->begin(ifaces => [ { name => 'eth0' }, { name => 'eth1' } ]);
    $c->traffic(10);
    $c->{count}[0] -= 2 if $lie eq 'less';
    $c->stay(limit(30));
    $c->{count}[1]++ if $lie eq 'more';
    $c->{lost} = [ 3, 4 ] if $lie eq 'agent';
    $c->end();
});

push @{ $nginx->{groups} }, $liar->target('lies', 'web/0', 0);
ok($nginx->reload(), 'groups');


sub trailer_ledger
{
    my ($c) = @_;

    return { map { split /=/, $_, 2 } split /,/,
        $c->trailer('x-pcap-ledger') || '' };
}


# The sum, in the STATUS lines, in the statistics of each interface and in
# the trailer. Returns the ledger of each instance and of all.
sub ledger_ok
{
    my ($c, $file, $name) = @_;

    my $v = verdicts_of($file);
    my (%last, %sum, %seen);

    $last{ $_->{iface} } = $_ for @{ $file->{isbs} };

    for my $i (keys %last) {
        my ($of) = $file->{ifaces}[$i]{name} =~ m{^(.*)/[^/]+$};

        $seen{$of} += $last{$i}{filteraccept};
        $seen{kernel} += $last{$i}{osdrop};
        is($last{$i}{usrdeliv}, $file->{ifaces}[$i]{packets} || 0,
            "$name: $file->{ifaces}[$i]{name}: isb_usrdeliv");
    }

    for my $of (grep { $_ ne 'api' } sort keys %$v) {
        my $l = $v->{$of};
        my $known = 0;

        $known += $l->{$_} || 0 for qw(kernel agent stop limit in_flight);
        is($l->{received}, $l->{packets} + $known, "$name: sum of $of");
        is($l->{received}, $seen{$of}, "$name: isb_filteraccept of $of");
        is($l->{dropped}, $l->{kernel} + $l->{agent} + $l->{stop},
            "$name: dropped of $of");
        is(count_of($file, $of), $l->{packets}, "$name: packets of $of");
        $sum{$_} += $l->{$_} || 0 for qw(received packets dropped kernel agent
            stop limit in_flight);
    }

    my $t = $c->{complete} ? trailer_ledger($c) : {};

    if ($c->{complete}) {
        is($t->{seen}, $sum{received}, "$name: trailer: seen");
        is($t->{delivered}, $sum{packets}, "$name: trailer: delivered");
        is($t->{filtered}, 0, "$name: trailer: filtered");
        is($t->{$_} || 0, $sum{$_}, "$name: trailer: $_")
            for qw(kernel agent stop limit in_flight);
        is($t->{unknown_since}, $v->{api}{unknown_since},
            "$name: trailer: unknown or not");
        is($c->trailer('x-pcap-dropped'), $sum{dropped},
            "$name: X-Pcap-Dropped");
    }

    is($v->{api}{$_}, $sum{$_}, "$name: api: $_")
        for qw(dropped kernel agent stop limit);
    is($sum{kernel}, $seen{kernel}, "$name: isb_osdrop");

    return ($v, $t);
}


# The same as the registry shows it, of the capture and of each target.
sub shown_ok
{
    my ($id, $name) = @_;

    my $doc = eval { decode_json($nginx->fetch("/v1/captures/$id")->{body}) };

    ok($doc && $doc->{ledger}, "$name: it is shown") or return {};

    for my $l ($doc->{ledger}, map { $_->{ledger} } @{ $doc->{targets} }) {
        my $sum = $l->{delivered} + $l->{filtered} + $l->{in_flight};

        $sum += $_ for values %{ $l->{dropped} };
        is($l->{seen}, $sum, "$name: shown: the sum");
    }

    return $doc;
}


sub real
{
    my ($query, %o) = @_;

    my $c = $nginx->get("/v1/capture/static/demo?interface=eth0"
        . "&filter=udp+and+port+9$query", %o);

    status_is($c, 200, $query || 'real');

    return $c;
}


# Sends and waits for the last packet at the sender's own agent: all that
# went before is then counted there.
sub sent
{
    my ($id, $count, $pps, $size) = @_;

    is(wait_exit(flood(ns => 'web1', to => $addr->[0], id => $id, count =>
        $count, pps => $pps, size => $size || 100), 20), 0,
        "$count packets are sent");
}

# --- nothing is lost ------------------------------------------------------

my $c = real('');

sent(1, 500, 5000);
wait_seen($c, 1, 499, 2);
ok(wait_for(5, sub { ($nginx->fetch('/v1/captures/' . capture_id($c))
    ->{body} || '') =~ /"ledger":\s*\{[^}]*"seen":\s*1000\b/ }),
    'running: all are shown');
shown_ok(capture_id($c), 'running');
stop_capture($lab, $c);

my $file = capture_ok($c, status => 'stopped', name => 'all');
my ($v, $t) = ledger_ok($c, $file, 'all');
my $doc = shown_ok(capture_id($c), 'all');

is($doc->{ledger}{delivered}, 1000, 'all: shown');
is($doc->{ledger}{unknown_since}, undef, 'all: shown: nothing unknown');

is($v->{"web/$_"}{received}, 500, "all: web/$_ saw what was sent") for 0, 1;
is($t->{$_}, 0, "all: nothing dropped: $_") for qw(kernel agent stop limit);
ok(!$t->{unknown_since}, 'all: nothing unknown');

# --- a ring that overflows ------------------------------------------------

# nothing is read for the first while, so both rings run over; then all is
$c = real('', rcvbuf => 131072);
sent(2, 12_000, 100_000, 1200);

# these are lost, too, until both rings have room again
my ($markers, $at) = (0, 0);

ok($c->read_until(20, sub {
    if (time() - $at > 0.2) {
        marker(ns => 'web1', to => $addr->[0], id => 3);
        $markers++;
        $at = time();
    }

    return seen_count($c, 3, 0) >= 2 && index($_[0]{body}, 'CONGESTED') >= 0;
}), 'it is read again');
stop_capture($lab, $c);
$file = capture_ok($c, status => 'stopped', name => 'overflow', late => 1);
($v, $t) = ledger_ok($c, $file, 'overflow');
is($v->{"web/$_"}{received}, 12_000 + $markers,
    "overflow: web/$_ saw what was sent") for 0, 1;
cmp_ok($t->{kernel}, '>', 0, 'overflow: the kernel dropped');
is($t->{kernel} + $t->{delivered}, $t->{seen}, 'overflow: and nobody else');
ok(!$t->{unknown_since}, 'overflow: nothing unknown');

# --- a stop while the client is stalled -----------------------------------

$c = real('', rcvbuf => 131072);
sent(4, 8000, 100_000, 1200);
is($nginx->fetch('/v1/captures/' . capture_id($c), method => 'DELETE')
    ->{status}, 202, 'stalled: DELETE');
ok(wait_for(4, sub { !grep { $_->connections() } @$agents }),
    'stalled: the agents are gone');
$c->read_end(20);
$file = capture_ok($c, status => 'stopped', name => 'stalled', late => 1);
($v, $t) = ledger_ok($c, $file, 'stalled');
is($v->{"web/$_"}{received}, 8000, "stalled: web/$_ saw what was sent")
    for 0, 1;
cmp_ok($t->{stop}, '>', 0, 'stalled: dropped at the stop');
ok(!$t->{unknown_since}, 'stalled: nothing unknown');

# the same over HTTP/2, which keeps buffers of its own
my $h2 = work_dir() . '/h2';
my $pid = spawn('h2', [ 'curl', '-sSN', '--http2', '--cacert',
    $lab->{certs}->file('ca.crt'), '-H', 'Authorization: bearer good', '-D',
    "$h2.head", '-o', "$h2.body", 'https://localhost:8443/v1/capture/static/'
    . 'demo?interface=eth0&filter=udp+and+port+9' ]);

ok(wait_for(10, sub { -s "$h2.body" }), 'stalled HTTP/2: it runs');
kill 'STOP', $pid;
sent(14, 12_000, 100_000, 1200);

my ($id) = slurp("$h2.head") =~ /^x-pcap-capture-id: (\w+)/im;

is($nginx->fetch("/v1/captures/$id", method => 'DELETE')->{status}, 202,
    'stalled HTTP/2: DELETE');
ok(wait_for(4, sub { !grep { $_->connections() } @$agents }),
    'stalled HTTP/2: the agents are gone');
kill 'CONT', $pid;
is(wait_exit($pid, 20), 0, 'stalled HTTP/2: it goes on to its end');

my $body = slurp("$h2.body");

$file = PcapTest::Pcapng::parse($body);
($v) = ledger_ok({ body => $body }, $file, 'stalled HTTP/2');
is($v->{"web/$_"}{received}, 12_000, "stalled HTTP/2: web/$_ saw what was "
    . 'sent') for 0, 1;
cmp_ok($v->{api}{stop}, '>', 0, 'stalled HTTP/2: dropped at the stop');
ok(!$v->{api}{unknown_since}, 'stalled HTTP/2: nothing unknown');

# --- an exact limit -------------------------------------------------------

$c = real('&max_packets=100');
sent(5, 500, 100_000);
$c->read_end(10);
$file = capture_ok($c, status => 'limit', name => 'limit', late => 1);
($v, $t) = ledger_ok($c, $file, 'limit');
is($t->{delivered}, 100, 'limit: delivered');
is($t->{seen}, 100 + $t->{limit} + $t->{kernel}, 'limit: the rest');
ok(!$t->{unknown_since}, 'limit: nothing unknown');

# pcap has no room for it but in the trailer
$c = real('&max_packets=100&format=pcap');
sent(6, 500, 100_000);
$c->read_end(10);
$t = trailer_ledger($c);
is($t->{delivered}, 100, 'pcap: delivered');
is($t->{seen}, 100 + $t->{limit} + $t->{kernel}, 'pcap: the rest');

# --- SIGTERM of an agent, while the other goes on -------------------------

$c = real('');
sent(7, 300, 5000);
wait_seen($c, 7, 299, 2);
is($agents->[1]->stop(), 0, 'SIGTERM');
ok($c->read_until(5, sub { index($_[0]{body}, 'CAPTURE_STOPPED web/1') >= 0
    }), 'SIGTERM: announced');
stop_capture($lab, $c);
$file = capture_ok($c, status => 'partial', name => 'SIGTERM');
($v, $t) = ledger_ok($c, $file, 'SIGTERM');
is($v->{"web/$_"}{received}, 300, "SIGTERM: web/$_ saw what was sent")
    for 0, 1;
ok(!$t->{unknown_since}, 'SIGTERM: nothing unknown');
$agents->[1]->start();

# --- SIGKILL: the connection is cut ---------------------------------------

$c = real('');
sent(8, 300, 5000);
wait_seen($c, 8, 299, 2);
$agents->[1]->kill_children();
ok($c->read_until(5, sub { index($_[0]{body}, 'INSTANCE_UNAVAILABLE web/1')
    >= 0 }), 'SIGKILL: announced');
sent(9, 100, 5000);
wait_seen($c, 9, 99, 1);
stop_capture($lab, $c);
$file = capture_ok($c, status => 'partial', name => 'SIGKILL');
($v, $t) = ledger_ok($c, $file, 'SIGKILL');
is($v->{'web/0'}{received}, 400, 'SIGKILL: web/0 saw what was sent');
ok(!$v->{'web/0'}{unknown_since}, 'SIGKILL: and all of it is known');
is($v->{'web/1'}{packets}, 300, 'SIGKILL: web/1 delivered');
like($v->{'web/1'}{unknown_since}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    'SIGKILL: web/1 is unknown since then');
is($t->{unknown_since}, $v->{'web/1'}{unknown_since}, 'SIGKILL: and so is '
    . 'the capture');

# --- a link that is down: the agent is there, and cannot be heard ----------

$c = real('');
sent(15, 300, 5000);
wait_seen($c, 15, 299, 2);

my $shown = strftime('%Y-%m-%dT%H:%M:%S', gmtime(time() - 1));

# nginx' end of web1's; what is sent over eth0 both agents go on to see
must(qw(ip link set m2 down));
sent(16, 100, 5000);
wait_seen($c, 16, 99, 1);
ok($c->read_until(6, sub { index($_[0]{body}, 'INSTANCE_UNAVAILABLE web/1')
    >= 0 }), 'link down: announced');

my $gone = strftime('%Y-%m-%dT%H:%M:%S', gmtime(time()));

sent(17, 50, 5000);
wait_seen($c, 17, 49, 1);
stop_capture($lab, $c);
$file = capture_ok($c, status => 'partial', name => 'link down');
($v, $t) = ledger_ok($c, $file, 'link down');
is($v->{'web/0'}{received}, 450, 'link down: web/0 saw what was sent');
ok(!$v->{'web/0'}{unknown_since}, 'link down: and all of it is known');
is($v->{'web/1'}{packets}, 300, 'link down: web/1 delivered');
is($v->{'web/1'}{received}, 300, 'link down: of what it could tell');
cmp_ok($v->{'web/1'}{unknown_since}, 'gt', $shown,
    'link down: web/1 is unknown since then, not before');
cmp_ok($v->{'web/1'}{unknown_since}, 'lt', $gone,
    'link down: and not only since it was missed');
is($t->{unknown_since}, $v->{'web/1'}{unknown_since}, 'link down: and so is '
    . 'the capture');
must(qw(ip link set m2 up));
agents_quiet('link up', $agents->[0]);
ok(wait_for(20, sub { !$agents->[1]->connections() }),
    'link up: the agent hears that nobody listens');

# --- lies -----------------------------------------------------------------

for my $lie ('', 'more', 'less') {
    $c = $nginx->get("/v1/capture/static/lies?interface=eth0&interface=eth1"
        . "&filter=$lie");
    wait_seen($c, 0, 9, 1);
    stop_capture($lab, $c);
    $file = capture_ok($c, status => 'stopped', name => "lie '$lie'");
    ($v, $t) = ledger_ok($c, $file, "lie '$lie'");
    is(!!$t->{unknown_since}, $lie ne '', "lie '$lie': unknown or not");
    $lie ? has_message($file, 'UNKNOWN', 'web/0', qr/does not fit/)
        : no_message($file, 'UNKNOWN');
}

$c = $nginx->fetch('/v1/capture/static/lies?filter=nothing');
is($c->{status}, 200, 'nothing is said: a capture');
$doc = shown_ok(capture_id($c), 'nothing is said');
like($doc->{ledger}{unknown_since}, qr/^1970-/,
    'nothing is said: nothing is known');

# what the agent itself lost, between the kernel and its stream

$c = $nginx->get('/v1/capture/static/lies?interface=eth0&interface=eth1'
    . '&filter=agent');
wait_seen($c, 0, 9, 1);
stop_capture($lab, $c);
$file = capture_ok($c, status => 'stopped', name => 'agent');
($v, $t) = ledger_ok($c, $file, 'agent');
is($t->{agent}, 7, 'agent: dropped there');
ok(!$t->{unknown_since}, 'agent: nothing unknown');

# the summary has a line for each place, the JSON has all of them

my $run = cli_start({ url => 'https://localhost:8443', certs =>
    $lab->{certs} }, [ 'static', 'lies', '-i', 'eth0', '-i', 'eth1',
    '-f', 'agent', '--max-packets', '3', '--json', '-o', 'x.pcapng' ],
    env => { PCAP_TOKEN => 'good' });

is(wait_exit($run->{pid}, 10), 0, 'pcap-cli') or diag(slurp($run->{err}));

$doc = eval { decode_json(slurp($run->{out})) } || {};

is_deeply($doc->{drops}, { kernel => 0, agent => 7, stop => 0, limit => 7 },
    'JSON: drops') or diag(slurp($run->{out}), slurp($run->{err}));
is_deeply($doc->{instances}[0]{ledger}, { seen => 17, delivered => 3,
    filtered => 0, in_flight => 0, dropped => $doc->{drops} },
    'JSON: the ledger of an instance');
like(slurp($run->{err}), qr/^\D*7 dropped by the agent$/m, 'summary: agent');
like(slurp($run->{err}), qr/^\D*7 left out behind the limit$/m,
    'summary: limit');
unlike(slurp($run->{err}), qr/by the kernel|at the stop/,
    'summary: no line for none');

# --- a client that is gone ------------------------------------------------

$c = real('');
sent(10, 200, 5000);
wait_seen($c, 10, 199, 2);

$c->vanish();
agents_quiet('gone', @$agents);
ok(wait_for(3, sub { $nginx->log() =~ /ended: cut, .* sent:(\d+) .*in_flight=/
    }), 'gone: the log has the ledger');

my ($bytes, $line) = $nginx->log() =~ /ended: cut, .* sent:(\d+) (\S.*)/;

cmp_ok($bytes, '>', 2 * 200 * 100, 'gone: bytes handed to its socket');
like($line, qr/unknown_since=\d{4}-/, 'gone: unknown since then');

$doc = shown_ok(capture_id($c), 'gone');
is($doc->{sent_bytes}, $bytes, 'gone: shown: bytes handed to its socket');
is($doc->{ledger}{delivered}, 400, 'gone: shown: delivered');
like($doc->{ledger}{unknown_since} || '', qr/^\d{4}-/,
    'gone: shown: unknown since then');
is($doc->{end_reason}, 'client gone', 'gone: shown: why');

finish();
