# PcapTest::KubeObject: the parts of Kubernetes' API conventions that the
# stand-in of PcapTest::Kube needs: Status bodies, strict reading of a
# document against its type, label and field selectors (apimachinery:
# pkg/api/errors, pkg/labels/selector.go, pkg/fields).
#
# What is wrong is thrown as a Status body and becomes the answer.

package PcapTest::KubeObject;

use strict;
use warnings;

use B ();
use Exporter qw(import);
use JSON::PP;

our @EXPORT = qw(refuse status_of read_strict label_selector
    field_selector);

my %REASONS = (
    400 => [ '400 Bad Request', 'BadRequest' ],
    401 => [ '401 Unauthorized', 'Unauthorized' ],
    403 => [ '403 Forbidden', 'Forbidden' ],
    404 => [ '404 Not Found', 'NotFound' ],
    405 => [ '405 Method Not Allowed', 'MethodNotAllowed' ],
    406 => [ '406 Not Acceptable', 'NotAcceptable' ],
    409 => [ '409 Conflict', 'Conflict' ],
    410 => [ '410 Gone', 'Expired' ],
    413 => [ '413 Request Entity Too Large', 'RequestEntityTooLarge' ],
    415 => [ '415 Unsupported Media Type', 'UnsupportedMediaType' ],
    422 => [ '422 Unprocessable Entity', 'Invalid' ],
    429 => [ '429 Too Many Requests', 'TooManyRequests' ],
    500 => [ '500 Internal Server Error', 'InternalError' ],
    503 => [ '503 Service Unavailable', 'ServiceUnavailable' ],
);

