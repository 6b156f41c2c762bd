package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/settings"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "validate, print and describe the configuration"}
	cmd.AddCommand(configValidate(), configPrint(), configReference(), configSchema())
	return cmd
}

func configValidate() *cobra.Command {
	cmd := &cobra.Command{Use: "validate [FILE]", Short: "check a configuration; connects to nothing", Args: cobra.MaximumNArgs(1)}
	flags := rolecmd.Add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		src := flags.Source()
		if len(args) == 1 {
			src.File = args[0]
		}
		s, loaded, err := settings.Load(src)
		if err != nil {
			return &rolecmd.UsageError{Err: fmt.Errorf("configuration:\n%w", err)}
		}
		for _, stranger := range s.Strangers() {
			if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: no destination of that name is configured here; data that is bound to it alone goes nowhere, unless another worker has it\n", stranger); err != nil {
				return err
			}
		}
		destinations := fmt.Sprintf("%d destination(s)", len(s.Destinations))
		if len(s.Destinations) == 0 {
			destinations = "no destination: a debug summary"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "configuration is valid (%s, hash %s)\n", destinations, loaded.Hash())
		return err
	}
	return cmd
}

func configPrint() *cobra.Command {
	cmd := &cobra.Command{Use: "print", Short: "print the effective configuration, secrets redacted", Args: cobra.NoArgs}
	flags := rolecmd.Add(cmd)
	format := cmd.Flags().StringP("output", "o", "yaml", "yaml or json")
	defaults := cmd.Flags().Bool("defaults", false, "print the defaults instead")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *format != "yaml" && *format != "json" {
			return &rolecmd.UsageError{Err: fmt.Errorf("output is %q: want yaml or json", *format)}
		}
		if *defaults {
			d := settings.Default()
			return config.Print(cmd.OutOrStdout(), &d, *format)
		}
		p, err := flags.Process()
		if err != nil {
			return err
		}
		return p.Loaded.Print(cmd.OutOrStdout(), *format)
	}
	return cmd
}

func configReference() *cobra.Command {
	return &cobra.Command{Use: "reference", Short: "print the reference of all keys as Markdown", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := settings.Default()
			if _, err := fmt.Fprint(cmd.OutOrStdout(), referenceIntro); err != nil {
				return err
			}
			return config.Reference(cmd.OutOrStdout(), &d, "All keys")
		}}
}

func configSchema() *cobra.Command {
	return &cobra.Command{Use: "schema", Short: "print the JSON Schema of the configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := settings.Default()
			b, err := config.Schema(&d)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
			return err
		}}
}

// referenceIntro is what stands before the keys.
const referenceIntro = `# Configuration

One file for all roles, YAML or TOML, named by --config or PENSTOCK_CONFIG. Each key may also be set by the environment
(PENSTOCK_ and the key in capitals, dots as underscores) and on the command line (--set key=value). Flags win over the
environment, the environment over the file, the file over the defaults. Unknown keys and variables are errors.
This page is printed by penstock config reference; penstock config validate FILE checks a file, penstock config print
shows what is in effect.

Secrets are referred to rather than written, and never printed:

    destinations:
      - name: backend
        protocol: grpc
        endpoints: ["tempo.example:4317"]
        headers:
          - {name: x-api-key, value: "${env:BACKEND_KEY}"}
          - {name: authorization, value: "Bearer ${file:/run/secrets/token}"}

`
