#!/usr/bin/perl

# The sandbox of the real agent, in every mode: strace sees each system call
# that was made under a list, and the list that the agent prints has it; the
# kernel says of a running capture that it has no capability and its filters;
# docs/PRIVSEP.md has a reason for each call. That what is not listed is
# killed shows t/agent_sandbox.c.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use PcapTest;
use Test::More;
use PcapTest::Agent;
use PcapTest::AgentClient;
use PcapTest::Cell;
use PcapTest::Certs;
use PcapTest::Confined;
use PcapTest::Traffic qw(marker);

# both the leak sanitizer and strace trace
$ENV{ASAN_OPTIONS} = 'detect_leaks=0' if sanitized();

my $C = 'PcapTest::AgentClient';
my $certs = PcapTest::Certs->new();
my $cell = PcapTest::Cell->new();
my $traces = work_dir() . '/traces';
my @tracer = ('strace', '-D', '-ff', '-qq', '-s', '64', '-o', "$traces/t");
my $id = 0;

mkdir $traces, 0777 or die "$traces: $!\n";
chmod 0777, $traces;

my $web = $cell->container('web-1', app => 'app-web');
my $inside = 'container=web-1&app=app-web';

# found by its process: nothing is mounted for this one
my $db = $cell->container('db-1', app => 'app-db');
must('umount', '-l', $cell->bound('db-1'));
unlink $cell->bound('db-1');


# --- the lists ------------------------------------------------------------

my %lists;

for (split /\n/, scalar run_agent('--syscalls')) {
    my ($list, $call) = /^(\w+)\s+(\w+)/ or die "not a rule: $_\n";
    $lists{$list}{$call} = 1;
}

is(join(' ', sort keys %lists), 'capture files filter request serve',
    'five lists');
cmp_ok(scalar keys %{ $lists{capture} }, '<',
    scalar keys %{ $lists{request} }, 'the second is smaller');
is(join(' ', grep { !$lists{request}{$_} } sort keys %{ $lists{$_} }),
    '', "$_: has nothing that the first has not") for qw(capture serve);
is(join(' ', grep { $lists{request}{$_} } qw(fork vfork clone clone3 execve
    execveat)), sanitized() ? 'clone' : '', 'nobody forks under a list');
is(join(' ', grep { $lists{capture}{$_} } qw(socket bind open openat clone
    clone3 fork execve execveat connect accept listen ptrace setns capset
    prctl seccomp kill unlink mount)), sanitized() ? 'open openat clone '
    . 'ptrace prctl kill' : '', 'none of these while a capture runs');

is(join(' ', grep { $lists{request}{$_} || $lists{serve}{$_} } qw(openat2
    unlinkat sendmsg)), '', 'opening and removing files is the child\'s');

sub run_agent
{
    my (@args) = @_;

    open my $pipe, '-|', tool('agent'), @args or die "agent: $!\n";
    local $/;

    return <$pipe>;
}


# --- what is documented -----------------------------------------------------

my %doc;

for (split /\n/, slurp(root_dir() . '/docs/PRIVSEP.md')) {
    my ($calls, $where) = /^\| (`.*`) \| ([RCFSO ]+) \| \S/ or next;

    for my $call ($calls =~ /`(\w+)`/g) {
        $doc{$_}{$call} = 1 for split ' ', $where;
    }
}

my %long = (R => 'request', C => 'capture', F => 'filter', S => 'serve',
    O => 'files');

for my $short (sort keys %long) {
    # of calls that other machines do not have a table may tell, too
    my @odd = grep { !$doc{$short}{$_} } sort keys %{ $lists{$long{$short}} };

    push @odd, grep { !$lists{$long{$short}}{$_} && !/^(?:poll|time)$/
        } sort keys %{ $doc{$short} };
    is("@odd", '', "docs/PRIVSEP.md has the list $long{$short}")
        if !sanitized();
}


# --- what the kernel says ---------------------------------------------------

my $agent;
my $raw = $CAP_NET_RAW;


sub start
{
    my ($query, %o) = @_;

    my $c = $C->new($agent, %o);

    $c->get("/v1/capture?$query");
    $c->started() or die "no capture of $query: " . ($c->{head} || '')
        . "$c->{body}\n";

    return $c;
}


sub whole
{
    my ($c, $name) = @_;

    $c->read_to_end(15);
    ok($c->{complete}, "$name: a whole capture");
}


# whoever starts it has left something open, and stdin closed
$agent = PcapTest::Agent->new(certs => $certs, conf => { user => 'nobody' },
    under => [ 'sh', '-c', 'exec "$@" 7</etc/shadow 9</ 0<&-', 'sh' ]);

