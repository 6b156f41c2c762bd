//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/bench/procstat"
)

// Backlog is what a worker does that starts before a queue full of data.
type Backlog struct {
	Stored      int64     `json:"stored_bytes"` // of the stream, before the worker starts
	Items       uint64    `json:"items"`
	FillRate    float64   `json:"filled_items_per_second"`
	FirstExport float64   `json:"first_export_seconds"` // from the start of the worker's process until the sink has an item
	Drain       float64   `json:"drain_seconds"`        // from the start of the worker's process until the sink has all
	Rate        float64   `json:"drained_items_per_second"`
	WorkerRSS   int64     `json:"worker_peak_rss_bytes"`
	WorkerCPU   float64   `json:"worker_cpu_us_per_item"`
	GatewayRSS  int64     `json:"gateway_peak_rss_bytes"` // with the embedded queue, over filling and draining
	Proof       sinkStats `json:"sink"`
}

type backlogOptions struct {
	stored   int64
	dir      string
	penstock string
	results  string
	clients  int
	set      list
}

// runBacklog fills a queue while no worker runs, starts one, and measures it
// until the queue is empty and everything has arrived.
func runBacklog(ctx context.Context, args []string, out, errs io.Writer) error {
	var o backlogOptions
	f := flag.NewFlagSet("bench backlog", flag.ContinueOnError)
	f.SetOutput(errs)
	mib := f.Int64("stored", 2048, "MiB of traces that lie in the stream when the worker starts")
	f.StringVar(&o.dir, "dir", "", "where the data directory is made (default: the system's temporary directory)")
	f.StringVar(&o.penstock, "penstock", "", "binary to measure (default: built from this tree)")
	f.StringVar(&o.results, "results", "", "directory to write a result file to (default: none)")
	f.IntVar(&o.clients, "clients", 96, "requests in flight while it is filled")
	f.Var(&o.set, "set", "key=value handed to gateway and worker; may be repeated")
	if err := f.Parse(args); err != nil {
		return err
	}
	o.stored = *mib << 20
	bin, cleanup, err := penstockBinary(ctx, o.penstock)
	if err != nil {
		return err
	}
	defer cleanup()
	b, err := measureBacklog(ctx, o, bin, errs)
	if err != nil {
		return err
	}
	r := newReport(append([]string{"backlog"}, args...), options{durability: "process"}, nil)
	r.Backlog = &b
	fmt.Fprintf(out, "backlog of %d MiB, %d items: first export after %.2f s, all after %.1f s (%.0f items/s); worker %d MiB at most, %.2f µs/item, gateway with the queue %d MiB; %d duplicates\n",
		b.Stored>>20, b.Items, b.FirstExport, b.Drain, b.Rate, b.WorkerRSS>>20, b.WorkerCPU, b.GatewayRSS>>20, b.Proof.Duplicates)
	if o.results == "" {
		return nil
	}
	path, err := r.write(o.results)
	if err == nil {
		fmt.Fprintln(errs, "wrote", path)
	}
	return err
}

