# Who may capture an app: who may read its sensitive data, where the app (and
# its space, its org, the platform) takes part, and where the operator of this
# API does not exclude it. Seeing an app is not enough.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::CfLab;
use PcapTest::Jwt;


my $lab = cf_lab(script => sub {
    my ($c) = @_;

    $c->begin();
    $c->traffic(3);
    $c->end();
}, location => { 'proxy_set_header X-Director' => '"$pcap_director_uri"' },
    nginx => { http => 'log_format secret "$status [$pcap_bearer]'
    . ' [$pcap_token] [$pcap_cc_uri] [$pcap_director_uri]'
    . ' [$pcap_agent_uri]"; access_log logs/secret.log secret;',
    pcap => 'pcap_api_introspection_rate 1000 burst=1000;'
    . ' pcap_api_cf_exclude ' . OTHER . ';', server =>
    join(' ', map { "location /v1/$_->[0]/ { pcap_api on;"
    . ' pcap_api_introspection /_pcap_introspect; pcap_api_cf /_pcap_cc;'
    . " pcap_api_agent_ranges 127.0.0.0/8; $_->[1] }" }
    [ 'strict', 'pcap_api_cf_scope pcap.capture net.debug;' ],
    [ 'note', 'pcap_api_cf_opt_in annotation pcap.example.com/capture;' ],
    [ 'all', 'pcap_api_cf_opt_in off;' ] ) . ' location /v1/keys/ {'
    . ' pcap_api on; pcap_api_token_keys /_pcap_token_keys; pcap_api_issuer '
    . PcapTest::Uaa::ISSUER() . '; pcap_api_cf /_pcap_cc;'
    . ' pcap_api_agent_ranges 127.0.0.0/8; }' });
my ($nginx, $fake, $cc) = @$lab{qw(nginx fake cc)};
my $note = 'pcap.example.com/capture';


sub may
{
    my ($name, $token, $base) = @_;

    return capture_ok($nginx->fetch(path_of('', $base), token => $token),
        status => 'complete', name => "$name: may");
}


sub may_not
{
    my ($status, $name, $token, $detail, $base) = @_;

    my $before = $fake->events('accepted');
    my $c = $nginx->fetch(path_of('', $base), token => $token);

    problem_is($c, $status, $detail, "$name: may not");
    is(scalar $fake->events('accepted'), $before, "$name: no agent asked");

    return $c;
}


# --- by the keys of the UAA ---------------------------------------------------

my ($key, $forger) = map { PcapTest::Jwt->new('key-1') } 1, 2;
my %claims = (iss => PcapTest::Uaa::ISSUER(), sub => 'u-9', user_id => 'u-9',
    user_name => 'signed', jti => 'id-9', exp => int(time()) + 600,
    scope => ['cloud_controller.read']);
my ($signed, $forged) = map { $_->token(\%claims) } $key, $forger;

$lab->{uaa}->tell(keys => [ $key->jwk() ]);
$cc->token($_, 'space-1' => 'space_developer') for $signed, $forged;
may('space developer, by keys', $signed, '/v1/keys');
may_not(401, 'a forged one, by keys', $forged, qr/signature/, '/v1/keys');
$cc->token($signed, 'space-1' => 'space_auditor');
may_not(403, 'space auditor, by keys', $signed, qr/sensitive data/,
    '/v1/keys');

# --- roles -------------------------------------------------------------------

may('space developer', 'dev');

for my $case ([ 'admin', global => 'admin' ],
    [ 'read-only admin', global => 'admin_read_only' ])
{
    my ($name, @roles) = @$case;

    cf_user($lab, 'user', @roles);
    may($name, 'user');
}

for my $case ([ 'space auditor', 'space-1' => 'space_auditor' ],
    [ 'space manager', 'space-1' => 'space_manager' ],
    [ 'space supporter', 'space-1' => 'space_supporter' ],
    [ 'org manager', 'org-1' => 'organization_manager' ],
    [ 'global auditor', global => 'global_auditor' ],
    [ 'org manager with our own scopes', 'org-1' => 'organization_manager',
        scopes => [qw(cloud_controller.read pcap.admin pcap.capture)] ])
{
    my ($name, @roles) = @$case;

    cf_user($lab, 'user', @roles);

    my $c = may_not(403, $name, 'user', qr/right\sto\sread\ssensitive
        \sdata\sof\sapp.*space\sdeveloper/x);

    like($c->header('www-authenticate') || '', qr/insufficient_scope/,
        "$name: WWW-Authenticate");
    is(($cc->seen())[-1]{path}, '/v3/apps/' . WEB . '/permissions',
        "$name: that was the only question");
}

