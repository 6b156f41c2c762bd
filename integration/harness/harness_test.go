package harness

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLoadIntoSink is every part without Penstock: what is acknowledged arrives.
func TestLoadIntoSink(t *testing.T) {
	for name, config := range map[string]func(*Sink) LoadConfig{
		"gRPC": func(s *Sink) LoadConfig { return LoadConfig{GRPC: s.GRPCAddr} },
		"HTTP": func(s *Sink) LoadConfig { return LoadConfig{HTTP: s.HTTPAddr, Signals: []otlp.Signal{otlp.Logs}} },
		"both": func(s *Sink) LoadConfig { return LoadConfig{GRPC: s.GRPCAddr, HTTP: s.HTTPAddr, Retry: true} },
	} {
		t.Run(name, func(t *testing.T) {
			sink := NewSink(t)
			ledger := NewLedger(Seed(t))
			load := StartLoad(t, ledger, config(sink))
			Until(t, 10*time.Second, func() string { return "100 requests" }, func() bool { return ledger.Counts().Acked > 100 })
			load.Stop()
			if again := ledger.Check(t, sink, 0); again != 0 {
				t.Errorf("%d duplicates without any failure", again)
			}
			if c := ledger.Counts(); c.Sent != c.Acked {
				t.Errorf("%d sent, %d acknowledged", c.Sent, c.Acked)
			}
		})
	}
}

// TestLedgerBites: what was acknowledged and did not arrive is found, and so is
// what arrived and was never sent.
func TestLedgerBites(t *testing.T) {
	sink := NewSink(t)
	ledger := NewLedger(1)
	ledger.sent(1, 100)
	ledger.acked(1, 0, 50)
	ledger.acked(1, 50, 60)
	ledger.acked(1, 90, 100)
	ledger.Freeze()
	ledger.acked(1, 60, 70)
	if items, missing := ledger.Late(sink); items != 10 || missing != 10 {
		t.Errorf("%d items acknowledged late, %d missing, want 10 and 10", items, missing)
	}
	body := sample.New(1, sample.Shape{Source: 1}).Append(nil, otlp.Traces, 55, time.Now())
	Send(t, sink.GRPCAddr, otlp.Traces, body, true)
	missing, where := ledger.Missing(sink)
	if missing != 15 || len(where) != 2 || !strings.Contains(where[1], "first is 55") {
		t.Errorf("%d missing: %q, want 15 from 55 on", missing, where)
	}
	Send(t, sink.GRPCAddr, otlp.Traces, sample.New(1, sample.Shape{Source: 2}).Append(nil, otlp.Traces, 7, time.Now()), false)
	if n := ledger.invented(sink); n != 7 {
		t.Errorf("%d invented, want 7", n)
	}
	Send(t, sink.GRPCAddr, otlp.Traces, body, false)
	if got := sink.Arrived(); got.Duplicates != 55 || got.Distinct != 62 || got.Items != 117 || got.Requests != 3 {
		t.Errorf("arrived %+v", got)
	}
}

func TestSinkAnswersAsToldAndComesBack(t *testing.T) {
	sink := NewSink(t)
	ledger := NewLedger(Seed(t))
	tries := func(code codes.Code) func() bool {
		return func() bool { return ledger.Counts().Errors[code.String()] > 3 }
	}
	what := func() string { return "errors" }
	sink.Behave(Answer(codes.Unavailable))
	load := StartLoad(t, ledger, LoadConfig{GRPC: sink.GRPCAddr, HTTP: sink.HTTPAddr, Retry: true, Patience: 200 * time.Millisecond})
	Until(t, 10*time.Second, what, tries(codes.Unavailable))
	if got := sink.Arrived(); got.Items != 0 {
		t.Errorf("refused, and yet %+v arrived", got)
	}
	sink.Behave(Hang)
	Until(t, 10*time.Second, what, tries(codes.DeadlineExceeded))
	sink.Down()
	before := ledger.Counts().Errors[codes.Unavailable.String()]
	Until(t, 10*time.Second, what, func() bool { return ledger.Counts().Errors[codes.Unavailable.String()] > before+3 })
	sink.Up()
	sink.Behave(Accept)
	Until(t, 10*time.Second, what, func() bool { return ledger.Counts().Acked > 20 })
	sink.Behave(Answer(codes.InvalidArgument))
	Until(t, 10*time.Second, what, func() bool { return ledger.Counts().Refused > 3 })
	load.Stop()
	ledger.Check(t, sink, 0)
}

func TestProxyCutsMendsAndSlows(t *testing.T) {
	sink := NewSink(t)
	proxy := NewProxy(t, sink.GRPCAddr)
	ledger := NewLedger(Seed(t))
	load := StartLoad(t, ledger, LoadConfig{GRPC: proxy.Addr, Retry: true, Patience: 5 * time.Second})
	more := func() {
		t.Helper()
		from := ledger.Counts().Acked
		Until(t, 10*time.Second, func() string { return "20 more requests" }, func() bool { return ledger.Counts().Acked > from+20 })
	}
	more()
	proxy.Cut()
	Until(t, 10*time.Second, func() string { return "errors" }, func() bool { return len(ledger.Counts().Errors) > 0 })
	proxy.Mend()
	more()
	proxy.Slow(4 << 20)
	more()
	load.Stop()
	ledger.Check(t, sink, time.Second)
}

