package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/alerter"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/role"
)

// docs prints the reference pages that are not of the configuration.
func docs() *cobra.Command {
	cmd := &cobra.Command{Use: "docs", Short: "print reference pages"}
	page := func(use, short string, write func(*cobra.Command, io.Writer) error) {
		cmd.AddCommand(&cobra.Command{Use: use, Short: short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return write(cmd, cmd.OutOrStdout()) }})
	}
	page("errors", "answers to refused requests", func(_ *cobra.Command, w io.Writer) error { return errorsPage(w) })
	page("metrics", "all metrics", func(_ *cobra.Command, w io.Writer) error {
		return role.MetricsReference(w, func(r prometheus.Registerer) { alerter.NewAllMetrics(r) })
	})
	page("cli", "all commands", func(cmd *cobra.Command, w io.Writer) error { return cliPage(w, cmd.Root()) })
	page("openapi", "the admin API as an OpenAPI document (YAML)", func(_ *cobra.Command, w io.Writer) error {
		doc, err := api.Document().YAML()
		if err != nil {
			return err
		}
		_, err = w.Write(doc)
		return err
	})
	return cmd
}

func errorsPage(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Answers to refused requests\n\n" +
		"One table turns every refusal into an answer, over gRPC and over HTTP. A refusal counts in\n" +
		"`penstock_receiver_requests_total` under its reason. This page is printed by `penstock docs errors`.\n\n" +
		"| reason | gRPC | HTTP | client retries | wait asked for | when |\n|---|---|---|---|---|---|\n")
	for _, r := range otlp.Table() {
		retry, wait := "no", "–"
		if r.Retryable {
			retry, wait = "yes", "the client's own back-off"
			if r.RetryAfter > 0 {
				wait = "about " + r.RetryAfter.String()
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s | %s | %s |\n", r.Reason, r.GRPC, r.HTTP, retry, wait, r.When)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cliPage(w io.Writer, root *cobra.Command) error {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var b strings.Builder
	b.WriteString("# Command line\n\nThis page is printed by `penstock docs cli`.\n")
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		c.InitDefaultHelpFlag()
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", c.CommandPath(), c.Short)
		if c.Long != "" && c.Name() != "bash" && c.Name() != "zsh" && c.Name() != "fish" && c.Name() != "powershell" {
			fmt.Fprintf(&b, "\n%s\n", c.Long)
		}
		if c.Runnable() || c.HasAvailableSubCommands() {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", strings.TrimSpace(c.UsageString()))
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	_, err := io.WriteString(w, b.String())
	return err
}
