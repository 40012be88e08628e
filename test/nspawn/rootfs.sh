#!/usr/bin/env bash
# Provides the Debian 12 that the trial boots, once a machine, in
# ${XDG_CACHE_HOME:-~/.cache}/berth-test: systemd as PID 1, Debian's containerd
# and runc. Prints where it is.
set -euo pipefail

for program in debootstrap systemd-nspawn; do
  if ! command -v "$program" >/dev/null; then
    echo "$program is missing: apt-get install -y --no-install-recommends debootstrap systemd-container" >&2
    exit 1
  fi
done

# Another list of packages, another directory.
include=systemd,systemd-sysv,dbus,containerd,runc
key=$(sha256sum <<<"$include" | cut -c1-8)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth-test
root=$cache/rootfs-bookworm-$key
mkdir -p "$cache"

# The kernel drops the lock when this ends, however it ends.
exec 9>"$root.lock"
flock 9
if [ ! -d "$root" ]; then
  rm -rf "$root".making-*
  making=$root.making-$$
  echo "making a Debian 12 in $root (a minute or two, once a machine)" >&2
  debootstrap --variant=minbase --include="$include" bookworm "$making" >&2
  # What every boot would add or change.
  rm -rf "$making"/var/cache/apt/archives/*.deb
  # It appears by one rename, so that half of one is never used.
  mv "$making" "$root"
fi
printf '%s\n' "$root"
