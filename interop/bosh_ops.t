#!/usr/bin/perl
#
# interop/bosh_ops.t: every manifest and ops file, applied to our manifest and
# to manifests shaped like cf-deployment and bosh-deployment, by the real bosh
# CLI (`bosh interpolate`) and by go-patch, the library in it; the steps of the
# README as printed; what comes out is looked at: names, variables that are
# defined, properties that the jobs know.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp qw(tempdir);
use Test::More;

use Bosh;

my $M = root() . '/bosh/manifests';
my $OPS = "$M/ops-files";
my $FIX = "$FindBin::Bin/fixtures";
my $dir = tempdir(CLEANUP => 1);

# Each chain: manifest, ops files, the job's place in it.
my @CHAINS = (
    [ 'pcap-agent.yml', "$M/pcap-agent.yml" ],
    [ 'scale-out', "$M/pcap-agent.yml", 'scale-out' ],
    [ 'route', "$M/pcap-agent.yml", 'expose-route-to-pcap-api' ],
    [ 'scale-out and route', "$M/pcap-agent.yml", 'scale-out',
      'expose-route-to-pcap-api' ],
    [ 'scope', "$M/pcap-agent.yml", 'require-capture-scope' ],
    [ 'token keys', "$M/pcap-agent.yml", 'use-token-keys' ],
    [ 'environment', "$M/pcap-agent.yml", 'add-environment' ],
    [ 'two environments', "$M/pcap-agent.yml", 'add-environment',
      'add-environment' ],
    [ 'names of their own', "$M/pcap-agent.yml", 'per-instance-certs-api' ],
    [ 'two CAs', "$M/pcap-agent.yml", 'rotate-ca-api' ],
    [ 'the new CA', "$M/pcap-agent.yml", 'rotate-ca-api', 'rotate-ca-api-2' ],
    [ 'cf: agent', "$FIX/cf-deployment.yml", 'add-pcap-agent' ],
    [ 'cf: agent, names of their own', "$FIX/cf-deployment.yml",
      'add-pcap-agent', 'per-instance-certs-agent' ],
    [ 'cf: agent, two CAs', "$FIX/cf-deployment.yml", 'add-pcap-agent',
      'rotate-ca-agent' ],
    [ 'cf: agent, the new CA', "$FIX/cf-deployment.yml", 'add-pcap-agent',
      'rotate-ca-agent', 'rotate-ca-agent-2' ],
    [ 'bosh: client', "$FIX/bosh-deployment.yml", 'add-uaa-client' ],
    [ 'bosh: scope', "$FIX/bosh-deployment.yml", 'add-capture-scope' ],
    [ 'bosh: API', "$FIX/bosh-deployment.yml", 'add-uaa-client',
      'colocate-api-with-director' ],
    [ 'bosh: API and agent', "$FIX/bosh-deployment.yml", 'add-uaa-client',
      'colocate-api-with-director', 'add-agent-to-director-vm' ],
    [ 'runtime config', "$M/runtime-config.yml" ],
);


sub ops { return map { "$OPS/$_.yml" } @_ }


sub patch_tool
{
    my $bin = build() . '/bin/patch';
    my $src = root() . '/interop/bosh/patch';

    return $bin if -x $bin && -M $bin < -M "$src/main.go";

    my $old = Cwd::getcwd();
    chdir $src or die "$src: $!\n";
    my ($text, $status) = Bosh::go('build', '-o', $bin, '.');
    chdir $old;

    return $status == 0 ? $bin : (undef, $text =~ s/\s+/ /gr);
}


sub jobs_in
{
    my ($doc) = @_;

    return map { @{ $_->{jobs} || [] } } @{ $doc->{instance_groups} || [] },
        @{ $doc->{addons} || [] };
}


# What a manifest says twice, or uses and does not define.
sub faults
{
    my ($doc) = @_;
    my @faults;

    for my $list (qw(releases variables)) {
        my %seen;
        $seen{$_->{name}}++ and push @faults, "$list: $_->{name} twice"
            for @{ $doc->{$list} || [] };
    }

    for my $place (@{ $doc->{instance_groups} || [] },
                   @{ $doc->{addons} || [] })
    {
        my %seen;
        $seen{$_->{name}}++ and push @faults, "$place->{name}: job twice"
            for @{ $place->{jobs} || [] };
    }

    my %variables = map { $_->{name} => $_ } @{ $doc->{variables} || [] };
    my $text = JSON::PP->new->canonical->encode($doc);
    my %used;
    $used{$1} = 1 while $text =~ /\(\(([^()]+)\.(?:certificate|private_key|ca)
        \)\)/xg;

    for my $name (sort keys %used) {
        push @faults, "variable $name is not defined" if !$variables{$name}
            && $name !~ /^nats_client_cert$/;
    }

    for my $v (values %variables) {
        my $ca = $v->{options}{ca} or next;
        push @faults, "$v->{name}: no CA $ca" if !$variables{$ca};
    }

    return join ', ', @faults;
}


