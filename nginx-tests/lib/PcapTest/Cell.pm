# PcapTest::Cell: a Diego cell with real containers. The test's own network
# namespace is the cell's; each container is started by runc and then gets
# what CNI gives it on a cell: a veth pair (s-AAABBBCCCDDD outside, eth0
# inside) with a route, its network namespace mounted below container-netns,
# and an entry in the store of container metadata. What runc and containerd
# leave behind lies below run/. Everything dies with the test, the control
# groups with the containers: destroy them before finish().

package PcapTest::Cell;

use strict;
use warnings;

use Fcntl qw(LOCK_EX LOCK_UN O_RDWR O_CREAT);
use JSON::PP;
use Test::More;
use PcapTest;


# A folder for everything, as /var/vcap/data is; root alone may look.
sub new
{
    my ($class) = @_;

    my $dir = work_dir() . '/cell';
    my $self = bless { dir => $dir, all => {}, number => 0,
        cgroup => '/garden-' . (stat '/proc/self/ns/net')[1] }, $class;

    must('mkdir', '-p', "$dir/container-netns", "$dir/container-metadata",
        map { "$dir/run/$_" } qw(runc containerd/runc/garden bundle
        containerd/state/io.containerd.runtime.v2.task/garden));
    must('chmod', '700', map { "$dir/$_" } qw(container-netns run));
    must(qw(sysctl -qw net.ipv6.conf.all.disable_ipv6=1
        net.ipv6.conf.default.disable_ipv6=1));
    $self->write_store({});
    at_end(sub { $self->destroy($_) for keys %{ $self->{all} } });

    return $self;
}


# What an agent must be told of this cell.
sub conf
{
    my ($self, %more) = @_;

    my $dir = $self->{dir};

    return {
        container_mode        => 'netns',
        container_metadata    => "$dir/container-metadata/store.json",
        container_netns_paths => [ "$dir/container-netns/HANDLE" ],
        container_state_paths => [
            "$dir/run/containerd/runc/garden/HANDLE/state.json",
            "$dir/run/runc/HANDLE/state.json",
            "$dir/run/containerd/state/io.containerd.runtime.v2.task/garden/"
            . 'HANDLE/init.pid' ],
        %more,
    };
}


# --- the store of container metadata, as silk-cni keeps it ----------------

sub store_file { return "$_[0]{dir}/container-metadata/store.json" }

# Changes the store in place below its lock; $code gets the pool.
sub change_store
{
    my ($self, $code) = @_;

    my $file = $self->store_file();

    sysopen my $lock, "${file}_lock", O_RDWR | O_CREAT, 0600
        or die "${file}_lock: $!\n";
    flock $lock, LOCK_EX or die "flock: $!\n";

    my $pool = decode_json(slurp($file) || '{}');

    $code->($pool);
    $self->write_store($pool);
    flock $lock, LOCK_UN;
}


sub write_store
{
    my ($self, $pool) = @_;

    $self->write_store_text(JSON::PP->new->canonical->encode($pool));
}


# In place, as silk does it.
sub write_store_text
{
    my ($self, $text) = @_;

    my $file = $self->store_file();

    sysopen my $fh, $file, O_RDWR | O_CREAT, 0600 or die "$file: $!\n";
    truncate $fh, 0 or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
}


# --- containers -----------------------------------------------------------

# The bundle of every container: the machine's programs, read-only.
sub bundle
{
    my ($self, $handle, $user_ns) = @_;

    my $dir = "$self->{dir}/run/bundle/$handle";
    my @map = { containerID => 0, hostID => 100_000, size => 65536 };
    my @shared = grep { -d } qw(/bin /lib /lib64 /usr);

    must('mkdir', '-p', "$dir/rootfs/proc", map { "$dir/rootfs$_" } @shared);

    # its root is nobody here
    if ($user_ns) {
        chmod 0755, work_dir(), $self->{dir}, "$self->{dir}/run",
            "$self->{dir}/run/bundle", $dir;
        chown $map[0]{hostID}, $map[0]{hostID}, "$dir/rootfs";
    }

    spew("$dir/config.json", encode_json({
        ociVersion => '1.0.2',
        process => { terminal => JSON::PP::false,
            user => { uid => 65534, gid => 65534 },
            args => [ 'sleep', '100000' ], cwd => '/',
            env => [ 'PATH=/usr/bin:/bin' ],
            noNewPrivileges => JSON::PP::true },
        root => { path => 'rootfs', readonly => JSON::PP::true },
        hostname => $handle,
        mounts => [
            { destination => '/proc', type => 'proc', source => 'proc' },
            map { { destination => $_, type => 'none', source => $_,
                options => [ 'rbind', 'ro' ] } } @shared ],
        linux => {
            cgroupsPath => "$self->{cgroup}/$handle",
            namespaces => [ map { { type => $_ } }
                qw(pid network ipc uts mount), $user_ns ? 'user' : () ],
            $user_ns ? (uidMappings => \@map, gidMappings => \@map) : () },
    }));

    return $dir;
}


