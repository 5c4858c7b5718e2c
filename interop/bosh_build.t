#!/usr/bin/perl
#
# interop/bosh_build.t: the BOSH release as a whole: bosh/scripts/prepare
# with real sources, digests that refuse, `bosh create-release --force` by the
# real CLI, every package compiled by its packaging script without network, and
# what came out: linked to nothing of its own but libc, the right versions.
#
# Fetched archives and compiled packages are kept in build/interop. Where an
# archive cannot be had from anybody, what needs it is skipped, here and in the
# tests that need the packages.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp qw(tempdir);
use Test::More;

use Bosh;

my $R = root() . '/bosh';
my $OUT = build() . '/packages';
my $dir = tempdir(CLEANUP => 1);

$ENV{PCAP_BLOBS_CACHE} = build() . '/blobs';


sub lines_of
{
    my ($file) = @_;

    open my $fh, '<', $file or die "$file: $!\n";
    return <$fh>;
}


sub prepare
{
    my ($text, $status) = run_words("$R/scripts/prepare");
    my ($missing) = $status == 75 ? $text =~ /.*^fetch-blob: ([^\n]*)/ms : '';

    no_packages($missing);
    return $missing if $missing;
    ok($status == 0, 'scripts/prepare') or diag($text);

    my ($links) = run_words('find', "$R/src", '-type', 'l');
    is($links, '', 'src/ holds no symbolic link');

    my ($ours) = run_words('sh', '-c', "cd '$R/src/pcap' && for d in module"
        . " pcapx agent cli store; do diff -rq \$d '$R/../'\$d; done");
    is($ours, '', 'src/ holds this tree');

    my ($git) = run_words('git', '-C', $R, 'status', '--porcelain', '.');
    is(join('', grep { m{src/|blobs/} } split /^/, $git), '',
       'git sees nothing of it');

    return '';
}


# One table line with a wrong digest, one with a wrong size.
sub wrong_blobs
{
    my ($line) = grep { /libyaml/ } lines_of("$R/blobs.table");
    my @wrong = (
        [ 'sha256', $line =~ s/ [0-9a-f]{64} / ' ' . '0' x 64 . ' ' /er ],
        [ 'size', $line =~ s/ \d+ / 7 /r ],
    );

    for my $wrong (@wrong) {
        my $copy = "$dir/$wrong->[0]";
        run_words('mkdir', '-p', $copy);
        run_words('cp', '-R', "$R/scripts", $copy);
        open my $fh, '>', "$copy/blobs.table" or die;
        print $fh $wrong->[1];
        close $fh;

        local $ENV{PCAP_BLOBS_CACHE} = "$copy/cache";
        my ($text, $status) = run_words("$copy/scripts/fetch-blobs");
        ok($status != 0 && $text =~ /is not what blobs\.table says/
           && !-e "$copy/src/blobs/libyaml.tar.gz",
           "an archive with another $wrong->[0] is refused") or diag($text);
    }
}


sub create_release
{
    my $bosh = real_bosh() or return;
    my $tarball = "$dir/pcap.tgz";
    my ($text, $status) = run_words($bosh, 'create-release', '--force',
        "--dir=$R", "--tarball=$tarball", '--non-interactive');
    ok($status == 0, 'bosh create-release --force') or diag($text);
    my ($list) = run_words('tar', '-tzf', $tarball);
    like($list, qr{jobs/pcap-api\.tgz.*packages/pcap-nginx\.tgz}s,
         'the tarball has jobs and packages');
}


