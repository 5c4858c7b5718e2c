# What is never captured: deployments and groups that the operator excludes,
# and those that hold everybody's secrets unless he says otherwise.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use PcapTest::BoshLab;


sub place
{
    my ($name, @lines) = @_;

    return "location /$name/v1/ { pcap_api on;"
        . ' pcap_api_introspection /_pcap_introspect;'
        . ' pcap_api_bosh /_pcap_director;'
        . ' pcap_api_agent_ranges 127.1.0.0/16;'
        . join('', map { "$_;" } @lines) . "}\n";
}


my $lab = bosh_lab(script => sub {
    my ($c) = @_;

    $c->begin();
    $c->traffic(3);
    $c->end();
}, nginx => { server => join '',
    place('own', 'pcap_api_bosh_exclude prod-* *cf/diego-cell',
        'pcap_api_bosh_exclude cf/*o*t*r'),
    place('off', 'pcap_api_bosh_exclude off'),
    place('only', 'pcap_api_bosh_exclude off cf/router') });
my ($nginx, $fake, $director) = @$lab{qw(nginx fake director)};

$director->deployment('secrets', [], vm('web', 0, 0), vm('uaa', 0, 1),
    vm('My-CredHub', 0, 2), vm('director', 0, 3));
$director->deployment('prod-1', [], vm('web', 0, 0));


sub asked { return scalar $fake->events('accepted') }


sub never
{
    my ($what) = @_;

    return qr/^\Q$what is never captured here: "pcap_api_bosh_exclude"\E$/;
}


sub refused
{
    my ($path, $detail) = @_;

    my $asked = asked();
    my $r = $nginx->fetch($path, token => 'op');

    problem_is($r, 403, $detail, $path);
    is($r->header('www-authenticate'), undef, "$path: no scope helps");
    is(asked(), $asked, "$path: no agent was asked");
}


# The instances in the file.
sub captured
{
    my ($path, $status) = @_;

    my $c = $nginx->get($path, token => 'op');

    status_is($c, 200, $path);
    $c->read_end(10);

    my $file = capture_ok($c, status => $status, name => $path);

    return (names_of($file), $file);
}


# --- the built-in ones -----------------------------------------------------

my $base = '/v1/capture/bosh/secrets';

for my $group (qw(uaa My-CredHub director uaa/0)) {
    my ($name) = $group =~ /^([^\/]+)/;

    refused("$base?instance=$group", never(qq{group "$name" of}
        . ' deployment "secrets"'));
}

refused("$base?instance=web&instance=uaa", qr/^group "uaa"/);

# who asks for all gets the others, and is told
my ($names, $file) = captured($base, 'partial');

is($names, 'web/0', 'all the others');

my @left = grep { /its group is never captured here: "pcap_api_bosh_exclude"/ }
    @{ $file->{shb}{comments} };

is(scalar @left, 3, 'and each that is left out is named')
    or diag(map { "$_\n" } @{ $file->{shb}{comments} });
is((captured("$base?instance=web", 'complete'))[0], 'web/0',
    'who names the others has all he named');
$director->deployment('only-uaa', [], vm('uaa', 0, 1));
refused('/v1/capture/bosh/only-uaa', qr/^group "uaa" of deployment/);

# --- the operator's own, beside them ---------------------------------------

my $seen = $director->seen(qr{prod-1});

refused('/own/v1/capture/bosh/prod-1', never('deployment "prod-1"'));
refused('/own/v1/capture/bosh/PROD-1', qr/^deployment "PROD-1" is never/);
is(scalar $director->seen(qr{prod-1}i), $seen, 'the Director was not asked');
refused('/own/v1/capture/bosh/cf?instance=diego-cell', qr/^group "diego-cell"/);
refused('/own/v1/capture/bosh/cf?instance=router/0', qr/^group "router"/);
refused('/own/v1/capture/bosh/secrets?instance=uaa', qr/^group "uaa"/);
is((captured('/v1/capture/bosh/prod-1', 'complete'))[0], 'web/0',
    'another location has its own');

# --- off -------------------------------------------------------------------

is((captured('/off/v1/capture/bosh/secrets?instance=uaa', 'complete'))[0],
    'uaa/1', 'off: even these');
is((captured('/only/v1/capture/bosh/secrets?instance=uaa', 'complete'))[0],
    'uaa/1', 'off and one: these');
refused('/only/v1/capture/bosh/cf?instance=router', qr/^group "router"/);

finish();
