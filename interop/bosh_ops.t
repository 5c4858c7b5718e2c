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
    [ 'two environments', "$M/pcap-agent.yml", 'add-environment' ],
    [ 'names of their own', "$M/pcap-agent.yml", 'per-instance-certs-api' ],
    [ 'two CAs', "$M/pcap-agent.yml", 'rotate-ca-api' ],
    [ 'the new CA', "$M/pcap-agent.yml", 'rotate-ca-api', 'rotate-ca-api-2' ],
    [ 'store', "$M/pcap-agent.yml", 'store-captures' ],
    [ 'store in S3', "$M/pcap-agent.yml", 'store-captures',
      'store-captures-in-s3' ],
    [ 'store of two environments', "$M/pcap-agent.yml", 'add-environment',
      'store-captures' ],
    [ 'store of apps, scale-out and route', "$M/pcap-agent.yml", 'capture-cf',
      'scale-out', 'expose-route-to-pcap-api', 'store-captures',
      'store-captures-in-s3' ],
    [ 'cf: agent', "$FIX/cf-deployment.yml", 'add-pcap-agent' ],
    [ 'cf: agent, names of their own', "$FIX/cf-deployment.yml",
      'add-pcap-agent', 'per-instance-certs-agent' ],
    [ 'cf: agent, two CAs', "$FIX/cf-deployment.yml", 'add-pcap-agent',
      'rotate-ca-agent' ],
    [ 'cf: agent, the new CA', "$FIX/cf-deployment.yml", 'add-pcap-agent',
      'rotate-ca-agent', 'rotate-ca-agent-2' ],
    [ 'cf: agent in containers', "$FIX/cf-deployment.yml", 'add-pcap-agent',
      'add-pcap-agent-to-diego-cells' ],
    [ 'cf: the name', "$FIX/cf-deployment.yml", 'reserve-pcap-hostname' ],
    [ 'cf: client', "$FIX/cf-deployment.yml", 'add-cf-uaa-client' ],
    [ 'cf: scope', "$FIX/cf-deployment.yml", 'add-cf-capture-scope' ],
    [ 'apps', "$M/pcap-agent.yml", 'capture-cf' ],
    [ 'apps, by keys, with a scope', "$M/pcap-agent.yml", 'capture-cf',
      'use-token-keys', 'require-cf-capture-scope' ],
    [ 'apps, by a route', "$M/pcap-agent.yml", 'capture-cf',
      'expose-route-to-pcap-api' ],
    [ 'bosh: client', "$FIX/bosh-deployment.yml", 'add-uaa-client' ],
    [ 'bosh: scope', "$FIX/bosh-deployment.yml", 'add-capture-scope' ],
    [ 'bosh: API', "$FIX/bosh-deployment.yml", 'add-uaa-client',
      'colocate-api-with-director' ],
    [ 'bosh: API and agent', "$FIX/bosh-deployment.yml", 'add-uaa-client',
      'colocate-api-with-director', 'add-agent-to-director-vm' ],
    [ 'runtime config', "$M/runtime-config.yml" ],
    [ 'runtime config, two CAs', "$M/runtime-config.yml", 'rotate-ca-agent' ],
    [ 'runtime config, the new CA', "$M/runtime-config.yml",
      'rotate-ca-agent', 'rotate-ca-runtime-config-2' ],
    [ 'runtime config, names of their own', "$M/runtime-config.yml",
      'per-instance-certs-agent' ],
);

# What a vars file has for add-environment.yml.
my $ENVIRONMENTS = join ', ', map { "{\"name\": \"$_\", \"director_url\":"
    . " \"https://10.1.0.6:25555\", \"tls\": {\"ca\": \"PEM $_\"},"
    . ' "agent_ranges": ["10.1.0.0/16"], "uaa": {"url":'
    . ' "https://10.1.0.6:8443", "client_secret": "s"}}' } qw(one two);

