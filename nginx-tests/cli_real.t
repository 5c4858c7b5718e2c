# pcap-cli against the real API: HTTP/2, real agents and packets, Ctrl-C,
# limits, an agent that dies, refusals.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Cli;
use PcapTest::Traffic qw(flood);
use JSON::PP;


my $lab = hosts_lab();
my $api = { url => 'https://localhost:8443', certs => $lab->{certs} };
my %env = (env => { PCAP_TOKEN => 'good' });

my ($run, $file);


# Packets of both hosts flow until the capture has ended.
sub traffic
{
    return flood(ns => 'web0', to => $lab->{addr}[1], id => 1,
        count => 100_000, pps => 2000, size => 1200);
}


sub file_of
{
    my ($run) = @_;

    return eval { PcapTest::Pcapng::parse(slurp("$run->{dir}/x")) }
        || { packets => [], ifaces => [], error => $@ };
}


sub check
{
    my ($run, $name, $code, $status) = @_;

    my $json = $run->{json} || {};
    my $file = file_of($run);

    is($run->{code}, $code, "$name: exit code") or diag($run->{stderr});
    is($json->{status}, $status, "$name: status");
    is(scalar @{ $file->{packets} }, $json->{packets}, "$name: count");
    tshark_ok("$run->{dir}/x", $name);
    unlike($run->{stderr}, qr/[^\n -~]/, "$name: plain text");

    return $file;
}

# --- status ---------------------------------------------------------------

$run = cli($api, ['status'], env => { PCAP_TOKEN => undef });
is($run->{code}, 0, 'status') or diag($run->{stderr});
like($run->{stdout}, qr/^localhost: healthy, version .* static; ok$/, 'words');

# --- a limit of the user, HTTP/2 ------------------------------------------

my $flood = traffic();

$run = cli($api, [ 'static', 'demo', '-o', 'x', '--json', '-v', '-i', 'eth0',
    '-f', 'udp port 9', '--max-packets', '1000', '--reason', 'ticket 7' ],
    %env);
$file = check($run, 'max-packets', 0, 'limit');
is(scalar @{ $file->{packets} }, 1000, 'as many as asked for');
is_deeply([ map { $_->{name} } @{ $run->{json}{instances} } ],
    [ 'web/0', 'web/1' ], 'instances');
like($run->{stderr}, qr/^limit reached: --max-packets$/m, 'words');
like($run->{stderr}, qr/^> POST .* HTTP\/2$/m, 'over HTTP/2');
like($run->{stderr}, qr/^< x-pcap-status: limit$/m, 'with trailers');
unlike($run->{stderr} . $run->{stdout}, qr/bearer good|PCAPTEST/, 'no secrets');
like(join('', @{ $file->{shb}{comments} }), qr/ticket 7/, 'reason');

# --- duration, one instance, snaplen --------------------------------------

$run = cli($api, [ 'static', 'demo', '-o', 'x', '--json', '--instance',
    'web/1', '-i', 'eth0', '-s', '60', '--duration', '1s' ], %env);
$file = check($run, 'duration', 0, 'limit');
is(scalar @{ $file->{ifaces} }, 1, 'one instance');
is(scalar(grep { $_->[2] > 60 } @{ $file->{packets} }), 0, 'snaplen');
cmp_ok(scalar @{ $file->{packets} }, '>', 100, 'packets');

# --- Ctrl-C ---------------------------------------------------------------

$run = cli_start($api, [ 'static', 'demo', '-o', 'x', '--json', '-i',
    'eth0' ], %env);
ok(wait_for(10, sub { (-s "$run->{dir}/x" || 0) > 50_000 }), 'it runs');
kill 'INT', $run->{pid};
cli_end($run);
$file = check($run, 'Ctrl-C', 0, 'stopped');
like($run->{stderr}, qr/^stopped$/m, 'Ctrl-C: words');

# --- pcap, a slow pipe, a reader that leaves ------------------------------

$run = cli($api, [ 'static', 'demo', '-o', '-', '--format', 'pcap', '-i',
    'eth0', '--max-packets', '3000' ], %env,
    prefix => [ 'bash', '-c', '"$@" | { sleep 1; cat; }', 'bash' ]);
my $pcap = eval { PcapTest::Pcapng::parse_pcap($run->{stdout}) } || {};
is(scalar @{ $pcap->{packets} || [] }, 3000, 'pcap through a pipe');

$run = cli($api, [ 'static', 'demo' ], %env, prefix => [ 'bash', '-c',
    '"$0" static demo -i eth0 -o - > >(head -c 20000 | wc -c)',
    tool('cli') ]);
is($run->{code}, 0, 'head') or diag($run->{stderr});
like($run->{stderr}, qr/^stopped$/m, 'head: stopped');

# --- stop from elsewhere --------------------------------------------------

$run = cli_start($api, [ 'static', 'demo', '-o', 'x', '--json', '-i',
    'eth0' ], %env);
ok(wait_for(10, sub { slurp($run->{err}) =~ /id ([0-9a-f]{32})/ }), 'its id');
my ($id) = slurp($run->{err}) =~ /id ([0-9a-f]{32})/;
my $stop = cli($api, [ 'stop', $id ], %env);
is($stop->{code}, 0, 'pcap-cli stop') or diag($stop->{stderr});
cli_end($run);
check($run, 'stop', 0, 'stopped');
$stop = cli($api, [ 'stop', '0' x 32 ], %env);
is($stop->{code}, 1, 'no such capture');

# --- refusals -------------------------------------------------------------

$run = cli($api, [ 'static', 'demo' ], env => { PCAP_TOKEN => 'unknown' });
is($run->{code}, 4, 'unknown token');
$run = cli($api, [ 'static', 'nowhere' ], %env);
is($run->{code}, 1, 'unknown group');
like($run->{stderr}, qr/HTTP 404/, 'words');
$run = cli($api, [ 'static', 'demo', '-f', 'tcp port' ], %env);
is($run->{code}, 1, 'a filter that does not compile');
like($run->{stderr}, qr/HTTP 400.*syntax error/s, "libpcap's words");
$run = cli($api, [ 'static', 'demo', '-i', 'nope0' ], %env);
is($run->{code}, 1, 'no such interface');
is_deeply([ cli_files($run) ], [], 'no file');

# --- an agent dies --------------------------------------------------------

$run = cli_start($api, [ 'static', 'demo', '-o', 'x', '--json', '-i', 'eth0',
    '--max-packets', '6000' ], %env);
ok(wait_for(10, sub { (-s "$run->{dir}/x" || 0) > 50_000 }), 'it runs');

# a session that sees its parent die ends its capture well: it goes first
$lab->{agents}[1]->kill_children();
$lab->{agents}[1]->kill_hard();
cli_end($run, 30);
$file = check($run, 'agent died', 3, 'partial');
like($run->{stderr}, qr/^web\/1: INSTANCE_UNAVAILABLE: /m,
    'its message');
like($run->{stderr}, qr/^web\/1 .* error  unknown since 20/m, 'its ledger');

stop_child($flood, 'TERM');
finish();