my $NAME = qr/[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?/;
my $DNS = qr/[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/;


# A Status body: ( status line, document ).
sub status_of
{
    my ($code, $message, %details) = @_;

    my ($line, $reason) = @{ $REASONS{$code} };

    return ($line, { kind => 'Status', apiVersion => 'v1', metadata => {},
        status => 'Failure', message => $message, reason => $reason,
        (%details ? (details => \%details) : ()), code => $code + 0 });
}


sub refuse
{
    my ($code, $message, %details) = @_;

    die { code => $code, answer => [ status_of($code, $message, %details) ] };
}


# --- strict decoding ---------------------------------------------------------

sub is_string
{
    my ($value) = @_;

    return 0 if !defined $value || ref $value;

    # a number of JSON::PP has no string of its own
    return B::svref_2object(\$value)->FLAGS & B::SVf_POK() ? 1 : 0;
}


# Reads a document of $kind. A type is 'string', 'int', 'bool', 'any', [TYPE]
# (a list), { '*' => TYPE } (a map) or { NAME => TYPE, ... } (a struct).
sub read_strict
{
    my ($body, $version, $kind, $type) = @_;

    my $short = $version =~ s{.*/}{}r;
    my $doc = eval { decode_json($body) };

    refuse(400, "the object provided is unrecognized (must be of type $kind):"
        . " couldn't get version/kind; json parse error") if !ref $doc
        || ref $doc ne 'HASH';
    refuse(400, 'Object \'Kind\' is missing') if !defined $doc->{kind};
    refuse(400, 'Object \'apiVersion\' is missing')
        if !defined $doc->{apiVersion};
    refuse(400, "$doc->{kind} in version \"$doc->{apiVersion}\" cannot be"
        . " handled as a $kind: no kind \"$doc->{kind}\" is registered for"
        . " version \"$doc->{apiVersion}\"")
        if $doc->{kind} ne $kind || $doc->{apiVersion} ne $version;

    my @names = grep { defined } $body =~
        /\G[^"]*"(?:[^"\\]|\\.)*"(\s*:)?/g;
    my @faults = faults_of($doc, { kind => 'string', apiVersion => 'string',
        metadata => { '*' => 'any' }, %$type }, '');

    # a key that stands twice is lost in the document
    push @faults, 'duplicate field' if @names > count_keys($doc);

    refuse(400, "$kind in version \"$short\" cannot be handled as a $kind:"
        . ' strict decoding error: ' . join ', ', @faults) if @faults;

    return $doc;
}


sub count_keys
{
    my ($value) = @_;

    my $n = 0;

    if (ref $value eq 'HASH') {
        $n += 1 + count_keys($_) for values %$value;
    } elsif (ref $value eq 'ARRAY') {
        $n += count_keys($_) for @$value;
    }

    return $n;
}


sub faults_of
{
    my ($value, $type, $path) = @_;

    return () if !ref $type && $type eq 'any' || !defined $value;

    if (ref $type eq 'ARRAY') {
        return "$path: not a list" if ref $value ne 'ARRAY';
        return map { faults_of($value->[$_], $type->[0], "${path}[$_]") }
            0 .. $#$value;
    }

    if (ref $type eq 'HASH') {
        return "$path: not an object" if ref $value ne 'HASH';
        return map { my $t = exists $type->{'*'} ? $type->{'*'}
            : $type->{$_};
            my $at = $path eq '' ? $_ : "$path.$_";
            defined $t ? faults_of($value->{$_}, $t, $at)
                : "unknown field \"$at\"" } sort keys %$value;
    }

    my $ok = $type eq 'string' ? is_string($value)
        : $type eq 'bool' ? JSON::PP::is_bool($value)
        : !ref $value && !is_string($value) && $value =~ /^-?\d+$/;

    return $ok ? () : "$path: not of type $type";
}


# --- selectors ---------------------------------------------------------------

sub bad_selector
{
    my ($what) = @_;

    refuse(400, "unable to parse requirement: $what");
}


sub good_key
{
    my ($key) = @_;

    my ($prefix, $name) = $key =~ m{^(?:([^/]*)/)?([^/]*)$}
        or bad_selector("invalid label key \"$key\"");

    bad_selector("invalid label key \"$key\"") if $name !~ /^$NAME$/
        || defined $prefix && ($prefix !~ /^$DNS$/ || length $prefix > 253);

    return $key;
}


sub good_value
{
    my ($value) = @_;

    bad_selector("invalid label value \"$value\"")
        if $value ne '' && $value !~ /^$NAME$/;

    return $value;
}


# Text of a selector to a sub of labels (a hash) that says whether they match.
sub label_selector
{
    my ($text) = @_;

    my @tokens = $text =~ /\G\s*(!=|==|[=!<>(),]|[^\s=!<>(),]+)/gc;

    # what no token begins with
    bad_selector("found \"" . substr($text, pos $text || 0) . '"')
        if substr($text, pos $text || 0) =~ /\S/;

    my @all;

    while (@tokens) {
        push @all, one_requirement(\@tokens);
        last if !@tokens;

        my $comma = shift @tokens;
        bad_selector("found '$comma', expected: ',' or 'end of string'")
            if $comma ne ',';
        bad_selector("found '', expected: identifier after ','") if !@tokens;
    }

    return sub {
        my ($labels) = @_;
        return !grep { !$_->($labels) } @all;
    };
}


sub one_requirement
{
    my ($t) = @_;

    my $key = shift @$t;
    my $not = $key eq '!' ? 1 : 0;

    $key = shift @$t if $not;
    bad_selector("found '" . ($key // '') . "', expected: identifier")
        if !defined $key || $key =~ /^[=!<>(),]/;
    good_key($key);

    my $op = @$t ? $t->[0] : ',';

    return sub { (exists $_[0]{$key} ? 1 : 0) != $not } if $op eq ',';
    bad_selector("found '$op', expected: ','") if $not;
    shift @$t;

    return in_requirement($t, $key, $op) if $op =~ /^(?:not)?in$/;
    bad_selector("found '$op', expected: in, notin, =, ==, !=, gt, lt")
        if $op !~ /^(?:==?|!=|[<>])$/;

    my $value = @$t && $t->[0] ne ',' ? shift @$t : '';

    bad_selector("found '$value', expected: identifier")
        if $value =~ /^[=!<>()]/;
    good_value($value);

    if ($op =~ /[<>]/) {
        bad_selector("for '$op' operator, the value must be an integer")
            if $value !~ /^-?\d+$/;
        return sub { ($_[0]{$key} // '') =~ /^-?\d+$/ && ($op eq '<'
            ? $_[0]{$key} < $value : $_[0]{$key} > $value) };
    }

    return $op eq '!=' ? sub { !exists $_[0]{$key} || $_[0]{$key} ne $value }
        : sub { exists $_[0]{$key} && $_[0]{$key} eq $value };
}


sub in_requirement
{
    my ($t, $key, $op) = @_;

    my (%set, $close);

    bad_selector("found '" . ($t->[0] // '') . "', expected: '('")
        if ($t->[0] // '') ne '(';
    shift @$t;

    while (@$t) {
        my $value = $t->[0] =~ /^[,)]$/ ? '' : shift @$t;

        bad_selector("found '$value', expected: ',', ')' or identifier")
            if $value =~ /^[=!<>(]/;
        $set{ good_value($value) } = 1;
        $close = shift @$t // '';
        last if $close eq ')';
        bad_selector("found '$close', expected: ',' or ')'")
            if $close ne ',';
    }

    bad_selector("found '', expected: ')'") if ($close // '') ne ')';

    return $op eq 'in' ? sub { exists $_[0]{$key} && $set{ $_[0]{$key} } }
        : sub { !exists $_[0]{$key} || !$set{ $_[0]{$key} } };
}


# The fields of a pod that a list may be cut down by.
sub field_selector
{
    my ($text) = @_;

    my %at = ('metadata.name' => sub { $_[0]{metadata}{name} },
        'metadata.namespace' => sub { $_[0]{metadata}{namespace} },
        'spec.nodeName' => sub { $_[0]{spec}{nodeName} },
        'status.phase' => sub { $_[0]{status}{phase} },
        'status.podIP' => sub { $_[0]{status}{podIP} });
    my @all;

    for my $part (split /,/, $text, -1) {
        my ($field, $op, $value) = $part =~ /^([\w.]+)(==?|!=)([^=!]*)$/
            or refuse(400, "invalid selector: '$text'; can't understand"
            . " '$part'");
        my $get = $at{$field}
            or refuse(400, "field label not supported: $field");

        push @all, sub { (($get->($_[0]) // '') eq $value) == ($op ne '!=') };
    }

    return sub {
        my ($pod) = @_;
        return !grep { !$_->($pod) } @all;
    };
}


1;
