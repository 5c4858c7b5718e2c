# PcapTest::Nginx: one nginx with the module under test. The configuration
# is that of docs/DIRECTIVES.md, with places where a test adds or replaces
# lines. The end of each test wants an error log without alert, crit and
# emerg, except for the patterns a test has named.

package PcapTest::Nginx;

use strict;
use warnings;

use MIME::Base64 qw(encode_base64);
use Test::More;
use PcapTest;
use PcapTest::Client;

our %AGENT_LOCATION = (
    proxy_pass                    => 'https://$pcap_agent_addr$pcap_agent_uri',
    proxy_http_version            => '1.1',
    proxy_buffering               => 'off',
    proxy_buffer_size             => '64k',
    proxy_buffers                 => '4 64k',
    proxy_busy_buffers_size       => '128k',
    proxy_next_upstream           => 'off',
    proxy_pass_request_headers    => 'off',
    proxy_pass_request_body       => 'off',
    'proxy_set_header Host'       => '$pcap_agent_addr',
    proxy_ignore_headers          => 'X-Accel-Redirect X-Accel-Expires'
        . ' X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset Expires'
        . ' Cache-Control Set-Cookie Vary',
    proxy_intercept_errors        => 'off',
    proxy_socket_keepalive        => 'on',
    proxy_connect_timeout         => '5s',
    proxy_read_timeout            => '15s',
    proxy_ssl_verify              => 'on',
    proxy_ssl_verify_depth        => '2',
    proxy_ssl_server_name         => 'on',
    proxy_ssl_name                => '$pcap_agent_name',
    proxy_ssl_protocols           => 'TLSv1.2 TLSv1.3',
);


# A test asks more in a second than any user; limits.t has the defaults.
our $LIMITS = 'pcap_api_max_captures_per_user 200;'
    . ' pcap_api_request_rate 1000 burst=10000;'
    . ' pcap_api_user_rate 1000 burst=10000;';


# Options: certs; groups ([group, instance, address:port, tls_name]);
# pcap (directives in /v1/); main, events, http, server (lines); agent (hash
# over %AGENT_LOCATION, undef removes); listen (its parameters); api_cert,
# agents_ca, uaa_ca, uaa_name (file names, names); basic (client
# credentials); check (the line with the token check); uaa_port; workers;
# level; limits (lines instead of those above); allow (list of patterns that
# the error log may hold); conns; store (a PcapTest::Store, or what has its
# socket, folder and api); store_args (more of pcap_api_store).
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { workers => 1, level => $ENV{TEST_NGINX_LEVEL}
        || 'info', port => 8443, uaa_port => 8444, allow => [], %o,
        dir => work_dir() . '/nginx' . ++$number }, $class;

    mkdir $self->{dir};
    mkdir "$self->{dir}/logs";
    chmod 0755, $self->{dir}, "$self->{dir}/logs";

    return $self;
}


sub file
{
    my ($self, $name) = @_;

    return "$self->{dir}/$name";
}


sub agent_location
{
    my ($self) = @_;

    my $certs = $self->{certs};
    my %all = (%AGENT_LOCATION,
        proxy_ssl_trusted_certificate =>
            $certs->file($self->{agents_ca} || 'ca.crt'));

    if (!exists $self->{api_cert} || $self->{api_cert}) {
        my $name = $self->{api_cert} || 'api';
        $all{proxy_ssl_certificate} = $certs->file("$name.crt");
        $all{proxy_ssl_certificate_key} = $certs->file("$name.key");
    }

    %all = (%all, %{ $self->{agent} || {} });

    return join "\n", map { "            $_ $all{$_};" }
        grep { defined $all{$_} } sort keys %all;
}


# What is needed of the store: a listener, what is asked, what is sent.
sub store_lines
{
    my ($self) = @_;

    my $store = $self->{store} or return ('', '', '');

    return ("listen unix:$store->{api};",
        'pcap_api_store /_pcap_store files=/_pcap_files/ '
        . join(' ', "folder=$store->{folder}", $self->{store_args} || ()) . ';',
        <<EOF_CONF);
        location = /_pcap_store {
            internal;
            scgi_pass unix:$store->{socket};
            scgi_param SCGI 1;
            scgi_param REQUEST_METHOD \$pcap_store_method;
            scgi_param REQUEST_URI \$pcap_store_uri;
            scgi_param PCAP_BODY \$pcap_store_body;
            scgi_pass_request_headers off;
            scgi_pass_request_body off;
            scgi_buffering off;
            scgi_connect_timeout 2s;
            scgi_read_timeout 5s;
        }

        location /_pcap_files/ {
            internal;
            alias $store->{folder}/;
        }
EOF_CONF
}


