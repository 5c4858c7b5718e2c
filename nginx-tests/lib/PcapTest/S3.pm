# PcapTest::S3: a stand-in for S3-compatible storage, over plain HTTP. It is
# strict where a store could be careless: every request must be signed (AWS
# Signature Version 4, checked as AWS describes it), also a URL; a body must
# have the hash that was signed; parts are 5 MiB at least but for the last one;
# a completion must name the parts with their ETags. State is files, so every
# connection is a process of its own.
#
# A fault is what it does instead of the next answers to one operation, until
# the test takes it back or so many times.

package PcapTest::S3;

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha256_hex hmac_sha256 hmac_sha256_hex);
use Fcntl qw(:flock);
use IO::Socket::INET;
use POSIX ();
use Test::More;
use PcapTest;
use PcapTest::Server;

my $MIN_PART = 5 << 20;

our $KEY = 'AKIATEST';
our $SECRET = 'a-secret-that-is-in-no-log';


# Options: port, bucket, name.
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $name = $o{name} || 's3-' . ++$number;
    my $self = bless { port => 9000, bucket => 'captures', region =>
        'test-1', secret => $SECRET, %o, name => $name,
        dir => work_dir() . "/$name" }, $class;

    mkdir "$self->{dir}$_" for '', qw(/objects /uploads /faults);
    spew("$self->{dir}/strange", '');
    $self->start();
    at_end(sub {
        $self->stop();
        is(slurp("$self->{dir}/strange"), '',
            "$name: every request was signed and well-formed")
            if !$self->{lenient};
    });

    return $self;
}


sub start
{
    my ($self) = @_;

    my $listen = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port})
        or die "port $self->{port}: $!\n";

    $self->{pid} = fork_child($self->{name}, sub {
        PcapTest::Server::serve($listen, sub { $self->serve(@_) },
            sub { $self->strange("died: $_[0]") });
    }, keep => [ $listen ]);
    close $listen;
}


sub stop
{
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    stop_child($pid);
}


# What goes into the configuration of the store.
sub conf
{
    my ($self, %o) = @_;

    return { endpoint => "http://127.0.0.1:$self->{port}", allow_http =>
        JSON::PP::true(), region => $self->{region}, bucket =>
        $self->{bucket}, access_key => $KEY, secret_key => $SECRET,
        retry => '1s', stall => '5s', %o };
}


