# pcap-cli k8s while a capture streams: a token that ends is got again from
# the plugin (as its expirationTimestamp says) or the file (as the JWT says)
# and handed to the API; what cannot be had any more ends no capture.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use POSIX qw(strftime);
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::BoshStandIn;
use PcapTest::Certs;
use PcapTest::Cli;
use PcapTest::StandIn;

my $certs = PcapTest::Certs->new();
my $v1 = 'client.authentication.k8s.io/v1';
my $number = 0;


# One capture until enough(number of PUTs, folder) is true, or s seconds. user
# is YAML; more: what is done when the stream begins.
sub against
{
    my (%o) = @_;

    my $home = work_dir() . '/home' . ++$number;
    my $api = PcapTest::StandIn->new(certs => $certs, token => [ 'good-token',
        'next-token', $o{token} || () ], put => sub {
        my ($c) = @_;

        $c->send_raw("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        $c->{s}->close();
    }, script => sub {
        my ($c) = @_;

        $c->begin();
        $c->chunk(PcapTest::StandIn::head(2)
            . PcapTest::StandIn::packets(2, 4));
        $o{began}->($home) if $o{began};

        my $end = time() + limit($o{seconds});
        my $n = 4;

        while (time() < $end) {
            $c->chunk(PcapTest::StandIn::packets(2, 2, $n)) or last;
            $n += 2;
            last if $o{enough}->(scalar(() = $c->{api}->events('put')),
                $home);
            select undef, undef, undef, 0.1;
        }

        $c->chunk(PcapTest::StandIn::tail(2, $n, 'complete'));
        $c->end(Status => 'complete', Packets => $n, Dropped => 0);
    });

    mkdir $home;
    $o{before}->($home) if $o{before};
    spew("$home/config", "current-context: c\ncontexts: [{name: c, context:"
        . " {user: u}}]\nusers: [{name: u, user: $o{user}}]\n");

    my $run = cli($api, [ 'k8s', '--json', '-v', '-o', 'x' ], env => {
        KUBECONFIG => "$home/config", PCAP_TOKEN => undef,
        PCAP_CLI_TIME_SCALE => 100 }, seconds => 30);

    my @puts = $api->events('put');

    is(scalar(() = $api->events('died')), 0, "$o{name}: asked nothing odd");
    is($run->{code}, 0, "$o{name}: exit code") or diag($run->{stderr});
    is($run->{json}{status}, 'complete', "$o{name}: status");
    unlike($run->{stderr} . $run->{stdout}, qr/good-token|next-token|SECRET/,
        "$o{name}: no secrets");
    $api->stop();

    return ($run, @puts);
}


# A plugin that counts its runs and does what stands in DIR/first, DIR/later.
sub counting
{
    my ($home, $first, $later) = @_;

    spew("$home/first", $first);
    spew("$home/later", $later);
    spew("$home/plugin", "#!/bin/sh\ncd '$home'\necho x >>runs\n"
        . "[ `wc -l <runs` = 1 ] && . ./first || . ./later\n");
    chmod 0755, "$home/plugin";
}


sub runs
{
    my ($home) = @_;

    return scalar(() = slurp("$home/runs") =~ /x/g);
}


sub cred
{
    my ($token, $seconds) = @_;

    my $at = strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time() + $seconds));

    return qq({"kind":"ExecCredential","apiVersion":"$v1","status":{"token":)
        . qq("$token","expirationTimestamp":"$at"}});
}


my $user = "{exec: {command: ./plugin, apiVersion: $v1,"
    . ' interactiveMode: IfAvailable}}';

my ($run, @puts) = against(name => 'a plugin', user => $user, seconds => 12,
    before => sub { counting($_[0], "echo '" . cred('good-token', 20) . "'",
        "echo '" . cred('next-token', 3600) . "'") },
    enough => sub { $_[0] >= 1 });

is(scalar @puts, 1, 'a plugin: one PUT') or diag($run->{stderr});
is($puts[0]{token}, 'next-token', 'a plugin: with the fresh token');
like($run->{stderr}, qr/fresh token with HTTP 204/, 'a plugin: said with -v');

# it does not say when, and its token does not either: nothing to renew
my $home;

