package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

func status() *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "show the whole picture: streams, destinations, processes, disks, ledger, jobs", Args: cobra.NoArgs,
		Long: "Asks the admin port of any process; each answers for the whole queue. Exit code 0: the process is ready; 3: it is\n" +
			"not; 1: no answer. With --check it prints what is wrong, and the code is 3 also when the sums of the ledger do not\n" +
			"add up, or a required consumer is missing, or any running process is not ready. Lines that begin with \"note:\" name\n" +
			"destinations that take nothing and jobs that do not move; data waits for them, and the code stays what it is.",
		Example: "  penstock status\n  penstock status --check\n  penstock status --watch --tenants"}
	check := cmd.Flags().Bool("check", false, "print what is wrong alone, and exit with 3 when something is")
	watch := cmd.Flags().Bool("watch", false, "show it again every 2 s, until Ctrl-C")
	tenants := cmd.Flags().Bool("tenants", false, "with the ledger of each tenant")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		if *check && *watch {
			return &rolecmd.UsageError{Err: errors.New("--check and --watch: give one of them")}
		}
		show := func(w io.Writer) (s api.Status, err error) {
			if err := getJSON(cmd.Context(), addr, "/api/v1/status", &s); err != nil {
				return s, err
			}
			return s, rolecmd.Output(w, format, s, func(w io.Writer) error {
				if *check {
					return checkText(w, s)
				}
				return statusTable(w, s, *tenants)
			})
		}
		if *watch {
			return watchStatus(cmd.Context(), cmd.OutOrStdout(), func(w io.Writer) error { _, err := show(w); return err })
		}
		s, err := show(cmd.OutOrStdout())
		switch {
		case err != nil:
			return err
		case *check && !s.OK:
			return &rolecmd.DegradedError{Err: errors.New(many(len(s.Problems), "problem"))}
		case !s.Ready:
			return &rolecmd.DegradedError{Err: errors.New("not ready")}
		}
		return nil
	})
}

// checkText says what is wrong.
func checkText(w io.Writer, s api.Status) error {
	text := "ok: the sums add up, every required consumer is there, every running process is ready"
	if !s.OK {
		text = strings.Join(s.Problems, "\n")
	}
	for _, note := range notices(s) {
		text += "\nnote: " + note
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// watchEvery is the pace of status --watch.
const watchEvery = 2 * time.Second

// watchStatus shows again and again: on a terminal from its top, elsewhere one
// after another. What cannot be shown is said in its place.
func watchStatus(ctx context.Context, out io.Writer, show func(io.Writer) error) error {
	l := newLive(out)
	for t := time.NewTicker(watchEvery); ; {
		var b strings.Builder
		if err := show(&b); err != nil && ctx.Err() == nil {
			fmt.Fprintf(&b, "%v\n", err)
		}
		text := b.String()
		if l.terminal {
			text = "\x1b[H\x1b[2J" + text
		}
		if ctx.Err() == nil {
			if _, err := io.WriteString(out, text); err != nil {
				return err
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}