sub config
{
    my ($self) = @_;

    my $certs = $self->{certs};
    my $static = join "\n", map { "            pcap_api_static $_->[0]"
        . " $_->[1] $_->[2]" . ($_->[3] ? " tls_name=$_->[3]" : '') . ';' }
        @{ $self->{groups} || [] };
    my $basic = encode_base64($self->{basic} || 'pcap:pcap-secret', '');
    my $module = tool('module');
    my %o = map { $_ => defined $self->{$_} ? $self->{$_} : '' }
        qw(main events http server pcap listen);
    my $agent = $self->agent_location();
    my $front = $certs->file('front');
    my $uaa_ca = $certs->file($self->{uaa_ca} || 'ca.crt');
    my $uaa_name = $self->{uaa_name} || 'uaa.test';
    my $conns = $self->{conns} || 1024;
    my $check = $self->{check} || 'pcap_api_introspection /_pcap_introspect;';
    my $zone = $self->{zone} || 'pcap_api_zone pcap 8m;';
    my $limits = defined $self->{limits} ? $self->{limits} : $LIMITS;
    my ($listen, $store, $locations) = $self->store_lines();

    return <<EOF_CONF;
load_module $module;
user nobody nogroup;
daemon off;
worker_processes $self->{workers};
pid $self->{dir}/nginx.pid;
error_log $self->{dir}/logs/error.log $self->{level};
$o{main}
events { worker_connections $conns; $o{events} }
http {
    log_format pcap '\$status \$request_method \$uri \$pcap_capture_id'
        ' \$pcap_user \$pcap_status \$pcap_packets \$pcap_dropped'
        ' \$pcap_request_id \$body_bytes_sent';
    access_log $self->{dir}/logs/access.log pcap;
    client_body_temp_path $self->{dir}/body;
    proxy_temp_path $self->{dir}/proxy;
    fastcgi_temp_path $self->{dir}/fastcgi;
    uwsgi_temp_path $self->{dir}/uwsgi;
    scgi_temp_path $self->{dir}/scgi;
    $zone
    $limits
    $o{http}

    server {
        listen $self->{port} ssl http2 $o{listen};
        $listen
        server_name localhost;
        ssl_certificate $front.crt;
        ssl_certificate_key $front.key;
        error_page 400 401 403 404 405 411 413 414 415 416 421 429 431 494 495
            496 497 500 501 502 503
            504 505 /_pcap_problem;
        large_client_header_buffers 8 32k;
        client_max_body_size 64k;
        $o{server}

        location /v1/ {
            pcap_api on;
            $check
            $store
$static
            $o{pcap}
        }

        location = /_pcap_problem { internal; pcap_api_problem; }

$locations

        location = /_pcap_introspect {
            internal;
            proxy_pass https://127.0.0.1:$self->{uaa_port}/introspect;
            proxy_method POST;
            proxy_set_body token=\$pcap_token;
            proxy_pass_request_headers off;
            proxy_set_header Content-Type application/x-www-form-urlencoded;
            proxy_set_header Accept application/json;
            proxy_set_header Authorization "Basic $basic";
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate $uaa_ca;
            proxy_ssl_server_name on;
            proxy_ssl_name $uaa_name;
            proxy_http_version 1.1;
            proxy_connect_timeout 3s;
            proxy_read_timeout 5s;
        }

        location = /_pcap_token_keys {
            internal;
            proxy_pass https://127.0.0.1:$self->{uaa_port}/token_keys;
            proxy_method GET;
            proxy_pass_request_headers off;
            proxy_pass_request_body off;
            proxy_set_header Accept application/json;
            proxy_set_header If-None-Match \$pcap_keys_etag;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate $uaa_ca;
            proxy_ssl_server_name on;
            proxy_ssl_name $uaa_name;
            proxy_http_version 1.1;
            proxy_connect_timeout 3s;
            proxy_read_timeout 5s;
        }

        location = /_pcap_agent {
            internal;
$agent
        }
    }
}
EOF_CONF
}


