#!/usr/bin/env bash
# Builds Berth's image from the Dockerfile with buildah and pushes it to a
# registry that speaks plain http:
#
#   test/cluster/image.sh DIRECTORY REGISTRY/REPOSITORY:TAG [ARCHITECTURE]
#
# It pulls no base image: it makes the builder image from this machine's Go and busybox,
# and takes modules from the module cache. buildah keeps its files in DIRECTORY.
set -euo pipefail
dir=$1 reference=$2 architecture=${3:-$(go env GOARCH)}
cd "$(dirname "$0")/../.."
export TMPDIR=$dir

goroot=$(go env GOROOT)
modules=$(go env GOMODCACHE)
cache=$(go env GOCACHE)
# Download missing modules here, because the build has no network.
go list -deps ./cmd/... ./test/release/roots >/dev/null

cat >"$dir/policy.json" <<'POLICY'
{"default": [{"type": "insecureAcceptAnything"}]}
POLICY
cat >"$dir/registries.conf" <<'REGISTRIES'
short-name-mode = "disabled"
REGISTRIES
export CONTAINERS_REGISTRIES_CONF=$dir/registries.conf
store=(--root "$dir/store" --runroot "$dir/run" --storage-driver vfs)

mkdir -p "$dir/builder"
cp "$(command -v busybox)" "$dir/builder/sh"
cat >"$dir/builder/Dockerfile" <<'BUILDER'
FROM scratch
COPY sh /bin/sh
ENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local HOME=/root
WORKDIR /tmp
BUILDER
buildah "${store[@]}" bud --isolation chroot --signature-policy "$dir/policy.json" \
  -t localhost/builder "$dir/builder"

# GOCACHE and GOMODCACHE of this machine, so that only what has changed is
# compiled.
buildah "${store[@]}" bud --isolation chroot --signature-policy "$dir/policy.json" \
  --platform "linux/$architecture" --build-arg BUILDPLATFORM="linux/$(go env GOARCH)" \
  --build-arg BUILDER=localhost/builder --build-arg VERSION="${reference##*:}" \
  --build-arg GOPROXY=off --build-arg GOFLAGS=-mod=readonly \
  --build-arg GOMODCACHE=/modules --build-arg GOCACHE=/gocache \
  --volume "$goroot:/usr/local/go:ro" --volume "$modules:/modules:ro" --volume "$cache:/gocache" \
  -t localhost/berth .
buildah "${store[@]}" push --signature-policy "$dir/policy.json" --tls-verify=false localhost/berth "docker://$reference"
