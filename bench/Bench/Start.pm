# Bench::Start: how long a capture of 100 agents takes to begin. They are 100
# real agents, a process and an address each, with rings of 2 MiB. The time
# runs from before curl is started (so its own start, the connection and the
# handshake with the API are in it) until curl has handed out the first byte
# of the body: by then all agents have answered, or the run does not count.
#
# All capture one interface on which nobody speaks: on machines of their own
# none of them would see the others' handshakes either.

package Bench::Start;

use strict;
use warnings;

use JSON::PP;
use Time::HiRes ();
use Bench::Common;
use Bench::Nginx;

our $AGENTS = 100;
our $RING_KIB = 2048;
our $TARGET = 1;                  # s, at most
our $RUNS = 9;

my $PORT = 9494;
my $IFACE = 'quiet0';


sub addr { return '127.0.3.' . ($_[0] + 1) . ":$PORT" }


sub agent_command
{
    my ($i) = @_;

    my $certs = make_certs();

    return (build_file('pcap-agent'), '--listen', addr($i), '--user',
        'nobody', '--tls-cert', "$certs/pcap-agent.crt", '--tls-key',
        "$certs/pcap-agent.key", '--tls-ca', "$certs/ca.crt",
        '--allowed-names', 'pcap-api', '--buffer-bytes', $RING_KIB * 1024,
        '--log-level', 'warn');
}


sub client_command
{
    return ('curl', '-sSN', '--cacert', make_certs() . '/ca.crt', '-H',
        'Authorization: bearer bench', '-o', '-', '-w',
        '%{stderr}%{time_appconnect} %{time_starttransfer} %{http_code}',
        '--max-time', 30, "https://localhost:$Bench::Nginx::PORT/v1/capture/"
        . "static/start?interface=$IFACE");
}


sub agents_up
{
    my @agents = map { spawn([ agent_command($_) ],
        err => scratch() . '/agent.err') } 0 .. $AGENTS - 1;

    wait_for(30, sub { `ss -ltnH sport = :$PORT | wc -l` == $AGENTS })
        or die_line('not all agents listen: '
            . slurp(scratch() . '/agent.err'));

    return @agents;
}


# All of one capture have ended.
sub settle
{
    my (@agents) = @_;

    my %agent = map { $_ => 1 } @agents;

    wait_for(20, sub {
        for my $stat (glob '/proc/[0-9]*/stat') {
            slurp($stat) =~ /\) (\S) (\d+)/s or next;
            return 0 if $1 ne 'Z' && $agent{$2};
        }
        return 1;
    }) or die_line('captures of the run before are still there');
}


# Interfaces in the head of the stream: one for each agent that answered.
sub interfaces
{
    my ($bytes) = @_;

    my $n = 0;

    while (length $bytes >= 8) {
        my ($type, $len) = unpack 'VV', $bytes;

        last if $len < 12 || $len > length $bytes;
        $n++ if $type == 1;
        substr $bytes, 0, $len, '';
    }

    return $n;
}


# Seconds until the first byte, and what curl says of its way there.
sub one
{
    my ($nginx) = @_;

    my $err = scratch() . '/curl.err';
    my $cpu = run_seconds($nginx->{worker});
    my $began = Time::HiRes::time();
    my $pid = open(my $body, '-|') // die_line("fork: $!");

    if (!$pid) {
        open STDERR, '>', $err;
        exec pinned('load', client_command()) or POSIX::_exit(127);
    }

    my ($seconds, $head) = (undef, '');

    # the head alone is there at once; nobody speaks behind it
    while (interfaces($head) < $AGENTS
        && Time::HiRes::time() < $began + 25)
    {
        my $n = sysread $body, $head, 65536, length $head;

        $seconds //= Time::HiRes::time() - $began if $n;
        last if !$n;
    }

    $cpu = run_seconds($nginx->{worker}) - $cpu;
    kill 'TERM', $pid;
    close $body;
    $? = 0;

    die_line('not all agents have started: ' . slurp($err)
        . slurp("$nginx->{dir}/error.log")) if interfaces($head) != $AGENTS;

    return { seconds => $seconds, worker_cpu_seconds => $cpu };
}


sub result
{
    my (@runs) = @_;

    my @seconds = map { $_->{seconds} } @runs;
    my $value = median(@seconds);

    return {
        name      => 'start_100_agents_s',
        value     => 0 + sprintf('%.3f', $value),
        unit      => 's',
        target    => $TARGET,
        target_is => 'at most',
        ok        => $value <= $TARGET ? JSON::PP::true : JSON::PP::false,
        runs      => [ map { 0 + sprintf '%.3f', $_ } @seconds ],
        spread    => 0 + sprintf('%.3f', spread(@seconds)),
        worker_cpu_seconds => 0 + sprintf('%.3f', median(map {
            $_->{worker_cpu_seconds} } @runs)),
        agents    => $AGENTS,
        ring_kib  => $RING_KIB,
        cipher    => $Bench::Nginx::CIPHER,
        command   => shell_words(client_command()),
        command_agent => shell_words(agent_command(0)),
    };
}


sub run
{
    must("ip link add $IFACE type veth peer name quiet1"
        . " && ip link set $IFACE up");
    say_line("start: $AGENTS agents, rings of $RING_KIB KiB");

    my $nginx = Bench::Nginx->new(groups => { start => [ map {
        [ "host/$_", addr($_) ] } 0 .. $AGENTS - 1 ] }, pcap => '');
    my @agents = agents_up();
    my @runs;

    $nginx->start();

    for (1 .. (quick() ? 3 : $RUNS)) {
        push @runs, one($nginx);
        settle(@agents);
    }

    kill 'TERM', @agents;
    stop($_) for @agents;
    $nginx->check_log();
    $nginx->stop_all();
    must("ip link del $IFACE");

    my $r = result(@runs);

    say_line(sprintf '%-30s %8.3f s  (target: at most %s)  spread %.0f %%  '
        . 'runs %s  worker %.3f CPU s  %s', $r->{name}, $r->{value}, $TARGET,
        100 * $r->{spread}, join(', ', map { sprintf '%.3f', $_ }
            @{ $r->{runs} }), $r->{worker_cpu_seconds},
        $r->{ok} ? 'ok' : 'ABOVE TARGET');

    return $r;
}


1;
