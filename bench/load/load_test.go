package load

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/penstock-otel/penstock/bench/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startSink gives the addresses of OTLP/gRPC and of the counters.
func startSink(t *testing.T, ids bool) (addr, stats string) {
	t.Helper()
	addr, stats = freeAddr(t), freeAddr(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	args := []string{"-listen", addr, "-stats", stats}
	if ids {
		args = append(args, "-ids")
	}
	go func() { done <- sink.Run(ctx, args) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("sink: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := sink.Read(ctx, stats); err == nil {
			return addr, stats
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// running is a generator under way.
type running struct {
	t        *testing.T
	commands *io.PipeWriter
	out      bytes.Buffer
	done     chan error
}

func generate(t *testing.T, args ...string) *running {
	in, commands := io.Pipe()
	r := &running{t: t, commands: commands, done: make(chan error, 1)}
	go func() {
		r.done <- Run(context.Background(), args, in, &r.out)
		in.CloseWithError(io.ErrClosedPipe) // who writes on is told
	}()
	return r
}

func (r *running) say(line string) {
	r.t.Helper()
	if _, err := io.WriteString(r.commands, line+"\n"); err != nil {
		r.t.Fatalf("generator: %v", <-r.done)
	}
}

// mark begins the window, and returns when it has begun.
func (r *running) mark() {
	r.t.Helper()
	r.say("mark")
	r.say("") // is read when mark was obeyed
}

func (r *running) end() Result {
	r.t.Helper()
	r.commands.Close()
	if err := <-r.done; err != nil {
		r.t.Fatal(err)
	}
	g, err := Decode(r.out.Bytes())
	if err != nil {
		r.t.Fatal(err)
	}
	return g
}

// TestEveryKindOfLoadArrives is the measurement without what it measures: every
// acknowledged item is counted, in number and by identity.
func TestEveryKindOfLoadArrives(t *testing.T) {
	for name, more := range map[string][]string{
		"traces":          nil,
		"metrics":         {"-signal", "metrics"},
		"logs":            {"-signal", "logs"},
		"web":             {"-story", "web"},
		"trace3":          {"-story", "trace3"},
		"gzip":            {"-compression", "gzip"},
		"zstd":            {"-compression", "zstd", "-signal", "logs"},
		"a schedule":      {"-rate", "20000"},
		"many":            {"-connections", "100", "-clients", "100", "-idle", "20"},
		"tenants":         {"-tenants", "3", "-tenant", "t"},
		"another source":  {"-source", "70000"},
		"one item each":   {"-items", "1"},
		"largest request": {"-items", "5000"},
	} {
		t.Run(name, func(t *testing.T) {
			ids, clients := !strings.Contains(name, "metrics"), uint64(4)
			if name == "many" {
				clients = 100
			}
			addr, stats := startSink(t, ids)
			r := generate(t, append([]string{"-target", addr, "-items", "50", "-connections", "2", "-clients", "4"}, more...)...)
			r.mark()
			arrived := func() sink.Stats {
				now, err := sink.Read(context.Background(), stats)
				if err != nil {
					t.Fatal(err)
				}
				return now
			}
			// Of what arrives from here on, a client has one at most that is not
			// answered, and one that was under way before.
			for marked := arrived(); ; {
				if now := arrived(); now.Items >= 2000 && now.Requests > marked.Requests+20+2*clients {
					break
				}
			}
			r.say("end")
			g := r.end()
			got, err := sink.Read(context.Background(), stats)
			if err != nil {
				t.Fatal(err)
			}
			if g.Failed != 0 || got.Items != g.AckedItems || got.Duplicates != 0 || ids && got.Distinct != got.Items {
				t.Errorf("acknowledged %+v, arrived %+v", g, got)
			}
			l := g.Latency
			if g.WindowItems == 0 || l.P50 <= 0 || l.P90 < l.P50 || l.P99 < l.P90 || l.P999 < l.P99 || l.Max < l.P999 || len(l.Distribution) == 0 {
				t.Errorf("window %d, latency %+v", g.WindowItems, l)
			}
		})
	}
}

func TestFailedRequestsAreCounted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := generate(t, "-target", l.Addr().String(), "-transport", "http", "-clients", "1")
	r.mark()
	if c, err := l.Accept(); err != nil { // a request is under way
		t.Fatal(err)
	} else if err := errors.Join(c.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if g := r.end(); g.AckedItems != 0 || g.Failed == 0 || len(g.Errors) == 0 || g.Latency.Max != 0 {
		t.Errorf("nobody answered and %+v", g)
	}
}

// TestLatencyCountsFromWhenARequestWasDue sends to a server that answers each
// request after a while: on a schedule that it cannot keep, waiting is counted.
func TestLatencyCountsFromWhenARequestWasDue(t *testing.T) {
	const slow = 30 * time.Millisecond
	answered := make(chan struct{}, 1000)
	server := &http.Server{Addr: freeAddr(t), Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		time.Sleep(slow)
		select {
		case answered <- struct{}{}:
		default: // enough
		}
	})}
	l, err := net.Listen("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	defer func() { server.Close(); <-done }()
	run := func(rate string) Result {
		r := generate(t, "-target", server.Addr, "-transport", "http", "-items", "1", "-clients", "1", "-rate", rate)
		r.mark()
		for range 20 {
			<-answered
		}
		return r.end()
	}
	closed, scheduled := run("0"), run("300") // one each 3 ms, where one takes 30
	if closed.Unsent != 0 || closed.Failed != 0 || closed.WindowItems == 0 {
		t.Errorf("closed loop: %+v", closed)
	}
	// The last of n requests was due (n-1)*pace after the first, and answered n*slow after it.
	if n := float64(scheduled.WindowItems); scheduled.Unsent == 0 || n == 0 || scheduled.Latency.Max < (n-1)*25 {
		t.Errorf("on a schedule: %+v", scheduled)
	}
}

func TestHTTPClients(t *testing.T) {
	type seen struct{ encoding, kind, tenant, path string }
	got := make(chan seen, 1)
	reply, status := []byte{0x0a, 0}, http.StatusOK // an empty partial_success
	server := &http.Server{Addr: freeAddr(t), Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		select {
		case got <- seen{req.Header.Get("Content-Encoding"), req.Header.Get("Content-Type"), req.Header.Get("X-Scope-OrgID"), req.URL.Path}:
		default:
		}
		w.WriteHeader(status)
		w.Write(reply)
	})}
	l, err := net.Listen("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	defer func() { server.Close(); <-done }()
	send := func() (seen, Result) {
		r := generate(t, "-target", server.Addr, "-transport", "http", "-clients", "1", "-signal", "logs", "-compression", "zstd", "-tenant", "a")
		s := <-got
		g := r.end()
		for len(got) > 0 {
			<-got
		}
		return s, g
	}
	if s, g := send(); s != (seen{"zstd", "application/x-protobuf", "a", "/v1/logs"}) || g.Failed != 0 || g.AckedItems == 0 {
		t.Errorf("sent %+v, result %+v", s, g)
	}
	reply = rejection(7, "too old")
	if _, g := send(); g.AckedItems != 0 || g.Failed == 0 || !strings.Contains(g.Errors[0], "7 items") {
		t.Errorf("a rejection counts as %+v", g)
	}
	status = http.StatusServiceUnavailable
	if _, g := send(); g.AckedItems != 0 || g.Failed == 0 || !strings.Contains(g.Errors[0], "503") {
		t.Errorf("a refusal counts as %+v", g)
	}
}

func rejection(n uint64, why string) []byte {
	p := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), n)
	p = protowire.AppendString(protowire.AppendTag(p, 2, protowire.BytesType), why)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), p)
}

func TestAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		reply []byte
		ok    bool
	}{
		"empty":                 {nil, true},
		"empty partial success": {[]byte{0x0a, 0}, true},
		"a warning":             {rejection(0, "deprecated"), true},
		"a rejection":           {rejection(1, "bad"), false},
		"garbage":               {[]byte{0x0a, 9, 1}, false},
		"garbage within":        {[]byte{0x0a, 1, 0x08}, false},
	} {
		if err := accepted(c.reply); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestArgsMakeTheSameOptions(t *testing.T) {
	o := Options{"a:1", "http", "zstd", "logs", "web", 7, 3, 2, 9, 12.5, "t", 4, true, 8, 3, time.Second}
	var again Options
	f := flag.NewFlagSet("", flag.ContinueOnError)
	again.Flags(f)
	if err := f.Parse(o.Args()); err != nil || again != o {
		t.Errorf("%+v became %+v, %v", o, again, err)
	}
}

func TestWhatCannotBeSent(t *testing.T) {
	for _, args := range [][]string{
		{"-signal", "profiles"}, {"-story", "novel"}, {"-transport", "udp"}, {"-compression", "lzma"}, {"-items", "0"}, {"-items", "5001"},
		{"-clients", "-1"}, {"-connections", "0"}, {"-rate", "-1"}, {"-timeout", "0s"}, {"-transport", "http", "-idle", "1"}, {"-source", "0"}, {"-no"},
	} {
		if err := Run(context.Background(), append([]string{"-target", "127.0.0.1:1"}, args...), strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
