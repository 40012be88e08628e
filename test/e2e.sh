#!/usr/bin/env bash
# The trials with real parts, as root: what CI runs after the unit tests.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
  echo "make e2e needs root: it starts containerd and mounts file systems" >&2
  exit 1
fi
read -ra flags <<<"-count=1 -timeout=30m ${GOTESTFLAGS:-}"

bin=$PWD/bin

echo "== full disk, read-only directory, owners"
go test -tags e2e "${flags[@]}" ./internal/managedfile

echo "== the agent: a full disk, mounts that come and go, stopped in the middle of writing"
go test -tags e2e "${flags[@]}" -run 'TestFullDisk' ./agent
go test -tags e2e "${flags[@]}" ./agent/watch
go run ./test/benchagent -berth "$bin/berth" -part stop -files 300 -stops 10

echo "== the status page in Chromium"
(cd test/page && go test "${flags[@]}" ./...)

echo "== killed in the middle of writing"
go run ./test/crash -trials 300 -seed 1

echo "== a thousand processes at once"
go test -tags e2e "${flags[@]}" ./cmd/berth-credential-provider

echo "== images: copies to a real registry, killed, failing, a full disk"
BERTH_BIN=$bin/berth go test -tags e2e "${flags[@]}" ./test/images

echo "== real containerd 1.6, 1.7 and 2.4"
test/e2e/parts.sh
(cd test/e2e && BERTH_BIN=$bin/berth go test "${flags[@]}" ./...)

echo "== packages, and a Debian that boots with systemd: install, reboot, upgrade, purge"
go test -tags e2e "${flags[@]}" ./test/release ./test/nspawn

echo "== real kubelet 1.36, and kubelet's plugin code of four versions"
test/kubelet/parts.sh
(cd test/kubelet && BERTH_BIN=$bin/berth BERTH_PROVIDER_BIN=$bin/berth-credential-provider go test "${flags[@]}" ./...)

echo "== install and uninstall, killed at each step"
containerds=$(test/e2e/parts.sh 2>&1 | sed -n 's/^containerd .*: //p' | paste -sd,)
kubelet=$(test/kubelet/parts.sh -n kubelet | awk '{print $3}')
keyring=$(test/kubelet/parts.sh -n keyring | awk '$2 ~ /^1\.36\./ {print $3}')
go run ./test/install -trials 60 -seed 1 -containerd "${containerds:?}" -kubelet "${kubelet:?}" -keyring "${keyring:?}"

echo "== the chart, and a cluster: install, pulls, a changed config, upgrade, the way out"
test/cluster/parts.sh
(cd test/chart && go test "${flags[@]}" ./...)
(cd test/cluster && go test "${flags[@]}" ./...)
