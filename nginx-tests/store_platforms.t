# Captures to storage of BOSH deployments and Cloud Foundry apps, one instance
# and several; the right of one that nobody attends, over time; what a full
# disk does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Audit;
use PcapTest::BoshLab;
use PcapTest::Certs;
use PcapTest::CfLab qw(cf_user cf_app running process WEB);
use PcapTest::CloudController;
use PcapTest::StoreLab;
use Time::HiRes qw(time);


my $dir = work_dir() . '/audit';

mkdir $dir;
chmod 0755, $dir;

my ($key, $log) = (audit_key("$dir/key"), "$dir/audit.log");
my $certs = PcapTest::Certs->new();
my $cc = PcapTest::CloudController->new(certs => $certs);
my $tmpfs = work_dir() . '/tmpfs';

PcapTest::Store::own_dir($tmpfs);
must('mount', '-t', 'tmpfs', '-o', 'size=100m,mode=0755,uid='
    . (getpwnam 'nobody')[2], 'tmpfs', $tmpfs);

at_end(sub { must('umount', $tmpfs) });

my $store = store_for(folder => $tmpfs, errors => qr/No space left/);
my $lab = bosh_lab(certs => $certs, script => sub {
    my ($c) = @_;

    if (($c->{args}{filter}[0] || '') eq 'udp') {
        $c->begin();
        $c->stay(limit(60), sub { $c->traffic(60, 60000) });
        return $c->end();
    }

    $c->usual(1);
}, nginx => { workers => 2, store => $store,
    http => "pcap_api_audit $log key=$key;",
    pcap => 'pcap_api_cf /_pcap_cc; pcap_api_static demo web/0'
    . ' 127.1.0.1:9494 tls_name=pcap-agent; pcap_api_reauth 1s;'
    . ' pcap_api_introspection_rate 1000 burst=1000;'
    . ' pcap_api_store_unattended 2s;', server => $cc->location('/_pcap_cc')
    } );
my ($nginx, $fake, $uaa, $director) = @$lab{qw(nginx fake uaa director)};

$lab->{cc} = $cc;
$cc->org('org-1', name => 'acme');
$cc->space('space-1', 'org-1', name => 'dev');
cf_user($lab, 'dev', 'space-1' => 'space_developer');
cf_app($lab, process(WEB, 'web', map { running($_, $_) } 0 .. 2));


# Takes a capture to storage and fetches it; the instances in the file.
sub taken
{
    my ($name, $doc, %o) = @_;

    my $id = stored($nginx, $name, doc => $doc, %o)->{id};
    my $end = wait_stored($nginx, $id, token => $o{token});
    my $file = file_ok(download($nginx, $id, token => $o{token}), $end,
        $name);

    is($end->{status}, 'limit', "$name: to its limit");
    is($end->{resolver}, $doc->{resolver}, "$name: its resolver");
    ok(scalar @{ $file->{packets} }, "$name: packets");

    return join ' ', sort map { $_->{name} } @{ $file->{ifaces} };
}


sub end_line
{
    my ($id) = @_;

    my ($line) = grep { $_->{event} eq 'end' && $_->{capture} eq $id }
        map { decode_json($_) } split /\n/, slurp($log);

    return $line || {};
}


# --- the four cases -----------------------------------------------------------

my %bosh = (resolver => 'bosh', target => 'cf');
my %cf = (resolver => 'cf', target => WEB);
my $r0 = PcapTest::Director::id(0);

is(taken('BOSH, one', \%bosh, token => 'op', options => { instance =>
    'router/0', max_packets => 5 }), "router/$r0/eth0", 'BOSH: one instance');

my $names = taken('BOSH, several', \%bosh, token => 'op',
    options => { instance => [qw(router diego-cell/2)], max_packets => 20 });

is(scalar(() = $names =~ m{router/}g), 2, 'BOSH: both routers');
is(scalar(() = $names =~ m{diego-cell/}g), 1, 'BOSH: and a cell');
is(taken('CF, one', \%cf, token => 'dev', options => { index => 1,
    max_packets => 5 }), 'shop/1/eth0', 'CF: one instance');
