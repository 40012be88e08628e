#!/usr/bin/env bash
# Runs every fuzz target of the module for a time: fuzz.sh 60s
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-60s}

found=0
while IFS=: read -r file line; do
  name=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/' <<<"$line")
  echo "== $name ($(dirname "$file"))"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "$time"
  found=$((found + 1))
done < <(git grep --untracked -E '^func Fuzz' -- '*_test.go')

echo "$found fuzz targets ran for $time each"
[ "$found" -gt 0 ]
