#!/usr/bin/env bash
# Runs each fuzz target of the tree for FUZZTIME, one after the other.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-60s}
grep -rl --include='*_test.go' '^func Fuzz' internal pkg | xargs -n1 dirname | sort -u | while read -r dir; do
	grep -ho '^func Fuzz[A-Za-z0-9]*' "$dir"/*_test.go | sed 's/func //' | while read -r target; do
		echo "--- $dir $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$dir"
	done
done
