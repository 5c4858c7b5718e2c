# PcapTest::Store: a real pcap-store, and an SCGI client as nginx is one. It
# runs as nobody, as nginx's workers do in these tests. The end of each test
# wants that it ended by itself, well, and that nothing in its log is an error
# that the test had not caused.

package PcapTest::Store;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use IO::Socket::UNIX;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::Pcapng qw(parse);

our $USER = 'nobody';


# Options: api (nginx's unix socket), folder (made if it is not there), name,
# conf (keys over the usual ones), errors (a pattern: errors in the log that
# are expected).
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $name = $o{name} || 'store' . ++$number;
    my $work = work_dir();
    my $self = bless { folder => "$work/$name", run => "$work/$name.run", %o,
        name => $name, log => "$work/$name.log" }, $class;

    own_dir($self->{$_}) for qw(folder run);
    $self->{socket} = "$self->{run}/store.sock";
    $self->start();
    at_end(sub { $self->stop(); $self->check_log() });

    return $self;
}


sub own_dir
{
    my ($dir) = @_;

    my (undef, undef, $uid, $gid) = getpwnam $USER;

    mkdir $dir;
    chown $uid, $gid, $dir or die "$dir: $!\n";
    chmod 0755, $dir;

    return $dir;
}


sub config
{
    my ($self) = @_;

    return {
        listen => "$self->{run}/store.sock",
        api    => $self->{api},
        folder => $self->{folder},
        user   => $USER,
        %{ $self->{conf} || {} },
    };
}


sub start
{
    my ($self) = @_;

    my $file = spew(work_dir() . "/$self->{name}.json",
        JSON::PP->new->canonical->encode($self->config()));

    $self->{pid} = spawn($self->{name}, [ tool('store'), '--config', $file ],
        out => $self->{log});

    my $up = wait_for(15, sub {
        return -1 if !alive($self->{pid});
        return $self->connect() ? 1 : 0;
    });

    die "store did not start:\n" . slurp($self->{log}) if !$up || $up < 0;
}


sub connect
{
    my ($self) = @_;

    return IO::Socket::UNIX->new(Type => SOCK_STREAM,
        Peer => $self->{socket});
}


# One request as nginx sends it. Options: pairs (instead of all of them),
# raw (instead of the whole). Returns status, decoded answer, its text.
sub request
{
    my ($self, $method, $uri, $body, %o) = @_;

    $body = JSON::PP->new->canonical->utf8->encode($body) if ref $body;

    my @pairs = $o{pairs} ? @{ $o{pairs} } : (CONTENT_LENGTH => 0, SCGI => 1,
        REQUEST_METHOD => $method, REQUEST_URI => $uri,
        PCAP_BODY => defined $body ? $body : '');
    my $head = join '', map { "$_\0" } @pairs;
    my $raw = defined $o{raw} ? $o{raw} : length($head) . ":$head,";

    my $s = $self->connect() or return (0, undef, '');

    return answer($s, $raw);
}


sub answer
{
    my ($s, $raw) = @_;

    my ($got, $at) = ('', 0);

    local $SIG{PIPE} = 'IGNORE';

    while ($at < length $raw) {
        my $n = syswrite $s, $raw, 65536, $at;

        last if !$n;
        $at += $n;
    }

    my $end = time() + limit(12);

    while (time() < $end) {
        my $n = sysread $s, $got, 65536, length $got;

        last if !$n;
    }

    my ($head, $text) = split /\r\n\r\n/, $got, 2;
    my ($status) = ($head || '') =~ /^Status: (\d+) /;
    my ($length) = ($head || '') =~ /^Content-Length: (\d+)\r?$/m;

    return (0, undef, $got) if !$status;
    die "answer of $length bytes is " . length($text) . "\n"
        if $length != length $text;

    return ($status, JSON::PP->new->utf8->decode($text), $text);
}


