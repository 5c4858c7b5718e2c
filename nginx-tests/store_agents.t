# Captures of real agents to storage: every numbered packet is in the file,
# each under its instance, also when an agent is killed, a reload happens or
# nginx ends in between; and a user never gets what is another's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Lab;
use PcapTest::StoreLab;
use PcapTest::Traffic qw(flood);


my $store = store_for();
my $lab = hosts_lab(nginx => { workers => 2, store => $store,
    http => 'pcap_api_drain_timeout 2s;',
    pcap => 'pcap_api_stop_timeout 1s;', main =>
    'worker_shutdown_timeout 40s;' });
my ($nginx, $agents) = @$lab{qw(nginx agents)};
my $number = 100;


sub shown
{
    my ($id) = @_;

    return decode_json($nginx->fetch("/v1/captures/$id")->{body});
}


# Packets over the wire: each is seen on both hosts.
sub traffic
{
    my ($count) = @_;

    my $pid = flood(ns => 'web0', to => $lab->{addr}[1], id => ++$number,
        count => $count, pps => 2000);

    is(wait_exit($pid, 20), 0, "$count packets are sent");

    return $number;
}


# A capture of what is sent from here on; its id, once it runs.
sub begun
{
    my ($name) = @_;

    my $id = stored($nginx, $name, options => { filter => 'udp',
        interface => 'eth0', duration => '60s' })->{id};

    ok(wait_for(10, sub { shown($id)->{state} eq 'running'
        && !grep { $_->{state} ne 'running' } @{ shown($id)->{targets} } }),
        "$name: it runs");

    return $id;
}


# Once it has seen that many packets.
sub wait_packets
{
    my ($id, $n, $name) = @_;

    ok(wait_for(10, sub { shown($id)->{packets} >= $n }),
        "$name: $n packets have come") or diag(encode_json(shown($id)));
}


# How many packets of that sender the file has, by instance.
sub counts
{
    my ($file, $sender) = @_;

    my %n;

    for my $p (@{ $file->{packets} }) {
        my $at = index $p->[4], 'PCAPTEST';

        next if $at < 0 || unpack('N', substr $p->[4], $at + 8, 4)
            != $sender;
        $n{ ($file->{ifaces}[ $p->[0] ]{name} =~ m{^(web/\d)/})[0] }++;
    }

    return \%n;
}


sub ended
{
    my ($id, $name, $status) = @_;

    my $doc = wait_stored($nginx, $id, seconds => 20);

    is($doc->{status} // '', $status, "$name: $status");

    return file_ok(download($nginx, $id), $doc, $name);
}


sub stop
{
    my ($id) = @_;

    is($nginx->fetch("/v1/captures/$id", method => 'DELETE')->{status}, 202,
        'stopped');
}


# --- all goes well -----------------------------------------------------------

my $id = begun('both');
my $sender = traffic(500);

wait_packets($id, 1000, 'both');
stop($id);

my $file = ended($id, 'both', 'stopped');

is_deeply(counts($file, $sender), { 'web/0' => 500, 'web/1' => 500 },
    'both: every packet, twice');
is(strict_order($file), 0, 'both: in order of time');
tshark_ok(PcapTest::Check::save(download($nginx, $id)->{body}, 'pcapng'),
    'both',
    packets => scalar @{ $file->{packets} });

# --- an agent is killed ------------------------------------------------------

$id = begun('agent');
$sender = traffic(300);
wait_packets($id, 600, 'agent');
$agents->[1]->kill_children();
ok(wait_for(10, sub { (grep { $_->{state} eq 'failed' }
    @{ shown($id)->{targets} }) == 1 }), 'agent: one has failed');

my $later = traffic(200);

wait_packets($id, 800, 'agent');
stop($id);
$file = ended($id, 'agent', 'partial');
is_deeply(counts($file, $sender), { 'web/0' => 300, 'web/1' => 300 },
    'agent: what had come before');
is_deeply(counts($file, $later), { 'web/0' => 200 },
    'agent: the other one goes on');
instance_failed($file, 'web/1');

# --- a reload ----------------------------------------------------------------

$id = begun('reload');
$sender = traffic(200);
ok($nginx->reload(), 'reload: new workers');
$later = traffic(200);
wait_packets($id, 800, 'reload');
stop($id);
$file = ended($id, 'reload', 'stopped');
is_deeply([ counts($file, $sender), counts($file, $later) ],
    [ ({ 'web/0' => 200, 'web/1' => 200 }) x 2 ],
    'reload: every packet before and behind it');

# --- nginx ends in good order ------------------------------------------------

$id = begun('quit');
$sender = traffic(200);
wait_packets($id, 400, 'quit');
kill 'QUIT', $nginx->{pid};
ok(defined wait_exit(delete $nginx->{pid}, 60), 'quit: nginx has ended');
$nginx->start();
$file = ended($id, 'quit', 'stopped');
is_deeply(counts($file, $sender), { 'web/0' => 200, 'web/1' => 200 },
    'quit: all that had come');

agents_quiet('the end', @$agents);
finish();
