#!/usr/bin/env bash
# Packages the chart with the version of the release, as DIRECTORY/berth-VERSION.tgz. "helm package"
# would write the time of day into it.
#
#   test/release/chart.sh DIRECTORY
set -euo pipefail
out=$(realpath "$1")
cd "$(dirname "$0")/../.."
# shellcheck source=test/release/version.sh
. test/release/version.sh
export LC_ALL=C
version=$(release_version)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r manifests/chart "$work/berth"
sed -i "s/^version: .*/version: $version/; s/^appVersion: .*/appVersion: \"$version\"/" "$work/berth/Chart.yaml"
test/release/pack.sh "$work" berth "$out/berth-$version.tgz"
