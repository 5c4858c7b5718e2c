# Bench::Latency: how long a packet takes from the wire to the client. Two
# real agents, each on a host of its own (network namespaces joined by veth
# pairs), light traffic, nginx with the module, pcap-cli. A packet carries the
# time at which it was sent; bench/pulse at the end of pcap-cli's output says
# how long ago that was.
#
# Once with the heartbeat that the API chooses by itself, then with others:
# what a shorter delay costs.

package Bench::Latency;

use strict;
use warnings;

use JSON::PP;
use Time::HiRes ();
use Bench::Common;
use Bench::Nginx;
use Bench::Tap;

our ($P50, $P99) = (30, 150);     # ms, at most
our $RATE = 50;                   # packets a second of each host
our $PACKETS = 3000;              # of both
our $FEWER = 1500;                # for the table
our @HEARTBEATS = (5, 10, 15, 20, 50, 100);
our $AGENTS = 2;

my $PORT = 9494;


sub addr { return sprintf '10.77.%d.2', $_[0] }


# host$i: the agent's, with a leg to us and cap0; talk$i: the other end of
# cap0, where the packets come from.
sub net_up
{
    my $quiet = 'sysctl -qw net.ipv6.conf.all.disable_ipv6=1';

    for my $i (0 .. $AGENTS - 1) {
        my ($host, $talk) = ("host$i", "talk$i");

        must("ip netns add $host && ip netns add $talk"
            . " && ip netns exec $host $quiet && ip netns exec $talk $quiet"
            . " && ip -n $host link set lo up"
            . " && ip link add leg$i type veth peer name leg netns $host"
            . " && ip addr add 10.77.$i.1/24 dev leg$i && ip link set leg$i up"
            . " && ip -n $host addr add @{[ addr($i) ]}/24 dev leg"
            . " && ip -n $host link set leg up"
            . " && ip -n $host link add cap0 address 02:00:00:00:00:01"
            . " type veth peer name cap1 netns $talk"
            . " && ip -n $host link set cap0 arp off up"
            . " && ip -n $talk link set cap1 address 02:00:00:00:00:02"
            . " arp off up");
    }
}


sub net_down
{
    for my $i (0 .. $AGENTS - 1) {
        must("ip link del leg$i && ip netns del host$i"
            . " && ip netns del talk$i");
    }
}


sub agent_command
{
    my ($i) = @_;

    my $certs = make_certs();

    return (build_file('pcap-agent'), '--listen', addr($i) . ":$PORT",
        '--user', 'nobody', '--tls-cert', "$certs/pcap-agent.crt",
        '--tls-key', "$certs/pcap-agent.key", '--tls-ca', "$certs/ca.crt",
        '--allowed-names', 'pcap-api', '--log-level', 'warn');
}


sub agents_up
{
    my @agents = map { spawn([ agent_command($_) ], ns => "host$_",
        err => scratch() . "/agent$_.err") } 0 .. $AGENTS - 1;

    for my $i (0 .. $AGENTS - 1) {
        wait_for(5, sub { system("ip netns exec host$i ss -ltnH"
            . " sport = :$PORT | grep -q .") == 0 })
            or die_line("agent $i does not listen: "
                . slurp(scratch() . "/agent$i.err"));
    }

    return @agents;
}


sub cli_command
{
    return (build_file('pcap-cli'), 'static', 'pulse', '-u',
        "https://127.0.0.1:$Bench::Nginx::PORT", '--ca-cert',
        make_certs() . '/ca.crt', '--token', 'bench', '-i', 'cap0', '-o', '-',
        '--yes', '--quiet', '--json');
}


# Waits until the stream flows; (pid of the client, pid of the scanner).
sub client_up
{
    my $dir = scratch();
    my $pipe = "$dir/pulse.pipe";

    unlink $pipe;
    must("mkfifo $pipe");

    my $scan = spawn([ build_file('bench/pulse'), 'scan', $pipe ],
        out => "$dir/pulse.json", err => "$dir/pulse.err");
    my $cli = spawn([ cli_command() ], out => $pipe, err => "$dir/cli.json");

    wait_for(10, sub { !alive($cli) || Bench::Tap::written($cli) })
        && alive($cli)
        or die_line('pcap-cli does not start: ' . slurp("$dir/cli.json"));

    return ($cli, $scan);
}


sub send_all
{
    my ($packets) = @_;

    my $each = int($packets / $AGENTS);
    my @senders = map { spawn([ build_file('bench/pulse'), 'send', 'cap1', $_,
        $RATE, $each ], ns => "talk$_", err => scratch() . "/send$_.err") }
        0 .. $AGENTS - 1;

    for my $i (0 .. $AGENTS - 1) {
        my $status = wait_exit($senders[$i], 2 * $each / $RATE + 20);

        die_line('pulse failed: ' . slurp(scratch() . "/send$i.err"))
            if !defined $status || $status;
    }

    return $each;
}


