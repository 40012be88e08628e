#!/usr/bin/env bash
# Builds the programs of the tests of the chart, once a machine, into
# ${XDG_CACHE_HOME:-~/.cache}/berth-test:
#
#   kubernetes   kube-apiserver, kube-controller-manager, kube-scheduler and
#                kubectl of the version in parts/kubernetes/go.mod
#   helm         of the version in parts/helm/go.mod
#
#   test/cluster/parts.sh [-n] [NAME]
#
# builds missing parts; with -n it builds nothing, and fails if a part is missing. NAME is
# one of the two parts; without it, the script handles both. test/kubelet/parts.sh builds
# kubelet, test/e2e/parts.sh containerd.
#
# Standard output lists the parts, one a line: name, version, directory. Progress is on
# standard error.
set -euo pipefail
cd "$(dirname "$0")/parts"
# shellcheck source=test/parts/provide.sh
source ../../parts/provide.sh
options test/cluster/parts.sh kubernetes helm -- "$@"

# Each nested module lists its programs as tools in go.mod.
cd kubernetes
version=$(pinned go.mod k8s.io/kubernetes)
stamp=k8s.io/component-base/version
provide kubernetes "$version" "kubernetes-$version" "four programs: five minutes on two cores after kubelet, ten without" \
  "kube-apiserver kube-controller-manager kube-scheduler kubectl" \
  -ldflags "-s -w -X $stamp.gitVersion=v$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=36" tool

cd ../helm
version=$(pinned go.mod helm.sh/helm/v4)
provide helm "$version" "helm-$version" "three minutes on two cores" helm \
  -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=v$version" tool
complete
