package conformance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	// maxArrival is the largest request that a backend reads, and reads
	// decompressed.
	maxArrival = 80 << 20
	// maxKept is the largest body that is kept to be looked into.
	maxKept = 16 << 10
	// maxArrivals is how many requests are remembered for one mark.
	maxArrivals = 1000
)

// reply is what a backend answers. The zero value takes the request.
type reply struct {
	code    codes.Code      // gRPC
	details []proto.Message // gRPC
	status  int             // HTTP; 0: 200
	header  http.Header     // HTTP
	body    []byte          // the response message; nil: empty
	drop    bool            // the connection, without an answer
	hold    <-chan struct{} // answer only when it is closed
}

// arrival is one request that reached a backend.
type arrival struct {
	at      time.Time // when it was there whole
	method  string    // path
	header  http.Header
	body    []byte // decompressed; nil when larger than maxKept
	size    int    // decompressed
	peer    string
	over    string // "gRPC" or "HTTP"
	problem string // what is wrong with it as a request; empty: nothing
}

// script decides the answer to the n-th arrival of a mark, from 0.
type script func(n int, a *arrival) reply

// watch is what became of one mark at one backend.
type watch struct {
	mu       sync.Mutex
	script   script
	arrivals []*arrival    // mu
	answered []time.Time   // mu; when the answer to each was sent
	changed  chan struct{} // mu; closed and made anew at each change
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.arrivals)
}

// all are the arrivals so far.
func (w *watch) all() []*arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.arrivals)
}

// gap is the time from the answer to arrival n-1 until arrival n.
func (w *watch) gap(n int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n >= len(w.arrivals) || n > len(w.answered) {
		return 0
	}
	return w.arrivals[n].at.Sub(w.answered[n-1])
}

// await waits until there are n arrivals, and tells whether there are.
func (w *watch) await(ctx context.Context, n int, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		w.mu.Lock()
		have, changed := len(w.arrivals), w.changed
		w.mu.Unlock()
		if have >= n {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// backend is one scripted server. It starts and stops again at its address.
type backend struct {
	addr  string
	tls   *tls.Config // nil: plain text
	serve func(*backend, http.ResponseWriter, *http.Request)

	mu      sync.Mutex
	watches map[string]*watch // mu; by mark
	seen    []*arrival        // mu; the first few of all, for rows about every request
	server  *http.Server      // mu; nil: down
	refused handshakes
	served  sync.WaitGroup
}

// backends of a run; those without an address are nil.
type backends struct{ grpc, http *backend }

func (b *backends) start(grpcAddr, httpAddr string, c *tls.Config) error {
	if grpcAddr != "" {
		b.grpc = &backend{addr: grpcAddr, tls: c, serve: serveGRPC}
	}
	if httpAddr != "" {
		b.http = &backend{addr: httpAddr, tls: c, serve: serveHTTP}
	}
	for _, x := range b.list() {
		x.watches = map[string]*watch{}
		if err := x.up(); err != nil {
			b.stop()
			return err
		}
	}
	return nil
}

func (b *backends) list() (list []*backend) {
	for _, x := range []*backend{b.grpc, b.http} {
		if x != nil {
			list = append(list, x)
		}
	}
	return list
}

func (b *backends) stop() {
	for _, x := range b.list() {
		x.down()
	}
}

// connKey is for the connection of a request in its context.
type connKey struct{}

// drop ends the connection of a request.
func drop(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		_ = c.Close()
	}
	panic(http.ErrAbortHandler)
}

// up listens, and is done once it does.
func (b *backend) up() error {
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	b.addr = l.Addr().String()
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	p.SetHTTP2(true)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.serve(b, w, r) }),
		Protocols: &p, ReadHeaderTimeout: 20 * time.Second, MaxHeaderBytes: 64 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }}
	b.mu.Lock()
	b.server = srv
	b.mu.Unlock()
	if b.tls == nil {
		b.served.Go(func() { _ = srv.Serve(l) }) // ends with down
		return nil
	}
	srv.TLSConfig = b.tls.Clone()
	srv.ErrorLog = log.New(&b.refused, "", 0)
	b.served.Go(func() { _ = srv.ServeTLS(l, "", "") })
	return nil
}

// down ends listener and connections at once: who calls gets "connection
// refused".
func (b *backend) down() {
	b.mu.Lock()
	srv := b.server
	b.server = nil
	b.mu.Unlock()
	if srv != nil {
		_ = srv.Close()
		b.served.Wait()
	}
}

// expect makes the backend answer what carries the mark by the script; nil
// takes it.
func (b *backend) expect(mark string, s script) *watch {
	if s == nil {
		s = func(int, *arrival) reply { return reply{} }
	}
	w := &watch{script: s, changed: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watches[mark] = w
	return w
}

var markForm = regexp.MustCompile(regexp.QuoteMeta(markPrefix) + `[0-9a-f]{16}`)

// take notes an arrival and finds its answer: that of the first mark in it that
// is expected. done is to be called when the answer has been sent.
func (b *backend) take(a *arrival, body []byte) (_ reply, done func()) {
	var watches []*watch
	b.mu.Lock()
	if len(b.seen) < 200 {
		b.seen = append(b.seen, a)
	}
	for _, m := range markForm.FindAll(body[:min(len(body), 1<<20)], 64) {
		if w := b.watches[string(m)]; w != nil && !slices.Contains(watches, w) {
			watches = append(watches, w)
		}
	}
	b.mu.Unlock()
	var r reply
	for i, w := range watches {
		w.mu.Lock()
		n := len(w.arrivals)
		if n < maxArrivals {
			w.arrivals = append(w.arrivals, a)
			close(w.changed)
			w.changed = make(chan struct{})
		}
		w.mu.Unlock()
		if i == 0 {
			r = w.script(n, a)
		}
	}
	return r, func() {
		for _, w := range watches {
			w.mu.Lock()
			w.answered = append(w.answered, time.Now())
			w.mu.Unlock()
		}
	}
}

// requests are some of all that arrived, of the beginning.
func (b *backend) requests() []*arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

// keep is the body as far as an arrival keeps it.
func keep(b []byte) []byte {
	if len(b) > maxKept {
		return nil
	}
	return b
}

// wait is until the script lets the answer go, or the caller has gone.
func (r reply) wait(ctx context.Context) error {
	if r.hold == nil {
		return nil
	}
	select {
	case <-r.hold:
		return nil
	case <-ctx.Done():
		return errors.New("the caller has gone")
	}
}

func (r reply) grpcStatus() *spb.Status {
	st := &spb.Status{Code: int32(r.code)}
	if r.code != codes.OK {
		st.Message = "answered by the conformance suite's script"
	}
	for _, d := range r.details {
		st.Details = append(st.Details, anyOf(d))
	}
	return st
}
