#!/usr/bin/env bash
# Makes the Debian 12 that the test boots, once a machine, in
# ${XDG_CACHE_HOME:-~/.cache}/berth-test: systemd as PID 1, Debian's containerd and runc.
# Prints its path.
set -euo pipefail

for program in debootstrap systemd-nspawn; do
  if ! command -v "$program" >/dev/null; then
    echo "$program is missing: apt-get install -y --no-install-recommends debootstrap systemd-container" >&2
    exit 1
  fi
done

# The directory depends on the list of packages.
include=systemd,systemd-sysv,dbus,containerd,runc
key=$(sha256sum <<<"$include" | cut -c1-8)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth-test
root=$cache/rootfs-bookworm-$key
mkdir -p "$cache"

# The kernel releases the lock when this process ends.
exec 9>"$root.lock"
flock 9
if [ ! -d "$root" ]; then
  rm -rf "$root".making-*
  making=$root.making-$$
  echo "making a Debian 12 in $root (a minute or two, once a machine)" >&2
  debootstrap --variant=minbase --include="$include" bookworm "$making" >&2
  # Packages are not needed to boot.
  rm -rf "$making"/var/cache/apt/archives/*.deb
  # It appears by one rename, so that no test uses an unfinished one.
  mv "$making" "$root"
fi
printf '%s\n' "$root"
