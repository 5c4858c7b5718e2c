# Who may capture a deployment: the right that `bosh ssh` needs, whatever
# else the token holds. Being able to read instances is not enough.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::BoshLab;


my $lab = bosh_lab(script => sub {
    my ($c) = @_;

    $c->begin();
    $c->traffic(3);
    $c->end();
}, nginx => { http => 'log_format secret "$status [$pcap_bearer]'
    . ' [$pcap_token] [$pcap_director_uri] [$pcap_agent_uri]";'
    . ' access_log logs/secret.log secret;',
    pcap => 'pcap_api_introspection_rate 1000 burst=1000;',
    server => 'location /v1/strict/ { pcap_api on; pcap_api_introspection'
    . ' /_pcap_introspect; pcap_api_bosh /_pcap_director;'
    . ' pcap_api_bosh_scope pcap.capture net.debug;'
    . ' pcap_api_agent_ranges 127.0.0.0/8; }' });
my ($nginx, $fake, $director) = @$lab{qw(nginx fake director)};
my $uuid = UUID();
my $other = '00000000-1111-2222-3333-444444444444';

$director->deployment('mine', [ 'dev', 'qa' ], vm('web', 0, 5));
$director->deployment('theirs', ['ops'], vm('web', 0, 6));
$director->deployment('nobodys', [], vm('web', 0, 7));

my $n = 0;


# What a token with these scopes may do with a deployment.
sub answer
{
    my ($deployment, $scopes, $base) = @_;

    my $token = 't' . $n++;

    user($lab, $token, @$scopes);

    return $nginx->fetch(($base || '/v1') . "/capture/bosh/$deployment",
        token => $token);
}


sub may
{
    my ($name, $deployment, $scopes, $base) = @_;

    capture_ok(answer($deployment, $scopes, $base), status => 'complete',
        name => "$name: may");
}


sub may_not
{
    my ($name, $deployment, $scopes, $detail, $base) = @_;

    my $before = $fake->events('accepted');
    my $c = answer($deployment, $scopes, $base);

    problem_is($c, 403, $detail, "$name: may not");
    like($c->header('www-authenticate') || '', qr/insufficient_scope/,
        "$name: WWW-Authenticate");
    is(scalar $fake->events('accepted'), $before, "$name: no agent asked");
}


# --- admins ------------------------------------------------------------------

may('bosh.admin', 'theirs', ['bosh.admin']);
may('admin among others', 'nobodys', [ 'openid', 'bosh.admin',
    'pcap.capture' ]);
may('this Director', 'theirs', ["bosh.$uuid.admin"]);
may_not('another Director', 'theirs', ["bosh.$other.admin"], undef);
may_not('a longer uuid', 'theirs', ["bosh.$uuid.adminx"], undef);
may_not('a scope around it', 'theirs', ["x.bosh.$uuid.admin"], undef);

# --- not enough --------------------------------------------------------------

my $asked = $director->seen(qr{^/deployments});

for my $scopes (
    ['bosh.read'],
    ["bosh.$uuid.read"],
    [ 'bosh.read', 'pcap.capture', 'pcap.admin' ],
    ['pcap.admin'],
    ['bosh.teams.ops.read'],
    [ 'bosh.teams.ops', 'bosh.teams..admin', 'bosh.teams.admin' ],
    ['openid'],
    [],
    ['BOSH.ADMIN'],
    ['bosh.admins'],
    ['xbosh.admin'],
) {
    may_not("@$scopes", 'theirs', $scopes, qr/bosh\.admin/);
}

is(scalar $director->seen(qr{^/deployments}), $asked,
    'who can have no right does not learn which deployments there are');

# --- teams -------------------------------------------------------------------

may('admin of its team', 'theirs', ['bosh.teams.ops.admin']);
may('admin of its second team', 'mine', ['bosh.teams.qa.admin']);
may_not('admin of another team', 'theirs', ['bosh.teams.dev.admin'],
    qr/no right to deployment "theirs"/);
may_not('a deployment without teams', 'nobodys', ['bosh.teams.ops.admin'],
    qr/no right/);

# now the Director lets him read, and still he may not capture
may_not('another team and bosh.read', 'theirs', [ 'bosh.read',
    'bosh.teams.dev.admin' ], qr/no team that may capture/);
may_not('another team and read of this', 'theirs', [ 'bosh.teams.ops.read',
    'bosh.teams.dev.admin' ], qr/no team that may capture/);
may_not('team names are whole', 'theirs', [ 'bosh.read',
    'bosh.teams.op.admin' ], qr/no team/);
may_not('a team of another deployment', 'nobodys', [ 'bosh.read',
    'bosh.teams.ops.admin' ], qr/no team/);

