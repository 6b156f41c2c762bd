package tap_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tap"
	"github.com/penstock-otel/penstock/internal/topology"
)

func TestFilters(t *testing.T) {
	for _, sig := range otlp.Signals {
		r := newRig(t, 1)
		make := requests[sig]
		r.put(sig, "", slices.Concat(make("shop", "a", "b"), make("cart", "c")))
		r.put(sig, "blue", make("shop", "d"))
		r.put(sig, "red", make("", "e"))
		for where, c := range map[string]struct {
			edit func(*tap.Options)
			want string
		}{
			"all":             {func(*tap.Options) {}, "a b c d e"},
			"this signal":     {func(o *tap.Options) { o.Signals = []otlp.Signal{sig} }, "a b c d e"},
			"another signal":  {func(o *tap.Options) { o.Signals = []otlp.Signal{(sig + 1) % otlp.NumSignals} }, ""},
			"tenant":          {func(o *tap.Options) { o.Tenants = []string{"blue", "green"} }, "d"},
			"no tenant":       {func(o *tap.Options) { o.Tenants = []string{""} }, "a b c"},
			"service":         {func(o *tap.Options) { o.Services = []string{"shop"} }, "a b d"},
			"services":        {func(o *tap.Options) { o.Services = []string{"cart", "other"} }, "c"},
			"where":           {func(o *tap.Options) { o.Where = conditions(t, "env=~of .*p") }, "a b d"},
			"where and where": {func(o *tap.Options) { o.Where = conditions(t, "env", "service.name=cart") }, "c"},
			"attribute":       {func(o *tap.Options) { o.Attributes = conditions(t, "n=0", "name=a|c|d") }, "a c d"},
			"of the resource": {func(o *tap.Options) { o.Attributes = conditions(t, "service.name") }, ""},
			"everything": {func(o *tap.Options) {
				o.Services, o.Tenants, o.Attributes = []string{"shop"}, []string{"", "red"}, conditions(t, "n=1")
			}, "b"},
			"limit": {func(o *tap.Options) { o.Limit = 3 }, "a b c"},
		} {
			if got := strings.Join(names(r.stored(c.edit)), " "); got != c.want {
				t.Errorf("%s by %s: %q, want %q", sig, where, got, c.want)
			}
		}
	}
}

func TestItems(t *testing.T) {
	r := newRig(t, 1)
	event := time.Unix(0, 1_790_000_000_000_000_000).UTC()
	for _, sig := range otlp.Signals {
		r.put(sig, "blue", requests[sig]("shop", "it"))
	}
	r.put(otlp.Logs, "", logs("", ""))
	attributes := []tap.Attribute{{Key: "name", Value: "it"}, {Key: "n", Value: "0"}}
	want := [otlp.NumSignals]tap.Item{
		otlp.Traces: {Signal: otlp.Traces, Stream: "PENSTOCK_TRACES_0", Type: "server", Value: "12.3ms error: no stock",
			TraceID: "01020300000000000000000000000000", SpanID: "0400000000000000"},
		otlp.Metrics: {Signal: otlp.Metrics, Stream: "PENSTOCK_METRICS_0", Type: "gauge", Value: "42 By"},
		otlp.Logs:    {Signal: otlp.Logs, Stream: "PENSTOCK_LOGS_0", Type: "WARN", Value: "body of it"},
	}
	for _, sig := range otlp.Signals {
		items := r.stored(func(o *tap.Options) { o.Signals, o.Full, o.Limit = []otlp.Signal{sig}, true, 1 })
		if len(items) != 1 {
			t.Fatalf("%s: %v", sig, items)
		}
		got, w := items[0], want[sig]
		if got.StoredAt.IsZero() {
			t.Errorf("%s: not stored", sig)
		}
		full, err := otlp.AppendProtoFromJSON(nil, sig, got.OTLP)
		if err != nil || string(full) != string(requests[sig]("shop", "it")) {
			t.Errorf("%s: %s, %v", sig, got.OTLP, err)
		}
		w.Kind, w.Tenant, w.Sequence, w.StoredAt, w.Time, w.Service, w.Name, w.Attributes, w.OTLP =
			tap.KindItem, "blue", 1, got.StoredAt, event, "shop", "it", attributes, got.OTLP
		if a, b := inJSON(t, got), inJSON(t, w); a != b {
			t.Errorf("%s:\n%s\nwant\n%s", sig, a, b)
		}
		var back tap.Item
		if err := json.Unmarshal([]byte(inJSON(t, got)), &back); err != nil || inJSON(t, back) != inJSON(t, got) || back.Line(0) != got.Line(0) {
			t.Errorf("%s: read back %+v, %v", sig, back, err)
		}
	}
	for _, i := range r.stored() {
		if i.OTLP != nil {
			t.Errorf("%s: not asked for %s", i.Signal, i.OTLP)
		}
	}
}

func inJSON(t testing.TB, i tap.Item) string {
	t.Helper()
	b, err := i.AppendJSON([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b[1:])
}

// A tap is one of many readers: it leaves nothing behind.
func TestDisturbsNobody(t *testing.T) {
	r := newRig(t, 2)
	for n := range 10 {
		r.publish(topology.Stream(otlp.Traces, n%2), r.message(otlp.Traces, "", spans("shop", "a")))
	}
	checkUndisturbed(t, r, func() {
		if n := len(r.stored()); n != 10 {
			t.Errorf("%d items of 10", n)
		}
	})
}

// checkUndisturbed runs f between two looks at all streams and consumers.
func checkUndisturbed(t *testing.T, r *rig, f func()) {
	t.Helper()
	look := func() (all []any) {
		for _, name := range r.plan.AllStreams() {
			s, err := r.q.StreamState(t.Context(), name)
			r.must(err)
			all = append(all, s)
			for _, c := range s.Consumers {
				state, err := r.q.ConsumerState(t.Context(), name, c)
				r.must(err)
				all = append(all, state)
			}
		}
		return all
	}
	text := func() string {
		b, err := json.Marshal(look())
		r.must(err)
		return string(b)
	}
	before := text()
	f()
	if after := text(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
