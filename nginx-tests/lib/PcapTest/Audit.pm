# PcapTest::Audit: reads an audit log as docs/AUDIT.md says and checks its
# chain by code of its own, so that module and pcap-cli cannot be wrong in the
# same way. Also runs `pcap-cli audit verify`.

package PcapTest::Audit;

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex hmac_sha256);
use Exporter qw(import);
use JSON::PP;
use PcapTest;

our @EXPORT = qw(audit_key audit_lines audit_chain audit_verify audit_line
    audit_state audit_set_state audit_mac);


sub audit_key
{
    my ($file, $key) = @_;

    spew($file, $key || join '', map { chr(65 + $_ % 26) } 0 .. 40);
    chmod 0600, $file;

    return $file;
}


# Whole lines of files as hashes, with their text in {_}.
sub audit_lines
{
    my (@files) = @_;

    return map { { %{ decode_json($_) }, _ => $_ } }
        map { slurp($_) =~ /^(.*)\n/mg } @files;
}


# '' when the lines of the files are one chain from $from (seq, mac; default:
# its very beginning), else what is wrong.
sub audit_chain
{
    my ($key, $files, $seq, $prev) = @_;

    $key = slurp($key);
    $seq ||= 0;
    $prev ||= '0' x 64;

    for my $line (sort { $a->{seq} <=> $b->{seq} } audit_lines(@$files)) {
        my ($body, $mac) = $line->{_} =~ /^(.*),"mac":"([0-9a-f]{64})"\}$/
            or return "$line->{_}: no code";

        return "$line->{seq}: wrong code"
            if hmac_sha256_hex($body, $key) ne $mac;
        return "$line->{seq}: comes after $seq" if $line->{seq} != $seq + 1;
        return "$line->{seq}: does not follow" if $line->{prev} ne $prev;
        ($seq, $prev) = ($line->{seq}, $mac);
    }

    return $seq ? '' : 'no line';
}


# A line that this key makes.
sub audit_line
{
    my ($key, $seq, $prev, $fields) = @_;

    my $body = "{\"seq\":$seq,\"time\":\"2026-01-02T03:04:05.678Z\""
        . ($fields || ',"event":"stop"') . ",\"prev\":\"$prev\"";

    return "$body,\"mac\":\"" . hmac_sha256_hex($body, slurp($key)) . '"}';
}


sub audit_mac { my ($line) = @_; return $line =~ /"mac":"(\w+)"\}$/ ? $1 : '' }


# Runs pcap-cli: ( exit status, what it printed ).
sub audit_verify
{
    my (@args) = @_;

    my $out = work_dir() . '/verify.out';
    my $pid = fork_child('verify', sub {
        open STDOUT, '>', $out or die;
        open STDERR, '>&', \*STDOUT or die;
        exec tool('cli'), 'audit', 'verify', @args;
    });
    my $status = wait_exit($pid, 20);

    return (defined $status ? $status >> 8 : -1, slurp($out));
}


my @STATE = qw(magic seq mac lost suppressed unsure lost_total
    suppressed_total budget0 budget1 budget2 filled0 filled1 filled2 pending
    dev ino size len pending_mac);
my $STATE = 'a8 Q a64 Q5 Q3 Q3 Q5 a64';

sub audit_state
{
    my ($file) = @_;
    my %st;

    @st{@STATE} = unpack $STATE, slurp($file);

    return \%st;
}


# In place: workers have the file open.
sub audit_set_state
{
    my ($file, $key, $st) = @_;

    my $text = pack $STATE, @$st{@STATE};

    open my $fh, '+<:raw', $file or die "$file: $!";
    print $fh $text, hmac_sha256($text, slurp($key));
    close $fh or die "$file: $!";
}


1;
