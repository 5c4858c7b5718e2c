# PcapTest::CloudController: a strict stand-in for the Cloud Controller's v3
# API as far as a capture asks it, with the status codes and bodies of the
# real one (cloud_controller_ng: app/controllers/v3, app/presenters/v3,
# lib/cloud_controller/permissions.rb, errors/v2.yml, middleware/). Whatever
# a client sends beyond what it has to is told as a violation.
#
# A test may change what it knows while it runs. As a process of its own,
# without PcapTest:
#   perl -Ilib -MPcapTest::CloudController \
#       -e 'PcapTest::CloudController::main(@ARGV)' \
#       CONTROL.json CERT KEY [ADDRESS:PORT]
# where CONTROL.json has what control() lists.

package PcapTest::CloudController;

use strict;
use warnings;

use JSON::PP;
use parent 'PcapTest::Platform';

*json_reply = \&PcapTest::Platform::json_reply;

my $GUID = qr/[A-Za-z0-9-]{1,64}/;
my $INCLUDE = 'include=space,space.organization';


# tokens: { TOKEN: { SPACE or ORG: ROLE, global: ROLE } }, orgs: { GUID:
# { name, annotations } }, spaces: { GUID: { name, org, ssh, annotations } },
# apps: { GUID: { name, space, state, ssh, annotations, processes: [ { guid,
# type, instances: [STATS] } ] } }, ssh: the global switch.
sub control
{
    return (ssh => 1, orgs => {}, spaces => {}, apps => {});
}


sub name { return 'cc' }

sub host { return 'api.sys.test' }

sub port { return 9024 }

sub variable { return '$pcap_cc_uri' }

sub wants_token { return $_[1] ne '/' }

sub main { __PACKAGE__->run(@_) }


sub good_path
{
    my ($self, $path) = @_;

    return $path =~ m{^/(?:v3/apps/$GUID(?:/permissions|/ssh_enabled
        |/processes\?per_page=5000|\?\Q$INCLUDE\E)?
        |v3/processes/$GUID/stats)?$}x;
}


# root, app, permissions, ssh_enabled, processes or stats
sub question
{
    my ($self, $path) = @_;

    return $path eq '/' ? 'root' : $path =~ m{/(permissions|ssh_enabled
        |processes|stats)(?:\?|$)}x ? $1 : 'app';
}


# --- what it knows ---------------------------------------------------------

sub org
{
    my ($self, $guid, %o) = @_;

    $self->{control}{orgs}{$guid} = { name => "org-$guid",
        annotations => {}, %o };
    $self->save();
}


sub space
{
    my ($self, $guid, $org, %o) = @_;

    $self->{control}{spaces}{$guid} = { name => "space-$guid", org => $org,
        ssh => 1, annotations => {}, %o };
    $self->save();
}


sub app
{
    my ($self, $guid, $space, %o) = @_;

    $self->{control}{apps}{$guid} = { name => 'app', space => $space,
        state => 'STARTED', ssh => 1, annotations => {}, processes => [],
        %o };
    $self->save();
}


# A role in each space or org: space_developer, space_auditor, ...; global:
# admin, admin_read_only, global_auditor; scopes: what the token has.
sub token
{
    my ($self, $token, %roles) = @_;

    $self->{control}{tokens}{$token} = { scopes =>
        ['cloud_controller.read'], %roles };
    $self->save();
}


sub set
{
    my ($self, %o) = @_;

    $self->{control}{$_} = $o{$_} for keys %o;
    $self->save();
}


sub process
{
    my ($guid, $type, @instances) = @_;

    $_->{type} = $type for @instances;

    return { guid => $guid, type => $type, instances => \@instances };
}


# Cut off behind 28 characters, as rep makes it.
sub handle
{
    my ($n) = @_;

    return substr sprintf('%08x-54d2-4c33-61a3-5335%08x', $n, $n), 0, 28;
}


# process_stats_presenter.rb: found_instance_stats_hash
sub running
{
    my ($index, $n, %o) = @_;

    return { type => 'web', index => $index, state => 'RUNNING', routable =>
        JSON::PP::true, instance_guid => handle($n), host => '127.1.0.'
        . ($n + 1), instance_internal_ip => '10.255.0.' . ($n + 1),
        uptime => 4711, mem_quota => 1 << 30, disk_quota => 1 << 30,
        log_rate_limit => -1, fds_quota => 16384, isolation_segment => undef,
        details => undef, instance_ports => [ { external => 61000 + $n,
        internal => 8080, external_tls_proxy_port => 61200 + $n,
        internal_tls_proxy_port => 61001 } ], usage => { time =>
        '2026-11-20T10:00:00Z', cpu => 0.01, cpu_entitlement => 0.1, mem =>
        1 << 20, disk => 1 << 20, log_rate => 0 }, %o };
}


