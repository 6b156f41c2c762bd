package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/penstock-otel/penstock/conformance"
)

// run is the command; failed tells whether a MUST or SHOULD did not hold.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (failed bool, _ error) {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return false, nil
	case err != nil:
		return false, err
	case o.list:
		return false, conformance.WriteList(stdout)
	case o.compare:
		return false, compare(stdout, o.compared)
	}
	if o.Config.TLS, err = o.tls.config(); err != nil {
		return false, err
	}
	if o.BackendTLS, err = o.tls.backend(); err != nil {
		return false, err
	}
	if o.metric != "" {
		if o.Undelivered, err = metric(o.metricsURL, o.metric); err != nil {
			return false, err
		}
	}
	if !o.noProgress {
		o.Progress = func(r conformance.Row) { fmt.Fprintf(stderr, "%s %s\n", r.ID, r.Rule) }
	}
	report, err := conformance.Run(ctx, o.Config)
	if err != nil {
		return false, err
	}
	return report.Failed(), write(stdout, o.output, report)
}

func write(w io.Writer, format string, r *conformance.Report) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	case "junit":
		return r.WriteJUnit(w)
	default:
		return r.WriteTable(w)
	}
}

// compare reads reports; each is named by its file.
func compare(w io.Writer, paths []string) error {
	var names []string
	var reports []*conformance.Report
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		r := new(conformance.Report)
		if err := json.Unmarshal(b, r); err != nil {
			return fmt.Errorf("%s: no report in JSON: %w", p, err)
		}
		names = append(names, strings.TrimSuffix(filepath.Base(p), ".json"))
		reports = append(reports, r)
	}
	return conformance.WriteComparison(w, names, reports)
}
