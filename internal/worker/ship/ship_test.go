package ship_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/exportertest"
	"github.com/penstock-otel/penstock/internal/worker/ship"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// backend takes spans, told apart by name, and answers as verdict says of each
// request.
type backend struct {
	t       *testing.T
	verdict func(names []string, bytes int) error
	got     map[string]int
	calls   int
}

func (b *backend) Export(_ context.Context, q *exporter.Request) (exporter.Result, error) {
	b.t.Helper()
	b.calls++
	raw, err := codec.Decode(nil, q.Codec, q.Body, 1<<30)
	if err != nil {
		b.t.Fatal(err)
	}
	names := spans(b.t, raw)
	if len(names) != q.Items || len(raw) != q.RawBytes {
		b.t.Errorf("request of %d items in %d bytes says %d in %d", len(names), len(raw), q.Items, q.RawBytes)
	}
	if err := b.verdict(names, len(raw)); err != nil {
		return exporter.Result{}, err
	}
	for _, n := range names {
		b.got[n]++
	}
	return exporter.Result{}, nil
}

func (*backend) Close() error { return nil }

func newBackend(t *testing.T, verdict func(names []string, bytes int) error) *backend {
	return &backend{t: t, verdict: verdict, got: map[string]int{}}
}

func spans(t *testing.T, raw []byte) (names []string) {
	t.Helper()
	var m coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	for _, rs := range m.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// group is a record of n spans, of requests of 100, named by their position.
func group(t *testing.T, stored string, n int) *record.Record {
	t.Helper()
	var raw []byte
	for at := 0; at < n; at += 100 {
		var m coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(exportertest.Body(otlp.Traces, uint64(at)+1, min(100, n-at)), &m); err != nil {
			t.Fatal(err)
		}
		i := at
		for _, rs := range m.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					s.Name = fmt.Sprint("span-", i)
					i++
				}
			}
		}
		b, err := proto.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, b...)
	}
	enc, err := codec.NewEncoder(stored, 0)
	if err != nil {
		t.Fatal(err)
	}
	body, err := enc.Append(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	return &record.Record{ID: "01JGROUP", Signal: otlp.Traces, Tenant: "acme", Codec: stored, Items: n, RawBytes: len(raw), Body: body}
}

func permanent(code string) error {
	return &exporter.Error{Kind: exporter.Permanent, Code: code, Err: errors.New("no")}
}

func tooLarge(code string) error {
	return &exporter.Error{Kind: exporter.TooLarge, Code: code, Err: errors.New("too big")}
}

func later() error {
	return &exporter.Error{Kind: exporter.Retryable, Code: "UNAVAILABLE", Err: errors.New("not now")}
}

// rejecting is a verdict that rejects what holds one of the bad.
func rejecting(bad ...int) func([]string, int) error {
	return func(names []string, _ int) error {
		for _, i := range bad {
			if slices.Contains(names, fmt.Sprint("span-", i)) {
				return permanent("INVALID_ARGUMENT")
			}
		}
		return nil
	}
}

// books fails unless each of n spans is once with the backend or once among the
// dead, and returns the dead.
func (b *backend) books(n int, out ship.Outcome) (dead []int) {
	b.t.Helper()
	at := map[string]int{}
	for _, d := range out.Dead {
		raw, err := codec.Decode(nil, d.Record.Codec, d.Record.Body, 1<<30)
		if err != nil {
			b.t.Fatal(err)
		}
		names := spans(b.t, raw)
		if len(names) != d.Range.Items() || d.Record.Items != len(names) || d.Record.RawBytes != len(raw) || d.Record.ID != "01JGROUP" || d.Record.Tenant != "acme" {
			b.t.Errorf("dead %s: %d spans, record %+v", d.Part(""), len(names), d.Record)
		}
		for i, name := range names {
			if name != fmt.Sprint("span-", d.Range.From+i) {
				b.t.Errorf("%s at %d of dead %s", name, i, d.Part(""))
			}
			at[name]++
			dead = append(dead, d.Range.From+i)
		}
	}
	for i := range n {
		name := fmt.Sprint("span-", i)
		if b.got[name]+at[name] != 1 {
			b.t.Errorf("%s: taken %d times, dead %d times", name, b.got[name], at[name])
		}
	}
	return dead
}