# What a chain must have done: NAME => sub of the manifest.
my %CHECKS = (
    'cf: agent' => \&check_cf,
    'runtime config' => \&check_stemcells,
    'cf: agent, two CAs' => \&check_cas,
    'runtime config, two CAs' => \&check_cas,
    'cf: agent, the new CA' => \&check_new_ca,
    'runtime config, the new CA' => \&check_new_ca,
    'bosh: API and agent' => \&check_director,
    'route' => \&check_route,
    'apps, by a route' => \&check_route,
    'apps' => \&check_apps,
    'cf: the name' => \&check_name,
    'cf: scope' => \&check_scope,
    'cf: agent in containers' => \&check_cells,
    'scale-out and route' => \&check_route,
    'two environments' => \&check_environments,
    'store' => \&check_store,
    'store in S3' => \&check_store,
    'store of apps, scale-out and route' => \&check_store,
    'pcap-agent.yml' => \&check_no_store,
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


# No manifest of ours deploys an API whose captures nobody could find out about:
# the log is on by a key, made for it and long enough.
sub unaudited
{
    my ($api, $variables) = @_;

    my $audit = $api->{properties}{audit} || {};
    my ($name) = ($audit->{key} || '') =~ /^\(\((.+)\)\)$/;
    my $v = $name && $variables->{$name} or return 'pcap-api: no audit.key';

    return $v->{type} eq 'password' && ($v->{options}{length} || 0) >= 32 ? ()
        : "audit.key: $name is no password of 32 characters or more";
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
    $used{$1} = 1 while $text =~ /\(\((pcap_\w+_(?:key|secret))\)\)/g;

    for my $name (sort keys %used) {
        push @faults, "variable $name is not defined" if !$variables{$name}
            && $name !~ /^nats_client_cert$/;
    }

    push @faults, map { unaudited($_, \%variables) }
        grep { $_->{name} eq 'pcap-api' } jobs_in($doc);

    for my $v (values %variables) {
        my $ca = $v->{options}{ca} or next;
        push @faults, "$v->{name}: no CA $ca" if !$variables{$ca}
            && $ca ne '((cf_internal_ca))';
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
            environments => "[$ENVIRONMENTS]",
            cell_ranges => '["10.0.4.0/24"]', store_max_bytes => '"40g"',
            s3_endpoint => '"https://s3.example.com"',
            s3_bucket => '"captures"',
            router_ranges => '["10.0.0.0/24"]', pcap_agent_instances => '{}');

        $json =~ s/"\(\(([^()]+)\)\)"/$values{$1} || "\"(($1))\""/ge;
        $json =~ s{\(\((\w*url)\)\)}{https://10.0.0.6:25555}g;
        $json =~ s/\(\(internal_ip\)\)/10.0.0.6/g;
        $json =~ s/\(\(system_domain\)\)/sys.example.com/g;
        $json =~ s/\(\(([^()]+)\)\)/PEM/g;

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
        skip("go-patch: $why", 1) if !$tool && $ENV{PCAP_NO_BOSH_CLI};
        return ok(0, "go-patch: $why") if !$tool;

        for my $chain (@CHAINS) {
            my ($name, $manifest, @ops) = @$chain;
            my ($text, $status) = run_words($tool, $manifest, ops(@ops));

            ok($status == 0, "go-patch: $name") or diag($text), next;
            my $doc = looks_right("go-patch: $name", $text);
            $CHECKS{$name}->($name, $doc) if $CHECKS{$name};
        }

        my ($text, $status) = run_words($tool, "$FIX/bosh-deployment.yml",
            ops('rotate-ca-agent'));
        isnt($status, 0, 'go-patch: an ops file for another manifest fails');
    }
}


sub check_cf
{
    my ($name, $doc) = @_;

    my ($addon) = grep { $_->{name} eq 'pcap-agent' } @{ $doc->{addons} };
    my ($ca) = grep { $_->{name} eq '/pcap_ca' } @{ $doc->{variables} };
    is(scalar @{ $doc->{addons} }, 2, "$name: the other add-on stays");
    ok(!$addon->{include}{instance_groups} && $addon->{include}{stemcell},
       "$name: the agent goes to VMs of all groups, diego cells among them");
    ok($ca && $ca->{options}{is_ca}, "$name: the CA has an absolute name");
    check_stemcells($name, $doc);
}


# closefrom() came with glibc 2.34: nothing before ubuntu-jammy.
sub check_stemcells
{
    my ($name, $doc) = @_;

    my ($addon) = grep { $_->{name} eq 'pcap-agent' } @{ $doc->{addons} };
    is(join(' ', map { $_->{os} } @{ $addon->{include}{stemcell} }),
       'ubuntu-jammy ubuntu-noble', "$name: VMs that the agent runs on");
}


sub check_cas
{
    my ($name, $doc) = @_;

    my ($addon) = grep { $_->{name} eq 'pcap-agent' } @{ $doc->{addons} };
    is($addon->{jobs}[0]{properties}{listen}{tls}{client_cas},
       "((/pcap_ca.certificate))\n((/pcap_ca_2.certificate))\n",
       "$name: the agents trust both CAs");
}


# The certificate that the agents show, by whatever name.
sub check_new_ca
{
    my ($name, $doc) = @_;

    my ($addon) = grep { $_->{name} eq 'pcap-agent' } @{ $doc->{addons} };
    my ($used) = $addon->{jobs}[0]{properties}{listen}{tls}{certificate}
        =~ /^\(\((.*)\.certificate\)\)$/;
    my ($v) = grep { $_->{name} eq $used } @{ $doc->{variables} };
    is($v->{options}{ca}, '/pcap_ca_2', "$name: they show the new one's");
    check_cas($name, $doc);
}


# Its traffic holds every secret: pcap.capture, the default, is not enough.
sub check_director
{
    my ($name, $doc) = @_;

    my ($api) = grep { $_->{name} eq 'pcap-api' } jobs_in($doc);
    is_deeply($api->{properties}{static}{scope}, ['bosh.admin'],
              "$name: the Director's VM is for bosh.admin alone");
}


# A router answers 526 when it does not trust who signed its backend: that CA,
# by the name in Needs, must be among those of cf-deployment's gorouter.
sub check_route
{
    my ($name, $doc) = @_;

    my %needs = (cf_internal_ca => '/director/cf/service_cf_internal_ca');
    my %variables = map { $_->{name} => $_ } @{ $doc->{variables} };
    my ($api) = grep { $_->{name} eq 'pcap-api' } jobs_in($doc);
    my ($cert) = $api->{properties}{listen}{tls}{certificate}
        =~ /^\(\((.*)\.certificate\)\)$/;
    my $ca = $variables{$cert}{options}{ca} =~ s/\(\((\w+)\)\)/$needs{$1}/r;

    my $cf = yaml_of("$FIX/cf-deployment.yml");
    my ($router) = grep { $_->{name} eq 'gorouter' } jobs_in($cf);
    my %trusted = map { ("/director/cf/$_" => 1) } $router->{properties}{router}
        {ca_certs} =~ /\(\((.*)\.certificate\)\)/g;
    ok($trusted{$ca}, "$name: gorouter trusts $ca, which signs the API's"
        . ' certificate');

    my ($registrar) = grep { $_->{name} eq 'route_registrar' } jobs_in($doc);
    my $san = $registrar->{properties}{route_registrar}{routes}[0]
        {server_cert_domain_san};
    ok(scalar(grep { $_ eq $san } @{ $variables{$cert}{options}
        {alternative_names} }), "$name: and its name is in there");
}


# On cells the job is there once, with containers; elsewhere the add-on.
sub check_cells
{
    my ($name, $doc) = @_;

    my ($addon) = grep { $_->{name} eq 'pcap-agent' } @{ $doc->{addons} };
    my ($cell) = grep { $_->{name} eq 'diego-cell' }
        @{ $doc->{instance_groups} };
    my ($job) = grep { $_->{name} eq 'pcap-agent' } @{ $cell->{jobs} };
    is_deeply($addon->{exclude}{instance_groups}, ['diego-cell'],
              "$name: the add-on leaves them out");
    ok(!$job->{properties}{bpm}{enabled}
       && $job->{properties}{containers}{mode} eq 'netns',
       "$name: the job enters containers, without bpm");
}


# What the client cf may ask for is what it was, and ours.
sub check_scope
{
    my ($name, $doc) = @_;

    my ($uaa) = grep { $_->{name} eq 'uaa' } jobs_in($doc);
    is($uaa->{properties}{uaa}{clients}{cf}{scope},
       '((cf_client_scope)),pcap.capture', "$name: behind what was there");
    is($uaa->{properties}{uaa}{clients}{cf}{override}, JSON::PP::true,
       "$name: the rest of the client is as it was");
}


# What the plugin asks by rule is among the names that apps cannot have.
sub check_name
{
    my ($name, $doc) = @_;

    my ($cc) = grep { $_->{name} eq 'cloud_controller_ng' } jobs_in($doc);
    my %reserved = map { ($_ => 1) }
        @{ $cc->{properties}{cc}{system_hostnames} };
    ok($reserved{pcap} && $reserved{api} && $reserved{uaa} && $reserved{login},
       "$name: reserved, with those that were before");
    is($cc->{properties}{cc}{default_app_memory}, 1024,
       "$name: nothing else is changed");
}


# A Cloud Controller in place of a Director.
sub check_apps
{
    my ($name, $doc) = @_;

    is(renders($doc), '', "$name: render");
    open my $fh, '<', "$dir/rendered/config/nginx.conf" or die;
    my $conf = do { local $/; <$fh> };
    like($conf, qr{pcap_api_cf /_pcap_cc .*api\.sys\.example\.com:443}s,
         "$name: the Cloud Controller is asked");
    unlike($conf, qr/pcap_api_bosh/, "$name: and no Director");
}


sub file_of
{
    my ($file) = @_;

    open my $fh, '<', "$dir/rendered/$file" or die "$file: $!\n";
    return do { local $/; <$fh> };
}


# A disk, both processes, and in S3 its key by the config server alone.
sub check_store
{
    my ($name, $doc) = @_;

    my ($group) = grep { $_->{name} eq 'pcap-api' }
        @{ $doc->{instance_groups} };
    my ($api) = grep { $_->{name} eq 'pcap-api' } @{ $group->{jobs} };
    my $s3 = $api->{properties}{store}{s3};

    is($group->{persistent_disk_type}, '((store_disk_type))',
        "$name: it has a disk");
    is(renders($doc), '', "$name: render");
    like(file_of('monit'), qr/^check process pcap-store$/m,
        "$name: pcap-store runs");
    like(file_of('config/nginx.conf'), qr/pcap_api_store .*download=proxy;/,
        "$name: nginx asks it");
    my $conf = yaml_of("$dir/rendered/config/pcap-store.json");
    is($conf->{max_bytes}, '40g', "$name: what it may take");
    is($conf->{s3}{endpoint}, $s3 ? 'https://s3.example.com' : undef,
        "$name: S3 as wanted");
    is_deeply([ @$s3{qw(access_key secret_key)} ],
        [ '((pcap_s3_key.username))', '((pcap_s3_key.password))' ],
        "$name: its key is the config server's") if $s3;
}


sub check_no_store
{
    my ($name, $doc) = @_;

    is(renders($doc), '', "$name: render");
    unlike(file_of('monit') . file_of('config/nginx.conf')
        . file_of('config/bpm.yml'), qr/store/, "$name: no store");
}


# Both of the list are rendered, each below its own name.
sub check_environments
{
    my ($name, $doc) = @_;

    is(renders($doc), '', "$name: render");
    open my $fh, '<', "$dir/rendered/config/nginx.conf" or die;
    my $conf = do { local $/; <$fh> };
    is_deeply([ $conf =~ m{location (/\w+)/v1/ \{}g ],
        [ ('/one', '/two') x 2 ], "$name: each is a location");
}


sub by_bosh
{
    my $bosh = real_bosh() or return;

    for my $chain (@CHAINS) {
        my ($name, $manifest, @ops) = @$chain;
        my ($text, $status) = run_words($bosh, 'interpolate', $manifest,
            map { ('-o', $_) } ops(@ops));

        ok($status == 0, "bosh interpolate: $name") or diag($text), next;
        my $doc = looks_right("bosh interpolate: $name", $text);
        $CHECKS{$name}->($name, $doc) if $CHECKS{$name};
    }

    # README, steps 1 and 2, as printed but for "deploy".
    my ($text, $status) = run_words('sh', '-c', "cd '" . root()
        . "/bosh' && cp '$FIX/cf-deployment.yml' '$dir/'"
        . " && '$bosh' interpolate -o manifests/ops-files/"
        . "add-pcap-agent.yml '$dir/cf-deployment.yml'"
        . " > '$dir/cf-deployment-pcap.yml'");
    ok($status == 0 && -s "$dir/cf-deployment-pcap.yml", 'README, step 1')
        or diag($text);
    open my $fh, '>', "$dir/vars.yml" or die;
    print $fh "environments: [$ENVIRONMENTS]\n";
    close $fh;
    ($text, $status) = run_words($bosh, 'interpolate', '-l',
        "$M/vars-template.yml", '-l', "$dir/vars.yml", '-o',
        "$OPS/add-environment.yml", "$M/pcap-agent.yml");
    my ($api) = grep { $_->{name} eq 'pcap-api' }
        jobs_in(yaml_of($text));
    is(join(' ', map { $_->{name} }
        @{ $api->{properties}{bosh}{environments} }), 'one two',
        'add-environment.yml: the list of a vars file');

    ($text, $status) = run_words($bosh, 'interpolate', '-l',
        "$M/vars-template.yml", "$M/pcap-agent.yml");
    unlike($text, qr/\(\((?!\/?pcap_)[^)]+\)\)/,
        'README, step 2: vars-template.yml names every variable');
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


# scripts/rotate-ca with a credhub of files: NAME.cert, NAME.key below $dir.
sub rotation
{
    mkdir "$dir/$_" for qw(bin store);
    open my $fh, '>', "$dir/bin/credhub" or die;
    print $fh <<"END";
#!/bin/bash
set -eu
cd '$dir/store'
echo "\$*" >>../credhub.log
none='The request could not be completed because the credential does not'
none="\$none exist or you do not have sufficient authorization."
case "\$1 \$2" in
'get -n')
    [ -f ".\$3.cert" ] || { echo "\$none" >&2; exit 1; }
    if [ "\$4" = -j ]; then
        printf '{"type":"certificate","value":{"ca":"%s","certificate":"%s",' \\
            "\$(cat ".\$3.cert")" "\$(cat ".\$3.cert")"
        printf '"private_key":"%s"}}' "\$(cat ".\$3.key")"
    else
        [ "\$4 \$5" = '-k certificate' ]
        cat ".\$3.cert"; echo
    fi ;;
'import -f')
    ruby -ryaml -e 'c = YAML.safe_load(STDIN.read)["credentials"][0]
        raise "type" if c["type"] != "certificate"
        File.write(".\#{c["name"]}.cert", c["value"]["certificate"])
        File.write(".\#{c["name"]}.key", c["value"]["private_key"])' ;;
'delete -n')
    rm ".\$3.cert" ".\$3.key" ;;
