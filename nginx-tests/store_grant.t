# POST /v1/captures up to the store, and the store's way back by a grant. The
# store is a stand-in here that says what a test wants; with the real one it
# goes on in store.t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use PcapTest::Lab;
use PcapTest::StoreStub;
use POSIX qw(setgid setuid);
use Time::HiRes qw(time);


my $stub = PcapTest::StoreStub->new();
my $lab = lab(fakes => 2, nginx => { workers => 2, store => $stub,
    server => 'location = /metrics { pcap_api_metrics on; }',
    allow => [ qr/connect\(\) to unix:/ ],
    pcap => 'pcap_api_store_max_retention 2d; pcap_api_trusted_routers'
    . ' 127.0.0.1; pcap_api_max_duration 1h;' },
    script => sub { $_[0]->usual(2) });
my ($nginx, $fake, $uaa) = @$lab{qw(nginx fake uaa)};

my %usual = (resolver => 'static', target => 'demo', options =>
    { duration => '20s', filter => 'tcp port 80', reason => 'ticket 7',
    interface => ['eth0'], snaplen => 96 }, retention => '36h');

sub post
{
    my ($doc, %o) = @_;

    return $nginx->get('/v1/captures', json => ref $doc ? encode_json($doc)
        : $doc, no_wait => 1, %o);
}


sub refused_with
{
    my ($doc, $status, $like, $name, %o) = @_;

    my $c = post($doc, %o);

    $c->read_end(10);
    is($c->{status}, $status, "$name: $status") or diag($c->{body});
    is($c->header('content-type'), 'application/problem+json',
        "$name: a problem");
    like(eval { decode_json($c->{body})->{detail} } // '', $like,
        "$name: says what");
}


# What somebody gets on the unix socket, as that user: status line and rest.
sub by_socket
{
    my ($path, %o) = @_;

    my $s = IO::Socket::UNIX->new(Peer => $stub->{api})
        or return "no socket: $!";

    syswrite $s, ($o{method} || 'GET') . " $path HTTP/1.1\r\nHost: localhost"
        . "\r\nConnection: close\r\n" . ($o{head} || '') . "\r\n";

    return $s if $o{open};

    my ($text, $end) = ('', time() + limit(10));

    while (time() < $end && IO::Select->new($s)->can_read(0.5)) {
        last if !sysread $s, $text, 65536, length $text;
        last if $text =~ /\r\n\r\n/;
    }

    return $text;
}


# The same by a child that is nobody, as the workers are; the first bytes.
sub as_nobody
{
    my ($path, %o) = @_;

    our $number;

    my $file = work_dir() . '/answer' . ++$number;

    my $pid = fork_child('nobody', sub {
        my ($uid, $gid) = (getpwnam 'nobody')[2, 3];

        open my $out, '>', $file or die "$file: $!\n";
        setgid($gid);
        setuid($uid);

        my $s = by_socket($path, open => 1, %o);
        my $end = time() + limit(20);

        while (time() < $end && sysread $s, my $part, 65536) {
            syswrite $out, $part;
        }
    });

    return ($pid, $file);
}


# Nobody can have what this request has granted.
sub grant_gone
{
    my ($h, $name) = @_;

    my ($pid, $file) = as_nobody("/v1/grants/$h->{doc}{grant}");

    wait_exit($pid, 5) // stop_child($pid, 'KILL', 5);
    like(slurp($file), qr{^HTTP/1\.1 404 }, "$name: its grant is gone");
}


# --- what is refused before anybody is asked --------------------------------

my %o = %{ $usual{options} };

