# Instances of a Cloud Foundry app: which ones, under which name, in which
# order, at which cell, in which container; those that do not run or cannot
# be reached are told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::CfLab;


# Cells know each container but those that a test has taken away.
my $lab = cf_lab(script => sub {
    my ($c) = @_;

    my ($handle) = @{ $c->{args}{container} || [''] };
    my $n = hex substr $handle, 0, 8;

    if ($n >= 100) {
        $c->gate('moved', silent => 1) if $n >= 200;
        return $c->refuse('404 Not Found', '{"detail":"container \"'
            . $handle . '\" is not here"}');
    }

    if ($n == 50) {                        # its app crashes
        $c->begin();
        $c->traffic(3);
        $c->chunk(PcapTest::Pcapng::isb(0, $c->now(), endtime => $c->now(),
            filteraccept => 3, osdrop => 0, usrdeliv => 3,
            opts => [ [ 1, 'container gone' ] ]));
        $c->send_raw("0\r\n\r\n");
        return $c->close();
    }

    return $c->refuse('400 Bad Request', '{"detail":"container: container'
        . ' captures are not configured on this agent"}') if $n == 60;

    return $c->refuse('404 Not Found', '{"detail":"no such interface",'
        . '"interfaces":["eth0","lo"]}')
        if ($c->{args}{interface} || [''])->[0] eq 'wlan0';

    $c->begin();
    $c->traffic(3);
    $c->end();
}, ranges => '127.1.0.0/24 ::1', nginx => { pcap =>
    'pcap_api_max_targets 6; pcap_api_cf_exclude ' . OTHER() . ' 00-11;'
    . ' pcap_api_introspection_rate 1000 burst=1000;', conns => 256 });
my ($nginx, $fake, $cc) = @$lab{qw(nginx fake cc)};
my $p2 = '9a8b7c6d-0000-4000-8000-000000000009';


# A capture as the developer; its file.
sub capture
{
    my ($query, $name, %e) = @_;

    my $c = $nginx->fetch(path_of($query), token => 'dev');

    status_is($c, 200, "$name: status") or return;

    return capture_ok($c, status => 'complete', name => $name, %e);
}


sub names
{
    my ($query, $name, %e) = @_;

    return names_of(capture($query, $name, %e) || {});
}


sub refused
{
    my ($status, $query, $detail, $name) = @_;

    return problem_is($nginx->fetch(path_of($query), token => 'dev'),
        $status, $detail, $name);
}


# --- all of them -------------------------------------------------------------

my $c = $nginx->fetch(path_of(), token => 'dev');
my $file = capture_ok($c, status => 'complete', name => 'all',
    packets => { map { ("shop/$_" => 3) } 0 .. 2 });

is(names_of($file), 'shop/0 shop/1 shop/2', 'all, by index');
is($file->{ifaces}[1]{name}, 'shop/1/eth0', 'an interface is APP/INDEX/NAME');
like($file->{ifaces}[1]{description}, qr/^address=127\.1\.0\.2:9494\sindex=1\s
    clock_offset_ms=[+-]\d+\.\d+\sinstance_guid=\Q${\handle(1)}\E\s
    container=10\.255\.0\.2$/x, 'its description');
is(asked_of($fake), join(', ', map { handle($_) . ' ' . WEB } 0 .. 2),
    'each agent was asked for its container and the app');
is(scalar(grep { $_->{args}{interface} } $fake->events('request')), 0,
    'and for no interface');
like($c->header('content-disposition'),
    qr/filename="shop-\d{8}T\d{6}Z\.pcapng"/, 'the file has its name');
is_deeply($file->{hosts}, { map { ('10.255.0.' . ($_ + 1) => ["shop/$_"]) }
    0 .. 2 }, "names of the containers' addresses");

is(join(' ', map { $_->{path} } $cc->seen()), join(' ', '/', map { "/v3/$_" }
    'apps/' . WEB . '/permissions', 'apps/' . WEB, 'apps/' . WEB
    . '/ssh_enabled', 'apps/' . WEB . '/processes?per_page=5000',
    'processes/' . WEB . '/stats'), 'what was asked');
