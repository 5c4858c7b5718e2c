# pcap-cli: how a capture ends, and that the file is a capture whatever
# happens: signals, a reader that leaves, a full disk, a cut or lying
# stream, an API that goes silent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use JSON::PP;
use PcapTest;
use PcapTest::Certs;
use PcapTest::Check;
use PcapTest::Cli;
use PcapTest::Pcapng qw(parse isb epb shb idb);
use PcapTest::StandIn;

my $T = 1_700_000_000_000_000_000;

my ($api, $run, $file);
my $certs = PcapTest::Certs->new();


# Runs pcap-cli against one script. Options: args, delete, cut (the stream
# will be, and that is the end of it), and of cli().
sub against
{
    my ($script, %o) = @_;

    $api->stop() if $api;
    $api = PcapTest::StandIn->new(certs => $certs, script => $script,
        delete => $o{delete});

    my $run = cli_start($api, [ 'static', 'demo', '-o', 'x', '--json',
        $o{cut} ? '--no-reconnect' : (),
        @{ $o{args} || [] } ], %o);

    $o{meanwhile}->($run) if $o{meanwhile};
    cli_end($run, $o{seconds} || 20);

    ok(!$run->{hung}, 'it ends');
    is(scalar(grep { $_->{event} eq 'died' } $api->events()), 0,
        'nothing odd was asked') or diag(explain($api->events('died')));

    return $run;
}


# It has its handler of SIGINT, and waits (interruptibly) in an open(): what
# came before, the shell and the loader, has not both.
sub opens_pipe
{
    my ($pid) = @_;

    my $status = slurp("/proc/$pid/status");
    my ($caught) = $status =~ /^SigCgt:\s+([0-9a-f]+)/m;

    return defined $caught && hex(substr $caught, -8) & 2
        && $status =~ /^State:\s+S/m
        && (slurp("/proc/$pid/wchan") =~ /fifo|wait_for_partner/
            || slurp("/proc/$pid/syscall") =~ /^257 /);
}


sub file_of
{
    my ($run) = @_;

    return eval { parse(slurp("$run->{dir}/x")) }
        || { packets => [], error => $@ };
}


sub begin
{
    my ($c, $n, $count) = @_;

    $c->begin();
    $c->chunk(PcapTest::StandIn::head($n)
        . PcapTest::StandIn::packets($n, $count));
    $c->event('begun');
}


sub signal_at
{
    my ($event, @signals) = @_;

    return sub {
        my ($run) = @_;

        ok($api->wait_event(10, $event), "the API has $event");
        ok(wait_for(5, sub { -s "$run->{dir}/x" }), 'the file grows');

        for my $signal (@signals) {
            kill $signal, $run->{pid};
            wait_for(5, sub { slurp($run->{err}) =~ /quits at once/ });
        }
    };
}


sub endless
{
    my ($c) = @_;

    begin($c, 2, 100);

    my $n = 100;

    while (!$c->{api}->events('delete')) {
        $c->chunk(PcapTest::StandIn::packets(2, 100, $n)) or last;
        $n += 100;
    }

    $c->chunk(PcapTest::StandIn::tail(2, $n, 'stopped'));
    $c->end(Status => 'stopped', Packets => $n, Dropped => 0);
}


# --- one signal -----------------------------------------------------------

for my $signal (qw(INT TERM HUP)) {
    $run = against(sub {
        my ($c) = @_;

        begin($c, 2, 50);
        $c->wait_delete(5);
        $c->chunk(PcapTest::StandIn::packets(2, 50, 50));
        $c->chunk(PcapTest::StandIn::tail(2, 100, 'stopped'));
        $c->end(Status => 'stopped', Packets => 100, Dropped => 0);
    }, meanwhile => signal_at('begun', $signal));

    is($run->{code}, 0, "$signal: stopped by the user");
    is($run->{signal}, 0, "$signal: not killed");
    is(scalar $api->events('delete'), 1, "$signal: one DELETE");
    is($run->{json}{status}, 'stopped', "$signal: status");
    is(scalar @{ file_of($run)->{packets} }, 100,
        "$signal: what was on the way is there");
    like($run->{stderr}, qr/^stopped$/m, "$signal: words");
}

