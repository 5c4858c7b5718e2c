# PcapTest::CfLab: nginx with one Cloud Controller behind it, fake agents on
# the cells, and the apps that most tests of the CF resolver use.

package PcapTest::CfLab;

use strict;
use warnings;

use Exporter qw(import);
use PcapTest::Lab;
use PcapTest::Certs;
use PcapTest::CloudController;
use PcapTest::Fake;
use PcapTest::Pcapng ();

our @EXPORT = (qw(cf_lab cf_user cf_app running down process handle path_of
    names_of strict_cc asked_of WEB OTHER), @PcapTest::Lab::EXPORT);

*running = \&PcapTest::CloudController::running;
*down = \&PcapTest::CloudController::down;
*process = \&PcapTest::CloudController::process;
*handle = \&PcapTest::CloudController::handle;

use constant WEB => '3f1c8a52-0000-4000-8000-000000000001';
use constant OTHER => '3f1c8a52-0000-4000-8000-000000000002';


# As lab(), with $lab->{cc}; cc (options of the same room), cf (parameters of
# pcap_api_cf), ranges, location (of CloudController->location), nginx (pcap
# and server are added to).
sub cf_lab
{
    my (%o) = @_;

    my $certs = $o{certs} || PcapTest::Certs->new();
    my $cc = PcapTest::CloudController->new(certs => $certs,
        %{ $o{cc} || {} });
    my %nginx = %{ $o{nginx} || {} };
    my $ranges = $o{ranges} || '127.1.0.0/16';

    $nginx{server} = ($nginx{server} || '')
        . $cc->location('/_pcap_cc', %{ $o{location} || {} });
    $nginx{pcap} = 'pcap_api_cf /_pcap_cc ' . ($o{cf} || '')
        . "; pcap_api_agent_ranges $ranges; " . ($nginx{pcap} || '');

    my $fake = $o{script} && PcapTest::Fake->new(certs => $certs,
        script => $o{script}, %{ $o{fake} || {} });
    my $lab = lab(%o, certs => $certs, nginx => \%nginx);

    @$lab{qw(cc fake)} = ($cc, $fake);
    $cc->org('org-1', name => 'acme');
    $cc->space('space-1', 'org-1', name => 'dev');
    cf_user($lab, 'dev', 'space-1' => 'space_developer');
    cf_app($lab, process(WEB, 'web', map { running($_, $_) } 0 .. 2));

    return $lab;
}


# A token that UAA and Cloud Controller know.
sub cf_user
{
    my ($lab, $token, %roles) = @_;

    my $scopes = $roles{scopes} || ['cloud_controller.read'];

    $lab->{uaa}->token($token, scope => $scopes, user_name => "$token-user",
        user_id => "u-$token", sub => "u-$token");
    $lab->{cc}->token($token, %roles);
}


# The app "shop" with these processes.
sub cf_app
{
    my ($lab, @processes) = @_;

    $lab->{cc}->app(WEB, 'space-1', name => 'shop',
        processes => \@processes);
}


sub path_of
{
    my ($query, $base) = @_;

    return ($base || '/v1') . '/capture/cf/' . WEB
        . (defined $query ? $query : '');
}


# The targets in the file, without the interface.
sub names_of
{
    my ($file) = @_;

    return join ' ', map { $_->{name} =~ m{^(.+)/eth0$} ? $1 : $_->{name} }
        @{ $file->{ifaces} };
}


# "CONTAINER APP" that the agents were asked for since $from requests.
sub asked_of
{
    my ($fake, $from) = @_;

    my @all = $fake->events('request');

    splice @all, 0, $from || 0;

    return join ', ', sort map { join ' ', map { $_ ? @$_ : 'none' }
        @{ $_->{args} }{qw(container app)} } @all;
}


# Nothing but the questions it should be asked has reached it.
sub strict_cc
{
    my ($lab, $name) = @_;

    is(join('; ', $lab->{cc}->violations()), '', ($name
        || 'the Cloud Controller') . ': asked for what is needed only');
}


1;
