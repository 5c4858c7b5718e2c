# Captures of real and fake agents come and go for minutes, fifty at a time:
# started, stopped, cut, throttled, left alone at random; processes of agents
# are killed, agents as a whole too, workers are reloaded, and killed. Rights
# are checked and tokens renewed all the time. Each capture is read back and
# checked, and how it ended is held against what was done to it; afterwards
# nothing may be left, and nothing may have grown.
#
# SOAK_SECONDS (default 20), SOAK_CAPTURES (50), SOAK_CSV (where the samples
# go, one each 10 s: see PcapTest::Soak), SOAK_SEED (repeats the choices of a
# run, not its timing).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Audit;
use PcapTest::Lab;
use PcapTest::Soak qw(sample write_csv judge);
use PcapTest::SoakCurl;
use PcapTest::SoakEnds qw(end_faults share_faults audit_faults whole_records);
use PcapTest::Traffic qw(flood);
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Time::HiRes qw(time);

my $SECONDS = $ENV{SOAK_SECONDS} || 20;
my $CAPTURES = $ENV{SOAK_CAPTURES} || 50;
my $SEED = int($ENV{SOAK_SEED} || time() * 1000 % 1e6);
my $CSV = $ENV{SOAK_CSV} || work_dir() . '/soak.csv';
my $STEP = $SECONDS >= 100 ? 10 : $SECONDS / 12;

# packets a second on the link, each way
my $PPS = $ENV{SOAK_PPS} || 50;

srand $SEED;
diag("SOAK_SEED=$SEED");


# Each fake agent has a way to fail of its own.
sub script
{
    my ($c) = @_;

    srand $$ . time();

    return $c->refuse('429 Too Many Requests', '{"detail":"full"}')
        if $c->{n} == 1 && rand() < 0.5;
    return $c->cut(1) if $c->{n} == 2 && rand() < 0.3;

    $c->begin();

    my $end = $c->stay(rand(6) + 0.1, sub { $c->traffic(1 + int rand 12,
        16 + int rand 1400) });

    return $c->end() if $c->{n} == 5 && $end eq 'time' && rand() < 0.3;

    return $c->cut(rand() < 0.5) if $c->{n} == 3 && $end eq 'time';
    return $c->chunk('garbage' x 9) if $c->{n} == 4 && $end eq 'time';

    $c->stay(limit(60), sub { $c->traffic(5, 1000) }) if $end eq 'time';
    $c->end();
}


# What the metrics are called in the configuration. Without them leaks of the
# zone are not seen: that is no soak.
sub metrics_location
{
    my ($certs) = @_;

    for my $line ('location = /metrics { pcap_api_metrics on; }',
        'location = /metrics { pcap_api_metrics; }')
    {
        my ($ok) = PcapTest::Nginx->new(certs => $certs,
            server => $line)->test_config();
        return $line if $ok;
    }

    die "soak.t: nginx knows no metrics\n";
}


# Rights are asked for fifty times a second: too much for the stand-in, which
# forks for each question. Three tokens of alice, one of them without a scope;
# an admin, and somebody else.
sub token_endpoint
{
    my @known;

    for my $t ([ 'good', 'pcap.capture', 'alice' ],
        [ 'fresh', 'pcap.capture', 'alice' ], [ 'bare', 'openid', 'alice' ],
        [ 'boss', 'pcap.admin', 'root' ], [ 'other', 'pcap.capture', 'eve' ])
    {
        my ($name, $scope, $user) = @$t;
        my $doc = encode_json({ active => JSON::PP::true, iss =>
            PcapTest::Uaa::ISSUER(), user_id => $user, sub => $user,
            user_name => $user, scope => [$scope], aud => ['pcap'],
            client_id => 'cf', iat => int(time()), exp => int(time())
            + 86400 });

        push @known, "location = /introspect/$name { return 200 '$doc'; }";
    }

    return 'server { listen 127.0.0.1:8445; default_type application/json;'
        . " access_log off; @known"
        . ' location / { return 200 \'{"active":false}\'; } }';
}


my $certs = PcapTest::Certs->new();
my $metrics = metrics_location($certs);
my $dir = work_dir() . '/audit';

