# Files that the store has put into S3: through nginx by what the store has
# signed, or by a redirect; never with the client's token. The store is a
# stand-in, S3 a server that shows what it was asked for; with the real ones it
# goes on in interop/store_s3.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Lab;
use PcapTest::StoreStub;


my $stub = PcapTest::StoreStub->new();
my $objects = work_dir() . '/objects';

mkdir $objects;
mkdir "$objects/pcap";
chmod 0755, $objects, "$objects/pcap";

my $log = work_dir() . '/s3.log';
my $lab = lab(fakes => 1, nginx => { store => $stub, store_args =>
    'objects=/_pcap_objects/', http => "log_format s3 '\$request|\$http_host|"
    . "\$http_authorization|\$http_cookie|\$http_range|\$http_x_secret';"
    . 'server { listen 127.0.0.1:9010;'
    . " access_log $log s3; location /bucket/ { alias $objects/;"
    . ' if ($args ~ "Signature=bad") { return 403 "<Error/>"; } } }',
    server => 'location /_pcap_objects/ { internal;'
    . ' proxy_pass http://127.0.0.1:9010/; proxy_buffering off;'
    . ' proxy_pass_request_headers off; proxy_pass_request_body off;'
    . ' proxy_set_header Host s3.test; proxy_set_header Range $http_range;'
    . ' proxy_set_header If-Range $http_if_range; proxy_http_version 1.1;'
    . ' proxy_intercept_errors on; }' },
    script => sub { $_[0]->usual(1) });
my $nginx = $lab->{nginx};
my $at = 'https://s3.test:9000/bucket/pcap/';

$lab->{uaa}->token('boss', scope => ['pcap.admin'], user_name => 'boss',
    user_id => 'user-boss', sub => 'user-boss');

# what the store is told of a capture of ours
my $c = $nginx->get('/v1/captures', json => encode_json({ resolver =>
    'static', target => 'demo', options => { duration => '5s' } }),
    no_wait => 1);
my $h = $stub->asked();
my $doc = $h->{doc};
my $id = $doc->{id};
my $body = join '', map { chr(97 + $_ % 26) } 1 .. 100000;

say_it($h, '201 Created', record($doc));
$c->read_end(5);
spew("$objects/pcap/$id.pcapng", $body);

my $rec = record($doc, state => 'stored', place => 's3', bytes =>
    length $body, ended => 1700000000, expires => 4000000000, sha256 =>
    'b' x 64, file => "$id.pcapng");


# A GET of the file; what the store answers when it is asked for the URL.
sub file
{
    my ($url, %o) = @_;

    my $c = $nginx->get("/v1/captures/$id/file", no_wait => 1, headers =>
        [ [ 'X-Secret', 's' ], [ Cookie => 'a=b' ] ], %o);
    my $h = $stub->asked();

    is("$h->{REQUEST_METHOD} $h->{REQUEST_URI}", "GET /captures/$id",
        'the store is asked for the record');
    say_it($h, '200 OK', $rec);

    if (defined $url) {
        $h = $stub->asked();
        is("$h->{REQUEST_METHOD} $h->{REQUEST_URI}", "GET /captures/$id/url",
            'and for the URL');
        say_it($h, ref $url ? @$url : ('200 OK', { url => $url, expires =>
            1800000000 }));
    }

    $c->read_end(10);

    return $c;
}


# --- through nginx ------------------------------------------------------------

my $url = "$at$id.pcapng?X-Amz-Expires=300&X-Amz-Signature=0123&x=a%2Fb";

$c = file($url);
is($c->{status}, 200, 'the object comes');
is($c->{body}, $body, 'as it is');
is($c->header('x-pcap-sha256'), 'b' x 64, 'with its digest');
ok($c->header('x-vcap-request-id'), 'and the id of the request');

my ($line) = reverse split /\n/, slurp($log);

is($line, "GET /bucket/pcap/$id.pcapng?X-Amz-Expires=300&X-Amz-Signature=0123"
    . '&x=a%2Fb HTTP/1.1|s3.test|-|-|-|-', 'S3 sees what is signed, no more');

$c = file($url, headers => [ [ Range => 'bytes=10-19' ] ]);
is($c->{status} . $c->{body}, 206 . substr($body, 10, 10), 'a range of it');

$c = $nginx->get("/v1/captures/$id/file", method => 'HEAD', no_wait => 1);
say_it($stub->asked(), '200 OK', $rec);
$c->read_header(5);
is($c->{status}, 200, 'HEAD needs no S3');
is($c->header('content-length'), length $body, 'and knows the length');

# --- what S3 or the store do wrong -------------------------------------------

for my $case ([ "$at$id.pcapng?X-Amz-Signature=bad", 403 ],
    [ "${at}none?X-Amz-Signature=1", 404 ],
    [ "$at$id.pcapng", 503 ], [ 'no url', 503 ], [ "$at%2e%2e/x?a=b", 503 ],
    [ "${at}../x?a=b", 503 ], [ [ '200 OK', { expires => 1 } ], 503 ],
    [ [ '200 OK', { url => $url } ], 503 ],
    [ [ '409 Conflict', { detail => 'x' } ], 503 ])
{
    $c = file($case->[0]);
    is($c->{status}, $case->[1], (ref $case->[0] || $case->[0])
        . ": $case->[1]") or diag(substr $c->{body}, 0, 500);
    ok($c->{body} !~ /html|<Error/i, 'no foreign page');
}

# an admin sees it, and reads it not: nobody is asked for a URL
$c = file(undef, token => 'boss');
is($c->{status}, 404, 'an admin does not read');

# --- by a redirect -----------------------------------------------------------

$nginx->{store_args} = 'objects=/_pcap_objects/ download=redirect';
ok($nginx->reload(), 'redirect');
$c = file($url);
is($c->{status}, 302, 'redirected');
is($c->header('location'), $url, 'to the URL');
is($c->header('cache-control'), 'no-store', 'which nobody keeps');
is($c->header('x-pcap-sha256'), 'b' x 64, 'and what the file is to be');


# The document of the capture, with the URL when there is one.
sub shown
{
    my ($with_url, %o) = @_;

    my $c = $nginx->get("/v1/captures/$id", no_wait => 1, %o);

    say_it($stub->asked(), '200 OK', $rec);
    say_it($stub->asked(), '200 OK', { url => $url, expires => 1800000000 })
        if $with_url;
    $c->read_end(5);

    return decode_json($c->{body})->{stored};
}

my $stored = shown(1);

is($stored->{download_url}, $url, 'download_url');
is($stored->{download_expires}, '2027-01-15T08:00:00Z', 'and its expiry');
is(shown(0, token => 'boss')->{download_url}, undef, 'not for an admin');

# --- the directive -----------------------------------------------------------

for my $case ([ 'objects=/x', qr/objects/ ], [ 'objects=', qr/objects/ ],
    [ 'download=both', qr/download=redirect/ ], [ 'user=nobody-here',
    qr/no user/ ], [ 'color=red', qr/files=URI/ ])
{
    my $try = PcapTest::Nginx->new(certs => $lab->{certs}, store => $stub,
        store_args => $case->[0]);
    my ($ok, $text) = $try->test_config();

    ok(!$ok, "$case->[0] is refused");
    like($text, $case->[1], "$case->[0]: says what");
}

finish();
