#!/usr/bin/env bash
# Runs the tests: unit (the packages), integration (real binaries and servers),
# or all with the statement coverage of both together.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}
least=85 # per cent of statements
began=$SECONDS

# need installs Debian packages whose commands are missing, or says so and fails.
need() { # command:package ...
	local missing=()
	for pair in "$@"; do
		command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}")
	done
	[ ${#missing[@]} -eq 0 ] && return
	if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "--- installing ${missing[*]}"
		apt-get update -qq
		# Of some only the programs are wanted: their services are not started.
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
		return
	fi
	printf 'these Debian packages are missing and cannot be installed without root: %s\n' "${missing[*]}" >&2
	exit 1
}

need gcc:gcc curl:curl redis-server:redis-server redis-sentinel:redis-sentinel redis-cli:redis-tools promtool:prometheus amtool:prometheus-alertmanager vmalert:victoria-metrics
if [ "$what" != unit ]; then
	need mkfs.ext4:e2fsprogs mount:mount losetup:mount ip:iproute2 chromium-headless-shell:chromium-headless-shell
fi

data=$PWD/coverage
rm -rf "$data"
mkdir -p "$data/unit" "$data/integration"

if [ "$what" != integration ]; then
	echo "--- unit tests, race detector on"
	CGO_ENABLED=1 go test -race -covermode=atomic -timeout 10m ./... -args -test.gocoverdir="$data/unit"
	# The race detector allocates, so what must not allocate is counted without it.
	echo "--- allocations"
	go test -count=1 -run Alloc ./internal/otlp ./internal/tenant ./internal/worker ./pkg/codec ./bench/path
fi
if [ "$what" != unit ]; then
	echo "--- the OpenTelemetry Collector, a client of the integration tests, and as the benchmark has it"
	./scripts/collector.sh
	./scripts/bench-collector.sh
	echo "--- integration tests: real binaries and servers"
	(cd integration && CGO_ENABLED=1 GOCOVERDIR="$data/integration" go test -race -count=1 -timeout 50m ./...)
fi

echo "--- statement coverage"
dirs=""
for d in "$data/unit" "$data/integration"; do
	[ -n "$(ls -A "$d")" ] && dirs=${dirs:+$dirs,}$d
done
pkgs=github.com/penstock-otel/penstock/internal/...,github.com/penstock-otel/penstock/pkg/...,github.com/penstock-otel/penstock/cmd/...
go tool covdata textfmt -i="$dirs" -pkg="$pkgs" -o="$data/all.out"
# The suites that tests share are test code.
grep -vE '/(queuetest|exportertest|archtest|alertstest|redistest)/' "$data/all.out" >"$data/product.out"
go tool cover -func="$data/product.out" >"$data/functions.txt"
total=$(awk '/^total:/ {sub("%","",$3); print $3}' "$data/functions.txt")
echo "total statement coverage: $total %"
if [ "$what" = all ] && awk -v t="$total" -v l="$least" 'BEGIN {exit !(t < l)}'; then
	echo "that is less than $least %: the functions that lack tests are in coverage/functions.txt" >&2
	exit 1
fi
echo "tests took $((SECONDS - began)) s"
