package peer

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binary is where scripts/bench-collector.sh puts the Collector, from the top of
// the repository.
const Binary = "bin/otelcol-bench"

// Collectors are the OpenTelemetry Collector with a queue on disk. The first two
// are those to compare with: the best of what was tried, without and with fsync.
// The others are the tries.
func Collectors(ctx context.Context, binary string) ([]Peer, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("the Collector at %s (make bench-compare builds it): %w", path, err)
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(out)), "version ")
	return collectors(path, version), nil
}

func collectors(path, version string) (peers []Peer) {
	add := func(name string, fsync bool, t tuning) {
		p := Peer{
			Name:    name,
			Product: "OpenTelemetry Collector " + version,
			Promise: "given to the kernel, not to the disk: lost when the machine stops, and then the file may be damaged",
			Tuned:   t.why,
			binary:  path, args: t.args, env: t.env,
			config: func(at Place) string { return t.config(at, fsync) },
		}
		if fsync {
			p.Promise = "written to the disk: every request by an fsync of its own"
		}
		peers = append(peers, p)
	}
	add("collector", false, best)
	add("collector-fsync", true, best)
	for _, t := range tries {
		add("collector-"+t.name, false, t)
		add("collector-fsync-"+t.name, true, t)
	}
	return peers
}

// tuning is one way to set a Collector.
type tuning struct {
	name, why string
	consumers int    // of the queue: exports at a time
	queue     int    // requests that it holds
	batch     string // of the queue's requests into exports; empty: each is exported as it came
	env, args []string
}

// merged makes exports of 8,192 items or more, the Collector's own default for
// who turns batching on. It happens behind the disk: the batch processor, which
// stands before it, answers the client before anything is stored.
const merged = "{flush_timeout: 200ms, min_size: 8192, sizer: items}"

const lazy = "GOGC=400"

var (
	plain = tuning{name: "plain", consumers: 10, queue: 1000,
		why: "the defaults of the queue: 1,000 requests, 10 exports at a time, each request exported as it came"}
	best = tuning{name: "tuned", consumers: 10, queue: 1000, batch: merged, env: []string{lazy},
		why: "requests are joined behind the queue to exports of 8,192 items; GOGC=400"}
)

// tries change one thing after the other.
var tries = []tuning{
	plain,
	{name: "merge", consumers: 10, queue: 1000, batch: merged,
		why: "requests are joined behind the queue to exports of 8,192 items"},
	{name: "consumers", consumers: 50, queue: 1000,
		why: "50 exports at a time"},
	{name: "short", consumers: 10, queue: 100, batch: merged, env: []string{lazy},
		why: "joined, GOGC=400, and a queue of 100 requests"},
	{name: "lazygc", consumers: 10, queue: 1000, env: []string{lazy},
		why: "GOGC=400: more memory for less garbage collection"},
	{name: "pooling", consumers: 10, queue: 1000, args: []string{"--feature-gates=pdata.useProtoPooling"},
		why: "the feature gate pdata.useProtoPooling, which is alpha"},
}

// config is the Collector's file. What all have, and why:
//
//   - max_recv_msg_size_mib: the sink's limit, so that no request is refused.
//   - compression none: as Penstock exports in the same run.
//   - queue by requests: "the most performant option" of its documentation; with
//     block_on_overflow clients wait when it is full, and lose nothing; a
//     thousand requests (its default) never empty under load.
//   - max_elapsed_time 0: nothing is given up while the sink is away.
//   - no compaction of the file: it would cost and free disk space alone.
//   - logs from warnings on, no metrics of its own: neither costs anything then.
func (t tuning) config(at Place, fsync bool) string {
	batch := ""
	if t.batch != "" {
		batch = "\n      batch: " + t.batch
	}
	return fmt.Sprintf(`receivers:
  otlp:
    protocols:
      grpc:
        endpoint: %q
        max_recv_msg_size_mib: 64
extensions:
  health_check: {endpoint: %q}
  file_storage:
    directory: %q
    fsync: %t
exporters:
  otlp_grpc:
    endpoint: %q
    tls: {insecure: true}
    compression: none
    retry_on_failure: {initial_interval: 200ms, max_interval: 5s, max_elapsed_time: 0s}
    sending_queue:
      storage: file_storage
      sizer: requests
      queue_size: %d
      block_on_overflow: true
      num_consumers: %d%s
service:
  extensions: [health_check, file_storage]
  telemetry:
    logs: {level: warn}
    metrics: {level: none}
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp_grpc]}
    metrics: {receivers: [otlp], exporters: [otlp_grpc]}
    logs: {receivers: [otlp], exporters: [otlp_grpc]}
`, at.GRPC, at.Health, filepath.Join(at.Dir, "data"), fsync, at.Sink, t.queue, t.consumers, batch)
}
