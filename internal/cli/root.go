// Package cli is the command line penstock: every role, and the operator's
// commands.
package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/alerter"
	"github.com/penstock-otel/penstock/internal/broker/local"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/role"
)

// group makes a command that only has commands refuse what is none of them.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &rolecmd.UsageError{Err: fmt.Errorf("unknown command %q for %q; see %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())}
		}
		return cmd.Help()
	}
	return cmd
}

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
	alerts := rolecmd.Role("alerter", "evaluate alerting rules on the metric streams", "", func(ctx context.Context, p role.Process) error {
		p.Alerter = alerter.Make
		return role.Alerter(ctx, p)
	})
	root.AddCommand(up(), gateway, worker, alerts, status(), tapCommand(), group(replayCommand()), group(dlq()), group(destination()), group(ledgerCommand()), group(alertsCommand()), group(auditCommand()), group(rulesCommand()), sendCommand(), group(keysCommand()), group(configCommand()), reloadCommand(), rolecmd.Healthcheck(), rolecmd.Version(), group(docs()))
	complete(root)
	return root
}
