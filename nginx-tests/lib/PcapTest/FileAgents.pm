# PcapTest::FileAgents: agents of nodes that serve files and nothing else, as
# fast as sendfile() does: an nginx over mTLS, as strict as an agent, node N at
# 127.1.0.N. What an agent does wrong is for PcapTest::Fake.

package PcapTest::FileAgents;

use strict;
use warnings;

use File::Path qw(make_path);
use PcapTest;


# Options: certs; port.
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { port => 9494, %o,
        dir => work_dir() . '/files' . ++$number }, $class;

    make_path("$self->{dir}/data");
    chmod 0755, $self->{dir}, "$self->{dir}/data";
    spew("$self->{dir}/nginx.conf", $self->config());
    $self->start();
    at_end(sub { stop_child($self->{pid}) });

    return $self;
}


sub config
{
    my ($self) = @_;

    my $certs = $self->{certs};
    my ($agent, $ca) = map { $certs->file($_) } 'agent', 'ca.crt';

    return <<EOF_CONF;
user nobody nogroup;
daemon off;
worker_processes 1;
pid $self->{dir}/pid;
error_log $self->{dir}/error.log warn;
events { worker_connections 512; }
http {
    log_format asked '\$server_addr \$status \$bytes_sent \$request';
    access_log $self->{dir}/access.log asked;
    default_type application/vnd.tcpdump.pcap;
    sendfile on;
    server_tokens off;
    server {
        listen $self->{port} ssl;
        ssl_certificate $agent.crt;
        ssl_certificate_key $agent.key;
        ssl_client_certificate $ca;
        ssl_verify_client on;
        client_body_temp_path $self->{dir}/body;
        proxy_temp_path $self->{dir}/proxy;
        fastcgi_temp_path $self->{dir}/fastcgi;
        uwsgi_temp_path $self->{dir}/uwsgi;
        scgi_temp_path $self->{dir}/scgi;
        if (\$ssl_client_s_dn != "CN=pcap-api") { return 403; }
        if (\$request_method != GET) { return 405; }
        if (\$http_authorization) { return 400; }
        if (\$http_cookie) { return 400; }
        location /v1/files/ { root $self->{dir}/data/\$server_addr; }
        location / { return 404; }
    }
}
EOF_CONF
}


sub start
{
    my ($self) = @_;

    $self->{pid} = spawn('files', [ tool('nginx'), '-p', $self->{dir}, '-c',
        "$self->{dir}/nginx.conf", '-e', "$self->{dir}/error.log" ]);
    wait_for(10, sub { children($self->{pid}) })
        or die "no file agents:\n" . slurp("$self->{dir}/error.log");
}


sub addr { my ($self, $n) = @_; return "127.1.0.$n:$self->{port}" }


# Where node $n keeps a file of a capture.
sub path
{
    my ($self, $n, $capture, $file) = @_;

    my $dir = "$self->{dir}/data/127.1.0.$n/v1/files/$capture";

    make_path($dir);

    return "$dir/$file";
}


sub put
{
    my ($self, $n, $capture, $file, $bytes) = @_;

    return spew($self->path($n, $capture, $file), $bytes);
}


# What was asked: "ADDRESS STATUS BYTES REQUEST".
sub asked
{
    my ($self) = @_;

    return split /\n/, slurp("$self->{dir}/access.log");
}


1;
