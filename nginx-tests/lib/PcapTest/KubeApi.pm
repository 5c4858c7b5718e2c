# PcapTest::KubeApi: what the stand-in of PcapTest::Kube answers: who asks,
# whether they may (RBAC), and each resource as kube-apiserver and Calico's
# API server have it (kubernetes: pkg/registry/authentication/tokenreview,
# authorization/subjectaccessreview; tigera/api: pkg/apis/projectcalico/v3).
#
# The order of its checks: identity, path, method, RBAC, media types, body.

package PcapTest::KubeApi;

use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64);
use PcapTest::KubeObject;

use constant AUDIENCE => 'https://kubernetes.default.svc.cluster.local';

my $AUTHN = 'authentication.k8s.io';
my $AUTHZ = 'authorization.k8s.io';
my $CALICO = 'projectcalico.org';
my $SEGMENT = qr/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/;

# path, group, resource and subresource of it, the methods with their verbs
my @ROUTES = (
    [ qr{^/apis/$AUTHN/v1/tokenreviews$}, $AUTHN, 'tokenreviews', '',
        { POST => [ 'create', \&token_review ] } ],
    [ qr{^/apis/$AUTHZ/v1/subjectaccessreviews$}, $AUTHZ,
        'subjectaccessreviews', '',
        { POST => [ 'create', \&access_review ] } ],
    [ qr{^/apis/$CALICO/v3/authenticationreviews$}, $CALICO,
        'authenticationreviews', '',
        { POST => [ 'create', \&authentication_review ] } ],
    [ qr{^/apis/$CALICO/v3/managedclusters/($SEGMENT)$}, $CALICO,
        'managedclusters', '', { GET => [ 'get', \&managed_cluster ] } ],
    [ qr{^/apis/$CALICO/v3/namespaces/($SEGMENT)/packetcaptures/($SEGMENT)$},
        $CALICO, 'packetcaptures', '', { GET => [ 'get', \&get_capture ] } ],
    [ qr{^/apis/$CALICO/v3/namespaces/($SEGMENT)/packetcaptures/($SEGMENT)
        /status$}x, $CALICO, 'packetcaptures', 'status',
        { GET => [ 'get', \&get_capture ], PUT => [ 'update',
        \&put_status ] } ],
    [ qr{^/api/v1/namespaces/($SEGMENT)/pods$}, '', 'pods', '',
        { GET => [ 'list', \&list_pods ] } ],
);

my %USER = (username => 'string', uid => 'string', groups => ['string'],
    extra => { '*' => ['string'] });
my %REQUIREMENT = (requirements => [ { key => 'string', operator =>
    'string', values => ['string'] } ], rawSelector => 'string');
my $CAPTURE = { metadata => { (map { $_ => 'string' } qw(name namespace uid
    resourceVersion creationTimestamp generateName selfLink
    deletionTimestamp)), generation => 'int', deletionGracePeriodSeconds =>
    'int', (map { $_ => { '*' => 'string' } } qw(labels annotations)),
    finalizers => ['string'], (map { $_ => ['any'] } qw(ownerReferences
    managedFields)) }, spec => { selector => 'string', startTime => 'string',
    endTime => 'string', filters => [ { protocol => 'any', ports => ['any']
    } ] }, status => { files => [ { node => 'string', directory => 'string',
    fileNames => ['string'], state => 'string' } ] } };
my %STATES = map { $_ => 1 } qw(Capturing Finished Scheduled Error
    WaitingForTraffic);


# The request: method, path, query, type, accept, token, cluster, body.
# Returns status line, document, the route that was found and the user; what a
# request was refused with is left in refused.
sub answer
{
    my ($kube, $q) = @_;

    my ($found, $user, @reply);

    my $ok = eval {
        $user = who($kube, $q->{token});
        $found = route($q);
        allowed_or_refuse($kube, $q, $found, $user);
        media_types($q);
        @reply = $found->{code}->($kube, $q, $user, @{ $found->{args} });
        1;
    };

    if (!$ok) {
        die $@ if ref $@ ne 'HASH';
        @reply = @{ $@->{answer} };
        $q->{refused} = $@->{code};
    }

    return ($reply[0], $reply[1], $found, $user);
}


# --- who, what, may they -----------------------------------------------------

sub who
{
    my ($kube, $token) = @_;

    my $user = defined $token ? identity($kube, $token) : undef;

    refuse(401, 'Unauthorized') if !$user || !has_audience($user, AUDIENCE);

    return $user;
}


sub identity
{
    my ($kube, $token) = @_;

    my $control = $kube->{control};
    my $user = $control->{tokens}{$token};

    return $user if $user;
    return $token eq $kube->{account_token} ? $control->{account} : undef;
}


