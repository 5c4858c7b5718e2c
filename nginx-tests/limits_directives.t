# The directives of limits with wrong values: nginx -t fails and says what is
# allowed; with right ones it does not; and the defaults are those that
# docs/DIRECTIVES.md states.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = lab(fakes => 1, script => sub { $_[0]->usual(1) },
    nginx => { limits => '' });


sub config_says
{
    my ($name, $want, %o) = @_;

    my $nginx = PcapTest::Nginx->new(certs => $lab->{certs}, limits => '',
        groups => [ [ 'demo', 'web/0', '127.1.0.1:9494', 'pcap-agent' ] ],
        %o);
    my ($ok, $text) = $nginx->test_config();

    if (!defined $want) {
        ok($ok, "$name: fine") or diag($text);
        return;
    }

    ok(!$ok, "$name: refused");
    like($text, $want, "$name: says why");
}


# What each takes: the level, values that are wrong, what is said of them,
# values that are right.
my $count = '1 to 100000, or "off"';
my $time = '100ms to 30d, or "off"';
my $bytes = '4k to 100g bytes per second, or "off"';
my $rate = '1 to 100000 requests per second, or "off"';
my @cases = (
    [ 'max_captures', 'http', [ 0, -1, 'many', 100001 ], $count,
        [ 1, 'off' ] ],
    [ 'max_captures_per_user', 'pcap', [ 0, '1.5', 100001 ], $count,
        [ 1, 'off' ] ],
    [ 'max_duration', 'pcap', [ 0, '99ms', '31d', 'soon' ], $time,
        [ '100ms', '30d', 'off' ] ],
    [ 'idle_timeout', 'pcap', [ 0, 'never' ], $time, [ '5m', 'off' ] ],
    [ 'max_bytes', 'pcap', [ 0, '-1', 'big', '8388609g' ],
        '1 to 2^53 bytes, or "off"', [ 1, '10g', 'off' ] ],
    [ 'max_packets', 'pcap', [ 0, '1k', '9007199254740993' ],
        '1 to 2^53, or "off"', [ 1, 'off' ] ],
    [ 'bandwidth', 'pcap', [ 0, '4095', '101g', 'fast' ], $bytes,
        [ '4k', '100g', 'off' ] ],
    [ 'worker_bandwidth', 'http', [ 0, 'fast' ], $bytes, [ '1g', 'off' ] ],
    [ 'worker_cpu', 'http', [ '4%', '101%', '80', '%', 'x%' ],
        '5% to 100%, or "off"', [ '5%', '100%', 'off' ] ],
    [ 'request_rate', 'pcap', [ 0, 'x', 100001 ], $rate,
        [ 1, '5 burst=1', 'off' ] ],
    [ 'request_rate', 'pcap', [ '5 burst=0', '5 boost=1', '5 burst=',
        'off burst=1' ], 'burst=1 to burst=1000000|1 to 100000', [] ],
    [ 'user_rate', 'pcap', [ 0, 'x' ], $rate, [ 1, '5 burst=1', 'off' ] ],
    [ 'failed_token_cost', 'pcap', [ 0, 1001, 'off' ], '1 to 1000',
        [ 1, 1000 ] ],
    [ 'max_snaplen', 'pcap', [ 0, 262145, 'x' ], '1 to 262144, or "off"',
        [ 1, 'off', '96 bosh cf k8s', 'off static' ] ],
    [ 'max_snaplen', 'pcap', [ '96 kube', '96 static web' ],
        'static, bosh, cf, k8s', [] ],
    [ 'require_reason', 'pcap', [ 'maybe', 'on off', 'bosh on' ],
        'takes "on", "off" or names of resolvers', [ 'on', 'off', 'cf',
        'bosh cf static' ] ],
    [ 'bosh_exclude', 'pcap', [ '/uaa', 'cf/', 'a/b/c', '"a b"', 'a off b/' ],
        'DEPLOYMENT or DEPLOYMENT/GROUP', [ 'cf', 'cf/*', '*/uaa off/x',
        'off', 'off cf' ] ],
);

for my $case (@cases) {
    my ($name, $level, $wrong, $allowed, $right) = @$case;

    # regular expressions in one of them
    my $want = $allowed =~ /\|/ ? $allowed : quotemeta $allowed;

    config_says("$name $_", qr/$want/, $level => "pcap_api_$name $_;")
        for @$wrong;
    config_says("$name $_", undef, $level => "pcap_api_$name $_;")
        for @$right;
    config_says("$name alone", qr/number of arguments/,
        $level => "pcap_api_$name;") if @$right;
    config_says("$name twice", qr/duplicate/, $level =>
        "pcap_api_$name $right->[0]; pcap_api_$name $right->[0];")
        if @$right && $name ne 'bosh_exclude';
    config_says("$name in a server", qr/not allowed here/,
        server => "pcap_api_$name $right->[0];") if $level eq 'http';
    config_says("$name for all", undef, http => "pcap_api_$name $right->[0];")
        if @$right;
}

config_says('max_snaplen for one twice', qr/duplicate/, pcap =>
    'pcap_api_max_snaplen 96 cf; pcap_api_max_snaplen 97 bosh cf;');
config_says('bosh_exclude in two lines', undef, pcap =>
    'pcap_api_bosh_exclude off; pcap_api_bosh_exclude cf/a b;');
config_says('bosh_exclude off later', qr/in its first line only/, pcap =>
    'pcap_api_bosh_exclude cf; pcap_api_bosh_exclude off;');

# --- the defaults, as far as a client can see them ---------------------------

my $text = slurp(root_dir() . '/docs/DIRECTIVES.md');

for my $case ([ 'max_captures', 200 ], [ 'max_captures_per_user', 10 ],
    [ 'max_duration', '1d' ], [ 'max_bytes', 'off' ],
    [ 'max_packets', 'off' ], [ 'bandwidth', '100m' ],
    [ 'worker_bandwidth', 'off' ], [ 'worker_cpu', '80%' ],
    [ 'idle_timeout', 'off' ], [ 'request_rate', '50 burst=200' ],
    [ 'user_rate', '10 burst=100' ], [ 'failed_token_cost', 10 ],
    [ 'max_snaplen', 'off' ], [ 'require_reason', 'off' ])
{
    ok($text =~ /^\| `pcap_api_$case->[0] [^`]*` \| \Q$case->[1]\E \|/m,
        "docs/DIRECTIVES.md: the default of $case->[0]");
}

my $nginx = $lab->{nginx};
my @all = map { $nginx->get('/v1/capture/static/demo') } 1 .. 10;

is(join(' ', map { $_->{status} } @all), join(' ', (200) x 10),
    'ten captures of a user');
problem_is($nginx->fetch('/v1/capture/static/demo'), 429,
    qr/"pcap_api_max_captures_per_user" is 10$/, 'the eleventh');
is($all[0]->header('x-pcap-limits'), 'duration=86400s bandwidth=104857600',
    'one day, 100 MiB per second');
$_->vanish() for @all;

finish();
