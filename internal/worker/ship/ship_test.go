package ship_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/ship"
	"github.com/penstock-otel/penstock/internal/worker/ship/shiptest"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// group is a record of n items.
func group(t *testing.T, stored string, n int) *record.Record {
	t.Helper()
	raw := shiptest.Logs(0, n, 100)
	enc, err := codec.NewEncoder(stored, 0)
	if err != nil {
		t.Fatal(err)
	}
	body, err := enc.Append(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	return &record.Record{ID: "01JGROUP", Signal: otlp.Logs, Tenant: "acme", Codec: stored, Items: n, RawBytes: len(raw), Body: body}
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

// rejecting is a judge that rejects what holds one of the bad.
func rejecting(bad ...int) func([]int, int) error {
	return func(items []int, _ int) error {
		for _, i := range bad {
			if slices.Contains(items, i) {
				return permanent("INVALID_ARGUMENT")
			}
		}
		return nil
	}
}

// books fails unless each of n items is once with the backend or once among the
// dead, and returns the dead.
func books(t *testing.T, b *shiptest.Backend, n int, out ship.Outcome) (dead []int) {
	t.Helper()
	at := b.Got()
	for _, d := range out.Dead {
		raw, err := codec.Decode(nil, d.Record.Codec, d.Record.Body, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		items := shiptest.Numbers(raw)
		if len(items) != d.Range.Items() || d.Record.Items != len(items) || d.Record.RawBytes != len(raw) ||
			d.Record.ID != "01JGROUP" || d.Record.Tenant != "acme" || d.Record.Signal != otlp.Logs {
			t.Errorf("dead %s: %d items, record %+v", d.Part(""), len(items), d.Record)
		}
		for i, item := range items {
			if item != d.Range.From+i {
				t.Errorf("item %d at %d of dead %s", item, i, d.Part(""))
			}
			at[item]++
		}
		dead = append(dead, items...)
	}
	for i := range n {
		if at[i] != 1 {
			t.Errorf("item %d is taken or dead %d times", i, at[i])
		}
	}
	return dead
}

func TestBadItemsAreIsolated(t *testing.T) {
	spread := make([]int, 20)
	for i := range spread {
		spread[i] = i*500 + i*7%500
	}
	several := make([]int, 300)
	for i := range several {
		several[i] = i
	}
	for name, c := range map[string]struct {
		n    int
		bad  []int
		most int // exports
	}{
		"none":                 {10_000, nil, 1},
		"one":                  {10_000, []int{7321}, 40},
		"the first":            {10_000, []int{0}, 60},
		"the last":             {10_000, []int{9999}, 40},
		"two of two":           {2, []int{0, 1}, 3},
		"one of two":           {2, []int{1}, 3},
		"the one":              {1, []int{0}, 1},
		"20 spread":            {10_000, spread, 450},
		"a client's 300":       {10_000, several, 650},
		"all of a few":         {5, []int{0, 1, 2, 3, 4}, 12},
		"every other of a few": {8, []int{0, 2, 4, 6}, 17},
	} {
		t.Run(name, func(t *testing.T) {
			b := &shiptest.Backend{Judge: rejecting(c.bad...)}
			out, err := ship.Ship(t.Context(), b, group(t, codec.S2, c.n), ship.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if dead := books(t, b, c.n, out); !slices.Equal(dead, c.bad) {
				t.Errorf("dead are %v, want %v", dead, c.bad)
			}
			if n, _ := b.Requests(); n > c.most || out.Requests != n || out.Delivered != c.n-len(c.bad) {
				t.Errorf("%d exports (%d told), want %d at most; %d delivered", n, out.Requests, c.most, out.Delivered)
			}
			for _, d := range out.Dead {
				if d.Reason.Reason != deadletter.ReasonRejected || d.Code != "INVALID_ARGUMENT" || d.Detail != "no" || d.Whole != (len(c.bad) == c.n) {
					t.Errorf("dead of %+v, whole %t", d.Reason, d.Whole)
				}
			}
		})
	}
}

// What is bad as a whole, or in too many places, is not taken apart for ever,
// and no item of it is lost.
func TestTakingApartIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		judge func(items []int, bytes int) error
		most  int
		whole bool
	}{
		"all":             {func([]int, int) error { return permanent("INVALID_ARGUMENT") }, 20, true},
		"all too large":   {func([]int, int) error { return tooLarge("HTTP 413") }, 20, true},
		"all unreadable":  {func([]int, int) error { return permanent("bad_response") }, 1, true},
		"every other one": {func(items []int, _ int) error { return rejectedIf(len(items) > 1 || items[0]%2 == 0) }, 1024, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := &shiptest.Backend{Judge: c.judge}
			out, err := ship.Ship(t.Context(), b, group(t, codec.S2, 10_000), ship.Options{})
			n, _ := b.Requests()
			if err != nil || n > c.most || (len(out.Dead) == 1 && out.Dead[0].Whole) != c.whole {
				t.Errorf("%d exports, want %d at most; %d dead; %v", n, c.most, len(out.Dead), err)
			}
			books(t, b, 10_000, out)
			if !c.whole && !strings.Contains(out.Dead[len(out.Dead)-1].Detail, "after 1024 requests") {
				t.Errorf("the rest died of %q", out.Dead[len(out.Dead)-1].Detail)
			}
		})
	}
}

func rejectedIf(bad bool) error {
	if bad {
		return permanent("INVALID_ARGUMENT")
	}
	return nil
}

func TestTooLargeIsSplit(t *testing.T) {
	g := group(t, codec.Zstd, 1000)
	limit := g.RawBytes / 5
	judge := func(_ []int, n int) error {
		if n > limit {
			return tooLarge("HTTP 413")
		}
		return nil
	}
	b := &shiptest.Backend{Judge: judge}
	out, err := ship.Ship(t.Context(), b, g, ship.Options{})
	if err != nil || len(out.Dead) > 0 || out.Delivered != 1000 {
		t.Errorf("%+v, %v", out, err)
	}
	books(t, b, 1000, out)
	if n, _ := b.Requests(); n != 3+8 { // whole, half, quarter; what is no smaller is not asked
		t.Errorf("%d exports", n)
	}
	b = &shiptest.Backend{Judge: judge}
	out, err = ship.Ship(t.Context(), b, g, ship.Options{MaxRequestBytes: limit})
	if n, largest := b.Requests(); err != nil || out.Delivered != 1000 || n != 8 || largest > limit {
		t.Errorf("%+v, %v; %d exports, the largest has %d of %d bytes", out, err, n, largest, limit)
	}
}

// A single item that is too large is dead alone.
func TestTooLargeItemIsAlone(t *testing.T) {
	for _, own := range []int{0, 20_000} {
		raw := slices.Concat(shiptest.Logs(0, 50, 10), shiptest.Logs(50, 1, 90_000), shiptest.Logs(51, 49, 10))
		r := &record.Record{ID: "01JGROUP", Signal: otlp.Logs, Tenant: "acme", Codec: codec.None, Items: 100, RawBytes: len(raw), Body: raw}
		b := &shiptest.Backend{Judge: func(_ []int, n int) error {
			if n > 50_000 {
				return tooLarge("RESOURCE_EXHAUSTED")
			}
			return nil
		}}
		out, err := ship.Ship(t.Context(), b, r, ship.Options{MaxRequestBytes: own})
		if dead := books(t, b, 100, out); err != nil || !slices.Equal(dead, []int{50}) || out.Dead[0].Reason.Reason != deadletter.ReasonTooLarge || out.Dead[0].Part("") != "50-50" {
			t.Errorf("own limit %d: dead %v, %+v, %v", own, dead, out.Dead, err)
		}
	}
}

// What speaks of the destination is no matter of the items: nothing is taken
// apart, and nothing is dead unless that is wanted.
func TestRefusalsAreErrors(t *testing.T) {
	for _, code := range []string{"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "NOT_FOUND", "HTTP 401", "HTTP 403", "HTTP 404", "HTTP 405", "HTTP 415", "HTTP 302", "HTTP 501"} {
		b := &shiptest.Backend{Judge: func([]int, int) error { return permanent(code) }}
		var p ship.Progress
		out, err := ship.Ship(t.Context(), b, group(t, codec.S2, 100), ship.Options{Progress: &p})
		var e *exporter.Error
		if n, _ := b.Requests(); !errors.As(err, &e) || e.Kind != exporter.Permanent || e.Code != code || len(out.Dead) > 0 || n != 1 || p.Began() {
			t.Errorf("%s: %+v, %v after %d exports", code, out, err, n)
		}
		out, err = ship.Ship(t.Context(), b, group(t, codec.S2, 100), ship.Options{DeadLetterRefusals: true})
		if n, _ := b.Requests(); err != nil || n != 2 || len(out.Dead) != 1 || !out.Dead[0].Whole || out.Dead[0].Code != code {
			t.Errorf("%s, dead by option: %+v, %v after %d exports", code, out, err, n-1)
		}
	}
	for _, code := range []string{"INVALID_ARGUMENT", "INTERNAL", "UNKNOWN", "HTTP 400", "HTTP 413", "HTTP 422", "HTTP 500", "HTTP ", "HTTP x"} {
		if ship.Refuses(code) {
			t.Errorf("%q is a refusal", code)
		}
	}
}

// A refusal in the midst of parts keeps what was taken.
func TestRefusalOfTheRest(t *testing.T) {
	wrong, b := false, &shiptest.Backend{}
	b.Judge = func(items []int, _ int) error {
		switch {
		case len(items) == 100:
			return tooLarge("HTTP 413")
		case wrong && items[0] > 0:
			return permanent("UNAUTHENTICATED")
		}
		return nil
	}
	wrong = true
	var p ship.Progress
	g := group(t, codec.S2, 100)
	out, err := ship.Ship(t.Context(), b, g, ship.Options{Progress: &p})
	if err == nil || out.Delivered != 50 {
		t.Errorf("%+v, %v", out, err)
	}
	wrong = false
	out, err = ship.Ship(t.Context(), b, g, ship.Options{Progress: &p})
	if err != nil || out.Delivered != 50 || len(books(t, b, 100, out)) != 0 || p.Delivered() != 100 {
		t.Errorf("%+v, %v", out, err)
	}
	dead := &shiptest.Backend{Judge: func(items []int, _ int) error {
		if len(items) == 100 {
			return tooLarge("HTTP 413")
		}
		return b.Judge(items, 0)
	}}
	wrong = true
	out, err = ship.Ship(t.Context(), dead, g, ship.Options{DeadLetterRefusals: true})
	if err != nil || out.Delivered != 50 || len(books(t, dead, 100, out)) != 50 || out.Dead[0].Part("10-109") != "60-109" {
		t.Errorf("dead by option: %+v, %v", out, err)
	}
}

// RESOURCE_EXHAUSTED for little is a quota.
func TestQuotaIsRetryable(t *testing.T) {
	b := &shiptest.Backend{Judge: func([]int, int) error { return tooLarge("RESOURCE_EXHAUSTED") }}
	for _, n := range []int{1, 10, 1000} {
		out, err := ship.Ship(t.Context(), b, group(t, codec.S2, n), ship.Options{})
		var e *exporter.Error
		if !errors.As(err, &e) || e.Kind != exporter.Retryable || len(out.Dead) > 0 || !strings.Contains(err.Error(), "a quota of the destination") {
			t.Errorf("%d items: %+v, %v", n, out, err)
		}
	}
	if n, _ := b.Requests(); n > 10 {
		t.Errorf("%d exports", n)
	}
	out, err := ship.Ship(t.Context(), b, group(t, codec.S2, 10), ship.Options{DeadLetterRefusals: true})
	var e *exporter.Error
	if !errors.As(err, &e) || e.Kind != exporter.Retryable || len(out.Dead) > 0 {
		t.Errorf("dead of a quota because refusals are: %+v, %v", out, err)
	}
}

// A server that did not get the request in time says nothing of the items.
func TestPassingAnswersAreRetryable(t *testing.T) {
	for _, code := range []string{"HTTP 408", "HTTP 425"} {
		b := &shiptest.Backend{Judge: func([]int, int) error { return permanent(code) }}
		for _, option := range []bool{false, true} {
			out, err := ship.Ship(t.Context(), b, group(t, codec.S2, 10), ship.Options{DeadLetterRefusals: option})
			var e *exporter.Error
			if !errors.As(err, &e) || e.Kind != exporter.Retryable || e.Code != code || len(out.Dead) > 0 {
				t.Errorf("%s: %+v, %v", code, out, err)
			}
		}
	}
}

// By the letter of the specification a client gives up after these answers.
func TestStrictRetriesNothingBeyondTheSpecification(t *testing.T) {
	for _, code := range []string{"HTTP 408", "HTTP 425", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED"} {
		err := permanent(code)
		if code == "RESOURCE_EXHAUSTED" {
			err = tooLarge(code)
		}
		b := &shiptest.Backend{Judge: func([]int, int) error { return err }}
		out, got := ship.Ship(t.Context(), b, group(t, codec.S2, 1), ship.Options{DeadLetterRefusals: true, Strict: true})
		if n, _ := b.Requests(); got != nil || n != 1 || len(out.Dead) != 1 || out.Dead[0].Code != code {
			t.Errorf("%s: %d requests, %+v, %v", code, n, out, got)
		}
	}
}

// A refusal whose letter was never confirmed says nothing of the next answer: the
// good items of the record are delivered.
func TestRefusalThatWasNotBuriedIsForgotten(t *testing.T) {
	word := "UNAUTHENTICATED"
	b := &shiptest.Backend{}
	b.Judge = func(items []int, n int) error {
		if word != "" {
			return permanent(word)
		}
		return rejecting(33)(items, n)
	}
	r, p := group(t, codec.S2, 100), &ship.Progress{}
	o := ship.Options{DeadLetterRefusals: true, Progress: p}
	if out, err := ship.Ship(t.Context(), b, r, o); err != nil || len(out.Dead) != 1 || !out.Dead[0].Whole {
		t.Fatalf("refused: %+v, %v", out, err)
	}
	word = ""
	out, err := ship.Ship(t.Context(), b, r, o)
	if dead := books(t, b, 100, out); err != nil || !slices.Equal(dead, []int{33}) {
		t.Errorf("%v, dead are %v, want item 33 alone", err, dead)
	}
}

// Two turns of one record that run beside each other share nothing.
func TestCloneOfProgress(t *testing.T) {
	fail := 12
	b := &shiptest.Backend{}
	b.Judge = func(items []int, n int) error {
		if fail--; fail == 0 {
			return later()
		}
		return rejecting(3, 40, 77)(items, n)
	}
	r, p := group(t, codec.S2, 100), &ship.Progress{}
	if _, err := ship.Ship(t.Context(), b, r, ship.Options{Progress: p}); err == nil {
		t.Fatal("the first turn ended")
	}
	var turns sync.WaitGroup
	for range 4 {
		c := p.Clone()
		turns.Go(func() {
			other := &shiptest.Backend{Judge: rejecting(3, 40, 77)}
			if out, err := ship.Ship(context.Background(), other, r, ship.Options{Progress: &c}); err != nil || len(out.Dead) != 3 || c.Delivered() != 97 {
				t.Errorf("%d delivered, %d dead, %v", c.Delivered(), len(out.Dead), err)
			}
		})
	}
	turns.Wait()
}

// What was taken before a failure is not sent again, from any point of failure.
func TestProgressSurvivesFailures(t *testing.T) {
	for seed := range uint64(25) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rnd.IntN(250)
		var bad []int
		for i := range n {
			if rnd.IntN(100) == 0 {
				bad = append(bad, i)
			}
		}
		g := group(t, codec.S2, n)
		limit := g.RawBytes/(1+rnd.IntN(4)) + 1000
		judge := rejecting(bad...)
		b := &shiptest.Backend{Judge: func(items []int, bytes int) error {
			switch {
			case rnd.IntN(3) == 0:
				return later()
			case bytes > limit:
				return tooLarge("HTTP 413")
			}
			return judge(items, bytes)
		}}
		var p ship.Progress
		var out ship.Outcome
		sum, err := 0, later()
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
		if dead := books(t, b, n, out); !slices.Equal(dead, bad) || sum != n-len(bad) || p.Delivered() != sum {
			t.Errorf("seed %d: dead are %v, want %v; %d delivered", seed, dead, bad, sum)
		}
		again, err := ship.Ship(t.Context(), b, g, ship.Options{Progress: &p})
		if p.Began() && (err != nil || again.Requests > 0 || fmt.Sprint(parts(again)) != fmt.Sprint(parts(out))) {
			t.Errorf("seed %d: once more is %v, %v; want %v again", seed, parts(again), err, parts(out))
		}
	}
}