sub has_audience
{
    my ($user, $wanted) = @_;

    return scalar grep { $_ eq $wanted } @{ $user->{audiences} || [AUDIENCE] };
}


sub route
{
    my ($q) = @_;

    for my $r (@ROUTES) {
        my @args = $q->{path} =~ $r->[0] or next;
        my $how = $r->[4]{ $q->{method} }
            or refuse(405, 'the server does not allow this method on the'
            . ' requested resource');

        my ($namespace, $name) = $r->[2] eq 'managedclusters' ? ('', $args[0])
            : $r->[2] =~ /reviews$/ ? ('', '') : ($args[0], $args[1] // '');

        return { group => $r->[1], resource => $r->[2], subresource =>
            $r->[3], verb => $how->[0], code => $how->[1], namespace =>
            $namespace, name => $name, args => $r->[2] =~ /reviews$/ ? []
            : \@args };
    }

    refuse(404, 'the server could not find the requested resource');
}


# RBAC: { users, groups, verbs, group, resources, names, namespace } each of
# which says yes; what is not given is for all, and names know no "*".
sub rule_fits
{
    my ($rule, $user, $want) = @_;

    my %groups = map { $_ => 1 } @{ $user->{groups} || [] };
    my $has = sub {
        my ($list, $value) = @_;
        return !defined $list || grep { $_ eq '*' || $_ eq $value } @$list;
    };
    my $resource = $want->{resource}
        . (($want->{subresource} // '') ne '' ? "/$want->{subresource}" : '');

    return ((grep { $_ eq ($user->{username} // '') }
            @{ $rule->{users} || [] })
            || grep { $groups{$_} } @{ $rule->{groups} || [] })
        && $has->($rule->{verbs}, $want->{verb} // '')
        && $has->([ $rule->{group} // '' ], $want->{group} // '')
        && $has->($rule->{resources}, $resource)
        && (!$rule->{names} || grep { $_ eq ($want->{name} // '') }
            @{ $rule->{names} })
        && (!defined $rule->{namespace}
            || $rule->{namespace} eq ($want->{namespace} // ''));
}


sub may
{
    my ($kube, $cluster, $user, $want) = @_;

    return scalar grep { rule_fits($_, $user, $want) }
        @{ $kube->{control}{clusters}{$cluster}{rules} };
}


sub allowed_or_refuse
{
    my ($kube, $q, $f, $user) = @_;

    return if may($kube, $q->{cluster}, $user, $f);

    my $kind = $f->{resource} . ($f->{subresource} ne ''
        ? "/$f->{subresource}" : '');
    my $what = "$f->{resource}" . ($f->{group} ne '' ? ".$f->{group}" : '')
        . ($f->{name} ne '' ? " \"$f->{name}\"" : '');
    my $where = $f->{namespace} ne '' ? "in the namespace"
        . " \"$f->{namespace}\"" : 'at the cluster scope';

    refuse(403, "$what is forbidden: User \"$user->{username}\" cannot"
        . " $f->{verb} resource \"$kind\" in API group \"$f->{group}\" $where",
        ($f->{name} ne '' ? (name => $f->{name}) : ()), group => $f->{group},
        kind => $f->{resource});
}


sub media_types
{
    my ($q) = @_;

    refuse(406, 'only the following media types are accepted:'
        . ' application/json, application/yaml,'
        . ' application/vnd.kubernetes.protobuf') if defined $q->{accept}
        && $q->{accept} !~ m{(?:^|,\s*)(?:application/json|application/\*
        |\*/\*)\s*(?:[,;]|$)}x;

    refuse(415, 'the body of the request was in an unknown format - accepted'
        . ' media types include: application/json, application/yaml,'
        . ' application/vnd.kubernetes.protobuf') if $q->{method} ne 'GET'
        && ($q->{type} // '') !~ m{^application/json\s*(?:;|$)};
}


# --- reviews -----------------------------------------------------------------

sub user_of
{
    my ($user) = @_;

    return { map { $_ => $user->{$_} } grep { defined $user->{$_} }
        qw(username uid groups extra) };
}


sub review
{
    my ($version, $kind, $spec, $status) = @_;

    return ('201 Created', { kind => $kind, apiVersion => $version,
        metadata => { creationTimestamp => undef }, (defined $spec
        ? (spec => $spec) : ()), status => $status });
}


sub token_review
{
    my ($kube, $q) = @_;

    my $doc = read_strict($q->{body}, "$AUTHN/v1", 'TokenReview', { spec => {
        token => 'string', audiences => ['string'] }, status => {
        authenticated => 'bool', user => {%USER}, audiences => ['string'],
        error => 'string' } });
    my $spec = $doc->{spec} || {};
    my $token = $spec->{token} // '';

    refuse(400, 'token is required for TokenReview in authentication')
        if $token eq '';

    # a managed cluster knows nothing of the tokens of the home cluster
    my $user = $q->{cluster} eq $kube->{home} ? identity($kube, $token)
        : undef;
    my @wanted = @{ $spec->{audiences} || [] };
    my $failed = '[invalid bearer token, the token is not known]';
    my @fit;

    @wanted = (AUDIENCE) if !@wanted;

    if ($user) {
        @fit = grep { has_audience($user, $_) } @wanted;
        $failed = '[invalid bearer token, token audiences ['
            . join(' ', map { "\"$_\"" } @{ $user->{audiences} || [AUDIENCE]
            }) . '] is invalid for the target audiences ['
            . join(' ', map { "\"$_\"" } @wanted) . ']]';
    }

    return review("$AUTHN/v1", 'TokenReview', $spec, { user => {}, error =>
        $failed }) if !@fit;

    return review("$AUTHN/v1", 'TokenReview', $spec, { authenticated =>
        JSON::PP::true, user => user_of($user), audiences => \@fit });
}


# The aggregated API server tells what kube-apiserver says of the caller.
sub authentication_review
{
    my ($kube, $q, $user) = @_;

    read_strict($q->{body}, "$CALICO/v3", 'AuthenticationReview', {});

    my $status = user_of($user);

    $status->{name} = delete $status->{username};

    return review("$CALICO/v3", 'AuthenticationReview', undef, $status);
}


sub access_review
{
    my ($kube, $q) = @_;

    my $doc = read_strict($q->{body}, "$AUTHZ/v1", 'SubjectAccessReview',
        { spec => { resourceAttributes => { (map { $_ => 'string' }
        qw(namespace verb group version resource subresource name)),
        fieldSelector => {%REQUIREMENT}, labelSelector => {%REQUIREMENT} },
        nonResourceAttributes => { path => 'string', verb => 'string' },
        user => 'string', groups => ['string'], uid => 'string', extra =>
        { '*' => ['string'] } }, status => { allowed => 'bool', denied =>
        'bool', reason => 'string', evaluationError => 'string' } });
    my $spec = $doc->{spec} || {};
    my @faults;

    push @faults, 'spec.resourceAttributes: Invalid value: null: exactly one'
        . ' of nonResourceAttributes or resourceAttributes must be specified'
        if !$spec->{resourceAttributes} == !$spec->{nonResourceAttributes};
    push @faults, 'spec.user: Invalid value: "": at least one of user or'
        . ' group must be specified' if ($spec->{user} // '') eq ''
        && !@{ $spec->{groups} || [] };

    refuse(422, "SubjectAccessReview.$AUTHZ \"\" is invalid: "
        . join(', ', @faults), group => $AUTHZ, kind => 'SubjectAccessReview')
        if @faults;

    # an empty name or verb asks for all of them, which few may
    my $ok = $spec->{resourceAttributes} && may($kube, $q->{cluster}, {
        username => $spec->{user}, groups => $spec->{groups} },
        $spec->{resourceAttributes});

    return review("$AUTHZ/v1", 'SubjectAccessReview', $spec, $ok
        ? { allowed => JSON::PP::true, reason => 'RBAC: allowed by'
        . ' RoleBinding "test"' } : { allowed => JSON::PP::false });
}


# --- objects -----------------------------------------------------------------

sub not_found
{
    my ($kind, $name) = @_;

    refuse(404, "$kind.$CALICO \"$name\" not found", name => $name, group =>
        $CALICO, kind => $kind);
}


sub managed_cluster
{
    my ($kube, $q, $user, $name) = @_;

    my $c = $q->{cluster} eq $kube->{home}
        ? $kube->{control}{managed}{$name} : undef;

    not_found('managedclusters', $name) if !$c;

    return ('200 OK', $c);
}


sub get_capture
{
    my ($kube, $q, $user, $namespace, $name) = @_;

    my $c = $kube->{control}{clusters}{ $q->{cluster} }{captures}
        {"$namespace/$name"};

    not_found('packetcaptures', $name) if !$c;

    return ('200 OK', $c);
}


sub conflict
{
    my ($name) = @_;

    refuse(409, "Operation cannot be fulfilled on packetcaptures.$CALICO"
        . " \"$name\": the object has been modified; please apply your"
        . ' changes to the latest version and try again', name => $name,
        group => $CALICO, kind => 'packetcaptures');
}


sub put_status
{
    my ($kube, $q, $user, $namespace, $name) = @_;

    my $doc = read_strict($q->{body}, "$CALICO/v3", 'PacketCapture',
        $CAPTURE);
    my $meta = $doc->{metadata} || {};

    refuse(400, 'the name of the object (' . ($meta->{name} // '') . ') does'
        . " not match the name on the URL ($name)")
        if ($meta->{name} // '') ne $name;
    refuse(400, 'the namespace of the provided object does not match the'
        . ' namespace sent on the request')
        if ($meta->{namespace} // $namespace) ne $namespace;
    refuse(422, "PacketCapture.$CALICO \"$name\" is invalid:"
        . ' metadata.resourceVersion: Invalid value: 0x0: must be specified'
        . ' for an update', name => $name, group => $CALICO, kind =>
        'PacketCapture') if ($meta->{resourceVersion} // '') eq '';
    refuse(422, "PacketCapture.$CALICO \"$name\" is invalid: status.files"
        . '.state: Unsupported value', name => $name, group => $CALICO, kind
        => 'PacketCapture') if grep { defined $_->{state}
        && !$STATES{ $_->{state} } } @{ ($doc->{status} || {})->{files}
        || [] };

    my ($code, $result) = $kube->change(sub {
        my ($control) = @_;
        my $c = $control->{clusters}{ $q->{cluster} }{captures}
            {"$namespace/$name"} or return 404;

        # another writer was faster
        if ($control->{conflicts}) {
            $control->{conflicts}--;
            $c->{metadata}{resourceVersion} = ++$control->{version} . '';
            return 409;
        }

        return 409 if $meta->{resourceVersion} ne
            $c->{metadata}{resourceVersion} || defined $meta->{uid}
            && $meta->{uid} ne $c->{metadata}{uid};

        $c->{status} = $doc->{status};
        delete $c->{status} if !defined $c->{status};
        $c->{metadata}{resourceVersion} = ++$control->{version} . '';

        return (200, $c);
    });

    not_found('packetcaptures', $name) if $code == 404;
    conflict($name) if $code == 409;

    return ('200 OK', $result);
}


# --- pods --------------------------------------------------------------------

sub query_of
{
    my ($q, @known) = @_;

    my %o;

    for my $part (split /&/, $q->{query} // '') {
        my ($name, $value) = map { s/\+/ /gr
            =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger } split /=/, $part, 2;

        push @{ $q->{faults} }, "parameter $name" if exists $o{$name}
            || !grep { $_ eq $name } @known;
        $o{$name} = $value // '';
    }

    return %o;
}


# Tokens of continue hold the version that the list began with.
sub list_pods
{
    my ($kube, $q, $user, $namespace) = @_;

    my $control = $kube->{control};
    my %o = query_of($q, qw(labelSelector fieldSelector limit continue));
    my $labels = label_selector($o{labelSelector} // '');
    my $fields = field_selector($o{fieldSelector} // '');
    my $limit = $o{limit} // 0;
    my $start = '';

    refuse(400, "unable to decode query: limit: invalid value \"$limit\"")
        if $limit !~ /^\d{1,9}$/;

    if (($o{continue} // '') ne '') {
        my $from = eval { decode_json(decode_base64($o{continue})) };

        refuse(400, 'continue key is not valid: illegal base64 data')
            if ref $from ne 'HASH' || ($from->{v} // '') ne 'meta.k8s.io/v1';
        refuse(410, 'The provided continue parameter is too old to display a'
            . ' consistent list result.')
            if $from->{rv} < ($control->{compacted} || 0);
        $start = $from->{start};
    }

    my $pods = $control->{clusters}{ $q->{cluster} }{pods}{$namespace} || {};
    my @left = grep { $_ gt $start && $labels->($pods->{$_}{metadata}{labels}
        || {}) && $fields->($pods->{$_}) } sort keys %$pods;
    my @page = $limit ? splice @left, 0, $limit : splice @left;
    my $version = $control->{version} + 0;
    my $meta = { resourceVersion => "$version" };

    $meta->{continue} = encode_base64(JSON::PP->new->canonical->encode({
        v => 'meta.k8s.io/v1', rv => $version, start => $page[-1] }), '')
        if @left;
    $meta->{remainingItemCount} = @left + 0
        if @left && ($o{labelSelector} // '') eq '';

    return ('200 OK', { kind => 'PodList', apiVersion => 'v1', metadata =>
        $meta, items => [ map { $pods->{$_} } @page ] });
}


1;
