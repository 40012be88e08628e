#!/usr/bin/env bash
# Fails unless a program is static and for the given architecture.
#
#   test/release/static.sh ARCH PROGRAM
set -euo pipefail
case $1 in
  amd64) machine="Advanced Micro Devices X86-64" ;;
  arm64) machine=AArch64 ;;
esac
head=$(readelf --wide --file-header --program-headers "$2")
if ! grep -q "Machine: *$machine" <<<"$head"; then
  echo "$2: is not for $1" >&2
  exit 1
fi
if grep -qE '^ *(INTERP|DYNAMIC) ' <<<"$head"; then
  echo "$2: is not static" >&2
  exit 1
fi
