# Stored captures of several nodes: each node lists, shows, sends and removes
# those of the other one, for those whose they are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Certs;
use PcapTest::Fake;
use PcapTest::Lab;
use PcapTest::Node;
use PcapTest::StoreLab;
use PcapTest::Uaa;


my $certs = PcapTest::Certs->new();
my $uaa = PcapTest::Uaa->new(certs => $certs);
my $fake = PcapTest::Fake->new(certs => $certs, script => sub {
    $_[0]->usual(5, size => 800) });
my @stores = map { store_for() } 0, 1;
my @nodes = map { node(certs => $certs, n => $_, nodes => [ 0, 1 ],
    store => $stores[$_], allow => [ qr/connect\(\) failed|no live/ ],
    groups => [ $fake->target('demo', 'web/0', 0) ]) } 0, 1;

$uaa->token('eve', scope => ['pcap.capture'], user_name => 'eve',
    user_id => 'user-eve', sub => 'user-eve');


# --- of node 1, asked at node 0 ----------------------------------------------

my $id = stored($nodes[1], 'node 1', options => { max_packets => 300 })->{id};

like($id, qr/^0001/, 'it is of node 1');

my $doc = wait_stored($nodes[0], $id);

is($doc->{stored}{state}, 'stored', 'shown by node 0');

my ($listed) = grep { $_->{id} eq $id } @{ decode_json($nodes[0]->fetch(
    '/v1/captures')->{body})->{captures} };

is($listed->{stored}{sha256}, $doc->{stored}{sha256}, 'and in its list');

my $c = download($nodes[0], $id);
my $body = $c->{body};

is(scalar @{ file_ok($c, $doc, 'node 0')->{packets} }, 300,
    'node 0 sends all of it');
is($c->header('content-type'), 'application/x-pcapng', 'as what it is');
like($c->header('content-disposition'), qr/$id\.pcapng/, 'by its name');
is(scalar @{ $c->{fields}{'x-vcap-request-id'} || [] }, 1, 'one request id');

$c = download($nodes[0], $id, headers => [ [ Range => 'bytes=1000-1999' ] ]);
is($c->{status} . $c->{body}, 206 . substr($body, 1000, 1000), 'a range');
$c = download($nodes[0], $id, headers => [ [ Range => 'bytes=0-9' ],
    [ 'If-Range' => '"x"' ] ]);
is($c->{status}, 200, 'If-Range');
$c = $nodes[0]->get("/v1/captures/$id/file", method => 'HEAD');
is($c->header('content-length'), length $body, 'HEAD');

like($nodes[0]->access(), qr{^200 GET \S+ \S+ alice}m,
    'the access log knows who it was');
problem_of(download($nodes[0], $id, token => 'eve'), 404, 'not for others');
problem_of(download($nodes[0], $id, token => 'bad'), 401, 'nor strangers');
problem_of(download($nodes[0], '0001' . 'a' x 28), 404, 'one that is not');
problem_of(download($nodes[0], '0009' . 'a' x 28), 404, 'of no node');

# only what is asked for goes along
my $seen = grep { /good/ } $nodes[0]->log(), $nodes[0]->access(),
    $nodes[1]->access();

is($seen, 0, 'no token in a log');

is($nodes[0]->fetch("/v1/captures/$id/file", method => 'DELETE')->{status},
    204, 'node 0 removes it');
problem_of(download($nodes[0], $id), 410, 'it is gone');

# --- the other node is away --------------------------------------------------

$id = stored($nodes[1], 'away', options => { max_packets => 5 })->{id};
wait_stored($nodes[1], $id);
$nodes[1]->stop();
problem_of(download($nodes[0], $id), 502, 'its node is away');

agents_quiet('the end', $fake);
finish();
