// Package rolecmd is what all command lines of Penstock share: the flags of the
// configuration, the commands that run a role, exit codes. It does not link the
// embedded server.
package rolecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/role"
	"github.com/penstock-otel/penstock/internal/settings"
)

// Exit codes of every command.
const (
	ExitOK       = 0
	ExitFailed   = 1
	ExitUsage    = 2
	ExitDegraded = 3
)

// UsageError is a mistake on the command line or in the configuration.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// DegradedError is an answer that shows trouble: the command worked, the thing
// asked about does not.
type DegradedError struct{ Err error }

func (e *DegradedError) Error() string { return e.Err.Error() }
func (e *DegradedError) Unwrap() error { return e.Err }

// flagKeys are the flags that have a key of the configuration.
var flagKeys = []struct{ flag, key, help string }{
	{"queue-url", "queue.url", "external NATS servers, comma separated"},
	{"queue-dir", "queue.dir", "directory of the embedded queue"},
	{"queue-listen", "queue.listen", "address on which the embedded queue takes workers"},
	{"grpc-listen", "gateway.grpc.listen", "address of OTLP/gRPC"},
	{"http-listen", "gateway.http.listen", "address of OTLP/HTTP"},
	{"admin-listen", "admin.listen", "address of health, metrics and status"},
	{"log-level", "log.level", "debug, info, warn or error"},
	{"log-format", "log.format", "json or text"},
}

// Flags are the configuration flags of a command.
type Flags struct {
	file string
	sets []string
	cmd  *cobra.Command
}

// Add gives the command the configuration flags.
func Add(cmd *cobra.Command) *Flags {
	f := &Flags{cmd: cmd}
	fs := cmd.Flags()
	fs.StringVarP(&f.file, "config", "c", "", "configuration file, YAML or TOML (default: $"+settings.EnvFile+")")
	fs.StringArrayVar(&f.sets, "set", nil, "`key=value` of the configuration, again for more")
	for _, k := range flagKeys {
		fs.String(k.flag, "", k.help+" ("+k.key+")")
	}
	return f
}

// Source is where the command's settings come from. Flags that name a key win.
func (f *Flags) Source() settings.Source {
	src := settings.Source{File: f.file, Sets: f.sets, Flags: map[string]string{}}
	for _, k := range flagKeys {
		if fl := f.cmd.Flags().Lookup(k.flag); fl != nil && fl.Changed {
			src.Flags[k.key] = fl.Value.String()
		}
	}
	return src
}

// Process loads the settings; mistakes in them are usage errors.
func (f *Flags) Process() (role.Process, error) {
	return Load(f.Source())
}

// Load is a process with the settings of a source; mistakes in them are usage
// errors.
func Load(src settings.Source) (role.Process, error) {
	read := func() (*settings.Settings, *config.Loaded, error) { return settings.Load(src) }
	s, loaded, err := read()
	if err != nil {
		return role.Process{}, &UsageError{fmt.Errorf("configuration:\n%w", err)}
	}
	return role.Process{Settings: s, Loaded: loaded, Read: read}, nil
}

// Role is a command that runs a role until a signal.
func Role(use, short, long string, run func(context.Context, role.Process) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs}
	flags := Add(cmd)
	check := cmd.Flags().Bool("check", false, "check the configuration and exit")
	show := cmd.Flags().Bool("print-config", false, "print the effective configuration, secrets redacted, and exit")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := flags.Process()
		switch {
		case err != nil:
			return err
		case *show:
			return p.Loaded.Print(cmd.OutOrStdout(), "yaml")
		case *check:
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "configuration is valid")
			return err
		}
		p.Out, p.Log = cmd.OutOrStdout(), cmd.ErrOrStderr()
		return run(cmd.Context(), p)
	}
	return cmd
}

// Main runs a command line and returns the exit code.
func Main(cmd *cobra.Command, args []string, out, errOut io.Writer) int {
	ctx, stop := app.SignalContext(context.Background())
	defer stop()
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(errOut)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.Version = app.Version().String()
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &UsageError{err} })
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	fmt.Fprintln(errOut, "error:", err) //nolint:errcheck // nowhere else to say it
	var usage *UsageError
	var degraded *DegradedError
	switch {
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"), strings.Contains(err.Error(), " arg(s), "):
		return ExitUsage
	case errors.As(err, &degraded):
		return ExitDegraded
	}
	return ExitFailed
}
