# PcapTest::Node: several nodes of one API: an nginx each, with a zone and a
# number of its own, a listener for its peers, and the lines that name these.

package PcapTest::Node;

use strict;
use warnings;

use Exporter qw(import);
use PcapTest;
use PcapTest::Nginx;

our @EXPORT = qw(node peer_port plain_port);


# Node N listens for clients on 8460 + N, for peers on 8470 + N, and, as nobody
# should, without TLS on 8480 + N.
sub peer_port { my ($n) = @_; return 8470 + $n }
sub plain_port { my ($n) = @_; return 8480 + $n }


sub location
{
    my ($certs, %o) = @_;

    my %line = (
        proxy_pass => 'https://$pcap_peer_addr$pcap_peer_uri',
        'proxy_set_header Host' => '$pcap_peer_addr',
        'proxy_set_header Authorization' => '"bearer $pcap_bearer"',
        'proxy_set_header Accept' => 'application/json',
        'proxy_set_header X-Forwarded-For' => '$pcap_client',
        'proxy_set_header X-Vcap-Request-Id' => '$pcap_request_id',
        'proxy_set_header Range' => '$http_range',
        'proxy_set_header If-Range' => '$http_if_range',
        proxy_pass_request_headers => 'off',
        proxy_pass_request_body => 'off',
        proxy_http_version => '1.1',
        proxy_buffering => 'off',
        proxy_buffer_size => '16k',
        proxy_buffers => '4 16k',
        proxy_busy_buffers_size => '32k',
        proxy_next_upstream => 'off',
        proxy_intercept_errors => 'off',
        proxy_ignore_headers => 'X-Accel-Redirect X-Accel-Expires'
            . ' X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset'
            . ' Expires Cache-Control Set-Cookie Vary',
        proxy_connect_timeout => '2s',
        proxy_read_timeout => '5s',
        proxy_ssl_certificate => $certs->file('api.crt'),
        proxy_ssl_certificate_key => $certs->file('api.key'),
        proxy_ssl_trusted_certificate => $certs->file('ca.crt'),
        proxy_ssl_verify => 'on',
        proxy_ssl_server_name => 'on',
        proxy_ssl_name => '$pcap_peer_name',
        %o,
    );

    return 'location = /_pcap_peer { internal; '
        . join(' ', map { "$_ $line{$_};" } grep { defined $line{$_} }
        sort keys %line) . ' }';
}


# Options: n (its number), nodes (numbers of all), peers (lines in place of
# those of nodes), location (hash over the usual lines), forwarded (lines that
# nobody should have at the listener for peers: these make it ask on, or
# capture), and those of PcapTest::Nginx.
sub node
{
    my (%o) = @_;

    my ($certs, $n) = @o{qw(certs n)};
    my $peers = defined $o{peers} ? $o{peers} : join ' ', map {
        "pcap_api_peer $_ 127.0.0.1:" . peer_port($_) . ';' }
        @{ $o{nodes} };
    my $api = $certs->file('api');
    my $ca = $certs->file('ca.crt');
    my ($introspect) = PcapTest::Nginx->new(certs => $certs)->config()
        =~ m{(location = /_pcap_introspect \{.*?\n        \})}s;
    my $server = $o{server} || '';
    my $pcap = $o{pcap} || '';
    my $more = defined $o{forwarded} ? "pcap_api_peers /_pcap_peer; $peers"
        . " $o{forwarded}" : '';
    my $asks = $more ? location($certs) : '';
    my (undef, $store, $files) = PcapTest::Nginx->new(certs => $certs,
        store => $o{store})->store_lines();
    my $listener = 'server { listen 127.0.0.1:' . peer_port($n) . " ssl;"
        . ' listen 127.0.0.1:' . plain_port($n) . ';'
        . " ssl_certificate $api.crt; ssl_certificate_key $api.key;"
        . " ssl_client_certificate $ca; ssl_verify_client on;"
        . ' error_page 400 401 403 404 405 495 496 500 502 503 504'
        . ' /_pcap_problem;'
        . ' location = /_pcap_problem { internal; pcap_api_problem; }'
        . ' location /v1/ { pcap_api on; pcap_api_forwarded on;'
        . ' pcap_api_environment demo;'
        . " pcap_api_introspection_rate 1000;"
        . " pcap_api_introspection /_pcap_introspect; $more $store }"
        . " $introspect $asks $files }";

    my $nginx = PcapTest::Nginx->new(port => 8460 + $n, %o,
        pcap => "pcap_api_environment demo; pcap_api_peers /_pcap_peer;"
            . " $peers $pcap",
        http => "pcap_api_node $n; $listener " . ($o{http} || ''),
        server => location($certs, %{ $o{location} || {} }) . $server);

    return $o{no_start} ? $nginx : $nginx->start();
}


1;