# What create-release would refuse, and a bit more, without it.
sub release_is_whole
{
    my @faults;
    my %packages = map { $_ => 1 } map { m{([^/]+)/spec$} }
        glob "$R/packages/*/spec";

    for my $file (glob "$R/jobs/*/spec") {
        my $spec = yaml_of($file);
        my ($job) = $file =~ m{^(.*)/spec$};

        push @faults, "$file: its name is $spec->{name}"
            if $job !~ m{/\Q$spec->{name}\E$};
        push @faults, "$job/monit is missing" if !-f "$job/monit";
        push @faults, map { "$file: no package $_" }
            grep { !$packages{$_} } @{ $spec->{packages} };

        my ($found) = run_words('sh', '-c', "cd '$job/templates' &&"
            . ' find . -type f | sed s,./,,');
        my %there = map { $_ => 1 } split /\n/, $found;
        push @faults, map { "$file: no template $_" }
            grep { !delete $there{$_} } keys %{ $spec->{templates} };
        push @faults, map { "$file does not list $_" } keys %there;
        push @faults, map { "$file: $_ has no description" }
            grep { !$spec->{properties}{$_}{description} }
            keys %{ $spec->{properties} };
    }

    for my $package (sort keys %packages) {
        my $spec = yaml_of("$R/packages/$package/spec");
        push @faults, "$package: no packaging"
            if !-f "$R/packages/$package/packaging";
        push @faults, map { "$package: no package $_" }
            grep { !$packages{$_} } @{ $spec->{dependencies} };
    }

    is("@faults", '', 'jobs and packages are whole');

    my @scripts = (glob("$R/scripts/*"), glob("$R/packages/*/packaging"),
                   "$R/stemcell/pcap_agent/apply.sh");
    my @broken = grep { (run_words('bash', '-n', $_))[1] } @scripts;
    is("@broken", '', 'scripts are shell');

    my $final = yaml_of("$R/config/final.yml");
    is($final->{name}, 'pcap', 'config/final.yml: name');
}


sub compile
{
    my ($text, $status) = run_words(root() . '/interop/bosh/compile-packages',
        $R, $OUT);
    ok($status == 0, 'every package compiles offline') or diag($text);
    note($text);
    return if $status;

    for my $file (qw(pcap-nginx/sbin/nginx pcap-agent/bin/pcap-agent
                     pcap-cli/bin/pcap-cli pcap-store/bin/pcap-store))
    {
        my ($needed) = run_words('readelf', '-d', "$OUT/$file");
        my @foreign = grep { !/^(?:libc|libm|libcrypt|libdl|libpthread|ld-)/ }
            $needed =~ /NEEDED.*\[(.*?)\]/g;
        is("@foreign", '', "$file needs nothing but the C library");
        like($needed, qr/BIND_NOW/, "$file is bound at the start");
    }

    ($text) = run_words("$OUT/pcap-nginx/sbin/nginx", '-V');
    like($text, qr{nginx/1\.26\.3.*OpenSSL 3\.5}s, 'nginx and OpenSSL');
    ($text, $status) = run_words('sh', '-c', "cd '$OUT/pcap-cli/download'"
        . ' && sha256sum -c *.sha256');
    ok($status == 0, 'the download has its sha256') or diag($text);
    ($text) = run_words('sh', '-c', "strings '$OUT/pcap-nginx/sbin/nginx'"
        . ' | grep -c max_headers');
    cmp_ok($text, '>=', 1, "Debian's fixes are in");
    store_libraries();
}


