// Package cli is the command line penstock: every role, and the operator's
// commands.
package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/broker/local"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/role"
)

// Root is the command line.
func Root() *cobra.Command {
	root := &cobra.Command{
		Use: "penstock", Short: "a durable telemetry gateway: OTLP in, a queue that loses nothing, OTLP out",
		Long: "Penstock takes OpenTelemetry data, answers when it is durable in a queue, and exports it from there.\n\n" +
			"Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, 3 degraded.",
	}
	gateway := rolecmd.Role("gateway", "take OTLP and answer when it is durable", "", func(ctx context.Context, p role.Process) error {
		p.Server = local.Start
		return role.Gateway(ctx, p)
	})
	worker := rolecmd.Role("worker", "drain the queue to its destinations", "", role.Worker)
	alerter := rolecmd.Role("alerter", "evaluate alerting rules on the metric streams", "", role.Alerter)
	root.AddCommand(up(), gateway, worker, alerter, status(), sendCommand(), configCommand(), rolecmd.Healthcheck(), rolecmd.Version(), docs())
	return root
}
