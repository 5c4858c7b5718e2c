# The right of a capture that runs is asked for again, beside the stream: it
# ends when the right is found missing, it goes on while its token is renewed,
# for a while without a valid one, and for a while when nobody can tell. Only a
# right that is found makes that while begin again, however many tokens come.
#
# RIGHTS_SECONDS=400 beside it (make rights) runs one capture for so long with
# tokens of 120 s that are renewed, and the default of pcap_api_reauth.

use strict;
use warnings;
no warnings 'portable';

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use JSON::PP;
use PcapTest::BoshLab;
use PcapTest::Certs;
use PcapTest::CfLab qw(cf_user running process path_of WEB);
use PcapTest::CloudController;
use PcapTest::Jwt;
use PcapTest::Pcapng ();
use Time::HiRes qw(time);


my $certs = PcapTest::Certs->new();
my $cc = PcapTest::CloudController->new(certs => $certs);
my $demo = 'pcap_api_static demo web/0 127.1.0.1:9494 tls_name=pcap-agent;';
my $more = "pcap_api_introspection_rate 1000 burst=1000; $demo";
my $all = 'pcap_api on; pcap_api_introspection /_pcap_introspect;'
    . ' pcap_api_bosh /_pcap_director; pcap_api_cf /_pcap_cc;'
    . ' pcap_api_agent_ranges 127.0.0.0/8;';

# A token endpoint that takes connections and says nothing.
my $mute = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1')
    or die "listen: $!";
my $mute_port = $mute->sockport();
my $life = limit(60) + ($ENV{RIGHTS_SECONDS} || 0);
my $lab = bosh_lab(certs => $certs, script => sub {
    my ($c) = @_;

    $c->begin();
    $c->stay($life, sub { $c->traffic(1) });
    $c->end();
}, nginx => { workers => 2,
    pcap => "pcap_api_cf /_pcap_cc; pcap_api_reauth 1s; $more",
    server => $cc->location('/_pcap_cc')
    . "location /v1/short/ { $all $more pcap_api_reauth 1s;"
    . ' pcap_api_reauth_max_age 3s; }'
    . "location /v1/seldom/ { $all $more pcap_api_reauth_max_age 3s; }"
    . "location /v1/flooded/ { $all $more pcap_api_reauth 1s;"
    . ' pcap_api_reauth_max_age 3s; pcap_api_introspection_inflight 4; }'
    . 'location /v1/mute/ { pcap_api on; pcap_api_introspection /_mute;'
    . " $more pcap_api_introspection_inflight 4; }"
    . 'location = /_mute { internal; proxy_pass'
    . " http://127.0.0.1:$mute_port; }"
    . "location /v1/limited/ { $all $demo pcap_api_reauth 1s;"
    . ' pcap_api_introspection_rate 1 burst=1; }'
    . 'location /v1/keys/ { pcap_api on; pcap_api_token_keys'
    . ' /_pcap_token_keys; pcap_api_issuer ' . PcapTest::Uaa::ISSUER()
    . '; pcap_api_cf /_pcap_cc; pcap_api_agent_ranges 127.0.0.0/8;'
    . " $more pcap_api_reauth 1s; pcap_api_reauth_max_age 3s; }"
    . 'location /v1/note/ { pcap_api on; pcap_api_introspection'
    . ' /_pcap_introspect; pcap_api_cf /_pcap_cc; pcap_api_agent_ranges'
    . " 127.0.0.0/8; $more pcap_api_reauth 1s;"
    . ' pcap_api_cf_opt_in annotation pcap.example.com/capture; }' });
my ($nginx, $fake, $uaa, $director) = @$lab{qw(nginx fake uaa director)};

$lab->{cc} = $cc;
$cc->org('org-1', name => 'acme');
$cc->space('space-1', 'org-1', name => 'dev');


# The app, with two instances; options are those of CloudController->app.
sub shop
{
    $cc->app(WEB, 'space-1', name => 'shop', processes => [ process(WEB,
        'web', map { running($_, $_) } 0 .. 1) ], @_);
}


# A static token with this life in s, of alice or who is given.
sub token
{
    my ($name, $life, %claims) = @_;

    $uaa->token($name, scope => ['pcap.capture'], exp => int(time()) + $life,
        %claims);

    return $name;
}