func TestBadItemsAreIsolated(t *testing.T) {
	spread := make([]int, 20)
	for i := range spread {
		spread[i] = i*500 + i*7%500
	}
	for name, c := range map[string]struct {
		n    int
		bad  []int
		most int // exports
	}{
		"none":               {10_000, nil, 1},
		"one":                {10_000, []int{7321}, 40},
		"the first":          {10_000, []int{0}, 60},
		"the last":           {10_000, []int{9999}, 40},
		"two of two":         {2, []int{0, 1}, 3},
		"one of two":         {2, []int{1}, 3},
		"the one":            {1, []int{0}, 1},
		"20 spread":          {10_000, spread, 450},
		"neighbours at head": {10_000, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, 120},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, rejecting(c.bad...))
			out, err := ship.Ship(t.Context(), b, group(t, codec.S2, c.n), ship.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if dead := b.books(c.n, out); !slices.Equal(dead, c.bad) {
				t.Errorf("dead are %v, want %v", dead, c.bad)
			}
			if b.calls > c.most || out.Requests != b.calls || out.Delivered != c.n-len(c.bad) {
				t.Errorf("%d exports (%d told), want %d at most; %d delivered", b.calls, out.Requests, c.most, out.Delivered)
			}
			for _, d := range out.Dead {
				if d.Reason.Reason != deadletter.ReasonRejected || d.Code != "INVALID_ARGUMENT" || d.Detail != "no" {
					t.Errorf("dead of %+v", d.Reason)
				}
			}
		})
	}
}

func TestTooLargeIsSplit(t *testing.T) {
	g := group(t, codec.Zstd, 1000)
	limit := g.RawBytes / 5
	largest := 0
	b := newBackend(t, func(_ []string, n int) error {
		largest = max(largest, n)
		if n > limit {
			return tooLarge("HTTP 413")
		}
		return nil
	})
	out, err := ship.Ship(t.Context(), b, g, ship.Options{})
	if err != nil || len(out.Dead) > 0 || out.Delivered != 1000 {
		t.Errorf("%+v, %v", out, err)
	}
	b.books(1000, out)
	if b.calls != 3+8 { // whole, half, quarter; what is no smaller is not asked
		t.Errorf("%d exports", b.calls)
	}
	largest = 0
	out, err = ship.Ship(t.Context(), b, g, ship.Options{MaxRequestBytes: limit})
	if err != nil || out.Delivered != 1000 || largest > limit {
		t.Errorf("%+v, %v; the largest has %d of %d bytes", out, err, largest, limit)
	}
}

// What was taken before a failure is not sent again, from any point of failure.
func TestProgressSurvivesFailures(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rnd.IntN(600)
		var bad []int
		for i := range n {
			if rnd.IntN(100) == 0 {
				bad = append(bad, i)
			}
		}
		judge := rejecting(bad...)
		g := group(t, codec.S2, n)
		limit := g.RawBytes/(1+rnd.IntN(4)) + 1000
		b := newBackend(t, func(names []string, bytes int) error {
			switch {
			case rnd.IntN(3) == 0:
				return later()
			case bytes > limit:
				return tooLarge("HTTP 413")
			}
			return judge(names, bytes)
		})
		var p ship.Progress
		var out ship.Outcome
		var sum int
		err := later()
		for tries := 0; err != nil; tries++ {
			if tries > 10_000 {
				t.Fatalf("seed %d: does not end", seed)
			}
			out, err = ship.Ship(t.Context(), b, g, ship.Options{Progress: &p})
			sum += out.Delivered
			var e *exporter.Error
			if err != nil && (!errors.As(err, &e) || e.Kind != exporter.Retryable || len(out.Dead) > 0) {
				t.Fatalf("seed %d: %v with %+v", seed, err, out)
			}
		}
		if dead := b.books(n, out); !slices.Equal(dead, bad) || sum != n-len(bad) || p.Delivered() != sum {
			t.Errorf("seed %d: dead are %v, want %v; %d delivered", seed, dead, bad, sum)
		}
	}
}
