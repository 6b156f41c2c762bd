#!/usr/bin/env bash
# The reference pages are printed by the program: write them, or compare.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
mode=${1:?write or compare}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -o "$tmp/penstock" ./cmd/penstock

page() { # file, command...
	local file=$1
	shift
	if [ "$mode" = write ]; then
		mkdir -p "$(dirname "$file")"
		"$@" >"$file"
		echo "wrote $file"
		return
	fi
	"$@" >"$tmp/page"
	if ! diff -u "$file" "$tmp/page"; then
		printf '%s is not what the program prints: run make docs\n' "$file" >&2
		exit 1
	fi
}
page docs/reference/configuration.md env -i "$tmp/penstock" config reference
page docs/reference/configuration.schema.json env -i "$tmp/penstock" config schema
page docs/reference/errors.md env -i "$tmp/penstock" docs errors
page docs/reference/cli.md env -i "$tmp/penstock" docs cli
page docs/reference/metrics.md env -i "$tmp/penstock" docs metrics
page docs/reference/openapi.yaml env -i "$tmp/penstock" docs openapi
