#!/usr/bin/env bash
# Makes the files of a release, in dist/: for amd64 and arm64 an archive of the programs
# with its SBOM, the packages, and the checksums of all.
#
#   test/release/release.sh [DIRECTORY]
#
# The programs are built twice, from two copies of the sources in directories with names
# of different length, the second time with a new build cache. Both builds, and their
# archives and packages, must be equal. Takes minutes, most of them for the second build.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "${1:-dist}"
out=$(realpath "${1:-dist}")
here=$PWD
arches=(amd64 arm64)
# shellcheck source=test/release/version.sh
. test/release/version.sh
export VERSION
# The tools are built once.
NFPM=$(go tool -n -modfile=test/release/nfpm/go.mod nfpm)
export NFPM
case $VERSION in *-dirty) echo "release: the checkout has changes that are in no commit; the version says so: $VERSION" >&2 ;; esac

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# copy copies the files that git tracks into a directory.
copy() {
  mkdir "$1"
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do
    [ ! -e "$f" ] || printf '%s\0' "$f"
  done | tar -c --null -T - | tar -x -C "$1"
}

# reproducible archives: order, owners and times do not depend on the machine.
pack() {
  tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" \
    --format=ustar -c -C "$1" "$2" | gzip -n -9 >"$3"
}

# assemble DIRECTORY-OF-SOURCES RESULT
assemble() {
  local sources=$1 result=$2 arch name
  mkdir -p "$result"
  for arch in "${arches[@]}"; do
    name=berth_${VERSION#v}_linux_$arch
    mkdir -p "$result.tree/$name"
    "$sources/test/release/build.sh" "$arch" "$result.tree/$name"
    cp "$sources/LICENSE" "$sources/README.md" "$sources/CHANGELOG.md" "$result.tree/$name/"
    pack "$result.tree" "$name" "$result/$name.tar.gz"
  done
  "$sources/test/release/package.sh" -o "$result" -a "${arches[*]}" >&2
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

echo "== the same bytes?"
diff -r "$work/first.tree" "$work/second.tree"
diff -r "$work/first" "$work/second"
# The control: a program of another version must differ.
VERSION=other "$work/a/test/release/build.sh" amd64 "$work/a"
if cmp -s "$work/a/berth" "$work/first.tree/berth_${VERSION#v}_linux_amd64/berth"; then
  echo "release: two versions are the same bytes: the comparison sees nothing" >&2
  exit 1
fi

echo "== what is in them"
for arch in "${arches[@]}"; do
  name=berth_${VERSION#v}_linux_$arch
  for program in berth berth-credential-provider berth-ecr-token docker-credential-berth; do
    "$here/test/release/static.sh" "$arch" "$work/first.tree/$name/$program"
  done
  "$here/test/release/sbom.sh" "$work/first.tree/$name" "$work/first/$name.sbom.json"
done

(cd "$work/first" && sha256sum -- * >../SHA256SUMS && mv ../SHA256SUMS .)
cp "$work/first"/* "$out/"
(cd "$out" && sha256sum --check --quiet SHA256SUMS)
echo "== in $out:"
ls -l "$out"