tshark_ok("$run->{dir}/x", 'stopped');

# --- two signals ----------------------------------------------------------

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->wait_gone(10);
}, meanwhile => signal_at('begun', 'INT', 'INT'));

is($run->{code}, 3, 'quit: cut');
cmp_ok($run->{seconds}, '<', limit(5), 'at once');
is(scalar @{ file_of($run)->{packets} }, 50, 'quit: file is whole');
ok($api->wait_event(5, 'gone'), 'quit: the connection is closed');
like($run->{stderr}, qr/unknown since 2023-11-14T22:13:20/,
    'quit: the ledger says what is not known');

# --- the API does not end -------------------------------------------------

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->wait_gone(20);
}, meanwhile => signal_at('begun', 'INT'));

is($run->{code}, 3, 'deadline: cut');
cmp_ok($run->{seconds}, '>', 9, 'deadline: not before 10 s');
cmp_ok($run->{seconds}, '<', limit(14), 'deadline: not long after');
like($run->{stderr}, qr/did not end the capture in time/, 'deadline: words');

# --- DELETE is refused ----------------------------------------------------

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->wait_gone(10);
}, delete => sub { $_[0]->problem(500, 'Internal', 'x') },
    meanwhile => signal_at('begun', 'INT'));

is($run->{code}, 3, 'DELETE refused: cut');
like($run->{stderr}, qr/refuses to stop the capture: HTTP 500/, 'and said');
cmp_ok($run->{seconds}, '<', limit(5), 'without a wait');

# the capture ended by itself meanwhile
$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 100);
    $c->wait_delete(5);
    $c->chunk(PcapTest::StandIn::tail(2, 100, 'complete'));
    $c->end(Status => 'complete', Packets => 100, Dropped => 0);
}, delete => sub { $_[0]->problem(404, 'Not Found', 'x') },
    meanwhile => signal_at('begun', 'INT'));

is($run->{code}, 0, 'DELETE too late: well');

# the DELETE came to another API behind the same address
$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->wait_delete(5);

    my $n = 50;

    while ($c->chunk(PcapTest::StandIn::packets(2, 2, $n))) {
        $n += 2;
        select undef, undef, undef, 0.05;
    }

    $c->event('gone');
}, delete => sub { $_[0]->problem(404, 'Not Found', 'x') },
    meanwhile => signal_at('begun', 'INT'));

is($run->{code}, 3, 'DELETE elsewhere: nobody says how it went');
is($run->{json}{status}, 'none', 'DELETE elsewhere: status');
like($run->{stderr}, qr/asked to stop the capture does not know it/, 'words');
cmp_ok($run->{seconds}, '<', limit(6), 'DELETE elsewhere: no long wait');
cmp_ok(scalar @{ file_of($run)->{packets} }, '>=', 50,
    'DELETE elsewhere: the file is whole');
ok($api->wait_event(5, 'gone'), 'DELETE elsewhere: the connection is closed');
tshark_ok("$run->{dir}/x", 'DELETE elsewhere');

# --- a signal before there is anything ------------------------------------

$run = against(sub {
    my ($c) = @_;

    $c->event('asked');
    $c->wait_gone(10);
}, meanwhile => sub {
    $api->wait_event(10, 'asked');
    kill 'INT', $_[0]{pid};
});

is($run->{code}, 1, 'interrupted before the answer');
is_deeply([ cli_files($run) ], [], 'no empty file stays');

# a pipe that nobody reads holds nobody
$run = against(sub { die "asked\n" }, args => [ '-F' ], prefix => [ 'sh',
    '-c', 'mkfifo x; exec "$@"', 'sh' ], meanwhile => sub {
    my ($run) = @_;

    ok(wait_for(limit(5), sub { opens_pipe($run->{pid}) }), 'it opens a pipe');
    kill 'INT', $run->{pid};
});

