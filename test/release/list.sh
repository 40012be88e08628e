#!/usr/bin/env bash
# Completes a directory of files of a release: writes berth_VERSION_provenance.json, the in-toto
# statement about all of them, and SHA256SUMS.
#
#   test/release/list.sh DIRECTORY
#
# PROVENANCE is the path of a test/release/provenance that is already built. COMMIT is the commit of
# the sources, by default that of the checkout, and empty if the checkout has changes.
set -euo pipefail
out=$(realpath "$1")
cd "$(dirname "$0")/../.."
# shellcheck source=test/release/version.sh
. test/release/version.sh
export LC_ALL=C
if [ -z "${COMMIT+set}" ]; then
  COMMIT=$([ -n "$(git status --porcelain)" ] || git rev-parse HEAD)
fi
provenance() {
  if [ -n "${PROVENANCE:-}" ]; then "$PROVENANCE" "$@"; else go run ./test/release/provenance "$@"; fi
}
statement=berth_$(release_version)_provenance.json
rm -f "$out/$statement" "$out/SHA256SUMS"
sums=$(cd "$out" && sha256sum -- berth*)
provenance "$VERSION" "$COMMIT" "$SOURCE_DATE_EPOCH" <<<"$sums" >"$out/$statement"
(cd "$out" && sha256sum -- berth* >SHA256SUMS)
