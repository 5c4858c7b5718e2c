#!/usr/bin/perl

# Users see what the machines' own policies leave out: the filter in force
# stands at each interface of the merged file, and a message says in words
# what exclude_filter and max_snaplen take away.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Cli;
use PcapTest::Lab;
use PcapTest::Traffic qw(marker);

my $lab = hosts_lab(conf => { exclude_filter => 'port 5353',
    max_snaplen => 96 });
my $nginx = $lab->{nginx};
my $to = $lab->{addr}[1];


# What Wireshark's tools say of the filters in a file.
sub seen_by_tools
{
    my ($bytes) = @_;

    my $file = spew(work_dir() . '/seen.pcapng', $bytes);
    my $info = qx(capinfos $file 2>&1);
    my $frame = qx(tshark -r $file -c 1 -V 2>/dev/null);

    return ($info, $frame);
}


# --- real agents ----------------------------------------------------------

for my $filter ('', 'udp', 'not (port 9)') {
    (my $query = $filter) =~ s/ /%20/g;

    my $c = $nginx->get("/v1/capture/static/demo?interface=eth0"
        . "&filter=$query");
    status_is($c, 200, $filter);
    marker(ns => 'web0', to => $to, id => 1, port => $_) for 5353, 5354;
    wait_seen($c, 1, 0, 2);
    stop_capture($lab, $c);

    my $file = capture_ok($c, status => 'stopped', name => "'$filter'");
    my $own = '\(not \(\(tcp and .*\)\)\)';
    my $last = $filter ? ' and \(' . quotemeta($filter) . '\)' : '';

    for my $i (@{ $file->{ifaces} }) {
        like($i->{filter}, qr/^\0$own and \(not \(port 5353\)\)$last$/,
            "'$filter': in force at $i->{name}");
    }

    has_message($file, 'POLICY', "web/$_", qr/^this\ machine's\ policy\ leaves
        \ out\ packets:\ \(port\ 5353\)\ and\ cuts\ packets\ to\ 96\ bytes$/x)
        for 0, 1;

    my ($info, $frame) = seen_by_tools($c->{body});

    like($info, qr/\(not \(port 5353\)\)/, 'capinfos shows it');
}

# what is asked for is not more than what is let out
my $c = $nginx->get('/v1/capture/static/demo?interface=eth0&snaplen=96');
status_is($c, 200, 'a short snaplen');
marker(ns => 'web0', to => $to, id => 2, port => 5354);
wait_seen($c, 2, 0, 2);
stop_capture($lab, $c);
has_message(capture_ok($c, status => 'stopped', name => 'a short snaplen'),
    'POLICY', 'web/0',
    qr/^this machine's policy leaves out packets: \(port 5353\)$/);

# classic pcap has no place for any of it
$c = $nginx->get('/v1/capture/static/demo?interface=eth0&format=pcap'
    . '&filter=udp');
status_is($c, 200, 'pcap');
marker(ns => 'web0', to => $to, id => 3, port => 5354);
wait_seen($c, 3, 0, 2);
stop_capture($lab, $c);
is(unpack('V', $c->{body}), 0xa1b23c4d, 'a file as ever');
unlike($c->{body}, qr/5353/, 'without a word of it');

# the command line prints the message and keeps the filter
my $run = cli_start({ url => "https://localhost:8443",
    certs => $lab->{certs} }, [ qw(static demo --yes -i eth0 -f udp --duration
    1s -o seen.pcapng) ], env => { PCAP_TOKEN => 'good' });

cli_end($run);
is($run->{code}, 0, 'pcap-cli') or diag($run->{stderr});
like($run->{stderr}, qr/^web\/$_:\ POLICY:\ this\ machine's\ policy\ leaves\ out
    \ packets:\ \(port\ 5353\)/mx, "told of web/$_") for 0, 1;

my ($info) = seen_by_tools(slurp("$run->{dir}/seen.pcapng"));

is(scalar(() = $info =~ /\(not \(port 5353\)\) and \(udp\)/g), 2,
    'both are in its file');

agents_quiet('policy', @{ $lab->{agents} });

finish();