# the port is bound before it becomes somebody else
ok(wait_for(5, sub { slurp($agent->{log}) =~ /listening on/ }), 'it is up');

my $parent = status_of($agent->{pid});
is("$parent->{CapPrm} $parent->{CapEff} $parent->{CapBnd}", "$raw "
    . '0' x 16 . ' ' . '0' x 16, 'parent: CAP_NET_RAW, and not effective');
is($parent->{NoNewPrivs}, 1, 'parent: no_new_privs');

my $c = $C->new($agent);
confined($agent, 'before a request', CapPrm => $raw, filters => 1,
    open => qr/^0 1 2 3 4 5$/);
$c->get('/v1/capture?interface=lo');
$c->started();
confined($agent, 'a capture', filters => 2,
    open => qr/^0 1 2 3 4(?: \d){0,2}$/);
$c->half_close();
whole($c, 'lo');
$agent->stop();


# --- what strace sees -------------------------------------------------------

# The modes; what each has to do is in the traces below.
sub modes
{
    my ($mode, @queries) = @_;

    for my $query (@queries) {
        my $c = start($query);

        marker(ns => $query =~ /db-1/ ? $db->{ns} : $query =~ /web-1/
            ? $web->{ns} : undef,
            to => $query =~ /container/ ? '169.254.0.1' : '127.0.0.1',
            id => ++$id);
        ok($c->read_until(10, sub { $_[0]->seen('PCAPTEST' . pack 'NN', $id,
            0) }), "$mode: a packet of $query");
        $c->half_close();
        whole($c, "$mode: $query");
    }

    is(($C->fetch($agent, '/v1/status'))[0], 200, "$mode: status");
    is(($C->fetch($agent, '/v1/metrics'))[0], 200, "$mode: metrics");
    is(($C->fetch($agent, '/v1/capture?interface=lo&filter=host%20a.example')
        )[0], 400, "$mode: a filter that is refused");
    is(($C->fetch($agent, '/v1/capture?interface=eth77'))[0], 404,
        "$mode: no such interface");
    is(($C->fetch($agent, '/v1/capture?container=x-1&app=y'))[0],
        $mode eq 'off' ? 400 : 404, "$mode: no such container");
    eval { $C->fetch($agent, '/v1/status', cert => undef) };
}


$agent = PcapTest::Agent->new(certs => $certs, name => 'netns',
    under => \@tracer, conf => $cell->conf(user => 'nobody',
    log_level => 'debug', exclude_filter => 'udp port 5353',
    interfaces => ['*'], off_file => '/nonexistent/off'));

modes('netns', 'container=db-1&app=app-db&interface=any', 'interface=lo',
    'interface=any', 'interface=lo&interface=any',
    'interface=lo&format=pcap', 'interface=lo&promiscuous=1',
    'interface=lo&filter=udp%20and%20not%20port%20http', $inside,
    "$inside&interface=any", "$inside&interface=lo&interface=eth0"
    . '&filter=udp');

# reload, the peer gone, an interface that goes down and away, draining
must(qw(ip link add dummy0 type veth peer name dummy1));
must(qw(ip link set dummy0 up));
my $dummy = start('interface=dummy0');
must(qw(ip link set dummy0 down));
must(qw(ip link set dummy0 up));
must(qw(ip link del dummy0));
whole($dummy, 'an interface that goes away');

my @all = map { start('interface=any') } 1 .. 3;
kill 'HUP', $agent->{pid};
ok(wait_for(5, sub { slurp($agent->{log}) =~ /certificates reloaded/ }),
    'reload: done');
push @all, start($inside);
$all[0]->reset_connection();
kill 'TERM', $agent->{pid};
whole($_, 'drain') for @all[1 .. 3];
$agent->stop();

my $only_raw = '-all,+net_raw';

must('chown', '-R', 'nobody', "$cell->{dir}/container-metadata");
must('chown', '-R', 'nobody', $certs->file(''));
# files as well: there is one more child, and another list behind the first
my $folder = work_dir() . '/pcap';

mkdir $_, 0700 or die for $folder, "$folder/ns", "$folder/ns/web";
spew("$folder/ns/web/a_e.pcap$_", pack 'VvvV8', 0xA1B23C4D, 2, 4, 0, 0,
    65535, 1, 1, 1, 0, 0) for '', '.1', '.2';
$agent = PcapTest::Agent->new(certs => $certs, name => 'files',
    under => \@tracer, conf => { user => 'nobody', log_level => 'error',
    files_folder => $folder });
