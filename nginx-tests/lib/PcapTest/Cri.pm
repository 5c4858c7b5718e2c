# PcapTest::Cri: a Kubernetes node with pods. The test's own network namespace
# is the node's; each pod has one of its own with a veth pair (eth0 inside),
# mounted as the container runtime mounts it, and the files that containerd
# or CRI-O leave of its sandbox and its container. Everything dies with the
# test.

package PcapTest::Cri;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use JSON::PP;
use PcapTest;
use PcapTest::Cell;


# runtime is containerd or cri-o. Root alone may look into the folders.
sub new
{
    my ($class, $runtime) = @_;

    my $dir = work_dir() . "/$runtime";
    my $self = bless { runtime => $runtime, dir => $dir, number => 0,
        netns => "$dir/netns", state => "$dir/state", all => {} }, $class;

    must('mkdir', '-p', $self->{netns}, $self->{state});
    must('chmod', '700', $dir, $self->{state});
    must(qw(sysctl -qw net.ipv6.conf.all.disable_ipv6=1
        net.ipv6.conf.default.disable_ipv6=1));
    at_end(sub { $self->destroy($_) for keys %{ $self->{all} } });

    return $self;
}


# What an agent must be told of this node.
sub conf
{
    my ($self, %more) = @_;

    return {
        cri => {
            runtime      => $self->{runtime},
            state_folder => $self->{state},
            netns_folder => $self->{netns},
        },
        %more,
    };
}


# A pod with a container. Options: namespace, name, host (hostNetwork).
# A uid may be there twice: that is a sandbox which was made anew. Returns
# { id, uid, ns, ip, veth, mount } where ns is a name for `ip netns`.
sub pod
{
    my ($self, $uid, %o) = @_;

    our $number;

    my $n = ++$number;
    my $p = { uid => $uid, namespace => 'default', name => "pod-$n", %o,
        id => sha256_hex("sandbox $n"), ns => "p$n-$$", ip => "10.244.7.$n",
        veth => "veth$n" };

    $self->{all}{ $p->{id} } = $p;
    $self->network($p) if !$o{host};
    $self->write_state($p);

    return $p;
}


sub network
{
    my ($self, $p) = @_;

    my $name = "cni-$p->{ns}";

    $p->{mount} = "$self->{netns}/$name";
    $p->{path} = "/var/run/netns/$name";
    must('ip', 'netns', 'add', $p->{ns});
    spew($p->{mount}, '');
    must('mount', '--bind', "/run/netns/$p->{ns}", $p->{mount});
    PcapTest::Cell::join_network($self, $p);
}


# --- what the runtimes write -----------------------------------------------

sub entry
{
    my ($self, $id) = @_;

    return "$self->{state}/$id" if $self->{runtime} eq 'containerd';
    return "$self->{state}/$id/userdata";
}


sub config { return $_[0]->entry($_[1]) . '/config.json' }

sub write_state
{
    my ($self, $p) = @_;

    my $container = sha256_hex("container $p->{id}");

    $self->write_config($p->{id}, $p, 'sandbox');
    $self->write_config($container, { %$p, id => $container,
        sandbox => $p->{id} }, 'container');
    $p->{container} = $container;
}


sub write_config
{
    my ($self, $id, $p, $type) = @_;

    my $annotations = $self->{runtime} eq 'containerd'
        ? containerd_annotations($p, $type) : crio_annotations($p, $type);
    my @network = $p->{host} ? () : { type => 'network',
        path => $type eq 'sandbox' || $self->{runtime} eq 'cri-o'
            ? $p->{path} : '/proc/1/ns/net' };

    must('mkdir', '-p', $self->entry($id));
    spew($self->config($id), encode_json({
        ociVersion => '1.0.2-dev',
        process => { user => { uid => 65535, gid => 65535 },
            args => [ $type eq 'sandbox' ? '/pause' : '/web' ],
            env => [ 'PATH=/usr/sbin:/usr/bin', "POD_UID=$p->{uid}" ],
            cwd => '/', noNewPrivileges => JSON::PP::true },
        root => { path => 'rootfs', readonly => JSON::PP::true },
        hostname => $p->{name},
        mounts => [ { destination => '/proc', type => 'proc',
            source => 'proc', options => [ qw(nosuid noexec nodev) ] } ],
        annotations => $annotations,
        linux => {
            cgroupsPath => "kubepods-pod$p->{uid}.slice:cri:$id",
            namespaces => [ { type => 'pid' }, { type => 'ipc' },
                { type => 'uts' }, { type => 'mount' }, @network ],
            maskedPaths => [ '/proc/kcore' ] },
    }));
}


sub containerd_annotations
{
    my ($p, $type) = @_;

    my %cri = ('container-type' => $type,
        'sandbox-id' => $p->{sandbox} || $p->{id},
        'sandbox-name' => $p->{name}, 'sandbox-namespace' => $p->{namespace},
        'sandbox-uid' => $p->{uid}, $type eq 'sandbox'
        ? ('sandbox-log-directory' => '/var/log/pods/'
            . "$p->{namespace}_$p->{name}_$p->{uid}",
            'sandbox-cpu-shares' => '2')
        : ('container-name' => 'web', 'image-name' => 'web:1'));

    return { map { ("io.kubernetes.cri.$_" => $cri{$_}) } keys %cri };
}


# With what a user may have written over it.
sub crio_annotations
{
    my ($p, $type) = @_;

    my %labels = ('app' => 'web', 'io.kubernetes.pod.uid' => $p->{uid},
        'io.kubernetes.pod.name' => $p->{name},
        'io.kubernetes.pod.namespace' => $p->{namespace},
        'io.kubernetes.container.name' => $type eq 'sandbox' ? 'POD' : 'web');
    my %crio = (ContainerType => $type, ContainerID => $p->{id},
        SandboxID => $p->{sandbox} || $p->{id}, KubeName => $p->{name},
        Namespace => $p->{namespace},
        HostNetwork => $p->{host} ? 'true' : 'false',
        Labels => encode_json(\%labels), Annotations => '{}');

    return { (map { ("io.kubernetes.cri-o.$_" => $crio{$_}) } keys %crio),
        %labels };
}


# --- the end of a pod --------------------------------------------------------

# As a runtime stops a sandbox: its processes, its network, its mount.
# containerd forgets it with its processes, CRI-O when it is removed.
sub stop
{
    my ($self, $p) = @_;

    my $entry = $self->entry($p->{id});

    system('rm', '-rf', $entry) if $self->{runtime} eq 'containerd';
    return if !$p->{mount};

    system("ip link del $p->{veth} 2>/dev/null");
    $self->unmount($p);
}


sub unmount
{
    my ($self, $p) = @_;

    system("umount -l $p->{mount} 2>/dev/null");
    unlink $p->{mount};
}


sub destroy
{
    my ($self, $id) = @_;

    my $p = delete $self->{all}{$id} or return;

    $self->stop($p);
    system('ip', 'netns', 'del', $p->{ns}) if -e "/run/netns/$p->{ns}";
    system('rm', '-rf', map { "$self->{state}/$_" } $p->{id},
        $p->{container});
}


1;
