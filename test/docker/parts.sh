#!/usr/bin/env bash
# Builds Docker Engine's dockerd of the version in test/parts/dockerd/go.mod once a machine, into
# ${XDG_CACHE_HOME:-~/.cache}/berth-test. Its containerd is that of test/e2e/parts.sh.
#
#   test/docker/parts.sh [-n]
#
# With -n it builds nothing, and fails if dockerd is missing. Standard output has one line: name,
# version, path. Progress is on standard error.
set -euo pipefail
cd "$(dirname "$0")/../parts/dockerd"
# shellcheck source=test/parts/provide.sh
source ../provide.sh
options test/docker/parts.sh dockerd -- "$@"

version=$(pinned go.mod github.com/moby/moby/v2)
provide dockerd "$version" "dockerd-$version/dockerd" "about 1300 packages: four minutes on two cores" dockerd \
  -ldflags "-s -w -X github.com/moby/moby/v2/dockerversion.Version=$version" tool
complete
