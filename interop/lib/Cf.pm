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
# install` of another one does not work either. Its neighbour's source can be
# had; it is pinned by this hash, and all that it needs by the go.sum in it.
my $VERSION = '8.18.4';
my $NEAR = '8.18.3';
my $NEAR_SUM = 'h1:Wn+OQCaI/TFsqwnX3thlIMyJTU18qKRQHPNFwt2NA9c=';


# Builds the neighbour of that version. Returns '', or why there is none.
sub near
{
    my ($bin) = @_;

    my $src = build() . '/cf-cli-src';

    local $ENV{GOSUMDB} = 'off';
    my ($text, $status) = Bosh::go('mod', 'download', '-json',
        "$MODULE\@v$NEAR");
    return $text if $status;

    my ($dir) = $text =~ /"Dir": "([^"]+)"/;
    my ($sum) = $text =~ /"Sum": "([^"]+)"/;
    return "v$NEAR is not what Cf.pm says: $sum" if $sum ne $NEAR_SUM;

    system('rm', '-rf', $src);
    return 'cp' if system('cp', '-r', $dir, $src);

    # One package at a time: there are 1500, and others use this machine.
    ($text, $status) = Bosh::go('-C', $src, 'build', '-mod=readonly', '-p',
        '1', '-ldflags', "-X $MODULE/version.binaryVersion=$NEAR", '-o',
        $bin, '.');

    return $status == 0 && -x $bin ? '' : $text;
}


# Path of the real CLI and '', or undef and why there is none. PCAP_CF_CLI
# names one that is there already.
sub cf_cli
{
    my $bin = $ENV{PCAP_CF_CLI} || build() . '/bin/cf';

    return (undef, 'PCAP_NO_CF_CLI is set') if $ENV{PCAP_NO_CF_CLI};
    return ($bin, '') if -x $bin;
    return (undef, 'no go command here') if !grep { -x "$_/go" }
        split /:/, $ENV{PATH};

    # Named after the module's path.
    my ($text, $status) = Bosh::go('install', '-p', '1',
        "$MODULE\@v$VERSION");

    return ($bin, '') if $status == 0
        && rename(build() . '/bin/cli', $bin);

    my $why = near($bin);

    return ($bin, '') if $why eq '';
    return (undef, "v$VERSION: " . Bosh::reason($text) . "; v$NEAR: "
        . Bosh::reason($why));
}


1;
