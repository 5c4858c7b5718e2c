#!/usr/bin/perl
#
# interop/cli_macos.t: the command line and the library are built for macOS,
# on Apple's own and on Intel's processors: every file compiles without a
# warning against macOS's headers (those that zig brings), and all of it links
# against macOS's system library. Headers of curl, OpenSSL, jansson, libyaml and
# libzstd are Debian's, alone in a folder; their functions are stubs when it is
# linked.
#
# zig is a compiler in a Python package, fetched once into build/interop. What
# is built is not run: there is no macOS here.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA;
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use Test::More;

use Bosh;

my $ZIG = '0.17.1';
my $SHA256
    = 'ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54';

# macOS 11 is the first for both; what came later is a finding.
my %TARGETS = (
    'aarch64-macos.11.0' => 'cffaedfe0c000001',
    'x86_64-macos.11.0' => 'cffaedfe07000001',
);

my @HEADERS = qw(curl openssl jansson.h jansson_config.h yaml.h zstd.h
    zstd_errors.h);
my @FLAGS = qw(-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror
    -Werror=implicit-function-declaration);

my $root = $ENV{TEST_CLI_SOURCE} || root();
my $dir = tempdir(CLEANUP => 1);
my $zig;


# Path of zig and '', or undef and why it cannot be had. A wheel that is not
# the one that is pinned is no reason to skip.
sub zig
{
    my $home = build() . "/zig-$ZIG";
    my $bin = "$home/ziglang/zig";

    return ($bin, '') if -x $bin;

    my ($machine) = run_words('uname', '-sm');
    return (undef, "zig is pinned for Linux x86_64 only")
        if $machine ne "Linux x86_64\n";

    my ($text, $status) = run_words('python3', '-m', 'pip', 'download', '-q',
        '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:',
        '-d', $dir, "ziglang==$ZIG");
    my ($wheel) = glob "$dir/ziglang-*.whl";
    $text =~ s/\s+/ /g;
    return (undef, "pip download ziglang==$ZIG: " . substr $text, -300)
        if $status || !$wheel;

    is(Digest::SHA->new(256)->addfile($wheel, 'b')->hexdigest, $SHA256,
        'the wheel is the one that is pinned') or return;

    make_path("$home.new");
    ($text, $status) = run_words('python3', '-m', 'zipfile', '-e', $wheel,
        "$home.new");
    unlink $wheel;
    die "$wheel: $text\n" if $status;

    # No modes in a wheel as python unpacks it.
    chmod 0755, "$home.new/ziglang/zig";
    remove_tree($home);
    rename "$home.new", $home or die "$home: $!\n";

    return ($bin, '');
}


# The folder that has the libraries' headers, and nothing of glibc.
sub headers
{
    my ($triplet) = run_words('cc', '-print-multiarch');
    my $to = "$dir/include";

    chomp $triplet;
    make_path($to);

    for my $name (@HEADERS) {
        my @from = grep { -e } "/usr/include/$triplet/$name",
            "/usr/include/$name";
        my @files = map { -d ? glob "$_/*.h" : $_ } @from;

        make_path("$to/$name") if grep { -d } @from;

        for my $file (@files) {
            copy($file, -d "$to/$name" ? "$to/$name" : $to)
                or die "$file: $!\n";
        }

        ok(scalar @files, "header: $name");
    }

    return $to;
}


sub cc
{
    my ($target, @args) = @_;

    return run_words($zig, 'cc', '-target', $target, @args);
}


# Source files to objects in $dir/$target; those that failed.
sub compiled
{
    my ($target, $include, @sources) = @_;

    my @failed;
    make_path("$dir/$target");

    for my $source (@sources) {
        my $object = "$dir/$target/" . $source =~ tr{/}{_}r . '.o';
        my ($text, $status) = cc($target, @FLAGS, "-I$root", "-I$include",
            '-c', '-o', $object, "$root/$source");

        next if $status == 0 && $text eq '' && -s $object;
        push @failed, $source;
        diag($text);
    }

    return @failed;
}


# What would not be seen, were the wrong headers or libraries there.
sub refused
{
    my ($target, $include) = @_;

    my %no = (
        'glibc is out of sight' => "#include <features.h>\nint x;\n",
        'an unknown function' => "#include <string.h>\n"
            . "void f(char *p);\nvoid f(char *p) { explicit_bzero(p, 1); }\n",
        'one of a later macOS' => "#include <unistd.h>\n"
            . "int f(int *p);\nint f(int *p) { return pipe2(p, 0); }\n",
    );

    for my $name (sort keys %no) {
        open my $fh, '>', "$dir/no.c" or die "no.c: $!\n";
        print $fh $no{$name};
        close $fh;

        my ($text, $status) = cc($target, @FLAGS, "-I$include", '-c', '-o',
            "$dir/no.o", "$dir/no.c");
        ok($status != 0 && $text =~ /error:/, "$target: refused: $name")
            or diag($text);
    }
}


# Links all objects. First without the five libraries: nothing else may be
# missing. Then with a stub for each of their functions.
sub linked
{
    my ($target, $magic) = @_;

    my @objects = glob "$dir/$target/*.o";
    my $bin = "$dir/$target/pcap-cli";
    my ($text) = cc($target, '-o', $bin, @objects);
    my @missing = $text =~ /undefined symbol: _(\w+)/g;
    my @other = grep {
        !/^(?:(?:curl|json|jsonp|yaml|CRYPTO|EVP|ZSTD)_|HMAC$)/ } @missing;

    ok(@missing > 10 && !@other, "$target: macOS has all that is called")
        or diag("missing: @other\n$text");

    open my $fh, '>', "$dir/stubs.c" or die "stubs.c: $!\n";
    print $fh "void $_(void);\nvoid $_(void) { }\n" for @missing;
    close $fh;

    my $status;
    ($text, $status) = cc($target, '-o', $bin, "$dir/stubs.c", @objects);
    ok($status == 0 && -s $bin, "$target: it links") or diag($text);

    open $fh, '<:raw', $bin or return ok(0, "$target: $bin: $!");
    read $fh, my $head, 8;
    is(unpack('H*', $head), $magic, "$target: a program for it");
}


sub built
{
    my $include = headers();
    chdir $root or die "$root: $!\n";
    my @sources = (sort(glob 'cli/*.c'), sort(glob 'pcapx/*.c'));

    ok(grep({ $_ eq 'cli/main.c' } @sources) && @sources > 20,
        scalar @sources . ' files');

    # Its caches, not those of whoever runs this.
    local $ENV{ZIG_GLOBAL_CACHE_DIR} = build() . '/zig-cache';
    local $ENV{ZIG_LOCAL_CACHE_DIR} = build() . '/zig-cache';

    for my $target (sort keys %TARGETS) {
        my @failed = compiled($target, $include, @sources);

        is("@failed", '', "$target: all compile without a warning");
        refused($target, $include);

        SKIP: {
            skip('it did not compile', 3) if @failed;
            linked($target, $TARGETS{$target});
        }
    }
}


my $why;
($zig, $why) = zig();

SKIP: {
    skip("zig cannot be had: $why", 1) if defined $why && !$zig;
    built() if $zig;
}

done_testing();