# Each job of ours must render with the properties that a manifest gives it:
# names that the spec does not know, or what the template refuses, fail.
sub renders
{
    my ($doc) = @_;
    my @faults;

    for my $job (grep { ($_->{release} || '') eq 'pcap' } jobs_in($doc)) {
        my $json = JSON::PP->new->canonical->encode($job->{properties} || {});
        my %values = (agent_ranges => '["10.0.0.0/16"]',
            environment_agent_ranges => '["10.1.0.0/16"]',
            router_ranges => '["10.0.0.0/24"]', pcap_agent_instances => '{}',
            environment_name => '"other' . '"');

        $json =~ s/"\(\(([^()]+)\)\)"/$values{$1} || "\"(($1))\""/ge;
        $json =~ s{\(\((\w*url)\)\)}{https://10.0.0.6:25555}g;
        $json =~ s/\(\(internal_ip\)\)/10.0.0.6/g;
        $json =~ s/\(\(([^()]+)\)\)/PEM/g;

        # Two environments of one name is what the template refuses.
        my $n = 0;
        $json =~ s/"other"/'"other' . $n++ . '"'/ge;

        my ($text, $status) = render($job->{name}, {
            properties => JSON::PP::decode_json($json),
            spec => { id => 'x', name => 'x', index => 0 } }, "$dir/rendered");
        push @faults, "$job->{name}: $text" if $status;
    }

    return join ', ', @faults;
}


sub looks_right
{
    my ($name, $yaml) = @_;

    my $doc = yaml_of($yaml);
    is(faults($doc), '', "$name: nothing twice, everything defined");
    is(renders($doc), '', "$name: our jobs render with it");

    return $doc;
}


sub by_go_patch
{
    my ($tool, $why) = patch_tool();

    SKIP: {
        skip("go-patch cannot be had: $why", 1) if !$tool;

        for my $chain (@CHAINS) {
            my ($name, $manifest, @ops) = @$chain;
            my ($text, $status) = run_words($tool, $manifest, ops(@ops));

            ok($status == 0, "go-patch: $name") or diag($text), next;
            my $doc = looks_right("go-patch: $name", $text);
            check_cf($doc) if $name eq 'cf: agent';
            check_cas($doc) if $name eq 'cf: agent, two CAs';
            check_director($doc) if $name eq 'bosh: API and agent';
        }

        my ($text, $status) = run_words($tool, "$FIX/bosh-deployment.yml",
            ops('rotate-ca-agent'));
        isnt($status, 0, 'go-patch: an ops file for another manifest fails');
    }
}


sub check_cf
{
    my ($doc) = @_;

    my ($addon) = grep { $_->{name} eq 'pcap-agent' } @{ $doc->{addons} };
    my ($ca) = grep { $_->{name} eq '/pcap_ca' } @{ $doc->{variables} };
    is(scalar @{ $doc->{addons} }, 2, 'cf: the other add-on stays');
    ok(!$addon->{include}{instance_groups} && $addon->{include}{stemcell},
       'cf: the agent goes to all Linux VMs, diego cells among them');
    ok($ca && $ca->{options}{is_ca}, 'cf: the CA has an absolute name');
}


sub check_cas
{
    my ($doc) = @_;

    my ($addon) = grep { $_->{name} eq 'pcap-agent' } @{ $doc->{addons} };
    is($addon->{jobs}[0]{properties}{listen}{tls}{client_cas},
       "((/pcap_ca.certificate))\n((/pcap_ca_2.certificate))\n",
       'cf: the agents trust both CAs');
}


# Its traffic holds every secret: pcap.capture, the default, is not enough.
sub check_director
{
    my ($doc) = @_;

    my ($api) = grep { $_->{name} eq 'pcap-api' } jobs_in($doc);
    is_deeply($api->{properties}{static}{scope}, ['bosh.admin'],
              "bosh: the Director's VM is for bosh.admin alone");
}


sub by_bosh
{
    my ($bosh, $why) = bosh_cli();

    SKIP: {
        skip("the real bosh CLI cannot be had: $why", 1)
            if !$bosh;

        for my $chain (@CHAINS) {
            my ($name, $manifest, @ops) = @$chain;
            my ($text, $status) = run_words($bosh, 'interpolate', $manifest,
                map { ('-o', $_) } ops(@ops));

            ok($status == 0, "bosh interpolate: $name") or diag($text), next;
            looks_right("bosh interpolate: $name", $text);
        }

        # README, steps 1 and 2, as printed but for "deploy".
        my ($text, $status) = run_words('sh', '-c', "cd '" . root()
            . "/bosh' && cp '$FIX/cf-deployment.yml' '$dir/'"
            . " && '$bosh' interpolate -o manifests/ops-files/"
            . "add-pcap-agent.yml '$dir/cf-deployment.yml'"
            . " > '$dir/cf-deployment-pcap.yml'");
        ok($status == 0 && -s "$dir/cf-deployment-pcap.yml", 'README, step 1')
            or diag($text);
        ($text, $status) = run_words($bosh, 'interpolate', '-l',
            "$M/vars-template.yml", "$M/pcap-agent.yml");
        unlike($text, qr/\(\((?!\/?pcap_)[^)]+\)\)/,
            'README, step 2: vars-template.yml names every variable');
    }
}


# The same without the CLI: what is left when vars-template.yml is filled in.
sub template_is_complete
{
    my $text = do { open my $fh, '<', "$M/pcap-agent.yml" or die; local $/;
                    <$fh> };
    my %vars = %{ yaml_of("$M/vars-template.yml") };
    my %defined = map { $_->{name} => 1 } @{ yaml_of($text)->{variables} };
    my @missing;

    while ($text =~ /\(\(([^().]+)(?:\.\w+)?\)\)/g) {
        push @missing, $1 if !exists $vars{$1} && !$defined{$1};
    }

    is("@missing", '', 'vars-template.yml names every variable');
}


sub every_file_is_used
{
    my %used = map { $_ => 1 } map { @$_[2 .. $#$_] } @CHAINS;
    my @unused = grep { !$used{$_} } map { m{([^/]+)\.yml$} }
        glob "$OPS/*.yml";

    is("@unused", '', 'every ops file is in a chain');
}


every_file_is_used();
template_is_complete();
by_go_patch();
by_bosh();
done_testing();
