package exportertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Answer is something that a remote destination says, and what it means.
type Answer struct {
	Name string
	// Set makes the destination say it from now on.
	Set func(d Destination)
	// Want is the failure, nil for a delivery with Result.
	Want *Want
	// Result is what a delivery gives; Message is part of the message.
	Result exporter.Result
}

// Want is an expected *exporter.Error.
type Want struct {
	Kind exporter.Kind
	// Code is not compared when empty.
	Code  string
	After time.Duration
	// Says are parts of the text, Hides must not be in it.
	Says, Hides []string
}

// Check compares err with want.
func Check(t *testing.T, what string, err error, want Want) {
	t.Helper()
	var e *exporter.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: got %v, want %s %s", what, err, want.Code, want.Kind)
		return
	}
	if e.Kind != want.Kind || want.Code != "" && e.Code != want.Code || e.After != want.After {
		t.Errorf("%s: got kind %s, code %q, after %s; want %s, %q, %s: %v", what, e.Kind, e.Code, e.After, want.Kind, want.Code, want.After, err)
	}
	for _, s := range want.Says {
		if !strings.Contains(e.Error(), s) {
			t.Errorf("%s: %q does not say %q", what, e, s)
		}
	}
	for _, s := range want.Hides {
		if strings.Contains(e.Error(), s) {
			t.Errorf("%s: %.200q shows %q", what, e.Error(), s)
		}
	}
}

const secret = "hunter2-hunter2"

func (k Kind) remote(t *testing.T) {
	t.Run("Answers", k.answers)
	t.Run("Timeout", k.timeout)
	t.Run("Canceled", k.canceled)
	t.Run("NoConnection", k.noConnection)
	t.Run("ConnectionLost", k.connectionLost)
	t.Run("TooLarge", k.tooLarge)
	t.Run("NothingKept", k.nothingKept)
}

func (k Kind) answers(t *testing.T) {
	for _, a := range k.Answers {
		t.Run(a.Name, func(t *testing.T) {
			x, d := k.start(t, Options{Header: "x-api-key", Secret: secret})
			a.Set(d)
			res, err := x.Export(context.Background(), Request(t, otlp.Metrics, codec.Zstd, Body(otlp.Metrics, 1, 5)))
			if a.Want != nil {
				want := *a.Want
				want.Hides = append(want.Hides, secret)
				Check(t, a.Name, err, want)
				return
			}
			if err != nil || res.Rejected != a.Result.Rejected || !strings.Contains(res.Message, a.Result.Message) || (res.Message == "") != (a.Result.Message == "") {
				t.Errorf("got %+v, %v, want %+v", res, err, a.Result)
			}
			if strings.Contains(res.Message, secret) {
				t.Errorf("%q shows the secret", res.Message)
			}
		})
	}
}

func (k Kind) timeout(t *testing.T) {
	x, d := k.start(t, Options{Timeout: 50 * time.Millisecond})
	r := d.(Remote)
	export1 := func() error {
		_, err := x.Export(context.Background(), Request(t, otlp.Logs, codec.S2, Body(otlp.Logs, 1, 5)))
		return err
	}
	// Connected, so that it is the answer that does not come.
	eventually(t, "a delivery", func() bool { return export1() == nil })
	r.Hold()
	Check(t, "timeout", export1(), Want{Kind: exporter.Retryable, Code: "timeout", Says: []string{r.Address()}})
	r.Free()
	eventually(t, "a delivery after", func() bool { return export1() == nil })
}

func (k Kind) canceled(t *testing.T) {
	x, d := k.start(t, Options{})
	r := d.(Remote)
	r.Hold()
	defer r.Free()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err = x.Export(ctx, Request(t, otlp.Logs, codec.S2, Body(otlp.Logs, 1, 5)))
	})
	eventually(t, "the request in the server", func() bool { return r.Held() == 1 })
	cancel()
	wg.Wait()
	Check(t, "canceled", err, Want{Kind: exporter.Retryable, Code: "canceled"})
}

func (k Kind) noConnection(t *testing.T) {
	x, d := k.start(t, Options{Header: "x-api-key", Secret: secret})
	r := d.(Remote)
	req := Request(t, otlp.Traces, codec.Gzip, Body(otlp.Traces, 1, 5))
	export(t, x, req)
	r.Stop()
	var err error
	eventually(t, "a failure to connect", func() bool {
		_, err = x.Export(context.Background(), req)
		return err != nil && strings.Contains(err.Error(), "refused")
	})
	Check(t, "no connection", err, Want{Kind: exporter.Retryable, Code: "no_connection", Says: []string{r.Address(), "connection refused"}, Hides: []string{secret}})
	r.Start(t)
	eventually(t, "a delivery after", func() bool { _, err := x.Export(context.Background(), req); return err == nil })
}

func (k Kind) connectionLost(t *testing.T) {
	x, d := k.start(t, Options{})
	r := d.(Remote)
	r.Hold()
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err = x.Export(context.Background(), Request(t, otlp.Traces, codec.Gzip, Body(otlp.Traces, 1, 5)))
	})
	eventually(t, "the request in the server", func() bool { return r.Held() == 1 })
	r.Stop()
	wg.Wait()
	Check(t, "connection lost", err, Want{Kind: exporter.Retryable, Code: "no_connection", Says: []string{r.Address()}})
}

func (k Kind) tooLarge(t *testing.T) {
	raw := Body(otlp.Traces, 1, 50)
	x, d := k.start(t, Options{MaxRequestBytes: len(raw) - 1})
	f := func(r *exporter.Request) {
		t.Helper()
		_, err := x.Export(context.Background(), r)
		Check(t, "too large", err, Want{Kind: exporter.TooLarge, Code: "too_large", Says: []string{"max_request_bytes"}})
	}
	for _, stored := range Stored {
		r := Request(t, otlp.Traces, stored, raw)
		f(r)
		if stored == codec.None || stored == codec.S2 { // believed in no header
			r.RawBytes = 1
			f(r)
		}
	}
	if got := d.Received(t); len(got) != 0 {
		t.Errorf("%d arrived", len(got))
	}
}

// nothingKept: the race detector sees whoever reads the body of a request after
// Export gave it up in the middle of sending.
func (k Kind) nothingKept(t *testing.T) {
	for _, wire := range k.Compressions {
		t.Run(wire, func(t *testing.T) {
			x, d := k.start(t, Options{Compression: wire})
			r := d.(Remote)
			export(t, x, Request(t, otlp.Traces, codec.None, Body(otlp.Traces, 1, 5)))
			r.Hold()
			raw := Body(otlp.Traces, 2, 1000)
			var wg sync.WaitGroup
			for i, stored := range Stored {
				req := Request(t, otlp.Traces, stored, raw)
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+i*2)*time.Millisecond)
				defer cancel()
				wg.Go(func() {
					if _, err := x.Export(ctx, req); err == nil {
						t.Error("a held request was answered")
					}
					scribble(req)
				})
			}
			wg.Wait()
			r.Free()
			// What was given up must not have spoilt what comes after.
			for i := range 6 {
				raw := Body(otlp.Logs, uint64(i), 200)
				export(t, x, Request(t, otlp.Logs, Stored[i%len(Stored)], raw))
				got := d.Received(t)
				found := false
				for _, g := range got {
					found = found || g.Signal == otlp.Logs && k.Same(otlp.Logs, raw, g.Body)
				}
				if !found {
					t.Errorf("request %d did not arrive as it was sent", i)
				}
			}
		})
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}