func TestRecorderKeepsWhatItHandsOn(t *testing.T) {
	sink := NewSink(t)
	sink.Keep()
	for _, gzip := range []bool{false, true} {
		r := NewRecorder(t, sink.GRPCAddr, sink.HTTPAddr, gzip)
		load := StartLoad(t, NewLedger(Seed(t)), LoadConfig{GRPC: r.GRPCAddr, HTTP: r.HTTPAddr, Clients: 2, Items: 3})
		Until(t, 10*time.Second, func() string { return "10 bodies" }, func() bool { return len(r.Bodies()) > 10 })
		load.Stop()
		for _, b := range r.Bodies() {
			if !slices.ContainsFunc(sink.Bodies(), func(got Body) bool { return got.Signal == b.Signal && string(got.Bytes) == string(b.Bytes) }) {
				t.Fatalf("a body of %d bytes was recorded and did not arrive as it was", len(b.Bytes))
			}
		}
	}
}

func TestProcessLife(t *testing.T) {
	p := Start(t, "sh", "/bin/sh", "-c", `echo started; trap 'echo asked; exit 0' TERM; while :; do sleep 0.02; done`)
	Until(t, 10*time.Second, p.Log, func() bool { return strings.Contains(p.Log(), "started") })
	if u := p.Usage(); u.RSS == 0 || p.Ended() {
		t.Errorf("usage of a running process is %+v", u)
	}
	p.Stop(10 * time.Second)
	if !strings.Contains(p.Log(), "asked") {
		t.Errorf("log is %q", p.Log())
	}
	if code := Start(t, "false", "/bin/sh", "-c", "exit 3").Wait(10 * time.Second); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	k := Start(t, "sleep", "/bin/sleep", "60")
	k.Kill()
	if !k.Ended() {
		t.Error("killed and not ended")
	}
}

// TestDiskLosesWhatWasNotSynced is the ground of the power cut test: what was
// synced stays, what was not is gone.
func TestDiskLosesWhatWasNotSynced(t *testing.T) {
	d := NewDisk(t, 64<<20)
	write := func(name string, sync bool) {
		f, err := os.Create(filepath.Join(d.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(name); err != nil {
			t.Fatal(err)
		}
		if sync {
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("synced", true)
	write("unsynced", false)
	d.Cut()
	if err := os.WriteFile(filepath.Join(d.Dir, "after"), nil, 0o600); err == nil {
		t.Error("a disk without power took a file")
	}
	d.Restore()
	if b, err := os.ReadFile(filepath.Join(d.Dir, "synced")); err != nil || string(b) != "synced" {
		t.Errorf("synced file is %q, error %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(d.Dir, "unsynced")); err == nil && len(b) > 0 {
		t.Errorf("the power cut spared %q, which was not synced", b)
	}
}

// TestDiskKeepsWhatWasSyncedBefore: under load too, and with many syncs at a
// time, the cut takes nothing whose sync had returned before it began.
func TestDiskKeepsWhatWasSyncedBefore(t *testing.T) {
	const writers, size = 8, 5000
	for range 3 {
		d := NewDisk(t, 64<<20)
		var synced [writers]atomic.Int64
		var wg sync.WaitGroup
		for i := range writers {
			f, err := os.Create(filepath.Join(d.Dir, strconv.Itoa(i)))
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer f.Close()
				for {
					if _, err := f.Write(bytes.Repeat([]byte{'x'}, size)); err != nil {
						return
					}
					if err := f.Sync(); err != nil {
						return
					}
					synced[i].Add(size)
				}
			})
		}
		var before [writers]int64
		Until(t, 30*time.Second, func() string { return "400 syncs" }, func() bool {
			var total int64
			for i := range before {
				before[i] = synced[i].Load()
				total += before[i]
			}
			return total >= 400*size
		})
		d.Cut()
		wg.Wait()
		d.Restore()
		for i, want := range before {
			b, err := os.ReadFile(filepath.Join(d.Dir, strconv.Itoa(i)))
			if err != nil || int64(len(b)) < want || bytes.ContainsRune(b[:want], 0) {
				t.Errorf("file %d has %d bytes, of which %d were synced before the cut; error %v", i, len(b), want, err)
			}
		}
		d.Unmount()
	}
}

func TestFreeAddrIsNeverGivenTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		addr := FreeAddr(t)
		if seen[addr] {
			t.Fatalf("%s twice", addr)
		}
		seen[addr] = true
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}

func TestNATSServerStopsAndStartsAtItsAddress(t *testing.T) {
	n := NewNATS(t)
	for range 2 {
		n.Start()
		c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(n.URL, "nats://"))
		if err != nil {
			t.Fatal(err)
		}
		hello := make([]byte, 5)
		if _, err := io.ReadFull(c, hello); err != nil || string(hello) != "INFO " {
			t.Errorf("server said %q, error %v", hello, err)
		}
		c.Close()
		n.Kill()
	}
	if err := RemoveBinaries(); err != nil {
		t.Fatal(err)
	}
}
