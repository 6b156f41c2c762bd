// Package page makes the page of a directory of result files: index.md with the
// plots of the newest run of each scenario, as SVG files beside it. It only reads
// what a run has written; equal files give an equal page.
package page

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/penstock-otel/penstock/bench/plot"
)

// Run is the command "bench page".
func Run(args []string, errs io.Writer) error {
	f := flag.NewFlagSet("bench page", flag.ContinueOnError)
	f.SetOutput(errs)
	dir := f.String("results", "bench/results", "directory of result files, in which the page is made")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err := Write(*dir); err != nil {
		return err
	}
	fmt.Fprintln(errs, "wrote", filepath.Join(*dir, "index.md"))
	return nil
}

// Write makes index.md and its plots in a directory of result files. Nothing is
// written when a file cannot be read or drawn.
func Write(dir string) error {
	runs, others, err := read(dir)
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return fmt.Errorf("no result file of a run in %s: want what go run ./bench run -results %s writes", dir, dir)
	}
	p := &page{plots: map[string][]byte{}}
	p.say("# Plots of the results\n\nMade by `go run ./bench page` from the result files in this directory; what was measured and how stands in [README.md](README.md) and [../README.md](../README.md). Of each scenario the newest run is shown.\n")
	p.compared(runs)
	p.scenarios(runs)
	p.turns(runs)
	p.latencies(runs)
	p.matrix(runs)
	p.targets(runs)
	if len(others) > 0 {
		p.say("\n## Older files\n\nOf before the scenarios had letters, not drawn: %s.\n", strings.Join(links(others), ", "))
	}
	if err := errors.Join(p.errs...); err != nil {
		return err
	}
	for name, svg := range p.plots {
		if err := os.WriteFile(filepath.Join(dir, name), svg, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "index.md"), []byte(p.text.String()), 0o644)
}

// page is under construction.
type page struct {
	text  strings.Builder
	plots map[string][]byte // by file name
	errs  []error
}

func (p *page) say(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

// draw shows a plot.
func (p *page) draw(name, title string, plotted interface{ SVG() ([]byte, error) }) {
	svg, err := plotted.SVG()
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	p.plots[name] = svg
	p.say("\n![%s](%s)\n", title, name)
}

// bars draws one figure of results by group and series.
func (p *page) bars(name, title, label string, groups, series []string, value func(group, series string) float64) {
	b := plot.Bars{Title: title, Label: label, Groups: groups}
	for _, s := range series {
		v := plot.Values{Name: s}
		for _, g := range groups {
			v.Values = append(v.Values, value(g, s))
		}
		b.Series = append(b.Series, v)
	}
	p.draw(name, title, b)
}

// from tells where figures come from.
func (p *page) from(r *run) {
	p.say("\n`%s`, commit %s, %s, %d cores: [%s](%s)\n", r.Command, r.Commit, r.Machine.CPU, r.Machine.Cores, r.file, r.file)
}

func links(files []string) (out []string) {
	for _, f := range files {
		out = append(out, fmt.Sprintf("[%s](%s)", f, f))
	}
	return out
}
