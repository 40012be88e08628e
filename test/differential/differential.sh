#!/usr/bin/env bash
# Builds the programs of two versions and compares what they do: the commit OLD and
# the present tree. Both get one version string, so that it does not differ.
#
#   test/differential/differential.sh [flags of differential]
set -euo pipefail
cd "$(dirname "$0")/../.."

old=${OLD:-562c094}
if ! git cat-file -e "$old^{commit}" 2>/dev/null; then
  echo "differential: commit $old: not in this clone; git fetch --unshallow, or set OLD=COMMIT" >&2
  exit 1
fi
programs=$PWD/${BIN:-bin}/differential
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
git archive "$old" | tar -x -C "$source"

build() {
  echo "differential: building $3"
  (cd "$1" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -buildid= -X main.version=trial' -o "$2/" ./cmd/...)
}
rm -rf "$programs"
mkdir -p "$programs"
build "$source" "$programs/old" "$old"
build . "$programs/new" "the present tree"
go run ./test/differential -old "$programs/old" -new "$programs/new" "$@"
