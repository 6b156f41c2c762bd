package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/janitor"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/role"
)

func status() *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "show what a running process sees: state, totals, queue, destinations", Args: cobra.NoArgs,
		Long: "Asks the admin port. Exit code 0: ready; 3: not ready; 1: no answer."}
	address := rolecmd.AdminFlag(cmd)
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := rolecmd.CheckOutput(*output); err != nil {
			return err
		}
		addr, err := address()
		if err != nil {
			return err
		}
		body, err := admin.Get(cmd.Context(), addr, "/api/v1/status")
		if err != nil {
			return err
		}
		var s admin.Status
		if err := json.Unmarshal(body, &s); err != nil {
			return fmt.Errorf("the answer of %s is not the status of a Penstock: %w", addr, err)
		}
		if err := rolecmd.Output(cmd.OutOrStdout(), *output, s, func(w io.Writer) error { return statusTable(w, s) }); err != nil {
			return err
		}
		if !s.Ready {
			return &rolecmd.DegradedError{Err: errors.New("not ready")}
		}
		return nil
	}
	return cmd
}

// statusTable writes a status for people.
func statusTable(w io.Writer, s admin.Status) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) } //nolint:errcheck // Flush tells
	row("%s\t%s\tup %s\t%s", s.Name, s.Phase, time.Duration(s.UptimeSeconds*float64(time.Second)).Round(time.Second), s.Build.Version)
	for _, c := range s.Checks {
		if c.Error != "" {
			row("  not ready\t%s\t%s", c.Name, c.Error)
		}
	}
	for _, section := range s.Sections {
		switch {
		case section.Error != "":
			row("\n%s\t%s", strings.ToUpper(section.Name), section.Error)
		case section.Name == "totals":
			if err := totalsTable(row, section.Data); err != nil {
				return err
			}
		case section.Name == "alerter":
			row("\nno alerting rules are configured")
		case section.Name == "queue":
			if err := queueTable(row, section.Data); err != nil {
				return err
			}
		case section.Name == "retention":
			if err := retentionTable(row, section.Data); err != nil {
				return err
			}
		default:
			row("\n%s\t%s", strings.ToUpper(section.Name), section.Data)
		}
	}
	return t.Flush()
}

func totalsTable(row func(string, ...any), data json.RawMessage) error {
	var totals []role.Totals
	if err := json.Unmarshal(data, &totals); err != nil {
		return fmt.Errorf("read the totals: %w", err)
	}
	row("\nITEMS SINCE START\tACCEPTED\tREFUSED\tEXPORTED\tREJECTED\tDEAD-LETTERED")
	for _, x := range totals {
		row("%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f", x.Signal, x.Accepted, x.Refused, x.Exported, x.Rejected, x.DeadLettered)
	}
	return nil
}

func queueTable(row func(string, ...any), data json.RawMessage) error {
	var v queuewatch.View
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("read the state of the queue: %w", err)
	}
	if v.Error != "" {
		row("\nQUEUE\tlast look failed: %s", v.Error)
	}
	row("\nSTREAM (%s ago)\tMESSAGES\tBYTES\tLIMIT\tUSED", time.Since(v.At).Round(100*time.Millisecond))
	for _, s := range v.Streams {
		used := 0.0
		if s.MaxBytes > 0 {
			used = 100 * float64(s.Bytes) / float64(s.MaxBytes)
		}
		row("%s\t%d\t%s\t%s\t%.1f %%", s.Name, s.Messages, size(float64(s.Bytes)), size(float64(s.MaxBytes)), used)
	}
	row("\nDESTINATION\tSTREAM\tMESSAGES WAITING\tUNSETTLED\tREDELIVERED\tOLDEST")
	for _, l := range v.Lags {
		row("%s\t%s\t%d\t%d\t%d\t%s", l.Destination, l.Stream, l.Pending, l.InFlight, l.Redelivered,
			time.Duration(l.OldestAge*float64(time.Second)).Round(time.Millisecond))
	}
	return nil
}

func retentionTable(row func(string, ...any), data json.RawMessage) error {
	var v janitor.View
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("read the state of the janitor: %w", err)
	}
	if v.Error != "" {
		row("\nRETENTION\tlast round failed: %s", v.Error)
	}
	if !v.Leader {
		if v.Error == "" {
			row("\nRETENTION\tthe janitor of another process works")
		}
		return nil
	}
	row("\nSTREAM\tEXPORTED UP TO\tWAITS FOR\tKEPT\t")
	for _, s := range v.Streams {
		note := ""
		switch {
		case len(s.Missing) > 0:
			note = "not purged: consumers are missing"
		case s.Blocked:
			note = "nearly full of what is not exported"
		case s.Shortened:
			note = "less than retention.replay_window: short of space"
		}
		row("%s\t%d\t%s\t%s\t%s", s.Name, s.Floor, s.HeldBy, time.Duration(s.Kept*float64(time.Second)).Round(time.Second), note)
	}
	return nil
}
