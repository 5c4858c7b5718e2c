# Bench::Nginx: one nginx with one worker on a core of its own. Both sides of
# a comparison run in that same worker with the same buffers and the same
# cipher: the API below /v1/ and, below /proxy/ADDRESS, nginx's own
# unbuffered proxy_pass to one agent. The agents' location is that of
# docs/DIRECTIVES.md with the cipher pinned.

package Bench::Nginx;

use strict;
use warnings;

use Bench::Common;

our $CIPHER = 'TLS_AES_128_GCM_SHA256';
our $SSL_BUFFER = $ENV{BENCH_SSL_BUFFER} || '16256';
our $PORT = 8443;
our $PLAIN = 8080;

# Replayed streams have other times than the machine has.
our $REPLAYS = 'pcap_api_max_clock_skew 0; pcap_api_start_timeout 30s;';


# Options: groups ({ name => [[instance, address:port], ...] }), conns (of a
# worker), workers, listen (more words of it), pcap (lines for the location of
# the API).
sub new
{
    my ($class, %o) = @_;

    my $self = bless { conns => 2048, workers => 1, listen => '',
        pcap => $REPLAYS, %o, dir => scratch() . '/nginx',
        certs => make_certs(), pids => [] }, $class;

    mkdir $self->{dir};
    spew("$self->{dir}/nginx.conf", $self->config());

    return $self;
}


sub leg
{
    my ($self) = @_;

    return <<EOF_LEG;
            proxy_http_version            1.1;
            proxy_buffering               off;
            proxy_buffer_size             64k;
            proxy_buffers                 4 64k;
            proxy_busy_buffers_size       128k;
            proxy_next_upstream           off;
            proxy_pass_request_headers    off;
            proxy_pass_request_body       off;
            proxy_ignore_headers          X-Accel-Redirect X-Accel-Expires
                                          X-Accel-Limit-Rate X-Accel-Charset
                                          X-Accel-Buffering Expires
                                          Cache-Control Set-Cookie Vary;
            proxy_intercept_errors        off;
            proxy_socket_keepalive        on;
            proxy_connect_timeout         5s;
            proxy_read_timeout            15s;
            proxy_ssl_certificate         $self->{certs}/pcap-api.crt;
            proxy_ssl_certificate_key     $self->{certs}/pcap-api.key;
            proxy_ssl_trusted_certificate $self->{certs}/ca.crt;
            proxy_ssl_verify              on;
            proxy_ssl_verify_depth        2;
            proxy_ssl_server_name         on;
            proxy_ssl_protocols           TLSv1.3;
            proxy_ssl_conf_command        Ciphersuites $CIPHER;
EOF_LEG
}


sub static_lines
{
    my ($self) = @_;

    my @lines;

    for my $group (sort keys %{ $self->{groups} }) {
        push @lines, map { "            pcap_api_static $group $_->[0]"
            . " $_->[1] tls_name=pcap-agent;" } @{ $self->{groups}{$group} };
    }

    return join "\n", @lines;
}


sub config
{
    my ($self) = @_;

    my $leg = $self->leg();
    my $static = $self->static_lines();
    my $module = build_file('ngx_pcap_api_module.so');
    my $dir = $self->{dir};
    my $tmp = join "\n", map { "    ${_}_temp_path $dir/tmp;" }
        qw(client_body proxy fastcgi uwsgi scgi);

    return <<EOF_CONF;
load_module $module;
user nobody nogroup;
daemon off;
worker_processes $self->{workers};
worker_rlimit_nofile 8192;
pid $dir/nginx.pid;
error_log $dir/error.log notice;
events { worker_connections $self->{conns}; }
http {
    access_log $dir/access.log;
$tmp
    pcap_api_zone pcap 8m;
    pcap_api_max_captures          off;
    pcap_api_max_captures_per_user off;
    pcap_api_request_rate          off;
    pcap_api_user_rate             off;
    pcap_api_bandwidth             off;
    pcap_api_worker_cpu            off;

    server {
        listen 127.0.0.1:$PORT ssl $self->{listen};
        listen 127.0.0.1:$PLAIN $self->{listen};
        ssl_certificate     $self->{certs}/front.crt;
        ssl_certificate_key $self->{certs}/front.key;
        ssl_protocols       TLSv1.3;
        ssl_buffer_size     $SSL_BUFFER;
        ssl_conf_command    Ciphersuites $CIPHER;

        location /v1/ {
            pcap_api                on;
            pcap_api_introspection  /_pcap_introspect;
            pcap_api_static_scope   off;
            $self->{pcap}
$static
        }

        location = /_pcap_introspect {
            internal;
            proxy_pass                 http://127.0.0.1:8081/introspect;
            proxy_method               POST;
            proxy_set_body             token=\$pcap_token;
            proxy_pass_request_headers off;
        }

        location = /_pcap_agent {
            internal;
            proxy_pass https://\$pcap_agent_addr\$pcap_agent_uri;
            proxy_set_header Host \$pcap_agent_addr;
            proxy_ssl_name \$pcap_agent_name;
$leg
        }

        location ~ ^/proxy/(?<agent>[0-9.:]+)\$ {
            proxy_pass https://\$agent/v1/capture?heartbeat_ms=100;
            proxy_set_header Host \$agent;
            proxy_ssl_name pcap-agent;
$leg
        }
    }

    server {
        listen 127.0.0.1:8081;
        default_type application/json;

        location = /introspect {
            return 200 '{"active":true,"sub":"bench","user_id":"bench",
                         "user_name":"bench","exp":4000000000,
                         "scope":["pcap.capture"]}';
        }
    }
}
EOF_CONF
}


sub start
{
    my ($self) = @_;

    my $dir = $self->{dir};
    my @cmd = (nginx_binary(), '-p', $dir, '-c', "$dir/nginx.conf", '-e',
        "$dir/error.log");

    @cmd = pinned('worker', @cmd) if $self->{workers} == 1;

    $self->{pid} = spawn(\@cmd, err => "$dir/stderr");

    wait_for(10, sub {
        return 1 if !alive($self->{pid});
        @{ $self->{pids} } = grep { slurp("/proc/$_/cmdline")
            =~ /worker process/ } children($self->{pid});
        return @{ $self->{pids} } == $self->{workers};
    });

    die_line("nginx does not start:\n" . slurp("$dir/stderr")
        . slurp("$dir/error.log")) if @{ $self->{pids} } < $self->{workers};

    $self->{worker} = $self->{pids}[0];

    return $self;
}


sub cpu { my ($self) = @_; return run_seconds($self->{worker}) }


# What must not stand in the log of a run that counts.
sub check_log
{
    my ($self) = @_;

    my @bad = grep { /\[(?:warn|error|alert|crit|emerg)\]/ }
        split /\n/, slurp("$self->{dir}/error.log");

    die_line("nginx's error log is not empty:\n" . join("\n", @bad)) if @bad;
}


sub stop_all { my ($self) = @_; stop($self->{pid}, 'TERM') }


1;
