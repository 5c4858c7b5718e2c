# pcap-cli list, show and stop: tables for people, documents with --json, and
# nothing that an API says can harm a terminal.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Cli;
use PcapTest::Lab;
use PcapTest::Node;


my $certs = PcapTest::Certs->new();
my $lab = lab(certs => $certs, no_start => 1, fakes => 2,
    script => sub { $_[0]->usual(2) });
my $fake = $lab->{fake};
my @groups = map { $fake->target('demo', "web/$_", $_) } 0, 1;
my $nginx = node(certs => $certs, n => 1, nodes => [1],
    groups => [ @groups, [ 'half', 'web/7', '127.4.0.1:9' ],
    [ 'half', 'web/8', $fake->addr(1) . ':9494' ] ]);
my %api = (url => 'https://localhost:8461', certs => $certs);


sub run
{
    my ($token, @args) = @_;

    return cli(\%api, [@args], env => { PCAP_TOKEN => $token });
}

# --- none -----------------------------------------------------------------

my $r = run('good', 'list');

is("$r->{code} $r->{stdout}", '0 ', 'none');
like($r->{stderr}, qr/^there are no captures$/m, 'it says so');
$r = run('good', 'list', '--json');
is("$r->{code} $r->{stdout}", "0 {\"captures\":[],\"unreachable\":[]}\n",
    'an empty list');

# --- some -----------------------------------------------------------------

my @c = map { $nginx->get("/v1/capture/static/$_") }
    'demo?reason=why&filter=tcp&duration=60500ms&max_bytes=1g', 'half';
my @id = map { capture_id($_) } @c;

wait_seen($c[1], 1, 5, 1);
wait_for(5, sub { $nginx->fetch("/v1/captures/$id[1]")->{body}
    =~ /"packets":[1-9]/ });
$r = run('good', 'list');
is($r->{code}, 0, 'list');
like($r->{stdout}, qr/^ID +STATE +STARTED .* TARGET +USER$/m, 'a head');
like($r->{stdout}, qr{^$id[1] +running +20\S+Z +2 +[1-9]\d* }m,
    'a row for each');
like($r->{stdout}, qr{  static/half +alice$}m, 'what and whose');
like($r->{stdout}, qr/^$id[0] /m, 'also for this one');
is($r->{stderr}, '', 'and no more');

$r = run('good', 'show', $id[1]);
is($r->{code}, 0, 'show');
like($r->{stdout}, qr/^target +static\/half\nstate +running$/m, 'what');
like($r->{stdout}, qr/^packets +[1-9]\d*, \S+ k?B, dropped 0, late 0$/m,
    'how much');
like($r->{stdout}, qr/^web\/8 .* running +[1-9]/m, 'its instances');
like($r->{stdout}, qr/^web\/7 .* failed +0 +0 B  no connection to the agent/m,
    'and why one is not there');

$r = run('good', 'show', '--json', $id[0]);
is("$r->{code} $r->{json}{id} $r->{json}{reason}", "0 $id[0] why",
    'as a document');
$r = run('good', 'show', $id[0]);
like($r->{stdout}, qr/^reason +why\nfilter +tcp\n/m, 'reason, filter');
like($r->{stdout}, qr/^limit +duration 60.5 s\nlimit +1.0 GB$/m, 'limits');

# --- who may not ----------------------------------------------------------

$r = run('other', 'show', $id[0]);
is("$r->{code} $r->{stdout}", '1 ', "somebody else's");
like($r->{stderr}, qr/there is no capture $id[0]/, 'it is not there');
$r = run('bogus', 'list');
is($r->{code}, 4, 'no token');
$r = run('bogus', 'list', '--json');
is("$r->{code} $r->{json}{http_status}", '4 401', 'as a document');
is(run('good', @$_)->{code}, 2, "usage: @$_") for ['show'], ['show', 'x'],
    ['show', @id], ['list', 'x'], ['stop'], ['stop', $id[0], 'x'],
    ['list', '--filter', 'tcp'];

# --- stop, several --------------------------------------------------------

$r = run('good', 'stop', '--json', $id[1], '0001' . 'a' x 28, $id[0]);
is($r->{code}, 1, 'one of them is not there');
is((() = $r->{stdout} =~ /"http_status":202/g), 2, 'the others are stopped');
$_->read_end(10) for @c;
is($c[0]->trailer('x-pcap-status'), 'stopped', 'this one');
like($c[1]->trailer('x-pcap-status'), qr/stopped|partial/, 'and that');
$r = run('good', 'show', $id[0]);
like($r->{stdout}, qr/^state +ended\nstatus +stopped\nend +user$/m,
    'how it ended');

# --- a node that is down --------------------------------------------------

$nginx->{pcap} .= ' pcap_api_peer 5 127.0.0.1:9;';
ok($nginx->reload(), 'a peer that is not there');
$r = run('good', 'list');
is($r->{code}, 3, 'partial');
like($r->{stderr}, qr/^pcap-cli: node 5 of the API could not be asked: no /m,
    'which one');
like($r->{stdout}, qr/^$id[0] +stopped /m, 'the rest is there');
is(run('good', 'list', '--json')->{json}{unreachable}[0]{node}, 5, 'JSON');

# --- an API that lies -----------------------------------------------------

my $bad = PcapTest::Uaa->new(certs => $certs, port => 8490, cert => 'front');
my %liar = (url => 'https://localhost:8490', certs => $certs);


sub lie
{
    my ($body, @args) = @_;

    $bad->tell(raw => "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body");

    return cli(\%liar, [@args]);
}

my $esc = '\u001b[2J\u202ex';

for my $cmd (['list'], ['show', $id[0]]) {
    for my $body ('', 'x', '[]', '{"captures":', '[' x 9999) {
        $r = lie($body, @$cmd);
        is($r->{code}, 1, "@$cmd: no document");
    }
}

$r = lie('{"captures":[7,null,"x",{"id":"' . $esc . '","packets":-1,'
    . '"bytes":"many","user":["x"],"state":"' . $esc . '"}],'
    . '"unreachable":[1,{"node":"x","detail":"' . $esc . '"}]}', 'list');
is($r->{code}, 3, 'a list of nonsense');
unlike($r->{stdout} . $r->{stderr}, qr/[\x00-\x09\x0b-\x1f]|\xe2\x80\xae/,
    'nothing moves the cursor');
$r = lie('{"id":7,"targets":[1,{"name":"' . $esc . '","error":"' . $esc
    . '"}],"limits":{"duration_s":"x"},"ledger":[],"reason":"' . $esc
    . '"}', 'show', $id[0]);
is($r->{code}, 0, 'a capture of nonsense');
unlike($r->{stdout} . $r->{stderr}, qr/[\x00-\x09\x0b-\x1f]|\xe2\x80\xae/,
    'nothing moves the cursor there');
agents_quiet('list', $fake);

finish();
