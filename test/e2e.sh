#!/usr/bin/env bash
# Runs end-to-end suites with real programs; test/README.md is the map.
#
#   test/e2e.sh [SUITE...]    runs these suites, or all; needs root
#   test/e2e.sh -packages     prints the Debian packages that all suites need, one a line
set -euo pipefail
cd "$(dirname "$0")/.."

suites=(disk provider page images containerd docker systemd kubelet install chart cluster)

# The programs that a suite needs. Programs that are built from pinned Go modules are not listed.
declare -A needs=(
  [disk]=""
  [provider]=""
  [page]="chromium"
  [images]="containerd docker-registry"
  [containerd]="containerd runc docker-registry ip"
  [docker]="/usr/bin/docker containerd runc docker-registry"
  [systemd]="containerd runc docker-registry debootstrap systemd-nspawn rpm rpm2cpio cpio /usr/bin/docker"
  [kubelet]="containerd runc docker-registry"
  [install]="containerd runc docker-registry"
  [chart]="promtool"
  [cluster]="containerd runc docker-registry debootstrap systemd-nspawn ip buildah etcd busybox promtool"
)

# The Debian package of each program whose name is not that of its package.
declare -A package=(
  [/usr/bin/docker]=docker.io
  [ip]=iproute2
  [systemd-nspawn]=systemd-container
  [rpm2cpio]=rpm
  [etcd]=etcd-server
  [promtool]=prometheus
  [busybox]=busybox-static
)

if [ "${1-}" = -packages ]; then
  for suite in "${suites[@]}"; do
    for program in ${needs[$suite]}; do
      echo "${package[$program]:-$program}"
    done
  done | sort -u
  exit
fi

selected=("$@")
[ $# -gt 0 ] || selected=("${suites[@]}")
missing=()
for suite in "${selected[@]}"; do
  if [ -z "${needs[$suite]+known}" ]; then
    echo "test/e2e.sh: $suite: no such suite; the suites are ${suites[*]}" >&2
    exit 2
  fi
  for program in ${needs[$suite]}; do
    command -v "$program" >/dev/null || missing+=("${package[$program]:-$program}")
  done
done
targets=("${@/#/e2e-}")
if [ "$(id -u)" != 0 ]; then
  echo "e2e: not root; run: sudo env PATH=\"\$PATH\" make ${targets[*]:-e2e}" >&2
  exit 1
fi
if [ ${#missing[@]} -gt 0 ]; then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  echo "e2e: Debian packages are missing; run: apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

# gotest DIRECTORY ARGUMENT... runs go test there.
read -ra flags <<<"-count=1 -timeout=30m ${GOTESTFLAGS:-}"
gotest() {
  local dir=$1
  shift
  (cd "$dir" && go test "${flags[@]}" "$@")
}

export BERTH_BIN=$PWD/bin/berth BERTH_PROVIDER_BIN=$PWD/bin/berth-credential-provider

run_disk() {
  gotest . -tags e2e ./internal/managedfile ./agent/watch
  gotest . -tags e2e -run '^(TestFullDisk|TestReadOnly)' ./agent
  go run ./test/benchagent -berth "$BERTH_BIN" -part stop -files 300 -stops 10
  go run ./test/crash -trials 300 -seed 1
}

run_provider() {
  gotest . -tags e2e ./cmd/berth-credential-provider
}

run_page() {
  gotest test/page ./...
}

run_images() {
  gotest . -tags e2e ./test/images
}

run_containerd() {
  test/e2e/parts.sh
  gotest test/e2e ./...
}

run_docker() {
  test/e2e/parts.sh
  test/docker/parts.sh
  gotest . -tags e2e ./test/docker
}

run_systemd() {
  test/e2e/parts.sh
  test/docker/parts.sh
  gotest . -tags e2e ./test/release ./test/nspawn
}

run_kubelet() {
  test/e2e/parts.sh
  test/kubelet/parts.sh
  gotest test/kubelet ./...
}

run_install() {
  local containerds kubelet keyring
  test/e2e/parts.sh
  test/kubelet/parts.sh
  containerds=$(test/e2e/parts.sh 2>&1 | sed -n 's/^containerd .*: //p' | paste -sd,)
  kubelet=$(test/kubelet/parts.sh -n kubelet | awk '{print $3}')
  keyring=$(test/kubelet/parts.sh -n keyring | awk '$2 ~ /^1\.36\./ {print $3}')
  go run ./test/install -trials 60 -seed 1 -containerd "${containerds:?}" -kubelet "${kubelet:?}" -keyring "${keyring:?}"
}

run_chart() {
  test/cluster/parts.sh helm
  gotest test/chart ./...
}

run_cluster() {
  test/e2e/parts.sh
  test/kubelet/parts.sh kubelet
  test/cluster/parts.sh
  gotest test/cluster ./...
}

for suite in "${selected[@]}"; do
  echo "== make e2e-$suite"
  SECONDS=0
  "run_$suite"
  echo "== make e2e-$suite: passed in ${SECONDS} s"
done
