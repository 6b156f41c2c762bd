package role

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerter"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/broker/local"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/internal/send"
	"github.com/penstock-otel/penstock/internal/settings"
)

// TestMain looks for goroutines that are left. A nats-server that is stopped in
// the instant in which a stream is made leaves the two named here; one that is
// not stopped leaves many more.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"))
}

// buffer is a log that a test may read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// process is a process on free ports with its own directory.
func process(t *testing.T, sets ...string) (Process, *buffer) {
	t.Helper()
	base := []string{
		"queue.dir=" + filepath.Join(t.TempDir(), "data"), "queue.max_bytes=64MiB",
		"gateway.grpc.listen=127.0.0.1:0", "gateway.http.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0",
	}
	s, loaded, err := settings.Load(settings.Source{Sets: append(base, sets...)})
	if err != nil {
		t.Fatal(err)
	}
	log := new(buffer)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return Process{Settings: s, Loaded: loaded, Server: local.Start, Alerter: alerter.Make, Out: new(buffer), Log: log}, log
}

// running is a role in a goroutine.
type running struct {
	stop func()
	done chan error
}

func start(t *testing.T, run func(ctx context.Context) error) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- run(ctx) }()
	t.Cleanup(func() { r.end(t) })
	return r
}

// end stops the role, once, and fails the test when it does not end cleanly.
func (r *running) end(t *testing.T) {
	t.Helper()
	if r.done == nil {
		return
	}
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("the role ended with %v", err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("the role did not stop")
	}
	r.done = nil
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 30 s for: %s", what)
		}
	}
}

// lines counts what a file destination has written.
func arrived(t *testing.T, file string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return map[string]int{
		"spans":         strings.Count(string(text), `"spanId":`),
		"metric_points": strings.Count(string(text), `"timeUnixNano":`),
	}
}

func TestUpTakesAndDeliversAndIsSeen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.json")
	p, log := process(t, `destinations=[{name: disk, protocol: file, endpoints: ["`+file+`"]}]`)
	up := make(chan Running, 1)
	r := start(t, func(ctx context.Context) error { return Up(ctx, p, func(r Running) { up <- r }) })
	var at Running
	select {
	case at = <-up:
	case err := <-r.done:
		t.Fatalf("did not start: %v", err)
	}
	if d := asks[api.Destinations](t, at.Admin, http.MethodGet, "/destinations", nil).Destinations; len(d) != 1 || len(d[0].Workers) != 1 {
		t.Errorf("a process that has just begun is seen with %+v", d)
	}
	var totals send.Totals
	for _, c := range []send.Config{
		{Target: at.GRPC, Protocol: "grpc", Insecure: true, Compression: "zstd"},
		{Target: "http://" + at.HTTP, Protocol: "http", Compression: "gzip"},
	} {
		c.Signals, c.Items, c.Batch, c.Clients, c.Seed = []otlp.Signal{otlp.Traces}, 500, 50, 2, 1
		if err := send.Run(t.Context(), c, &totals); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "1000 spans in the file", func() bool { return arrived(t, file)["spans"] >= 1000 })
	for _, path := range []string{"/livez", "/readyz", "/startupz", "/metrics", "/api/v1/status", "/api/v1/status/config", "/"} {
		body, err := admin.Get(t.Context(), at.Admin, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if path == "/metrics" && !strings.Contains(string(body), `penstock_receiver_accepted_spans_total{transport="grpc"} 500`) {
			t.Errorf("/metrics does not have the 500 spans over gRPC:\n%s", body)
		}
	}
	got, err := ReadTotals(at.Registry)
	if err != nil {
		t.Fatal(err)
	}
	if tr := got[otlp.Traces]; tr.Accepted != 1000 || tr.Exported != 1000 {
		t.Errorf("totals are %+v, want 1000 accepted and exported", tr)
	}
	eventually(t, "a look at the queue without a backlog", func() bool {
		v := at.Watch.Look(t.Context())
		for _, l := range v.Lags {
			if l.Pending > 0 || l.InFlight > 0 {
				return false
			}
		}
		return len(v.Lags) == 3 && len(v.Streams) == 4 && v.Error == ""
	})
	r.end(t)
	for _, step := range []string{"stop taking, finish OTLP requests", "flush and confirm commit groups", "stop pulling, finish exports", "close the queue", "stop embedded NATS server"} {
		if !strings.Contains(log.String(), step) {
			t.Errorf("the log does not name the step %q of the stop", step)
		}
	}
}

