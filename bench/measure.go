//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/penstock-otel/penstock/bench/procstat"
)

// Result is one scenario's figures. Rates and costs are of the window; one item
// is a span, a metric point or a log record.
type Result struct {
	Scenario     scenario  `json:"scenario"`
	Seconds      float64   `json:"window_seconds"`
	Delivered    float64   `json:"delivered_items_per_second"` // counted at the sink
	Accepted     float64   `json:"accepted_items_per_second"`  // acknowledged to clients
	CPUMicros    float64   `json:"penstock_cpu_us_per_item"`   // by items delivered
	GeneratorCPU float64   `json:"generator_cpu_us_per_item"`
	SinkCPU      float64   `json:"sink_cpu_us_per_item"`
	PeakRSS      int64     `json:"penstock_peak_rss_bytes"` // since its start
	Written      float64   `json:"written_bytes_per_item"`
	RawBytes     float64   `json:"raw_bytes_per_item"`
	ExportItems  float64   `json:"items_per_export_request"`
	Latency      generated `json:"clients"`
	Drain        float64   `json:"drain_seconds"` // from the last acknowledgement until the sink had all
	Proof        sinkStats `json:"sink"`          // at the end of everything
}

// snapshot is everything at one moment.
type snapshot struct {
	at                       time.Time
	sink                     sinkStats
	penstock, gen, sinkUsage procstat.Usage
}

func measure(ctx context.Context, o options, s scenario, bin string) (r Result, err error) {
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
	otlpAddr, statsAddr, gatewayAddr, httpAddr, adminAddr := ports[0], ports[1], ports[2], ports[3], ports[4]

	sinkProc, err := start(dir, "sink", self, false, "sink", "-listen", otlpAddr, "-stats", statsAddr, "-ids="+strconv.FormatBool(s.IDs))
	if err != nil {
		return r, err
	}
	defer sinkProc.kill()
	if err := sinkProc.ready(ctx, "http://"+statsAddr); err != nil {
		return r, err
	}
	config := filepath.Join(dir, "penstock.yaml")
	if err := os.WriteFile(config, penstockConfig(filepath.Join(dir, "data"), o.durability, gatewayAddr, httpAddr, adminAddr, otlpAddr), 0o600); err != nil {
		return r, err
	}
	args := []string{"up", "--config", config}
	for _, kv := range o.set {
		args = append(args, "--set", kv)
	}
	penstock, err := start(dir, "penstock", bin, false, args...)
	if err != nil {
		return r, err
	}
	defer penstock.kill()
	if err := penstock.ready(ctx, "http://"+adminAddr+"/readyz"); err != nil {
		return r, err
	}
	gen, err := start(dir, "generate", self, true, "generate", "-target", gatewayAddr, "-signal", s.Signal,
		"-items", strconv.Itoa(s.Items), "-connections", strconv.Itoa(s.Connections), "-clients", strconv.Itoa(s.Clients),
		"-seed", strconv.FormatUint(o.seed, 10))
	if err != nil {
		return r, err
	}
	finished := false
	defer func() {
		if !finished {
			gen.in.Close()
			gen.wait()
		}
	}()

	take := func() (snapshot, error) { return takeSnapshot(ctx, statsAddr, penstock, gen, sinkProc) }
	if err := wait(ctx, o.warmup); err != nil {
		return r, err
	}
	if _, err := gen.in.Write([]byte("mark\n")); err != nil {
		return r, err
	}
	a, err := take()
	if err != nil {
		return r, err
	}
	if err := wait(ctx, o.duration); err != nil {
		return r, err
	}
	b, err := take()
	if err != nil {
		return r, err
	}
	if _, err := gen.in.Write([]byte("end\n")); err != nil {
		return r, err
	}
	finished = true
	g, err := finish(gen)
	if err != nil {
		return r, err
	}
	r = figures(s, a, b, g)
	stopped := time.Now()
	if r.Proof, err = drained(ctx, statsAddr, g, s.IDs); err != nil {
		return r, fmt.Errorf("%w\n%s", err, penstock.tail())
	}
	r.Drain = time.Since(stopped).Seconds()
	usage, err := procstat.Read(penstock.cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	r.PeakRSS = usage.PeakRSS
	if err := penstock.stop(30 * time.Second); err != nil {
		return r, err
	}
	return r, sinkProc.stop(10 * time.Second)
}

func penstockConfig(data, durability, grpcAddr, httpAddr, adminAddr, sinkAddr string) []byte {
	return fmt.Appendf(nil, `queue: {dir: %q, durability: %s, max_bytes: 4GiB}
gateway:
  grpc: {listen: %q}
  http: {listen: %q}
destinations:
  - {name: bench, protocol: grpc, endpoints: [%q], tls: {insecure: true}, compression: none}
admin: {listen: %q}
`, data, durability, grpcAddr, httpAddr, sinkAddr, adminAddr)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func takeSnapshot(ctx context.Context, stats string, penstock, gen, sinkProc *child) (s snapshot, err error) {
	s.at = time.Now()
	if s.sink, err = readStats(ctx, stats); err != nil {
		return s, err
	}
	for _, c := range []struct {
		of *child
		to *procstat.Usage
	}{{penstock, &s.penstock}, {gen, &s.gen}, {sinkProc, &s.sinkUsage}} {
		if *c.to, err = procstat.Read(c.of.cmd.Process.Pid); err != nil {
			return s, fmt.Errorf("%s: %w\n%s", c.of.name, err, c.of.tail())
		}
	}
	return s, nil
}

func readStats(ctx context.Context, addr string) (s sinkStats, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

func figures(s scenario, a, b snapshot, g generated) Result {
	items := float64(b.sink.Items - a.sink.Items)
	seconds := b.at.Sub(a.at).Seconds()
	cpu := func(from, to procstat.Usage) float64 { return float64((to.CPU - from.CPU).Microseconds()) / items }
	return Result{
		Scenario: s, Seconds: seconds,
		Delivered: items / seconds, Accepted: float64(g.WindowItems) / seconds,
		CPUMicros: cpu(a.penstock, b.penstock), GeneratorCPU: cpu(a.gen, b.gen), SinkCPU: cpu(a.sinkUsage, b.sinkUsage),
		Written:     float64(b.penstock.Written-a.penstock.Written) / items,
		RawBytes:    float64(b.sink.Bytes-a.sink.Bytes) / items,
		ExportItems: items / float64(b.sink.Requests-a.sink.Requests),
		Latency:     g,
	}
}

// drained waits until everything acknowledged arrived. By identity, an item that
// came twice counts once; by number, more than was acknowledged may arrive only
// when requests failed, for their outcome is not known.
func drained(ctx context.Context, stats string, g generated, ids bool) (sinkStats, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		s, err := readStats(ctx, stats)
		if err != nil {
			return s, err
		}
		got := s.Items
		if ids {
			got = s.Distinct
		}
		if got >= g.AckedItems {
			if !ids && got > g.AckedItems && g.Failed == 0 {
				return s, fmt.Errorf("sink has %d items of %d acknowledged and no request failed: duplicates would hide a loss, measure again", got, g.AckedItems)
			}
			return s, nil
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return s, fmt.Errorf("sink has %d of %d acknowledged items and no more came: %w", got, g.AckedItems, err)
		}
	}
}