# Starts a container. Options: app, layout (runc, containerd or pid: the
# runc root, the one below containerd's, and that with init.pid alone), user_ns
# (a user namespace of its own, as apps have on a cell), cni
# (default 1: the mount below container-netns). Returns { handle, app, pid,
# ip, veth, ns } where ns is a name for `ip netns`.
sub container
{
    my ($self, $handle, %o) = @_;

    my $dir = $self->{dir};
    my $layout = $o{layout} || 'containerd';
    my $n = ++$self->{number};
    my $c = $self->{all}{$handle} = { handle => $handle, app => $o{app},
        ip => "10.255.7.$n", veth => sprintf('s-010255007%03d', $n),
        ns => "c$n-$$", cni => $o{cni} // 1,
        root => "$dir/run/" . ($layout eq 'runc' ? 'runc'
            : $layout eq 'pid' ? 'hidden' : 'containerd/runc/garden') };

    my $bundle = $self->bundle($handle, $o{user_ns});
    my $status = wait_exit(spawn("runc-$handle", [ 'runc', '--root',
        $c->{root}, 'run', '-d', '--pid-file', "$bundle/pid", '-b', $bundle,
        $handle ]), 20);

    die "runc: " . slurp(work_dir() . "/runc-$handle.out")
        if !defined $status || $status;

    $c->{pid} = slurp("$bundle/pid");
    $self->network($c);

    if ($layout eq 'pid') {
        my $task = "$dir/run/containerd/state/io.containerd.runtime.v2.task"
            . "/garden/$handle";

        must('mkdir', '-p', $task);
        spew("$task/init.pid", $c->{pid});
    }

    return $c;
}


sub network
{
    my ($self, $c) = @_;

    my $net = "/proc/$c->{pid}/ns/net";
    my @mounts = ("/run/netns/$c->{ns}");

    push @mounts, $self->bound($c->{handle}) if $c->{cni};

    for my $m (@mounts) {
        spew($m, '');
        must('mount', '--bind', $net, $m);
    }

    $self->join_network($c);
    $self->change_store(sub { $_[0]{ $c->{handle} } = {
        handle => $c->{handle}, ip => $c->{ip}, ipv6 => '',
        metadata => { app_id => $c->{app}, space_id => 'space',
            org_id => 'org', policy_group_id => $c->{app}, ports => '8080',
            container_workload => 'app' } } }) if defined $c->{app};
}


sub bound { return "$_[0]{dir}/container-netns/$_[1]" }

sub join_network
{
    my ($self, $c) = @_;

    my @in = ('ip', '-n', $c->{ns});

    must(qw(ip link add name), $c->{veth}, qw(type veth peer name eth0 netns),
        $c->{ns});
    must(@in, qw(link set lo up));
    must(@in, qw(addr add), "$c->{ip}/32", qw(peer 169.254.0.1 dev eth0));
    must(@in, qw(link set eth0 up));
    must(qw(ip addr add 169.254.0.1/32 peer), $c->{ip}, 'dev', $c->{veth});
    must(qw(ip link set), $c->{veth}, 'up');

    # silent by itself: no neighbour has to be asked for
    my ($out) = `ip -o link show dev $c->{veth}` =~ m{ether ([0-9a-f:]+)};
    my ($in) = `ip -n $c->{ns} -o link show dev eth0`
        =~ m{ether ([0-9a-f:]+)};

    must(@in, qw(neigh replace 169.254.0.1 lladdr), $out,
        qw(dev eth0 nud permanent));
    must(qw(ip neigh replace), $c->{ip}, 'lladdr', $in, 'dev', $c->{veth},
        qw(nud permanent));
}


# Takes a container down as garden does: network, mount, store, processes.
sub destroy
{
    my ($self, $handle) = @_;

    my $c = delete $self->{all}{$handle} or return;

    system("ip link del $c->{veth} 2>/dev/null");

    for my $m ($self->bound($handle), "/run/netns/$c->{ns}") {
        next if !-e $m;
        system("umount -l $m 2>/dev/null");
        unlink $m;
    }

    $self->change_store(sub { delete $_[0]{$handle} });
    $self->kill_container($c);
}


# The processes of a container and what runc keeps of it, nothing else.
sub kill_container
{
    my ($self, $c) = @_;

    system("runc --root $c->{root} delete -f $c->{handle} 2>/dev/null");
    wait_for(5, sub { !alive($c->{pid}) });
    rmdir $_ for glob "/sys/fs/cgroup/*$self->{cgroup}";
}


1;
