# Whose verdict counts: two servers of one nginx name their endpoints alike,
# and one forgets to verify its endpoint.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


# An API at another port whose endpoint is asked with these lines.
sub server
{
    my ($port, $endpoint) = @_;

    my $cert = work_dir() . '/certs/front';

    return <<EOF_CONF;
    server {
        listen $port ssl;
        ssl_certificate $cert.crt;
        ssl_certificate_key $cert.key;
        error_page 401 503 /_pcap_problem;
        location /v1/ {
            pcap_api on;
            pcap_api_introspection /_pcap_introspect;
            pcap_api_static demo web/0 127.1.0.1:9494;
        }
        location = /_pcap_problem { internal; pcap_api_problem; }
        location = /_pcap_introspect {
            internal;
            $endpoint
        }
    }
EOF_CONF
}


my $lab = lab(fakes => 1, script => sub { $_[0]->usual(1) }, nginx => {
    http => server(8451, 'default_type application/json;'
            . ' return 200 \'{"active":false}\';')
        . server(8452, 'proxy_pass https://127.0.0.1:8444/introspect;'
            . ' proxy_method POST; proxy_set_body token=$pcap_token;'
            . ' proxy_pass_request_headers off; proxy_set_header Content-Type'
            . ' application/x-www-form-urlencoded;'
            . ' proxy_set_header Authorization "Basic '
            . 'cGNhcDpwY2FwLXNlY3JldA==";')
        . server(8453, 'default_type application/json; return 200 \''
            . '{"active":true,"user_id":"user-alice","sub":"user-alice",'
            . '"user_name":"alice","scope":"pcap.capture pcap.admin"}\';'),
    server => '' });
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my $path = '/v1/capture/static/demo';

my $c = $nginx->get($path);

status_is($c, 200, 'the first server knows the token');
stop_capture($lab, $c);
capture_ok($c, status => 'stopped', name => 'first');

problem_is($nginx->fetch($path, port => 8451), 401, undef,
    'its verdict is not the second one\'s');
problem_is($nginx->fetch($path, port => 8452), 503, qr/proxy_ssl_verify on/,
    'an endpoint that is not verified is not believed');

# --- whose capture --------------------------------------------------------

$c = $nginx->get($path);

my $id = capture_id($c);

problem_is($nginx->fetch("/v1/captures/$id", port => 8453,
    method => 'DELETE'), 404, undef,
    'not of who has the same id elsewhere, and is admin there');
problem_is($nginx->fetch("$path?continues=$id", port => 8453), 404,
    qr/continues/, 'who cannot go on with it');

ok($nginx->reload(), 'a reload');
is($nginx->fetch("/v1/captures/$id", method => 'DELETE')->{status}, 202,
    'its user can, after a reload too');
$c->read_end(10);
capture_ok($c, status => 'stopped', name => 'its own');
agents_quiet('all', $fake);

finish();