for my $case (
    [ '', qr/JSON object/, 'nothing' ],
    [ '[1]', qr/JSON object/, 'an array' ],
    [ '{"resolver":"static"', qr/JSON object: /, 'cut' ],
    [ '{"resolver":"static","resolver":"cf"}', qr/duplicate/, 'twice' ],
    [ { %usual, shape => 1 }, qr/member "shape"/, 'an unknown member' ],
    [ { %usual, resolver => 'k8s' }, qr/one of: static/, 'a resolver' ],
    [ { %usual, resolver => 'bosh' }, qr/one of: static/, 'not configured' ],
    [ { %usual, target => '' }, qr/"target"/, 'no target' ],
    [ { %usual, target => 'x' x 256 }, qr/"target"/, 'a long target' ],
    [ { %usual, target => [] }, qr/"target"/, 'a list' ],
    [ { %usual, options => 1 }, qr/"options"/, 'options' ],
    [ { %usual, options => { %o, color => 'x' } }, qr/"color"/, 'unknown' ],
    [ { %usual, options => { %o, duration => {} } }, qr/"duration"/,
        'an object as a value' ],
    [ { %usual, options => { %o, duration => [ '1s', '2s' ] } },
        qr/given twice/, 'a single option twice' ],
    [ { %usual, options => { %o, snaplen => 0 } }, qr/"snaplen"/, 'snaplen' ],
    [ { %usual, options => { %o, duration => '2h' } },
        qr/pcap_api_max_duration/, 'above a limit' ],
    [ { %usual, options => { filter => 'tcp' } }, qr/needs a limit/,
        'no limit' ],
    [ { %usual, options => { %o, continues => 'a' x 32 } }, qr/continues/,
        'a predecessor' ],
    [ { %usual, retention => '49h' }, qr/pcap_api_store_max_retention/,
        'too long' ],
    [ { %usual, retention => 0 }, qr/1 s to 30 d/, 'for no time' ],
    [ { %usual, retention => 'long' }, qr/1 s to 30 d/, 'no time' ],
    [ { %usual, retention => [] }, qr/1 s to 30 d/, 'a list as retention' ],
) {
    refused_with($case->[0], 400, $case->[1], $case->[2]);
}

refused_with(\%usual, 401, qr/./, 'no token', token => undef);
refused_with(\%usual, 401, qr/./, 'a bad token', token => 'bad');
refused_with({ %usual, target => 'none' }, 404, qr/none/, 'no such group');
refused_with('x' x 70000, 413, qr/./, 'a long body');

my $c = $nginx->fetch('/v1/captures', form => 'resolver=static');

is($c->{status}, 415, 'a form is not taken');

$c = $nginx->fetch('/v1/captures?x=1', json => encode_json(\%usual));
is($c->{status}, 400, 'options in the query neither');

ok(!$stub->pending(0.1), 'the store was not asked');

# --- what the store is told --------------------------------------------------

$c = post(\%usual, headers => [ [ 'X-Forwarded-For', '192.0.2.77' ] ]);

my $h = $stub->asked();
my $doc = $h->{doc};

is($h->{REQUEST_METHOD} . ' ' . $h->{REQUEST_URI}, 'POST /captures',
    'the question');
is($h->{first}, 'CONTENT_LENGTH', 'SCGI: the length is first');
is($h->{SCGI}, 1, 'SCGI: its version');
like($doc->{id}, qr/^[0-9a-f]{32}$/, 'an id');
like($doc->{grant}, qr/^[0-9a-f]{64}$/, 'a grant');
like($doc->{owner}, qr/^[0-9a-f]{64}$/, 'an owner, as a digest');
is("$doc->{host} $doc->{path}", 'localhost /v1/grants/', 'where it is good');
is($doc->{retention}, 36 * 3600, 'the retention in seconds');
is_deeply({ map { $_ => $doc->{about}{$_} } qw(resolver target filter reason
    snaplen target_count client format) }, { resolver => 'static', target =>
    'demo', filter => 'tcp port 80', reason => 'ticket 7', snaplen => 96,
    target_count => 2, client => '192.0.2.77', format => 'pcapng' },
    'what it is about');
unlike($h->{raw}, qr/good|bearer/i, 'no token');

my $id = $doc->{id};

say_it($h, '201 Created', record($doc));
$c->read_end(5);

is($c->{status}, 202, 'accepted') or diag($c->{body});
is($c->header('location'), "/v1/captures/$id", 'Location');

my $answer = decode_json($c->{body});

is($answer->{id}, $id, 'the id');
is($answer->{state}, 'starting', 'it starts');
is($answer->{stored}{file_url}, "/v1/captures/$id/file", 'file_url');
ok($answer->{own}, 'own');
ok(!exists $answer->{env} && !exists $answer->{grant}, 'nothing secret');

# --- the way back ------------------------------------------------------------

my $path = "/v1/grants/$doc->{grant}";

like(by_socket($path), qr{^HTTP/1\.1 404 }, 'root is not the store');
$c = $nginx->fetch($path);
is($c->{status}, 404, 'over TCP it is nothing');

my ($pid, $file) = as_nobody('/v1/grants/' . 'a' x 64);

wait_exit($pid, 5) // stop_child($pid, 'KILL', 5);
like(slurp($file), qr{^HTTP/1\.1 404 .*no such grant}s, 'a guess');

($pid, $file) = as_nobody($path);
ok(wait_for(5, sub { -s $file && length slurp($file) > 4000 }),
    'the capture runs');

my $text = slurp($file);

