// Command exporter-worker drains the queue to its destinations.
package main

import (
	"os"

	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/role"
)

func main() {
	cmd := rolecmd.Role("exporter-worker", "drain the queue to its destinations", "", role.Worker)
	cmd.AddCommand(rolecmd.Healthcheck(), rolecmd.Version())
	os.Exit(rolecmd.Main(cmd, os.Args[1:], os.Stdout, os.Stderr))
}
