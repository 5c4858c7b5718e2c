#!/usr/bin/env bash
#
# stemcell/pcap_agent/apply.sh: a stage for bosh-linux-stemcell-builder that
# puts pcap-agent into the stemcell as a built-in part, beside the bosh agent.
# Copy this folder to stemcell_builder/stages/pcap_agent, put the program into
# its assets/ (that of package pcap-agent: its libraries are linked in), and
# name the stage in stages_for of the stemcell, behind bosh_go_agent.
#
# What is installed is closed: no port is open and nothing runs until somebody
# (a job, or the bosh agent from the VM's settings) has written agent.crt,
# agent.key and ca.crt to /var/vcap/bosh/pcap, and then the empty file "ready";
# pcap-agent.path then starts it.

set -e

base_dir=$(readlink -nf $(dirname $0)/../..)
source $base_dir/lib/prelude_apply.bash
source $base_dir/lib/prelude_bosh.bash

[ -x $dir/assets/pcap-agent ] || {
    echo "pcap_agent: assets/pcap-agent is missing" >&2
    exit 1
}

mkdir -p $chroot/$bosh_dir/bin $chroot/$bosh_dir/etc
install -m 0755 $dir/assets/pcap-agent $chroot/$bosh_dir/bin/pcap-agent
install -m 0644 $dir/assets/pcap-agent.json $chroot/$bosh_dir/etc/
install -m 0644 $dir/assets/pcap-agent.service \
    $dir/assets/pcap-agent.path $chroot/lib/systemd/system/

# Only the path unit is enabled: it waits for the certificates.
run_in_chroot $chroot "systemctl enable pcap-agent.path"
