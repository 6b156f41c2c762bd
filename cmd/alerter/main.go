// Command alerter evaluates alerting rules on the metric streams.
package main

import (
	"context"
	"os"

	"github.com/penstock-otel/penstock/internal/alerter"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/role"
)

func main() {
	cmd := rolecmd.Role("alerter", "evaluate alerting rules on the metric streams", "", func(ctx context.Context, p role.Process) error {
		p.Alerter = alerter.Make
		return role.Alerter(ctx, p)
	})
	cmd.AddCommand(rolecmd.Healthcheck(), rolecmd.Version())
	os.Exit(rolecmd.Main(cmd, os.Args[1:], os.Stdout, os.Stderr))
}
