# shellcheck shell=bash
# Shared by the scripts parts.sh: builds programs once a machine, from nested modules, into
# ${XDG_CACHE_HOME:-~/.cache}/berth-test. A script sources this file, calls options, then
# provide for each part, and complete at the end.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth-test
export CGO_ENABLED=0 GOWORK=off GOFLAGS=
missing=0 # 1 when a part is missing that is not to be built

# options SCRIPT NAME... -- ARGUMENT... parses the command line of SCRIPT, which is
# [-n] [NAME]: with -n it builds nothing, with NAME it handles that part alone.
options() {
  script=$1
  shift
  local name names=()
  while [ "$1" != -- ]; do
    names+=("$1")
    shift
  done
  shift
  build=1
  if [ "${1-}" = -n ]; then
    build=
    shift
  fi
  only=${1-}
  for name in "" "${names[@]}"; do
    [ "$name" != "$only" ] || return 0
  done
  echo "usage: $script [-n] [$(IFS='|' && echo "${names[*]}")]" >&2
  exit 2
}

# pinned FILE MODULE prints the version of MODULE that the go.mod in FILE
# requires, without the v.
pinned() {
  sed -nE "s,^(require)?[[:space:]]*${2//./\\.} v([^[:space:]]+)( //.*)?\$,\2,p" "$1"
}

# whole DIRECTORY PROGRAM... succeeds if all programs exist.
whole() {
  local dir=$1 program
  shift
  for program in "$@"; do
    [ -x "$dir/$program" ] || return 1
  done
}

# provide NAME VERSION PLACE WHY PROGRAMS GO-BUILD-ARGUMENT... makes sure that
# PROGRAMS, words in one argument, are in the cache, and prints NAME, VERSION and
# PLACE. PLACE is below the cache: a directory, or the program in it. The
# arguments make go build, in the current directory, link all PROGRAMS. WHY says
# how long it takes.
#
# The directory appears by one rename after the last program is linked, so that a killed
# build leaves nothing that looks complete.
provide() {
  local name=$1 version=$2 place=$3 why=$4 programs
  read -ra programs <<<"$5"
  shift 5
  if [ -n "$only" ] && [ "$only" != "$name" ]; then
    return
  fi
  local dir=$cache/${place%%/*}
  if ! whole "$dir" "${programs[@]}"; then
    if [ -z "$build" ]; then
      echo "$name $version is missing in $dir: run $script" >&2
      missing=1
      return
    fi
    mkdir -p "$cache"
    # The subshell holds the lock; the kernel releases it when the subshell ends.
    (
      flock -n 9 || { echo "waiting for another process that builds $name $version" >&2; flock 9; }
      ! whole "$dir" "${programs[@]}" || exit 0
      rm -rf "$dir" "$dir".building-*
      echo "building $name $version ($why, once a machine)" >&2
      half=$(mktemp -d "$dir.building-XXXXXX")
      trap 'rm -rf "$half"' EXIT
      trap 'exit 1' INT TERM
      SECONDS=0
      # 9>&-: a process that the compiler leaves behind must not keep the lock.
      go build -trimpath -buildvcs=false -mod=readonly -o "$half/" "$@" 9>&- >&2
      whole "$half" "${programs[@]}"
      chmod 755 "$half"
      mv -T "$half" "$dir"
      echo "built $name $version in ${SECONDS}s" >&2
    ) 9>"$dir.lock"
  fi
  printf '%s %s %s\n' "$name" "$version" "$cache/$place"
}

# complete fails if a part is missing.
complete() { return $missing; }