like($text, qr{^HTTP/1\.1 200 OK\r\n}, 'it is answered');
like($text, qr{^X-Pcap-Capture-Id: $id\r$}m, 'by the id that was promised');

my ($again, $other) = as_nobody($path);

wait_exit($again, 5) // stop_child($again, 'KILL', 5);
like(slurp($other), qr{^HTTP/1\.1 404 }, 'once, and never again');

# it is a capture as any other: shown, with what the store says of it
$c = $nginx->get("/v1/captures/$id", no_wait => 1);
$h = $stub->asked();
is("$h->{REQUEST_METHOD} $h->{REQUEST_URI}", "GET /captures/$id",
    'the store is asked about it');
say_it($h, '200 OK', record($doc, state => 'running', bytes => 5));
$c->read_end(5);
$answer = decode_json($c->{body});
is($answer->{state}, 'running', 'it runs');
is($answer->{stored}{bytes}, 5, 'and is stored');
is($answer->{client}, '192.0.2.77', 'for the one who asked');
is_deeply($answer->{limits}, { duration_s => 20 }, 'with his limits');

# without the store it is known all the same
$c = $nginx->get("/v1/captures/$id", no_wait => 1);
$h = $stub->asked();
close delete $h->{socket};
$c->read_end(5);
is($c->{status}, 200, 'shown without the store');

# the list: both, once
$c = $nginx->get('/v1/captures', no_wait => 1);
$h = $stub->asked();
like($h->{REQUEST_URI}, qr{^/captures\?owner=$doc->{owner}$},
    'the list: of the owner');
say_it($h, '200 OK', { captures => [ record($doc, state => 'running'),
    record({ %$doc, id => '0' x 31 . '1' }, state => 'stored', bytes => 77,
    file => '0' x 31 . '1.pcapng', status => 'limit', ended => 1700000000,
    expires => 1700000100, sha256 => 'a' x 64),
    record({ %$doc, id => '0' x 31 . '2', owner => 'f' x 64 }),
    record({ %$doc, id => '0' x 31 . '3' }, file => '../etc/passwd'),
    record({ %$doc, id => '0' x 31 . '5' }, gone => 1 << 60),
    record({ %$doc, id => '0' x 31 . '6' }, bytes => 'many'),
    record({ %$doc, id => '0' x 31 . '7' }, sha256 => "a\r\nX: y"),
    record({ %$doc, id => '0' x 31 . '4', about => { env => 'f' x 64 } }),
    { id => 'x' } ], truncated => JSON::PP::false });
$c->read_end(5);
$answer = decode_json($c->{body});
is(join(' ', sort map { $_->{id} } @{ $answer->{captures} }),
    join(' ', sort $id, '0' x 31 . '1'), 'running and stored, each once');

my ($old) = grep { $_->{id} eq '0' x 31 . '1' } @{ $answer->{captures} };

is_deeply($old->{stored}, { state => 'stored', bytes => 77, sha256 =>
    'a' x 64, expires => '2023-11-14T22:15:00Z', file_url =>
    '/v1/captures/' . '0' x 31 . '1/file' }, 'what is stored of it');
is("$old->{state} $old->{status} $old->{ended}",
    'ended limit 2023-11-14T22:13:20Z', 'and how it ended');

$c = $nginx->get('/v1/captures', no_wait => 1);
$h = $stub->asked();
close delete $h->{socket};
$c->read_end(5);
$answer = decode_json($c->{body});
is(scalar @{ $answer->{captures} }, 1, 'without the store: what runs');
like($answer->{unreachable}[0]{detail}, qr/store/, 'and that it failed');

$c = $nginx->fetch("/v1/captures/$id", method => 'DELETE');
is($c->{status}, 202, 'it can be stopped');
ok(defined wait_exit($pid, 10), 'and ends');
like(slurp($file), qr/X-Pcap-Status: stopped\r\n/, 'with its trailers');

# --- what does not work ------------------------------------------------------

for my $case ([ '429 No', 429, qr/your quota/ ], [ '507 No', 507,
    qr/your quota/ ], [ '503 No', 503, qr/your quota/ ],
    [ '500 No', 503, qr/does not take/ ], [ '409 No', 503,
    qr/does not take/ ])
{
    $c = post(\%usual);
    $h = $stub->asked();
    say_it($h, $case->[0], { detail => 'your quota' });
    $c->read_end(5);
    is($c->{status}, $case->[1], "$case->[0] of the store");
    like($c->{body}, $case->[2], "$case->[0]: why");
    grant_gone($h, $case->[0]);
}

