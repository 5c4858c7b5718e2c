# The token of the service account, which a kubelet replaces before it expires:
# the file is read again when what is known of it is a minute old, without a
# reload; while it is not there, or says nothing, the old one is used.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Kube;
use PcapTest::Lab;
use Time::HiRes qw(sleep time);

my $certs = PcapTest::Certs->new();
my $kube = PcapTest::Kube->new(certs => $certs);
my $file = $kube->token_file();

chmod 0755, work_dir();
chmod 0644, $file;

my $lab = lab(certs => $certs, nginx => { conf => 'worker_processes 1;',
    http => 'pcap_api_introspection_rate 1000 burst=10000;',
    server => $kube->location('/_kube') . ' location / { pcap_api on;'
        . ' pcap_api_kube_files on; pcap_api_agent_ranges 127.0.0.0/8;'
        . ' pcap_api_kube_node node-1 127.1.0.1:9494;'
        . " pcap_api_kube /_kube token=$file; }" });
my $nginx = $lab->{nginx};

$kube->user('ann', username => 'ann');
$kube->allow(users => ['ann'], verbs => ['get'],
    resources => ['packetcaptures/files'], namespace => 'dev');
$kube->capture('dev', 'cap', []);


sub status { return $nginx->fetch('/download/dev/cap/files.zip', token =>
    'ann')->{status} }


# Asks twice a second until it is so, for two minutes at most.
sub comes
{
    my ($code) = @_;

    return wait_for(120, sub {
        my $so = $code->(status());

        sleep 0.5 if !$so;
        return $so;
    });
}


is(status(), 204, 'with the first token');

my $began = time();

$kube->rotate('account-token-2');
is(status(), 503, 'the first one is taken no more');
ok(comes(sub { $_[0] == 204 }), 'the second one is found');
cmp_ok(time() - $began, '>', 30, 'in no haste');

# what is known is a minute old, and there is nothing new
rename $file, "$file.away" or die "rename: $!\n";
ok(comes(sub { $nginx->log() =~ /\[error\].*token of API server/ }),
    'that it is not there is logged');
rename "$file.away", $file or die "rename: $!\n";
is(status(), 204, 'and the one that is known goes on');

finish();