sub begin
{
    my ($name, $path, $token) = @_;

    my $c = $nginx->get($path, token => $token);

    status_is($c, 200, "$name: begins");

    return $c;
}


# More packets come than were under way.
sub goes_on
{
    my ($name, $c, $packets) = @_;

    1 while $c->pull(0);

    my $at = length $c->{body};

    ok($c->read_until(5, sub { $packets <= (() = substr($c->{body}, $at)
        =~ /PCAPTEST/g) }), "$name: goes on");
}


sub ends
{
    my ($name, $c, $text, %o) = @_;

    $c->read_end(10);

    my $file = capture_ok($c, status => 'stopped', name => $name);

    has_message($file, 'CAPTURE_STOPPED', 'api', $text, "$name: is told");
}


sub put
{
    my ($c, $token, %o) = @_;

    return $nginx->fetch(($o{base} || '/v1') . '/captures/' . ($o{id}
        || capture_id($c)) . '/token', method => 'PUT', token => $token, %o);
}


# What is in the memory that workers share: how much of the fresh token, and of
# what should be there.
sub shared
{
    my ($worker) = $nginx->workers();
    my ($left, $known) = (0, 0);

    open my $maps, '<', "/proc/$worker/maps" or die "maps: $!";
    open my $mem, '<:raw', "/proc/$worker/mem" or die "mem: $!";

    for (<$maps>) {
        my ($a, $b) = m{^([0-9a-f]+)-([0-9a-f]+) rw-s .*/dev/zero} or next;
        my ($at, $end, $all) = (hex $a, hex $b, '');

        sysseek $mem, $at, 0;
        1 while length $all < $end - $at && sysread $mem, $all,
            $end - $at - length $all, length $all;
        $left += () = $all =~ /y{100}/g;
        $known += () = $all =~ /of these rows/g;
    }

    return ($left, $known);
}


# Nothing of the fresh token is left there; a worker may still be at the end of
# a capture whose client has it all.
sub wiped
{
    my ($name) = @_;
    my ($left, $known);

    ok(wait_for(3, sub { ($left, $known) = shared(); !$left }),
        "$name: no fresh token is left in shared memory");
    ok($known, "$name: what should be there is found");
}


# --- revoked in mid-capture --------------------------------------------------

user($lab, 'team', 'bosh.teams.ops.admin');
user($lab, 'keeps', 'bosh.teams.ops.admin', 'bosh.teams.dev.admin');
cf_user($lab, $_, 'space-1' => 'space_developer') for qw(role ssh note stays);
shop(annotations => { 'pcap.example.com/capture' => 'true' });
token($_, 600) for qw(scope revoked steady);

my $key = PcapTest::Jwt->new('key-1');


# A token with this life in s that the keys know.
sub signed
{
    my ($life) = @_;

    return $key->token({ iss => PcapTest::Uaa::ISSUER(), sub => 'u-9',
        user_id => 'u-9', user_name => 'signed', jti => 'id-9', exp =>
        int(time()) + $life, scope => ['cloud_controller.read'] });
}


my $signed = signed(600);

$uaa->tell(keys => [ $key->jwk() ]);
$cc->token($signed, 'space-1' => 'space_developer');

my $h2 = { file => work_dir() . '/h2.pcapng' };

$h2->{pid} = spawn('curl', [ 'curl', '-sS', '--http2', '-N', '-m', limit(60),
    '--cacert', $certs->file('ca.crt'), '-H', 'Authorization: bearer scope',
    '-o', $h2->{file}, 'https://localhost:8443/v1/capture/static/demo' ]);

my %run = (
    keys => begin('CF, by keys', path_of('', '/v1/keys'), $signed),
    team => begin('BOSH team', '/v1/capture/bosh/cf', 'team'),
    keeps => begin('BOSH, of two teams', '/v1/capture/bosh/cf', 'keeps'),
    admin => begin('BOSH admin', '/v1/capture/bosh/cf', 'op'),
    role => begin('CF role', path_of(''), 'role'),
    ssh => begin('CF, ssh', path_of(''), 'ssh'),
    note => begin('CF, annotation', path_of('', '/v1/note'), 'note'),
    scope => begin('scope', '/v1/capture/static/demo', 'scope'),
    revoked => begin('token', '/v1/capture/static/demo', 'revoked'),
    steady => begin('steady', '/v1/capture/static/demo', 'steady'),
);
my $asked = $uaa->seen();

