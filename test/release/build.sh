#!/usr/bin/env bash
# Builds the commands for one architecture, with the same bytes on every machine: static,
# without paths of the machine and without git's state of the checkout.
#
#   test/release/build.sh ARCH DIRECTORY
set -euo pipefail
arch=$1 out=$(realpath "$2")
cd "$(dirname "$0")/../.."
# shellcheck source=test/release/version.sh
. test/release/version.sh

# Ignore the settings of this machine.
export CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOFLAGS='' GOWORK=off GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT=''
go build -trimpath -buildvcs=false -mod=readonly \
  -ldflags "-s -w -buildid= -X main.version=$VERSION" -o "$out/" ./cmd/...