is(join(' ', map { $_->{auth} } $cc->seen()), join(' ', 'bearer ',
    ('bearer dev') x 5), "but for the first one with the caller's token");

# --- selection ---------------------------------------------------------------

is(names('?index=1', 'one'), 'shop/1', 'an index');
is(names('?index=2&index=0&index=02', 'two'), 'shop/0 shop/2',
    'two, one of them twice');
is(names('?process=web&index=0', 'web'), 'shop/0', 'the usual process');

$c = $nginx->get(path_of(), token => 'dev', form =>
    'index=2&process=web&filter=port%2080');
$c->read_end(10);
is(names_of(capture_ok($c, status => 'complete', name => 'POST')), 'shop/2',
    'by POST');

refused(404, '?index=3', qr/"shop" has no instance 3/, 'unknown index');
refused(404, '?index=0&index=9999', qr/no instance 9999/, 'one of two');
refused(404, '?process=worker',
    qr/"shop" has no process "worker", it has: web$/, 'unknown process');

for my $case (
    [ 'index=10000', qr/"index"/ ],
    [ 'index=-1', qr/"index"/ ],
    [ 'index=', qr/"index"/ ],
    [ 'index=1x', qr/"index"/ ],
    [ 'index=99999999999999999999', qr/"index"/ ],
    [ 'process=', qr/"process"/ ],
    [ 'process=a/b', qr/"process"/ ],
    [ 'process=..', qr/"process"/ ],
    [ 'process=a%26b', qr/"process"/ ],
    [ 'process=' . 'x' x 49, qr/"process"/ ],
    [ 'process=web&process=web', qr/"process" is given twice/ ],
    [ 'instance=shop/0', qr/unknown option "instance".* index,.* process/ ],
    [ join('&', map { "index=$_" } 0 .. 256), qr/more than 256/ ],
) {
    refused(400, "?$case->[0]", $case->[1], 'option '
        . substr $case->[0], 0, 20);
}

# --- the app's guid ----------------------------------------------------------

my $asked = $cc->seen();

for my $guid ('a%2Fb', '..', '%2e%2e', 'a%3Fb', 'a%23', 'x' x 65, '-a',
    'a%0Ab', 'a.b', 'a%20b', 'a/b', 'a,b')
{
    $c = $nginx->fetch("/v1/capture/cf/$guid", token => 'dev');
    is(($c->{status} || 0) =~ /^40[04]$/ ? 1 : 0, 1, "guid $guid: refused")
        or diag($c->{status});
}

is(scalar $cc->seen(), $asked, 'no such guid reaches the Cloud Controller');
$c = $nginx->fetch('/v1/capture/cf/' . uc WEB, token => 'dev');
capture_ok($c, status => 'complete', name => 'another spelling');
is(asked_of($fake, $fake->events('request') - 3), join(', ', map {
    handle($_) . ' ' . WEB } 0 .. 2), "agents get the platform's own");

# --- processes ---------------------------------------------------------------

cf_app($lab, process(WEB, 'web', running(0, 0), running(1, 1)),
    process($p2, 'web', running(0, 2)),
    process('w-1', 'worker', running(0, 3), running(1, 4)));

is(names('', 'two of a type'), 'shop/0@3f1c8a52 shop/1@3f1c8a52'
    . ' shop/0@9a8b7c6d', 'a rolling deployment has two of one type');
is(names('?index=0', 'index of both'), 'shop/0@3f1c8a52 shop/0@9a8b7c6d',
    'an index in both');
is(names('?index=1', 'index of one'), 'shop/1@3f1c8a52', 'in one of them');
is(names('?process=worker', 'another type'), 'shop/worker/0 shop/worker/1',
    'another type of process');
refused(404, '?process=task', qr/it has: web, web, worker$/, 'no such type');

cf_app($lab, process(WEB, 'web', running(0, 0)), { %{ process($p2, 'web',
    running(0, 2)) }, gone => 1 });
is(names('', 'gone'), 'shop/0@3f1c8a52',
    'a process that goes in between is none');

# --- the name of an app ------------------------------------------------------

