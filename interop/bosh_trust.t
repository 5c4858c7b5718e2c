#!/usr/bin/perl
#
# interop/bosh_trust.t: the pcap-cli that the package is made of, with its own
# libcurl, and an API whose certificate comes from a CA that only the system
# knows: `pcap-cli bosh` with the Director's CA in the config, and pcap-cli
# without any CA, on systems that keep theirs in other places. Those are made in
# this test's own mount namespace. Needs the packages, see bosh_build.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../nginx-tests/lib";

use PcapTest;
use PcapTest::BoshStandIn;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::StandIn;
use Test::More;

use Bosh;

need_packages();

my $program = build() . '/packages/pcap-cli/bin/pcap-cli';
die "no packages: run interop/bosh_build.t\n" if !-x $program;

my $certs = PcapTest::Certs->new();
my $home = work_dir();

# Director and UAA have one CA, the API another.
$certs->leaf('director', names => ['localhost'], ips => ['127.0.0.1'],
    issuer => $certs->{wrong_ca});
my $director = PcapTest::BoshStandIn->new(certs => $certs);
my $api = PcapTest::StandIn->new(certs => $certs,
    script => sub { $_[0]->usual(2, 10, 'complete') });

my $pem = slurp($certs->file('wrong-ca.crt')) =~ s/^/    /gmr;
spew("$home/config", "environments:\n- url: https://localhost:25555\n"
    . "  alias: prod\n  ca_cert: |\n$pem  access_token_type: bearer\n"
    . "  access_token: good-token\n");

# The system's folders, empty.
my $etc = "$home/etc";
must('mkdir', '-p', $etc, '/etc/pki');
for my $dir (qw(/etc/ssl /etc/pki)) {
    must('mount', '-t', 'tmpfs', 'none', $dir);
}
must('mkdir', '-p', '/etc/ssl/certs', '/etc/pki/tls/certs');
delete @ENV{qw(SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE)};


sub both_ways
{
    my ($name, $code, %env) = @_;

    for my $args ([ 'bosh', '-e', 'prod', '-d', 'cf' ], [ 'static', 'demo' ]) {
        my $run = cli($api, [ @$args, '--json' ], program => [ $program ],
            env => { PCAP_CA => undef, BOSH_CONFIG => "$home/config",
                $args->[0] eq 'bosh' ? (PCAP_TOKEN => undef) : (), %env });
        is($run->{code}, $code, "$name: $args->[0]") or diag($run->{stderr});
        like($run->{stderr}, qr/certificate|CA/, "$name: words") if $code;
    }
}


both_ways('nothing in the system', 1);

for my $file (qw(/etc/ssl/certs/ca-certificates.crt /etc/ssl/ca-bundle.pem
                 /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
{
    spew($file, slurp($certs->file('ca.crt')));
    both_ways($file, 0);
    both_ways("$file and another one by variable", 1,
        SSL_CERT_FILE => $certs->file('wrong-ca.crt'));
    unlink $file;
}

spew('/etc/ssl/certs/ca.pem', slurp($certs->file('ca.crt')));
must('openssl', 'rehash', '/etc/ssl/certs');
both_ways('a folder of hashed names', 0);

$api->stop();
finish();
