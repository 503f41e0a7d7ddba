#!/bin/bash
# container.sh FOLDER STORE: build the agent's image on a base of Debian's packages, run it, tell what happens on the
# standard output as "== name: value". FOLDER holds agent.toml and what it names; STORE, images, is made and removed
# by the caller. No registry is asked; pip asks the package index, with this machine's certificates.
set -euo pipefail
folder=$1 store=$2
here=$(dirname "$0")
certificates=/etc/ssl/certs/ca-certificates.crt
runroot=$(mktemp -d) # podman wants its path short
common=(--root "$store/images" --runroot "$runroot" --storage-driver vfs)

tell() { echo "== $1: ${*:2}"; }
b() { buildah "${common[@]}" "$@"; }
# No systemd is needed: the groups are made in the file system, and nothing but this asks for the health.
p() { podman "${common[@]}" --runtime runc --cgroup-manager cgroupfs --events-backend file "$@" 2>> "$store/errors"; }
run() {
    p run --health-interval disable --memory 256m --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
        --network host --read-only --cap-drop ALL --security-opt no-new-privileges \
        -v "$folder:/etc/lineside:ro" -v lineside-state:/var/lib/lineside "$@"
}
messages() { p exec box lineside agent health | sed -n 's/.* \([0-9]*\) messages wait.*/\1/p'; }
await_messages() { for _ in $(seq 60); do [ "$(messages || true)" -gt "$1" ] 2> /dev/null && return; sleep 1; done; return 1; }

mkdir -p "$store"
trap 'p rm -f box > /dev/null || true; rm -rf "$runroot"; tail -5 "$store/errors" >&2 || true' EXIT
mmdebstrap --quiet --variant=minbase --include=python3-venv,ca-certificates bookworm "$store/base.tar" >&2
base=$(b from scratch)
b add -q "$base" "$store/base.tar" / > /dev/null
b add -q "$base" $certificates $certificates > /dev/null
b config --env PIP_CERT=$certificates "$base"
b commit -q --rm "$base" localhost/base > /dev/null
b bud --isolation chroot --format docker --network host --build-arg BASE=localhost/base -t lineside-agent \
    -f "$here/../../edge_agent/Containerfile" "$here/../.." >&2

run -d --name box lineside-agent > /dev/null
await_messages 10
tell identity "$(p exec box id -u)" $(p exec box grep -E '^(CapEff|NoNewPrivs):' /proc/1/status | tr -d '\t')
tell read_only "$(p exec box touch /x && echo no || echo yes)"
p healthcheck run box && state=healthy || state=unhealthy
tell running $state
pid=$(p inspect box --format '{{.State.Pid}}')
kill -STOP "$pid"
sleep 6
p exec box lineside agent health --within 4 > /dev/null && state=healthy || state=unhealthy
tell frozen $state
kill -CONT "$pid"
waiting=$(messages)
p stop -t 30 box > /dev/null
p logs box >> "$store/errors"
tell stopped "$(p inspect box --format '{{.State.ExitCode}}')" "$(grep -c 'INFO stopped;' "$store/errors" || true)"
p rm box > /dev/null
run -d --name box lineside-agent > /dev/null
await_messages "$waiting"
tell kept yes