is(taken('CF, several', \%cf, token => 'dev', options => {
    max_packets => 20 }), 'shop/0/eth0 shop/1/eth0 shop/2/eth0',
    'CF: several');

# who may not capture may not store
my $c = $nginx->fetch('/v1/captures', token => 'dev', json => encode_json({
    %bosh, options => { duration => '5s' } }));

like($c->{status}, qr/^40[134]$/, 'no right to the deployment');
$c = $nginx->fetch('/v1/captures', token => 'op', json => encode_json({
    %cf, options => { duration => '5s' } }));
like($c->{status}, qr/^40[134]$/, 'no right to the app');

# --- nobody attends -----------------------------------------------------------

# the token runs out: it goes on for a while, and says why it ends
$uaa->token('brief', scope => ['bosh.admin'], exp => int(time()) + 4,
    user_name => 'brief', user_id => 'u-brief', sub => 'u-brief');
$director->token('brief', 'bosh.admin');

my $start = time();
my $id = stored($nginx, 'unattended', token => 'brief', doc => \%bosh)->{id};

# his token is of no more use: an admin sees it
$uaa->token('boss', scope => ['pcap.admin'], user_name => 'boss',
    user_id => 'u-boss', sub => 'u-boss');

my $end = wait_stored($nginx, $id, token => 'boss', seconds => 20);

is($end->{status}, 'limit', 'unattended: ends as a limit');
cmp_ok(time() - $start, '>', 4.5, 'unattended: it went on without a token');
is(end_line($id)->{end_reason}, 'unattended', 'unattended: the audit says so');
is($end->{stored}{state}, 'stored', 'unattended: stored');

# the right goes: it ends
$id = stored($nginx, 'right', token => 'dev', doc => \%cf)->{id};
wait_for(5, sub { ($nginx->fetch("/v1/captures/$id", token => 'dev')->{body}
    // '') =~ /"state": ?"running"/ });
cf_user($lab, 'dev', 'space-1' => 'space_auditor');
$end = wait_stored($nginx, $id, token => 'dev', seconds => 20);
is($end->{status}, 'stopped', 'right: stopped');
is(end_line($id)->{end_reason}, 'right', 'right: the audit says so');
cf_user($lab, 'dev', 'space-1' => 'space_developer');

# --- a full disk -------------------------------------------------------------

my $live = $nginx->get('/v1/capture/static/demo', token => 'good');

$live->read_until(5, sub { seen_count($live, 0, 3) });
spew("$tmpfs/ballast", 'x' x (32 << 20));
$id = stored($nginx, 'disk', token => 'good', options => { filter => 'udp' }
    )->{id};
$end = wait_stored($nginx, $id, seconds => 30, token => 'good');
is($end->{stored}{state}, 'stored', 'disk: stored');
like($end->{stored}{detail}, qr/space/i, 'disk: and why no more');
cmp_ok($end->{stored}{lost}, '>', 0, 'disk: what was lost is said');

my $file = file_ok(download($nginx, $id, token => 'good'), $end, 'disk');

cmp_ok(scalar @{ $file->{packets} }, '>', 100, 'disk: what fitted');
$c = $nginx->fetch('/v1/captures', token => 'good', json => encode_json({
    resolver => 'static', target => 'demo', options => { duration => '5s' }
    }));
like(problem_of($c, 507, 'disk: the next one'), qr/./, 'disk: says what');
ok($live->read_until(5, sub { seen_count($live, 0, 20) }),
    'disk: live captures go on');
stop_capture($lab, $live);

is($nginx->fetch("/v1/captures/$id/file", method => 'DELETE',
    token => 'good')->{status}, 204, 'disk: what is full can be removed');
unlink "$tmpfs/ballast";
taken('disk, with room', { resolver => 'static', target => 'demo' },
    token => 'good', options => { max_packets => 5 });

strict_director($lab, 'at the end');
agents_quiet('the end', $fake);
finish();
