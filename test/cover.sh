#!/usr/bin/env bash
# Prints how many statements of what is shipped the tests of the module run. Each
# test counts for every package. Needs no root; the profile stays if a name is given.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-}
if [ -z "$profile" ]; then
  profile=$(mktemp)
  trap 'rm -f "$profile"' EXIT
fi

packages=$(go list ./... | grep -vE '/(test|manifests)(/|$)' | paste -sd,)
# shellcheck disable=SC2086 # several flags
go test -timeout=30m ${GOTESTFLAGS:-} -coverpkg="$packages" -coverprofile="$profile" ./...

# A line is "file:from,to statements count", once for each package whose tests ran.
awk 'NR > 1 { n[$1] = $2; if ($3 > 0) hit[$1] = 1 }
  END { for (b in n) { all += n[b]; if (b in hit) run += n[b] }
    printf "%.1f %% of %d statements\n", 100 * run / all, all }' "$profile"
