#!/usr/bin/env bash
# Builds the OpenTelemetry Collector of conformance/collector to bin/otelcol.
# Nothing is done when it is up to date.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

sources=(conformance/collector/*.go conformance/collector/go.mod conformance/collector/go.sum)
stamp=$(cat "${sources[@]}" "$0" | sha256sum)
if [ -x bin/otelcol ] && [ "$(cat bin/otelcol.sum 2>/dev/null)" = "$stamp" ]; then
	echo "bin/otelcol is up to date"
	exit 0
fi
mkdir -p bin
(cd conformance/collector && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../../bin/otelcol .)
printf '%s\n' "$stamp" >bin/otelcol.sum
echo "bin/otelcol is built"
