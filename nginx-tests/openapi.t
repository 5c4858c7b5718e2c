# docs/openapi.json says what the API does: each path of it answers its methods
# and no other, takes its options and no other, and what comes back has no
# member that the document does not name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use PcapTest::Lab;
use PcapTest::StoreLab;


my $doc = decode_json(slurp("$FindBin::Bin/../docs/openapi.json"));
my $store = store_for();
my $lab = hosts_lab(nginx => { store => $store, pcap =>
    'pcap_api_static fake fake/0 '
    . '127.1.0.1:9595 tls_name=pcap-agent;' });
my $nginx = $lab->{nginx};
my $fake = PcapTest::Fake->new(certs => $lab->{certs}, port => 9595,
    script => sub {
    my ($c) = @_;

    $c->begin();
    $c->stay(limit(20), sub { $c->traffic(1, 100) });
    $c->end();
});
my $paths = $doc->{paths};


sub resolved
{
    my ($part) = @_;

    return $part if ref $part ne 'HASH' || !$part->{'$ref'};

    my $found = $doc;
    $found = $found->{$_} for grep { $_ ne '#' } split m{/}, $part->{'$ref'};

    return $found;
}


# What is there and not in the schema, by its path.
sub unnamed
{
    my ($value, $schema, $at) = @_;

    $schema = resolved($schema);

    return map { unnamed($value->[$_], $schema->{items}, "$at\[$_]") }
        0 .. $#$value if ref $value eq 'ARRAY';
    return () if ref $value ne 'HASH';

    return map {
        my $s = $schema->{properties}{$_} || $schema->{additionalProperties};
        $s ? unnamed($value->{$_}, $s, "$at.$_") : "$at.$_"
    } sort keys %$value;
}


# --- methods -----------------------------------------------------------------

my %fill = (group => 'fake', deployment => 'd', app_guid => 'a',
            id => 'a' x 32);

for my $path (sort keys %$paths) {
    # not configured here: see bosh.t, cf.t, kube_auth.t
    next if $path =~ /bosh|cf|k8s|packet-capture/;

    (my $real = $path) =~ s/\{(\w+)\}/$fill{$1}/g;

    my $c = $nginx->fetch($real, method => 'PATCH');
    is($c->{status}, 405, "PATCH $path");
    is(join(' ', sort grep { $_ ne 'HEAD' } split /,\s*/,
        $c->header('allow') || ''),
        join(' ', sort map { uc } keys %{ $paths->{$path} }),
        "PATCH $path: Allow is what the document has");
}

# --- options -----------------------------------------------------------------

my $static = $paths->{'/v1/capture/static/{group}'};
my %wrong = (interface => 'a/b', instance => '..', filter => 'a%00b',
    reason => '%ff', map { $_ => '.' } qw(snaplen format duration max_bytes
    max_packets promiscuous continues process index store));
my @options = map { $_->{name} } grep { $_->{in} eq 'query' }
    map { resolved($_) } @{ $static->{get}{parameters} };

for my $name (@options, qw(process index unheard)) {
    my $c = $nginx->fetch("/v1/capture/static/fake?$name="
        . ($wrong{$name} || '1'));
    my $known = grep { $_ eq $name } @options;

    is($c->{status}, 400, "wrong $name: 400");
    ok(($c->{body} =~ /unknown option/ ? 0 : 1) == $known,
        "$name is " . ($known ? 'known' : 'unknown')) or diag($c->{body});
}

is_deeply([ sort keys %{ $static->{post}{requestBody}{content}
    {'application/x-www-form-urlencoded'}{schema}{properties} } ],
    [ sort @options ], 'the form has the same options');

# --- answers -----------------------------------------------------------------

my $json = sub { return $paths->{$_[0]}{get}{responses}{200}{content}
    {'application/json'}{schema} };
my $capture = $nginx->get('/v1/capture/static/fake');
my $id = capture_id($capture);

for my $path ('/v1/status', '/v1/captures', "/v1/captures/$id") {
    (my $name = $path) =~ s/$id/{id}/;
    my $c = $nginx->fetch($path);
    my @unnamed = unnamed(decode_json($c->{body}), $json->($name), $path);

    is($c->{status}, 200, "GET $name");
    is("@unnamed", '', "GET $name: all members are in the document");
}

stop_capture($lab, $capture);

# a stored one: when it is accepted, while it runs, at its end, and without it
my $schema = $paths->{'/v1/captures'}{post}{responses}{202}{content}
    {'application/json'}{schema};
my $stored = stored($nginx, 'stored', doc => { target => 'fake' },
    options => { max_packets => 3 });

is(join(' ', unnamed($stored, $schema, '202')), '',
    'POST: all members are in the document');
$stored = wait_stored($nginx, $stored->{id});
is(join(' ', unnamed($stored, $schema, 'stored')), '',
    'stored: all members are in the document');
$nginx->crash();
$nginx->start();
$stored = decode_json($nginx->fetch("/v1/captures/$stored->{id}")->{body});
is($stored->{stored}{state}, 'stored', 'known by the store alone');
is(join(' ', unnamed($stored, $schema, 'record')), '',
    'its record: all members are in the document');

my %members = map { $_ => 1 } keys %{ $paths->{'/v1/captures'}{post}
    {requestBody}{content}{'application/json'}{schema}{properties} };

for my $member (sort keys %members, 'unheard') {
    my $c = $nginx->fetch('/v1/captures', json => encode_json({ $member =>
        JSON::PP::null }));

    is($c->{body} =~ /unknown member/ ? 0 : 1, $members{$member} || 0,
        "POST: member $member");
}

is_deeply([ unnamed(decode_json($nginx->fetch('/v1/capture/static/nosuch')
    ->{body}), $doc->{components}{schemas}{Problem}, 'problem') ], [],
    'a problem: all members are in the document');

finish();
