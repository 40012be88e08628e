#!/usr/bin/env bash
# Makes the fixtures in testdata again, with the programs of a commit:
#
#   test/upgrade/make.sh [562c094]
#
# They hold the files that the commit leaves on a node. The present version must read them,
# so they are not made again when it changes.
set -euo pipefail
cd "$(dirname "$0")/../.."

commit=${1:-562c094}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
git archive "$commit" | tar -x -C "$work/source"
(cd "$work/source" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-X main.version=$commit" -o "$work/programs/" ./cmd/...)
go build -o "$work/make" ./test/upgrade/make
"$work/make" -programs "$work/programs" -out "$PWD/test/upgrade/testdata"