for my $case ([ 'my shop', 'my_shop' ], [ "a\nb: c\e[0m", 'a_b__c__0m' ],
    [ "caf\x{e9} \x{1f600}", 'caf___' ], [ '../../etc', '_._.._etc' ],
    [ '..', '_.' ], [ 'x' x 255, 'x' x 60 ], [ 'a/b', 'a_b' ],
    [ '"; rm', '___rm' ])
{
    $cc->app(WEB, 'space-1', name => $case->[0], processes =>
        [ process(WEB, 'web', running(0, 0)) ]);
    is(names('', 'name'), "$case->[1]/0", "name $case->[1]");
}

# --- not running -------------------------------------------------------------

cf_app($lab, process(WEB, 'web', running(0, 0), running(1, 1, state =>
    'CRASHED', details => "insufficient resources:\nmemory"), running(2, 2,
    state => 'STARTING', host => '', instance_internal_ip => ''), down(3)));

$file = capture('', 'one of four', status => 'partial');
is(names_of($file), 'shop/0', 'the one that runs');
has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/1',
    qr/^its state is CRASHED: insufficient resources: memory$/);
has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/2', qr/is STARTING$/);
has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/3', qr/is DOWN$/);
is(names('?index=0', 'only it'), 'shop/0', 'asked for alone it is complete');

my $doc = refused(502, '?index=1&index=3', qr/no instance could start.*CRASHED/,
    'none that runs');

is_deeply($doc->{targets}, [ { name => 'shop/1', type =>
    'INSTANCE_UNAVAILABLE', detail => 'its state is CRASHED: insufficient'
    . ' resources: memory' }, { name => 'shop/3', type =>
    'INSTANCE_UNAVAILABLE', detail => 'its state is DOWN' } ],
    'why, for each');

cf_app($lab, process(WEB, 'web'));
refused(409, '', qr/"shop" has no instance of process "web"/,
    'scaled to zero');
$cc->app(WEB, 'space-1', name => 'shop', state => 'STOPPED', processes =>
    [ process(WEB, 'web', down(0)) ]);
refused(409, '', qr/"shop" is stopped/, 'stopped');

cf_app($lab, process(WEB, 'web', map { running($_, $_) } 0 .. 6));
refused(413, '', qr/7 targets.*pcap_api_max_targets.*6/, 'too many');

# --- cells -------------------------------------------------------------------

cf_app($lab, process(WEB, 'web', running(0, 0), running(1, 1, host =>
    '10.0.0.5'), running(2, 2, host => 'cell.internal'), running(3, 3,
    host => '127.1.1.1'), running(4, 4, host => undef), running(5, 5,
    instance_internal_ip => undef)));

$file = capture('', 'cells', status => 'partial');
is(names_of($file), 'shop/0 shop/5', 'those whose cell may be asked');
has_message($file, 'INSTANCE_UNAVAILABLE', "shop/$_",
    qr/does not lie in the agents' ranges/) for 1, 3;
has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/2', qr/no literal one/);
has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/4', qr/on which cell/);
like($file->{ifaces}[1]{description}, qr/instance_guid=\S+$/,
    'without an address of its own');
is_deeply($file->{hosts}, { '10.255.0.1' => ['shop/0'] },
    'no name without an address');
is(scalar(grep { $_->{addr} !~ /^127\.1\.0\./ } $fake->events('accepted')),
    0, 'nobody else was asked');

# --- moved -------------------------------------------------------------------

# the cell does not know it, and the Cloud Controller says nothing new
cf_app($lab, process(WEB, 'web', running(0, 0), running(1, 101)));
my $stats = $cc->seen(qr/stats/);
$file = capture('', 'stale', status => 'partial');
is(names_of($file), 'shop/0', 'stale: the other one');
has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/1',
    qr/does not know its container: the instance has moved or ended/);
is($cc->seen(qr/stats/) - $stats, 2, 'stale: asked once more');

$doc = refused(502, '?index=1', qr/moved or ended/, 'stale alone');
is($doc->{targets}[0]{type}, 'INSTANCE_UNAVAILABLE', 'stale alone: type');


