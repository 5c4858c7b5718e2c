# Bosh: what the tests of the BOSH release share: the real bosh CLI, YAML by
# ruby, rendering of job templates, and the compiled packages. Nothing here
# checks anything; each test file does that itself.

package Bosh;

use strict;
use warnings;

use Cwd ();
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use JSON::PP ();
use Test::More ();

our @EXPORT = qw(root build bosh_cli real_bosh run_words yaml_of render
    merge_into no_packages need_packages);

# The version that the issue names, and the one that this was written for.
my $BOSH_CLI = 'github.com/cloudfoundry/bosh-cli/v7@v7.10.6';

# A Go proxy may hold back versions that it calls too new or unsafe, some of
# the issue's among them (403). This one, two patches later, can be had with
# neighbours of four modules that it needs. All are pinned: its own source by
# this hash, the others by interop/bosh/cli/go.sum, for the same proxies do not
# pass the checksum data base on.
my $NEAR = '7.10.8';
my $NEAR_SUM = 'h1:7WG+JkWu/7TdvyzuEXJJL59VM8pYrXt0V0+6FPM9Brg=';

my $ROOT = Cwd::abs_path(dirname(__FILE__) . '/../..');


sub root { return $ROOT }

sub build
{
    make_path("$ROOT/build/interop");
    return "$ROOT/build/interop";
}


# An archive that they are compiled from cannot be had. '': it can.
sub no_packages
{
    my ($why) = @_;

    my $file = build() . '/no-packages';

    unlink $file;
    return if $why eq '';
    open my $fh, '>', $file or die "$file: $!\n";
    print $fh $why;
    close $fh or die "$file: $!\n";
}


# For a test that bosh_build.t has compiled them for.
sub need_packages
{
    open my $fh, '<', build() . '/no-packages' or return;
    Test::More::plan(skip_all => 'no compiled packages: ' . <$fh>);
}


# A command in its own words: output with errors, and the exit status.
sub run_words
{
    my (@cmd) = @_;

    my $pid = open my $pipe, '-|';
    die "fork: $!\n" if !defined $pid;

    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT or die "stderr: $!\n";
        open STDIN, '<', '/dev/null' or die "stdin: $!\n";
        exec { $cmd[0] } @cmd or die "$cmd[0]: $!\n";
    }

    my $text = do { local $/; <$pipe> } // '';
    close $pipe;

    return ($text, $? >> 8 || $? & 127);
}


# The go command, with its caches below build/.
sub go
{
    my (@args) = @_;

    my $dir = build();
    local $ENV{GOPATH} = "$dir/gopath";
    local $ENV{GOBIN} = "$dir/bin";
    local $ENV{GOFLAGS} = '-modcacherw -buildvcs=false';
    local $ENV{CGO_ENABLED} = 0;

    return run_words('go', @args);
}


# Builds the neighbour of that version. Returns '', or why there is none.
sub near
{
    my ($bin) = @_;

    my $src = build() . '/bosh-cli-src';

    local $ENV{GOSUMDB} = 'off';
    my ($text, $status) = go('mod', 'download', '-json',
        "github.com/cloudfoundry/bosh-cli/v7\@v$NEAR");
    return $text if $status;

    my ($dir) = $text =~ /"Dir": "([^"]+)"/;
    my ($sum) = $text =~ /"Sum": "([^"]+)"/;
    return "v$NEAR is not what Bosh.pm says: $sum" if $sum ne $NEAR_SUM;

    system('rm', '-rf', $src);
    return 'cp' if system('cp', '-r', $dir, $src)
        || system('cp', "$ROOT/interop/bosh/cli/go.mod",
            "$ROOT/interop/bosh/cli/go.sum", $src);

    ($text, $status) = go('-C', $src, 'build', '-mod=readonly', '-ldflags',
        "-X github.com/cloudfoundry/bosh-cli/v7/cmd.VersionLabel=$NEAR",
        '-o', $bin, '.');

    return $status == 0 && -x $bin ? '' : $text;
}


# What go said last, on one line: "... 403 Forbidden", "dial tcp ...".
sub reason
{
    my ($text) = @_;

    my $why = join ' ', grep { /\S/ && !/^go: downloading/ } split /\n/, $text;
    $why =~ s/\s+/ /g;

    return substr $why, 0, 300;
}


# Path of the real CLI and '', or undef and why there is none. PCAP_BOSH_CLI
# names one that is there already.
sub bosh_cli
{
    my $bin = $ENV{PCAP_BOSH_CLI} || build() . '/bin/bosh-cli';

    return (undef, 'PCAP_NO_BOSH_CLI is set') if $ENV{PCAP_NO_BOSH_CLI};
    return ($bin, '') if -x $bin;
    return (undef, 'no go command here') if !grep { -x "$_/go" }
        split /:/, $ENV{PATH};

    my ($text, $status) = go('install', $BOSH_CLI);
    return ($bin, '') if $status == 0 && -x $bin;

    my $why = near($bin);
    return ($bin, '') if $why eq '';

    return (undef, "$BOSH_CLI: " . reason($text) . "; v$NEAR: "
        . reason($why));
}


# The same for a test: without the CLI it fails. PCAP_NO_BOSH_CLI=1 makes it a
# skip, for machines that are not meant to fetch it.
sub real_bosh
{
    my ($bosh, $why) = bosh_cli();

    return $bosh if $bosh;

    SKIP: {
        Test::More::skip("the real bosh CLI: $why", 1)
            if $ENV{PCAP_NO_BOSH_CLI};
        Test::More::ok(0, "the real bosh CLI: $why (PCAP_NO_BOSH_CLI=1 skips)");
    }

    return;
}


# A YAML file or text as perl data.
sub yaml_of
{
    my ($yaml) = @_;

    $yaml = do { open my $fh, '<', $yaml or die "$yaml: $!\n";
                 local $/; <$fh> } if $yaml !~ /\n/;

    my $in = build() . "/yaml.$$";
    open my $fh, '>', $in or die "$in: $!\n";
    print $fh $yaml;
    close $fh;

    my ($text, $status) = run_words('ruby', '-ryaml', '-rjson', '-e',
        'puts JSON.generate(YAML.safe_load(File.read(ARGV[0])))', $in);
    unlink $in;
    die "not YAML: $text\n" if $status;

    return JSON::PP->new->utf8->allow_nonref->decode($text);
}


# Renders a job into a folder. Returns what ruby said and its exit status.
sub render
{
    my ($job, $input, $out) = @_;

    my $file = build() . "/render.$$.json";
    open my $fh, '>', $file or die "$file: $!\n";
    print $fh JSON::PP->new->utf8->encode($input);
    close $fh;

    my ($text, $status) = run_words("$ROOT/interop/bosh/render.rb",
        "$ROOT/bosh/jobs/$job", $file, $out);
    unlink $file;

    return ($text, $status);
}


# A copy of %$base with the leaves of %$change in it; undef removes.
sub merge_into
{
    my ($base, $change) = @_;
    my %merged = %$base;

    for my $key (keys %$change) {
        my $value = $change->{$key};

        if (!defined $value) {
            delete $merged{$key};

        } else {
            $merged{$key} = ref $value eq 'HASH'
                && ref $merged{$key} eq 'HASH'
                ? merge_into($merged{$key}, $value) : $value;
        }
    }

    return \%merged;
}


1;
