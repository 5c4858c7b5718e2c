# PcapTest::Certs: throw-away certificate authorities and certificates, all
# with EC keys. Every certificate that a negative test needs is made by the
# same call with one thing changed (issuer, name, dates).

package PcapTest::Certs;

use strict;
use warnings;

use IO::Socket::SSL::Utils qw(CERT_create KEY_create_ec PEM_cert2file
    PEM_key2file);
use PcapTest;


sub new
{
    my ($class) = @_;

    my $self = bless { dir => work_dir() . '/certs' }, $class;

    mkdir $self->{dir};
    chmod 0755, $self->{dir};

    $self->{ca} = $self->authority('ca');
    $self->{wrong_ca} = $self->authority('wrong-ca');

    # the front of nginx, the API towards agents, the agents, the UAA
    $self->leaf('front', names => ['localhost'], ips => ['127.0.0.1']);
    $self->leaf('api', cn => 'pcap-api');
    $self->leaf('agent', names => ['pcap-agent']);
    $self->leaf('uaa', names => ['uaa.test']);

    return $self;
}


sub file
{
    my ($self, $name) = @_;

    return "$self->{dir}/$name";
}


sub authority
{
    my ($self, $name) = @_;

    my ($cert, $key) = CERT_create(
        CA      => 1,
        subject => { commonName => "pcaptest $name" },
        key     => KEY_create_ec('prime256v1'),
    );

    PEM_cert2file($cert, $self->file("$name.crt"));

    return [ $cert, $key ];
}


# Writes NAME.crt and NAME.key. Options: cn, names, ips, issuer (what
# authority() returned), days (negative: it ran out that long ago).
sub leaf
{
    my ($self, $name, %opt) = @_;

    my $days = $opt{days} || 2;
    my $cn = $opt{cn} || ($opt{names} ? $opt{names}[0] : $name);
    my @san = map { [ 'DNS', $_ ] } @{ $opt{names} || [$cn] };

    push @san, map { [ 'IP', $_ ] } @{ $opt{ips} || [] };

    my ($cert, $key) = CERT_create(
        issuer          => $opt{issuer} || $self->{ca},
        subject         => { commonName => $cn, %{ $opt{subject} || {} } },
        subjectAltNames => \@san,
        key             => KEY_create_ec('prime256v1'),
        not_before      => time() - 10 * 86400,
        not_after       => time() + $days * 86400,
        purpose         => 'server,client',
    );

    PEM_cert2file($cert, $self->file("$name.crt"));
    PEM_key2file($key, $self->file("$name.key"));
    chmod 0644, $self->file("$name.key");

    return $self;
}


1;
