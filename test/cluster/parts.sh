#!/usr/bin/env bash
# Builds what the trials of the chart run against, once a machine, into
# ${XDG_CACHE_HOME:-~/.cache}/berth-test:
#
#   kubernetes   kube-apiserver, kube-controller-manager, kube-scheduler and
#                kubectl of the version in parts/kubernetes/go.mod
#   helm         of the version in parts/helm/go.mod
#
#   test/cluster/parts.sh [-n] [NAME]
#
# builds what is missing; with -n it builds nothing, and fails if something is
# missing. NAME is one of the two; without it, it is about both. kubelet is that
# of test/kubelet/parts.sh, containerd that of test/e2e/parts.sh.
#
# Standard output lists the parts, one a line: name, version, directory. What is
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
  "" | kubernetes | helm) ;;
  *)
    echo "usage: parts.sh [-n] [kubernetes|helm]" >&2
    exit 2
    ;;
esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth-test
export CGO_ENABLED=0 GOWORK=off GOFLAGS=
missing=0

# whole DIRECTORY PROGRAM... tells whether all programs are there.
whole() {
  local dir=$1 program
  shift
  for program in "$@"; do
    [ -x "$dir/$program" ] || return 1
  done
}

# provide NAME MODULE WHY LDFLAGS PROGRAM... makes sure that the programs of the
# nested module NAME, which go.mod lists as tools, are in the cache. The
# directory appears by one rename after the last program is linked, so that a
# build that was killed leaves nothing that looks whole.
provide() {
  local name=$1 module=$2 why=$3 ldflags=$4
  shift 4
  if [ -n "$only" ] && [ "$only" != "$name" ]; then
    return
  fi
  local version dir
  version=$(sed -nE "s,^(require)?[[:space:]]*$module v([0-9.]+)( //.*)?$,\2,p" "$name/go.mod")
  dir=$cache/$name-$version
  if ! whole "$dir" "$@"; then
    if [ -z "$build" ]; then
      echo "$name $version is missing in $dir: run test/cluster/parts.sh" >&2
      missing=1
      return
    fi
    mkdir -p "$cache"
    # The subshell holds the lock; the kernel drops it when it ends, however.
    (
      flock -n 9 || { echo "waiting for another process that builds $name $version" >&2; flock 9; }
      ! whole "$dir" "$@" || exit 0
      rm -rf "$dir" "$dir".building-*
      echo "building $name $version ($why, once a machine)" >&2
      half=$(mktemp -d "$dir.building-XXXXXX")
      trap 'rm -rf "$half"' EXIT
      trap 'exit 1' INT TERM
      SECONDS=0
      # 9>&-: a process that the compiler leaves behind must not keep the lock.
      (cd "$name" && go build -trimpath -buildvcs=false -mod=readonly \
        -ldflags "-s -w ${ldflags//VERSION/$version}" -o "$half/" tool 9>&- >&2)
      whole "$half" "$@"
      chmod 755 "$half"
      mv -T "$half" "$dir"
      echo "built $name $version in ${SECONDS}s" >&2
    ) 9>"$dir.lock"
  fi
  printf '%s %s %s\n' "$name" "$version" "$dir"
}

stamp=k8s.io/component-base/version
provide kubernetes k8s.io/kubernetes "four programs: five minutes on two cores after kubelet, ten without" \
  "-X $stamp.gitVersion=vVERSION -X $stamp.gitMajor=1 -X $stamp.gitMinor=36" \
  kube-apiserver kube-controller-manager kube-scheduler kubectl
provide helm helm.sh/helm/v4 "three minutes on two cores" \
  "-X helm.sh/helm/v4/internal/version.version=vVERSION" helm
exit $missing