mkdir $dir;
chmod 0755, $dir;

my ($key, $log) = (audit_key("$dir/key"), "$dir/audit.log");
my $lab = hosts_lab(certs => $certs, fakes => 0, conf => {
    max_captures => 200, buffer_bytes => 1 << 20,
    buffer_bytes_total => 256 << 20 },
    nginx => { workers => 2, http => "pcap_api_audit $log key=$key; "
    . token_endpoint(), check => 'pcap_api_introspection /_introspect;',
    allow => [ qr/\[alert\].*exited on signal 9/ ],
    conns => 4096, listen => 'sndbuf=64k',
    zone => 'pcap_api_zone pcap 64m;', server => $metrics
    . 'location = /_introspect { internal; proxy_pass_request_headers off;'
    . ' proxy_pass_request_body off;'
    . ' proxy_pass http://127.0.0.1:8445/introspect/$pcap_token; }',
    pcap => join ' ', 'pcap_api_reauth 1s;',
    'pcap_api_introspection_inflight 64;',
    'pcap_api_introspection_rate 1000 burst=1000;',
    map { "pcap_api_static mixed fake/$_ 127.1.0."
    . (1 + $_) . ':9595 tls_name=pcap-agent;' } 0 .. 5 });
my $nginx = $lab->{nginx};
my $agents = $lab->{agents};
my $fake = PcapTest::Fake->new(certs => $lab->{certs}, port => 9595,
    script => \&script);

my (%running, %floods, @asked, @orphans, @samples, @bad);

# what was done to agents and workers; captures by their ID: what their
# clients were told at the end, and which of them lost their worker when
my (@accidents, %told, %dead, @unclear);
my $start = time();
my $sender = 0;
my ($worker_killed, $reloaded) = (0, 0);
my %n = map { $_ => 0 } qw(started ended stopped vanished refused checked
    whole killed restarted reloads packets dropped late answered on_dead
    h2 calls workers_killed judged curl_lost);


# --- what can be asked of the API -----------------------------------------

sub rows
{
    my $c = eval { $nginx->fetch('/v1/captures') };
    my $doc = $c && $c->{status} && $c->{status} == 200
        ? eval { decode_json($c->{body}) } : undef;

    return -1 if !$doc;

    return scalar grep { $_->{state} ne 'ended' } @{ $doc->{captures} };
}


# Two columns, out of one answer.
sub zone
{
    my $c = eval { $nginx->fetch('/metrics') };
    my $text = $c && $c->{complete} ? $c->{body} : '';

    return map { $_->[0] => $text =~ /^pcap_api_$_->[1] (\d+)$/m ? $1 : -1 }
        [ kept => 'ended_captures_kept' ],
        [ free_pages => 'zone_free_pages' ];
}


sub snapshot
{
    my ($start) = @_;

    return sample($nginx, $agents, $start, { captures =>
        scalar keys %running, rows => rows(), zone(),
        %n{qw(packets dropped started checked killed reloads)} });
}


# One request beside the captures; $want is a list of statuses that may come,
# $code is called with the answer.
sub ask
{
    my ($path, $want, $code, %o) = @_;

    my $c = eval { $nginx->get($path, no_wait => 1, %o) };

    return push @bad, "$path: no connection: $@" if !$c;

    @$c{qw(path want code by at)} = (($o{method} || 'GET') . " $path", $want,
        $code, time() + limit(30), time());
    push @asked, $c;
    $n{calls}++;
}


# What there is, up to 16 TLS records. What OpenSSL noted down about a
# connection that was cut would be taken for an error of this one.
sub pull
{
    my ($c) = @_;

    Net::SSLeay::ERR_clear_error();

    for (1 .. 16) {
        last if $c->{complete} || !$c->pull(0);
    }
}


# A worker was sent away, or killed, and with it the token endpoint.
sub gone_since
{
    my ($t) = @_;

    return $worker_killed > $t || $reloaded > $t;
}


