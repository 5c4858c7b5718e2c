# pcap-cli and a named environment: a base URL with a path in front of /v1/
# holds for all that is asked: captures of groups and of deployments, stop,
# status, and the streams that go on after a cut.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use PcapTest;
use PcapTest::BoshStandIn;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::StandIn;

my $certs = PcapTest::Certs->new();
my $cut = 0;

my $api = PcapTest::StandIn->new(certs => $certs, base_path => '/staging',
    script => sub {
        my ($c, $r) = @_;

        my $goes_on = grep { $_->[0] eq 'continues' } @{ $r->{form} };

        return $c->usual(2, 10, 'complete')
            if $goes_on || $r->{group} ne 'cut';
        $c->begin();
        $c->chunk(PcapTest::StandIn::head(2)
            . PcapTest::StandIn::packets(2, 4));
        $c->{s}->close();
    });
my $named = { url => $api->url() . '/staging/', certs => $certs };
my $run;


sub paths { return map { $_->{path} } $api->events('request') }

# --- the paths, with a slash at the end of the URL and without ------------

$run = cli($named, [ 'static', 'demo', '-o', 'x', '--json' ]);
is($run->{code}, 0, 'a capture') or diag($run->{stderr});
is($run->{json}{packets}, 10, 'its packets');
$run = cli($named, [ 'stop', PcapTest::StandIn::ID ]);
is($run->{code}, 0, 'stop') or diag($run->{stderr});
$run = cli($named, [ 'status', '-u', $api->url() . '/staging' ],
    env => { PCAP_API => undef, PCAP_TOKEN => undef });
is($run->{code}, 0, 'status by -u') or diag($run->{stderr});
is_deeply([ paths() ], [ '/staging/v1/capture/static/demo',
    '/staging/v1/captures/' . PcapTest::StandIn::ID, '/staging/v1/status' ],
    'all below the environment');

$run = cli($named, [ 'static', 'cut', '-o', 'x', '--json',
    '--max-packets', '100' ]);
is($run->{json}{parts}, 2, 'a stream that was cut goes on')
    or diag($run->{stderr});
my @forms = map { $_->{form} } grep { $_->{group} eq 'cut' }
    $api->events('capture');
is(scalar @forms, 2, 'there as well');
like(join(' ', map { $_->[0] } @{ $forms[1] }), qr/continues/,
    'as the successor');

# --- by the bosh CLI's login -----------------------------------------------

$certs->leaf('director', names => ['localhost'], ips => ['127.0.0.1']);

my $director = PcapTest::BoshStandIn->new(certs => $certs);
my $config = work_dir() . '/config';
my $pem = slurp($certs->file('ca.crt')) =~ s/^/    /gmr;

spew($config, "environments:\n- url: https://localhost:25555\n  alias: prod\n"
    . "  ca_cert: |\n$pem  access_token_type: bearer\n"
    . "  access_token: good-token\n");

$run = cli($named, [ 'bosh', '-e', 'prod', '-d', 'cf', '--json', 'router' ],
    env => { BOSH_CONFIG => $config, PCAP_TOKEN => undef });
is($run->{code}, 0, 'bosh') or diag($run->{stderr});
is((paths())[-1], '/staging/v1/capture/bosh/cf', 'below it, too');

$run = cli({ url => $api->url(), certs => $certs }, [ 'static', 'demo' ]);
is($run->{code}, 1, 'without the name: an API that knows no such path');
like($run->{stderr}, qr/404/, 'words');

is(scalar(grep { $_->{event} eq 'died' } $api->events()), 0,
    'nothing odd was asked') or diag(explain($api->events('died')));

$api->stop();
finish();