# What pcap-store was linked to, by words that each has in it.
sub store_libraries
{
    my $store = "$OUT/pcap-store/bin/pcap-store";
    my ($text, $status) = run_words($store, '--version');
    ok($status == 0 && $text =~ /^pcap-store /, 'pcap-store runs')
        or diag($text);

    ($text) = run_words('strings', $store);
    like($text, qr/^2024-08-13 09:16:08 c9c2ab54/m, 'SQLite 3.46.1');
    like($text, qr/^more than %d aggregate terms$/m, 'with its fixes');
    like($text, qr/^expat_2\.8\.3$/m, 'expat 2.8.3');
    ($text) = run_words('nm', "$OUT/pcap-zstd/lib/libzstd.a");
    like($text, qr/ T ZSTD_compressStream2$/m, 'libzstd is there');
    my ($line) = grep { /^#define ZSTD_VERSION_(?:MINOR|RELEASE) / }
        lines_of("$OUT/pcap-zstd/include/zstd.h");
    like($line, qr/5$/, 'and is 1.5');
}


# The agent with the stemcell's configuration, but in a folder of this test:
# what ExecStartPre says while the files come in, in any order.
sub closed
{
    my ($json) = @_;

    my $agent = "$OUT/pcap-agent/bin/pcap-agent";
    my @files = qw(agent.crt agent.key ca.crt);
    my $check = sub {
        return (run_words($agent, '--config', "$dir/agent.json",
            '--check'))[1];
    };

    mkdir "$dir/all";
    run_words('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
        '/CN=pcap-agent', '-addext', 'subjectAltName=DNS:pcap-agent', '-keyout',
        "$dir/all/agent.key", '-out', "$dir/all/agent.crt");
    run_words('cp', "$dir/all/agent.crt", "$dir/all/ca.crt");
    chmod 0600, "$dir/all/agent.key";

    # the user is one of the stemcell
    $json =~ s{/var/vcap/bosh/pcap}{$dir/pcap}g;
    $json =~ s/"user": "vcap"/"user": "nobody"/;
    open my $fh, '>', "$dir/agent.json" or die;
    print $fh $json;
    close $fh;

    for my $last (@files) {
        run_words('rm', '-rf', "$dir/pcap");
        run_words('cp', '-R', "$dir/all", "$dir/pcap");
        run_words('mv', "$dir/pcap/$last", "$dir/late");
        isnt($check->(), 0, "stemcell: closed without $last");
        run_words('mv', "$dir/late", "$dir/pcap/$last");
        is($check->(), 0, "stemcell: opens with it");
    }
}


sub stemcell
{
    my $unit = "$R/stemcell/pcap_agent/assets/pcap-agent";

    my @conf = lines_of("$unit.json");
    ok(yaml_of(join '', @conf), 'stemcell: configuration is JSON');
    my $service = join '', lines_of("$unit.service");
    my $path = join '', lines_of("$unit.path");
    unlike($service, qr/^(?:Condition|Assert)/m,
        'stemcell: nothing that the path unit would run against');
    for my $line ('StartLimitIntervalSec=0', 'Restart=on-failure',
        'ExecStartPre=/var/vcap/bosh/bin/pcap-agent --config'
        . ' /var/vcap/bosh/etc/pcap-agent.json --check')
    {
        ok(scalar($service =~ /^\Q$line\E$/m),
            'stemcell: tried until the files are in: ' . substr $line, 0, 24);
    }
    like($path, qr{^PathExists=/var/vcap/bosh/pcap/ready$}m,
        'stemcell: started by a file that is written last');
    unlike($service, qr/^\[Install\]/m, 'stemcell: the service is not enabled');
    closed(join('', @conf));

    SKIP: {
        skip('no systemd-analyze here', 1)
            if !-x '/usr/bin/systemd-analyze';
        my ($text) = run_words('sh', '-c', "cp '$unit.service' '$unit.path'"
            . " '$dir/' && sed -i s,/var/vcap/bosh/bin/pcap-agent,/bin/true,"
            . " '$dir/pcap-agent.service' && systemd-analyze verify"
            . " '$dir/pcap-agent.service' '$dir/pcap-agent.path' 2>&1"
            . ' | grep pcap-agent');
        is($text, '', 'stemcell: systemd takes the units');
    }
}


# An archive that nobody has.
sub absent_blob
{
    my ($text, $status) = run_words("$R/scripts/fetch-blob", "$dir/absent", 1,
        '0' x 64, 'absent', 'absent_1.orig.tar.gz', 'https://localhost:1/');

    is($status, 75, 'an archive that nobody has') or diag($text);
    like($text, qr/^fetch-blob: neither upstream nor .* absent_1\.orig/m,
        'it says so');
    is_deeply([ glob "$dir/absent*" ], [], 'and leaves nothing');
}


my $missing = prepare();

absent_blob();
release_is_whole();

SKIP: {
    skip($missing, 1) if $missing;
    wrong_blobs();
    create_release();
    compile();
    stemcell();
}

done_testing();