func measureBacklog(ctx context.Context, o backlogOptions, bin string, errs io.Writer) (r Backlog, err error) {
	dir, err := os.MkdirTemp(o.dir, "penstock-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	ports, err := freePorts(8)
	if err != nil {
		return r, err
	}
	sinkAddr, stats, gatewayAdmin, workerAdmin, grpcAddr := ports[0], ports[1], ports[2], ports[3], ports[4]
	sinkProc, err := start(dir, "sink", self, false, "sink", "-listen", sinkAddr, "-stats", stats, "-ids=true")
	if err != nil {
		return r, err
	}
	defer sinkProc.kill()
	if err := sinkProc.ready(ctx, "http://"+stats); err != nil {
		return r, err
	}
	role := func(name, admin, queue, more string) (*child, error) {
		config := filepath.Join(dir, name+".yaml")
		text := fmt.Sprintf("queue: {%s, durability: process, max_bytes: %d}\nadmin: {listen: %q}\n%sdestinations:\n  - {name: bench, protocol: grpc, endpoints: [%q], tls: {insecure: true}, compression: none}\n",
			queue, 6*o.stored+(64<<20), admin, more, sinkAddr)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		args := []string{name, "--config", config}
		for _, kv := range o.set {
			args = append(args, "--set", kv)
		}
		return start(dir, name, bin, false, args...)
	}
	gateway, err := role("gateway", gatewayAdmin, fmt.Sprintf("dir: %q, listen: %q, monitor_listen: %q", filepath.Join(dir, "data"), ports[5], ports[6]),
		fmt.Sprintf("gateway: {grpc: {listen: %q}, http: {listen: %q}}\n", grpcAddr, ports[7]))
	if err != nil {
		return r, err
	}
	defer gateway.kill()
	if err := gateway.ready(ctx, "http://"+gatewayAdmin+"/readyz"); err != nil {
		return r, err
	}
	g, err := fill(ctx, o, dir, self, grpcAddr, gatewayAdmin, errs, &r)
	if err != nil {
		return r, fmt.Errorf("%w\n%s", err, gateway.tail())
	}
	if s, err := readStats(ctx, stats); err != nil || s.Items > 0 {
		return r, errors.Join(err, fmt.Errorf("%d items arrived while no worker ran", s.Items))
	}

	began := time.Now()
	worker, err := role("worker", workerAdmin, fmt.Sprintf("url: %q, monitor_urls: [%q]", "nats://"+ports[5], "http://"+ports[6]), "")
	if err != nil {
		return r, err
	}
	defer worker.kill()
	for {
		s, err := readStats(ctx, stats)
		if err != nil {
			return r, err
		}
		if s.Items > 0 && r.FirstExport == 0 {
			r.FirstExport = time.Since(began).Seconds()
		}
		if s.Distinct >= g.AckedItems {
			r.Proof = s
			break
		}
		if time.Since(began) > 30*time.Minute {
			return r, fmt.Errorf("sink has %d of %d items after half an hour\n%s", s.Distinct, g.AckedItems, worker.tail())
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return r, err
		}
	}
	r.Drain = time.Since(began).Seconds()
	r.Items, r.Rate = g.AckedItems, float64(g.AckedItems)/r.Drain
	w, err := procstat.Read(worker.cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	r.WorkerRSS, r.WorkerCPU = w.PeakRSS, float64(w.CPU.Microseconds())/float64(r.Items)
	q, err := procstat.Read(gateway.cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	r.GatewayRSS = q.PeakRSS
	return r, errors.Join(worker.stop(30*time.Second), gateway.stop(30*time.Second), sinkProc.stop(10*time.Second))
}

// fill sends until the stream holds what is wanted.
func fill(ctx context.Context, o backlogOptions, dir, self, grpcAddr, admin string, errs io.Writer, r *Backlog) (g generated, err error) {
	gen, err := start(dir, "generate", self, true, "generate", "-target", grpcAddr, "-signal", "traces", "-items", "100", "-clients", strconv.Itoa(o.clients))
	if err != nil {
		return g, err
	}
	began := time.Now()
	for said := began; err == nil && r.Stored < o.stored; {
		if err = wait(ctx, 200*time.Millisecond); err == nil {
			r.Stored, err = storedBytes(ctx, admin)
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			fmt.Fprintf(errs, "filled %d of %d MiB\n", r.Stored>>20, o.stored>>20)
		}
	}
	g, ended := finish(gen)
	if err = errors.Join(err, ended); err != nil {
		return g, err
	}
	if g.Failed > 0 {
		return g, fmt.Errorf("%d requests failed while the queue was filled: %q", g.Failed, g.Errors)
	}
	r.FillRate = float64(g.AckedItems) / time.Since(began).Seconds()
	return g, nil
}

// storedBytes is what the stream of traces took, from the gateway's metrics.
func storedBytes(ctx context.Context, admin string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), `penstock_queue_committed_bytes_total{signal="traces"} `); ok {
			n, err := strconv.ParseFloat(value, 64)
			return int64(n), err
		}
	}
	return 0, nil // not seen yet
}
