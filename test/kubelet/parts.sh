#!/usr/bin/env bash
# Builds the parts of Kubernetes that the tests in this directory run against,
# once a machine, into ${XDG_CACHE_HOME:-~/.cache}/berth-test:
#
#   kubelet   the real one, of the version in parts/go.mod
#   keyring   kubelet's code that runs credential providers (parts/keyring), of
#             each version that parts/*.mod names
#
#   test/kubelet/parts.sh [-n] [NAME]
#
# builds what is missing; with -n it builds nothing, and fails if something is
# missing. NAME is one of the two; without it, it is about both.
#
# Standard output lists the parts, one a line: name, version, path. What is
# being built goes to standard error.
set -euo pipefail
cd "$(dirname "$0")/parts"

build=1
if [ "${1-}" = -n ]; then
  build=
  shift
fi
only=${1-}
case $only in
  "" | kubelet | keyring) ;;
  *)
    echo "usage: parts.sh [-n] [kubelet|keyring]" >&2
    exit 2
    ;;
esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth-test
export CGO_ENABLED=0 GOWORK=off GOFLAGS=

# The source of keyring is part of the key, for it is ours and changes.
sources=$(cat keyring/*.go | sha256sum | cut -c1-12)

# pinned prints the version of Kubernetes that a go.mod requires, without the v.
pinned() {
  sed -nE 's,^(require)?[[:space:]]*k8s\.io/kubernetes v([0-9.]+)$,\2,p' "$1"
}

# provide NAME VERSION DIRECTORY WHY GO-BUILD-ARGUMENT... makes sure that
# DIRECTORY/NAME exists. The directory appears by one rename after the program
# is linked, so that a build that was killed leaves nothing that looks whole.
provide() {
  local name=$1 version=$2 dir=$cache/$3 why=$4
  shift 4
  if [ -n "$only" ] && [ "$only" != "$name" ]; then
    return
  fi
  if [ ! -x "$dir/$name" ]; then
    if [ -z "$build" ]; then
      echo "$name $version is missing in $dir: run test/kubelet/parts.sh" >&2
      missing=1
      return
    fi
    mkdir -p "$cache"
    # The subshell holds the lock; the kernel drops it when it ends, however.
    (
      flock -n 9 || { echo "waiting for another process that builds $name $version" >&2; flock 9; }
      [ ! -x "$dir/$name" ] || exit 0
      rm -rf "$dir" "$dir".building-*
      echo "building $name $version ($why, once a machine)" >&2
      half=$(mktemp -d "$dir.building-XXXXXX")
      trap 'rm -rf "$half"' EXIT
      trap 'exit 1' INT TERM
      SECONDS=0
      # 9>&-: a process that the compiler leaves behind must not keep the lock.
      go build -trimpath -buildvcs=false -mod=readonly -o "$half/$name" "$@" 9>&- >&2
      chmod 755 "$half"
      mv -T "$half" "$dir"
      echo "built $name $version in ${SECONDS}s" >&2
    ) 9>"$dir.lock"
  fi
  printf '%s %s %s\n' "$name" "$version" "$dir/$name"
}

missing=0
version=$(pinned go.mod)
minor=${version#*.}
stamp=k8s.io/component-base/version
provide kubelet "$version" "kubelet-$version" "about 1800 packages: seven minutes on two cores" \
  -ldflags "-s -w -X $stamp.gitVersion=v$version -X $stamp.gitMajor=${version%%.*} -X $stamp.gitMinor=${minor%%.*}" \
  k8s.io/kubernetes/cmd/kubelet

for mod in *.mod; do
  version=$(pinned "$mod")
  tags=
  case $version in
    1.29.* | 1.30.* | 1.31.* | 1.32.*) tags=before_k8s_1_33 ;;
  esac
  provide keyring "$version" "keyring-$version-$sources" "one to two minutes on two cores" \
    -modfile="$mod" -tags="$tags" -ldflags "-s -w" ./keyring
done
exit $missing