# down_instance_stats_hash
sub down
{
    my ($index, %o) = @_;

    return { type => 'web', index => $index, state => 'DOWN', routable =>
        undef, uptime => 0, isolation_segment => undef, details => undef,
        %o };
}


# --- answers ---------------------------------------------------------------

my %ERRORS = (
    1000  => [ '401 Unauthorized', 'InvalidAuthToken', 'Invalid Auth Token' ],
    10000 => [ '404 Not Found', 'NotFound', 'Unknown request' ],
    10001 => [ '500 Internal Server Error', 'UnknownError',
        'An unknown error occurred.' ],
    10002 => [ '401 Unauthorized', 'NotAuthenticated',
        'Authentication error' ],
    10003 => [ '403 Forbidden', 'NotAuthorized',
        'You are not authorized to perform the requested action' ],
    10005 => [ '400 Bad Request', 'BadQueryParameter',
        'The query parameter is invalid: Unknown query parameter(s)' ],
    10007 => [ '403 Forbidden', 'InsufficientScope',
        'Your token lacks the necessary permissions to access this'
        . ' resource.' ],
    10010 => [ '404 Not Found', 'ResourceNotFound', 'App not found' ],
    10013 => [ '429 Too Many Requests', 'RateLimitExceeded',
        'Rate Limit Exceeded' ],
    10015 => [ '503 Service Unavailable', 'ServiceUnavailable',
        'Stats server temporarily unavailable.' ],
);


sub error
{
    my ($code, $detail) = @_;

    my ($status, $title, $text) = @{ $ERRORS{$code} };

    return json_reply($status, { errors => [ { code => $code + 0,
        title => "CF-$title", detail => $detail || $text } ] });
}


# base_rate_limiter.rb: JSON as text/plain, Retry-After is the time of reset
sub rate_limited
{
    my ($reset) = @_;

    my $reply = error(10013);

    return (status => $reply->[0], type => 'text/plain; charset=utf-8',
        body => $reply->[2], fields => [ "Retry-After: $reset",
        'X-RateLimit-Limit: 2000', "X-RateLimit-Reset: $reset",
        'X-RateLimit-Remaining: 0' ]);
}


# permissions.rb: who sees anything of a space, and who its secrets
sub rights
{
    my ($control, $user, $guid) = @_;

    my $space = $control->{spaces}{$guid};
    my $role = $user->{$guid} || '';
    my $global = $user->{global} || '';
    my $secrets = $role eq 'space_developer' || $global =~ /^admin/;

    return { secrets => $secrets, read => $secrets || $global ne ''
        || $role =~ /^space_(?:auditor|manager|supporter)$/
        || ($user->{ $space->{org} } || '') eq 'organization_manager' };
}


sub reply
{
    my ($self, $control, $method, $path, $auth) = @_;

    return root() if $path eq '/' && $method eq 'GET';
    return error(10002) if !defined $auth;

    my ($token) = $auth =~ /^bearer (\S+)$/i;
    my $user = defined $token ? $control->{tokens}{$token} : undef;

    return error(1000) if !$user;
    return error(10007) if !grep { /^cloud_controller\.
        (?:read|admin|admin_read_only|global_auditor)$/x }
        @{ $user->{scopes} };

    my ($kind, $guid, $rest, $query) = $path =~
        m{^/v3/(apps|processes)/([^/?]+)(/[^?]*)?(?:\?(.*))?$};

    return error(10000) if !defined $kind || $method ne 'GET';

    $guid =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;

    return process_reply($control, $user, $guid, $rest, $query)
        if $kind eq 'processes';
    return app_reply($control, $user, $guid, $rest || '', $query);
}


sub root
{
    my $api = 'https://api.sys.test';

    return json_reply('200 OK', { links => { self => { href => $api },
        cloud_controller_v2 => undef, cloud_controller_v3 => { href =>
        "$api/v3", meta => { version => '3.180.0' } }, login => { href =>
        'https://login.sys.test' }, uaa => { href => 'https://uaa.sys.test'
        }, credhub => undef, app_ssh => { href => 'ssh.sys.test:2222', meta
        => { host_key_fingerprint => 'x', oauth_client => 'ssh-proxy' } }
    } });
}


