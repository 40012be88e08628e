#!/usr/bin/env bash
# Prints the share of the released statements that the tests of packages (by default ./...)
# run. A test counts for every package. Needs no root.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- ./...
profile=$(mktemp)
trap 'rm -f "$profile"' EXIT

shipped=$(go list ./... | grep -vE '/(test|manifests)(/|$)' | paste -sd,)
# shellcheck disable=SC2086 # several flags
go test -timeout=30m ${GOTESTFLAGS:-} -coverpkg="$shipped" -coverprofile="$profile" "$@" 2>&1 |
  sed '/^warning: no packages being tested/d; s/[[:space:]]coverage: .*//'

# A line is "file:from,to statements count", once for each package whose tests ran.
awk 'NR > 1 { n[$1] = $2; if ($3 > 0) hit[$1] = 1 }
  END { for (b in n) { all += n[b]; if (b in hit) run += n[b] }
    printf "%.1f %% of %d statements\n", 100 * run / all, all }' "$profile"