// TestRolesShareAQueue runs a gateway that embeds the queue, a worker and an
// alerter that connect to it.
func TestRolesShareAQueue(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.json")
	destination := `destinations=[{name: disk, protocol: file, endpoints: ["` + file + `"]}]`
	port := freePort(t)
	grpcPort := freePort(t)
	gp, glog := process(t, "queue.listen="+port, "gateway.grpc.listen="+grpcPort, "queue.token=s3cret-token")
	gateway := start(t, func(ctx context.Context) error { return Gateway(ctx, gp) })
	eventually(t, "the gateway is ready", func() bool { return strings.Contains(glog.String(), `"msg":"ready"`) })

	var totals send.Totals
	c := send.Config{Target: grpcPort, Protocol: "grpc", Insecure: true, Signals: otlp.Signals[:], Items: 300, Batch: 30, Clients: 1, Seed: 3}
	if err := send.Run(t.Context(), c, &totals); err != nil { // before any worker exists
		t.Fatal(err)
	}
	wp, wlog := process(t, "queue.url=nats://"+port, "queue.token=s3cret-token", destination)
	worker := start(t, func(ctx context.Context) error { return Worker(ctx, wp) })
	ap, alog := process(t, "queue.url=nats://"+port, "queue.token=s3cret-token")
	start(t, func(ctx context.Context) error { return Alerter(ctx, ap) })
	eventually(t, "all spans and points in the file", func() bool {
		n := arrived(t, file)
		return n["spans"] >= 300 && n["metric_points"] >= 300
	})
	eventually(t, "the alerter says that it has no rules", func() bool { return strings.Contains(alog.String(), "no alerting rules") })
	worker.end(t)
	gateway.end(t)
	for name, log := range map[string]*buffer{"gateway": glog, "worker": wlog, "alerter": alog} {
		if strings.Contains(log.String(), "s3cret-token") {
			t.Errorf("the log of the %s has the token", name)
		}
	}
}

// TestWorkerWaitsForTheGateway starts them the wrong way round.
func TestWorkerWithoutAQueueSaysWhatIsMissing(t *testing.T) {
	p, _ := process(t)
	err := Worker(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "queue.url is empty") {
		t.Fatalf("got %v, want an error that names queue.url", err)
	}
}

func TestTakenPortIsAnErrorThatNamesTheKey(t *testing.T) {
	port := freePort(t)
	p, _ := process(t, "gateway.grpc.listen="+port, "gateway.http.listen="+port)
	err := Gateway(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "gateway.http.listen") {
		t.Fatalf("got %v, want an error that names gateway.http.listen", err)
	}
}

func TestMetricsReferenceNamesEveryMetric(t *testing.T) {
	var page bytes.Buffer
	if err := MetricsReference(&page); err != nil {
		t.Fatal(err)
	}
	p, _ := process(t)
	up := make(chan Running, 1)
	start(t, func(ctx context.Context) error { return Up(ctx, p, func(r Running) { up <- r }) })
	at := <-up
	var totals send.Totals
	c := send.Config{Target: at.GRPC, Protocol: "grpc", Insecure: true, Signals: otlp.Signals[:], Items: 10, Batch: 10, Clients: 1}
	if err := send.Run(t.Context(), c, &totals); err != nil {
		t.Fatal(err)
	}
	families, err := at.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"penstock_build_info": true, "penstock_ready": true} // of the admin server
	for _, f := range families {
		name := f.GetName()
		if strings.HasPrefix(name, "penstock_") && !known[name] && !strings.Contains(page.String(), "`"+name+"`") {
			t.Errorf("%s is not in the reference", name)
		}
	}
	if n := strings.Count(page.String(), "\n| `penstock_"); n < 40 {
		t.Errorf("the reference has %d metrics", n)
	}
}

// TestSampleIsWhatTheFileHas guards the counting above: spans and points as the
// file destination writes them.
func TestSampleIsWhatTheFileHas(t *testing.T) {
	g := sample.New(1, sample.Shape{})
	text, err := otlp.AppendJSONFromProto(nil, otlp.Metrics, g.Append(nil, otlp.Metrics, 40, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), `"timeUnixNano":`); n != 40 {
		t.Fatalf("%d of 40 points are counted", n)
	}
}
