//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/penstock-otel/penstock/bench/load"
)

// Replay is what a replay at its default rate does to live traffic.
type Replay struct {
	Rate    float64      `json:"live_items_per_second"`
	Windows []ReplayPair `json:"windows"`
	// Ratio is the median over the windows of P99 with a replay to that without.
	Ratio    float64 `json:"p99_ratio_median"`
	Replayed uint64  `json:"replayed_items"` // in all windows
}

// ReplayPair is one window without and one with a replay, side by side in time.
type ReplayPair struct {
	Alone  load.Result `json:"alone"`
	Beside load.Result `json:"beside_replay"`
	// Ended: the replay was over before the window, so that Beside is in part alone.
	Ended bool `json:"replay_ended_before,omitempty"`
}

type replayOptions struct {
	common
	rate         float64
	pairs        int
	window, fill time.Duration
}

// runReplay measures the latency of live requests in turns, alone and while a
// replay of what is stored runs at its default rate.
func runReplay(ctx context.Context, args []string, out, errs io.Writer) error {
	var o replayOptions
	f := o.flagSet("replay", errs)
	f.Float64Var(&o.rate, "rate", 60_000, "live spans a second, 100 a request")
	f.IntVar(&o.pairs, "pairs", 7, "windows of each kind")
	f.DurationVar(&o.window, "window", 6*time.Second, "length of a window")
	f.DurationVar(&o.fill, "fill", 5*time.Second, "load as fast as possible before, which is what is replayed")
	if err := parse(f, args); err != nil {
		return err
	}
	cleanup, err := o.prepare(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	m, err := measureReplay(ctx, o, errs)
	if err != nil {
		return err
	}
	r := newReport(append([]string{"replay"}, args...), o.common)
	r.Replay = &m
	fmt.Fprintf(out, "live %.0f spans/s: p99 beside a replay is %.2f of that without (median of %d); %d items replayed\n", m.Rate, m.Ratio, len(m.Windows), m.Replayed)
	return r.save(o.results, errs)
}

func measureReplay(ctx context.Context, o replayOptions, errs io.Writer) (r Replay, err error) {
	r.Rate = o.rate
	s, err := build(ctx, o.common, false, false, "", penstock("", ""))
	if err != nil {
		return r, err
	}
	defer s.clear()
	admin, up := s.admin, s.up
	live := func(window time.Duration) (load.Result, error) { return s.live(ctx, o.rate, window, "") }
	// What is replayed: more than a window takes at the default rate.
	if _, err := s.live(ctx, 0, o.fill, ""); err != nil {
		return r, fmt.Errorf("%w\n%s", err, up.tail())
	}
	to := time.Now()
	for i := range o.pairs {
		var p ReplayPair
		beside := func() error {
			id := "bench-" + strconv.Itoa(i)
			if _, err := ask(ctx, http.MethodPost, admin, "/api/v1/replay", map[string]any{"id": id, "destination": "bench", "to": to}); err != nil {
				return err
			}
			g, err := live(o.window)
			p.Beside = g
			if err != nil {
				return err
			}
			j, err := ask(ctx, http.MethodPost, admin, "/api/v1/replay/"+id+"/cancel", nil)
			if errors.Is(err, errConflict) { // it has ended
				p.Ended = true
				j, err = ask(ctx, http.MethodGet, admin, "/api/v1/replay/"+id, nil)
			}
			r.Replayed += j.Progress.Done.Items
			return err
		}
		alone := func() (err error) {
			p.Alone, err = live(o.window)
			return err
		}
		turns := []func() error{alone, beside}
		if i%2 == 1 { // in turns, so that what the machine does besides hits both
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return r, fmt.Errorf("%w\n%s", err, up.tail())
			}
		}
		fmt.Fprintf(errs, "p99 %.1f ms alone, %.1f ms beside a replay\n", p.Alone.Latency.P99, p.Beside.Latency.P99)
		if p.Ended {
			fmt.Fprintln(errs, "the replay was over before its window was: give it more by -fill")
		}
		r.Windows = append(r.Windows, p)
	}
	if r.Replayed == 0 {
		return r, errors.New("nothing was replayed: the figures compare nothing")
	}
	var ratios []float64
	for _, p := range r.Windows {
		ratios = append(ratios, p.Beside.Latency.P99/p.Alone.Latency.P99)
	}
	slices.Sort(ratios)
	r.Ratio = ratios[len(ratios)/2]
	return r, s.stop()
}

// Live traffic: items a request, and how many clients share the rate.
const (
	liveItems   = 100
	liveClients = 24
)

// live is load on a schedule, or without a rate as fast as possible, measured
// after a second. An empty tenant is none.
func (s *site) live(ctx context.Context, rate float64, window time.Duration, tenant string) (load.Result, error) {
	l := kind("traces", liveItems, 4, liveClients)
	l.Rate, l.Tenant = rate, tenant
	gen, err := s.generate(l)
	if err != nil {
		return load.Result{}, err
	}
	err = wait(ctx, time.Second)
	if err == nil {
		_, err = io.WriteString(gen.in, "mark\n")
	}
	if err == nil {
		err = wait(ctx, window)
	}
	if err == nil {
		_, err = io.WriteString(gen.in, "end\n")
	}
	g, ended := s.finish(gen)
	if err = errors.Join(err, ended); err != nil {
		return g, err
	}
	// A tenth less, and a request of each client that lies across an edge.
	if want := rate*window.Seconds()*0.9 - liveClients*liveItems; g.Failed > 0 || float64(g.WindowItems) < want {
		return g, fmt.Errorf("%d requests failed (%q), %d items were acknowledged in %s of %.0f items/s: lower -rate", g.Failed, g.Errors, g.WindowItems, window, rate)
	}
	return g, nil
}

// jobAnswer is of the admin API what is used here.
type jobAnswer struct {
	Progress struct {
		Done struct {
			Items uint64 `json:"items"`
		} `json:"done"`
	} `json:"progress"`
}

// errConflict is in the error of a request that does not fit the state of a job.
var errConflict = errors.New("conflict")

func ask(ctx context.Context, method, admin, path string, body any) (j jobAnswer, err error) {
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return j, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+admin+path, bytes.NewReader(b))
	if err != nil {
		return j, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return j, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return j, err
	}
	switch {
	case resp.StatusCode == http.StatusConflict:
		return j, fmt.Errorf("%s: %w: %s", path, errConflict, answer)
	case resp.StatusCode/100 != 2:
		return j, fmt.Errorf("%s: %s: %s", path, resp.Status, answer)
	}
	return j, json.Unmarshal(answer, &j)
}