is($run->{code}, 1, 'interrupted while it opens a pipe');
is(scalar $api->events(), 0, 'nothing was asked');

# --- kill -9 --------------------------------------------------------------

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->chunk(substr PcapTest::StandIn::packets(2, 10, 50), 0, -17);
    $c->event('cut block');
    $c->wait_gone(10);
}, meanwhile => sub {
    my ($run) = @_;

    my $whole = length PcapTest::StandIn::head(2)
        . PcapTest::StandIn::packets(2, 59);

    ok(wait_for(5, sub { (-s "$run->{dir}/x" || 0) == $whole }),
        'whole blocks are written, no more');
    kill 'KILL', $run->{pid};
});

is($run->{signal}, 9, 'killed');
is(scalar @{ file_of($run)->{packets} }, 59, 'the file is a capture');
tshark_ok("$run->{dir}/x", 'killed');

# --- the reader leaves ----------------------------------------------------

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->wait_delete(10);
    $c->chunk(PcapTest::StandIn::tail(2, 50, 'stopped'));
    $c->end(Status => 'stopped', Packets => 50, Dropped => 0);
}, args => [], prefix => [ 'bash', '-c',
    'shift 4; "$0" static demo -o - -v > >(head -c 200 > /dev/null)',
    tool('cli') ]);

is($run->{code}, 0, 'EPIPE: stopped');
is(scalar $api->events('delete'), 1, 'EPIPE: by a DELETE');
unlike($run->{stderr}, qr/Broken pipe/, 'EPIPE is no error');
cmp_ok($run->{seconds}, '<', limit(5), 'EPIPE on an idle stream is seen');

$run = against(\&endless, prefix => [ 'bash', '-c',
    '"$0" static demo -o - > >(head -c 200 > /dev/null)', tool('cli') ]);

is($run->{code}, 0, 'EPIPE on a busy stream');
like($run->{stderr}, qr/^only \d+ of \d+ packets were written$/m, 'said');

# nobody reads what is said: the capture goes on
$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->gate();
    $c->chunk(isb(0, $T, opts => [ [ 1, 'pcap-api CONGESTED web/0: x' ] ]))
        for 1 .. 10;
    $c->chunk(PcapTest::StandIn::tail(2, 50, 'complete'));
    $c->end(Status => 'complete', Packets => 50, Dropped => 0);
}, prefix => [ 'bash', '-c', 'exec "$@" 2> >(head -c 1 > /dev/null;'
    . ' touch left)', 'bash' ], meanwhile => sub {
    my ($run) = @_;

    ok(wait_for(5, sub { -e "$run->{dir}/left" }), 'the reader has left');
    $api->open_gate();
});

is($run->{code}, 0, 'messages without a reader');
is(scalar @{ file_of($run)->{packets} }, 50, 'harm nothing');

# --- the disk is full -----------------------------------------------------

# the smallest file size limit that bash knows is 1 kB; 64 of them
$run = against(\&endless, prefix => [ 'bash', '-c', 'ulimit -f 64; exec "$@"',
    'bash' ]);

is($run->{code}, 1, 'file size limit: failed');
like($run->{stderr}, qr/cannot write x: File too large/, 'and said');
like($run->{stderr}, qr/only \d+ of \d+ packets were written/, 'how many');
is(scalar $api->events('delete'), 1, 'the capture is stopped');
$file = file_of($run);
cmp_ok(scalar @{ $file->{packets} }, '>', 500, 'the file is a capture')
    or diag($file->{error});
is(scalar @{ $file->{packets} }, $run->{json}{written_packets},
    'of as many packets as it says');
tshark_ok("$run->{dir}/x", 'file size limit');

must('mkdir', work_dir() . '/small');
must('mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs',
    work_dir() . '/small');

$run = against(\&endless, args => [ '--force' ], prefix => [ 'bash', '-c',
    'cd ' . work_dir() . '/small; exec "$@"', 'bash' ]);

