# interop/lib/Image.pm: both images of k8s/Containerfile, built by `make
# image` with buildah in a store of its own, on a Debian made by debootstrap
# in place of the one that a registry has. All of it is removed at the end.

package Image;

use strict;
use warnings;

use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

use Bosh ();


# For a BEGIN block: what needs the network comes first, then the test begins
# again below this process with INTEROP_IMAGES, which this returns: { agent,
# api }, { root, config } each: where an image's files are, and its
# configuration.
sub images
{
    return decode_json($ENV{INTEROP_IMAGES}) if $ENV{INTEROP_IMAGES};

    plan(skip_all => 'it needs root') if $>;

    for my $tool (qw(buildah debootstrap runc)) {
        plan(skip_all => "$tool: it is not installed")
            if system("command -v $tool >/dev/null") != 0;
    }

    my $dir = tempdir(CLEANUP => 1, DIR => Bosh::build());

    $ENV{INTEROP_IMAGES} = encode_json(built($dir));

    my $status = system($^X, (map { "-I$_" } grep { !ref } @INC), $0);

    words_of('buildah', 'rm', '-a');
    exit($status >> 8 || $status & 127);
}


# All that a command says, also when it fails.
sub words_of
{
    my (@cmd) = @_;

    my ($text, $status) = Bosh::run_words(@cmd);

    die "@cmd: status $status\n" . substr($text, -3000) . "\n" if $status;

    return $text;
}


sub built
{
    my ($dir) = @_;

    open my $fh, '>', "$dir/storage.conf" or die "storage.conf: $!\n";
    print {$fh} "[storage]\ndriver = \"vfs\"\nrunroot = \"$dir/run\"\n"
        . "graphroot = \"$dir/images\"\n";
    close $fh or die "storage.conf: $!\n";
    @ENV{qw(CONTAINERS_STORAGE_CONF BUILDAH_ISOLATION)} =
        ("$dir/storage.conf", 'chroot');

    words_of('debootstrap', '--variant=minbase', 'bookworm', "$dir/debian");

    my ($base) = split ' ', words_of('buildah', 'from', 'scratch');

    words_of('buildah', 'add', '-q', $base, "$dir/debian", '/');
    words_of('buildah', 'commit', '-q', '--rm', $base,
        'docker.io/library/debian:bookworm-slim');
    words_of('make', '-s', '-C', Bosh::root(), 'image', 'IMAGE_TOOL=buildah',
        'IMAGE_PREFIX=localhost/');

    my ($version) = words_of('grep', 'PCAP_VERSION',
        Bosh::root() . '/pcapx/version.h') =~ /"(.*)"/;

    return { map { ($_ => image("localhost/pcap-$_:$version")) }
        qw(agent api) };
}


sub image
{
    my ($name) = @_;

    my ($c) = split ' ', words_of('buildah', 'from', '--pull-never', $name);
    my ($root) = split ' ', words_of('buildah', 'mount', $c);

    return { root => $root, config => decode_json(words_of('buildah',
        'inspect', '--type', 'container', $c))->{OCIv1}{config} };
}


1;