$_->read_until(0.4, sub { 0 }) for values %run;
ok(wait_for(5, sub { $_->read_until(0.02, sub { 0 }) for values %run;
    $uaa->seen() >= $asked + 18 }), 'each is asked for again and again');
is(join(' ', grep { $run{$_}{eof} } sort keys %run), '', 'all go on');

# the deployment changes hands, and so on
$director->deployment('cf', ['dev'], vm('router', 0, 0));
$cc->token($_, 'space-1' => 'space_auditor') for 'role', $signed;
shop();
token('scope', 600, scope => ['openid']);
delete $uaa->{control}{tokens}{revoked};
$uaa->tell();

ends('BOSH team', $run{team}, qr/missing now: .*no team that may/);
ok(wait_for(5, sub { put($run{role}, 'role');
    $run{role}->read_until(0.03, sub { 0 }); $run{role}{eof}
    || $run{role}{complete} }), 'CF role: fresh tokens keep no check away');
ends('CF role', $run{role}, qr/right.*missing now: .*sensitive data/);
ends('CF role, by keys', $run{keys}, qr/right.*missing now: .*sensitive data/);
is(wait_exit($h2->{pid}, 5), 0, 'HTTP/2: ends properly');

my $h2_file = PcapTest::Pcapng::parse(slurp($h2->{file}));

is(verdicts_of($h2_file)->{api}{status}, 'stopped', 'HTTP/2: verdict');
has_message($h2_file, 'CAPTURE_STOPPED', 'api', qr/lacks the scope/,
    'HTTP/2: is told');
ends('CF annotation', $run{note}, qr/missing now: .*does not take part/);
ends('scope', $run{scope}, qr/missing now: .*lacks the scope "pcap.capture"/);
ends('token', $run{revoked}, qr/missing now: the token is not valid/);
goes_on('ssh is still enabled', $run{ssh}, 3);
shop(ssh => 0);
ends('CF ssh', $run{ssh}, qr/missing now: .*SSH to be enabled/);
goes_on('of two teams', $run{keeps}, 3);
goes_on('admin', $run{admin}, 3);
goes_on('steady', $run{steady}, 3);

# --- nobody can tell ---------------------------------------------------------

my $short = begin('no endpoint', '/v1/short/capture/static/demo', 'good');

$uaa->tell(status => '500 Internal Server Error');
my $start = time();
ok($short->read_until(12, sub { $short->{complete} }), 'ends after a while');
cmp_ok(time() - $start, '>', 2.5, 'but not before pcap_api_reauth_max_age');
ends('no endpoint', $short, qr/no valid token.*could not be checked/);
goes_on('a longer time is allowed', $run{steady}, 3);
$uaa->tell(delay => 0);
$director->tell('list', status => '503 Service Unavailable', body => 'no');
goes_on('no Director', $run{keeps}, 30);
$director->tell();
goes_on('the Director is there again', $run{keeps}, 10);
stop_capture($lab, $run{keeps}, token => 'keeps');
stop_capture($lab, $run{admin}, token => 'op');
stop_capture($lab, $run{steady}, token => 'steady');
capture_ok($run{steady}, status => 'stopped', name => 'steady',
    packets => $fake->sent_in($run{steady}, 0));

# --- a token runs out --------------------------------------------------------

my $exp = int(time()) + 3;                 # or a second later

token('brief', 3, user_id => 'u-b', sub => 'u-b');
my $brief2 = 'brief2' . 'y' x 2500;

token($brief2, 600, user_id => 'u-b', sub => 'u-b');

my $out = begin('runs out', '/v1/short/capture/static/demo', 'brief');
my $renewed = begin('renewed', '/v1/short/capture/static/demo', 'brief');
my $late = begin('renewed late', '/v1/short/capture/static/demo?reason=one'
    . '+of+these+rows', 'brief');