is($run->{code}, 1, 'no space: failed');
like($run->{stderr}, qr/cannot write x: No space left on device/, 'and said');
$file = eval { parse(slurp(work_dir() . '/small/x')) } || { error => $@ };
is(scalar @{ $file->{packets} || [] }, $run->{json}{written_packets},
    'no space: the file is a capture') or diag($file->{error});
must('umount', work_dir() . '/small');

$api->stop();
undef $api;
$run = against(\&endless, args => [ '--force' ], prefix => [ 'bash', '-c',
    'ln -s /dev/full x; exec "$@"', 'bash' ]);
is($run->{code}, 1, '/dev/full: failed');
ok(-c '/dev/full', 'and it is still a device');

# --- cut streams ----------------------------------------------------------

# a reset throws away what the client has not read yet: wait for its file
sub when_written
{
    my ($bytes) = @_;

    return sub {
        my ($run) = @_;

        ok(wait_for(5, sub { (-s "$run->{dir}/x" || 0) >= length $bytes }),
            'everything has arrived');
        $api->open_gate();
    };
}


my $fifty = PcapTest::StandIn::head(2) . PcapTest::StandIn::packets(2, 50);

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->gate();
    $c->cut();
}, cut => 1, meanwhile => when_written($fifty));

is($run->{code}, 3, 'cut');
like($run->{stderr}, qr/the connection broke/, 'cut: said');
is(scalar @{ file_of($run)->{packets} }, 50, 'cut: what came is there');

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->{s}->close();
}, cut => 1);

is($run->{code}, 3, 'no last chunk');

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->end();
}, cut => 1);

is($run->{code}, 3, 'a last chunk, but no verdict');

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->chunk(substr PcapTest::StandIn::packets(2, 1, 50), 0, 20);
    $c->end(Status => 'complete', Packets => 50, Dropped => 0);
});

is($run->{code}, 3, 'ended inside of a block');
is(scalar @{ file_of($run)->{packets} }, 50, 'which is not written');

# the verdict in-band, as it is when the API fails
$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->chunk(PcapTest::StandIn::tail(2, 50, 'error'));
    $c->gate();
    $c->cut();
}, meanwhile => when_written($fifty
    . PcapTest::StandIn::tail(2, 50, 'error')));

is($run->{code}, 1, 'error in-band and cut');
is($run->{json}{status}, 'error', 'status');

# a proxy that drops trailers
$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->chunk(PcapTest::StandIn::tail(2, 50, 'complete'));
    $c->end();
});

is($run->{code}, 0, 'no trailers: the in-band verdict counts');

# --- counts that do not fit -----------------------------------------------

for my $case (
    [ 'trailer', 50, 50, 51, 'complete', 'complete', 1 ],
    [ 'in-band', 50, 49, 50, 'complete', 'complete', 1 ],
    [ 'status', 50, 50, 50, 'partial', 'complete', 3 ],
    [ 'in-band status', 50, 50, 50, 'complete', 'partial', 3 ],
    [ 'unknown status', 50, 50, 50, 'splendid', 'complete', 1 ])
{
    my ($what, $sent, $said, $trailer, $status, $inband, $code) = @$case;

    $run = against(sub {
        my ($c) = @_;

        begin($c, 2, $sent);
        $c->chunk(PcapTest::StandIn::tail(2, $sent, $inband,
            said => $said));
        $c->end(Status => $status, Packets => $trailer, Dropped => 0);
    });

    is($run->{code}, $code, "mismatch: $what");
}

like($run->{stderr}, qr/verdict is not one that this version knows/,
    'unknown status: words');

# --- limits ---------------------------------------------------------------

