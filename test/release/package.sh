#!/usr/bin/env bash
# Makes the packages with nfpm: the programs for each architecture, and files of
# manifests/.
#
#   test/release/package.sh [-o DIRECTORY] [-a "ARCH…"] [-f "FORMAT…"] [-c CONFIG]
#
# into dist/, for amd64 and arm64, deb and rpm. VERSION and SOURCE_DATE_EPOCH are
# those of the commit unless they are set. CONFIG replaces the default
# /etc/berth/config.yaml. Prints the paths of the packages.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=dist arches="amd64 arm64" formats="deb rpm"
export BERTH_CONFIG=manifests/packaging/config.yaml
while getopts o:a:f:c: flag; do
  case $flag in
    o) out=$OPTARG ;;
    a) arches=$OPTARG ;;
    f) formats=$OPTARG ;;
    c) BERTH_CONFIG=$OPTARG ;;
    *) exit 2 ;;
  esac
done
# shellcheck source=test/release/version.sh
. test/release/version.sh
BERTH_VERSION=$(package_version)
export BERTH_VERSION
export BERTH_MAINTAINER="${BERTH_MAINTAINER:-The Berth authors <berth-registry@users.noreply.github.com>}"

# NFPM is the path of an nfpm that is already built.
NFPM=${NFPM:-$(go tool -n -modfile=test/release/nfpm/go.mod nfpm)}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$out" "$stage/pages"
test/release/pages.sh "$stage/pages"

for arch in $arches; do
  case $arch in
    amd64 | arm64) ;;
    *) echo "package.sh: $arch: no such architecture; write amd64 or arm64" >&2 && exit 2 ;;
  esac
  echo "building berth $VERSION for $arch" >&2
  export BERTH_ARCH=$arch BERTH_STAGE=$stage/$arch
  mkdir "$BERTH_STAGE"
  test/release/build.sh "$arch" "$BERTH_STAGE"
  cp -r "$stage/pages/." "$BERTH_STAGE"
  find "$BERTH_STAGE" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
  for format in $formats; do
    "$NFPM" package -f manifests/packaging/nfpm.yaml -p "$format" -t "$out/" | sed -n 's/^created package: //p'
  done
done
