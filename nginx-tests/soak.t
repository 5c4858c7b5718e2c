# Captures of real and fake agents come and go for minutes, fifty at a time:
# started, stopped, cut, throttled, left alone at random; processes of agents
# are killed, agents as a whole too, workers are reloaded. Each capture is
# read back and checked; afterwards nothing may be left, and nothing may have
# grown.
#
# SOAK_SECONDS (default 20), SOAK_CAPTURES (50), SOAK_CSV (where the samples
# go, one each 10 s: see PcapTest::Soak), SOAK_SEED (repeats the choices of a
# run, not its timing).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Lab;
use PcapTest::Soak qw(sample write_csv judge);
use PcapTest::Traffic qw(flood);
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

    my $end = $c->stay(rand(6) + 0.1, sub { $c->traffic(int rand 60,
        16 + int rand 1400) });

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


my $certs = PcapTest::Certs->new();
my $metrics = metrics_location($certs);
my $lab = hosts_lab(certs => $certs, fakes => 0, conf => {
    max_captures => 200, buffer_bytes => 1 << 20,
    buffer_bytes_total => 256 << 20 },
    nginx => { workers => 2, conns => 4096, listen => 'sndbuf=64k',
    zone => 'pcap_api_zone pcap 64m;', server => $metrics,
    pcap => join ' ', map { "pcap_api_static mixed fake/$_ 127.1.0."
    . (1 + $_) . ':9595 tls_name=pcap-agent;' } 0 .. 5 });
my $nginx = $lab->{nginx};
my $agents = $lab->{agents};
my $fake = PcapTest::Fake->new(certs => $lab->{certs}, port => 9595,
    script => \&script);

my (%running, %floods, @asked, @orphans, @samples, @bad);
my $sender = 0;
my %n = map { $_ => 0 } qw(started ended stopped vanished refused checked
    whole killed restarted reloads packets dropped late);


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


# --- captures ---------------------------------------------------------------

my @GROUPS = (('/v1/capture/static/demo?interface=eth0') x 2,
    '/v1/capture/static/mixed?', '/v1/capture/static/mixed?format=pcap&');


sub begin_one
{
    my $path = $GROUPS[rand @GROUPS];

    $path .= '&duration=' . int(500 + rand 9000) . 'ms' if rand() < 0.3;
    $path .= '&max_packets=' . int(1 + rand 2000) if rand() < 0.3;

    my $c = eval { $nginx->get($path, no_wait => 1, rand() < 0.3
        ? (rcvbuf => 16384) : ()) };

    return $n{refused}++ if !$c;

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

    $c->{ending} = time() + limit(30);
    $c->{lazy} = 0;
    return if $c->{complete} || !$c->{status} || $c->{status} != 200;

    $n{stopped}++;
    push @asked, eval { $nginx->get('/v1/captures/' . capture_id($c),
        method => 'DELETE', no_wait => 1) } || ();
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

    push @faults, 'time goes back' if strict_order($file) && !$api->{late};

    $n{packets} += $count;
    return @faults if !$c->{complete};

    $n{whole}++;
    $n{dropped} += $api->{dropped} || 0;
    $n{late} += $api->{late} || 0;

    for my $said ($api->{packets}, $c->trailer('x-pcap-packets')) {
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


# Is it a capture? All that answer are, but that each agent of "mixed" may fail
# at once. What they answer is counted, and shown at the end.
sub answered
{
    my ($c) = @_;

    my $status = $c->{status} || 'nothing';

    $n{"answer_$status"}++;
    push @bad, "$c->{path}: answered $status" if $status ne '200'
        && !($status eq '502' && $c->{path} =~ m{/mixed\?});

    return $status eq '200';
}


# What came is a capture, or the whole beginning of one.
sub check_one
{
    my ($c) = @_;

    delete $running{$c};
    $n{ended}++;
    push @bad, "$c->{path}: does not end" if !$c->{complete} && !$c->{eof};
    return if !answered($c);

    my $pcap = $c->{path} =~ /format=pcap&/;

    # a cut pcap has no mark where it could be cut
    return if $pcap && !$c->{complete};

    my @faults;
    my $ok = eval {
        my $file = $pcap ? PcapTest::Pcapng::parse_pcap($c->{body})
            : PcapTest::Pcapng::parse($c->{body}, partial =>
            !$c->{complete});

        @faults = $pcap ? () : faults($c, $file);

        # records counted as late are announced in pcapng only
        push @faults, 'pcap: wrong number of packets' if $pcap
            && $c->trailer('x-pcap-packets') != @{ $file->{packets} };
        1;
    };

    push @faults, "not well-formed: $@" if !$ok;
    push @bad, "$c->{path} ($c->{bytes} bytes, "
        . ($c->{complete} ? $c->trailer('x-pcap-status') // '?' : 'cut')
        . "): @faults" if @faults;
    $n{checked}++;
}


# --- accidents ----------------------------------------------------------------

# One process of an agent dies: a capture, or what was about to become one.
sub kill_capture
{
    my $a = $agents->[rand @$agents];
    my @pids = children($a->{pid});

    return if !@pids;

    my $pid = $pids[rand @pids];

    $a->{killed}{$pid} = 1;
    kill 'KILL', $pid;
    $n{killed}++;
}


# The listening process dies, and with it all it has begun; then it is back.
# Captures end as if they had been asked to.
sub kill_agent
{
    my ($a) = @_;

    my @served = children($a->{pid});

    kill 'KILL', $a->{pid};
    wait_exit($a->{pid}, 5);
    push @orphans, { name => $a->{name}, by => time() + limit(20),
        pids => \@served };
    $a->start(busy => 1);
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
    $n{reloads}++;
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


# Reloads in the first quarter only: what grows in a worker is to be seen in
# the rest of its life. The same goes for the second agent; the first one is
# killed until the end.
sub events
{
    my ($start) = @_;

    my @events = map { [ $SECONDS * $_, \&reload ] } 0.08, 0.16;

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
    @asked = grep { $_->pull(0); !$_->{complete} && !$_->{eof} } @asked;

    for my $c (values %running) {
        $c->pull(0) if !$c->{lazy} || rand() < 0.1;

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

my $start = time();
my $idle = snapshot($start);

churn($SECONDS, $CAPTURES, events($start));
wait_for(10, sub { $nginx->workers() == 2 });

my $end = snapshot($start);

write_csv($CSV, $idle, @samples, $end);

diag(join ', ', map { "$_ $n{$_}" } sort keys %n);
is(join("\n", @bad[0 .. ($#bad < 20 ? $#bad : 20)]), '',
    'every capture and every accident ended as it should');
is(join("\n", judge($SECONDS, $idle, $end, @samples)), '',
    'nothing is left, nothing has grown');
cmp_ok($n{checked}, '>', $SECONDS * $CAPTURES / 50, 'captures were checked');
cmp_ok($n{packets}, '>', $SECONDS * 10, 'and packets');
cmp_ok($n{killed} + $n{restarted}, '>', $SECONDS / 10, 'agents were killed');
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
