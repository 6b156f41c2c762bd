//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/penstock-otel/penstock/bench/cost"
)

// Cost is where the CPU time of the process goes, by part.
type Cost struct {
	Part   string  `json:"part"`
	Share  float64 `json:"share"`
	PerRaw float64 `json:"ns_per_raw_byte"`
}

// runCost measures scenarios of one window with a profile of the process within,
// and tells what each part of the way costs.
func runCost(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parseOptions("cost", args, errs)
	if err != nil {
		return err
	}
	if o.duration < 2*time.Second {
		return fmt.Errorf("-duration %s: want 2s or more, a second of it is for the profile", o.duration)
	}
	chosen, err := pickScenarios(o)
	if err != nil {
		return err
	}
	cleanup, err := o.prepare(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	r := newReport(append([]string{"cost"}, args...), o.common)
	for _, s := range chosen {
		found, err := costOf(ctx, o, s, errs)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
		r.add(found)
	}
	r.table(out)
	costTable(out, r.Results)
	return r.save(o.results, errs)
}

func costOf(ctx context.Context, o options, s scenario, errs io.Writer) (out outcome, err error) {
	profiled := make(chan error, 1)
	dir, cleanup, err := tempDir("penstock-cost-")
	if err != nil {
		return out, err
	}
	defer cleanup()
	file := filepath.Join(dir, "cpu.pprof")
	r, err := s.once(ctx, o, func() (*site, error) {
		at, err := s.up(ctx, o)
		if err == nil {
			fmt.Fprintf(errs, "%s: %s warm-up, %s window, with a profile of the process\n", s.name, o.warmup, o.duration)
			go func() {
				if err := wait(ctx, o.warmup+500*time.Millisecond); err != nil {
					profiled <- err
					return
				}
				profiled <- fetchProfile(ctx, at.admin, file, int(o.duration.Seconds())-1)
			}()
		} else {
			profiled <- err
		}
		return at, err
	})
	if failed := <-profiled; err == nil {
		err = failed
	}
	if err != nil {
		return out, err
	}
	parts, err := cost.Of(ctx, file)
	if err != nil {
		return out, err
	}
	for _, p := range parts {
		r.Costs = append(r.Costs, Cost{Part: p.Name, Share: p.Share, PerRaw: p.Share * r.CPU * 1000 / r.RawBytes})
	}
	return outcome{Results: []Result{r}}, nil
}

// fetchProfile writes a CPU profile of so many seconds into a file.
func fetchProfile(ctx context.Context, admin, file string, seconds int) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, seconds), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("profile of %s: %w", admin, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile of %s: %s: %.200s", admin, resp.Status, b)
	}
	return os.WriteFile(file, b, 0o600)
}

// costTable has a column for each result.
func costTable(out io.Writer, results []Result) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer t.Flush()
	fmt.Fprint(t, "part, ns per raw byte\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t", r.Scenario)
	}
	fmt.Fprintln(t)
	for i := range results[0].Costs {
		fmt.Fprintf(t, "%s\t", results[0].Costs[i].Part)
		for _, r := range results {
			fmt.Fprintf(t, "%.3f\t", r.Costs[i].PerRaw)
		}
		fmt.Fprintln(t)
	}
	fmt.Fprint(t, "all\t")
	for _, r := range results {
		fmt.Fprintf(t, "%.3f\t", r.CPU*1000/r.RawBytes)
	}
	fmt.Fprintln(t)
}
