// Package exportertest is the suite that every kind of exporter passes. It
// talks to a real destination, which the kind's own test starts.
package exportertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Options of the exporter under test. The zero value is the kind's defaults.
type Options struct {
	Compression     string
	Timeout         time.Duration
	MaxRequestBytes int
	// Header and its value go with every request; the value is a secret.
	Header, Secret string
}

// Received is one request as the destination understood it.
type Received struct {
	Signal otlp.Signal
	// Encoding is the compression on the wire, "none" without.
	Encoding string
	// Body is decompressed.
	Body []byte
	// Secret is the value of Options.Header.
	Secret string
}

// Destination is where the exporter under test delivers to.
type Destination interface {
	// Received are the requests confirmed so far, in any order.
	Received(t *testing.T) []Received
}

// Remote is a destination over the network.
type Remote interface {
	Destination
	// Hold takes requests and answers none until Free.
	Hold()
	Free()
	// Held is the number of requests that wait for Free.
	Held() int
	// Stop ends the server with its connections, Start starts it again at the
	// same address.
	Stop()
	Start(t *testing.T)
	Address() string
}

// Kind is what is tested.
type Kind struct {
	// New starts a destination, with a cleanup, and an exporter to it, which
	// the suite closes.
	New func(t *testing.T, o Options) (exporter.Exporter, Destination)
	// Compressions are the values of Options.Compression; none for a kind
	// that has no wire.
	Compressions []string
	// Answers are what a remote destination may say.
	Answers []Answer
	// Same compares what was sent with what arrived; nil is byte equality.
	Same func(sig otlp.Signal, sent, got []byte) bool
}

// Run runs the whole suite.
func Run(t *testing.T, k Kind) {
	if k.Same == nil {
		k.Same = func(_ otlp.Signal, sent, got []byte) bool { return bytes.Equal(sent, got) }
	}
	t.Run("Delivers", k.delivers)
	t.Run("Empty", k.empty)
	t.Run("Concurrently", k.concurrently)
	t.Run("Damaged", k.damaged)
	t.Run("AfterClose", k.afterClose)
	if len(k.Answers) > 0 {
		k.remote(t)
	}
}

// Stored are the codecs in which the queue holds requests.
var Stored = []string{codec.None, codec.S2, codec.Gzip, codec.Zstd, codec.Brotli}

// Body is a valid request; seeds give different ones.
func Body(sig otlp.Signal, seed uint64, items int) []byte {
	return sample.New(seed, sample.Shape{}).Append(nil, sig, items, time.Unix(1_700_000_000, 0))
}

