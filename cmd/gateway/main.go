// Command gateway takes OTLP and answers when it is durable in the queue.
package main

import (
	"context"
	"os"

	"github.com/penstock-otel/penstock/internal/broker/local"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/role"
)

func main() {
	cmd := rolecmd.Role("gateway", "take OTLP and answer when it is durable", "", func(ctx context.Context, p role.Process) error {
		p.Server = local.Start
		return role.Gateway(ctx, p)
	})
	cmd.AddCommand(rolecmd.Healthcheck(), rolecmd.Version())
	os.Exit(rolecmd.Main(cmd, os.Args[1:], os.Stdout, os.Stderr))
}