# 0: not answered yet. A worker that was killed answers nothing.
sub answer
{
    my ($c) = @_;

    eval { pull($c); 1 } or push @bad, "$c->{path}: $@";

    if (!$c->{complete}) {
        return 0 if !$c->{eof} && time() < $c->{by};
        $c->{code}->(undef) if $c->{code} && gone_since($c->{at});
        push @bad, "$c->{path}: is not answered" . ($c->{eof} ? ', but cut'
            : '') if !gone_since($c->{at});
        return 1;
    }

    push @bad, "$c->{path}: answered $c->{status}, not @{ $c->{want} }:"
        . " $c->{body}" if !grep({ $_ == $c->{status} } @{ $c->{want} })
        && !($c->{status} == 503 && gone_since($c->{at}));
    $c->{code}->($c) if $c->{code};

    return 1;
}


sub is_row
{
    my ($id) = @_;

    return sub {
        my ($c) = @_;
        my $doc = $c && eval { decode_json($c->{body}) };

        push @bad, "GET of $id: $c->{body}" if $c && ($doc->{id} // '') ne $id;
    };
}


# What anybody may ask at any time, about one of the captures that run.
sub call_one
{
    my @all = grep { ($_->{status} // 0) eq '200' } values %running;
    my $c = @all ? $all[rand @all] : return;
    my $id = capture_id($c);
    my $path = "/v1/captures/$id";
    my $none = '/v1/captures/' . '0' x 32;
    my @put = (method => 'PUT', token =>);
    my @stop = (method => 'DELETE', token =>);
    my $start = '/v1/capture/static/mixed';

    my @calls = (
        ((sub { ask("$path/token", [ 204, 404 ], undef, @put, 'fresh') }) x 3),
        ((sub { ask("$path/token", [ 204, 404 ], undef, @put, 'good') }) x 3),
        ((sub { ask($path, [200], is_row($id)) }) x 3),
        ((sub { ask('/metrics', [200]) }) x 2),
        sub { ask("$path/token", [401], undef, @put, 'nobody') },
        sub { ask("$path/token", [404], undef, @put, 'other') },
        sub { ask("$none/token", [404], undef, @put, 'good') },
        sub { ask($path, [404], undef, token => 'other') },
        sub { ask($path, [200], is_row($id), token => 'boss') },
        sub { ask($path, [404], undef, @stop, 'other') },
        sub { ask($none, [404], undef, @stop, 'good') },
        sub { ask('/v1/captures', [200]) },
        sub { ask('/v1/captures', [200], undef, token => 'boss') },
        sub { ask('/v1/status', [200]) },
        sub { ask($start, [401], undef, token => 'nobody') },
        sub { ask($start, [403], undef, token => 'bare') },
        sub { ask("$start?snaplen=huge", [400]) },
        sub { ask($path, [ 202, 404 ], undef, @stop, 'boss');
            $c->{asked}{admin} = 1 },
        sub { ask("$path/token", [ 204, 404 ], undef, @put, 'bare');
            $c->{asked}{right} = 1 },
    );

    $calls[rand @calls]->();
}


# --- captures ---------------------------------------------------------------

my @GROUPS = (('/v1/capture/static/demo?interface=eth0') x 2,
    '/v1/capture/static/mixed?', '/v1/capture/static/mixed?format=pcap&');


sub begin_one
{
    my $path = $GROUPS[rand @GROUPS];

    $path .= '&duration=' . int(500 + rand 9000) . 'ms' if rand() < 0.3;
    $path .= '&max_packets=' . int(1 + rand 2000) if rand() < 0.3;

    my $h2 = rand() < 0.2;
    my $slow = rand() < 0.3;
    my $began = time();
    my $c = $h2 ? PcapTest::SoakCurl->new($nginx, $path,
        rate => $slow ? '300k' : undef)
        : eval { $nginx->get($path, no_wait => 1, $slow
        ? (rcvbuf => 16384) : ()) };

    return $n{refused}++ if !$c;

    $n{h2}++ if $h2;
    $c->{began} = $began;
    $c->{asked} = {};
    $c->{path} = $path;
    $c->{lazy} = rand() < 0.3;
    $c->{until} = time() + 1 + rand($CAPTURES / 4);
    $c->{answer_by} = time() + limit(60);
    $running{$c} = $c;
    $n{started}++;
}


# Its time is over: vanish, or ask for the end and take what still comes.
sub end_one
{
    my ($c) = @_;

    if (rand() < 0.2) {
        $n{vanished}++;
        delete $running{$c};
        return $c->vanish(rand() < 0.5);
    }

    # not before it has begun; one that never does is left to check_one()
    if (!$c->{status} && time() < $c->{answer_by}) {
        $c->{lazy} = 0;
        $c->{until} = time() + 0.2;
        return;
    }

    # below a segment of loopback it waits for timers of the kernel
    setsockopt $c->{s}, SOL_SOCKET, SO_RCVBUF, pack 'l', 1 << 20 if $c->{s};
    $c->{ending} = time() + limit(30);
    $c->{lazy} = 0;
    return if $c->{complete} || !$c->{status} || $c->{status} != 200;

    $n{stopped}++;
    $c->{asked}{user} = 1;
    stop_one($c);
}


# Once more when the worker that was asked is gone.
sub stop_one
{
    my ($c) = @_;

    ask('/v1/captures/' . capture_id($c), [ 202, 404 ], sub {
        my ($answer) = @_;

        stop_one($c) if $running{$c} && (!$answer
            || $answer->{status} == 503);
    }, method => 'DELETE');
}


# Where numbered packets of a sender are missing or twice on an interface that
# has lost nothing: texts.
sub holes
{
    my ($file, $v) = @_;

    my (%last, @holes);

    for my $p (@{ $file->{packets} }) {
        my $name = $file->{ifaces}[ $p->[0] ]{name};
        my $at = index $p->[4], 'PCAPTEST';

        # UDP: the ICMP errors that come back quote it
        next if $name !~ m{^(web/\d)/} || $at < 0
            || ord(substr $p->[4], 23, 1) != 17;

        my $said = $v->{$1} || {};
        my ($id, $seq) = unpack 'NN', substr $p->[4], $at + 8, 8;
        my $last = \$last{"$name $id"};

        push @holes, "$name: $seq of $id follows $$last"
            if defined $$last && $seq != $$last + 1 && !$said->{dropped}
            && !$said->{unknown_since} && !$said->{late};
        $$last = $seq;
    }

    return @holes;
}


# What is wrong with a capture: texts.
sub faults
{
    my ($c, $file) = @_;

    my $v = verdicts_of($file);
    my $api = $v->{api} || {};
    my $count = @{ $file->{packets} };
    my @faults = holes($file, $v);

    $c->{steps_back} = strict_order($file);
    $n{packets} += $count;
    return @faults if !$c->{complete} || ($c->{mute} && !$api->{packets});

    $n{dropped} += $api->{dropped} || 0;
    $n{late} += $api->{late} || 0;

    my (undef, @said) = trailers($c);

    for my $said ($api->{packets}, @said) {
        push @faults, "$count packets, " . ($said // 'nothing') . ' said'
            if !defined $said || $said != $count;
    }

    # what was delivered above a limit is in no file
    for my $name ($c->{path} =~ /max_packets/ ? ()
        : grep { m{/} } keys %$v)
    {
        my $t = $v->{$name};

        push @faults, "$name: received $t->{received} is not delivered"
            . " $t->{packets} and dropped $t->{dropped}"
            if defined $t->{received} && !$t->{unknown_since}
            && $t->{received} != $t->{packets} + $t->{dropped};
    }

    return @faults;
}


# Is it a capture? All that answer are, or lose their worker before, or come to
# one that a reload has sent away (503). What they answer is counted, and shown
# at the end.
sub answered
{
    my ($c) = @_;

    my $status = $c->{status} || 'nothing';

    $n{"answer_$status"}++;
    push @bad, "$c->{path}: answered $status: $c->{body}" if $status ne '200'
        && !($status eq 'nothing' && $worker_killed > $c->{began})
        && !($status eq '503' && gone_since($c->{began}));

    return $status eq '200';
}


# The trailers of a capture that is whole: status, packets.
sub trailers
{
    my ($c) = @_;

    return $c->{mute} ? () : map { $c->trailer("x-pcap-$_") }
        qw(status packets);
}


# HTTP/2 after a reload, or with a worker that is killed just behind the last
# byte: when a GOAWAY or the end of the connection comes, curl 7.88 ends without
# an error and loses what it has not yet given out, that is the trailers and,
# seldom, the end of the body. Its exit status says nothing then; nghttp loses
# nothing. An old worker that is busy takes connections for a moment longer.
sub is_mute
{
    my ($c) = @_;

    return $c->{complete} && $c->isa('PcapTest::SoakCurl')
        && ($reloaded > $c->{began} - 1 || $dead{ capture_id($c) })
        && !$c->trailer('x-pcap-status');
}


# The packets of a classic pcap, up to where it is cut. Records counted as
# late are announced in pcapng only: its API has to say how many there are.
sub pcap_faults
{
    my ($c) = @_;

    my $whole = $c->{complete} && !$c->{mute};

    return if !$whole && length $c->{body} < 24;

    my $file = PcapTest::Pcapng::parse_pcap($whole ? $c->{body}
        : whole_records($c->{body}));

    $c->{steps_back} = strict_order($file);
    $n{packets} += @{ $file->{packets} };

    my ($status, $said) = $whole ? trailers($c) : ();

    return $status && $said != @{ $file->{packets} }
        ? 'pcap: wrong number of packets' : ();
}


# How the kernel sees it, both ends.
sub connection
{
    my ($c) = @_;
    my $port = $c->{s} && $c->{s}->sockport or return 'HTTP/2';

    return `ss -tnoim '( sport = :$port or dport = :$port )'`;
}


# What came is a capture, or the whole beginning of one.
sub check_one
{
    my ($c) = @_;

    delete $running{$c};
    $n{ended}++;
    push @bad, named($c) . ': does not end: ' . connection($c)
        if !$c->{complete} && !$c->{eof};
    return if !answered($c);

    my @faults;

    $c->{mute} = is_mute($c);
    $n{curl_lost}++ if $c->{mute};

    my $ok = eval {
        @faults = $c->{path} =~ /format=pcap&/ ? pcap_faults($c)
            : faults($c, PcapTest::Pcapng::parse($c->{body}, partial =>
            !$c->{complete} || $c->{mute}));
        1;
    };

    push @faults, "not well-formed: $@" if !$ok;
    push @bad, named($c) . ": @faults" if @faults;
    $n{checked}++;
    $n{answered}++;
    $n{whole}++ if $c->{complete};
    ($c->{said}) = trailers($c) if $c->{complete};
    $told{ capture_id($c) } = { said => $c->{said} };
    $c->{ended} = time();
    $c->{body} = '';
    judge_end($c, time() + limit(5));
}


sub named
{
    my ($c) = @_;

    return sprintf '%s (%s, %d bytes, %s, from %.1f to %.1f s)', $c->{path},
        ref($c) =~ s/.*:://r, $c->{bytes}, $c->{complete}
        ? $c->trailer('x-pcap-status') // '?' : 'cut', $c->{began} - $start,
        ($c->{ended} || time()) - $start;
}


# Asks the API how it ended, until it knows, and wants a reason for that.
sub judge_end
{
    my ($c, $by) = @_;

    my $id = capture_id($c);

    ask("/v1/captures/$id", [200], sub {
        my ($answer) = @_;
        my $row = $answer && eval { decode_json($answer->{body}) } || {};

        # with a worker that dies an answer is lost, and a row stays for 2 s
        return judge_end($c, $by) if time() < $by
            && ($row->{state} // '') ne 'ended';
        return push @bad, "$id: nothing is known of it" if !$row->{state};

        # killed later than this one ended: no excuse
        $c->{dead} = ($dead{$id} // 0) > $c->{began} && $c->{ended}
            >= $dead{$id};
        $n{on_dead}++ if $c->{dead} && !$c->{complete};

        my @faults = end_faults($c, $row, \@accidents);

        push @faults, 'time goes back' if $c->{steps_back} && !$row->{late};
        if (@faults) {
            push @bad, "$id of " . named($c) . ": @faults";
            push @unclear, $id;
        }

        $n{judged}++;
        $n{join '_', 'end', $row->{end_reason} // 'none',
            $row->{status} // $row->{state}}++;
    });
}


# --- accidents ----------------------------------------------------------------

sub instance
{
    my ($agent) = @_;

    return 'web/' . (grep { $agents->[$_] == $agent } 0 .. $#$agents)[0];
}


# One process of an agent dies: a capture, or what was about to become one.
sub kill_capture
{
    my $a = $agents->[rand @$agents];
    my @pids = children($a->{pid});

    return if !@pids;

    my $pid = $pids[rand @pids];

    $a->{killed}{$pid} = 1;
    push @accidents, { who => instance($a), what => 'process',
        t => time() };
    kill 'KILL', $pid;
    $n{killed}++;
}


# The listening process dies, and with it all it has begun; then it is back.
# Captures end as if they had been asked to.
sub kill_agent
{
    my ($a) = @_;

    my @served = children($a->{pid});
    my $accident = { who => instance($a), what => 'agent', t => time() };

    push @accidents, $accident;
    kill 'KILL', $a->{pid};
    wait_exit($a->{pid}, 5);
    push @orphans, { name => $a->{name}, by => time() + limit(20),
        pids => \@served };
    $a->start(busy => 1);
    $accident->{until} = time();
    $n{restarted}++;
}


sub check_orphans
{
    for my $o (@orphans) {
        $o->{pids} = [ grep { alive($_) } @{ $o->{pids} } ];
        push @bad, "$o->{name}: its processes live on without it"
            if @{ $o->{pids} } && time() > $o->{by};
    }

    @orphans = grep { @{ $_->{pids} } && time() <= $_->{by} } @orphans;
}


sub reload
{
    push @bad, 'no new workers after a reload' if !$nginx->reload();
    $reloaded = time();
    $n{reloads}++;
}


# A worker dies, with all its captures; what was its own is known by the log.
sub kill_worker
{
    my @workers = grep { slurp("/proc/$_/cmdline") !~ /shutting down/ }
        $nginx->workers();
    my $pid = $workers[rand @workers];
    my $t = time();

    kill 'KILL', $pid;
    push @bad, 'no new worker for one that was killed'
        if !wait_for(10, sub { my @now = $nginx->workers();
        @now >= 2 && !grep { $_ == $pid } @now });

    $dead{$_} = $t for $nginx->log() =~ /\ $pid\#\d+:\ \*\d+\ pcap\ capture
        \ ([0-9a-f]{32})\ of\ \S+\ started/gx;
    $worker_killed = time();
    $n{workers_killed}++;
}


# --- the run ----------------------------------------------------------------

# The two hosts always talk; every flood has a number of its own.
sub talk
{
    for my $host (0, 1) {
        next if $floods{$host} && alive($floods{$host});
        $floods{$host} = flood(ns => "web$host", to =>
            $lab->{addr}[1 - $host], id => 1000 + ++$sender, pps => $PPS,
            count => $PPS * 20, sizes => [ 16, 1400 ]);
    }
}


# What is due at $seconds since the start, in the order of the table.
sub due
{
    my ($events, $seconds) = @_;

    while (@$events && $events->[0][0] <= $seconds) {
        (shift @$events)->[1]->();
    }
}


# Reloads, and workers that die, in the first quarter only: what grows in a
# worker is to be seen in the rest of its life. The same goes for the second
# agent; the first one is killed until the end.
sub events
{
    my ($start) = @_;

    my @events = map { [ $SECONDS * $_, \&reload ] } 0.08, 0.16;

    push @events, map { [ $SECONDS * $_, \&kill_worker ] } 0.12, 0.2;

    for (my $t = 0.5; $t < $SECONDS; $t += 0.1 + rand 0.6) {
        push @events, [ $t, \&call_one ];
    }

    for (my $t = 2; $t < $SECONDS; $t += 0.5 + rand 3) {
        push @events, [ $t, \&kill_capture ];
    }

    for my $n (0 .. 11) {
        my $a = $agents->[$n < 3 && $n % 2];
        push @events, [ $SECONDS * ($n + 0.5) / 12, sub { kill_agent($a) } ];
    }

    push @events, [ $_ * $STEP, sub { push @samples, snapshot($start) } ]
        for 1 .. $SECONDS / $STEP;

    return sort { $a->[0] <=> $b->[0] } @events;
}


# One turn over all captures.
sub turn
{
    check_orphans();

    # answers may lead to further questions
    my @now = splice @asked;

    push @asked, grep { !answer($_) } @now;

    # what no capture that runs can have seen
    shift @accidents while @accidents > 200 && ($accidents[0]{until}
        || $accidents[0]{t}) < time() - 300;

    for my $c (values %running) {
        pull($c) if !$c->{lazy} || rand() < 0.1;

        if ($c->{complete} || $c->{eof}
            || ($c->{ending} && time() > $c->{ending}))
        {
            check_one($c);

        } elsif (!$c->{ending} && time() > $c->{until}) {
            end_one($c);
        }
    }

    # until one of them has something to say
    my $bits = '';

    vec($bits, fileno $_->{s}, 1) = 1
        for grep { $_->{s} && !$_->{lazy} } values %running;
    select $bits, undef, undef, 0.02;
}


sub churn
{
    my ($seconds, $want, @events) = @_;

    my $start = time();

    while ((my $now = time() - $start) < $seconds) {
        talk();
        due(\@events, $now);
        begin_one() if keys %running < $want;
        turn();
    }

    $_->{until} = 0 for values %running;
    turn() while %running || @asked || @orphans;

    stop_child($_, 'KILL', 5) for values %floods;
    push @bad, 'agents are not let go'
        if !wait_for(10, sub { !grep { $_->connections() }
            $fake, @$agents });
    wait_for(5, sub { rows() == 0 });
}


# the caches of workers that are reloaded, idle once: what there was before
churn(2, 5);
$nginx->reload();
churn(2, 5);
wait_for(10, sub { $nginx->workers() == 2 });

$start = time();

my $idle = snapshot($start);

churn($SECONDS, $CAPTURES, events($start));
wait_for(10, sub { $nginx->workers() == 2 });

my $end = snapshot($start);

write_csv($CSV, $idle, @samples, $end);

diag(join ', ', map { "$_ $n{$_}" } sort keys %n);

my ($exit, $text) = audit_verify('--key', $key, $log);

is($exit, 0, 'the audit log is one chain') or diag($text);

for my $id (@unclear[0 .. ($#unclear < 2 ? $#unclear : 2)]) {
    diag(grep { /$id/ } $nginx->log() =~ /^(.*\n)/mg);
}

unshift @bad, share_faults(%n), audit_faults(slurp($log), \%told);
is(join("\n", @bad[0 .. ($#bad < 20 ? $#bad : 20)]), '',
    'every capture and every accident ended as it should');
is(join("\n", judge($SECONDS, $idle, $end, @samples)), '',
    'nothing is left, nothing has grown');
cmp_ok($n{checked}, '>', $SECONDS * $CAPTURES / 50, 'captures were checked');
cmp_ok($n{packets}, '>', $SECONDS * 10, 'and packets');
cmp_ok($n{killed} + $n{restarted}, '>', $SECONDS / 10, 'agents were killed');
is($n{judged}, $n{answered}, 'each capture had a reason to end');
cmp_ok($n{h2}, '>', $n{started} / 20, 'some by HTTP/2');
is($n{workers_killed}, 2, 'workers were killed');
is($n{refused}, 0, 'nobody was turned away');

# and it still works
my $c = $nginx->get('/v1/capture/static/demo?interface=eth0&filter=udp');

status_is($c, 200, 'it still works');
wait_exit(flood(ns => 'web0', to => $lab->{addr}[1], id => 1, count => 50,
    pps => 2000), 10);
wait_seen($c, 1, 49, 2);
stop_capture($lab, $c);
capture_ok($c, status => 'stopped', packets => { 'web/0' => 50,
    'web/1' => 50 });
agents_quiet('soak', @$agents, $fake);

finish();