# fault('part', how => '503', times => 2); without how: no more.
sub fault
{
    my ($self, $op, %o) = @_;

    my $file = "$self->{dir}/faults/$op";

    if (!$o{how}) {
        unlink $file;
        return;
    }

    spew("$file.new", join ' ', $o{how}, $o{times} // 1_000_000);
    rename "$file.new", $file or die "$file: $!\n";
}


# Names of the objects; the bytes of one of them.
sub objects
{
    my ($self) = @_;

    return map { decode(s{.*/}{}r) }
        sort grep { !/\.(?:head|new\d+)$/ } glob "$self->{dir}/objects/*";
}


sub object
{
    my ($self, $key) = @_;

    return slurp("$self->{dir}/objects/" . encode($key));
}


# The headers that it was begun with.
sub object_head
{
    my ($self, $key) = @_;

    return slurp("$self->{dir}/objects/" . encode($key) . '.head');
}


# Ids of the uploads that are under way, those of this capture; the numbers of
# the parts of one.
sub uploads
{
    my ($self, $capture) = @_;

    return map { s{.*/}{}r } grep { !-e "$_/done"
            && (!$capture || slurp("$_/key") =~ /$capture/) }
        sort glob "$self->{dir}/uploads/*";
}


sub parts
{
    my ($self, $upload) = @_;

    return sort { $a <=> $b } map { m{part\.(\d+)$} ? $1 : () }
        glob "$self->{dir}/uploads/$upload/part.*";
}


# What it was asked: "op status key", one a line.
sub asked
{
    my ($self) = @_;

    return slurp("$self->{dir}/asked");
}


sub count
{
    my ($self, $what) = @_;

    return scalar grep { /$what/ } split /\n/, $self->asked();
}


# --- the server -------------------------------------------------------------

sub serve
{
    my ($self, $s) = @_;

    my $buf = '';

    while (my $r = read_head($s, \$buf)) {
        $self->answer($s, \$buf, $r) or last;
    }
}


sub read_head
{
    my ($s, $buf) = @_;

    while ($$buf !~ /\r\n\r\n/) {
        sysread $s, $$buf, 65536, length $$buf or return;
        die "a head of " . length($$buf) . " bytes\n" if length $$buf > 1e6
            && $$buf !~ /\r\n\r\n/;
    }

    $$buf =~ s/^(.*?)\r\n\r\n//s;
    my ($line, @lines) = split /\r\n/, $1;
    my ($method, $target) = $line =~ m{^([A-Z]+) (/\S*) HTTP/1\.1$}
        or die "strange: $line\n";
    my %h = map { /^([^:]+):\s*(.*)$/ ? (lc $1, $2) : () } @lines;
    my ($path, $query) = split /\?/, $target, 2;
    my %q = map { /^([^=]*)=?(.*)$/; (decode($1), decode($2)) }
        split /&/, $query // '';

    return { method => $method, path => $path, query => $query // '',
        h => \%h, q => \%q };
}


# Which operation it is; each has a sub of its name.
sub operation
{
    my ($self, $r) = @_;

    my $q = $r->{q};
    my ($bucket, $key) = map { decode($_) }
        $r->{path} =~ m{^/([^/]+)(?:/(.*))?$};

    $r->{bucket} = $bucket // '';
    $r->{key} = $key // '';

    if ($r->{key} eq '') {
        my ($sub) = grep { exists $q->{$_} }
            qw(lifecycle policyStatus encryption);

        return lc($r->{method}) . '_' . ($sub ? lc $sub : 'bucket');
    }

    return 'begin' if $r->{method} eq 'POST' && exists $q->{uploads};
    return 'complete' if $r->{method} eq 'POST' && exists $q->{uploadId};
    return 'part' if $r->{method} eq 'PUT' && exists $q->{uploadId};
    return 'abort' if $r->{method} eq 'DELETE' && exists $q->{uploadId};

    return lc $r->{method};
}


# 1: the connection may go on.
sub answer
{
    my ($self, $s, $buf, $r) = @_;

    my $op = $self->operation($r);
    my $fault = $self->fault_of($op);

    return 0 if $fault eq 'close';

    my $body = $self->read_body($s, $buf, $r);

    return 0 if !defined $body;
    sleep 3600 if $fault eq 'hang';

    my ($status, $text, @headers) = $self->bad($r, $body);

    if (!$status && $fault && $fault ne 'lost') {
        ($status, $text, @headers) = $self->faulty($fault);
        $self->op_abort($r) if $fault eq 'gone';
    }

    if (!$status) {
        my $code = $self->can("op_$op");

        ($status, $text, @headers) = $code ? $code->($self, $r, $body)
            : (501, error('NotImplemented', $op));
    }

    $self->jot("$op $status $r->{key}");
    return 0 if $fault eq 'lost';

    put($s, $r, $status, $text // '', @headers);

    return 1;
}


sub fault_of
{
    my ($self, $op) = @_;

    my $file = "$self->{dir}/faults/$op";

    open my $fh, '+<', $file or return '';
    flock $fh, LOCK_EX;

    my ($how, $times) = split ' ', <$fh> // '';

    return '' if !$times;
    seek $fh, 0, 0;
    truncate $fh, 0;
    print $fh "$how ", $times - 1;
    close $fh;

    return $how;
}


sub faulty
{
    my ($self, $how) = @_;

    return (503, error('SlowDown', 'please'), 'Retry-After: 1')
        if $how eq '503';
    return (429, '', 'Retry-After: 100000') if $how eq '429';
    return (200, "\n  \n" . error('InternalError', 'at last'))
        if $how eq '200';
    return (200, '   ') if $how eq 'blank';
    return (404, error('NoSuchUpload', 'what upload')) if $how eq 'gone';
    return (403, error('AccessDenied', "no\x1b[31m")) if $how eq 'denied';
    return (500, 'x' x (32 << 20)) if $how eq 'huge';
    return (302, '', 'Location: http://127.0.0.1:1/') if $how eq 'redirect';
    return (200, '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', 'ETag: "x"')
        if $how eq 'doctype';
    return (200, '', 'ETag: "' . 'e' x 5000 . '"') if $how eq 'etag';

    die "no such fault: $how\n";
}


sub read_body
{
    my ($self, $s, $buf, $r) = @_;

    my $length = $r->{h}{'content-length'} // 0;

    put_raw($s, "HTTP/1.1 100 Continue\r\n\r\n")
        if ($r->{h}{expect} // '') =~ /100-continue/i;

    while (length $$buf < $length) {
        sysread $s, $$buf, 1 << 20, length $$buf or return;
    }

    return substr $$buf, 0, $length, '';
}


# Nothing, or the answer to a request that is not signed as it must be.
sub bad
{
    my ($self, $r, $body) = @_;

    my $h = $r->{h};
    my $hash = $h->{'x-amz-content-sha256'} // '';

    if (exists $r->{q}{'X-Amz-Signature'}) {
        return if $self->signed_url($r);
        return (403, error('SignatureDoesNotMatch', 'the URL'));
    }

    if ($hash ne sha256_hex($body)) {
        $self->strange("$r->{method} $r->{path}: x-amz-content-sha256 $hash");
        return (400, error('XAmzContentSHA256Mismatch', 'no'));
    }

    my ($key, $scope, $signed, $signature) = ($h->{authorization} // '') =~
        m{^AWS4-HMAC-SHA256\ Credential=([^/]+)/(\S+),\s*
          SignedHeaders=(\S+),\s*Signature=([0-9a-f]{64})$}x;

    if (!$signature) {
        $self->strange("$r->{method} $r->{path}: no Authorization");
        return (403, error('AccessDenied', 'anonymous'));
    }

    for my $name (qw(host x-amz-date x-amz-content-sha256)) {
        $self->strange("$name is not signed")
            if ";$signed;" !~ /;\Q$name\E;/;
    }

    my @headers = map { "$_:" . trim($h->{$_} // '') } split /;/, $signed;

    return (403, error('InvalidAccessKeyId', $key)) if $key ne $KEY;
    return if $signature eq $self->signature($scope, $h->{'x-amz-date'},
        join "\n", $r->{method}, $r->{path}, sorted($r->{query}),
        @headers, '', $signed, $hash);
    return (403, error('SignatureDoesNotMatch', 'no'));
}


sub signed_url
{
    my ($self, $r) = @_;

    my %q = %{ $r->{q} };
    my $signature = delete $q{'X-Amz-Signature'};
    my ($key, $scope) = $q{'X-Amz-Credential'} =~ m{^([^/]+)/(.*)$};
    my $query = join '&', grep { !/^X-Amz-Signature=/ }
        split /&/, $r->{query};

    return $key eq $KEY && $signature eq $self->signature($scope,
        $q{'X-Amz-Date'}, join "\n", $r->{method}, $r->{path},
        sorted($query), "host:$r->{h}{host}", '', 'host',
        'UNSIGNED-PAYLOAD');
}


sub signature
{
    my ($self, $scope, $date, $canonical) = @_;

    my ($day, $region, $service, $end) = split m{/}, $scope;
    my $key = "AWS4$self->{secret}";

    return 'another region' if $region ne $self->{region}
        || "$service/$end" ne 's3/aws4_request';
    $key = hmac_sha256($_, $key) for $day, $region, $service, $end;

    return hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $date, $scope,
        sha256_hex($canonical)), $key);
}


sub sorted
{
    return join '&', sort map { /=/ ? $_ : "$_=" } split /&/, $_[0];
}


sub trim
{
    return $_[0] =~ s/^\s+|\s+$//gr;
}


# --- operations -------------------------------------------------------------

sub op_put
{
    my ($self, $r, $body) = @_;

    return no_bucket($r) if $r->{bucket} ne $self->{bucket};
    $self->store($r->{key}, $body, $r->{h});

    return (200, '', 'ETag: "' . md5_hex($body) . '"');
}


sub op_get
{
    my ($self, $r) = @_;

    my $file = "$self->{dir}/objects/" . encode($r->{key});
    my $name = $r->{q}{'response-content-disposition'};

    return (404, error('NoSuchKey', $r->{key})) if !-e $file;

    return (200, slurp($file), $name ? "Content-Disposition: $name" : ());
}


sub op_head
{
    my ($self, $r) = @_;

    return $self->op_get($r);
}


sub op_delete
{
    my ($self, $r) = @_;

    my $file = "$self->{dir}/objects/" . encode($r->{key});

    unlink $file, "$file.head";

    return 204;
}


sub op_begin
{
    my ($self, $r) = @_;

    return no_bucket($r) if $r->{bucket} ne $self->{bucket};

    my $id = sprintf 'up%d.%d', $$, 10 + keys %{ { map { $_ => 1 }
        glob "$self->{dir}/uploads/*" } };
    my $dir = "$self->{dir}/uploads/$id";

    mkdir $dir or die "$dir: $!\n";
    spew("$dir/key", $r->{key});
    spew("$dir/head", join '', map { "$_: $r->{h}{$_}\n" }
        sort keys %{ $r->{h} });

    return (200, "<InitiateMultipartUploadResult><UploadId>$id</UploadId>"
        . '</InitiateMultipartUploadResult>');
}


sub upload_of
{
    my ($self, $r) = @_;

    my $id = $r->{q}{uploadId};
    my $dir = "$self->{dir}/uploads/$id";

    return $id =~ /^up[\d.]+$/ && -d $dir && !-e "$dir/done"
        && slurp("$dir/key") eq $r->{key} ? $dir : undef;
}


sub op_part
{
    my ($self, $r, $body) = @_;

    my $dir = $self->upload_of($r)
        or return (404, error('NoSuchUpload', 'no'));
    my $n = $r->{q}{partNumber};

    return (400, error('InvalidArgument', $n)) if $n !~ /^[1-9]\d{0,4}$/;
    spew("$dir/new.$$", $body);
    rename "$dir/new.$$", "$dir/part.$n" or die "$dir: $!\n";

    return (200, '', 'ETag: "' . md5_hex($body) . '"');
}


sub op_complete
{
    my ($self, $r, $body) = @_;

    my $dir = $self->upload_of($r)
        or return (404, error('NoSuchUpload', 'no'));
    my @parts = $body =~ m{<Part><PartNumber>(\d+)</PartNumber><ETag>
        ([^<]+)</ETag></Part>}xg;
    my ($whole, $last) = ('', 0);

    while (my ($n, $etag) = splice @parts, 0, 2) {
        my $part = slurp("$dir/part.$n");

        $etag =~ s/&quot;/"/g;
        return (400, error('InvalidPart', $n))
            if !-e "$dir/part.$n" || $etag ne '"' . md5_hex($part) . '"';
        return (400, error('InvalidPartOrder', $n)) if $n <= $last;
        return (400, error('EntityTooSmall', $n))
            if length $part < $MIN_PART && @parts;
        $last = $n;
        $whole .= $part;
    }

    return (400, error('MalformedXML', 'no parts')) if !$last;

    my %head = map { /^([^:]+): (.*)$/ ? ($1, $2) : () }
        split /\n/, slurp("$dir/head");

    $self->store($r->{key}, $whole, \%head);
    spew("$dir/done", '');

    return (200, '<CompleteMultipartUploadResult><ETag>&quot;x-' . $last
        . '&quot;</ETag></CompleteMultipartUploadResult>');
}


sub op_abort
{
    my ($self, $r) = @_;

    my $dir = $self->upload_of($r)
        or return (404, error('NoSuchUpload', 'no'));

    unlink glob "$dir/*";
    rmdir $dir;

    return 204;
}


sub op_head_bucket
{
    my ($self, $r) = @_;

    return $r->{bucket} eq $self->{bucket} ? 200 : 404;
}


sub op_get_lifecycle
{
    my ($self) = @_;

    my $text = slurp("$self->{dir}/lifecycle");

    return $text ? (200, $text)
        : (404, error('NoSuchLifecycleConfiguration', 'none'));
}


sub op_put_lifecycle
{
    my ($self, $r, $body) = @_;

    my $h = $r->{h};
    my $sum = $h->{'x-amz-checksum-sha256'}
        // ($h->{'content-md5'} ? $h->{'content-md5'} : '');

    return (400, error('InvalidRequest', 'Content-MD5 is missing'))
        if $sum eq '';
    spew("$self->{dir}/lifecycle", $body);

    return 200;
}


sub op_get_policystatus
{
    my ($self) = @_;

    my $public = slurp("$self->{dir}/public") || 'false';

    return (200, "<PolicyStatus><IsPublic>$public"
        . '</IsPublic></PolicyStatus>');
}


sub op_get_encryption
{
    my ($self) = @_;

    return $self->{encrypted} ? (200, '<ServerSideEncryptionConfiguration/>')
        : (404, error('ServerSideEncryptionConfigurationNotFoundError',
            'none'));
}


sub no_bucket
{
    my ($r) = @_;

    return (404, error('NoSuchBucket', $r->{bucket}));
}


# --- small things -----------------------------------------------------------

sub store
{
    my ($self, $key, $body, $head) = @_;

    my $file = "$self->{dir}/objects/" . encode($key);

    spew("$file.head", join '', map { "$_: $head->{$_}\n" } sort keys %$head);
    spew("$file.new$$", $body);
    rename "$file.new$$", $file or die "$file: $!\n";
}


sub error
{
    my ($code, $message) = @_;

    return "<?xml version=\"1.0\"?><Error><Code>$code</Code>"
        . "<Message>$message</Message></Error>";
}


sub put
{
    my ($s, $r, $status, $text, @headers) = @_;

    my $length = length $text;

    $text = '' if $r->{method} eq 'HEAD';
    put_raw($s, join("\r\n", "HTTP/1.1 $status Status",
        ($status == 204 ? () : "Content-Length: $length"), @headers, '', '')
        . $text);
}


sub put_raw
{
    my ($s, $text) = @_;

    for (my $at = 0; $at < length $text; ) {
        my $n = syswrite $s, $text, 1 << 20, $at;

        POSIX::_exit(0) if !$n;
        $at += $n;
    }
}


sub jot
{
    my ($self, $line) = @_;

    append("$self->{dir}/asked", $line);
}


sub strange
{
    my ($self, $line) = @_;

    append("$self->{dir}/strange", $line);
}


sub append
{
    my ($file, $line) = @_;

    open my $fh, '>>', $file or die "$file: $!\n";
    syswrite $fh, "$line\n";
    close $fh;
}


sub encode
{
    return $_[0] =~ s/([^A-Za-z0-9._-])/sprintf '%%%02X', ord $1/ger;
}


sub decode
{
    return $_[0] && $_[0] =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger;
}


1;
