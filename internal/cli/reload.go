package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/reload"
)

func reloadCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "reload", Short: "have a process read its configuration again", Args: cobra.NoArgs,
		Long: "The process reads the sources again that it was started with: file, environment, flags. If all of it is valid, what\n" +
			"can change while it runs does, and what cannot is named; else nothing changes, and every problem is printed with its\n" +
			"line: exit code 1. The same as SIGHUP, or POST /-/reload of the admin port.",
		Example: "  penstock reload\n  penstock reload --admin worker-0:8080 -o json"}
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		body, err := admin.Ask(cmd.Context(), http.MethodPost, addr, strings.TrimPrefix(reload.Route, "POST "), nil)
		var status *admin.StatusError
		if err != nil && !errors.As(err, &status) {
			return err
		}
		if status != nil {
			body = []byte(status.Body)
		}
		var a reload.Answer
		if wrong := json.Unmarshal(body, &a); wrong != nil || a.Outcome == "" {
			if status != nil {
				return err // a refusal, but not of the configuration
			}
			return fmt.Errorf("the answer of %s is not that of this version of Penstock", addr)
		}
		if err := rolecmd.Output(cmd.OutOrStdout(), format, a, func(w io.Writer) error { return reloadTable(w, a) }); err != nil {
			return err
		}
		if a.Outcome == reload.Refused {
			return errors.New("the configuration was refused: what ran before runs on")
		}
		return nil
	})
}

// reloadTable says how a reload ended.
func reloadTable(w io.Writer, a reload.Answer) error {
	var b strings.Builder
	list := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "%s\n  %s\n", title, strings.Join(lines, "\n  "))
		}
	}
	switch a.Outcome {
	case reload.Refused:
		b.WriteString(a.Text() + "\n")
	case reload.Unchanged:
		b.WriteString("nothing differs from what runs\n")
	}
	list("changed, and in effect:", a.Applied)
	list("changed, and waiting for a restart:", a.Waiting)
	fmt.Fprintf(&b, "configuration %s runs\n", a.Hash)
	_, err := io.WriteString(w, b.String())
	return err
}
