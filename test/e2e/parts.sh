#!/usr/bin/env bash
# Provides the real programs of the end-to-end tests: builds containerd 2 once a
# machine (minutes), and says which packages are missing.
set -euo pipefail
cd "$(dirname "$0")"
exec go run ./cmd/parts "$@"
