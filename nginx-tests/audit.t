# The audit log: each event leaves its line, and the lines are one chain, for
# all workers, over reload, rotation, restart and workers that die.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Audit;
use PcapTest::Lab;


my $SECRET = 'marker.token-of.alice';

my $dir = work_dir() . '/audit';

mkdir $dir;
chmod 0755, $dir;

my $key = audit_key("$dir/key");
my $log = "$dir/audit.log";
my $state = "$log.state";

# with the filter "deaf" it goes on as if nothing had been said
sub agent
{
    my ($c) = @_;

    return $c->usual(1) if ($c->{args}{filter}[0] || '') ne 'deaf';

    $c->begin();

    while ($c->peer_state() ne 'rst') {
        $c->traffic(1);
        $c->beat();
        select undef, undef, undef, 0.05;
    }
}


# as `nginx -t` leaves it
spew($log, '');
chmod 0644, $log;

my $lab = lab(fakes => 3, script => \&agent, nginx => {
    workers => 3, listen => 'reuseport',
    allow => [ qr/\[alert\].*exited on signal 9/,
    qr/\[emerg\].*cannot reach the folder/ ],
    http => "pcap_api_audit $log key=$key; pcap_api_node 700;", pcap =>
    'pcap_api_issuer https://uaa.test/oauth/token; pcap_api_stop_timeout 60s;'
    . ' pcap_api_trusted_routers 127.0.7.0/24;' });
my ($nginx, $uaa) = @$lab{qw(nginx uaa)};
my $path = '/v1/capture/static/demo';

$uaa->token($SECRET, scope => ['pcap.capture'], user_name => "al\x{1}\"ice");
$uaa->token('boss', scope => ['pcap.admin'], user_name => 'root', user_id =>
    'u-9', sub => 'u-9');


# The lines of that event, once there are $n of them.
sub events
{
    my ($event, $n, @files) = @_;

    my @found;

    wait_for(5, sub {
        (@found = grep { $_->{event} eq $event }
            audit_lines(@files ? @files : $log)) >= $n });

    return @found;
}


sub chain_ok
{
    my ($name, @files) = @_;

    @files = ($log) if !@files;

    my ($exit, $text) = audit_verify('--key', $key, reverse @files);

    is(audit_chain($key, \@files), '', "$name: one chain");
    is($exit, 0, "$name: pcap-cli says so") or diag($text);

    return $text;
}


sub quick_capture
{
    my (%o) = @_;

    my $c = $nginx->get("$path?max_packets=1&instance=web/0", %o);

    $c->read_end(10);

    return $c;
}


is((stat $log)[2] & 0777, 0640, 'the log is not for everybody');
is((stat $state)[2] & 0777, 0600, 'the state is for nobody');
like($nginx->log(), qr/"\Q$log\E" is empty .*: a new chain begins in /,
    'a new chain is told');

# --- every event ----------------------------------------------------------

my $filter = 'udp or "' . '\\"' x 2490 . "\t\xff)";