# The record once it is in that state (a pattern), undef after the deadline.
sub wait_state
{
    my ($self, $id, $state, $seconds) = @_;

    my $rec;

    wait_for($seconds || 10, sub {
        (undef, $rec) = $self->request('GET', "/captures/$id");
        return $rec && ($rec->{state} || '') =~ /^(?:$state)$/;
    }) or diag("$id is ", JSON::PP->new->canonical->encode($rec || {}));

    return $rec;
}


# Asks for a capture; its id.
sub begin
{
    my ($self, $body) = @_;

    my ($status, $rec) = $self->request('POST', '/captures', $body);

    is($status, 201, "$body->{id} begins") or diag($rec->{detail});

    return $body->{id};
}


# A capture that is not taken, and why (a pattern).
sub refused
{
    my ($self, $body, $status, $detail, $name) = @_;

    my ($got, $answer) = $self->request('POST', '/captures', $body);

    is($got, $status, "$name: $status");
    like($answer->{detail}, $detail, "$name: says why");
}


# The file is what was sent, and the record says so.
sub holds
{
    my ($self, $rec, $sent, $name) = @_;

    my $got = slurp("$self->{folder}/$rec->{file}");

    ok($got eq $sent, "$name: the file is what was sent")
        or diag(length($got), ' of ', length($sent));
    is($rec->{bytes}, length $sent, "$name: its length is known");
    is($rec->{sha256}, sha256_hex($sent), "$name: so is its hash");
}


# The file is a whole capture, and as the record says.
sub whole
{
    my ($self, $rec, $name) = @_;

    my $got = slurp("$self->{folder}/$rec->{file}");

    is(length $got, $rec->{bytes}, "$name: the file has its length");
    is(sha256_hex($got), $rec->{sha256}, "$name: and its hash");
    ok(eval { parse($got); 1 }, "$name: it is a valid capture") or diag($@);
}


# Names of the captures in its folder.
sub files
{
    my ($self) = @_;

    return join ' ', grep { !/^records/ }
        map { s{.*/}{}r } sort glob "$self->{folder}/*";
}


# The process that has the file of this capture open: the capture itself, which
# writes, or its upload, which reads.
sub process_of
{
    my ($self, $id, $writes) = @_;

    return wait_for(10, sub {
        for my $pid (children($self->{pid})) {
            for my $fd (glob "/proc/$pid/fd/*") {
                next if (readlink($fd) // '') !~ m{/$id\.};

                # it may close it, or end, just now
                my $info = eval { slurp($fd =~ s{/fd/}{/fdinfo/}r) } // '';
                my ($flags) = $info =~ /^flags:\s+(\d+)$/m;

                return $pid if defined $flags
                    && (oct($flags) & 3 ? 1 : 0) == $writes;
            }
        }

        return 0;
    });
}


# Its processes, one for each capture.
sub captures
{
    my ($self) = @_;

    return children($self->{pid});
}


# Asks it to end; having to kill it, or any status but 0, is a failure.
sub stop
{
    my ($self, $signal) = @_;

    my $pid = delete $self->{pid} or return;
    my $status = stop_child($pid, $signal || 'TERM', 15);

    is($status, 0, "$self->{name} ends by itself, with status 0")
        or diag(defined $status ? '' : "it had to be killed\n",
        slurp($self->{log}));

    return $status;
}


# As the out-of-memory killer does. With all => 1 its children die as well.
sub kill
{
    my ($self, %o) = @_;

    my $pid = delete $self->{pid} or return;

    # else children end well before their turn comes, or it begins new ones
    if ($o{all}) {
        CORE::kill('STOP', $pid);
        CORE::kill('KILL', children($pid));
    }

    CORE::kill('KILL', $pid);
    wait_exit($pid, 5);
}


sub check_log
{
    my ($self) = @_;

    my $expected = $self->{errors};
    my @errors = grep { !$expected || !/$expected/ }
        slurp($self->{log}) =~ /^(.* error: .*)$/mg;

    is(join("\n", @errors), '', "$self->{name} has logged no error");
}


1;
