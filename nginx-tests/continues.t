# continues=ID: a capture that takes over from another one of the same user.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = lab(fakes => 1, script => sub { $_[0]->usual(1) },
    nginx => { workers => 2, pcap =>
    'pcap_api_static more web/0 127.1.0.1:9494 tls_name=pcap-agent;' });
my ($nginx, $fake) = @$lab{qw(nginx fake)};
my $path = '/v1/capture/static/demo';

$lab->{uaa}->token('boss', scope => ['pcap.admin'], user_name => 'boss',
    user_id => 'user-boss', sub => 'user-boss');


sub asked { return scalar $fake->events('accepted') }


# The predecessor's id stands in the file and in both lines of the log.
sub continues_ok
{
    my ($id, $name, %o) = @_;

    my $c = $nginx->get("$path?continues=$id", %o);

    status_is($c, 200, $name);
    ok($c->read_until(5, sub { seen_count($c, 0, 3) }), "$name: it runs");

    my $own = capture_id($c);

    stop_capture($lab, $c, %o);

    my $file = capture_ok($c, status => 'stopped', name => $name);

    is((grep { $_ eq "continues: $id" } @{ $file->{shb}{comments} }), 1,
        "$name: in the section header");
    ok(wait_for(3, sub { $nginx->log() =~ /capture $own [^\n]* ended/ }),
        "$name: it ended");
    like($nginx->log(), qr/capture $own [^\n]*started by [^\n]*continues:$id/,
        "$name: start in the log");
    like($nginx->log(), qr/capture $own [^\n]*ended: [^\n]*continues:$id/,
        "$name: end in the log");

    return $own;
}

# --- refused --------------------------------------------------------------

my $unknown = 'a' x 32;

problem_is($nginx->fetch("$path?continues=$unknown"), 404,
    qr/continues.*$unknown/, 'unknown');
problem_is($nginx->fetch($path, form => "continues=$unknown"), 404,
    qr/continues.*$unknown/, 'unknown, as a form');
is(asked(), 0, 'no agent was asked');

# --- own, running; somebody else's ----------------------------------------

my $c = $nginx->get($path);
my $id = capture_id($c);

ok($c->read_until(5, sub { seen_count($c, 0, 3) }), 'a first one runs');

my $before = asked();

problem_is($nginx->fetch("$path?continues=$id", token => 'other'), 404,
    qr/continues.*$id/, "somebody else's, running");
problem_is($nginx->fetch("$path?continues=$id", token => 'boss'), 404,
    qr/continues.*$id/, 'not even for an admin');
is(asked(), $before, 'no agent was asked again');

problem_is($nginx->fetch("/v1/capture/static/more?continues=$id"), 409,
    qr/continues.*$id.*other targets than "more"/, 'own, of another group');
is(asked(), $before, 'no agent was asked for that either');

my $second = continues_ok($id, 'own, running');
my ($seen) = sort { $b <=> $a } ids_of(PcapTest::Pcapng::parse($c->{body},
    partial => 1), 0);

ok($c->read_until(5, sub { seen_count($c, 0, $seen + 20) }),
    'the predecessor still runs');

# --- own, ended: by a stop, by a client that left -------------------------

stop_capture($lab, $c);
capture_ok($c, status => 'stopped', name => 'the first one');
ok(wait_for(3, sub { $nginx->log() =~ /capture $id [^\n]*ended/ }),
    'it has ended');
continues_ok($id, 'own, ended');
continues_ok($second, 'a successor of a successor');
problem_is($nginx->fetch("$path?continues=$id", token => 'other'), 404,
    qr/continues/, "somebody else's, ended");
problem_is($nginx->fetch("/v1/captures/$id", method => 'DELETE'), 404, undef,
    'an ended one cannot be stopped');

$c = $nginx->get($path);
$id = capture_id($c);
ok($c->read_until(5, sub { seen_count($c, 0, 3) }), 'one that is cut');
$c->vanish();
ok(wait_for(5, sub { $nginx->log() =~ /capture $id [^\n]*ended: cut/ }),
    'it was cut');
continues_ok($id, 'own, cut');

# --- over a reload, with the zone and without -----------------------------

ok($nginx->reload(), 'reload');
continues_ok($id, 'over a reload');

$nginx->{zone} = 'pcap_api_zone pcap 4m;';
unlike($nginx->log(), qr/pcap_api_zone/, 'nothing was said of the zone');
ok($nginx->reload(), 'reload with another zone');
like($nginx->log(), qr/\[warn\].*"pcap_api_zone" .* is new: .*captures/,
    'it is said that what was in the old one is lost');
problem_is($nginx->fetch("$path?continues=$id"), 404, qr/continues.*$id/,
    'the row was lost with the zone');

finish();
