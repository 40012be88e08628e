#!/usr/bin/env bash
# The trials with real parts, as root: what CI runs after the unit tests.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
  echo "make e2e needs root: it starts containerd and mounts file systems" >&2
  exit 1
fi
read -ra flags <<<"-count=1 ${GOTESTFLAGS:-}"

echo "== full disk, read-only directory, owners"
go test -tags e2e "${flags[@]}" ./internal/ownedfile

echo "== killed in the middle of writing"
go run ./test/crash -trials 300 -seed 1

echo "== real containerd 1.6 and 2.4"
test/e2e/parts.sh
(cd test/e2e && BERTH_BIN="$PWD/../../bin/berth" go test "${flags[@]}" ./...)