sub write_config
{
    my ($self) = @_;

    spew($self->file('nginx.conf'), $self->config());
}


# As when the machine went down: nothing is tidied up, its socket stays.
sub crash
{
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    # the master first: it would begin a worker for each that dies
    my @workers = children($pid);

    kill 'KILL', $pid, @workers;
    wait_exit($pid, 5);
    wait_for(5, sub { !grep { alive($_) } @workers });
    unlink $self->{store}{api} if $self->{store};
}


# What `nginx -t` says about this configuration: ( ok, text ).
sub test_config
{
    my ($self) = @_;

    $self->write_config();

    my @cmd = (tool('nginx'), '-t', '-p', $self->{dir}, '-c',
        $self->file('nginx.conf'), '-e', $self->file('logs/test.log'));
    my $text = `@cmd 2>&1`;

    return ($? == 0, $text);
}


sub start
{
    my ($self) = @_;

    $self->write_config();
    $self->{pid} = spawn("nginx", [ tool('nginx'), '-p', $self->{dir}, '-c',
        $self->file('nginx.conf'), '-e', $self->file('logs/error.log') ],
        out => $self->file('logs/stderr.log'));

    my $up = wait_for(10, sub {
        return -1 if !alive($self->{pid});
        return $self->workers() >= $self->{workers};
    });

    if (!$up || $up < 0) {
        die "nginx did not start:\n" . slurp($self->file('logs/stderr.log'))
            . $self->log();
    }

    at_end(sub { $self->stop() if $self->{pid}; $self->check_log() });

    return $self;
}


sub workers { my ($self) = @_; return children($self->{pid}) }


sub log { my ($self) = @_; return slurp($self->file('logs/error.log')) }


sub access
{
    my ($self) = @_;

    return slurp($self->file('logs/access.log'));
}


# When this returns, new workers are there and old ones accept nothing more;
# they may still be at work.
sub reload
{
    my ($self) = @_;

    my %old = map { $_ => 1 } $self->workers();

    $self->write_config();
    kill 'HUP', $self->{pid};

    return wait_for(10, sub {
        my ($new, $busy) = (0, 0);

        for my $p (procs()) {
            next if $p->[1] != $self->{pid};
            $new++ if !$old{ $p->[0] };
            $busy++ if $old{ $p->[0] } && $p->[3] !~ /shutting down/;
        }

        return $new >= $self->{workers} && !$busy;
    });
}


sub stop
{
    my ($self, $signal) = @_;

    my $pid = delete $self->{pid} or return;

    return stop_child($pid, $signal || 'TERM', 10);
}


sub check_log
{
    my ($self) = @_;

    my @bad = grep { /\[(?:alert|crit|emerg)\]/ } split /\n/, $self->log()
        . slurp($self->file('logs/stderr.log'));

    for my $allowed (@{ $self->{allow} }) {
        @bad = grep { $_ !~ $allowed } @bad;
    }

    is(join("\n", @bad), '', 'error log has no alert, crit, emerg');

    # a token or a packet must never stand in a log
    my @leaks = grep { /bearer (?!TOKEN)\S/i || /PCAPTEST/
        || /token=\w/ }
        split /\n/, $self->log()
        . $self->access();

    is(join("\n", @leaks), '', 'no token and no packet in the logs');
}


# A request with the ordinary token; returns the client with its header read.
sub get
{
    my ($self, $path, %o) = @_;

    my $c = PcapTest::Client->new($path, port => $self->{port}, token =>
        'good', ca => $self->{certs}->file('ca.crt'), %o);

    $c->read_header($o{header_seconds} || 15) if !$o{no_wait};

    return $c;
}


# The same, read to its end: for answers that are not captures.
sub fetch
{
    my ($self, $path, %o) = @_;

    my $c = $self->get($path, %o);

    $c->read_end($o{seconds} || 15);

    return $c;
}


1;
