#!/usr/bin/env bash
# Builds the parts of Kubernetes for the tests in this directory, once a machine, into
# ${XDG_CACHE_HOME:-~/.cache}/berth-test:
#
#   kubelet   the real one, of the version in parts/go.mod
#   keyring   kubelet's code that runs credential providers (parts/keyring), of
#             each version that parts/*.mod names
#
# With BERTH_KUBELET=1.32.2, or another version that parts/*.mod names, both are of that version.
#
#   test/kubelet/parts.sh [-n] [NAME]
#
# builds missing parts; with -n it builds nothing, and fails if a part is missing. NAME is
# one of the two parts; without it, the script handles both.
#
# Standard output lists the parts, one a line: name, version, path. Progress is on standard
# error.
set -euo pipefail
cd "$(dirname "$0")/parts"
# shellcheck source=test/parts/provide.sh
source ../../parts/provide.sh
options "${BERTH_KUBELET:+BERTH_KUBELET=$BERTH_KUBELET }test/kubelet/parts.sh" kubelet keyring -- "$@"

# The source of keyring is part of the key, because it changes.
sources=$(cat keyring/*.go | sha256sum | cut -c1-12)

modfile=go.mod
if [ -n "${BERTH_KUBELET-}" ]; then
  modfile=$(grep -lE "^[[:space:]]+k8s\.io/kubernetes v${BERTH_KUBELET//./\\.}\$" ./*.mod) ||
    { echo "BERTH_KUBELET: no file test/kubelet/parts/*.mod has kubelet $BERTH_KUBELET" >&2; exit 2; }
fi
version=$(pinned "$modfile" k8s.io/kubernetes)
# The code of clouds in 1.29 is not needed; k8s.io/legacy-cloud-providers v0.29.6 cannot be downloaded.
tags=
case $version in
  1.29.*) tags=providerless ;;
esac
minor=${version#*.}
stamp=k8s.io/component-base/version
provide kubelet "$version" "kubelet-$version/kubelet" "about 1800 packages: seven minutes on two cores" kubelet \
  -modfile="$modfile" -tags="$tags" -ldflags "-s -w -X $stamp.gitVersion=v$version -X $stamp.gitMajor=${version%%.*} -X $stamp.gitMinor=${minor%%.*}" \
  k8s.io/kubernetes/cmd/kubelet

for mod in *.mod; do
  version=$(pinned "$mod" k8s.io/kubernetes)
  [ "$version" = "${BERTH_KUBELET:-$version}" ] || continue
  tags=
  case $version in
    1.29.* | 1.30.* | 1.31.* | 1.32.*) tags=before_k8s_1_33 ;;
  esac
  provide keyring "$version" "keyring-$version-$sources/keyring" "one to two minutes on two cores" keyring \
    -modfile="$mod" -tags="$tags" -ldflags "-s -w" ./keyring
done
complete