func parts(out ship.Outcome) (names []string) {
	for _, d := range out.Dead {
		names = append(names, d.Part(""))
	}
	return names
}

// Giving up kills what was not decided, and nothing else.
func TestGiveUp(t *testing.T) {
	why := ship.Reason{Reason: deadletter.ReasonExpired, Code: "UNAVAILABLE", Detail: "for long"}
	g := group(t, codec.Gzip, 100)
	out, err := ship.GiveUp(g, ship.Options{}, why)
	if err != nil || len(out.Dead) != 1 || !out.Dead[0].Whole || out.Dead[0].Reason != why || out.Dead[0].Record != g {
		t.Errorf("untouched: %+v, %v", out, err)
	}
	b := &shiptest.Backend{Judge: func(items []int, _ int) error {
		switch {
		case len(items) == 100 || slices.Contains(items, 3):
			return permanent("INVALID_ARGUMENT")
		case slices.Contains(items, 77):
			return later()
		}
		return nil
	}}
	var p ship.Progress
	if _, err := ship.Ship(t.Context(), b, g, ship.Options{Progress: &p}); err == nil {
		t.Fatal("item 77 was taken")
	}
	out, err = ship.GiveUp(g, ship.Options{Progress: &p}, why)
	dead := books(t, b, 100, out)
	if err != nil || len(out.Dead) != 2 || out.Dead[0].Code != "INVALID_ARGUMENT" || out.Dead[0].Range.Items() != 1 || out.Dead[1].Reason != why || !slices.Contains(dead, 77) {
		t.Errorf("%+v, %v", parts(out), err)
	}
}