is(($C->fetch($agent, "/v1/files/ns/$_"))[0], 200, "files: $_")
    for qw(web web/a_e.pcap web?format=pcapng);
is(($C->fetch($agent, '/v1/files/ns/none'))[0], 404, 'files: no folder');
is(($C->fetch($agent, '/v1/files/ns/web/..'))[0], 400, 'files: no name');
my $gone = $C->new($agent);
$gone->put("DELETE /v1/files/ns/web/a_e.pcap.2 HTTP/1.1\r\n\r\n");
$gone->read_to_end(10);
is($gone->{status}, 204, 'files: one is removed');
is(($C->fetch($agent, '/v1/status'))[0], 200, 'files: status');
my $beside = start('interface=lo');
$beside->half_close();
whole($beside, 'files: a capture');
$agent->stop();

$agent = PcapTest::Agent->new(certs => $certs, name => 'veth',
    under => [ @tracer, 'setpriv', '--reuid', 'nobody', '--regid', 'nogroup',
    '--clear-groups', '--inh-caps', $only_raw, '--ambient-caps', $only_raw,
    '--bounding-set', $only_raw, '--no-new-privs' ],
    conf => $cell->conf(container_mode => 'veth', log_level => 'debug'));
modes('veth', 'interface=lo', $inside);
$agent->stop();

# without containers, as on most machines
$agent = PcapTest::Agent->new(certs => $certs, name => 'off',
    under => \@tracer, conf => { user => 'nobody', log_level => 'debug' });
modes('off', 'interface=lo', 'interface=lo&interface=any',
    'interface=lo&format=pcap');
$agent->stop();

ok(wait_for(10, sub { !grep { $_->[3] =~ /^strace / } procs() }),
    'strace has seen the end');

my (%seen, %kinds, @off);

for my $file (glob "$traces/t.*") {
    my @lines = split /\n/, slurp($file);
    my $session = grep { /^prctl\(PR_SET_NAME, "pcap-session"/ } @lines;
    my $opens = grep { /^prctl\(PR_SET_NAME, "pcap-files"/ } @lines;
    my $serves = grep { /^prctl\(PR_SET_NAME, "pcap-serve"/ } @lines;

    # the parent and what starts it are under no list
    next if !$session && !grep { /^close_range\(1, / } @lines;

    my @lists;

    for (@lines) {
        my ($call) = /^(\w+)\(/ or next;

        for my $list (@lists) {
            push @off, "$list: $_" if !$lists{$list}{$call};
            $seen{$list}{$call} = 1;
        }

        next if !/^prctl\(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, \{/;

        push @lists, $opens ? 'files' : !@lists ? 'request'
            : $session ? ($serves ? 'serve' : 'capture') : 'filter';
    }

    # its session was gone before it got there
    next if !$session && @lists < ($opens ? 1 : 2)
        && $lines[-1] =~ /killed by SIGKILL/;

    # its page, before it forks; its ring was not there then
    push @off, "$file: its child has its page"
        if $session && !grep { /^madvise\(.* MADV_DONTFORK\) += 0$/ } @lines;

    $kinds{ join ' ', $session ? 'session' : 'child', @lists }++;
    push @off, "$file: killed" if $lines[-1] =~ /killed by SIGSYS/;
}

is(join("\n", @off), '', 'each call that was made is on the list');
cmp_ok($kinds{'session request capture'} || 0, '>=', 13,
    'seen: captures under both lists');
cmp_ok($kinds{'session request'} || 0, '>=', 8, 'seen: other sessions');
cmp_ok($kinds{'child request filter'} || 0, '>=', 13,
    'seen: children that compile');
is($kinds{'session request serve'} || 0, 5, 'seen: files that are sent');
cmp_ok($kinds{'child files'} || 0, '>=', 5, 'seen: children that open them');
is(join(' ', grep { !/^(?:session\ request(?:\ capture|\ serve)?
    |child\ request\ filter|child\ files)$/x } keys %kinds), '',
    'and nobody else');
is(join(' ', grep { !$seen{files}{$_} } qw(openat2 unlinkat sendmsg capset)),
    '', 'seen: what opening files takes');
is(join(' ', grep { !$seen{request}{$_} } qw(setns pidfd_open capset socket
    openat ioctl)), '', 'seen: what opening a capture takes');

for my $list (sort keys %lists) {
    note "$list, not needed here: ", join ' ',
        grep { !$seen{$list}{$_} } sort keys %{ $lists{$list} };
}

$cell->destroy($_) for qw(web-1 db-1);
finish();