# One run: what the packets took and what the processes used meanwhile.
sub one
{
    my ($agents, $heartbeat, $packets) = @_;

    my $nginx = Bench::Nginx->new(groups => { pulse => [ map {
        [ "host/$_", addr($_) . ":$PORT" ] } 0 .. $AGENTS - 1 ] },
        pcap => $heartbeat ? "pcap_api_heartbeat ${heartbeat}ms;" : '');

    $nginx->start();

    my ($cli, $scan) = client_up();
    my @pids = ($nginx->{worker}, map { children($_) } @$agents);
    die_line('not one capture process each') if @pids != 1 + $AGENTS;

    my @before = map { run_seconds($_) } @pids;
    my $began = Time::HiRes::time();
    my $each = send_all($packets);
    my $seconds = Time::HiRes::time() - $began;
    my @used = map { run_seconds($pids[$_]) - $before[$_] } 0 .. $#pids;

    stop($cli, 'INT');
    wait_exit($scan, 10);
    $nginx->check_log();
    $nginx->stop_all();

    return judged($each, { heartbeat_ms => $heartbeat,
        worker_percent => 100 * $used[0] / $seconds,
        agent_percent => 100 * median(@used[1 .. $AGENTS]) / $seconds });
}


# Every packet has to be there, none twice and none late.
sub judged
{
    my ($each, $run) = @_;

    my $got = decode_json(slurp(scratch() . '/pulse.json'));
    my $said = slurp(scratch() . '/cli.json');
    my ($json) = $said =~ /^(\{.*)/m;
    my $cli = eval { decode_json($json) }
        or die_line("pcap-cli said: $said");

    die_line("pcap-cli: $cli->{text}")
        if $cli->{status} ne 'stopped' || $cli->{dropped};
    die_line("the client got @{ $got->{of} }[0 .. $AGENTS - 1] of $each")
        if grep { $_ != $each } @{ $got->{of} }[0 .. $AGENTS - 1];

    return { %$run, map { $_ => $got->{$_} } qw(packets p50_ms p90_ms p99_ms
        max_ms) };
}


sub result
{
    my ($name, $key, $target, $run, @table) = @_;

    return {
        name      => $name,
        value     => 0 + sprintf('%.1f', $run->{$key}),
        unit      => 'ms',
        target    => $target,
        target_is => 'at most',
        ok        => $run->{$key} <= $target ? JSON::PP::true
            : JSON::PP::false,
        agents    => $AGENTS,
        rate      => "$RATE packets/s of each host, pauses of 10 to 30 ms",
        packets   => $run->{packets},
        max_ms    => $run->{max_ms},
        by_heartbeat => \@table,
        cipher    => $Bench::Nginx::CIPHER,
        command   => shell_words(cli_command()),
        command_agent => shell_words(agent_command(0)),
    };
}


sub line
{
    my ($run) = @_;

    say_line(sprintf '  %-22s p50 %6.1f  p90 %6.1f  p99 %6.1f  max %6.1f ms'
        . '   worker %5.2f %%  each agent %5.2f %%',
        $run->{heartbeat_ms} ? "heartbeat $run->{heartbeat_ms} ms"
            : 'the default', @$run{qw(p50_ms p90_ms p99_ms max_ms
            worker_percent agent_percent)});
}


sub rounded
{
    my ($run) = @_;

    return { map { $_ => 0 + sprintf '%.2f', $run->{$_} || 0 } keys %$run };
}


sub run
{
    say_line("latency: $AGENTS agents on hosts of their own, $RATE packets/s "
        . 'each, pcap-cli');
    net_up();

    my @agents = agents_up();
    my $run = one(\@agents, 0, quick() ? 400 : $PACKETS);
    my @table;

    line($run);

    for my $ms (quick() ? (15, 100) : @HEARTBEATS) {
        push @table, one(\@agents, $ms, quick() ? 300 : $FEWER);
        line($table[-1]);
    }

    stop($_) for @agents;
    net_down();

    my @rounded = map { rounded($_) } @table;
    my @results = (
        result('latency_p50_ms', 'p50_ms', $P50, $run, @rounded),
        result('latency_p99_ms', 'p99_ms', $P99, $run, @rounded));

    say_line(sprintf '%-30s %8.1f ms  (target: at most %d)  %s', $_->{name},
        $_->{value}, $_->{target}, $_->{ok} ? 'ok' : 'ABOVE TARGET')
        for @results;

    return @results;
}


1;
