#!/usr/bin/env bash
# Builds the OpenTelemetry Collector that the benchmark compares with, to
# bin/otelcol-bench, from bench/otelcol/manifest.yaml by the Collector's own
# builder. Nothing is done when it is up to date.
#
# What is built is the same every time: the builder is pinned by
# bench/otelcol/builder/go.mod, and all modules below the manifest's by
# bench/otelcol/go.mod and go.sum. After a change of the manifest, with the
# argument pin, the builder writes these two anew.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
pins=bench/otelcol src=bin/otelcol-bench.src

builder() {
	go build -C $pins/builder -o ../../../bin/ocb go.opentelemetry.io/collector/cmd/builder
	rm -rf $src
	bin/ocb --config $pins/manifest.yaml --skip-compilation "$@" >bin/ocb.log 2>&1 || { cat bin/ocb.log >&2; exit 1; }
}

mkdir -p bin
if [ "${1:-}" = pin ]; then
	builder
	cp $src/go.mod $src/go.sum $pins/
	echo "$pins/go.mod and go.sum are what the builder finds for the manifest"
fi

stamp=$(cat $pins/manifest.yaml $pins/go.mod $pins/go.sum $pins/builder/go.mod $pins/builder/go.sum scripts/bench-collector.sh | sha256sum)
if [ -x bin/otelcol-bench ] && [ "$(cat bin/otelcol-bench.sum 2>/dev/null)" = "$stamp" ]; then
	echo "bin/otelcol-bench is up to date"
	exit 0
fi
while read -r module version; do
	grep -qF "$module $version" $pins/go.mod || {
		echo "$pins/go.mod does not have $module $version of the manifest: run scripts/bench-collector.sh pin" >&2
		exit 1
	}
done < <(sed -n 's/.*gomod: //p' $pins/manifest.yaml)

builder --skip-get-modules
cp $pins/go.mod $pins/go.sum $src/
(cd $src && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags '-s -w' -o ../otelcol-bench .)
printf '%s\n' "$stamp" >bin/otelcol-bench.sum
echo "bin/otelcol-bench is built"
