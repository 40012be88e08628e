#!/usr/bin/env bash
# Writes the SBOM of the programs in a directory, as SPDX JSON. syft reads the modules
# that the Go linker has recorded in them. Its time is SOURCE_DATE_EPOCH. Fails if a known
# module is missing.
#
#   test/release/sbom.sh DIRECTORY FILE
set -euo pipefail
directory=$(realpath "$1") file=$(realpath "$2")
cd "$(dirname "$0")/../.."
if [ -z "${SYFT:-}" ]; then
  echo "building syft, if it is not built yet (some minutes)" >&2
  SYFT=$(go tool -n -modfile=test/release/syft/go.mod syft)
fi
# It uses no network.
export SYFT_CHECK_FOR_APP_UPDATE=false SYFT_GOLANG_SEARCH_REMOTE_LICENSES=false
"$SYFT" scan --quiet "dir:$directory" --source-name berth --source-version "${VERSION:-unknown}" --output "spdx-json=$file"
# syft writes the time of day and a random name into it.
sed -i -E "s|(\"created\": *\")[^\"]*|\1$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)|
  s|(\"documentNamespace\": *\")[^\"]*|\1https://github.com/berth-registry/berth/sbom/$(basename "$file")|" "$file"
for module in stdlib github.com/berth-registry/berth github.com/containerd/containerd/v2 github.com/aws/aws-sdk-go-v2; do
  if ! grep -q "\"name\": *\"$module\"" "$file"; then
    echo "$file: does not name $module, which is in the programs" >&2
    exit 1
  fi
done