*)  exit 3 ;;
esac
END
    close $fh;
    chmod 0755, "$dir/bin/credhub";

    local $ENV{PATH} = "$dir/bin:$ENV{PATH}";
    my $rotate = sub { run_words(root() . '/bosh/scripts/rotate-ca', @_) };
    my $set = sub {
        for my $kind (qw(cert key)) {
            open my $out, '>', "$dir/store/$_[0].$kind" or die;
            print $out "$_[1]-$kind";
        }
    };

    isnt(($rotate->('check'))[1], 0, 'rotate-ca check: no right to see them');
    $set->('pcap_ca', 'first');

    for my $round (1, 2) {
        is_deeply([ $rotate->('check') ], [ '', 0 ],
            "rotation $round: check");
        isnt(($rotate->('take'))[1], 0, "rotation $round: nothing to take");
        $set->('pcap_ca_2', "new-$round");
        my ($text, $status) = $rotate->('check');
        ok($status && $text =~ /is there already/,
            "rotation $round: check sees what is left");
        ($text, $status) = $rotate->('clean');
        ok($status && $text =~ /is not \/pcap_ca_2 yet/,
            "rotation $round: clean before take");
        ($text, $status) = $rotate->('take');
        is($status, 0, "rotation $round: take") or diag($text);
        is((run_words('cat', "$dir/store/pcap_ca.cert",
            "$dir/store/pcap_ca.key"))[0], "new-$round-certnew-$round-key",
            "rotation $round: /pcap_ca is the new one");
        is(($rotate->('clean'))[1], 0, "rotation $round: clean");
        ok(!-e "$dir/store/pcap_ca_2.cert", "rotation $round: gone");
    }

    unlike((run_words('cat', "$dir/credhub.log"))[0], qr/new-/,
        'no key in an argument');
    is(($rotate->('x'))[1], 2, 'rotate-ca: usage');
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
rotation();
done_testing();
