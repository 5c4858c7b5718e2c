# Bench::Tap: the two ways to the packets of one flood: agent, API and
# pcap-cli ("chain"), and tcpdump. One step is one capture of one flood: who
# sent, got, dropped how many packets, and what each process spent on it. Which
# steps are made and what follows from them is Bench::Capture's.

package Bench::Tap;

use strict;
use warnings;

use JSON::PP;
use Bench::Cgroup;
use Bench::Common;
use Bench::Nginx;

our $RING_KIB = 8192;

our ($AGENT_IP, $AGENT_PORT) = ('127.0.2.1', 9494);

my $AGENT = "$AGENT_IP:$AGENT_PORT";
our $IFACE = 'cap0';
my $PEER = 'cap1';
my $NS = 'flood';
my $NO_IPV6 = 'net.ipv6.conf.all.disable_ipv6=1';
my $RAMP_MS = 1000;

# tcpdump's blocks are handed out after one to two times its timeout of 1 s.
my $DRAIN = 4;


# The flood's end is in a namespace of its own; nobody else speaks there.
sub net_up
{
    system("ip netns add $NS"
        . " && ip link add $IFACE address 02:00:00:00:00:01 type veth"
        . " peer name $PEER netns $NS"
        . " && sysctl -qw $NO_IPV6"
        . " && ip netns exec $NS sysctl -qw $NO_IPV6"
        . " && ip -n $NS link set $PEER address 02:00:00:00:00:02 arp off up"
        . " && ip link set $IFACE arp off up") == 0
        or die_line('cannot make the veth pair');
}


sub net_down
{
    system("ip link del $IFACE && ip netns del $NS");
}


# Packets that the interface got, and those that were lost before any tap.
sub delivered
{
    my @f = slurp('/proc/net/dev') =~ /^\s*$IFACE:\s*(.*)/m
        ? split(' ', $1) : die_line("$IFACE is gone");

    return ($f[1], $f[3]);
}


sub first_core
{
    my @cpus = cpus();

    return @cpus < 2 ? () : ('taskset', '-c', $cpus[0]);
}


sub last_core
{
    my @cpus = cpus();

    return @cpus < 2 ? () : ('taskset', '-c', $cpus[-1]);
}


sub flood_command
{
    my ($rate, $size, $seconds) = @_;

    return (build_file('bench/flood'), '--interface', $PEER, '--rate',
        int $rate, '--size', $size, '--seconds', $seconds, '--ramp-ms',
        $RAMP_MS);
}


# Sends, and waits until it is done.
sub flood
{
    my ($rate, $size, $seconds, $meanwhile) = @_;

    my $dir = scratch();
    my ($before, $early) = delivered();
    my $pid = spawn([ first_core(), flood_command($rate, $size, $seconds) ],
        ns => $NS, out => "$dir/flood.json", err => "$dir/flood.err");

    wait_for($seconds + 30, sub {
        $meanwhile->() if $meanwhile;
        return !alive($pid);
    });

    my $status = wait_exit($pid, 1);

    die_line('flood failed: ' . slurp("$dir/flood.err"))
        if !defined $status || $status;

    my ($after, $late) = delivered();

    return { %{ decode_json(slurp("$dir/flood.json")) },
        delivered => $after - $before, backlog_drops => $late - $early };
}


sub agent_command
{
    my $certs = make_certs();

    return (build_file('pcap-agent'), '--listen', $AGENT, '--user', 'nobody',
        '--tls-cert', "$certs/pcap-agent.crt", '--tls-key',
        "$certs/pcap-agent.key", '--tls-ca', "$certs/ca.crt",
        '--allowed-names', 'pcap-api', '--buffer-bytes', $RING_KIB * 1024,
        '--max-bandwidth', 0, '--max-cpu-percent', 0, '--max-bandwidth-total',
        0, '--log-level', 'info');
}


sub cli_command
{
    return (build_file('pcap-cli'), 'static', 'bench', '-u',
        "https://127.0.0.1:$Bench::Nginx::PORT", '--ca-cert',
        make_certs() . '/ca.crt', '--token', 'bench', '-i', $IFACE, '-o', '-',
        '--yes', '--quiet', '--json');
}


sub tcpdump_command
{
    return ('tcpdump', '-n', '-i', $IFACE, '-w', '/dev/null', '-B',
        $RING_KIB);
}


# Agent and API stay up for all steps, each step is a capture of its own.
sub system_up
{
    my $self = { nginx => Bench::Nginx->new(groups => {
        bench => [ [ 'bench/0', $AGENT ] ] }) };

    $self->{agent} = spawn([ last_core(), agent_command() ],
        err => scratch() . '/agent.err');
    $self->{nginx}->start();
    wait_for(5, sub { system("ss -ltnH src $AGENT | grep -q .") == 0 })
        or die_line('the agent does not listen: '
            . slurp(scratch() . '/agent.err'));

    return $self;
}


sub system_down
{
    my ($self) = @_;

    stop($self->{agent});
    $self->{nginx}->check_log();
    $self->{nginx}->stop_all();
}


