# The directives about nodes and peers with wrong values: nginx -t fails and
# says what is allowed, or what is missing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;
use PcapTest::Node;


my $certs = PcapTest::Certs->new();


sub config_says
{
    my ($name, $want, %o) = @_;

    my ($ok, $text) = node(certs => $certs, n => 1, nodes => [1, 2],
        no_start => 1, %o)->test_config();

    if (!defined $want) {
        ok($ok, "$name: fine") or diag($text);
        return;
    }

    ok(!$ok, "$name: refused");
    like($text, qr/$want/, "$name: says why");
}


# The usual configuration, with one thing changed in its text.
sub changed_says
{
    my ($name, $want, $from, $to) = @_;

    no warnings 'redefine';
    my $usual = \&PcapTest::Nginx::config;
    local *PcapTest::Nginx::config = sub {
        my $text = $usual->(@_);

        if ($text =~ /pcap_api_node/) {
            ok($text =~ s/$from/$to/, "$name: changed");
        }

        return $text;
    };

    config_says($name, $want);
}


config_says('the usual', undef);
config_says('no peers', undef, nodes => []);
config_says('itself among them', undef, nodes => [1]);

changed_says('peers without a node', '"pcap_api_peer" needs "pcap_api_node"',
    'pcap_api_node \d+;', '');

for my $n ('-1', '65536', 'x', '') {
    changed_says("node \"$n\"", 'pcap_api_node" directive takes 0 to 65535'
        . '|invalid number of arguments', 'pcap_api_node 1;',
        "pcap_api_node $n;");
    changed_says("peer \"$n\"", '65535 as number|number of arguments',
        'pcap_api_peer 2 ', "pcap_api_peer $n ");
}

changed_says('node 65535', undef, 'pcap_api_node 1;', 'pcap_api_node 65535;');
changed_says('node twice', 'duplicate', 'pcap_api_node 1;',
    'pcap_api_node 1; pcap_api_node 1;');
config_says('peer twice', 'names a node twice', peers =>
    'pcap_api_peer 2 127.0.0.1:1; pcap_api_peer 2 127.0.0.2:1;');
config_says('too many peers', 'more than 64', peers => join ' ',
    map { "pcap_api_peer $_ 127.0.0.1:$_;" } 10 .. 74);
config_says("peer $_->[0]", $_->[1], peers => "pcap_api_peer 2 $_->[0];")
    for [ 'api.example.com:1', 'literal address' ],
    [ '127.0.0.1', '1 to 65535' ], [ '127.0.0.1:0', '1 to 65535' ],
    [ '127.0.0.1:1 name=x', 'takes "tls_name=NAME"' ],
    [ '127.0.0.1:1 tls_name=', 'takes "tls_name=NAME"' ];
config_says('another name', undef,
    peers => 'pcap_api_peer 2 [::1]:1 tls_name=pcap-api-2;');

changed_says('peers URI', 'URI of an internal', 'pcap_api_peers /_pcap_peer',
    'pcap_api_peers https://x');
changed_says('peer without peers', '"pcap_api_peer" needs "pcap_api_peers"',
    'pcap_api_peers /_pcap_peer;', '');
changed_says('peers without environment',
    '"pcap_api_peers" needs "pcap_api_environment"',
    'pcap_api_environment demo; pcap_api_peers', 'pcap_api_peers');
changed_says('environment "a b"', 'takes a name', 'pcap_api_environment demo',
    'pcap_api_environment "a b"');
changed_says('environment twice', 'duplicate', 'pcap_api_environment demo;',
    'pcap_api_environment demo; pcap_api_environment x;');
changed_says('forwarded maybe', 'pcap_api_forwarded', 'pcap_api_forwarded on',
    'pcap_api_forwarded maybe');
changed_says('forwarded without environment',
    '"pcap_api_forwarded on" needs "pcap_api_environment"',
    'pcap_api_forwarded on; pcap_api_environment demo;',
    'pcap_api_forwarded on;');

for my $verify ('off', 'optional', 'optional_no_ca') {
    changed_says("forwarded, $verify",
        '"pcap_api_forwarded on" needs "ssl_verify_client on"',
        'ssl_verify_client on', "ssl_verify_client $verify");
}

# the examples, put together as they say themselves
my $dir = work_dir() . '/example';

mkdir $dir;

for my $name (qw(front pcap-api ca uaa-ca peers-ca peer peer-client)) {
    spew("$dir/$name.crt", slurp($certs->file('front.crt')));
    spew("$dir/$name.key", slurp($certs->file('front.key')));
}

spew("$dir/uaa-client.conf", 'proxy_set_header Authorization "Basic eDp5";');

my %text;

for my $name (qw(pcap-api pcap-api-peers pcap-api-peer-location)) {
    $text{$name} = slurp(root_dir() . "/examples/$name.conf");
    $text{$name} =~ s{/etc/pcap|/var/log/nginx}{$dir}g;
    $text{$name} =~ s{\buaa\.example\.com/}{127.0.0.1/}g;
    spew("$dir/$name.conf", $text{$name});
}

my @lines = $text{'pcap-api-peers'} =~ /^#   (\w.*)$/mg;

is(scalar @lines, 5, 'the lines that the public server needs');
$text{'pcap-api'} =~ s/(pcap_api +on;)/$1 @lines[0 .. 3]/;
$text{'pcap-api'} =~ s/(location \/v1\/)/$lines[4]\n$1/;
mkdir "$dir/logs";
spew("$dir/nginx.conf", 'load_module ' . tool('module') . ";\npid $dir/pid;\n"
    . "error_log $dir/log;\nevents {}\nhttp {\n$text{'pcap-api'}\n"
    . "$text{'pcap-api-peers'}\n}\n");

my @cmd = (tool('nginx'), '-t', '-p', "$dir/", '-c', "$dir/nginx.conf", '-e',
    "$dir/log");
my $said = `@cmd 2>&1`;

is($?, 0, 'nginx takes the examples') or diag($said);

finish();
