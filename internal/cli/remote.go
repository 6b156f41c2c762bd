package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

// getJSON asks the admin API of a process.
func getJSON(ctx context.Context, addr, path string, into any) error {
	return askJSON(ctx, http.MethodGet, addr, path, nil, into)
}

// askJSON asks, with a body unless it is nil, and reads the answer into into
// unless that is nil. What the process calls invalid is a usage error.
func askJSON(ctx context.Context, method, addr, path string, body, into any) error {
	answer, err := admin.Ask(ctx, method, addr, path, body)
	var status *admin.StatusError
	if errors.As(err, &status) && (status.Code == http.StatusUnprocessableEntity || status.Code == http.StatusBadRequest) {
		return &rolecmd.UsageError{Err: err}
	}
	if err != nil || into == nil {
		return rolecmd.Explain(err)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the answer of %s to %s is not that of this version of Penstock: %w", addr, path, err)
	}
	return nil
}

// remote is a command that talks to the admin port of a process: it has --admin
// and -o, and run gets the address and the format.
func remote(cmd *cobra.Command, run func(cmd *cobra.Command, addr, format string, args []string) error) *cobra.Command {
	address := rolecmd.AdminFlag(cmd)
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := rolecmd.CheckOutput(*output); err != nil {
			return err
		}
		addr, err := address()
		if err != nil {
			return err
		}
		return run(cmd, addr, *output, args)
	}
	return cmd
}
