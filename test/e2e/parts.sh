#!/usr/bin/env bash
# Builds the containerd releases of the end-to-end tests once a machine (minutes), and
# prints the packages that are missing.
set -euo pipefail
cd "$(dirname "$0")"
exec go run ./cmd/parts "$@"
