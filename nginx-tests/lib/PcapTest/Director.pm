# PcapTest::Director: a strict stand-in for the BOSH Director (it cannot be
# had as a Debian package), over TLS, with the status codes and bodies of the
# real one (bosh-director: base_controller.rb, info_controller.rb,
# deployments_controller.rb, permission_authorizer.rb, errors.rb). Whatever a
# client sends beyond what it has to is told as a violation.
#
# A test may change answers, tokens and deployments while it runs. As a
# process of its own, without PcapTest:
#   perl -Ilib -MPcapTest::Director -e 'PcapTest::Director::main(@ARGV)' \
#       CONTROL.json CERT KEY [ADDRESS:PORT]
# where CONTROL.json has uuid, tokens ({ TOKEN: [SCOPE...] }) and
# deployments ({ NAME: { teams, instances } }).

package PcapTest::Director;

use strict;
use warnings;

use JSON::PP;
use parent 'PcapTest::Platform';

use constant UUID => 'e55134c3-0a63-47be-8409-c9e53e965d5c';
use constant LIST => '/deployments?exclude_configs=true'
    . '&exclude_releases=true&exclude_stemcells=true&exclude_lock=true';

*json_reply = \&PcapTest::Platform::json_reply;


# Options beside those of Platform: uuid.
sub control
{
    my ($self) = @_;

    return (uuid => $self->{uuid} || UUID, deployments => {});
}


sub name { return 'director' }

sub host { return 'director.test' }

sub port { return 25555 }

sub variable { return '$pcap_director_uri' }

sub wants_token { return $_[1] ne '/info' }

sub main { __PACKAGE__->run(@_) }


sub good_path
{
    my ($self, $path) = @_;

    return $path =~ m{^(?:/info|\Q${\LIST}\E
        |/deployments/[\w.~%-]+/instances)$}x;
}


sub question
{
    my ($self, $path) = @_;

    return $path eq '/info' ? 'info' : $path =~ m{/instances$} ? 'instances'
        : 'list';
}


# --- what it knows ---------------------------------------------------------

# A row of GET /deployments/N/instances. Options: ips, vm (0: none), expects,
# az; more replaces.
sub instance
{
    my ($job, $index, $id, %o) = @_;

    my $vm = !exists $o{vm} || delete $o{vm};
    my $expects = !exists $o{expects} || delete $o{expects};
    my $ips = delete $o{ips} || [];

    return { agent_id => $vm ? "agent-$id" : undef,
        cid => $vm ? "vm-$id" : undef, job => $job, index => $index,
        id => $id, az => 'z1', ips => $vm ? $ips : [],
        vm_created_at => $vm ? '2026-11-20T10:00:00Z' : undef,
        expects_vm => $expects ? JSON::PP::true : JSON::PP::false, %o };
}


# A UUID that can be told from others.
sub id
{
    my ($n) = @_;

    return sprintf '%08x-1111-4222-8333-%012x', $n, $n;
}


sub deployment
{
    my ($self, $name, $teams, @instances) = @_;

    $self->{control}{deployments}{$name} = { teams => $teams,
        instances => \@instances };
    $self->save();
}


# The scopes that the Director finds in a token.
sub token
{
    my ($self, $token, @scopes) = @_;

    $self->{control}{tokens}{$token} = \@scopes;
    $self->save();
}


# --- answers ---------------------------------------------------------------

sub lacks
{
    my (@scopes) = @_;

    return json_reply('401 Unauthorized', { code => 600000,
        description => 'Require one of the scopes: '
            . join(', ', @scopes) });
}


# [ status, type, body, field... ]
sub reply
{
    my ($self, $control, $method, $path, $auth) = @_;

    my $uuid = $control->{uuid};
    my ($token) = ($auth || '') =~ /^bearer (\S+)$/i;
    my $scopes = defined $token ? $control->{tokens}{$token} : undef;
    my %has = map { $_ => 1 } @{ $scopes || [] };

    # Sinatra knows no 405: another method is another route
    return [ '404 Not Found', 'text/html;charset=utf-8', '<h1>Not Found</h1>'
        ] if $method ne 'GET' || $path !~ m{^/(?:info$|deployments)};

    return json_reply('200 OK', { name => 'bosh-1', uuid => $uuid,
        version => '280.0.14 (00000000)', user => undef,
        cpi => 'warden_cpi', stemcell_os => '-', stemcell_version => '-',
        user_authentication => { type => 'uaa', options => { url =>
        'https://uaa.test:8443', urls => ['https://uaa.test:8443'] } },
        features => { local_dns => { status => JSON::PP::true, extras => {
        domain_name => 'bosh' } }, snapshots => { status =>
        JSON::PP::false }, config_server => { status => JSON::PP::true,
        extras => { urls => ['https://127.0.0.1:8844/api/'] } },
        %{ $control->{features} || {} } } }) if $path eq '/info';

    return [ '401 Unauthorized', 'text/plain',
        "Not authorized: '" . ($path =~ /^([^?]*)/)[0] . "'\n",
        'WWW-Authenticate: Basic realm="BOSH Director"' ] if !$scopes;

    my @admin = ('bosh.admin', "bosh.$uuid.admin");
    my @read = (@admin, 'bosh.read', "bosh.$uuid.read");
    my $readable = sub {
        my ($d) = @_;
        return grep { $has{$_} } @read, map { ("bosh.teams.$_.admin",
            "bosh.teams.$_.read") } @{ $d->{teams} };
    };

    if ($path =~ m{^/deployments(?:\?|$)}) {
        return lacks(@read) if !grep { $has{$_} } @read
            and !grep { /^bosh\.teams\..+\.admin$/ } keys %has;

        my $all = $control->{deployments};

        return json_reply('200 OK', [ map { { name => $_, teams =>
            $all->{$_}{teams} } } grep { $readable->($all->{$_}) }
            sort keys %$all ]);
    }

    my ($name) = $path =~ m{^/deployments/([^/?]+)/instances$};

    return [ '404 Not Found', 'text/html;charset=utf-8',
        '<h1>Not Found</h1>' ] if !defined $name;

    $name =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;

    my $d = $control->{deployments}{$name}
        or return json_reply('404 Not Found', { code => 70000,
        description => "Deployment '$name' doesn't exist" });

    return lacks(@read, map { ("bosh.teams.$_.admin",
        "bosh.teams.$_.read") } @{ $d->{teams} }) if !$readable->($d);

    return json_reply('200 OK', $d->{instances});
}


1;
