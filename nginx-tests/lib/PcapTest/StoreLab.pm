# PcapTest::StoreLab: captures to storage: what is asked for, waited for and
# fetched, with a real pcap-store beside the nginx of any lab.

package PcapTest::StoreLab;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use JSON::PP;
use PcapTest;
use PcapTest::Store;
use Test::More;

our @EXPORT = qw(store_for stored wait_stored download file_ok problem_of);


# A store for the option `store` of PcapTest::Nginx; options of both.
sub store_for
{
    my (%o) = @_;

    our $number;

    my $store = PcapTest::Store->new(api => work_dir() . '/api' . ++$number
        . '.sock', %o);

    chmod 0755, work_dir();

    return $store;
}


# Asks for a capture; the document of the 202. Options of Client; also doc
# (members over the usual ones), options (of the capture).
sub stored
{
    my ($nginx, $name, %o) = @_;

    my $doc = encode_json({ resolver => 'static', target => 'demo',
        options => { duration => '30s', %{ delete $o{options} || {} } },
        %{ delete $o{doc} || {} } });
    my $c = $nginx->fetch('/v1/captures', json => $doc, %o);

    is($c->{status}, 202, "$name: accepted") or diag($c->{body});

    return eval { decode_json($c->{body}) } || {};
}


# The capture once the store is done with it, and its worker: as the API shows
# it.
sub wait_stored
{
    my ($nginx, $id, %o) = @_;

    my $doc = {};

    wait_for(delete $o{seconds} || 15, sub {
        my $c = $nginx->fetch("/v1/captures/$id", %o);

        $doc = eval { decode_json($c->{body}) } || {};
        return ($doc->{stored}{state} // '') !~ /^(?:waiting|running|)$/
            && $doc->{state} eq 'ended';
    }) or diag(encode_json($doc));

    return $doc;
}


# The file; its response.
sub download
{
    my ($nginx, $id, %o) = @_;

    return $nginx->fetch("/v1/captures/$id/file", %o);
}


# What came is the file that the document says, and a capture.
sub file_ok
{
    my ($c, $doc, $name) = @_;

    is($c->{status}, 200, "$name: downloaded") or diag($c->{body});
    is(length $c->{body}, $doc->{stored}{bytes}, "$name: its size");
    is($c->header('x-pcap-sha256'), sha256_hex($c->{body}),
        "$name: its digest");
    is($doc->{stored}{sha256}, sha256_hex($c->{body}), "$name: as is shown");

    my $file = eval { PcapTest::Pcapng::parse($c->{body}) };

    ok($file, "$name: well-formed") or diag($@);

    return $file || { packets => [], ifaces => [] };
}


# The detail of a refusal with that status; '' when it is none.
sub problem_of
{
    my ($c, $status, $name) = @_;

    is($c->{status}, $status, "$name: $status") or diag($c->{body});
    is($c->header('content-type'), 'application/problem+json',
        "$name: a problem document");

    return eval { decode_json($c->{body})->{detail} } // '';
}


1;
