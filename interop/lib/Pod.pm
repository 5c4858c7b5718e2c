# interop/lib/Pod.pm: what a kubelet does of a pod, as far as our manifests
# need it: the first container of a workload, from its image's files and
# configuration, by runc, with the user, the capabilities and the mounts that
# the manifest says. It stays in the network namespace of the test.

package Pod;

use strict;
use warnings;

use JSON::PP;
use PcapTest;

my $ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';


# doc: the workload. Options: name, image ({ root, config }, the image's files
# and what `config` of the OCI image has), volumes (name => folder of this
# machine), account (folder), env (more of it), arguments.
sub new
{
    my ($class, $doc, %o) = @_;

    my $self = bless { %o, pod => $doc->{spec}{template}{spec},
        dir => work_dir() . "/pod-$o{name}" }, $class;

    $self->{c} = $self->{pod}{containers}[0];
    must('mkdir', '-p', $self->{dir});
    spew("$self->{dir}/config.json", encode_json($self->bundle()));
    $self->{cmd} = [ 'runc', '--root', "$self->{dir}/runc" ];
    at_end(sub { system("@{ $self->{cmd} } delete -f $self->{name} "
        . '2>/dev/null') });

    return $self;
}


sub start
{
    my ($self) = @_;

    $self->{pid} = spawn($self->{name}, [ @{ $self->{cmd} }, 'run',
        '-b', $self->{dir}, $self->{name} ], out => $self->file('out'),
        err => $self->file('err'));

    return $self;
}


sub file { return "$_[0]{dir}/$_[1]" }


# As a kubelet ends it: the image's signal, and then it is waited for.
# Returns its exit status; undef: it did not end.
sub stop
{
    my ($self) = @_;

    must(@{ $self->{cmd} }, 'kill', $self->{name},
        $self->{image}{config}{StopSignal} || 'SIGTERM');

    return wait_exit($self->{pid}, 20);
}


# Runs to its end; returns its status and all that it says.
sub run
{
    my ($self) = @_;

    $self->start();

    my $status = wait_exit($self->{pid}, 20);

    return ($status, slurp($self->file('out')) . slurp($self->file('err')));
}


sub bundle
{
    my ($self) = @_;

    my ($pod, $c, $config) = (@$self{qw(pod c)}, $self->{image}{config});
    my ($of_pod, $of_c) = map { $_->{securityContext} || {} } $pod, $c;
    my ($user) = split /:/, $config->{User} || 0;
    my $uid = $of_c->{runAsUser} // $of_pod->{runAsUser} // $user;
    my $gid = $of_pod->{runAsGroup} // 0;
    my @group = defined $of_pod->{fsGroup} ? 0 + $of_pod->{fsGroup} : ();
    my @caps = map { "CAP_$_" } @{ $of_c->{capabilities}{add} || [] };
    my %env = ((map { split /=/, $_, 2 } @{ $config->{Env} || [] }),
        (map { @$_{qw(name value)} } @{ $c->{env} || [] }),
        %{ $self->{env} || {} });

    die "$self->{name}: not all capabilities are dropped\n"
        if "@{ $of_c->{capabilities}{drop} || [] }" ne 'ALL';

    return {
        ociVersion => '1.0.2',
        hostname => $self->{name},
        process => {
            args => [ @{ $config->{Entrypoint} }, @{ $self->{arguments}
                || $c->{args} || [] } ],
            cwd => $config->{WorkingDir} || '/',
            env => [ map { "$_=$env{$_}" } sort keys %env ],
            user => { uid => 0 + $uid, gid => 0 + $gid,
                additionalGids => \@group },
            noNewPrivileges => boolean(!($of_c->{allowPrivilegeEscalation}
                // 1)),
            capabilities => { bounding => \@caps, $uid ? () :
                (effective => \@caps, permitted => \@caps) },
        },
        root => { path => $self->{image}{root},
            readonly => boolean($of_c->{readOnlyRootFilesystem}) },
        mounts => $self->mounts($group[0] // 0),
        linux => { namespaces => [ map { { type => $_ } } qw(pid mount ipc
            uts) ] },
    };
}


sub boolean { return $_[0] ? JSON::PP::true : JSON::PP::false }


sub mounts
{
    my ($self, $group) = @_;

    my @usual = (
        { destination => '/proc', type => 'proc', source => 'proc' },
        { destination => '/dev', type => 'tmpfs', source => 'tmpfs',
            options => [ 'nosuid', 'mode=755', 'size=64k' ] });
    my %empty = map { ($_->{name} => $self->empty($_->{name}, $group)) }
        grep { $_->{emptyDir} } @{ $self->{pod}{volumes} };
    my @account = $self->{account} ? { name => 'account',
        mountPath => $ACCOUNT, readOnly => 1 } : ();

    my %from = (%empty, %{ $self->{volumes} }, account => $self->{account});

    # one that is not there is an optional one
    return [ @usual, map { {
        destination => $_->{mountPath}, type => 'bind',
        source => $from{ $_->{name} }, options => [ 'rbind',
            $_->{readOnly} ? 'ro' : 'rw', ($_->{mountPropagation} // '')
            eq 'HostToContainer' ? 'rslave' : 'rprivate' ],
    } } grep { defined $from{ $_->{name} } } @{ $self->{c}{volumeMounts} },
        @account ];
}


# A folder that all may write into, of the pod's group.
sub empty
{
    my ($self, $name, $group) = @_;

    my $dir = $self->file("empty-$name");

    must('mkdir', '-p', $dir);
    chown 0, $group, $dir;
    chmod 02777, $dir;

    return $dir;
}


1;
