#!/usr/bin/env bash
# Makes the files of a release, in dist/: for amd64 and arm64 an archive of the programs
# with its SBOM, and the packages; the image and the chart; provenance and checksums of all.
#
#   test/release/release.sh [DIRECTORY]
#
# SIGNING_KEY is the file of a private key: see sign.sh. Without it nothing is signed.
#
# Everything is made twice, from two copies of the sources in directories with names of
# different length, the second time with a new build cache. Both results must be equal. Takes
# minutes, most of them for the second build.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
mkdir -p "${1:-dist}"
out=$(realpath "${1:-dist}")
here=$PWD
arches=(amd64 arm64)
# shellcheck source=test/release/version.sh
. test/release/version.sh
version=$(release_version)
# As list.sh does it: the copies of the sources are no checkout.
COMMIT=$([ -n "$(git status --porcelain)" ] || git rev-parse HEAD)
export VERSION COMMIT
if [ -n "${SIGNING_KEY:-}" ]; then
  SIGNING_KEY=$(realpath -e "$SIGNING_KEY")
  [ -n "$COMMIT" ] || { echo "release: the checkout has changes, so nothing is signed; commit them first" >&2 && exit 1; }
fi
# Files of an earlier run would be signed, too.
[ -z "$(ls -A "$out")" ] || { echo "release: $out is not empty; run: rm -r $out" >&2 && exit 1; }
case $VERSION in *-dirty) echo "release: the checkout has changes that are in no commit; the version says so: $VERSION" >&2 ;; esac

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# The tools are built once.
NFPM=$(go tool -n -modfile=test/release/nfpm/go.mod nfpm)
mkdir "$work/tools"
go build -trimpath -o "$work/tools/" ./test/release/oci ./test/release/roots ./test/release/provenance
PROVENANCE=$work/tools/provenance
export NFPM PROVENANCE

# copy copies the files that git tracks into a directory.
copy() {
  mkdir "$1"
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do
    [ ! -e "$f" ] || printf '%s\0' "$f"
  done | tar -c --null -T - | tar -x -C "$1"
}

# assemble DIRECTORY-OF-SOURCES RESULT
assemble() {
  local sources=$1 result=$2 arch name file images=()
  mkdir -p "$result" "$result.pages"
  "$sources/test/release/pages.sh" "$result.pages"
  for arch in "${arches[@]}"; do
    name=berth_${version}_linux_$arch
    mkdir -p "$result.tree/$name" "$result.image/$arch"
    "$sources/test/release/build.sh" "$arch" "$result.tree/$name"
    cp "$result.tree/$name"/* "$result.image/$arch/"
    "$work/tools/roots" >"$result.image/$arch/ca-certificates.crt"
    images+=("$arch=$result.image/$arch")
    cp -r "$result.pages/." "$result.tree/$name"
    cp "$sources/LICENSE" "$sources/README.md" "$sources/CHANGELOG.md" "$result.tree/$name/"
    "$sources/test/release/pack.sh" "$result.tree" "$name" "$result/$name.tar.gz"
  done
  "$sources/test/release/package.sh" -o "$result" -a "${arches[*]}" >&2
  # GitHub replaces ~ in the name of a file with a dot; SHA256SUMS has the name that users get.
  for file in "$result"/*~*; do
    [ ! -e "$file" ] || mv "$file" "${file//\~/.}"
  done
  "$sources/test/release/chart.sh" "$result"
  local repository
  repository=$(sed -n 's/^  repository: //p' "$sources/manifests/chart/values.yaml")
  (
    cd "$sources"
    "$work/tools/oci" image "$repository:$version" "$result/berth_${version}_image.tar" "${images[@]}"
    "$work/tools/oci" chart "${repository%/*}/charts/berth:$version" "$result/berth_${version}_chart.tar" "$result/berth-$version.tgz"
  )
}

echo "== once"
copy "$work/a"
assemble "$work/a" "$work/first"
echo "== and again elsewhere, from nothing"
mkdir "$work/a-directory"
cp -a "$work/a" "$work/a-directory/with-a-longer-name"
(
  GOCACHE=$work/cache
  export GOCACHE
  assemble "$work/a-directory/with-a-longer-name" "$work/second"
)

echo "== what is in them"
for result in first second; do
  for arch in "${arches[@]}"; do
    name=berth_${version}_linux_$arch
    for program in berth berth-credential-provider berth-ecr-token docker-credential-berth; do
      "$here/test/release/static.sh" "$arch" "$work/$result.tree/$name/$program"
    done
    "$here/test/release/sbom.sh" "$work/$result.tree/$name" "$work/$result/$name.sbom.json"
  done
  test/release/list.sh "$work/$result"
done

echo "== the same bytes?"
diff -r "$work/first.tree" "$work/second.tree"
diff -r "$work/first" "$work/second"
# The control: a program of another version must differ.
VERSION=other "$work/a/test/release/build.sh" amd64 "$work/a"
if cmp -s "$work/a/berth" "$work/first.tree/berth_${version}_linux_amd64/berth"; then
  echo "release: two versions are the same bytes: the comparison sees nothing" >&2
  exit 1
fi

cp "$work/first"/* "$out/"
(cd "$out" && sha256sum --check --quiet SHA256SUMS)
if [ -n "${SIGNING_KEY:-}" ]; then
  test/release/sign.sh "$out" "$SIGNING_KEY"
else
  echo "== NOT SIGNED: no SIGNING_KEY=FILE was given"
fi
echo "== in $out:"
ls -l "$out"
