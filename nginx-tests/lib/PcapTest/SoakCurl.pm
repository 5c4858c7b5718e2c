# PcapTest::SoakCurl: a capture of soak.t by curl and HTTP/2, with the face of
# PcapTest::Client as far as soak.t looks at it. What came is read when curl
# has ended; only header and end are seen before.

package PcapTest::SoakCurl;

use strict;
use warnings;

use Time::HiRes qw(time);
use PcapTest;


# Options: token, rate (bytes a second that it takes).
sub new
{
    my ($class, $nginx, $path, %o) = @_;

    our $number;

    my $self = bless { body => '', bytes => 0, trailers => {},
        base => work_dir() . '/h2-' . ++$number }, $class;

    $self->{pid} = spawn('curl', [ 'curl', '-sS', '-N', '--http2', '--cacert',
        $nginx->{certs}->file('ca.crt'), '-H', 'Authorization: bearer '
        . ($o{token} || 'good'), ($o{rate} ? ('--limit-rate', $o{rate}) : ()),
        '-D', "$self->{base}.head", '-o', "$self->{base}.body",
        "https://localhost:$nginx->{port}$path" ],
        out => "$self->{base}.err");

    return $self;
}


sub fields
{
    my ($text) = @_;

    return map { /^([^:\s]+): (.*)$/ ? (lc $1 => $2) : () }
        split /\r?\n/, $text;
}


sub pull
{
    my ($self) = @_;

    return 0 if $self->{eof};

    my $up = alive($self->{pid});

    # the second part are the trailers
    if (!$self->{status} || !$up) {
        my ($head, $rest) = split /\r?\n\r?\n/, slurp("$self->{base}.head"),
            2;

        if (defined $rest && $head =~ m{^HTTP/2 (\d{3})}) {
            $self->{status} = $1;
            $self->{fields} = { fields($head) };
            $self->{trailers} = { fields($rest) };
        }
    }

    return undef if $up;

    $self->{complete} = defined $self->{status}
        && wait_exit($self->{pid}, 1) == 0;
    $self->{body} = slurp("$self->{base}.body");
    $self->{bytes} = length $self->{body};
    $self->over();

    return 0;
}


sub header { my ($self, $name) = @_; return $self->{fields}{ lc $name } }


sub trailer { my ($self, $name) = @_; return $self->{trailers}{ lc $name } }


# There is no end without a word here: the kernel says it for curl.
sub vanish
{
    my ($self) = @_;

    stop_child($self->{pid}, 'KILL', 5);
    $self->over();
}


sub over
{
    my ($self) = @_;

    unlink map { "$self->{base}.$_" } qw(head body err);
    $self->{eof} = 1;
    $self->{eof_at} = time();
}


1;