# what the list says about a deployment that it holds for another reason
$director->tell('list', body => '[{"name":"theirs","teams":[]},'
    . '{"name":"theirs2","teams":["dev"]},{"name":"their","teams":["dev"]}]');
may_not('names of deployments are whole', 'theirs', [ 'bosh.read',
    'bosh.teams.dev.admin' ], qr/no team/);
$director->tell('list', body => '[]');
may_not('not in the list', 'theirs', ['bosh.teams.ops.admin'], qr/no team/);
$director->tell('list', status => '401 Unauthorized', body =>
    '{"code":600000,"description":"Require one of the scopes: x"}');
may_not('the list is refused', 'theirs', ['bosh.teams.ops.admin'],
    qr/no right/);
$director->tell();

my $lists = $director->seen(qr{^/deployments\?});

may('an admin is not asked for teams', 'mine', ['bosh.admin',
    'bosh.teams.dev.admin']);
is(scalar $director->seen(qr{^/deployments\?}), $lists,
    'the list is read where a right depends on it');

# --- a scope of our own beside it --------------------------------------------

may('both', 'theirs', [ 'bosh.admin', 'pcap.capture' ], '/v1/strict');
may('the second scope', 'theirs', [ 'bosh.teams.ops.admin', 'net.debug' ],
    '/v1/strict');
$asked = $director->seen();
may_not('without ours', 'theirs', ['bosh.admin'], qr/scope "pcap.capture"/,
    '/v1/strict');
may_not('pcap.admin is no replacement', 'theirs', [ 'bosh.admin',
    'pcap.admin' ], qr/scope "pcap.capture"/, '/v1/strict');
is(scalar $director->seen(), $asked, 'the Director is not asked');
may_not('ours alone', 'theirs', ['pcap.capture'], qr/bosh\.admin/,
    '/v1/strict');

# --- the token ---------------------------------------------------------------

for my $case ([ undef, 'no token' ], [ 'nobody', 'unknown to UAA' ]) {
    my ($token, $name) = @$case;
    my $before = $director->seen();
    my $c = $nginx->fetch('/v1/capture/bosh/cf', token => $token);

    problem_is($c, 401, undef, $name);
    is(scalar $director->seen(), $before, "$name: the Director is not asked");
}

# UAA knows it, the Director does not
$lab->{uaa}->token('half', scope => ['bosh.admin']);

my $c = $nginx->fetch('/v1/capture/bosh/cf', token => 'half');

problem_is($c, 401, qr/does not take the token/, 'unknown to the Director');
like($c->header('www-authenticate') || '', qr/invalid_token/,
    'WWW-Authenticate');

# nothing of the client's request reaches the Director but the token
$c = $nginx->get('/v1/capture/bosh/cf?instance=router/0', token => 'op',
    form => 'reason=secret-reason', headers => [ [ 'X-Evil', '1' ],
    [ 'Cookie', 'a=b' ], [ 'X-Forwarded-For', '1.2.3.4' ],
    [ 'X-Forwarded-Client-Cert', 'MIIB' ], [ 'User-Agent', 'me' ],
    [ 'Accept-Encoding', 'gzip' ], [ 'Expect', '100-continue' ] ]);
$c->read_end(10);

my ($last) = ($director->seen())[-1];

is($last->{auth}, 'bearer op', 'the token as it came');
is(lc join(' ', sort map { /^([\w-]+):/ ? $1 : () } split /\r\n/,
    $last->{text}), 'accept authorization connection host',
    'and no other header');
unlike($last->{text}, qr/secret-reason|X-Evil|1\.2\.3\.4/i, 'nor the form');

# --- no token outlives its question ------------------------------------------

# the client leaves while it is asked
$director->tell('instances', silent => 1);

my $before = $director->seen();

$c = $nginx->get('/v1/capture/bosh/cf', token => 'op', no_wait => 1);
wait_for(5, sub { $director->seen() > $before });
$c->vanish(1);
$lab->{uaa}->tell(silent => 1);
$before = $lab->{uaa}->seen();
$c = $nginx->get('/v1/capture/bosh/cf', token => 'fresh', no_wait => 1);
wait_for(5, sub { $lab->{uaa}->seen() > $before });
$c->vanish(1);
$lab->{uaa}->tell();

my $secret = $nginx->file('logs/secret.log');

ok(wait_for(5, sub { (() = slurp($secret) =~ /^499 /mg) == 2 }),
    'both have left');
is(join("\n", grep { !/^\d+ \[-\] \[-\] \[-\] \[-\]$/ } split /\n/,
    slurp($secret)), '', 'no log line has a token');

agents_quiet('all', $fake);
strict_director($lab);

finish();
