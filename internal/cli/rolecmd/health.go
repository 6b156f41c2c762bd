package rolecmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/settings"
)

// AdminFlag gives a command the flags that name the admin port of a process, with
// the configured one as default, and say who asks. What it returns gives the
// address, and has the command's context carry the rest to package admin.
func AdminFlag(cmd *cobra.Command) func() (string, error) {
	addr := cmd.Flags().String("admin", "", "`host:port` of the admin port, or its URL (default: admin.listen of the configuration)")
	access := AccessFlags(cmd)
	flags := Add(cmd)
	return func() (string, error) {
		a, err := access()
		if err != nil {
			return "", err
		}
		at, speaksTLS := *addr, a.TLS != (config.TLSClient{})
		if at == "" {
			p, err := flags.Process()
			if err != nil {
				return "", err
			}
			at, speaksTLS = p.Settings.Admin.Listen, speaksTLS || p.Settings.Admin.TLS.Enabled()
		}
		cmd.SetContext(admin.WithAccess(cmd.Context(), a))
		return admin.URL(at, speaksTLS), nil
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
			return Answer(Explain(err))
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

// toHTTPS is what Go's server answers to plain HTTP on a port that speaks TLS.
const toHTTPS = "HTTP request to an HTTPS server"

// Explain adds to a refusal how to say who asks, and by which protocol.
func Explain(err error) error {
	var status *admin.StatusError
	if !errors.As(err, &status) {
		return err
	}
	switch status.Code {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w; bring an API key or a token by $%s or --token-file, or a certificate by --cert-file and --key-file", err, settings.EnvToken)
	case http.StatusBadRequest:
		if u, bad := url.Parse(status.URL); bad == nil && u.Scheme == "http" && strings.Contains(status.Body, toHTTPS) {
			return fmt.Errorf("%w Say --admin https://%s, and --ca-file where its authority is your own", err, u.Host)
		}
	case http.StatusForbidden:
		return fmt.Errorf("%w ($%s, --token-file, --cert-file)", err, settings.EnvToken)
	}
	return err
}

// Answer turns the answer of an admin port that is not 2xx into a degraded one.
func Answer(err error) error {
	var status *admin.StatusError
	if errors.As(err, &status) {
		return &DegradedError{err}
	}
	return err
}