$cc->space('space-2', 'org-1');

for my $case ([ 'developer of another space', 'space-2' =>
    'space_developer' ], [ 'org auditor', 'org-1' => 'organization_auditor' ],
    [ 'nobody' ])
{
    my ($name, @roles) = @$case;

    cf_user($lab, 'user', @roles);
    may_not(404, $name, 'user', qr/there is no app "${\WEB}"/);
}

problem_is($nginx->fetch('/v1/capture/cf/no-such-app', token => 'dev'), 404,
    qr/there is no app "no-such-app"/, 'no such app');

# --- the token ---------------------------------------------------------------

for my $case ([ undef, 'no token' ], [ 'stranger', 'unknown to UAA' ]) {
    my ($token, $name) = @$case;
    my $asked = $cc->seen();

    may_not(401, $name, $token);
    is(scalar $cc->seen(), $asked, "$name: nobody is asked");
}

$lab->{uaa}->token('half', scope => ['cloud_controller.read']);

my $c = may_not(401, 'unknown to the Cloud Controller', 'half',
    qr/the Cloud Controller does not take the token/);

like($c->header('www-authenticate') || '', qr/invalid_token/,
    'WWW-Authenticate');

cf_user($lab, 'user', 'space-1' => 'space_developer', scopes => ['openid']);
may_not(403, 'no scope of the Cloud Controller', 'user',
    qr/does not let this token look/);

# --- a scope of our own ------------------------------------------------------

my $asked = $cc->seen();

may_not(403, 'without ours', 'dev', qr/scope "pcap.capture"/, '/v1/strict');
is(scalar $cc->seen(), $asked, 'without ours: nobody is asked');

for my $scope (qw(pcap.capture net.debug)) {
    cf_user($lab, $scope, 'space-1' => 'space_developer', scopes =>
        [ 'cloud_controller.read', $scope ]);
    may("$scope beside the role", $scope, '/v1/strict');
}

cf_user($lab, 'user', 'space-1' => 'space_auditor', scopes =>
    [qw(cloud_controller.read pcap.capture)]);
may_not(403, 'ours alone', 'user', qr/sensitive data/, '/v1/strict');

# --- SSH: the platform's own switch ------------------------------------------

$cc->app(WEB, 'space-1', name => 'shop', ssh => 0, processes => [
    process(WEB, 'web', running(0, 0)) ]);
$c = may_not(403, 'SSH off for the app', 'dev',
    qr/"shop": ssh is disabled for app$/);
is($c->header('www-authenticate'), undef, 'which no other token would help');
may('which another location does not ask for', 'dev', '/v1/all');
is(scalar(grep { $_->{path} =~ /ssh/ } ($cc->seen())[ -4 .. -1 ]), 0,
    'and does not even look at');
cf_user($lab, 'root', global => 'admin');
may_not(403, 'not even for an admin', 'root', qr/disabled for app/);

cf_app($lab, process(WEB, 'web', running(0, 0)));
$cc->space('space-1', 'org-1', name => 'dev', ssh => 0);
may_not(403, 'SSH off for the space', 'dev',
    qr/ssh is disabled for space 'dev'$/);
$cc->space('space-1', 'org-1', name => 'dev');
$cc->set(ssh => 0);
may_not(403, 'SSH off everywhere', 'dev', qr/ssh is disabled globally$/);
$cc->set(ssh => 1);
may('SSH on again', 'dev');

# --- an annotation instead ---------------------------------------------------

sub annotated
{
    my (%on) = @_;

    $cc->org('org-1', name => 'acme', annotations => $on{org} || {});
    $cc->space('space-1', 'org-1', name => 'dev', annotations =>
        $on{space} || {}, ssh => 0);
    $cc->app(WEB, 'space-1', name => 'shop', annotations => $on{app} || {},
        processes => [ process(WEB, 'web', running(0, 0)) ]);
}


annotated();
may_not(403, 'not opted in', 'dev', qr/"shop" does not take part.*"\Q$note\E"/,
    '/v1/note');

for my $value ('false', '', 'True', 'true ', '1') {
    annotated(app => { $note => $value });
    may_not(403, "opted in by \"$value\"", 'dev', qr/does not take part/,
        '/v1/note');
}

