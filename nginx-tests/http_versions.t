# HTTP/1.0 (no trailers, so no classic pcap), HTTP/1.1 and HTTP/2, each with
# the client that people use.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = lab(fakes => 3, script => sub {
    my ($c) = @_;

    # agent 2 breaks when asked for, once the others have sent something
    if ($c->{n} == 2 || ($c->{args}{filter}[0] || '') eq 'all') {
        if (($c->{args}{filter}[0] || '') ne '') {
            $c->begin();
            $c->stay(0.3, sub { $c->traffic(1) });
            return $c->cut();
        }
    }

    $c->begin();
    $c->traffic(50);
    $c->stay(0.5, sub { $c->traffic(1) });
    $c->end();
});
my ($nginx, $fake) = @$lab{qw(nginx fake)};


# A curl result as something that capture_ok() understands.
sub as_client
{
    my ($r) = @_;

    my $c = bless { status => $r->{status}, body => $r->{body},
        complete => $r->{exit} == 0, fields => {}, trailers => {} },
        'PcapTest::Client';
    my ($head, $rest) = split /\r?\n\r?\n/, $r->{head}, 2;

    for my $line (split /\r?\n/, $head) {
        push @{ $c->{fields}{ lc $1 } }, $2 if $line =~ /^([^:\s]+): (.*)$/;
    }

    for my $line (split /\r?\n/, defined $rest ? $rest : '') {
        $c->{trailers}{ lc $1 } = $2 if $line =~ /^([^:\s]+): (.*)$/;
    }

    return $c;
}


for my $version (qw(http1.1 http2)) {
    my $c = as_client(curl($lab, '/v1/capture/static/demo', "--$version"));

    capture_ok($c, status => 'complete', name => $version,
        packets => { map { ("web/$_->[0]" => $_->[1]) }
        map { [ $_, ($fake->events('sent', $_))[-1]{sent} ] } 0 .. 2 });
    agents_quiet($version, $fake);

    $c = as_client(curl($lab, '/v1/capture/static/demo?format=pcap',
        "--$version"));
    pcap_ok($c, status => 'complete', name => "$version, pcap");

    $c = as_client(curl($lab, '/v1/capture/static/demo?filter=one',
        "--$version"));
    has_message(capture_ok($c, status => 'partial',
        name => "$version, partial"), 'INSTANCE_UNAVAILABLE', 'web/2');

    # all break: curl itself must fail
    my $r = curl($lab, '/v1/capture/static/demo?filter=all', "--$version");

    isnt($r->{exit}, 0, "$version: curl fails when all have failed");
    capture_ok(as_client($r), status => 'error', cut => 1,
        name => "$version, error");
    agents_quiet("$version, error", $fake);
}

# --- two captures in one HTTP/2 connection --------------------------------

my $url = 'https://localhost:8443/v1/capture/static/demo';
my $two = wait_exit(spawn('two', [ 'curl', '-sSN', '--http2', '-Z',
    '--cacert', $lab->{certs}->file('ca.crt'), '-H',
    'Authorization: bearer good', '-o', work_dir() . '/two1.pcapng', $url,
    '-o', work_dir() . '/two2.pcapng', $url ]), 30);

is($two, 0, 'two at once');

for my $n (1, 2) {
    my $v = verdicts_of(PcapTest::Pcapng::parse(slurp(work_dir()
        . "/two$n.pcapng")));
    is($v->{api}{status}, 'complete', "capture $n of two is complete");
}

# --- HTTP/1.0 -------------------------------------------------------------

my $c = $nginx->get('/v1/capture/static/demo', version => '1.0');

status_is($c, 200);
ok(!$c->{chunked}, 'no chunks');
ok($c->gone(10), 'the end of the connection is the end');

my $file = PcapTest::Pcapng::parse($c->{body});
my $v = verdicts_of($file);

is($v->{api}{status}, 'complete', 'the verdict stands in the file');
is($v->{api}{packets}, scalar @{ $file->{packets} }, 'packets');
is(strict_order($file), 0, 'strict order');
tshark_ok(spew(work_dir() . '/http10.pcapng', $c->{body}), 'HTTP/1.0');
problem_is($nginx->fetch('/v1/capture/static/demo?format=pcap',
    version => '1.0'), 406, qr/pcapng|HTTP/, 'pcap over HTTP/1.0');

my $r = curl($lab, '/v1/capture/static/demo', '--http1.0');

is($r->{exit}, 0, 'curl --http1.0');
is(verdicts_of(PcapTest::Pcapng::parse($r->{body}))->{api}{status},
    'complete', 'is complete');

# --- nghttp, another HTTP/2 implementation --------------------------------

my $out = work_dir() . '/nghttp.pcapng';
my $cmd = 'nghttp -H "authorization: bearer good" '
    . "https://localhost:8443/v1/capture/static/demo >$out 2>$out.err";

is(system($cmd), 0, 'nghttp');
is(verdicts_of(PcapTest::Pcapng::parse(slurp($out)))->{api}{status},
    'complete', 'is complete');
agents_quiet('all', $fake);

finish();
