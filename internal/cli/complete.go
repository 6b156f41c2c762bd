package cli

import (
	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/deadletter"
)

// choices are the values of flags that take one of a few, for shells.
var choices = map[string][]string{
	"output": {"table", "json", "yaml"}, "signal": {"traces", "metrics", "logs"},
	"outcome": {"done", "failed", "refused"},
	"reason":  deadletter.Reasons(), "protocol": {"grpc", "http", "file"},
	"compression": {"none", "gzip", "zstd", "snappy"}, "log-format": {"json", "text"}, "log-level": {"debug", "info", "warn", "error"},
}

// complete tells shells what may stand where, so that they do not offer files.
func complete(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 && cmd.Name() != "validate" {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for name, values := range choices {
		if cmd.Flags().Lookup(name) == nil {
			continue
		}
		switch {
		case (cmd.Name() == "tap" || cmd.Name() == "watch") && name == "output":
			values = []string{"line", "json"}
		case cmd.Name() == "send" && name == "protocol":
			values = []string{"grpc", "http"}
		}
		if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic("BUG: " + err.Error()) // the flag is there, and new
		}
	}
	for _, c := range cmd.Commands() {
		complete(c)
	}
}
