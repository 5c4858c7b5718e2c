# PcapTest::BoshLab: nginx with one Director behind it, fake agents, and the
# deployment that most tests of the BOSH resolver use.

package PcapTest::BoshLab;

use strict;
use warnings;

use Exporter qw(import);
use PcapTest::Lab;
use PcapTest::Certs;
use PcapTest::Director;
use PcapTest::Fake;

our @EXPORT = (qw(bosh_lab user vm cf_deployment names_of strict_director
    UUID), @PcapTest::Lab::EXPORT);

*UUID = \&PcapTest::Director::UUID;


# As lab(), with $lab->{director}; director (options of the same room), bosh
# (parameters of pcap_api_bosh), ranges, location (of Director->location),
# nginx (pcap and server are added to).
sub bosh_lab
{
    my (%o) = @_;

    my $certs = $o{certs} || PcapTest::Certs->new();
    my $director = PcapTest::Director->new(certs => $certs,
        %{ $o{director} || {} });
    my %nginx = %{ $o{nginx} || {} };
    my $ranges = $o{ranges} || '127.1.0.0/16';

    $nginx{server} = ($nginx{server} || '')
        . $director->location('/_pcap_director', %{ $o{location} || {} });
    $nginx{pcap} = 'pcap_api_bosh /_pcap_director ' . ($o{bosh} || '')
        . "; pcap_api_agent_ranges $ranges; " . ($nginx{pcap} || '');

    # not of lab(): its agents are a static group
    my $fake = $o{script} && PcapTest::Fake->new(certs => $certs,
        script => $o{script}, %{ $o{fake} || {} });
    my $lab = lab(%o, certs => $certs, nginx => \%nginx);

    @$lab{qw(director fake)} = ($director, $fake);
    user($lab, 'op', 'bosh.admin');
    cf_deployment($lab);

    return $lab;
}


# A token that UAA and Director know with these scopes.
sub user
{
    my ($lab, $token, @scopes) = @_;

    $lab->{uaa}->token($token, scope => \@scopes, user_name => "$token-user",
        user_id => "u-$token", sub => "u-$token");
    $lab->{director}->token($token, @scopes);
}


# Instance number $n of all: its id and address are made of it.
sub vm
{
    my ($job, $index, $n, %o) = @_;

    return PcapTest::Director::instance($job, $index,
        PcapTest::Director::id($n), ips => [ '127.1.0.' . ($n + 1) ], %o);
}


# "cf": router 0 and 1, diego-cell 0 to 2, in an order that is not theirs.
sub cf_deployment
{
    my ($lab, @more) = @_;

    $lab->{director}->deployment('cf', ['ops'], vm('router', 1, 1),
        vm('diego-cell', 2, 4), vm('router', 0, 0), vm('diego-cell', 0, 2),
        vm('diego-cell', 1, 3), @more);
}


# The instances in the file, as "job/N" with N of vm().
sub names_of
{
    my ($file) = @_;

    return join ' ', map {
        my ($job, $n) = ($_->{name} || '')
            =~ m{^([\w-]+)/([0-9a-f]{8})-[\w-]+/[^/]+$};
        defined $n ? "$job/" . hex $n : $_->{name};
    } @{ $file->{ifaces} };
}


# Nothing but the questions it should be asked has reached the Director.
sub strict_director
{
    my ($lab, $name) = @_;

    is(join('; ', $lab->{director}->violations()), '',
        ($name || 'the Director') . ': asked for what is needed only');
}


1;
