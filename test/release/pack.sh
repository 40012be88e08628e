#!/usr/bin/env bash
# Packs PARENT/NAME into a .tar.gz with the same bytes on every machine: order, owners, modes and
# times do not depend on it. The time is SOURCE_DATE_EPOCH.
#
#   test/release/pack.sh PARENT NAME FILE.tar.gz
set -euo pipefail
tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" \
  --format=ustar -c -C "$1" "$2" | gzip -n -9 >"$3"
