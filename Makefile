# The loop of a developer: make check test. See CONTRIBUTING.md.
GO      ?= go
BIN     := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
PKG     := github.com/penstock-otel/penstock/internal/app
LDFLAGS := -s -w -X $(PKG).version=$(VERSION) -X $(PKG).commit=$(COMMIT)

.PHONY: build run check test unit integration docs bench bench-compare fuzz conformance clean help

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

build: ## the four binaries, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

run: ## gateway, queue and worker in one process, with demo telemetry
	$(GO) run ./cmd/penstock up --demo

check: ## format, vet, staticcheck, go.mod, generated references
	./scripts/check.sh

test: ## everything: installs what it needs, race detector, real servers, coverage
	./scripts/test.sh all

unit: ## the tests of the packages alone
	./scripts/test.sh unit

integration: ## the tests with real binaries and servers alone
	./scripts/test.sh integration

docs: ## write the references that the program prints
	./scripts/docs.sh write

bench: ## throughput, CPU, memory and latency of the whole path; results into bench/results/
	$(GO) run ./bench run -scenarios traces100,metrics1000,logs512,small10,half -duration 20s -results bench/results

bench-compare: ## Penstock and the OpenTelemetry Collector, turn by turn; results into bench/results/
	./scripts/bench-collector.sh
	$(GO) run ./bench compare -turns 3 -duration 20s -results bench/results

fuzz: ## each fuzz target for FUZZTIME (60s)
	./scripts/fuzz.sh

conformance: ## the OTLP conformance suite on Penstock and the Collector; results into conformance/results/
	./scripts/conformance.sh

clean: ## what was built and measured
	rm -rf $(BIN) coverage
