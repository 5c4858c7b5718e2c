# pcap-cli renews its token while a capture streams, hands the fresh one to
# the API, and says nothing where the API does not take it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::BoshStandIn;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::StandIn;


my $certs = PcapTest::Certs->new();

$certs->leaf('director', names => ['localhost'], ips => ['127.0.0.1'],
    issuer => $certs->{wrong_ca});

my $director = PcapTest::BoshStandIn->new(certs => $certs);
my $ca = slurp($certs->file('wrong-ca.crt'));
my $pem = $ca =~ s/^/    /gmr;
my $number = 0;


# One capture that ends when enough(its number of PUTs) is true, or after s.
sub against
{
    my (%o) = @_;

    # good for longer than a login looks ahead, but not for long
    my $short = PcapTest::BoshStandIn::jwt(exp => int(time()) + 33,
        sub => 'SHORT-SECRET');
    my $fresh = $o{fresh} || 'good-token';
    my $base = work_dir() . '/home' . ++$number;
    my $api = PcapTest::StandIn->new(certs => $certs, put => $o{put},
        token => [ $short, $fresh ], script => sub {
        my ($c) = @_;

        $c->begin();
        $c->chunk(PcapTest::StandIn::head(2)
            . PcapTest::StandIn::packets(2, 4));

        my $end = time() + $o{seconds};
        my $n = 4;

        while (time() < $end) {
            $c->chunk(PcapTest::StandIn::packets(2, 2, $n)) or last;
            $n += 2;
            last if $o{enough} && $o{enough}->(scalar(() =
                $c->{api}->events('put')));
            select undef, undef, undef, 0.1;
        }

        $c->chunk(PcapTest::StandIn::tail(2, $n, 'complete'));
        $c->end(Status => 'complete', Packets => $n, Dropped => 0);
    });

    $director->tell(valid => [ $short, $fresh ], refresh => {
        'REFRESH-SECRET' => $o{answer} || { access_token => $fresh,
        refresh_token => 'NEXT-SECRET', token_type => 'bearer',
        expires_in => 120 } });
    mkdir $base;
    spew("$base/config", "environments:\n- url: https://localhost:25555\n"
        . "  alias: prod\n  ca_cert: |\n$pem"
        . "  access_token_type: bearer\n  access_token: $short\n"
        . "  refresh_token: REFRESH-SECRET\n");

    my $run = cli($api, [ 'bosh', '--json', '-v', '-o', 'x' ], env => {
        BOSH_CONFIG => "$base/config", BOSH_ENVIRONMENT => 'prod',
        BOSH_DEPLOYMENT => 'cf', PCAP_TOKEN => undef,
        PCAP_CLI_TIME_SCALE => 100 });

    my @puts = $api->events('put');

    is(scalar(() = $api->events('died')), 0, "$o{name}: asked nothing odd");
    is($run->{code}, 0, "$o{name}: exit code") or diag($run->{stderr});
    is($run->{json}{status}, 'complete', "$o{name}: status");
    unlike($run->{stderr} . $run->{stdout}, qr/good-token|SECRET|\Q$short\E/,
        "$o{name}: no secrets");
    $api->stop();

    # what is said without -v
    $run->{said} = join "\n", grep { !/^pcap-cli: [*<>]|^[*<>]/ }
        split /\n/, $run->{stderr};

    return ($run, @puts);
}


my ($run, @puts) = against(name => 'taken', seconds => 12, put => sub {
    my ($c) = @_;

    $c->send_raw("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    $c->{s}->close();
}, enough => sub { $_[0] >= 1 });

is(scalar @puts, 1, 'taken: one PUT');
is($puts[0]{token}, 'good-token', 'taken: with the fresh token');
like($run->{stderr}, qr/fresh token with HTTP 204/, 'taken: said with -v');

# an older API is told once: this token is always about to run out
my $next = PcapTest::BoshStandIn::jwt(exp => int(time()) + 20,
    sub => 'NEXT-SECRET');

($run, @puts) = against(name => 'older API', seconds => 5, fresh => $next);
is(scalar @puts, 1, 'older API: one try') or diag($run->{stderr});
unlike($run->{said}, qr/404|token/i, 'older API: not a word');

($run, @puts) = against(name => 'refused', seconds => 4, answer =>
    'invalid_token');
is(scalar @puts, 0, 'refused: nothing to tell');
is(scalar(() = $run->{stderr} =~ /does not refresh the token/g), 1,
    'refused: said once');

finish();
