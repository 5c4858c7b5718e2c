# Instances of a BOSH deployment: which ones, under which name, in which
# order, reached at which address; those that cannot be reached are told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Agent;
use PcapTest::BoshLab;


my $lab = bosh_lab(script => sub {
    my ($c) = @_;

    return $c->refuse('400 Bad Request', '{"detail":"syntax error"}')
        if ($c->{args}{filter} || [''])->[0] eq 'bad';

    $c->begin();
    $c->traffic(3);
    $c->end();
}, ranges => '127.1.0.0/24 127.9.0.0/16 ::1',
    nginx => { pcap => 'pcap_api_max_targets 6;' });
my ($nginx, $fake, $director) = @$lab{qw(nginx fake director)};
my $cf = '/v1/capture/bosh/cf';


# A capture as the operator; its file.
sub capture
{
    my ($query, $name, %e) = @_;

    my $c = $nginx->get("$cf$query", token => 'op');

    status_is($c, 200, "$name: status") or return;
    $c->read_end(10);

    return capture_ok($c, status => 'complete', name => $name, %e);
}


sub names
{
    my ($query, $name) = @_;

    return names_of(capture($query, $name) || {});
}


sub id { return PcapTest::Director::id(@_) }


# --- selection -------------------------------------------------------------

my $file = capture('', 'all', packets => { map { $_ => 3 }
    'router/' . id(0), 'diego-cell/' . id(4) });

is(names_of($file), 'diego-cell/2 diego-cell/3 diego-cell/4 router/0'
    . ' router/1', 'all: by group, then by index');
is($file->{ifaces}[0]{name}, 'diego-cell/' . id(2) . '/eth0',
    'an interface is named GROUP/ID/NAME');
like($file->{ifaces}[0]{description}, qr/address=127\.1\.0\.3:9494/,
    'the port of agents is 9494');

is(names('?instance=router', 'one group'), 'router/0 router/1', 'one group');
is(names('?instance=router&instance=diego-cell', 'two groups'),
    'diego-cell/2 diego-cell/3 diego-cell/4 router/0 router/1',
    'two groups');
is(names('?instance=diego-cell/' . id(3), 'one id'), 'diego-cell/3',
    'one id');
is(names('?instance=diego-cell/2', 'an index'), 'diego-cell/4', 'an index');
is(names('?instance=router%2F1', 'encoded'), 'router/1', 'encoded');
is(names('?instance=router/1&instance=router/' . id(1)
    . '&instance=router', 'one thrice'), 'router/0 router/1',
    'what is named more than once is captured once');

$director->deployment('order', [], vm('web', 10, 5), vm('web', 9, 6),
    vm('web', 2, 7), vm('We', 3, 8), vm('web-', 0, 9));

my $c = $nginx->fetch('/v1/capture/bosh/order', token => 'op');

is(names_of(capture_ok($c, status => 'complete', name => 'order')),
    'We/8 web/7 web/6 web/5 web-/9', 'an index is a number');

$c = $nginx->get($cf, token => 'op',
    form => 'instance=router/0&instance=diego-cell/0');

$c->read_end(10);
is(names_of(capture_ok($c, status => 'complete', name => 'POST')),
    'diego-cell/2 router/0', 'by POST');
is($c->header('content-disposition') =~ /filename="cf-\d{8}T\d{6}Z\.pcapng"/
    ? 1 : 0, 1, 'the file is named after the deployment');

