#!/usr/bin/env bash
# Writes what comes with the programs: man/*.1.gz and completion.{bash,zsh,fish}. They are the same
# for each architecture.
#
#   test/release/pages.sh DIRECTORY
set -euo pipefail
out=$(realpath "$1")
cd "$(dirname "$0")/../.."
# shellcheck source=test/release/version.sh
. test/release/version.sh
CGO_ENABLED=0 GOFLAGS='' GOWORK=off go run -mod=readonly -trimpath -tags manpages ./cmd/berth "$out"
gzip -9 -n -f "$out"/man/*.1
