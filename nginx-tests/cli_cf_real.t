# pcap-cli cf against the real API: the app by its name at one Cloud
# Controller, its instances by the module at the same (two stand-ins),
# fake agents on the cells; which instances, what is refused; to storage.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::CfLab;
use PcapTest::CfStandIn;
use PcapTest::Cli;
use PcapTest::StoreLab;


my $store = store_for();
my $lab = cf_lab(nginx => { store => $store }, script => sub {
    my ($c) = @_;

    return $c->usual(20) if ($c->{args}{filter}[0] || '') eq 'udp';
    $c->begin();
    $c->traffic(3);
    $c->end();
});
my $api = { url => 'https://localhost:8443', certs => $lab->{certs} };
my $cf = PcapTest::CfStandIn->new(certs => $lab->{certs});
my $home = work_dir() . '/home';

cf_app($lab, process(WEB, 'web', map { running($_, $_) } 0 .. 2),
    process('worker-process', 'worker', running(0, 7)));
cf_user($lab, 'auditor', 'space-1' => 'space_auditor');
$cf->tell(valid => [ 'dev', 'auditor', 'nobody' ], apps => [
    PcapTest::CfStandIn::app('shop', guid => WEB) ]);
mkdir $home;
mkdir "$home/.cf";

my $run;


# The names of the targets in the file.
sub capture
{
    my ($token, @args) = @_;

    spew("$home/.cf/config.json", qq({"AccessToken":"bearer $token",)
        . '"Target":"https://api.sys.test","SpaceFields":{"GUID":"'
        . PcapTest::CfStandIn::SPACE . '","Name":"dev"}}');
    $run = cli($api, [ 'cf', 'shop', '-o', 'x', '--json', @args ], env => {
        CF_HOME => $home, PCAP_TOKEN => undef,
        SSL_CERT_FILE => $lab->{certs}->file('ca.crt') });

    return -e "$run->{dir}/x" ? names_of(PcapTest::Pcapng::parse(slurp(
        "$run->{dir}/x"))) : '';
}


is(capture('dev'), 'shop/0 shop/1 shop/2', 'all instances of web');
is($run->{code}, 0, 'exit code') or diag($run->{stderr});
is($run->{json}{packets}, 9, 'all packets');

is(capture('dev', '--index', '2', '--index', '0'), 'shop/0 shop/2',
    'two of them');
is($run->{code}, 0, 'exit code') or diag($run->{stderr});

is(capture('dev', '--process', 'worker', '-f', 'tcp'), 'shop/worker/0',
    'another process');
is($run->{code}, 0, 'exit code') or diag($run->{stderr});

is(capture('dev', '--index', '9'), '', 'no such instance');
is($run->{code}, 1, 'exit code');

is(capture('dev', '--store', '--wait', '--max-packets', 9, '-f', 'udp'),
    'shop/0 shop/1 shop/2', 'to storage, and fetched');
is($run->{code}, 0, 'exit code') or diag($run->{stderr});
is(capture('dev', '--store', '--wait', '--max-packets', 9, '-f', 'udp',
    '--index', 1), 'shop/1', 'one instance');
is($run->{code}, 0, 'exit code') or diag($run->{stderr});

is(capture('auditor'), '', 'an auditor');
is($run->{code}, 4, 'is not allowed') or diag($run->{stderr});

strict_cc($lab);
is_deeply([ $cf->events('died') ], [], 'nothing odd was asked');
$cf->stop();
finish();