# While the old cell thinks, the Cloud Controller learns of @after.
sub moves
{
    my ($query, @after) = @_;

    my %change = ref $after[0] ? () : splice @after;

    unlink "$fake->{file}.moved";
    cf_app($lab, process(WEB, 'web', running(0, 0), running(1, 201),
        running(2, 202)));

    my $n = $fake->events('request');
    my $c = $nginx->get(path_of($query), token => 'dev', no_wait => 1);

    wait_for(5, sub { $fake->events('request') >= $n + 3 });
    %change ? $cc->tell('stats', %change)
        : cf_app($lab, process(WEB, 'web', @after));
    $fake->open_gate('moved');
    $c->read_end(10);
    $cc->tell() if %change;

    return $c;
}


$c = moves('', running(0, 0), running(1, 7), running(2, 8));
$file = capture_ok($c, status => 'complete', name => 'moved',
    packets => { map { ("shop/$_" => 3) } 0 .. 2 });
is(names_of($file), 'shop/0 shop/1 shop/2', 'moved: all are there');
like($file->{ifaces}[1]{description}, qr/address=127\.1\.0\.8:9494
    .*\sinstance_guid=\Q${\handle(7)}\E/x, 'moved: at the new place');

$c = moves('', running(0, 0), running(1, 7), down(2));
$file = capture_ok($c, status => 'partial', name => 'one crashed');
is(names_of($file), 'shop/0 shop/1', 'one crashed: the others');
has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/2', qr/is DOWN/);

$c = moves('', running(0, 0), running(1, 102), running(2, 9, host =>
    '10.0.0.1'));
$file = capture_ok($c, status => 'partial', name => 'moved twice');
has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/1', qr/moved or ended/);
has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/2', qr/agents' ranges/);

$cc->tell();
$c = moves('', running(0, 0));
$file = capture_ok($c, status => 'partial', name => 'scaled down');
is(names_of($file), 'shop/0', 'scaled down: the one that stays');

# whatever the second look brings, the others are captured
for my $case ([ 'fails', status => '500 Internal Server Error', body => '{}' ],
    [ 'says nothing', silent => 1 ],
    [ 'does not take the token any more', status => '401 Unauthorized', body =>
        '{"errors":[{"code":1000,"title":"CF-InvalidAuthToken"}]}' ],
    [ 'says rubbish', body => '[5]' ])
{
    my ($name, %change) = @$case;

    $c = moves('', %change);
    $file = capture_ok($c, status => 'partial', name => "it $name");
    is(names_of($file), 'shop/0', "it $name: the other one");
    has_message($file, 'INSTANCE_UNAVAILABLE', 'shop/1',
        qr/moved or ended/, "it $name: a word");
    like($nginx->fetch('/v1/status', token => undef)->{body},
        qr/"healthy": *true/, "it $name: no word on its health");
}

# --- gone while it is captured -----------------------------------------------

cf_app($lab, process(WEB, 'web', running(0, 0), running(1, 50)));
$file = capture('', 'gone', status => 'complete', packets =>
    { 'shop/0' => 3, 'shop/1' => 3 });
has_message($file, 'CAPTURE_STOPPED', 'shop/1', qr/^the container is gone$/);

# --- a cell that takes none --------------------------------------------------

cf_app($lab, process(WEB, 'web', running(0, 60)));
refused(502, '', qr/no instance could start.*not configured on this agent/,
    'which is not the fault of who asks');

# --- an interface ------------------------------------------------------------

cf_app($lab, process(WEB, 'web', running(0, 0), running(1, 1)));
refused(400, '?interface=wlan0', qr/no such interface.*eth0, lo/,
    'no such interface');
capture('?interface=eth0', 'interface');
is(($fake->events('request'))[-1]{args}{interface}[0], 'eth0',
    'an interface that was asked for');

# --- classic pcap ------------------------------------------------------------

$c = $nginx->fetch(path_of('?format=pcap&index=1'), token => 'dev');
pcap_ok($c, status => 'complete', name => 'pcap');

agents_quiet('fake', $fake);
strict_cc($lab);

finish();
