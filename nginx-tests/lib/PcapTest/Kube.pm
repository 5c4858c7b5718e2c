# PcapTest::Kube: a strict stand-in for the API server of a Kubernetes with
# Calico, as far as this project asks it (a cluster cannot be had here), and
# beside it the endpoint that forwards to managed clusters. Both over TLS, the
# second with a CA of its own. KubeApi.pm has the answers, KubeObject.pm the
# conventions. As the real one, but for order: a path or method that is not
# there is told before RBAC is asked.
#
# What a client sends beyond what it has to, or gets a 4xx for that a good
# client never gets, is told as a violation. Each request is in seen(): path
# (with the query), method, body, token, user (who it was), cluster, listener
# (api or forward), status, connection (a number), violations.
#
# A test may change what is known while it runs; a status that was put is
# kept, too.

package PcapTest::Kube;

use strict;
use warnings;

use Fcntl qw(:flock O_WRONLY O_CREAT O_APPEND);
use JSON::PP;
use Time::HiRes qw(time);
use parent 'PcapTest::Platform';
use PcapTest::KubeApi;
use PcapTest::KubeObject;

use constant HOME => 'cluster';
use constant ACCOUNT =>
    'system:serviceaccount:tigera-packetcapture:tigera-packetcapture';
use constant AGENTS => 'tigera-packetcapture';


sub name { return 'kube' }

sub host { return 'kubernetes.default.svc' }

sub port { return 6443 }


sub control
{
    return (version => 1000, managed => {}, account => account(),
        clusters => { +HOME() => cluster() });
}


sub account
{
    return { username => ACCOUNT, uid => 'sa-1', groups =>
        [ 'system:serviceaccounts', 'system:serviceaccounts:' . AGENTS,
        'system:authenticated' ], extra => {
        'authentication.kubernetes.io/pod-name' => ['tigera-packetcapture-0']
        } };
}


# What the service may by k8s/rbac.yaml, and nothing else.
sub cluster
{
    my $rule = sub {
        my ($verb, $group, $resource, %o) = @_;
        return { users => [ACCOUNT], verbs => [$verb], group => $group,
            resources => [$resource], %o };
    };

    return { captures => {}, pods => {}, rules => [
        $rule->('create', 'authentication.k8s.io', 'tokenreviews'),
        $rule->('create', 'authorization.k8s.io', 'subjectaccessreviews'),
        $rule->('get', 'projectcalico.org', 'packetcaptures'),
        $rule->('update', 'projectcalico.org', 'packetcaptures/status'),
        $rule->('get', 'projectcalico.org', 'managedclusters'),
        $rule->('list', '', 'pods', namespace => AGENTS),
        { groups => ['system:authenticated'], verbs => ['create'], group =>
            'projectcalico.org', resources => ['authenticationreviews'] },
    ] };
}


# Options beside those of Platform: forward_port (0: none), token (of the
# service account), keep (1: connections stay open, as a client wants it).
sub new
{
    my ($class, %o) = @_;

    my $certs = $o{certs};

    # names and CA of its own: either taken for the other is refused
    $certs->{kube_forward_ca} ||= $certs->authority('kube-forward-ca');
    $certs->leaf('kube-forward', names => ['localhost',
        'tigera-manager.tigera-manager.svc'], issuer =>
        $certs->{kube_forward_ca});

    my $self = $class->SUPER::new(forward_port => 9443, headers => [qw(host
        connection accept authorization content-type content-length
        user-agent)], home => HOME, %o);

    $self->rotate($o{token} || 'account-token-1');

    if ($self->{forward_port}) {
        my $forward = bless { %$self, listener => 'forward', port =>
            $self->{forward_port}, crt => $certs->file('kube-forward.crt'),
            key => $certs->file('kube-forward.key') }, $class;

        $forward->start();
        PcapTest::at_end(sub { $forward->stop() });
        $self->{forward} = $forward;
    }

    return $self;
}


# --- what it knows -----------------------------------------------------------

# The file of the service account's token, which a kubelet mounts.
sub token_file { return "$_[0]{base}.token" }


sub rotate
{
    my ($self, $token) = @_;

    PcapTest::spew($self->token_file(), $token);
}


# Changes what is known, from the test and from each connection. $code gets
# it, and what it returns is returned.
sub change
{
    my ($self, $code) = @_;

    open my $lock, '>', "$self->{base}.lock" or die "lock: $!\n";
    flock $lock, LOCK_EX or die "lock: $!\n";
    $self->load();

    my @result = $code->($self->{control});

    $self->save();

    return wantarray ? @result : $result[0];
}


