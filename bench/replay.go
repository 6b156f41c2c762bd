//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
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
	Alone  generated `json:"alone"`
	Beside generated `json:"beside_replay"`
}

type replayOptions struct {
	dir, penstock, results, durability string
	rate                               float64
	pairs                              int
	window, fill                       time.Duration
	set                                list
}

// runReplay measures the latency of live requests in turns, alone and while a
// replay of what is stored runs at its default rate.
func runReplay(ctx context.Context, args []string, out, errs io.Writer) error {
	var o replayOptions
	f := flag.NewFlagSet("bench replay", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&o.dir, "dir", "", "where the data directory is made (default: the system's temporary directory)")
	f.StringVar(&o.penstock, "penstock", "", "binary to measure (default: built from this tree)")
	f.StringVar(&o.results, "results", "", "directory to write a result file to (default: none)")
	f.StringVar(&o.durability, "durability", "strict", "queue.durability")
	f.Float64Var(&o.rate, "rate", 60_000, "live spans a second, 100 a request")
	f.IntVar(&o.pairs, "pairs", 7, "windows of each kind")
	f.DurationVar(&o.window, "window", 6*time.Second, "length of a window")
	f.DurationVar(&o.fill, "fill", 5*time.Second, "load as fast as possible before, which is what is replayed")
	f.Var(&o.set, "set", "key=value handed to penstock up; may be repeated")
	if err := f.Parse(args); err != nil {
		return err
	}
	bin, cleanup, err := penstockBinary(ctx, o.penstock)
	if err != nil {
		return err
	}
	defer cleanup()
	m, err := measureReplay(ctx, o, bin, errs)
	if err != nil {
		return err
	}
	r := newReport(append([]string{"replay"}, args...), options{durability: o.durability}, nil)
	r.Replay = &m
	fmt.Fprintf(out, "live %.0f spans/s: p99 beside a replay is %.2f of that without (median of %d); %d items replayed\n", m.Rate, m.Ratio, len(m.Windows), m.Replayed)
	if o.results == "" {
		return nil
	}
	path, err := r.write(o.results)
	if err == nil {
		fmt.Fprintln(errs, "wrote", path)
	}
	return err
}

func measureReplay(ctx context.Context, o replayOptions, bin string, errs io.Writer) (r Replay, err error) {
	r.Rate = o.rate
	dir, err := os.MkdirTemp(o.dir, "penstock-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	ports, err := freePorts(5)
	if err != nil {
		return r, err
	}
	sinkAddr, stats, admin, grpcAddr := ports[0], ports[1], ports[2], ports[3]
	sinkProc, err := start(dir, "sink", self, false, "sink", "-listen", sinkAddr, "-stats", stats, "-ids=false")
	if err != nil {
		return r, err
	}
	defer sinkProc.kill()
	if err := sinkProc.ready(ctx, "http://"+stats); err != nil {
		return r, err
	}
	config := filepath.Join(dir, "penstock.yaml")
	text := fmt.Sprintf("queue: {dir: %q, durability: %s, max_bytes: 8GiB}\nadmin: {listen: %q}\ngateway: {grpc: {listen: %q}, http: {listen: %q}}\ndestinations:\n  - {name: bench, protocol: grpc, endpoints: [%q], tls: {insecure: true}, compression: none}\n",
		filepath.Join(dir, "data"), o.durability, admin, grpcAddr, ports[4], sinkAddr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return r, err
	}
	args := []string{"up", "--config", config}
	for _, kv := range o.set {
		args = append(args, "--set", kv)
	}
	up, err := start(dir, "up", bin, false, args...)
	if err != nil {
		return r, err
	}
	defer up.kill()
	if err := up.ready(ctx, "http://"+admin+"/readyz"); err != nil {
		return r, err
	}
	live := func(window time.Duration) (generated, error) {
		return liveWindow(ctx, dir, self, grpcAddr, o.rate, window)
	}
	// What is replayed: more than a window takes at the default rate.
	if _, err := liveWindow(ctx, dir, self, grpcAddr, 0, o.fill); err != nil {
		return r, fmt.Errorf("%w\n%s", err, up.tail())
	}
	to := time.Now()
	for i := range o.pairs {
		var p ReplayPair
		beside := func() error {
			id := "bench-" + strconv.Itoa(i)
			if _, err := ask(ctx, admin, "/api/v1/replay", map[string]any{"id": id, "destination": "bench", "to": to}); err != nil {
				return err
			}
			g, err := live(o.window)
			p.Beside = g
			if err != nil {
				return err
			}
			j, err := ask(ctx, admin, "/api/v1/replay/"+id+"/cancel", nil)
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
		fmt.Fprintf(errs, "p99 %.1f ms alone, %.1f ms beside a replay\n", p.Alone.P99, p.Beside.P99)
		r.Windows = append(r.Windows, p)
	}
	if r.Replayed == 0 {
		return r, errors.New("nothing was replayed: the figures compare nothing")
	}
	var ratios []float64
	for _, p := range r.Windows {
		ratios = append(ratios, p.Beside.P99/p.Alone.P99)
	}
	slices.Sort(ratios)
	r.Ratio = ratios[len(ratios)/2]
	return r, errors.Join(up.stop(60*time.Second), sinkProc.stop(10*time.Second))
}

// Live traffic: items a request, and how many clients share the rate.
const (
	liveItems   = 100
	liveClients = 24
)

// liveWindow is load on a schedule, or without a rate as fast as possible, measured
// after a second.
func liveWindow(ctx context.Context, dir, self, target string, rate float64, window time.Duration) (generated, error) {
	gen, err := start(dir, "generate", self, true, "generate", "-target", target, "-signal", "traces", "-items", strconv.Itoa(liveItems), "-clients", strconv.Itoa(liveClients), "-rate", fmt.Sprint(rate))
	if err != nil {
		return generated{}, err
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
	g, ended := finish(gen)
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

func ask(ctx context.Context, admin, path string, body any) (j jobAnswer, err error) {
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return j, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+admin+path, bytes.NewReader(b))
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
	if resp.StatusCode/100 != 2 {
		return j, fmt.Errorf("%s: %s: %s", path, resp.Status, answer)
	}
	return j, json.Unmarshal(answer, &j)
}
