# Sourced by the other scripts: the version strings.
# shellcheck shell=bash

# VERSION is the output of "berth version", by default that of "git describe".
VERSION=${VERSION:-$(git describe --tags --always --dirty)}

# SOURCE_DATE_EPOCH is the time of all files: that of the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

# package_version prints VERSION in a form that dpkg and rpm sort correctly: a candidate
# before its release, commits after a release after it.
package_version() {
  local tag='^v([0-9]+(\.[0-9]+)*)(-([a-z][0-9a-z.]*))?(-([0-9]+)-g([0-9a-f]+))?(-dirty)?$'
  if [[ $VERSION =~ $tag ]]; then
    local v=${BASH_REMATCH[1]}
    [ -z "${BASH_REMATCH[4]}" ] || v+="~${BASH_REMATCH[4]}"
    [ -z "${BASH_REMATCH[6]}" ] || v+="+${BASH_REMATCH[6]}.g${BASH_REMATCH[7]}"
    [ -z "${BASH_REMATCH[8]}" ] || v+="+dirty"
    printf '%s\n' "$v"
    return
  fi
  # Before the first release: the time of the commit.
  printf '0.0.0~git%s.%s\n' "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)" "${VERSION//-/.}"
}

# release_version prints VERSION as the names of files, the chart and the tag of the image have it: a
# semantic version, also before the first release.
release_version() {
  if [[ $VERSION =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]]; then
    printf '%s\n' "${VERSION#v}"
  else
    printf '0.0.0-g%s\n' "${VERSION//[^0-9A-Za-z.-]/-}"
  fi
}
