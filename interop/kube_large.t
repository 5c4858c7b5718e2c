#!/usr/bin/perl
#
# interop/kube_large.t: nginx-tests/kube_zip.t with an archive of 5 GiB, which
# needs zip64, and one of 10 000 files: read by unzip, Python and bsdtar.

use strict;
use warnings;

use FindBin;

my $tests = "$FindBin::Bin/../nginx-tests";

@ENV{qw(ZIP_MIB ZIP_FILES)} = (5120, 10_000);
exec $^X, "-I$tests/lib", "$tests/kube_zip.t" or die "kube_zip.t: $!\n";
