#!/usr/bin/env bash
# Runs the conformance suite against Penstock and against the OpenTelemetry
# Collector, on OTLP's default ports, and writes conformance/results/. Some
# minutes. With a name, penstock or collector, only against that one.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

results=conformance/results
only=${1:-}
tmp=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$tmp"' EXIT

go build -o "$tmp/otlp-conformance" ./conformance/cmd/otlp-conformance

# run starts the command after --, runs the suite with the flags before it, and
# writes the report. That a row fails is a result, not an error.
run() { # name ready-url flag ... -- command ...
	local name=$1 ready=$2 flags=() rc=0
	shift 2
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	echo "--- $name"
	"$@" >"$tmp/$name.log" 2>&1 &
	pid=$!
	for _ in $(seq 150); do
		curl -sf -o /dev/null "$ready" && break
		kill -0 "$pid" || { cat "$tmp/$name.log" >&2; exit 1; }
		sleep 0.2
	done
	"$tmp/otlp-conformance" -grpc 127.0.0.1:4317 -http http://127.0.0.1:4318 \
		-backend-grpc 127.0.0.1:15317 -backend-http 127.0.0.1:15318 \
		-overload -quiet 3s -stop-pid "$pid" "${flags[@]}" -o json >"$tmp/$name.json" || rc=$?
	kill "$pid" 2>/dev/null || true
	wait "$pid" || true
	pid=
	if [ "$rc" -gt 1 ]; then
		cat "$tmp/$name.log" >&2
		exit "$rc"
	fi
	mv "$tmp/$name.json" "$results/$name.json"
}

if [ "$only" != collector ]; then
	go build -o "$tmp/penstock" ./cmd/penstock
	CONFORMANCE_DIR=$tmp/data run penstock http://127.0.0.1:18080/readyz \
		-rejected-item-bytes $((16 << 20)) -client-max-bytes $((3584 << 10)) \
		-metrics-url http://127.0.0.1:18080/metrics -undelivered-metric '^penstock_exporter_dead_letters_total' \
		-- "$tmp/penstock" up --config $results/penstock.yaml
fi
if [ "$only" != penstock ]; then
	scripts/collector.sh
	run collector http://127.0.0.1:18888/metrics \
		-metrics-url http://127.0.0.1:18888/metrics -undelivered-metric '^otelcol_exporter_send_failed_' \
		-- bin/otelcol --config $results/collector.yaml
fi
{
	printf '# Results of the OTLP conformance suite\n\n'
	printf 'Made by `make conformance`: scripts/conformance.sh has the commands, penstock.yaml and collector.yaml the configurations, penstock.json and collector.json each case.\n\n'
	"$tmp/otlp-conformance" -compare $results/penstock.json $results/collector.json
} >"$tmp/README.md"
mv "$tmp/README.md" $results/README.md
echo "wrote $results/"
