# PcapTest::Lab: the usual set-up of a test in one call, and the few steps
# that nearly every test takes.

package PcapTest::Lab;

use strict;
use warnings;

use Exporter qw(import);
use JSON::PP;
use Test::More;
use PcapTest;
use PcapTest::Agent;
use PcapTest::Certs;
use PcapTest::Check;
use PcapTest::Client;
use PcapTest::Fake;
use PcapTest::Net;
use PcapTest::Nginx;
use PcapTest::Pcapng ();
use PcapTest::Traffic ();
use PcapTest::Uaa;

our @EXPORT = (qw(lab hosts_lab stop_capture given_back capture_id seen_count
    wait_seen curl id_bytes), @PcapTest::EXPORT, @PcapTest::Check::EXPORT,
    @Test::More::EXPORT);


# Token endpoint, nginx and fake agents web/0 .. web/N-1 as group "demo".
# Options: fakes (N), script, scripts, fake (more for Fake), uaa, nginx
# (options of the same rooms).
sub lab
{
    my (%o) = @_;

    my $certs = $o{certs} || PcapTest::Certs->new();
    my $lab = bless { certs => $certs }, __PACKAGE__;

    $lab->{uaa} = PcapTest::Uaa->new(certs => $certs, %{ $o{uaa} || {} });

    my @groups;

    if ($o{fakes}) {
        $lab->{fake} = PcapTest::Fake->new(certs => $certs,
            script => $o{script}, scripts => $o{scripts},
            %{ $o{fake} || {} });
        @groups = map { $lab->{fake}->target('demo', "web/$_", $_) }
            0 .. $o{fakes} - 1;
    }

    my $nginx = $o{nginx} || {};

    $lab->{nginx} = PcapTest::Nginx->new(certs => $certs, %$nginx,
        groups => [ @groups, @{ $o{groups} || [] },
        @{ $nginx->{groups} || [] } ]);
    $lab->{nginx}->start() if !$o{no_start};

    return $lab;
}


# Two hosts joined by eth0, a real agent on each, group "demo" with web/0
# and web/1. $lab->{addr} holds their addresses on eth0. Options: conf (of
# the agents), nginx.
sub hosts_lab
{
    my (%o) = @_;

    my $certs = PcapTest::Certs->new();
    my $net = PcapTest::Net->new();
    my @hosts = map { $net->host("web$_") } 0, 1;
    my @addr = $net->join_hosts(@hosts);
    my @agents = map { PcapTest::Agent->new(certs => $certs, host => $_,
        conf => $o{conf}) } @hosts;
    my $lab = lab(%o, certs => $certs, groups => [
        (map { $agents[$_]->target('demo', "web/$_") } 0, 1),
        @{ $o{groups} || [] } ]);

    @$lab{qw(net hosts addr agents)} = ($net, \@hosts, \@addr, \@agents);

    return $lab;
}


sub capture_id
{
    my ($c) = @_;

    return $c->header('x-pcap-capture-id');
}


# Stops a capture by DELETE and reads it to its end.
sub stop_capture
{
    my ($lab, $c, %o) = @_;

    my $d = $lab->{nginx}->fetch('/v1/captures/' . capture_id($c),
        method => 'DELETE', %o);

    is($d->{status}, 202, 'DELETE is answered with 202') or diag($d->{body});
    $c->read_end(15);

    return $d;
}


# Until their places have been given back: a moment behind what clients see.
sub given_back
{
    my ($lab, @captures) = @_;
    my @ids = map { capture_id($_) } @captures;

    ok(wait_for(5, sub {
        my $log = $lab->{nginx}->log();
        !grep { $log !~ /pcap capture $_ of demo ended/ } @ids;
    }), 'ended: ' . @captures);
}


sub id_bytes
{
    my ($sender, $seq) = @_;

    return pack 'a8NN', 'PCAPTEST', $sender, $seq;
}


# How often numbered packet $seq of $sender has come so far; looks at each
# byte of the body once.
sub seen_count
{
    my ($c, $sender, $seq) = @_;

    my $needle = id_bytes($sender, $seq);
    my $state = $c->{seen}{"$sender/$seq"} ||= { at => 0, n => 0 };

    while (1) {
        my $at = index $c->{body}, $needle, $state->{at};
        last if $at < 0;
        $state->{n}++;
        $state->{at} = $at + 1;
    }

    my $safe = length($c->{body}) - length $needle;

    $state->{at} = $safe if $safe > $state->{at};

    return $state->{n};
}


sub wait_seen
{
    my ($c, $sender, $seq, $times, $seconds) = @_;

    my $ok = $c->read_until($seconds || 10, sub {
        seen_count($c, $sender, $seq) >= $times
    });

    ok($ok, "packet $seq of $sender has come $times times");

    return $ok;
}


# Runs curl to its end: { exit, status, head, body, err }.
sub curl
{
    my ($lab, $path, @args) = @_;

    our $runs;

    my $base = work_dir() . '/curl' . ++$runs;
    my @cmd = ('curl', '-sS', '-N', '-m', limit(60), '--cacert',
        $lab->{certs}->file('ca.crt'), '-H', 'Authorization: bearer good',
        '-D', "$base.head", '-o', "$base.body", @args,
        "https://localhost:8443$path");
    my $pid = spawn('curl', \@cmd, out => "$base.out", err => "$base.err");
    my $status = wait_exit($pid, 65);

    return { exit => defined $status ? $status >> 8 : -1,
        head => slurp("$base.head"), body => slurp("$base.body"),
        err => slurp("$base.err"),
        status => (slurp("$base.head") =~ m{^HTTP/\S+ (\d+)})[0] };
}


1;