annotated(app => { 'capture' => 'true', 'example.com/capture' => 'true' });
may_not(403, 'another annotation', 'dev', qr/does not take part/,
    '/v1/note');
annotated(app => { $note => 'true' });
may('opted in, and SSH is of no interest', 'dev', '/v1/note');
is(scalar(grep { $_->{path} =~ /include=/ } $cc->seen()) > 0, 1,
    'its org came along');
annotated(app => { $note => 'true' }, org => { $note => 'true' }, space =>
    { $note => 'true', other => 'false' });
may('which org and space allow', 'dev', '/v1/note');
annotated(app => { $note => 'true' }, org => { $note => 'false' });
may_not(403, 'the org forbids', 'dev',
    qr/the organization of app "shop" forbids/,
    '/v1/note');
annotated(app => { $note => 'true' }, org => { $note => '' });
may_not(403, 'any other word of the org forbids', 'dev',
    qr/organization.*forbids/, '/v1/note');
annotated(app => { $note => 'true' }, space => { $note => 'no' }, org =>
    { $note => 'true' });
may_not(403, 'the space forbids', 'dev', qr/the space of app "shop" forbids/,
    '/v1/note');
annotated(org => { $note => 'true' }, space => { $note => 'true' });
may_not(403, 'an org cannot opt in for its apps', 'dev',
    qr/does not take part/, '/v1/note');
annotated(app => { $note => 'true' }, org => { $note => 'false' });
cf_user($lab, 'user', 'space-1' => 'space_auditor');
may_not(403, 'roles come first', 'user', qr/sensitive data/, '/v1/note');
annotated(app => { $note => 'false' });
may('where none is asked for', 'dev', '/v1/all');

# --- excluded by the operator ------------------------------------------------

$cc->space('space-1', 'org-1', name => 'dev');
$cc->app(OTHER, 'space-1', name => 'cf-internal', processes =>
    [ process(OTHER, 'web', running(0, 0)) ]);
cf_user($lab, 'user', global => 'admin');

for my $guid (OTHER, uc OTHER) {
    problem_is($nginx->fetch("/v1/capture/cf/$guid", token => 'user'), 403,
        qr/"${\OTHER}" must not be captured: the operator/,
        "excluded as $guid");
}

cf_user($lab, 'user', 'space-2' => 'space_developer');
problem_is($nginx->fetch('/v1/capture/cf/' . OTHER, token => 'user'), 404,
    undef, 'who does not see it does not learn that it is excluded');

$c = $nginx->fetch('/v1/all/capture/cf/' . OTHER, token => 'dev');
capture_ok($c, status => 'complete', name => 'elsewhere it is not');

# --- no token where it does not belong ---------------------------------------

annotated(app => { $note => 'true' });
$cc->space('space-1', 'org-1', name => 'dev');
$c = $nginx->get(path_of(), token => 'dev', form => 'reason=secret-reason',
    headers => [ [ 'X-Evil', '1' ], [ 'Cookie', 'a=b' ],
    [ 'X-Forwarded-For', '1.2.3.4' ], [ 'X-Forwarded-Client-Cert', 'MIIB' ],
    [ 'User-Agent', 'me' ], [ 'Accept-Encoding', 'gzip' ] ]);
$c->read_end(10);

my ($last) = ($cc->seen())[-1];

is($last->{auth}, 'bearer dev', 'the token as it came');
is(lc join(' ', sort map { /^([\w-]+):/ ? $1 : () } split /\r\n/,
    $last->{text}), 'accept authorization connection host',
    'and no other header');
unlike($last->{text}, qr/secret-reason|X-Evil|1\.2\.3\.4/i, 'nor the form');
unlike(join('', map { $_->{text} } $fake->events('request')),
    qr/bearer|Authorization/i, 'no agent has seen a token');

# the client leaves while the platform is asked
$cc->tell('stats', silent => 1);

my $before = $cc->seen();

$c = $nginx->get(path_of(), token => 'dev', no_wait => 1);
wait_for(5, sub { $cc->seen() >= $before + 5 });
$c->vanish(1);

my $secret = $nginx->file('logs/secret.log');

ok(wait_for(5, sub { (() = slurp($secret) =~ /^499 /mg) == 1 }),
    'it has left');
is(join("\n", grep { !/^\d+ \[-\] \[-\] \[-\] \[-\] \[-\]$/ } split /\n/,
    slurp($secret)), '', 'no log line has a token');

agents_quiet('all', $fake);
strict_cc($lab);

finish();
