# S3Servers: storage that others wrote, for s3.t and store_s3.t: MinIO over
# TLS, versitygw without. Both are built by Go into build/interop/bin; where
# that cannot be, {why} says so. Nothing here checks anything.

package S3Servers;

use strict;
use warnings;

use Digest::SHA ();
use Exporter qw(import);
use File::Path qw(make_path);
use Time::HiRes qw(time);

use Bosh;

our @EXPORT = qw(servers fetch prepare begin end end_all curl signed);

my @pids;
my $EMPTY = Digest::SHA::sha256_hex('');

# Version, port, and how each is started in a folder of its own.
my @SERVERS = (
    { name => 'minio', scheme => 'https', port => 9000,
        region => 'eu-central-1',
        module => 'github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c',
        env => { MINIO_ROOT_USER => 'pcap', MINIO_ROOT_PASSWORD =>
            'secret-secret', MINIO_SITE_REGION => 'eu-central-1',
            MINIO_BROWSER => 'off', MINIO_UPDATE => 'off' },
        command => sub { my ($dir) = @_;
            return ('server', '--quiet', '--certs-dir', "$dir/certs",
                '--address', '127.0.0.1:9000', "$dir/data") } },
    { name => 'versitygw', scheme => 'http', port => 10000,
        region => 'us-east-1',
        module => 'github.com/versity/versitygw/cmd/versitygw@v1.7.0',
        env => { ROOT_ACCESS_KEY => 'pcap', ROOT_SECRET_KEY =>
            'secret-secret' },
        command => sub { my ($dir) = @_;
            return ('--port', '127.0.0.1:10000', 'posix', '--sidecar',
                "$dir/sidecar", "$dir/data") } },
);


sub servers { return @SERVERS }


# Builds what is missing; why a server cannot be had stands in {why}.
sub fetch
{
    for my $s (@SERVERS) {
        my $bin = build() . "/bin/$s->{name}";
        next if -x $bin;

        my ($text, $status) = Bosh::go('install', $s->{module});
        $s->{why} = "$s->{module}: " . Bosh::reason($text)
            if $status || !-x $bin;
    }

    return grep { !$_->{why} } @SERVERS;
}


# Folders and keys; %s gets dir and url, and ca with TLS. Then begin() it.
sub prepare
{
    my ($s, $dir) = @_;

    $s->{dir} = $dir;
    $s->{url} = "$s->{scheme}://localhost:$s->{port}";
    make_path(map { "$s->{dir}/$_" } qw(data sidecar certs));

    if ($s->{scheme} eq 'https') {
        my ($text, $status) = run_words(root() . '/examples/make-keys',
            "$s->{dir}/keys", 'server', 'localhost');
        die $text if $status;

        system('cp', "$s->{dir}/keys/localhost.crt",
            "$s->{dir}/certs/public.crt") == 0
            && system('cp', "$s->{dir}/keys/localhost.key",
                "$s->{dir}/certs/private.key") == 0 or die "keys\n";
        $s->{ca} = "$s->{dir}/keys/ca.crt";
    }
}


sub begin
{
    my ($s) = @_;

    my $pid = fork();
    die "fork: $!\n" if !defined $pid;

    if ($pid == 0) {
        %ENV = (%ENV, %{ $s->{env} });
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$s->{dir}/log" or die "log: $!\n";
        open STDERR, '>&', \*STDOUT;
        exec build() . "/bin/$s->{name}", $s->{command}->($s->{dir})
            or die "$s->{name}: $!\n";
    }

    $s->{pid} = $pid;
    push @pids, $pid;

    my $end = time() + 30;

    while (time() < $end) {
        return 1 if curl($s, '-o', '/dev/null', '-w', '%{http_code}',
            "$s->{url}/") =~ /^[234]/;
        select undef, undef, undef, 0.1;
    }

    return 0;
}


sub end
{
    my ($s) = @_;

    kill 'KILL', $s->{pid};
    waitpid $s->{pid}, 0;
    @pids = grep { $_ != $s->{pid} } @pids;
}


# What curl says, errors among it.
sub curl
{
    my ($s, @args) = @_;

    my ($text) = run_words('curl', '-sS', '-m', '60', '--noproxy', '*',
        $s->{ca} ? ('--cacert', $s->{ca}) : (), @args);

    return $text;
}


# A request that curl signs.
sub signed
{
    my ($s, @args) = @_;

    return curl($s, '--aws-sigv4', "aws:amz:$s->{region}:s3", '--user',
        'pcap:secret-secret', '-H', "x-amz-content-sha256: $EMPTY", @args);
}


sub end_all
{
    kill 'KILL', @pids if @pids;
}


1;
