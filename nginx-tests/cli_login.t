# pcap-cli list, show and stop as who is logged in with the bosh CLI (-e) or
# the cf CLI (--cf): stored tokens are taken, refreshed and written back, a
# token that the API refuses is tried once more with a fresh one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::BoshStandIn;
use PcapTest::CfStandIn;
use PcapTest::Cli;
use PcapTest::Lab;


my $lab = lab(fakes => 2, script => sub { $_[0]->usual(2) });
my ($nginx, $uaa, $certs) = @$lab{qw(nginx uaa certs)};

$certs->leaf('director', names => ['localhost'], ips => ['127.0.0.1']);

my $director = PcapTest::BoshStandIn->new(certs => $certs);
my $cf = PcapTest::CfStandIn->new(certs => $certs);
my %api = (url => 'https://localhost:8443', certs => $certs);
my $ended = PcapTest::BoshStandIn::jwt(exp => 1, sub => 'OLD-SECRET');
my $revoked = PcapTest::BoshStandIn::jwt(exp => 4000000000,
    sub => 'REVOKED-SECRET');
my $pem = slurp($certs->file('ca.crt')) =~ s/^/    /gmr;
my $home = work_dir() . '/home';
my %refresh = ('REFRESH-SECRET' => { access_token => 'good-token',
    refresh_token => 'NEXT-SECRET', token_type => 'bearer',
    expires_in => 600 });

$uaa->token('good-token', scope => ['pcap.capture'], user_name => 'alice');
$director->tell(valid => [ 'good-token', $revoked ], refresh => { %refresh });
$cf->tell(valid => [ 'good-token', $revoked ], refresh => { %refresh });
mkdir $_ for $home, "$home/.cf";


# Logged in with that token, in both.
sub login
{
    my ($token) = @_;

    spew("$home/config", "environments:\n- url: https://localhost:25555\n"
        . "  alias: prod\n  ca_cert: |\n$pem"
        . "  access_token_type: bearer\n  access_token: $token\n"
        . "  refresh_token: REFRESH-SECRET\n");
    spew("$home/.cf/config.json", '{"Target":"https://api.sys.test",'
        . "\"AccessToken\":\"bearer $token\","
        . '"RefreshToken":"REFRESH-SECRET","UAAOAuthClient":"cf"}');
}


sub run
{
    return cli(\%api, [@_], env => { PCAP_TOKEN => undef, CF_HOME => $home,
        BOSH_CONFIG => "$home/config",
        SSL_CERT_FILE => $certs->file('ca.crt') });
}


for my $by ([ 'bosh', '-e', 'prod' ], [ 'cf', '--cf' ]) {
    my ($name, @by) = @$by;
    my $file = $name eq 'bosh' ? "$home/config" : "$home/.cf/config.json";

    for my $token ($ended, $revoked) {
        my $how = $token eq $ended ? "$name, a token that has ended"
            : "$name, a token that the API refuses";
        my $c = $nginx->get('/v1/capture/static/demo');
        my $id = capture_id($c);

        login($token);

        my $r = run('list', @by);

        is($r->{code}, 0, "$how: list") or diag($r->{stderr});
        like($r->{stdout}, qr{^$id +running .* static/demo +alice$}m,
            "$how: it is in it");
        unlike($r->{stdout} . $r->{stderr}, qr/SECRET|good-token/,
            "$how: no secrets");
        like(slurp($file), qr/good-token.*NEXT-SECRET/s,
            "$how: what is fresh is written back");

        login($token);
        $r = run('show', $id, @by, '--json');
        is("$r->{code} $r->{json}{id}", "0 $id", "$how: show");
        login($token);
        is(run('stop', @by, $id)->{code}, 0, "$how: stop");
        $c->read_end(10);
        is($c->trailer('x-pcap-status'), 'stopped', "$how: it ends");
    }
}

# --- who is nobody ----------------------------------------------------------

login($ended);
$_->tell(refresh => { 'REFRESH-SECRET' => 'invalid_token' }) for $director,
    $cf;
is(run('list', @$_)->{code}, 4, "@$_: logged out") for [ '-e', 'prod' ],
    ['--cf'];

my $r = run('list');

is($r->{code}, 2, 'no token at all');
like($r->{stderr}, qr/-e NAME takes that of the bosh CLI, --cf that of the cf/,
    'what may be done');
$r = run('list', '--cf', '-e', 'prod');
is($r->{code}, 2, 'both');
like($r->{stderr}, qr/one of them/, 'it says so');
is(run('status', '--cf')->{code}, 2, 'status needs no login');
$r = run('list', '-e', 'nosuch.test');
is($r->{code}, 1, 'no such Director');
agents_quiet('login', $lab->{fake});

finish();