sub app_reply
{
    my ($control, $user, $guid, $rest, $query) = @_;

    # MySQL compares without case
    my ($found) = grep { lc $_ eq lc $guid } keys %{ $control->{apps} };
    my $app = defined $found ? $control->{apps}{$found} : undef;
    my $right = $app && rights($control, $user, $app->{space});

    return error(10010) if !$right || !$right->{read};

    if ($rest eq '/permissions' && !defined $query) {
        return json_reply('200 OK', { read_basic_data => JSON::PP::true,
            read_sensitive_data => $right->{secrets} ? JSON::PP::true
            : JSON::PP::false });
    }

    return ssh_reply($control, $app) if $rest eq '/ssh_enabled'
        && !defined $query;
    return processes_reply($found, $app, $query) if $rest eq '/processes';
    return error(10000) if $rest ne '';
    return error(10005) if defined $query && $query ne $INCLUDE;

    my $doc = app_doc($found, $app);
    my $space = $control->{spaces}{ $app->{space} };

    $doc->{included} = { spaces => [ { guid => $app->{space}, name =>
        $space->{name}, relationships => { organization => { data => { guid
        => $space->{org} } } }, metadata => { labels => {}, annotations =>
        $space->{annotations} } } ], organizations => [ { guid =>
        $space->{org}, name => $control->{orgs}{ $space->{org} }{name},
        suspended => JSON::PP::false, metadata => { labels => {},
        annotations => $control->{orgs}{ $space->{org} }{annotations} } } ]
        } if defined $query;

    return json_reply('200 OK', $doc);
}


sub app_doc
{
    my ($guid, $app) = @_;

    return { guid => $guid, name => $app->{name}, state => $app->{state},
        created_at => '2026-01-01T00:00:00Z', updated_at =>
        '2026-01-01T00:00:00Z', lifecycle => { type => 'buildpack', data =>
        { buildpacks => ['go_buildpack'], stack => 'cflinuxfs4' } },
        relationships => { space => { data => { guid => $app->{space} } },
        current_droplet => { data => { guid => 'd-1' } } }, metadata => {
        labels => {}, annotations => $app->{annotations} }, links => {
        self => { href => "https://api.sys.test/v3/apps/$guid" } } };
}


# apps_v3_controller.rb: global && space && app, the reason of the first
sub ssh_reply
{
    my ($control, $app) = @_;

    my $space = $control->{spaces}{ $app->{space} };
    my $reason = !$control->{ssh} ? 'ssh is disabled globally'
        : !$space->{ssh} ? "ssh is disabled for space '$space->{name}'"
        : !$app->{ssh} ? 'ssh is disabled for app' : '';

    return json_reply('200 OK', { enabled => $reason eq '' ? JSON::PP::true
        : JSON::PP::false, reason => $reason });
}


sub processes_reply
{
    my ($guid, $app, $query) = @_;

    return error(10005) if ($query || '') !~ /^per_page=(\d+)$/ || $1 < 1
        || $1 > 5000;

    my @all = @{ $app->{processes} };
    my $href = "https://api.sys.test/v3/apps/$guid/processes?page=1"
        . "&per_page=$1";

    return json_reply('200 OK', { pagination => { total_results =>
        scalar @all, total_pages => 1, first => { href => $href }, last => {
        href => $href }, next => undef, previous => undef }, resources => [
        map { { guid => $_->{guid}, type => $_->{type}, command =>
        '[PRIVATE DATA HIDDEN IN LISTS]', instances =>
        scalar @{ $_->{instances} }, memory_in_mb => 1024, disk_in_mb =>
        1024, health_check => { type => 'port', data => { timeout => undef }
        }, relationships => { app => { data => { guid => $guid } } },
        metadata => { labels => {}, annotations => {} }, links => { stats =>
        { href => "https://api.sys.test/v3/processes/$_->{guid}/stats" } }
        } } @all ] });
}


sub process_reply
{
    my ($control, $user, $guid, $rest, $query) = @_;

    for my $app (values %{ $control->{apps} }) {
        my ($process) = grep { $_->{guid} eq $guid } @{ $app->{processes} };

        next if !$process || $process->{gone}
            || !rights($control, $user, $app->{space})->{read};
        return error(10000) if ($rest || '') ne '/stats' || defined $query;
        return json_reply('200 OK', { resources => $process->{instances} });
    }

    return error(10010, 'Process not found');
}


1;