for my $case ([ 'garbage', 'garbage' ], [ 'an array', [] ], [ 'another one',
    { id => 'a' x 32 } ])
{
    $c = post(\%usual);
    $h = $stub->asked();
    say_it($h, '201 Created', $case->[1]);
    $c->read_end(5);
    is($c->{status}, 503, "$case->[0]: 503") or diag($c->{body});
    grant_gone($h, $case->[0]);
}

$c = post(\%usual);
$h = $stub->asked();
syswrite $h->{socket}, "Status: 201 Created\r\nContent-Length: 100\r\n\r\n{";
close delete $h->{socket};
$c->read_end(5);
is($c->{status}, 503, 'cut: 503');

# stopped before the store has come for it
$c = post(\%usual);
$h = $stub->asked();
say_it($h, '201 Created', record($h->{doc}));
$c->read_end(5);
$uaa->token('eve', scope => ['pcap.capture'], user_name => 'eve',
    user_id => 'user-eve', sub => 'user-eve');
is($nginx->fetch("/v1/captures/$h->{doc}{id}", method => 'DELETE',
    token => 'eve')->{status}, 404, 'not yet begun: not for others to stop');
is($nginx->fetch("/v1/captures/$h->{doc}{id}", method => 'DELETE')->{status},
    202, 'not yet begun: stopped');
grant_gone($h, 'not yet begun');

# nobody waits for the 202 any more
$c = post(\%usual);
$h = $stub->asked();
$c->vanish();
ok(wait_for(5, sub { $nginx->access() =~ m{^499 POST /v1/captures}m }),
    'the client has gone');
grant_gone($h, 'its client gone');
close delete $h->{socket};

# the store has come for it, but does not say so: nobody knows of it
$c = post(\%usual);
$h = $stub->asked();
($pid, $file) = as_nobody("/v1/grants/$h->{doc}{grant}");
ok(wait_for(5, sub { -s $file }), 'taken before the answer');
$c->read_end(10);
is($c->{status}, 503, 'no answer: 503');
ok(defined wait_exit($pid, 10), 'no answer: what runs is ended');
like(slurp($file), qr/X-Pcap-Status: stopped\r\n/, 'no answer: stopped');
close delete $h->{socket};

# a live one of which the store says that it has failed, in its own words
for my $case ([ 429, 429 ], [ 504, 504 ], [ 418, 502 ], [ 401, 502 ],
    [ 599, 502 ], [ undef, 502 ])
{
    my ($said, $status) = @$case;
    my $name = defined $said ? "$said of a store" : 'an older store';

    $c = $nginx->get('/v1/capture/static/demo?store=1&max_packets=1',
        no_wait => 1);
    $h = $stub->asked();
    $doc = $h->{doc};
    say_it($h, '201 Created', record($doc));
    $h = $stub->asked();

    my $rec = record($doc, state => 'failed', answer => $said,
        detail => "no\n2026/01/01 [error] room\x{1b}[2J\x{2028}");

    delete $rec->{answer} if !defined $said;
    say_it($h, '200 OK', $rec);
    $c->read_end(5);
    is($c->{status}, $status, $name);
    is(decode_json($c->{body})->{detail},
        'no 2026/01/01 [error] room?[2J?', "$name: cleaned");
    unlike($nginx->log(), qr{^2026/01/01}m, "$name: one line of the log");
}

# so many at once, and not for ever
my @waiting = map {
    my $c = post(\%usual);
    [ $c, $stub->asked() ];
} 1 .. 8;

refused_with(\%usual, 429, qr/8 captures of yours wait/, 'one too many');

for my $w (@waiting) {
    say_it($w->[1], '507 No', { detail => 'full' });
    $w->[0]->read_end(5);
}

$stub->close();
refused_with(\%usual, 503, qr/store failed/, 'no store');

# --- a grant has its time ----------------------------------------------------

$stub->listen();
$c = post(\%usual);
$h = $stub->asked();
say_it($h, '201 Created', record($h->{doc}));
$c->read_end(5);

my $began = time();

# the zone forgets it by itself: nobody asks in between
select undef, undef, undef, 10.2;
cmp_ok(time() - $began, '>=', 10, 'after 10 s');
($pid, $file) = as_nobody("/v1/grants/$h->{doc}{grant}");
wait_exit($pid, 5) // stop_child($pid, 'KILL', 5);
like(slurp($file), qr{^HTTP/1\.1 404 .*good for 10 s}s, 'it is over');

agents_quiet('the end', $fake);
finish();
