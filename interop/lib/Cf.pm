# Cf: the real cf CLI, built once and kept in build/interop. Nothing here
# checks anything; the test file does that itself.

package Cf;

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(dirname);
use lib dirname(__FILE__);

use Bosh;

our @EXPORT = qw(cf_cli);

my $MODULE = 'code.cloudfoundry.org/cli/v8';

# The version that the issue names. A Go proxy may hold back versions that it
# calls too new, and the list of all versions (403), without which `go
# install` of another one does not work either; its source can be had then,
# and go.sum in it names the checksums of all that it needs.
my $VERSION = '8.18.4';
my $NEAR = '8.18.3';


sub build_near
{
    my ($bin) = @_;

    my $src = build() . '/cf-cli-src';
    my ($text, $status) = Bosh::go('mod', 'download', '-json',
        "$MODULE\@v$NEAR");
    my ($dir) = $text =~ /"Dir": "([^"]+)"/;

    return $text if $status || !$dir;

    system('rm', '-rf', $src);
    return 'cp' if system('cp', '-r', $dir, $src);

    # One at a time: it has 1500 packages, and others use this machine, too.
    ($text, $status) = Bosh::go('-C', $src, 'build', '-p', '1', '-ldflags',
        "-X $MODULE/version.binaryVersion=$NEAR", '-o', $bin, '.');

    return $status == 0 && -x $bin ? '' : $text;
}


# Path of the real CLI and '', or undef and why there is none. PCAP_CF_CLI
# names one that is there already.
sub cf_cli
{
    my $bin = $ENV{PCAP_CF_CLI} || build() . '/bin/cf';

    return ($bin, '') if -x $bin;
    return (undef, 'no go command here') if !grep { -x "$_/go" }
        split /:/, $ENV{PATH};

    # Named after the module's path.
    my ($text, $status) = Bosh::go('install', '-p', '1',
        "$MODULE\@v$VERSION");

    return ($bin, '') if $status == 0
        && rename(build() . '/bin/cli', $bin);

    my $near = build_near($bin);

    return ($bin, '') if $near eq '';

    my $why = join ' ', grep { /\S/ && !/^go: downloading/ } split /\n/,
        "$text\n$near";

    $why =~ s/\s+/ /g;

    return (undef, "go install $MODULE\@v$VERSION: " . substr $why, 0, 300);
}


1;
