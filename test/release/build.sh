#!/usr/bin/env bash
# Builds both commands for one architecture, the same bytes wherever it is done:
# static, without paths of this machine, without what git says of the checkout.
#
#   test/release/build.sh ARCH DIRECTORY
set -euo pipefail
arch=$1 out=$(realpath "$2")
cd "$(dirname "$0")/../.."
# shellcheck source=test/release/version.sh
. test/release/version.sh

# Not what this machine has set for itself.
export CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOFLAGS='' GOWORK=off GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT=''
go build -trimpath -buildvcs=false -mod=readonly \
  -ldflags "-s -w -buildid= -X main.version=$VERSION" -o "$out/" ./cmd/...