for my $case (
    [ 404, 'instance=nats', qr{no instance "nats"}, 'unknown group' ],
    [ 404, 'instance=router/9', qr{no instance "router/9"}, 'no index 9' ],
    [ 404, 'instance=router/' . id(2), qr{no instance "router/},
        'an id of another group' ],
    [ 404, 'instance=rout', qr{no instance "rout"}, 'part of a name' ],
    [ 404, 'instance=router/0&instance=nats', qr{"nats"}, 'one of two' ],
    [ 400, 'instance=router/0/1', qr{instance}, 'two slashes' ],
    [ 400, 'instance=router/', qr{instance}, 'no id behind the slash' ],
    [ 400, 'instance=router%20', qr{instance}, 'a space' ],
    [ 400, 'instance=', qr{instance}, 'empty' ],
) {
    my ($status, $query, $detail, $name) = @$case;

    problem_is($nginx->fetch("$cf?$query", token => 'op'), $status, $detail,
        $name);
}

# --- the deployment's name ---------------------------------------------------

$director->deployment('a+b.c_d-9', [], vm('web', 0, 0));
$c = $nginx->fetch('/v1/capture/bosh/a+b.c_d-9', token => 'op');
capture_ok($c, status => 'complete', name => 'a name with all it may have');
is(scalar $director->seen(qr{^/deployments/a%2Bb\.c_d-9/instances$}), 1,
    'sent encoded');

problem_is($nginx->fetch('/v1/capture/bosh/nowhere', token => 'op'), 404,
    qr/no deployment "nowhere"/, 'unknown deployment');

my $asked = $director->seen();

for my $case ([ 400, 'cf%20x' ], [ 400, 'cf%3Fa=1' ], [ 400, 'cf%23' ],
    [ 400, 'cf%2Finstances' ], [ 400, 'cf/instances' ], [ 400, 'cf%0Ax' ],
    [ 400, 'cf%25' ], [ 400, "%C3%A9" ], [ 400, 'x' x 256 ], [ 404, '' ])
{
    my ($status, $path) = @$case;

    problem_is($nginx->fetch("/v1/capture/bosh/$path", token => 'op'),
        $status, undef, 'deployment "' . substr($path, 0, 20) . '"');
}

is(scalar $director->seen(), $asked, 'no such name reaches the Director');

# --- instances that cannot be reached ----------------------------------------

cf_deployment($lab,
    vm('nats', 0, 10, vm => 0),
    vm('errand', 0, 11, vm => 0, expects => 0),
    vm('nats', 1, 12, ips => [ '10.0.0.1', '192.0.2.7' ]),
    vm('nats', 2, 13, ips => [ '127.1.0.0/28' ]),
    vm('nats', 3, 14, ips => [ 'localhost', '', '127.1.0.1:22', '127.1' ]));

$file = capture('?instance=nats&instance=router/0&instance=errand',
    'some without', status => 'partial');
is(names_of($file), 'router/0', 'the one with an address is captured');
has_message($file, 'INSTANCE_UNAVAILABLE', 'nats/' . id(10),
    qr/^it has no VM$/);
has_message($file, 'INSTANCE_UNAVAILABLE', 'errand/' . id(11),
    qr/no VM, and none is expected/);

for my $n (12 .. 14) {
    has_message($file, 'INSTANCE_UNAVAILABLE', 'nats/' . id($n),
        qr/none of its addresses/);
}

my $doc = problem_is($nginx->fetch("$cf?instance=nats/0&instance=nats/1",
    token => 'op'), 502, qr/no instance could start.*no VM/, 'none at all');

is_deeply($doc->{targets}, [
    { name => 'nats/' . id(10), type => 'INSTANCE_UNAVAILABLE',
        detail => 'it has no VM' },
    { name => 'nats/' . id(12), type => 'INSTANCE_UNAVAILABLE',
        detail => "none of its addresses lies in the agents' ranges of this"
        . ' API' } ], 'none at all: why, for each target');

problem_is($nginx->fetch($cf, token => 'op'), 413,
    qr/10 targets.*"pcap_api_max_targets" allows 6/,
    'more than pcap_api_max_targets');

$director->deployment('empty', []);
problem_is($nginx->fetch('/v1/capture/bosh/empty', token => 'op'), 404,
    qr/no instances/, 'a deployment without instances');

# an agent that refuses the filter is asked, an instance without VM is not
problem_is($nginx->fetch("$cf?instance=nats/0&instance=router/0"
    . '&filter=bad', token => 'op'), 400, qr/syntax error/, 'a bad filter');

# --- which address -----------------------------------------------------------

cf_deployment($lab,
    # sorted by number, as the Director does: the first one means nothing
    vm('many', 0, 20, ips => [ '10.0.0.5', '127.1.0.0/28', '127.1.0.21',
        '127.9.0.5', '203.0.113.9' ]),
    # the first range wins, not the first address
    vm('many', 1, 21, ips => [ '127.1.0.22', '127.9.0.6' ]),
    vm('many', 2, 22, ips => [ '127.9.0.7', '198.51.100.3' ]),
    vm('many', 3, 23, ips => [ '127.1.0.24/32' ]));

$file = capture('?instance=many', 'addresses');

is(join(' ', map { $_->{description} =~ /address=(\S+)/ }
    @{ $file->{ifaces} }), '127.1.0.21:9494 127.1.0.22:9494 127.9.0.7:9494'
    . ' 127.1.0.24:9494', 'CIDR and VIP are skipped, the first range wins');

# --- real agents, also at IPv6 -----------------------------------------------

my @agents = map { PcapTest::Agent->new(certs => $lab->{certs},
    addr => $_, port => 9495) } '127.1.0.1', '127.1.0.2', '::1';
my $real = PcapTest::Nginx->new(certs => $lab->{certs}, port => 8453,
    server => $director->location('/_pcap_director'), pcap =>
    'pcap_api_bosh /_pcap_director port=9495;'
    . ' pcap_api_agent_ranges ::1/128 127.1.0.0/24;');

$real->start();

cf_deployment($lab, vm('six', 0, 30, ips => [ '127.1.0.31',
    '2001:db8::/64', '::1' ]));

$c = $real->get("$cf?instance=router&instance=six&interface=lo"
    . '&filter=udp%20port%207777', token => 'op');
status_is($c, 200, 'real agents');

my $pid = PcapTest::Traffic::flood(to => '127.0.0.1', port => 7777, id => 7,
    count => 200, pps => 500);

wait_exit($pid, 10);
wait_seen($c, 7, 199, 3);
stop_capture({ nginx => $real }, $c, token => 'op');
$file = capture_ok($c, status => 'stopped', name => 'real agents');
is(names_of($file), 'router/0 router/1 six/30', 'names');
is(join(' ', map { $_->{description} =~ /address=(\S+)/ }
    @{ $file->{ifaces} }), '127.1.0.1:9495 127.1.0.2:9495 [::1]:9495',
    'two IPv4, one IPv6');

for my $seq (0, 100, 199) {
    cmp_ok(seen_count($c, 7, $seq), '>=', 3,
        "packet $seq is there from each agent");
}

agents_quiet('real', @agents);
agents_quiet('fake', $fake);
strict_director($lab);

finish();
