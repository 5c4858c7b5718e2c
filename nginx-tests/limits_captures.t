# How many captures there may be at once: of one user, and in all workers.
# Places are taken behind the token check, given back at each end, and a
# successor takes the place of its predecessor.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::Lab;


my $lab = lab(fakes => 1, script => sub { $_[0]->usual(1) }, nginx => {
    workers => 2, zone => 'pcap_api_zone pcap 8m; pcap_api_max_captures 5;',
    limits => 'pcap_api_max_captures_per_user 3;',
    pcap => 'pcap_api_introspection_rate 1000 burst=1000;'
        . ' pcap_api_introspection_inflight 100;' });
my ($nginx, $fake, $uaa) = @$lab{qw(nginx fake uaa)};
my $path = '/v1/capture/static/demo';

$uaa->token('third', scope => ['pcap.capture'], user_name => 'carol',
    user_id => 'u-3', sub => 'u-3');


# Captures of a user, all running.
sub run_some
{
    my ($n, $token, $query) = @_;

    my @all = map { $nginx->get($path . ($query || ''), token => $token) }
        1 .. $n;

    is(join(' ', map { $_->{status} || 'none' } @all), join(' ', (200) x $n),
        "$n captures of $token");

    return @all;
}


sub refused
{
    my ($detail, $name, %o) = @_;

    my $r = $nginx->fetch($path . ($o{query} || ''), token => $o{token}
        || 'good');

    problem_is($r, 429, $detail, $name);
    is($r->header('retry-after'), 10, "$name: Retry-After");
}


# Until the places of all these have been given back, which is a moment behind
# what their clients see.
sub end_all
{
    my (@all) = @_;

    $_->vanish() for @all;
    given_back($lab, @all);
}

# What is said to a user of whom $n run.
sub of_user
{
    my ($n) = @_;

    return qr/^\Q$n captures of yours run already:\E
        [ ]"pcap_api_max_captures_per_user"[ ]is[ ]3$/x;
}

# --- of one user ------------------------------------------------------------

my @good = run_some(3, 'good');
my $asked = $fake->events('accepted');

refused(of_user(3), 'the fourth of a user');
is(scalar $fake->events('accepted'), $asked, 'no agent was asked for it');

# a client whose own end was proper, one that was stopped, one that left
stop_capture($lab, $good[0]);
given_back($lab, $good[0]);
$good[0] = (run_some(1, 'good'))[0];
refused(of_user(3), 'the place was given back once');

my $r = $nginx->fetch("$path?duration=50ms", token => 'other');

is($r->{status}, 200, 'another user may');
given_back($lab, $r);
end_all($good[1]);
$good[1] = (run_some(1, 'good'))[0];

# a start that fails gives its place back
end_all($good[2]);
problem_is($nginx->fetch('/v1/capture/static/none'), 404, undef,
    'a failed one') for 1 .. 3;
$good[2] = (run_some(1, 'good'))[0];

# --- in all workers ---------------------------------------------------------

my @other = run_some(2, 'other');

refused(qr/^5 captures run already: "pcap_api_max_captures" is 5$/,
    'the sixth of all', token => 'third');

# --- hand-over: a successor is not refused for its predecessor's sake -------

my $old = capture_id($good[0]);

# one that does not come about gives the place back
problem_is($nginx->fetch("/v1/capture/static/demo?continues=$old&instance=x"),
    404, qr/x/, 'a successor that does not come about');
refused(of_user(3), 'the place is still taken');

my ($next) = run_some(1, 'good', "?continues=$old");

refused(of_user(4), 'no other one beside them');
refused(of_user(4), 'a second successor of the same',
    query => "?continues=$old");
end_all($good[0]);
refused(of_user(3), 'the predecessor has gone, its place is taken');

# now that it has, the successor may have one itself; but what has another
# one's place does not hand it on: more in limits_handover.t
my ($third) = run_some(1, 'good', '?continues=' . capture_id($next));

refused(of_user(4), 'no chain of successors',
    query => '?continues=' . capture_id($third));
end_all($next, $third, @good[1, 2], @other);

# --- unauthenticated clients take no place ----------------------------------

# a token that is known from now on for 10 s, so that it need not wait
$uaa->token('fresh', scope => ['pcap.capture']);
problem_is($nginx->fetch('/v1/capture/static/none', token => 'fresh'), 404,
    undef, 'a user');

my $seen = $uaa->seen();

$uaa->tell(gate => 1);

my @mass = map { $nginx->get($path, token => "guess$_", no_wait => 1) }
    1 .. 12;

ok(wait_for(5, sub { $uaa->seen() >= $seen + 8 }),
    'more ask at once than there are places');
run_some(3, 'fresh');
$uaa->open_gate();
$_->read_header(10) for @mass;
is(scalar(grep { $_->{status} == 401 || $_->{status} == 503 } @mass), 12,
    'none of them was let in');

finish();
