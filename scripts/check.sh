#!/usr/bin/env bash
# What can be said of the code without running it. Each step names itself.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

step() { printf -- '--- %s\n' "$1"; }

step "gofmt"
unformatted=$(git ls-files --cached --others --exclude-standard '*.go' | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'not formatted, run gofmt -w:\n%s\n' "$unformatted" >&2
	exit 1
fi

step "go.mod and go.sum are tidy"
go mod tidy -diff
(cd integration && go mod tidy -diff)
(cd conformance/collector && go mod tidy -diff)
(cd bench/otelcol/builder && go mod tidy -diff)

step "go vet"
go vet ./...
(cd integration && go vet ./...)
(cd conformance/collector && CGO_ENABLED=0 go vet -trimpath ./...) # as scripts/collector.sh builds it: one cache

step "staticcheck"
mkdir -p bin
(cd tools && go build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck)
bin/staticcheck ./...
(cd integration && ../bin/staticcheck ./...)

step "references in docs/ are what the program prints"
scripts/docs.sh compare

step "shell scripts parse"
for s in scripts/*.sh .ci/run; do bash -n "$s"; done

echo "check: ok"