// cutter forbids after so many calls.
type cutter struct {
	allow int
	asked []ship.Cause
}

var errNoCut = errors.New("not now")

func (c *cutter) Cut(cause ship.Cause) error {
	c.asked = append(c.asked, cause)
	if c.allow--; c.allow < 0 {
		return errNoCut
	}
	return nil
}

func TestCutterIsAsked(t *testing.T) {
	g := group(t, codec.S2, 100)
	b := &shiptest.Backend{Judge: func(items []int, n int) error {
		if n > g.RawBytes/2+1000 {
			return tooLarge("HTTP 413")
		}
		return rejecting(10)(items, n)
	}}
	var p ship.Progress
	for i, want := range []string{"[too_large]", "[too_large rejected]", "[too_large rejected]"} {
		c := &cutter{allow: i}
		out, err := ship.Ship(t.Context(), b, g, ship.Options{Progress: &p, Cutter: c})
		if fmt.Sprint(c.asked) != want || errors.Is(err, errNoCut) != (i < 2) {
			t.Errorf("asked for %v, want %s; %v", c.asked, want, err)
		}
		if i == 2 && (err != nil || !slices.Equal(books(t, b, 100, out), []int{10})) {
			t.Errorf("%+v, %v", out, err)
		}
	}
}

// What cannot be cut is dead whole, whatever its headers say.
func TestUncuttable(t *testing.T) {
	reject := &shiptest.Backend{Judge: func([]int, int) error { return permanent("INVALID_ARGUMENT") }}
	f := func(name string, r *record.Record, o ship.Options, b exporter.Exporter, want string) {
		t.Helper()
		out, err := ship.Ship(t.Context(), b, r, o)
		if err != nil || len(out.Dead) != 1 || !out.Dead[0].Whole || out.Dead[0].Part("") != "" || out.Dead[0].Part("5-6") != "5-6" || out.Dead[0].Code != want {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	always := export(func(*exporter.Request) error { return permanent("INVALID_ARGUMENT") })
	g := group(t, codec.S2, 100)
	torn := *g
	torn.Body = torn.Body[:20]
	f("damaged", &torn, ship.Options{}, always, "undecodable")
	f("huge", g, ship.Options{MaxRawBytes: 1000, MaxRequestBytes: 500}, always, "too_large")
	strange := *g
	strange.Codec, strange.Body = codec.None, []byte("\x0a\x03abc")
	f("no OTLP", &strange, ship.Options{}, always, "INVALID_ARGUMENT")
	f("no OTLP and large", &strange, ship.Options{MaxRequestBytes: 4}, always, "INVALID_ARGUMENT")
	claims := *group(t, codec.S2, 100)
	claims.Items = 7
	out, err := ship.Ship(t.Context(), export(func(q *exporter.Request) error {
		if q.Items == 7 || q.Items > 50 {
			return permanent("INVALID_ARGUMENT")
		}
		return nil
	}), &claims, ship.Options{})
	if err != nil || out.Delivered != 100 || len(out.Dead) > 0 {
		t.Errorf("wrong number of items: %+v, %v", out, err)
	}
	none := *g
	none.Items, none.Body, none.RawBytes, none.Codec = 0, nil, 0, codec.None
	f("no items", &none, ship.Options{}, reject, "INVALID_ARGUMENT")
	taken := export(func(*exporter.Request) error { return nil })
	if out, err := ship.Ship(t.Context(), taken, &strange, ship.Options{MaxRequestBytes: 4}); err != nil || len(out.Dead) > 0 || out.Delivered != strange.Items {
		t.Errorf("a large one that is no OTLP, and is taken: %+v, %v", out, err)
	}
}

type export func(*exporter.Request) error

func (f export) Export(_ context.Context, q *exporter.Request) (exporter.Result, error) {
	return exporter.Result{}, f(q)
}
func (export) Close() error { return nil }

// The sum of partial successes is final, whatever number the destination likes.
func TestPartialSuccess(t *testing.T) {
	var p ship.Progress
	out, err := ship.Ship(t.Context(), partial{}, group(t, codec.S2, 100), ship.Options{Progress: &p, Header: []exporter.Header{{Name: "a", Value: "b"}}})
	if err != nil || out.Delivered != 0 || out.Rejected != 100 || p.Rejected() != 100 || out.Message != "words" {
		t.Errorf("%+v, %v", out, err)
	}
}

// partial takes halves and rejects more than there is.
type partial struct{}

func (partial) Export(_ context.Context, q *exporter.Request) (exporter.Result, error) {
	if q.Items > 50 || len(q.Header) != 1 {
		return exporter.Result{}, tooLarge("HTTP 413")
	}
	return exporter.Result{Rejected: 1 << 40, Message: "words"}, nil
}
func (partial) Close() error { return nil }

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := export(func(q *exporter.Request) error {
		cancel()
		return tooLarge("HTTP 413")
	})
	var p ship.Progress
	_, err := ship.Ship(ctx, b, group(t, codec.S2, 10), ship.Options{Progress: &p})
	if !errors.Is(err, context.Canceled) || !p.Began() || p.Size() != 1 {
		t.Errorf("%v", err)
	}
}

func BenchmarkWhole(b *testing.B) {
	x := export(func(*exporter.Request) error { return nil })
	raw := shiptest.Logs(0, 1000, 400)
	r := &record.Record{Signal: otlp.Logs, Codec: codec.None, Items: 1000, RawBytes: len(raw), Body: raw}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ship.Ship(b.Context(), x, r, ship.Options{MaxRequestBytes: 4 << 20}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOnePoison(b *testing.B) {
	raw := shiptest.Logs(0, 10_000, 300)
	r := &record.Record{Signal: otlp.Logs, Codec: codec.None, Items: 10_000, RawBytes: len(raw), Body: raw}
	poison := []byte("item-0007321;")
	x := export(func(q *exporter.Request) error {
		return rejectedIf(strings.Contains(string(q.Body), string(poison)))
	})
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		out, err := ship.Ship(b.Context(), x, r, ship.Options{})
		if err != nil || len(out.Dead) != 1 {
			b.Fatal(out, err)
		}
	}
}
