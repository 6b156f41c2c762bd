package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/pkg/alerts/rules"
)

func rulesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "rules", Short: "check, test and try alerting rules",
		Long: "FILE is a rule file of Prometheus, a file of the short form, or predefined:NAME for one of those that come with\n" +
			"Penstock: " + predefinedNames() + "."}
	cmd.AddCommand(rulesCheck(), rulesTest(), rulesTry(), rulesPrint())
	return cmd
}

func predefinedNames() string {
	var names []string
	for _, s := range rules.Predefined() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// completeRules offers the predefined sets, and files.
func completeRules(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var list []string
	for _, s := range rules.Predefined() {
		list = append(list, s.File()+"\t"+s.About)
	}
	return list, cobra.ShellCompDirectiveDefault
}

// parseRules reads a rule file by its name on the command line.
func parseRules(name string) (*promrules.File, error) {
	switch set, ok, err := rules.Find(name); {
	case err != nil:
		return nil, &rolecmd.UsageError{Err: err}
	case ok:
		return promrules.Parse(set.File(), set.Text)
	}
	return promrules.ParseFile(name)
}

// allRules reads files of which each has to be right.
func allRules(names []string) (files []*promrules.File, err error) {
	for _, name := range names {
		f, bad := parseRules(name)
		if bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		files = append(files, f)
	}
	return files, err
}

func rulesPrint() *cobra.Command {
	return &cobra.Command{Use: "print FILE...", Short: "print rule files in the form of Prometheus", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeRules,
		Long:    "Files of the short form come out as the ordinary rule files that are made of them.",
		Example: "  penstock rules print predefined:cpu\n  penstock rules print shop.yaml > prometheus-rules.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := allRules(args)
			if err != nil {
				return err
			}
			for i, f := range files {
				if i > 0 {
					if _, err := io.WriteString(cmd.OutOrStdout(), "---\n"); err != nil {
						return err
					}
				}
				if _, err := cmd.OutOrStdout().Write(f.Text()); err != nil {
					return err
				}
			}
			return nil
		}}
}

// engineFlags are the flags of commands that evaluate.
type engineFlags struct {
	promote   []string
	maxSeries int
}

func addEngineFlags(cmd *cobra.Command) *engineFlags {
	f := &engineFlags{}
	cmd.Flags().StringSliceVar(&f.promote, "promote", []string{"service.name", "service.namespace", "service.instance.id", "k8s.namespace.name"}, "attributes of the resource that become labels")
	cmd.Flags().IntVar(&f.maxSeries, "max-series", 300_000, "series that a tenant may have at a time")
	return f
}

func (f *engineFlags) options() (promrules.Options, error) {
	if f.maxSeries <= 0 {
		return promrules.Options{}, &rolecmd.UsageError{Err: fmt.Errorf("--max-series is %d: want at least 1", f.maxSeries)}
	}
	return promrules.Options{PromoteResourceAttributes: f.promote, MaxSeries: f.maxSeries}, nil
}

// window reads --since and --until.
func window(since, until string, now time.Time) (from, to time.Time, err error) {
	if from, err = parseWhen(since, now); err != nil {
		return from, to, &rolecmd.UsageError{Err: fmt.Errorf("--since: %w", err)}
	}
	if to, err = parseWhen(until, now); err != nil {
		return from, to, &rolecmd.UsageError{Err: fmt.Errorf("--until: %w", err)}
	}
	if to.IsZero() || to.After(now) {
		to = now
	}
	if !from.Before(to) {
		return from, to, &rolecmd.UsageError{Err: fmt.Errorf("--since is %s, and not before %s", from.Format(time.RFC3339), to.Format(time.RFC3339))}
	}
	return from, to, nil
}