// Request is raw as the queue would hold it.
func Request(t testing.TB, sig otlp.Signal, stored string, raw []byte) *exporter.Request {
	t.Helper()
	enc, err := codec.NewEncoder(stored, 0)
	if err != nil {
		t.Fatal(err)
	}
	body, err := enc.Append(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	return &exporter.Request{Signal: sig, Tenant: "acme", ID: "01JTEST", Items: 1, RawBytes: len(raw), Codec: stored, Body: body}
}

func (k Kind) start(t *testing.T, o Options) (exporter.Exporter, Destination) {
	t.Helper()
	x, d := k.New(t, o)
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return x, d
}

func (k Kind) compressions() []string {
	if len(k.Compressions) == 0 {
		return []string{""}
	}
	return k.Compressions
}

func export(t *testing.T, x exporter.Exporter, r *exporter.Request) {
	t.Helper()
	res, err := x.Export(context.Background(), r)
	if err != nil {
		t.Fatalf("export of %s stored as %s: %v", r.Signal, r.Codec, err)
	}
	if res != (exporter.Result{}) {
		t.Errorf("export of %s stored as %s: %+v, want full success", r.Signal, r.Codec, res)
	}
}

// delivers: every signal, stored in every codec, over every compression,
// arrives once as the same bytes.
func (k Kind) delivers(t *testing.T) {
	for _, wire := range k.compressions() {
		t.Run(wire, func(t *testing.T) {
			x, d := k.start(t, Options{Compression: wire, Header: "x-api-key", Secret: "s3cret-value"})
			var sent []Received
			for i, stored := range Stored {
				for _, sig := range otlp.Signals {
					raw := Body(sig, uint64(i), 50)
					r := Request(t, sig, stored, raw)
					export(t, x, r)
					scribble(r)
					sent = append(sent, Received{Signal: sig, Body: raw})
				}
			}
			got := d.Received(t)
			k.same(t, sent, got)
			for _, g := range got {
				if wire != "" && g.Encoding != wire {
					t.Errorf("%s over the wire as %q, want %q", g.Signal, g.Encoding, wire)
				}
				if len(k.Answers) > 0 && g.Secret != "s3cret-value" {
					t.Errorf("header value %q", g.Secret)
				}
			}
		})
	}
}

// empty: a request without data is one too.
func (k Kind) empty(t *testing.T) {
	for _, wire := range k.compressions() {
		x, d := k.start(t, Options{Compression: wire})
		for _, stored := range []string{codec.None, codec.Zstd} {
			export(t, x, Request(t, otlp.Logs, stored, nil))
		}
		for _, g := range d.Received(t) {
			if len(g.Body) != 0 {
				t.Errorf("%q: %d bytes arrived of nothing", wire, len(g.Body))
			}
		}
	}
}

// concurrently: each of many requests at once arrives once, whole, though its
// buffer is used again at once.
func (k Kind) concurrently(t *testing.T) {
	for _, wire := range k.compressions() {
		t.Run(wire, func(t *testing.T) {
			x, d := k.start(t, Options{Compression: wire})
			var mu sync.Mutex
			var sent []Received
			var wg sync.WaitGroup
			for g := range 6 {
				wg.Go(func() {
					for i := range 6 {
						sig := otlp.Signals[(g+i)%otlp.NumSignals]
						raw := Body(sig, uint64(g*1000+i), 1+i*10)
						r := Request(t, sig, Stored[i%len(Stored)], raw)
						if _, err := x.Export(context.Background(), r); err != nil {
							t.Error(err)
						}
						scribble(r)
						mu.Lock()
						sent = append(sent, Received{Signal: sig, Body: raw})
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			k.same(t, sent, d.Received(t))
		})
	}
}

// damaged: what cannot be decoded is permanent, and nothing is sent.
func (k Kind) damaged(t *testing.T) {
	for _, wire := range k.compressions() {
		x, d := k.start(t, Options{Compression: wire})
		r := Request(t, otlp.Traces, codec.S2, Body(otlp.Traces, 1, 20))
		r.Body = r.Body[:len(r.Body)/2]
		_, err := x.Export(context.Background(), r)
		Check(t, "damaged", err, Want{Kind: exporter.Permanent, Code: "undecodable", Says: []string{"01JTEST"}})
		if got := d.Received(t); len(got) != 0 {
			t.Errorf("%q: %d requests arrived", wire, len(got))
		}
	}
}

// afterClose: an export is refused, retryably, as data must not be lost.
func (k Kind) afterClose(t *testing.T) {
	x, _ := k.New(t, Options{})
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := x.Export(context.Background(), Request(t, otlp.Traces, codec.None, Body(otlp.Traces, 1, 1)))
	Check(t, "after close", err, Want{Kind: exporter.Retryable})
	if err := x.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// same compares as sets: order between requests is not promised.
func (k Kind) same(t *testing.T, sent, got []Received) {
	t.Helper()
	if len(sent) != len(got) {
		t.Errorf("sent %d requests, %d arrived", len(sent), len(got))
	}
	left := slices.Clone(got)
	for _, s := range sent {
		i := slices.IndexFunc(left, func(g Received) bool { return g.Signal == s.Signal && k.Same(s.Signal, s.Body, g.Body) })
		if i < 0 {
			t.Errorf("%s of %d bytes (%s) did not arrive", s.Signal, len(s.Body), short(s.Body))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
}

func short(b []byte) string { h := sha256.Sum256(b); return fmt.Sprintf("%x", h[:4]) }

// scribble is what the owner of a request may do once Export returned.
func scribble(r *exporter.Request) {
	for i := range r.Body {
		r.Body[i] ^= 0xA5
	}
}
