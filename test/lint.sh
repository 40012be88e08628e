#!/usr/bin/env bash
# Checks format, suspicious code, shell scripts and import directions.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v shellcheck >/dev/null; then
  echo "lint: shellcheck is missing; run: apt-get install -y --no-install-recommends shellcheck" >&2
  exit 1
fi

unformatted=$(git ls-files --cached --others --exclude-standard '*.go' | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not formatted; run gofmt -w:\n%s\n' "$unformatted"
  exit 1
fi

for module in . test/chart test/cluster test/e2e test/kubelet test/page test/platforms; do
  (
    cd "$module"
    go vet ./...
    go vet -tags e2e ./...
  )
done

# golangci-lint reads .golangci.yaml. It has a module of its own, so that go.mod stays short.
# The first run builds it: about four minutes on two cores.
go tool -modfile=test/tools/go.mod golangci-lint run ./...

git ls-files --cached --others --exclude-standard '*.sh' .ci/run 'manifests/packaging/deb/*' 'manifests/packaging/rpm/*' | xargs -r shellcheck

# The direction of imports.
go test -run 'TestImports' ./test/depcheck

echo "lint: clean"
