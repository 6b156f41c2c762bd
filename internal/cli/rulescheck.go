package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/alerter/hindsight"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/role"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// rulesVerdict is the answer of rules check.
type rulesVerdict struct {
	Files      int           `json:"files"`
	Groups     int           `json:"groups"`
	Rules      int           `json:"rules"`
	Errors     []ruleProblem `json:"errors"`
	NotChecked string        `json:"not_checked,omitempty"`
	*hindsight.Verdict
}

// ruleProblem is why a file cannot be taken.
type ruleProblem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Group  string `json:"group,omitempty"`
	Rule   string `json:"rule,omitempty"`
	Text   string `json:"text"`

	whole string
}

// needsQueue is what the rules alone do not tell.
const needsQueue = "names that never come, units, windows against the interval of samples, deltas, cost"

func rulesCheck() *cobra.Command {
	cmd := &cobra.Command{Use: "check FILE...", Short: "check rule files, and whether they fit what comes", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeRules,
		Long: "Says everything that is wrong with the files, with its line. With a queue (queue.url) the metrics that were stored\n" +
			"since --since are looked at too: names that never came and what may be meant, thresholds that do not fit the unit,\n" +
			"windows too short for the interval of the samples, deltas that may be swapped (queue.shards above 1), and what each\n" +
			"rule reads. No consumer is disturbed. Exit code 1 when a file cannot be taken, 3 with --strict when there is a\n" +
			"warning.",
		Example: "  penstock rules check rules/*.yaml\n  penstock rules check --strict --queue-url nats://queue:4222 --since -1h rules/*.yaml\n  penstock rules check predefined:cpu -o json"}
	config := rolecmd.Add(cmd)
	since := cmd.Flags().String("since", "-15m", "look at what was stored since this `time`: RFC 3339, or ago")
	offline := cmd.Flags().Bool("offline", false, "do not look at the queue")
	strict := cmd.Flags().Bool("strict", false, "exit code 3 when there is a warning")
	engine := addEngineFlags(cmd)
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := rolecmd.CheckOutput(*output); err != nil {
			return err
		}
		from, until, err := window(*since, "", time.Now())
		if err != nil {
			return err
		}
		o, err := engine.options()
		if err != nil {
			return err
		}
		v := &rulesVerdict{Errors: []ruleProblem{}}
		files, err := v.parse(args)
		if err != nil {
			return err
		}
		p, err := config.Process()
		if err != nil {
			return err
		}
		switch {
		case *offline:
			v.NotChecked = needsQueue + " (--offline)"
		case p.Settings.Queue.Embedded():
			v.NotChecked = needsQueue + " (there is no queue to look at: set queue.url)"
		case len(files) == 0:
			v.NotChecked = needsQueue + " (no file can be taken)"
		}
		if v.NotChecked != "" {
			v.Verdict = hindsight.Static(files)
			if n := p.Settings.Queue.Shards; n > 1 {
				v.Findings = append(v.Findings, hindsight.Finding{Level: hindsight.Note, Text: fmt.Sprintf("queue.shards is %d: deltas of one series may be swapped by 30 s at most, and the earlier one is then lost; which metrics come as deltas is only known with a queue", n)})
			}
		} else {
			live := newLive(cmd.ErrOrStderr())
			p.Log = live
			err := role.ReadQueue(cmd.Context(), p, "rules", func(q queue.Queue, streams []string, log *slog.Logger) (err error) {
				v.Verdict, err = hindsight.Check(cmd.Context(), hindsight.Options{Source: q, Streams: streams, Files: files, From: from, Until: until, Engine: o, Tell: tellReading(live), Logger: log}, p.Settings.Queue.Shards)
				return err
			})
			live.end()
			if err != nil {
				return err
			}
		}
		if err := rolecmd.Output(cmd.OutOrStdout(), *output, v, v.text); err != nil {
			return err
		}
		switch n := v.count(hindsight.Warning); {
		case len(v.Errors) > 0:
			return fmt.Errorf("%s in rule files", many(len(v.Errors), "error"))
		case *strict && n > 0:
			return &rolecmd.DegradedError{Err: errors.New(many(n, "warning") + " about rules")}
		}
		return nil
	}
	return cmd
}

// parse notes what is wrong with files, and returns the others.
func (v *rulesVerdict) parse(names []string) (files []*promrules.File, err error) {
	for _, name := range names {
		f, err := parseRules(name)
		var usage *rolecmd.UsageError
		var problems promrules.Problems
		switch {
		case errors.As(err, &usage):
			return nil, err
		case errors.As(err, &problems):
			for _, p := range problems {
				v.Errors = append(v.Errors, ruleProblem{File: p.File, Line: p.Line, Column: p.Column, Group: p.Group, Rule: p.Rule, Text: p.Text, whole: p.Error()})
			}
			continue
		case err != nil:
			v.Errors = append(v.Errors, ruleProblem{File: name, Text: err.Error(), whole: err.Error()})
			continue
		}
		files = append(files, f)
		groups := map[string]bool{}
		list := f.Rules()
		for _, r := range list {
			groups[r.Group] = true
		}
		v.Files++
		v.Groups += len(groups)
		v.Rules += len(list)
	}
	return files, nil
}

func (v *rulesVerdict) count(level string) (n int) {
	for _, f := range v.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// text is for people.
func (v *rulesVerdict) text(w io.Writer) error {
	var b strings.Builder
	for _, p := range v.Errors {
		fmt.Fprintf(&b, "error: %s\n", p.whole)
	}
	for _, f := range v.Findings {
		b.WriteString(f.Level + ": ")
		if f.File != "" {
			b.WriteString(f.File)
			if f.Line > 0 {
				fmt.Fprintf(&b, ":%d", f.Line)
			}
			fmt.Fprintf(&b, ": %s: ", f.Rule)
		}
		b.WriteString(f.Text + "\n")
	}
	fmt.Fprintf(&b, "%s, %s, %s: %s, %s, %s\n", many(v.Files, "file"), many(v.Groups, "group"), many(v.Rules, "rule"),
		many(len(v.Errors), "error"), many(v.count(hindsight.Warning), "warning"), many(v.count(hindsight.Note), "note"))
	if v.NotChecked != "" {
		fmt.Fprintf(&b, "not checked: %s\n", v.NotChecked)
	}
	if v.Read == nil {
		_, err := io.WriteString(w, b.String())
		return err
	}
	for _, n := range v.Read.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	fmt.Fprintf(&b, "%s came; the rules read %s, and keep %s in memory\n", many(v.Seen, "metric"), count(float64(v.Read.Samples))+" samples of them", count(float64(v.Series))+" series")
	if _, err := io.WriteString(w, b.String()); err != nil || len(v.Costs) == 0 {
		return err
	}
	t := newTable(w)
	t.head("RULE\tSERIES\tSAMPLES AN EVALUATION")
	for i, c := range v.Costs {
		if i == 10 {
			break
		}
		t.row("%s\t%s\t%s", c.Rule, count(float64(c.Series)), count(float64(c.Samples)))
	}
	t.flush()
	return t.err
}
