# A successor takes the place of its predecessor where all places are taken.
# That is no way to more captures than the limits say: the place is given back
# when the successor ends, whichever way, and a predecessor that is left to run
# is ended after 60 s. That is waited for, at the end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Lab;


my $lab = lab(fakes => 1, script => sub {
    my ($c) = @_;

    $c->begin();
    $c->stay(200, sub { $c->traffic(1) });
    $c->end();
}, nginx => {
    workers => 2, zone => 'pcap_api_zone pcap 8m; pcap_api_max_captures 3;',
    limits => 'pcap_api_max_captures_per_user 2;', listen => 'reuseport',
    allow => [ qr/\[alert\].*exited on signal 9/ ] });
my $nginx = $lab->{nginx};
my $path = '/v1/capture/static/demo';
my $yours = qr/of yours run already: "pcap_api_max_captures_per_user" is 2$/;


sub run_one
{
    my ($name, $query, %o) = @_;

    my $c = $nginx->get($path . ($query || ''), %o);

    status_is($c, 200, $name);

    return $c;
}


sub refused
{
    my ($name, %o) = @_;

    problem_is($nginx->fetch($path . ($o{query} || ''),
        token => $o{token} || 'good'), 429, $o{detail} || $yours, $name);
}


sub end_all
{
    my (@all) = @_;

    $_->vanish() for @all;
    given_back($lab, @all);
}


sub after { return '?continues=' . capture_id($_[0]) }


sub worker_of
{
    my $id = capture_id($_[0]);

    return wait_for(5, sub { ($nginx->log()
        =~ /(\d+)#\d+: \*\d+ pcap capture $id of \S+ started/)[0] });
}


# One for which $ok; those for which not are ended.
sub run_where
{
    my ($query, $ok) = @_;

    for my $try (1 .. 40) {
        my $c = $nginx->get($path . $query);

        return $c if $c->{status} == 200 && $ok->(worker_of($c));
        end_all($c);
    }

    die "all in one worker\n";
}

# --- successors that end ----------------------------------------------------

my @c = map { run_one("capture $_") } 1, 2;

refused('a third one');

for my $c (@c) {
    my $s = $nginx->fetch($path . after($c) . '&max_packets=1');

    is($s->{status}, 200, 'a successor that ends at once');
    given_back($lab, $s);
    refused('its predecessor has its place again');
}

my $s = run_one('a successor', after($c[0]));

end_all($s);
refused('and has it again when the successor is cut');
$s = run_one('a successor', after($c[0]));
stop_capture($lab, $s);
given_back($lab, $s);
refused('and when it is stopped');

# --- a second one of the same predecessor -----------------------------------

$s = run_one('a first one', after($c[0]));
refused('a second one beside it', query => after($c[0]));
end_all($c[1]);
problem_is($nginx->fetch($path . after($c[0]) . '&instance=x'), 404, qr/x/,
    'a second one, where there is a place, that does not come about');
$c[1] = run_one('it took nothing from the first one');
refused('and one place was all there was');

# --- a successor that has one itself ----------------------------------------

refused('none as long as its predecessor runs', query => after($s));
stop_capture($lab, $c[0]);
given_back($lab, $c[0]);
refused('the place of the predecessor is taken');
$c[0] = $s;
$s = run_one('then it may', after($c[0]));
end_all($c[0]);
$c[0] = $s;
refused('that makes no more places');

# --- the same in all workers ------------------------------------------------

my $bob = run_one("bob's", '', token => 'other');
my $all = qr/^3 captures run already: "pcap_api_max_captures" is 3$/;

refused('a fourth one', detail => $all, token => 'other');
$s = $nginx->fetch($path . after($bob) . '&max_packets=1',
    token => 'other');
is($s->{status}, 200, 'a successor');
given_back($lab, $s);
refused('its predecessor has its place again', detail => $all,
    token => 'other');
end_all($bob);

# --- a successor whose worker dies ------------------------------------------

my $home = worker_of($c[0]);

end_all($c[1]);
$c[1] = run_where('', sub { $_[0] == $home });
$s = run_where(after($c[0]), sub { $_[0] != $home });
kill 'KILL', worker_of($s);
given_back($lab, $s);
refused('the predecessor of one whose worker died has its place again');
ok(wait_for(5, sub { $nginx->workers() == 2 }), 'a new worker is there');

# --- a predecessor that is left to run --------------------------------------

my $id = capture_id($c[0]);

$s = run_one('a successor', after($c[0]));
ok(!$c[0]->gone(50 / limit(1)), 'both run for a while');
$c[0]->read_end(20);
capture_ok($c[0], status => 'stopped', name => 'then the predecessor is ended');

my $doc = decode_json($nginx->fetch("/v1/captures/$id")->{body});

is($doc->{end_reason}, 'continued', 'and it is said why');
cmp_ok(index($c[0]->{body}, 'CAPTURE_STOPPED api: its successor has its'
    . ' place'), '>', 0, 'in the file, too');
refused('no place is free');

my $shown = sub { decode_json($nginx->fetch('/v1/captures/'
    . capture_id($_[0]))->{body})->{state} };

is(join(' ', map { $shown->($_) } $s, $c[1]), 'running running',
    'the others run');
stop_capture($lab, $_) for $s, $c[1];

finish();
