package worker_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
	"github.com/penstock-otel/penstock/pkg/codec"
	"github.com/penstock-otel/penstock/pkg/pool"
)

func spoken(protocol string, endpoints ...string) worker.Destination {
	return to(protocol, func(d *worker.Destination) {
		d.Protocol, d.Endpoints, d.TLS.Insecure = protocol, endpoints, true
	})
}

func TestBuildsEveryProtocol(t *testing.T) {
	b := serveBackend(t)
	file := filepath.Join(t.TempDir(), "out.jsonl")
	grpc := spoken(worker.ProtocolGRPC, b.addr)
	grpc.Headers = []config.NameValue{{Name: "x-key", Value: "secret"}}
	var out bytes.Buffer
	built, err := worker.Build([]worker.Destination{grpc, spoken(worker.ProtocolHTTP, "http://127.0.0.1:1"),
		spoken(worker.ProtocolDebug), spoken(worker.ProtocolFile, file)}, worker.BuildOptions{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(worker.NewPoolCollector(built))
	for name, x := range built {
		_, err := x.Export(context.Background(), exportertest.Request(t, otlp.Logs, codec.S2, exportertest.Body(otlp.Logs, 1, 3)))
		if (err != nil) != (name == worker.ProtocolHTTP) { // nobody listens there
			t.Errorf("%s: %v", name, err)
		}
	}
	if key := b.metadata[0].Get("x-key"); len(key) != 1 || key[0] != "secret" {
		t.Errorf("the configured header came as %v", key)
	}
	if agent := b.metadata[0].Get("user-agent"); len(agent) != 1 || !strings.HasPrefix(agent[0], "penstock/") {
		t.Errorf("user agent is %v", agent)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n, err := testutil.GatherAndCount(reg, "penstock_exporter_pool_connections"); err != nil || n != 6 {
		t.Errorf("%d samples of the grpc pool's connections (%v), want one a state", n, err)
	}
	for name, x := range built {
		if err := x.Close(); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
	}
	if out.Len() == 0 {
		t.Error("the debug destination printed nothing")
	}
}

// pool.min_connections: 0 opens nothing before it is needed.
func TestPoolMinimum(t *testing.T) {
	f := func(minimum int, want uint64) {
		t.Helper()
		d := spoken(worker.ProtocolGRPC, serveBackend(t).addr)
		d.Pool.MinConnections = minimum
		built, err := worker.Build([]worker.Destination{d}, worker.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		x := built[d.Name].(interface {
			exporter.Exporter
			Stats() pool.Stats
		})
		if n := x.Stats().Dials; n != want {
			t.Errorf("pool.min_connections %d: %d connections were opened, want %d", minimum, n, want)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	f(0, 0)
	f(1, 1)
	f(3, 3)
}

// A failed build leaves nothing open; goleak looks.
func TestBuildErrorsNameTheDestination(t *testing.T) {
	b := serveBackend(t)
	good := spoken(worker.ProtocolGRPC, b.addr)
	good.Name = "good"
	noFile := spoken(worker.ProtocolGRPC, b.addr)
	noFile.TLS = config.TLSClient{CAFile: "/does/not/exist"}
	for want, d := range map[string]worker.Destination{
		`destination soap: protocol is "soap": want grpc, http, debug or file`: spoken("soap"),
		"destination grpc: tls: certificate authorities":                       noFile,
		"destination http: ":               spoken(worker.ProtocolHTTP, "no url at all"),
		"destination file: endpoints[0]: ": spoken(worker.ProtocolFile, "/does/not/exist/out.jsonl"),
	} {
		if _, err := worker.Build([]worker.Destination{good, d}, worker.BuildOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