my $c = $nginx->get("$path?instance=web/0&instance=web/1", token => $SECRET,
    form => 'interface=eth0&interface=eth1&snaplen=77&duration=9s'
    . '&max_bytes=5m&reason=Ticket%20%2242%22%20%5C%20%C3%A9&filter='
    . join('', map { sprintf '%%%02x', ord } split //, $filter),
    headers => [ ['X-Vcap-Request-Id', 'abcd-1234'],
        ['X-Forwarded-For', '9.9.9.9, 198.51.100.7'] ],
    local => '127.0.7.1');

status_is($c, 200, 'a capture');
ok($c->read_until(5, sub { seen_count($c, 1, 3) }), 'it runs');

my $id = capture_id($c);
my ($l) = events('start', 1);

is_deeply([ @$l{qw(seq capture node request_id user_id user issuer server
    client via resolver target targets snaplen reason duration_limit_ms
    max_bytes)} ],
    [ 1, $id, 700, 'abcd-1234', 'u-1', 'al?"ice',
    'https://uaa.test/oauth/token', 'localhost', '198.51.100.7', '127.0.7.1',
    'static', 'demo', 2, 77, "Ticket \"42\" \\ \x{e9}", 9000, 5242880 ],
    'start: fields');
is_deeply([ $l->{instances}, $l->{interfaces} ],
    [ [ 'web/0', 'web/1' ], [ 'eth0', 'eth1' ] ],
    'start: instances and interfaces');
like($l->{time}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    'start: time');
like($l->{env}, qr/^[0-9a-f]{16}$/, 'start: environment');
(my $shown = $filter) =~ tr/\t\xff/ ?/;
is($l->{filter}, $shown, 'start: a filter of 5000 bytes is whole');

is($nginx->fetch("/v1/captures/$id/token", method => 'PUT', token => $SECRET)
    ->{status}, 204, 'a fresh token');
($l) = events('token', 1);
is_deeply([ @$l{qw(seq capture user resolver target label filter)} ],
    [ 2, $id, 'al?"ice', 'static', 'demo', undef, $shown ], 'token: fields');

is($nginx->fetch("/v1/captures/$id", method => 'DELETE', token => 'boss')
    ->{status}, 202, 'stopped by an admin');
$c->read_end(10);
capture_ok($c, status => 'stopped', packets =>
    $lab->{fake}->sent_in($c, 0, 1));

($l) = events('stop', 1);
is_deeply([ @$l{qw(seq capture user client owner resolver target targets
    filter reason)} ], [ 3, $id, 'root', '127.0.0.1', 'al?"ice', 'static',
    'demo', 2, $shown, "Ticket \"42\" \\ \x{e9}" ], 'stop: fields');

($l) = events('end', 1);
is_deeply([ @$l{qw(capture status end_reason packets dropped user target
    filter)} ], [ $id, 'stopped', 'admin', $c->{trailers}{'x-pcap-packets'},
    0, 'al?"ice', 'demo', $shown ], 'end: fields');
is_deeply([ @{ $l->{ledger} }{qw(seen delivered drop_kernel)} ],
    [ ($c->{trailers}{'x-pcap-packets'}) x 2, 0 ], 'end: ledger');
ok($l->{bytes} > 0 && $l->{sent_bytes} > $l->{bytes}
    && $l->{duration_ms} > 0, 'end: bytes and duration');

# one that takes its time to stop is asked twice, that is one event
$c = $nginx->get("$path?instance=web/2&filter=deaf");
$c->read_until(5, sub { seen_count($c, 1, 2) });

my $stops = events('stop', 0);

is($nginx->fetch('/v1/captures/' . capture_id($c), method => 'DELETE')
    ->{status}, 202, 'asked to stop') for 1, 2;
is(scalar(events('stop', $stops + 1)), $stops + 1, 'one line of it');
$c->vanish();
events('end', events('end', 0) + 1);

# --- refusals -------------------------------------------------------------

for my $case (
    [ 401, $path, { token => undef } ],
    [ 401, $path, { token => 'nobody' } ],
    [ 403, $path, { token => 'bare' }, 'alice' ],
    [ 404, '/v1/capture/static/nowhere?snaplen=80', {}, 'alice', 80 ],
    [ 404, '/v1/capture/static/nowhere', {}, 'alice' ],
    [ 400, "$path?snaplen=huge", {} ],
    [ 405, $path, { method => 'PUT' } ],
    [ 401, '/v1/captures', { token => undef } ],
    [ 404, '/v1/captures/' . 'ba' x 16, {}, 'alice' ],
    [ 404, '/v1/captures/' . 'ba' x 16 . '/token', { method => 'PUT' },
        'alice' ],
    [ 404, '/v1/captures/' . 'ab' x 16, { method => 'DELETE' }, 'alice' ])
{
    my ($status, $uri, $o, $user, $snaplen) = @$case;
    my $before = events('refusal', 0);
    my $r = $nginx->fetch($uri, %$o);
    my $doc = decode_json($r->{body});

    $l = (events('refusal', $before + 1))[-1];
    is_deeply([ @$l{qw(http_status detail request_id path user snaplen)} ],
        [ $status, @$doc{qw(detail request_id)}, $uri =~ s/\?.*//r, $user,
        $snaplen ],
        "refusal: $status of $uri");
}

is($l->{capture}, 'ab' x 16, 'refusal: of which capture');

my $lines = audit_lines($log);

$nginx->fetch('/v1/nothing', token => undef);
$nginx->fetch('/v1/status', token => undef);
$nginx->fetch('/elsewhere', token => undef);
is(scalar(audit_lines($log)), $lines, 'what is no API leaves no line');
chain_ok('events');

# --- several workers at once ----------------------------------------------

my $before = audit_lines($log);

# one that is given a fresh token again and again
$c = $nginx->get("$path?instance=web/2");
$c->read_until(5, sub { seen_count($c, 1, 2) });

my $uri = 'https://localhost:8443/v1/captures/' . capture_id($c) . '/token';
my @kids = map { my $n = $_; spawn("fresh$n", [ 'curl', '-s', '-X', 'PUT',
    '--cacert', $lab->{certs}->file('ca.crt'), '-H',
    'Authorization: bearer good', ($uri) x 60 ]) } 1 .. 6;

push @kids, map { fork_child('many', sub { quick_capture() for 1 .. 6 }) }
    1 .. 3;
is(wait_exit($_, 30), 0, 'a client has done its work') for @kids;
$c->vanish(1);
events('end', 20);

my %count;

$count{ $_->{event} }++ for splice @{[ audit_lines($log) ]}, $before;
is_deeply(\%count, { start => 19, end => 19, token => 360 },
    'each event has its line');
chain_ok('three workers at once');

# --- tampering ------------------------------------------------------------

my @whole = map { "$_->{_}\n" } audit_lines($log);
my $head = "$#whole:" . audit_mac($whole[$#whole - 1] =~ s/\n//r);
my $n = @whole;


sub tampered
{
    my ($name, $want, $lines, @args) = @_;

    spew("$dir/tampered", join '', @$lines);

    my ($exit, $text) = audit_verify('--key', $key, @args, "$dir/tampered");

    is($exit, defined $want ? 1 : 0, "$name: exit status") or diag($text);
    like($text, $want || qr/^whole: /m, "$name: says so");
}


tampered('nothing', undef, \@whole, '--head', $head);
tampered('a user', qr/:2: line 2 was changed: its code is wrong$/m,
    [ map { my $t = $_; $t =~ s/"user":"al\?/"user":"eve/ if /"seq":2,/; $t }
    @whole ]);
tampered('a number', qr/:5: line 6 was changed/,
    [ map { s/"seq":5,/"seq":6,/r } @whole ]);
tampered('a code', qr/:7: line 7 was changed/,
    [ map { my $t = $_; $t =~ s/"mac":"(.)/'"mac":"' . ($1 eq '0' || '0')/e
        if /"seq":7,/; $t } @whole ]);
tampered('removed', qr/:9: line 9 is missing in front of line 10$/m,
    [ @whole[0 .. 7, 9 .. $n - 1] ]);
tampered('moved', qr/:10: line 9 was moved/,
    [ @whole[0 .. 7, 9, 8, 10 .. $n - 1] ]);
tampered('doubled', qr/:10: line 9 is there twice/,
    [ @whole[0 .. 8, 8 .. $n - 1] ]);
tampered('cut, no head', undef, [ @whole[0 .. $n - 3] ]);
tampered('cut', qr/--head names line $#whole: its tail was cut/,
    [ @whole[0 .. $n - 3] ], '--head', $head);
tampered('half a line', qr/ends in the middle of a line/,
    [ @whole[0 .. 4], substr $whole[5], 0, 40 ]);
tampered('beginning removed', undef, [ @whole[4 .. $n - 1] ], '--head',
    $head);
tampered('beginning removed', qr/begins with line 5, which is not/,
    [ @whole[4 .. $n - 1] ], '--first', "1:" . ('a' x 64));
my $wrong = audit_key("$dir/wrong", 'z' x 40);

sub useless
{
    my ($name, $want, @args) = @_;
    my ($exit, $text) = audit_verify(@args);

    is($exit, 2, "$name: of no use");
    is($text, "pcap-cli: $want\n", "$name: one line says why");
}


useless('wrong key', 'no line is by this key: is it the right one?', '--key',
    $wrong, $log);
must('sh', '-c', "gzip -c $log >$log.9.gz");
useless('compressed', "$log.9.gz is compressed: give <(zcat FILE) in its place",
    '--key', $key, $log, "$log.9.gz");
unlink "$log.9.gz";
useless('a state alone', "$state is the state beside a log: where is the log?",
    '--key', $key, $state);
useless('an option', 'there is no option --keys; there are: --first, --head,'
    . ' --help, --json, --key', '--keys', $key, $log);
useless('no value', '--key needs a value', $log, '--key');
useless('a value', '--json takes no value', '--json=1', $log);
useless('a folder', "$dir cannot be read", $log, $dir);

my ($verdict, $says) = audit_verify('--key', $key, glob "$log*");

is($verdict, 0, 'a state beside its log is left out');
like($says, qr/^note: \Q$state\E is the state beside a log, and was left out$/m,
    'and a note says so');

my ($last_seq, $last_mac) = split /:/, $head;

for my $line ("pcap_api_audit_head{mac=\"$last_mac\"} $last_seq",
    "{instance=\"a:1\", mac=\"$last_mac\", job=\"p\"}  $last_seq\n")
{
    tampered('a head as the metrics have it', undef, \@whole, '--head', $line);
    tampered('cut', qr/--head names line $last_seq/, [ @whole[0 .. $n - 3] ],
        '--head', $line);
}

useless("--head $_", '--head takes SEQ:MAC, a number and 64 hexadecimal'
    . ' digits, or the line of the metrics', '--head', $_, $log)
    for "{mac=\"$last_mac\"}", "{mac=\"$last_mac\"} x",
    "{mac=\"$last_mac\"} 1e3", '} mac="', "{mac=\"${last_mac}0\"} 1",
    "{mac=\"$last_mac\"} 99999999999999999999999";

spew("$dir/tampered", join '', @whole[1, 3 .. $n - 1]);
($verdict, $says) = audit_verify('--json', '--key', $key, '--head', $head,
    "$dir/tampered");
is($verdict, 1, '--json: exit status');
is_deeply(decode_json($says), { whole => JSON::PP::false, lines => $n - 2,
    first => { seq => 2, prev => audit_mac($whole[0] =~ s/\n//r) },
    last => { seq => $n, mac => audit_mac($whole[-1] =~ s/\n//r) },
    findings_total => 1, findings => [ "$dir/tampered:2: line 3 is missing in"
    . ' front of line 4' ], notes => [ 'the chain begins with line 2, which'
    . ' follows from 1:' . audit_mac($whole[0] =~ s/\n//r) ] }, '--json');
($verdict, $says) = audit_verify('--json', $log);
is($verdict, 0, '--json: whole');
is_deeply([ decode_json($says)->{whole}, scalar @{ decode_json($says)->{notes}
    } ], [ JSON::PP::true, 2 ], '--json: whole, two notes');
like((audit_verify($log))[1], qr/no --key.*^whole/ms, 'without key: a note');

for my $words ([], ['--key', $key], ['--key', "$dir/nokey", $log],
    ['--key', $key, "$dir/nofile"], ['--head', '1:2', $log],
    ['--head', $head, '--head', $head, $log], ['--keys', $key, $log],
    [$log, '--key'], ['--key', '/dev/null', $log], ['--key', $key, $dir])
{
    my ($exit, $text) = audit_verify(@$words);

    is($exit, 2, "of no use: @$words");
    like($text, qr/^pcap-cli: .+\n\z/, 'one line says why');
}

is((audit_verify('--help'))[0], 0, '--help');

# --- rotation under load, reload ------------------------------------------

$c = $nginx->get($path);
$c->read_until(5, sub { seen_count($c, 1, 3) });
@kids = map { fork_child('many', sub { quick_capture() for 1 .. 5 }) }
    1 .. 3;
rename $log, "$log.1";
kill 'USR1', $nginx->{pid};
ok(wait_for(5, sub { -s $log }), 'nginx has a new log');
wait_exit($_, 30) for @kids;
ok(!((stat $log)[2] & 07), 'it is not for everybody');
chain_ok('rotation', $log, "$log.1");

my @old = $nginx->workers();

ok($nginx->reload(), 'reload');
is(quick_capture()->{status}, 200, 'a capture of a new worker');
stop_capture($lab, $c);
events('end', 1);
chain_ok('reload', "$log.1", $log);

# one that nobody has written to yet
rename $log, "$log.0";
kill 'USR1', $nginx->{pid};
ok(wait_for(5, sub { -e $log && (stat _)[4] }), 'a new log, of the workers');
is((stat $log)[2] & 0777, 0640, 'it never was for everybody');
unlink "$log.0" if !-s "$log.0";
quick_capture();
wait_for(5, sub { -s $log });
chain_ok('quiet rotation', grep { -e } "$log.1", "$log.0", $log);
spew("$log.1", slurp("$log.1") . slurp("$log.0"));

# --- a worker that dies ---------------------------------------------------

$c = $nginx->get($path, token => $SECRET);
$c->read_until(5, sub { seen_count($c, 1, 3) });
$id = capture_id($c);
kill 'KILL', $nginx->workers();
$c->gone(5);
$l = wait_for(5, sub {
    (grep { $_->{event} eq 'end' && $_->{capture} eq $id }
    audit_lines($log))[0] }) || {};
is_deeply([ @$l{qw(status end_reason user user_id target resolver)} ],
    [ 'cut', 'worker died', 'al?"ice', 'u-1', 'demo', 'static' ],
    'the end of a dead worker\'s capture');
wait_for(5, sub { $nginx->workers() == 3 });

# one that died while it wrote: before, in the middle of, and behind its line
for my $part ('nothing', 'a part', 'all') {
    my $st = audit_state($state);
    my $next = audit_line($key, $st->{seq} + 1, $st->{mac}) . "\n";
    my $put = $part eq 'nothing' ? '' : $part eq 'all' ? $next
        : substr $next, 0, 100;
    my @stat = stat $log;

    @$st{qw(pending dev ino size len pending_mac)} = (1, @stat[0, 1, 7],
        length $next, audit_mac($next =~ s/\n//r));
    audit_set_state($state, $key, $st);
    open my $fh, '>>', $log or die;
    print $fh $put;
    close $fh;

    is(quick_capture()->{status}, 200, "$part was written: captures go on");
    $l = (grep { $_->{seq} == $st->{seq} + ($part eq 'all' ? 2 : 1) }
        audit_lines($log))[0];
    is($l->{lost}, $part eq 'all' ? undef : 1, "$part was written: the next"
        . ' line says what was lost');
    chain_ok("$part was written", "$log.1", $log);
}

# nobody can tell: the log was rotated at that moment
events('end', 1);

my $st = audit_state($state);

@$st{qw(pending dev ino size len pending_mac)} = (1, 1, 1, 0, 99, 'f' x 64);
audit_set_state($state, $key, $st);
quick_capture();
$l = (grep { $_->{seq} == $st->{seq} + 2 } audit_lines($log))[0] || {};
is($l->{unsure}, $st->{seq} + 1, 'the next line says which may be missing');

my ($exit, $text) = audit_verify('--key', $key, "$log.1", $log);

is($exit, 1, 'that line is missing');
like($text, qr/line @{[ $st->{seq} + 1 ]} is missing/, 'pcap-cli names it');

# --- restart --------------------------------------------------------------

$c = $nginx->get($path);
$c->read_until(5, sub { seen_count($c, 1, 3) });
$nginx->stop('TERM');
$l = (audit_lines($log))[-1];
is_deeply([ @$l{qw(event capture end_reason)} ],
    [ 'end', capture_id($c), 'worker died' ], 'a fast stop ends captures');

my ($seq, $mac) = @$l{qw(seq mac)};
my $from = $log;


# What comes behind $seq:$mac is one chain.
sub goes_on
{
    my ($name) = @_;

    $nginx->start();
    is(quick_capture()->{status}, 200, "$name: captures");
    $nginx->stop('QUIT');

    my @new = grep { $_->{seq} > $seq } audit_lines($log);
    my $part = "$dir/part";

    spew($part, join '', map { "$_->{_}\n" } @new);
    is(audit_chain($key, [$part], $seq, $mac), '', "$name: one chain");
    ($seq, $mac) = @{ $new[-1] }{qw(seq mac)};
}


goes_on('restart');
rename $log, "$log.2";
goes_on('rotated while nginx was down');
unlink $state;
goes_on('without the state');
spew($state, '');
goes_on('with an empty state');
my $early = slurp($state);
goes_on('before the state is put back');
spew($state, $early);
goes_on('with an old state');
open my $fh, '>>', $log or die;
print $fh '{"seq":';
close $fh;
$nginx->start();
quick_capture();
$nginx->stop('QUIT');
($exit, $text) = audit_verify('--key', $key, $log);
is(() = $text =~ /:\d+: /g, 1, 'half a line of nobody spoils no other');
like($text, qr/is no line of an audit log/, 'and stays to be seen');

# --- what refuses a start -------------------------------------------------

sub refuses
{
    my ($name, $directive, $want) = @_;

    local $nginx->{http} = "pcap_api_audit $directive;";

    my ($ok, $out) = $nginx->test_config();

    if (!defined $want) {
        ok($ok, "$name: fine") or diag($out);
        return;
    }

    ok(!$ok, "$name: refused");
    like($out, $want, "$name: says why");
}


my $other = audit_key("$dir/other", 'y' x 32);

refuses('the usual', "$log key=$key");
refuses('another key', "$log key=$other", qr/not written with this key/);
refuses('another key, no state', "$log key=$other state=$dir/none",
    qr/the log .* was not written with this key/);
refuses('a new log and state', "$dir/none key=$other");
is((stat "$dir/none")[2] & 0777, 0640, 'nginx -t: the log it makes');
refuses('only a file', $log, qr/needs "key=FILE"/);

my $closed = "$dir/closed";

mkdir $closed, 0700;
mkdir "$closed/in", 0755;
refuses('a folder of root', "$closed/audit.log key=$key",
    qr/"nobody" cannot reach the folder "$closed\/".*search \(x\)/);
refuses('a folder in one', "$closed/in/audit.log key=$key",
    qr/cannot reach the folder "$closed\/in\/" .*13: Permission denied/);
refuses('no folder', "$dir/nothing/audit.log key=$key",
    qr/cannot open its log .*2: No such file/);
refuses('a state there', "$dir/none key=$other state=$closed/state");
chmod 0710, $closed;
chown 0, scalar getgrnam('nogroup'), $closed;
refuses('a folder of the group', "$closed/audit.log key=$key");
refuses('no key', "$log state=$dir/s", qr/needs "key=FILE"/);
refuses('key is not there', "$log key=$dir/no", qr/cannot be opened/);
refuses('parameter', "$log key=$key keys=1", qr/invalid parameter "keys=1"/);
refuses('failure', "$log key=$key failure=ignore", qr/failure=continue/);
refuses('twice', "$log key=$key; pcap_api_audit $log key=$key",
    qr/duplicate/);
refuses('syslog without state', "syslog:server=unix:$dir/sock key=$key",
    qr/needs "state=FILE"/);
refuses('syslog server', "syslog:facility=user key=$key state=$dir/s",
    qr/no syslog server/);
refuses('short key', "$log key=" . audit_key("$dir/short", 'x' x 31),
    qr/32 to 4096 bytes/);
refuses('long key', "$log key=" . audit_key("$dir/long", 'x' x 4097),
    qr/32 to 4096 bytes/);
chmod 0640, $key;
refuses('key of a group', "$log key=$key");
chmod 0644, $key;
refuses('key of all', "$log key=$key", qr/may be used by others/);
chmod 0600, $key;
spew("$dir/strange", "some other log\n");
refuses('strange log', "$dir/strange key=$key",
    qr/the log .*strange.* was not written with this key/);

# --- no token, no packet --------------------------------------------------

my $all = join '', map { slurp($_) } glob "$log*";

unlike($all, qr{\Q$SECRET\E|bearer (?!TOKEN)|PCAPTEST}i, 'no token, no packet');

finish();