# The side "chain": a capture has begun when pcap-cli wrote the file's head.
sub chain_start
{
    my ($self) = @_;

    my $err = scratch() . '/cli.json';
    my $cli = spawn([ cli_command() ], err => $err);

    wait_for(10, sub { !alive($cli) || written($cli) })
        && alive($cli) or die_line('pcap-cli does not start: ' . slurp($err));

    my ($capture, @more) = children($self->{agent});

    die_line('not one capture process') if !$capture || @more;

    return { pids => { agent => $capture, nginx => $self->{nginx}{worker},
        cli => $cli }, ring => $capture, main => $cli, err => $err };
}


sub written
{
    my ($pid) = @_;

    return slurp("/proc/$pid/io") =~ /^wchar: (\d+)/m ? $1 : 0;
}


# All of it came through: the file's blocks are of one size.
sub chain_done
{
    my ($run, $packets, $size) = @_;

    return written($run->{main}) >= $packets * (32 + ($size + 3 & ~3));
}


sub chain_end
{
    my ($run) = @_;

    my ($json) = slurp($run->{err}) =~ /^(\{.*)/m;
    my $got = eval { decode_json($json) }
        or die_line('pcap-cli said: ' . slurp($run->{err}));

    die_line("pcap-cli: $got->{text}")
        if $got->{status} !~ /^(?:complete|stopped)$/;

    return ($got->{packets}, $got->{dropped});
}


# The side "tcpdump". It says that it listens before it sets its filter, which
# throws away what the ring holds; it is ready when it sleeps for packets.
sub tcpdump_start
{
    my $err = scratch() . '/tcpdump.err';
    my $pid = spawn([ last_core(), tcpdump_command() ], err => $err);

    wait_for(10, sub { !alive($pid) || slurp($err) =~ /listening on/
            && slurp("/proc/$pid/stat") =~ /\) S / })
        && alive($pid) or die_line('tcpdump does not start: ' . slurp($err));

    return { pids => { tcpdump => $pid }, ring => $pid, main => $pid,
        err => $err };
}


# (captured, dropped) as tcpdump said last.
sub tcpdump_counts
{
    my ($run) = @_;

    my @captured = slurp($run->{err}) =~ /(\d+) packets? captured/g;
    my @dropped = slurp($run->{err}) =~ /(\d+) packets? dropped by kernel/g;

    return ($captured[-1] || 0, $dropped[-1] || 0);
}


# SIGUSR1 makes it say how far it is; its ring is not drained at its end.
sub tcpdump_done
{
    my ($run, $packets) = @_;

    my $length = -s $run->{err};

    kill 'USR1', $run->{main};
    wait_for(0.2, sub { -s $run->{err} > $length });

    my ($captured, $dropped) = tcpdump_counts($run);

    return $captured + $dropped >= $packets;
}


# Others may add theirs (Bench::Agent).
our %SIDE = (
    chain   => [ \&chain_start, \&chain_done, \&chain_end ],
    tcpdump => [ \&tcpdump_start, \&tcpdump_done, \&tcpdump_counts ],
);


# Pss of a process without its rings, in KiB.
sub pss_beside_ring
{
    my ($pid) = @_;

    my ($ring, $inside) = (0, 0);

    for (split /\n/, slurp("/proc/$pid/smaps")) {
        if (/^[0-9a-f]+-[0-9a-f]+ /) {
            $inside = / socket:\[/;

        } elsif ($inside && /^Pss:\s+(\d+) kB/) {
            $ring += $1;
        }
    }

    my $all = smaps_kib($pid, 'Pss');

    return defined $all ? $all - $ring : undef;
}


# One step: one capture of one flood. Options: group, share, pss.
sub step
{
    my ($self, $side, $rate, $size, $seconds, %o) = @_;

    my ($start, $done, $end) = @{ $SIDE{$side} };
    my $run = $start->($self);
    my $pids = $run->{pids};
    my %cpu = map { $_ => run_seconds($pids->{$_}) } keys %$pids;
    my $group = $self->{group};
    my $pss;

    $group->move('share', $run->{ring}) if $self->{share};

    my $got = flood($rate, $size, $seconds, $o{pss} && sub {
        my $now = pss_beside_ring($run->{ring});
        $pss = $now if defined $now && (!defined $pss || $now > $pss);
    });

    wait_for($DRAIN, sub { $done->($run, $got->{delivered}, $size) });
    $cpu{$_} = run_seconds($pids->{$_}) - $cpu{$_} for keys %cpu;
    $group->move('rest', $run->{ring}) if $self->{share};
    kill @{ $run->{ender} || [ 'INT', $run->{main} ] };
    defined wait_exit($run->{main}, 20) or die_line("$side does not end");

    my ($packets, $dropped, %more) = $end->($run);

    return { %$got, %more, packets => $packets, dropped => $dropped,
        cpu => \%cpu, asked => $rate, pss => $pss,
        clean => $packets == $got->{delivered} && !$dropped };
}


# Groups, interfaces, agent, API.
sub up
{
    my $why;
    my $group = Bench::Cgroup->new(\$why);

    $group->move('rest', 0) if $group;
    net_up();

    return { %{ system_up() }, group => $group, no_group => $why };
}


sub down
{
    my ($self) = @_;

    system_down($self);
    net_down();
    $self->{group}->remove() if $self->{group};
}


1;