sub load
{
    my ($self) = @_;

    my $text = PcapTest::Platform::slurp_file("$self->{base}.control");

    $self->{control} = decode_json($text) if $text ne '';
}


# As Platform has it. Questions: tokenreviews, subjectaccessreviews,
# authenticationreviews, packetcaptures, packetcaptures/status,
# managedclusters, pods.
sub tell
{
    my ($self, $question, %change) = @_;

    $self->change(sub {
        $_[0]{change} = $question ? { $question => \%change } : {};
    });
}


sub known
{
    my ($self, $control, $cluster) = @_;

    return $control->{clusters}{ $cluster // HOME }
        || die "no cluster $cluster\n";
}


# A token of the home cluster. Options: username, uid, groups, extra,
# audiences (default: that of the API server).
sub user
{
    my ($self, $token, %o) = @_;

    my $groups = $o{groups} || [];

    $self->change(sub {
        $_[0]{tokens}{$token} = { username => "user-$token", uid =>
            "uid-$token", %o, groups => [ @$groups,
            'system:authenticated' ] };
    });
}


# A rule: users or groups, verbs, group, resources, names, namespace, as RBAC
# understands them; cluster.
sub allow
{
    my ($self, %o) = @_;

    my $cluster = delete $o{cluster};

    $self->change(sub {
        push @{ $self->known($_[0], $cluster)->{rules} },
            { group => 'projectcalico.org', %o };
    });
}


# Takes every right about a resource from the service account.
sub cut
{
    my ($self, $resource, %o) = @_;

    $self->change(sub {
        my $c = $self->known($_[0], $o{cluster});

        @{ $c->{rules} } = grep { ($_->{users} || [''])->[0] ne ACCOUNT
            || $_->{resources}[0] ne $resource } @{ $c->{rules} };
    });
}


# Gives the service account its rights back, and takes all others' away.
sub rights_again
{
    my ($self, %o) = @_;

    $self->change(sub {
        $self->known($_[0], $o{cluster})->{rules} = cluster()->{rules};
    });
}


# Adds a managed cluster with the same service account in it.
sub managed
{
    my ($self, $name, %o) = @_;

    $self->change(sub {
        $_[0]{clusters}{$name} = cluster();
        $_[0]{managed}{$name} = { kind => 'ManagedCluster', apiVersion =>
            'projectcalico.org/v3', metadata => meta($_[0], $name), spec => {
            operatorNamespace => 'tigera-operator' }, status => { conditions
            => [ { type => 'ManagedClusterConnected', status =>
            $o{connected} // 'True' } ] } };
    });
}


sub meta
{
    my ($control, $name, $namespace) = @_;

    my $n = ++$control->{version};

    return { name => $name, (defined $namespace ? (namespace => $namespace)
        : ()), uid => sprintf('%08x-0000-4000-8000-000000000000', $n),
        resourceVersion => "$n", creationTimestamp =>
        '2026-11-20T10:00:00Z' };
}


# A PacketCapture. files: a list of [ NODE, [FILE...], STATE ]; undef: no
# status; spec, status (instead of files), cluster.
sub capture
{
    my ($self, $namespace, $name, $files, %o) = @_;

    my $status = $o{status} || $files && { files => [ map { { node =>
        $_->[0], directory => '/var/log/calico/pcap', fileNames => $_->[1],
        (defined $_->[2] ? (state => $_->[2]) : ()) } } @$files ] };

    $self->change(sub {
        $self->known($_[0], $o{cluster})->{captures}{"$namespace/$name"} = {
            kind => 'PacketCapture', apiVersion => 'projectcalico.org/v3',
            metadata => meta($_[0], $name, $namespace), spec => $o{spec} || {
            selector => 'all()' }, $status ? (status => $status) : () };
    });
}


sub capture_of
{
    my ($self, $namespace, $name, %o) = @_;

    $self->load();

    return $self->known($self->{control}, $o{cluster})->{captures}
        {"$namespace/$name"};
}


# The next N updates of a status find that somebody else was faster.
sub conflicts
{
    my ($self, $n) = @_;

    $self->change(sub { $_[0]{conflicts} = $n });
}


# Continue tokens that were given are too old from now on.
sub expire
{
    my ($self) = @_;

    $self->change(sub { $_[0]{compacted} = ++$_[0]{version} });
}


# A running pod. Options: node, ip, ips, labels, phase, ready, hostNetwork,
# cluster, and metadata, spec, status (more of each).
sub pod
{
    my ($self, $namespace, $name, %o) = @_;

    my $phase = $o{phase} // 'Running';
    my $ready = exists $o{ready} ? $o{ready} : $phase eq 'Running';
    my @ips = @{ $o{ips} || [ $o{ip} // () ] };

    $self->change(sub {
        my $m = meta($_[0], $name, $namespace);

        $self->known($_[0], $o{cluster})->{pods}{$namespace}{$name} = {
            metadata => { %$m, labels => $o{labels} || {},
                %{ $o{metadata} || {} } },
            spec => { nodeName => $o{node} // 'node-1', containers => [ {
                name => 'main', image => 'example/main:1' } ],
                ($o{hostNetwork} ? (hostNetwork => JSON::PP::true) : ()),
                %{ $o{spec} || {} } },
            status => { phase => $phase, hostIP => '10.0.0.1',
                (@ips ? (podIP => $ips[0], podIPs => [ map { { ip => $_ } }
                @ips ]) : ()), conditions => [ { type => 'Ready', status =>
                $ready ? 'True' : 'False' } ], %{ $o{status} || {} } } };
    });
}


sub remove_pod
{
    my ($self, $namespace, $name, %o) = @_;

    $self->change(sub {
        delete $self->known($_[0], $o{cluster})->{pods}{$namespace}{$name};
    });
}


# --- nginx -------------------------------------------------------------------

# Both internal locations, as docs/DIRECTIVES.md has them; $uri and
# ${uri}_forward. Options of Platform's location are for both.
sub location
{
    my ($self, $uri, %o) = @_;

    return 'ignore_invalid_headers off;'
        . $self->one_location($uri, $self->{port}, $self->host(),
            'ca.crt', %o)
        . ($self->{forward_port} ? $self->one_location("${uri}_forward",
            $self->{forward_port}, 'localhost', 'kube-forward-ca.crt',
            'proxy_set_header X-Cluster-Id' => '$pcap_kube_cluster', %o)
        : '');
}


sub one_location
{
    my ($self, $uri, $port, $name, $ca, %o) = @_;

    return $self->SUPER::location($uri,
        proxy_pass => "https://$self->{addr}:$port\$pcap_kube_uri",
        proxy_method => '$pcap_kube_method',
        proxy_set_body => '$pcap_kube_body',
        'proxy_set_header Authorization' => '"Bearer $pcap_kube_token"',
        'proxy_set_header Content-Type' => 'application/json',
        'proxy_set_header Connection' => '""',
        proxy_ssl_name => $name,
        proxy_ssl_trusted_certificate => $self->{certs}->file($ca),
        %o);
}


sub variable { return '$pcap_kube_uri' }


# --- serving -----------------------------------------------------------------

# One connection, as many requests as its client wants.
sub answer
{
    my ($self, $s) = @_;

    my $text = '';

    for my $n (1 .. 1000) {
        my $q = $self->read_request($s, \$text) or return;

        $q->{n} = $n;
        $self->one_answer($s, $q) or last;
    }

    $s->close();
}


sub read_request
{
    my ($self, $s, $text) = @_;

    while ($$text !~ /\r\n\r\n/) {
        die "a head without end\n" if length $$text > 1 << 17;
        $s->sysread($$text, 4096, length $$text) or return;
    }

    $$text =~ s/^(.*?\r\n)\r\n//s;

    my $head = $1;
    my ($line, @fields) = split /\r\n/, $head;
    my ($method, $path, $version) = $line =~
        m{^([A-Z]+) (/\S*) HTTP/(1\.[01])$} or die "request line $line\n";
    my %field;

    for my $f (@fields) {
        my ($name, $value) = $f =~ /^([A-Za-z-]+): ?(.*)$/ or next;
        push @{ $field{ lc $name } }, $value;
    }

    my $length = $field{'content-length'} ? $field{'content-length'}[0] : 0;

    die "a body of $length\n" if $length !~ /^\d{1,7}$/;

    while (length $$text < $length) {
        $s->sysread($$text, 65536, length $$text) or return;
    }

    return { method => $method, uri => $path, path => $path =~ s/\?.*//sr,
        query => $path =~ /\?(.*)/s ? $1 : '', field => \%field,
        text => $head, fields => \@fields, version => $version, faults => [],
        body => substr($$text, 0, $length, ''),
        keep => $version eq '1.1'
            ? lc(($field{connection} || [''])->[0]) ne 'close'
            : lc(($field{connection} || [''])->[0]) eq 'keep-alive' };
}


# What is wrong about a request that gets an answer all the same.
sub faults_of
{
    my ($self, $q) = @_;

    my $forward = ($self->{listener} || '') eq 'forward';
    my %may = map { $_ => 1 } @{ $self->{headers} },
        $forward ? 'x-cluster-id' : ();
    my $field = $q->{field};
    my $host = ($field->{host} || [''])->[0];
    my @faults = map { "field $_" } grep { !/^[A-Za-z-]+: ?.*$/ }
        @{ $q->{fields} };

    for my $name (sort keys %$field) {
        push @faults, "$name twice" if @{ $field->{$name} } > 1;
        push @faults, "foreign header $name" if !$may{$name};
    }

    push @faults, "Host $host" if !$forward && $host ne $self->host();
    push @faults, 'a body of ' . length $q->{body}
        if $q->{method} eq 'GET' && length $q->{body};

    return @faults;
}


# What the forwarding endpoint refuses before any cluster is asked: a status
# line and a text.
sub forward_error
{
    my ($self, $q) = @_;

    my @ids = @{ $q->{field}{'x-cluster-id'} || [] };

    return ('400 Bad Request', 'missing "x-cluster-id" header')
        if !@ids || $ids[0] eq '';
    return ('400 Bad Request', 'multiple "x-cluster-id" headers')
        if @ids > 1;

    $q->{cluster} = $ids[0];

    return $self->{control}{clusters}{ $ids[0] } ? ()
        : ('400 Bad Request', 'cluster not found');
}


# A name that is not there and a selector of a user are nobody's fault.
sub our_fault
{
    my ($code, $found) = @_;

    return $code =~ /^4(?:05|06|13|15|22)$/ || $code == 404 && !$found
        || $code == 400 && !($found && $found->{resource} eq 'pods');
}


sub one_answer
{
    my ($self, $s, $q) = @_;

    $self->load();
    $self->{account_token} = PcapTest::slurp($self->token_file());
    $q->{cluster} = HOME;
    $q->{accept} = ($q->{field}{accept} || [])->[0];
    $q->{type} = ($q->{field}{'content-type'} || [])->[0];
    ($q->{token}) = (($q->{field}{authorization} || [''])->[0])
        =~ /^Bearer (\S+)$/i;
    push @{ $q->{faults} }, $self->faults_of($q);

    my ($status, $doc, $found, $user);
    my ($refused, $why) = ($self->{listener} || '') eq 'forward'
        ? $self->forward_error($q) : ();

    ($status, $doc, $found, $user) = PcapTest::KubeApi::answer($self, $q)
        if !$refused;
    push @{ $q->{faults} }, 'status ' . ($refused || $status)
        if $refused || our_fault($q->{refused} || 0, $found);

    my $reply = $refused ? [ $refused, 'text/plain; charset=utf-8',
        "$why\n" ] : PcapTest::Platform::json_reply($status, $doc);
    my $change = $found ? ($self->{control}{change} || {})->{ join '/',
        grep { $_ ne '' } @$found{qw(resource subresource)} } : undef;

    $self->note($q, $reply->[0], $user);

    if (!$change && $q->{keep} && $self->{keep}) {
        PcapTest::Platform::send_all($s, join("\r\n", "HTTP/1.1 $reply->[0]",
            "Content-Type: $reply->[1]", 'Content-Length: '
            . length $reply->[2], 'Cache-Control: no-cache, private', '', '')
            . $reply->[2]) or return 0;
        return 1;
    }

    $self->send_answer($s, $change || {}, $reply);

    return 0;
}


sub note
{
    my ($self, $q, $status, $user) = @_;

    sysopen my $fh, "$self->{base}.seen", O_WRONLY | O_CREAT | O_APPEND,
        0644;
    syswrite $fh, encode_json({ t => time(), path => $q->{uri}, method =>
        $q->{method}, body => $q->{body}, token => $q->{token}, user => $user
        ? $user->{username} : undef, cluster => $q->{cluster}, listener =>
        $self->{listener} || 'api', status => ($status =~ /(\d+)/)[0] + 0,
        connection => $$, text => $q->{text}, violations => $q->{faults} })
        . "\n";
}


1;
