package rolecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/app"
)

// AdminFlag gives a command the flag that names the admin port of a process,
// with the configured one as default.
func AdminFlag(cmd *cobra.Command) func() (string, error) {
	addr := cmd.Flags().String("admin", "", "`host:port` of the admin port (default: admin.listen of the configuration)")
	flags := Add(cmd)
	return func() (string, error) {
		if *addr != "" {
			return *addr, nil
		}
		p, err := flags.Process()
		if err != nil {
			return "", err
		}
		return p.Settings.Admin.Listen, nil
	}
}

// Healthcheck asks a process whether it is ready: exit code 0, or 3 when not.
func Healthcheck() *cobra.Command {
	cmd := &cobra.Command{Use: "healthcheck", Short: "ask a running process whether it is ready", Args: cobra.NoArgs,
		Long: "Asks /readyz of the admin port. Exit code 0: ready; 3: not ready; 1: no answer. For container health checks."}
	address := AdminFlag(cmd)
	live := cmd.Flags().Bool("live", false, "ask only whether the process lives (/livez)")
	timeout := cmd.Flags().Duration("timeout", 5*time.Second, "wait for the answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		addr, err := address()
		if err != nil {
			return err
		}
		path := "/readyz"
		if *live {
			path = "/livez"
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		body, err := admin.Get(ctx, addr, path)
		if err != nil {
			return Answer(err)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(string(body)))
		return err
	}
	return cmd
}

// Version prints what binary this is.
func Version() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "print version, commit and Go version", Args: cobra.NoArgs}
	format := OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return Output(cmd.OutOrStdout(), *format, app.Version(), func(w io.Writer) error {
			_, err := fmt.Fprintln(w, app.Version().String())
			return err
		})
	}
	return cmd
}

// OutputFlag gives a reading command its -o flag.
func OutputFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("output", "o", "table", "table, json or yaml")
}

// Output prints v as JSON or YAML, or calls table.
func Output(w io.Writer, format string, v any, table func(io.Writer) error) error {
	switch format {
	case "table":
		return table(w)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	case "yaml": // by way of JSON, so that both have the same names
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		var plain any
		if err := yaml.Unmarshal(b, &plain); err != nil {
			return err
		}
		return yaml.NewEncoder(w).Encode(plain)
	}
	return CheckOutput(format)
}

// CheckOutput refuses a format that Output does not know, before anything is done.
func CheckOutput(format string) error {
	switch format {
	case "table", "json", "yaml":
		return nil
	}
	return &UsageError{fmt.Errorf("output is %q: want table, json or yaml", format)}
}

// Answer turns the answer of an admin port that is not 2xx into a degraded one.
func Answer(err error) error {
	var status *admin.StatusError
	if errors.As(err, &status) {
		return &DegradedError{err}
	}
	return err
}