for my $case (
    [ [ '--duration', '1s' ], 'duration of 1s', 0 ],
    [ [ '--max-packets', '50' ], 'max_packets', 0 ],
    [ [ '--max-bytes', '1k' ], 'max_bytes is reached', 0 ],
    [ [], 'duration', 3 ],
    [ [ '--max-packets', '50' ], 'duration', 3 ],
    [ [ '--duration', '1s' ], 'server limit', 3 ])
{
    my ($args, $text, $code) = @$case;

    $run = against(sub {
        my ($c) = @_;

        begin($c, 2, 50);
        $c->chunk(isb(0, $T + 1_000_000_000, opts => [ [ 1,
            "pcap-api LIMIT_REACHED api: $text" ] ]));
        $c->chunk(PcapTest::StandIn::tail(2, 50, 'limit'));
        $c->end(Status => 'limit', Packets => 50, Dropped => 0);
    }, args => $args);

    is($run->{code}, $code, "limit: @$args: $text");
    is($run->{json}{messages}[0]{type}, 'LIMIT_REACHED', 'its message');
}

# --- malformed streams ----------------------------------------------------

for my $case (
    [ 'not a capture', 'GET / HTTP/1.1' . "\r\n" x 20, 0 ],
    [ 'pcap', pack('VvvVVVV', 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
        . pack('V4', 1, 1, 4, 4) . 'abcd', 0 ],
    [ 'two lengths', PcapTest::StandIn::head(1) . epb(0, $T, 'aaaa')
        . epb(0, $T, 'bbbb', tail => 4), 1 ],
    [ 'caplen', PcapTest::StandIn::head(1) . epb(0, $T, 'aaaa')
        . epb(0, $T, 'bbbb', caplen => 4000), 1 ],
    [ 'interface', PcapTest::StandIn::head(1) . epb(0, $T, 'aaaa')
        . epb(1, $T, 'bbbb'), 1 ],
    [ 'statistics', PcapTest::StandIn::head(1) . epb(0, $T, 'aaaa')
        . isb(7, $T), 1 ],
    [ 'second section', PcapTest::StandIn::head(1) . epb(0, $T, 'aaaa')
        . PcapTest::StandIn::head(1), 1 ],
    [ 'too long', PcapTest::StandIn::head(1) . epb(0, $T, 'aaaa')
        . pack('VV', 6, 1 << 30) . 'x' x 100, 1 ],
    [ 'interfaces', PcapTest::StandIn::head(1) . epb(0, $T, 'aaaa')
        . idb(name => 'a/b') x 9000, 1 ])
{
    my ($what, $bytes, $packets) = @$case;

    $run = against(sub {
        my ($c) = @_;

        $c->begin();
        $c->chunk($bytes);
        $c->wait_gone(10);
    });

    is($run->{code}, 1, "$what: failed");
    like($run->{stderr}, qr/malformed stream: /, "$what: said");
    like($run->{stderr}, qr/sent a malformed stream$/m, "$what: verdict");
    is(scalar @{ file_of($run)->{packets} }, $packets,
        "$what: the file is a capture or not there");
    ok($api->wait_event(5, 'gone'), "$what: the connection is closed");
}

# --- an API that knows nothing of the one that was cut --------------------

# The cut one, a refusal, and what then comes.
sub forgotten
{
    my (@last) = @_;

    return against(sub {
        my ($c) = @_;

        my $times = () = $c->{api}->events('capture');

        return $c->problem(404, 'Not Found', 'option "continues": there is no'
            . ' capture ' . PcapTest::StandIn::ID . ', running or ended'
            . ' within 10 minutes') if $times == 2;
        return $c->problem(@last) if $times > 2 && @last;
        return $c->usual(2, 10, 'complete') if $times > 2;

        $c->begin();
        $c->chunk(PcapTest::StandIn::head(2)
            . PcapTest::StandIn::packets(2, 4));
        $c->{s}->close();
    }, args => [ '--max-packets', '100' ]);
}


sub forms
{
    return [ map { join '&', map { $_->[0] } grep { $_->[0] ne 'format' }
        @{ $_->{form} } } $api->events('capture') ];
}


$run = forgotten();
is($run->{code}, 3, 'forgotten: a gap');
is($run->{json}{parts}, 2, 'forgotten: it goes on');
is_deeply(forms(), [ 'max_packets', 'continues&max_packets', 'max_packets' ],
    'forgotten: asked once more, with the rest of the limits');
unlike($run->{stderr}, qr/404|cannot reconnect/, 'forgotten: no fault');

for my $last ([ 404, 'Not Found', 'option "continues": no' ],
    [ 404, 'Not Found', 'no such group' ], [ 403, 'Forbidden', 'no' ])
{
    $run = forgotten(@$last);
    is($run->{code}, 3, "forgotten, then $last->[0]: $last->[2]");
    is(scalar @{ forms() }, 3, 'asked once more, not again');
    like($run->{stderr}, qr/not continued: .*HTTP $last->[0]/, 'words');
}

# --- a router that has no route while the API is replaced -------------------

$run = against(sub {
    my ($c) = @_;

    my $times = () = $c->{api}->events('capture');

    return $c->reply(404, 'text/plain; charset=utf-8', "404 Not Found: "
        . "Requested route ('pcap.sys.example') does not exist.\n",
        'X-Cf-Routererror: unknown_route') if $times > 1 && $times < 4;
    return $c->usual(2, 10, 'complete') if $times > 3;

    $c->begin();
    $c->chunk(PcapTest::StandIn::head(2) . PcapTest::StandIn::packets(2, 4));
    $c->{s}->close();
}, env => { PCAP_CLI_TIME_SCALE => 10 });
is($run->{code}, 3, 'no route for some seconds: it goes on');
is(scalar(() = $api->events('capture')), 4, 'asked until there is one');
is($run->{json}{parts}, 2, 'two parts');

# --- an API that says when it can be asked again ---------------------------

# Status, Retry-After, time scale; after how many seconds it is asked again.
for my $case (
    [ 429, '3', 1, 2.9, 8 ],
    [ 503, ' 3 ', 1, 2.9, 8 ],
    [ 503, '9999999999999', 10, 2.9, 8 ],         # at most 30 s, scaled
    [ 503, '99999999999999999999999', 10, 0, 2 ], # no number
    [ 503, 'Fri, 31 Dec 1999 23:59:59 GMT', 10, 0, 2 ],
    [ 503, '-3', 10, 0, 2 ],
    [ 503, '0', 1, 0.9, 2.9 ],                    # but not at once
    [ 500, '9', 10, 0, 2 ])
{
    my ($status, $after, $scale, $min, $max) = @$case;

    $run = against(sub {
        my ($c) = @_;

        my $times = () = $c->{api}->events('capture');

        return $c->reply($status, 'application/problem+json', encode_json({
            type => 'about:blank', title => 'Busy', status => $status,
            detail => 'busy' }), "Retry-After: $after") if $times == 2;
        return $c->usual(2, 10, 'complete') if $times > 2;

        $c->begin();
        $c->chunk(PcapTest::StandIn::head(2)
            . PcapTest::StandIn::packets(2, 4));
        $c->{s}->close();
    }, env => { PCAP_CLI_TIME_SCALE => $scale });

    my @at = map { $_->{at} } $api->events('capture');
    my $waited = @at == 3 ? $at[2] - $at[1] : -1;

    is($run->{code}, 3, "Retry-After $status $after: it goes on");
    cmp_ok($waited, '>=', $min, 'not before');
    cmp_ok($waited, '<', $max > 2.9 ? limit($max) : $max, 'nor much later');
}

# --- silence --------------------------------------------------------------

$run = against(sub {
    my ($c) = @_;

    begin($c, 2, 50);
    $c->wait_gone(10);
}, cut => 1, args => [ '--timeout', '3s' ]);

is($run->{code}, 3, 'silence during the capture');
like($run->{stderr}, qr/silent for 3 s/, 'said');

$run = against(sub {
    my ($c) = @_;

    $c->wait_gone(10);
}, args => [ '--timeout', '1s' ]);

is($run->{code}, 1, 'no answer at all');

$api->stop();
finish();