$start = time();
status_is(put($renewed, $brief2, base => '/v1/short'), 204,
    'a fresh token is taken');
wait_for(4, sub { $late->read_until(0.1, sub { 0 }); time() > $start + 3.7 });
status_is(put($late, $brief2, base => '/v1/short'), 204,
    'when the old one has run out as well');
$asked = $uaa->seen();
ok($out->read_until(12, sub { $out->{complete} }), 'ends after a while');
cmp_ok(time() - $exp, '>', 2, 'but not with its token');
ends('runs out', $out, qr/no valid token/);
cmp_ok(scalar(grep { $_->{text} =~ /token=brief2/ } $uaa->seen()), '>=', 3,
    'the fresh one is asked about');
goes_on('renewed', $renewed, 3);
goes_on('renewed late', $late, 3);
wiped('taken');

# --- fresh tokens by which the right is not found ----------------------------

my %b = (user_id => 'u-b', sub => 'u-b');

$exp = int(time()) + 3;
token('first', 3, %b);
my $first = signed(3);

$cc->token($first, 'space-1' => 'space_developer');
shop();

my %kept = (revoked => begin('revoked', '/v1/short/capture/static/demo',
    'first'), keys => begin('by keys', path_of('', '/v1/keys'), $first));
my $slow = begin('slow', '/v1/seldom/capture/static/demo', token('slow1', 2,
    %b));
my $slow_exp = int(time()) + 6;
my $left = sub { grep { !$_->{complete} && !$_->{eof} } values %kept };
my ($gone, $ended) = (0, 0);

$start = time();
status_is(put($slow, token('slow2', 6, %b), base => '/v1/seldom'), 204,
    'slow: before the first one runs out');

# each is good when it comes, as far as the API knows, and is not any more when
# it is asked with
while ((!$ended || $slow_exp) && time() < $start + 10) {
    my $token = token('gone' . ++$gone, 4, %b, scope => ['openid']);

    $nginx->fetch('/v1/short/captures', token => $token);
    delete $uaa->{control}{tokens}{$token};
    $uaa->tell();
    put($kept{revoked}, $token, base => '/v1/short');
    put($kept{keys}, signed(4), base => '/v1/keys');

    if ($slow_exp && time() > $slow_exp + 0.2) {
        status_is(put($slow, token('slow3', 600, %b), base => '/v1/seldom'),
            204, 'slow: when the second one has run out');
        $slow_exp = 0;
    }

    $_->read_until(0.02, sub { 0 }) for map { $left->(), $slow } 1 .. 9;
    $ended ||= time() if !$left->();
}

ok($ended, 'tokens alone keep no capture');
cmp_ok($ended - $exp, '>', 2, 'but it goes on for a while');
ends("fresh ones, $_", $kept{$_}, qr/no valid token/) for sort keys %kept;
is($slow_exp, 0, 'slow: got its third token');
goes_on('slow', $slow, 3);
cmp_ok(scalar(grep { $_->{text} =~ /token=slow2/ } $uaa->seen()), '>=', 2,
    'slow: its second one was asked with, long before it was due');
stop_capture($lab, $slow, token => 'slow3');

# --- whose fresh token -------------------------------------------------------

token('mallory', 600, user_id => 'u-m', sub => 'u-m');
problem_is(put($late, 'mallory', base => '/v1/short'), 404, qr/no running/,
    'of another user');
problem_is(put($late, 'admin', base => '/v1/short'), 404, undef,
    'of an admin');
problem_is(put($late, 'nobody', base => '/v1/short'), 401, undef,
    'not a valid one');
problem_is(put($late, $brief2, id => '0' x 32), 404, undef,
    'for no capture');
problem_is($nginx->fetch('/v1/captures/' . capture_id($late) . '/token',
    token => $brief2), 405, undef, 'GET');
problem_is($nginx->fetch('/v1/captures/zz/token', method => 'PUT',
    token => $brief2), 404, undef, 'no capture id');
stop_capture($lab, $_, token => $brief2) for $renewed, $late;
ok(wait_for(5, sub { decode_json($nginx->fetch('/v1/short/captures/'
    . capture_id($late), token => $brief2)->{body})->{state} eq 'ended' }),
    'one that has ended, also for its worker');
