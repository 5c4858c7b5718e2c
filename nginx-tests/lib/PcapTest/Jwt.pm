# PcapTest::Jwt: keys as an authorization server has them, and tokens signed
# by them, with openssl(1): an RSA or P-256 key, its JWK, and any header and
# claims that a test wants, also wrong ones.

package PcapTest::Jwt;

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use PcapTest;


sub openssl
{
    my (@args) = @_;

    open my $fh, '-|:raw', 'openssl', @args or die "openssl: $!\n";
    local $/;

    my $out = <$fh>;

    close $fh or die "openssl @args failed\n";

    return $out;
}


# kid; type "RSA" (with bits) or "EC".
sub new
{
    my ($class, $kid, $type, $bits) = @_;

    our $number;

    my $self = bless { kid => $kid, type => $type || 'RSA',
        file => work_dir() . '/jwt' . ++$number . '.key' }, $class;

    openssl('genpkey', '-quiet', '-algorithm', $self->{type}, '-pkeyopt',
        $self->{type} eq 'RSA' ? 'rsa_keygen_bits:' . ($bits || 2048)
        : 'ec_paramgen_curve:P-256', '-out', $self->{file});

    return $self;
}


sub alg { my ($self) = @_; return $self->{type} eq 'RSA' ? 'RS256' : 'ES256' }


sub pem
{
    my ($self) = @_;

    return openssl('pkey', '-in', $self->{file}, '-pubout');
}


# As UAA shows it at /token_keys, the PEM included.
sub jwk
{
    my ($self, %more) = @_;

    my %key = (kty => $self->{type}, kid => $self->{kid}, use => 'sig',
        alg => $self->alg(), value => $self->pem());

    if ($self->{type} eq 'RSA') {
        my ($hex) = openssl('rsa', '-in', $self->{file}, '-noout',
            '-modulus') =~ /^Modulus=([0-9A-F]+)$/m;

        @key{qw(n e)} = (encode_base64url(pack 'H*', $hex), 'AQAB');

    } else {
        my $der = openssl('pkey', '-in', $self->{file}, '-pubout',
            '-outform', 'DER');

        @key{qw(crv x y)} = ('P-256', map { encode_base64url($_) }
            substr($der, -64, 32), substr($der, -32));
    }

    return { %key, %more };
}


# r and s of 32 bytes each, from the DER that openssl writes.
sub raw_signature
{
    my ($der) = @_;

    my ($r, $s) = $der =~ /^\x30.\x02(.)/s ? do {
        my $n = ord $1;
        (substr($der, 4, $n), substr($der, 6 + $n));
    } : die "no ECDSA signature\n";

    return join '', map {
        my $n = s/^\0+//r;
        "\0" x (32 - length $n) . $n;
    } $r, $s;
}


sub signature
{
    my ($self, $text) = @_;

    my $file = "$self->{file}.text";

    spew($file, $text);

    my $sig = openssl('dgst', '-sha256', '-sign', $self->{file}, $file);

    return $self->{type} eq 'RSA' ? $sig : raw_signature($sig);
}


# A token of these claims. header: members beside alg and kid, or instead
# of them; undef removes one. hmac: the key of an HS256 signature, '' for
# none at all.
sub token
{
    my ($self, $claims, %o) = @_;

    my $json = JSON::PP->new->utf8->canonical->allow_nonref;
    my %header = (alg => $self->alg(), kid => $self->{kid}, typ => 'JWT',
        jku => 'https://uaa.test/token_keys', %{ $o{header} || {} });

    delete @header{ @{ $o{without} } } if $o{without};

    my $text = encode_base64url($json->encode(\%header)) . '.'
        . encode_base64url(ref $claims ? $json->encode($claims) : $claims);
    my $sig = !defined $o{hmac} ? $self->signature($text)
        : length $o{hmac} ? hmac_sha256($text, $o{hmac}) : '';

    return "$text." . encode_base64url($sig);
}


1;