($run, @puts) = against(name => 'no end', user => $user, seconds => 2,
    before => sub { $home = $_[0]; counting($home, "echo '" . (cred(
        'good-token', 0) =~ s/,"exp[^}]*//r) . "'", 'exit 1') },
    enough => sub { 0 });
is(scalar @puts, 0, 'no end: nothing to tell');
is(runs($home), 1, 'no end: run once');

# a plugin that has come to fail, that hangs: the capture goes on
($run, @puts) = against(name => 'fails', user => $user, seconds => 12,
    before => sub { counting($_[0], "echo '" . cred('good-token', 20) . "'",
        'echo logged out >&2; exit 1') },
    enough => sub { runs($_[1]) >= 2 });
is(scalar @puts, 0, 'fails: nothing to tell');
like($run->{stderr}, qr/has failed with exit code 1\n.*it says: logged out/,
    'fails: words');

($run, @puts) = against(name => 'hangs', user => $user, seconds => 12,
    before => sub { counting($_[0], "echo '" . cred('good-token', 20) . "'",
        '[ `wc -l <runs` = 2 ] && exec sleep 1000; echo \''
        . cred('next-token', 3600) . "'") },
    enough => sub { $_[0] >= 1 });
is(scalar @puts, 1, 'hangs: the next try is good') or diag($run->{stderr});
like($run->{stderr}, qr/has not ended within/, 'hangs: words');

# a file that the kubelet has renewed
my $short = PcapTest::BoshStandIn::jwt(exp => int(time()) + 20,
    sub => 'SHORT-SECRET');

($run, @puts) = against(name => 'a file', user => '{tokenFile: token}',
    token => $short, seconds => 12,
    before => sub { spew("$_[0]/token", $short) },
    began => sub { spew("$_[0]/token", 'next-token') },
    enough => sub { $_[0] >= 1 });
is(scalar @puts, 1, 'a file: one PUT') or diag($run->{stderr});
is($puts[0]{token}, 'next-token', 'a file: with the fresh token');

# one that nobody has renewed yet
($run, @puts) = against(name => 'an old file', user => '{tokenFile: token}',
    token => $short, seconds => 3,
    before => sub { spew("$_[0]/token", $short) },
    enough => sub { 0 });
is(scalar @puts, 0, 'an old file: nothing to tell');
like($run->{stderr}, qr/holds the same token still/, 'an old file: with -v');

# a token in the kubeconfig is never another one
($run, @puts) = against(name => 'written', user => "{token: $short}",
    token => $short, seconds => 2, enough => sub { 0 });
is(scalar @puts, 0, 'written: nothing to tell');

# --- a token that is refused when a cut stream is to go on ------------------

my $api = PcapTest::StandIn->new(certs => $certs, token => sub {
    $_[0]{api}->events('cut') ? 'next-token' : 'good-token' }, script => sub {
    my ($c, $r) = @_;

    return $c->usual(2, 10, 'complete')
        if grep { $_->[0] eq 'continues' } @{ $r->{form} };

    # longer than a token is taken for fresh
    $c->begin();
    $c->chunk(PcapTest::StandIn::head(2) . PcapTest::StandIn::packets(2, 4));
    select undef, undef, undef, 1;
    $c->event('cut');
    $c->{s}->close();
});

$home = work_dir() . '/again';
mkdir $home;
counting($home, "echo '" . cred('good-token', 3600) . "'",
    "echo '" . cred('next-token', 3600) . "'");
spew("$home/config", "current-context: c\ncontexts: [{name: c, context:"
    . " {user: u}}]\nusers: [{name: u, user: $user}]\n");
$run = cli($api, [ 'k8s', '--json', '-v', '-o', 'x' ], env => {
    KUBECONFIG => "$home/config", PCAP_TOKEN => undef,
    PCAP_CLI_TIME_SCALE => 100 }, seconds => 30);
is($run->{code}, 3, 'refused after a cut: a gap') or diag($run->{stderr});
is($run->{json}{parts}, 2, 'refused after a cut: it goes on');
is(runs($home), 2, 'refused after a cut: the plugin has run again');
unlike($run->{stderr} . $run->{stdout}, qr/good-token|next-token/,
    'refused after a cut: no secrets');
is(scalar(() = $api->events('died')), 0,
    'refused after a cut: asked nothing odd');
$api->stop();

finish();
