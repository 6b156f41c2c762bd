package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/tap"
)

func tapCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "tap [traces|metrics|logs]...", Short: "watch telemetry pass through the queue", Args: cobra.ArbitraryArgs, ValidArgs: []string{"traces", "metrics", "logs"},
		Long: "Shows spans, points and log records as they are stored, decoded and filtered, until Ctrl-C. No consumer is disturbed.\n" +
			"A tap that is too slow leaves some out and says how many.",
		Example: "  penstock tap traces --service checkout\n  penstock tap logs --where k8s.namespace.name=shop --since -10m --limit 100\n  penstock tap metrics -o json"}
	fs := cmd.Flags()
	services := fs.StringSlice("service", nil, "values of service.name, again for more")
	tenants := fs.StringSlice("tenant", nil, "tenants, again for more")
	where := fs.StringArray("where", nil, "a `condition` on attributes of the resource: key, key=value, key=a|b, key=~regexp; again for more, all must hold")
	attributes := fs.StringArray("attribute", nil, "a `condition` on attributes of the span, point or log record")
	since := fs.String("since", "", "begin with what was stored at this `time`: RFC 3339, or ago, such as -10m (default: with what comes)")
	oldest := fs.Bool("oldest", false, "begin with the oldest that is kept")
	once := fs.Bool("once", false, "end with what is stored now")
	limit := fs.Int("limit", 0, "end after so many items (default: none)")
	full := fs.Bool("full", false, "with -o json: each item as a whole OTLP JSON request too")
	output := fs.StringP("output", "o", "line", "line or json")
	address := rolecmd.AdminFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *output != "line" && *output != "json" {
			return &rolecmd.UsageError{Err: fmt.Errorf("output is %q: want line or json", *output)}
		}
		q := url.Values{"signal": args, "service": *services, "tenant": *tenants, "where": *where, "attribute": *attributes}
		at, err := parseWhen(*since, time.Now())
		if err != nil {
			return &rolecmd.UsageError{Err: fmt.Errorf("--since: %w", err)}
		}
		if !at.IsZero() {
			q.Set("since", at.UTC().Format(time.RFC3339Nano))
		}
		for name, set := range map[string]bool{"oldest": *oldest, "once": *once, "full": *full && *output == "json"} {
			if set {
				q.Set(name, "true")
			}
		}
		if *limit > 0 {
			q.Set("limit", strconv.Itoa(*limit))
		}
		addr, err := address()
		if err != nil {
			return err
		}
		return showTap(cmd, addr, "/api/v1/tap?"+q.Encode(), *output)
	}
	return cmd
}

func showTap(cmd *cobra.Command, addr, path, format string) error {
	width := 0 // a file is not cut
	if f, ok := cmd.OutOrStdout().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			width = w
		}
	}
	err := admin.Stream(cmd.Context(), addr, path, func(line []byte) error {
		var i tap.Item
		if err := json.Unmarshal(line, &i); err != nil {
			return fmt.Errorf("the answer of %s is not that of this version of Penstock: %w", addr, err)
		}
		if i.Kind == api.KindError {
			return errors.New(i.Problem)
		}
		if format == "json" { // as it came: it is made for terminals too
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
			return err
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), i.Line(width))
		return err
	})
	var status *admin.StatusError
	switch {
	case errors.As(err, &status) && (status.Code == 422 || status.Code == 400):
		return &rolecmd.UsageError{Err: err}
	case errors.Is(err, context.Canceled):
		return nil
	}
	return rolecmd.Explain(err)
}