problem_is(put($late, $brief2, base => '/v1/short'), 404, undef,
    'one that has ended');

# nobody reads one that comes at the end
$late = begin('at the end', '/v1/short/capture/static/demo?reason=one+of+these'
    . '+rows', $brief2);
$nginx->fetch('/v1/captures/' . capture_id($late), method => 'DELETE',
    token => $brief2);
$renewed = put($late, $brief2, base => '/v1/short');
like($renewed->{status}, qr/^(?:204|404)$/, 'at the end: PUT');
$late->read_end(5);
wiped('at the end');

# a fresh one without the right ends it
token('poor', 600, user_id => 'u-b', sub => 'u-b', scope => ['openid']);
$late = begin('poorer', '/v1/short/capture/static/demo', $brief2);
status_is(put($late, 'poor', base => '/v1/short'), 204, 'a poor one is taken');
ends('poorer', $late, qr/missing now: .*lacks the scope/);

# --- many at a time, limits --------------------------------------------------

token('many', 600);
$nginx->get('/v1/limited/capture/static/demo?max_packets=1', token => 'many')
    ->read_end(5);

my @many = map { begin("one of many", '/v1/limited/capture/static/demo',
    'many') } 1 .. 8;

my $from = $uaa->seen();

$_->read_until(0.3, sub { 0 }) for @many;
ok(wait_for(5, sub { $uaa->seen() >= $from + 16 }), 'all are asked again');

my @t = sort { $a <=> $b } map { $_->{t} } ($uaa->seen())[$from .. $from + 7];

cmp_ok($t[-1] - $t[0], '>', 0.03, 'they do not ask all at once');
is(scalar(grep { $_->{eof} } @many), 0,
    'and the limit of the address is not theirs');
stop_capture($lab, $_, token => 'many') for @many;

# --- strangers take all places for token checks ------------------------------

my $flooded = begin('flooded', '/v1/flooded/capture/static/demo', token('busy',
    600));
my @strangers = map { $nginx->get('/v1/mute/captures', token => "guess$_",
    no_wait => 1) } 1 .. 6;

ok(wait_for(5, sub { $_->read_until(0.01, sub { 0 }) for @strangers;
    (grep { $_->{status} } @strangers) >= 3 }), 'strangers do not get all');
is(join(' ', sort map { $_->{status} || 0 } @strangers), '0 0 0 503 503 503',
    'the last eighth, at least one place, is not for them');

my $busy = sub { scalar grep { $_->{text} =~ /token=busy/ } $uaa->seen() };
my $had = $busy->();

ok($flooded->read_until(8, sub { $busy->() >= $had + 4 }),
    'it is for captures that run');
is(scalar(grep { $_->{status} } @strangers), 3, 'the strangers stay');
goes_on('flooded', $flooded, 3);
$_->vanish(1) for @strangers;
stop_capture($lab, $flooded, token => 'busy');

# --- tokens of 120 s, by hand ------------------------------------------------

if (my $seconds = $ENV{RIGHTS_SECONDS}) {
    my $n = 0;
    my $make = sub { token('long' . ++$n, 120, user_id => 'u-l',
        sub => 'u-l') };
    my $c = begin('120 s', '/v1/seldom/capture/static/demo?reason=soak',
        $make->());
    my ($at, $renew) = (time(), time() + 90);

    $from = $uaa->seen();

    while (time() < $at + $seconds && !$c->{eof}) {
        $c->read_until(1, sub { 0 });

        if (time() > $renew) {
            is(put($c, $make->(), base => '/v1/seldom')->{status}, 204,
                'renewed after ' . int(time() - $at) . ' s');
            $renew += 90;
        }
    }

    goes_on("$seconds s with tokens of 120 s", $c, 3);
    my @again = grep { $_->{text} =~ /token=long/ } ($uaa->seen())[$from ..
        $uaa->seen() - 1];
    cmp_ok(scalar @again, '>', $n - 1, 'checked again beside the renewals')
        if $seconds >= 300;
    stop_capture($lab, $c, token => $make->());
    capture_ok($c, status => 'stopped', name => '120 s');
}

agents_quiet('rights', $fake);

finish();
