package promrules_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

const everything = `  - {alert: Any, expr: '{__name__=~".+"} > 1e300'}`

// want compares what was dropped, by reason.
func (r *rig) want(a promrules.Appended, samples int, dropped map[promrules.Reason]int) {
	r.t.Helper()
	for reason := range promrules.NumReasons {
		if a.Dropped[reason] != dropped[reason] {
			r.t.Errorf("%d dropped as %s, want %d (%s)", a.Dropped[reason], reason, dropped[reason], a.Example)
		}
	}
	if a.Samples != samples {
		r.t.Errorf("%d samples stored, want %d", a.Samples, samples)
	}
	if (a.Left() > 0) != (a.Example != "") {
		r.t.Errorf("example is %q of %d dropped", a.Example, a.Left())
	}
}

// Each bad point has a good one before and one behind it in the same metric.
func TestABadSampleHarmsItselfAlone(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name   string
		bad    point
		reason promrules.Reason
	}{
		{"too old", point{epoch.Add(-31 * time.Minute), 1, "bad"}, promrules.TooOld},
		{"of 1970", point{time.Unix(1, 0), 1, "bad"}, promrules.TooOld},
		{"without a time", point{time.Unix(0, 0), 1, "bad"}, promrules.TooOld},
		{"too far ahead", point{epoch.Add(10*time.Minute + time.Second), 1, "bad"}, promrules.Future},
		{"five years ahead", point{epoch.AddDate(5, 0, 0), 1, "bad"}, promrules.Future},
		{"NaN", point{epoch, math.NaN(), "bad"}, promrules.NotFinite},
		{"infinite", point{epoch, math.Inf(1), "bad"}, promrules.NotFinite},
		{"a duplicate of another value", point{epoch, 7, "first"}, promrules.Duplicate},
		{"a long label", point{epoch, 1, long}, promrules.LabelLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, group(everything))
			a := r.try(metrics(gauge("load", point{epoch, 1, "first"}, c.bad, point{epoch, 3, "last"}), gauge("next", point{epoch, 4, ""})))
			r.want(a, 3, map[promrules.Reason]int{c.reason: 1})
			if r.value(`load{where="first"}`) != 1 || r.value(`load{where="last"}`) != 3 || r.value("next") != 4 {
				t.Error("a neighbour is not what it was")
			}
			// And what comes later is not harmed.
			r.now = r.now.Add(15 * time.Second)
			r.append(metrics(gauge("load", point{r.now, 5, "first"})))
			if v := r.value(`load{where="first"}`); v != 5 {
				t.Errorf("later it is %v, want 5", v)
			}
		})
	}
}

func TestTheSameAgainIsNoHarm(t *testing.T) {
	r := newRig(t, group(everything))
	for range 3 {
		r.append(metrics(gauge("load", point{epoch, 1, "a"})))
	}
	if v := r.value("count_over_time(load[5m])"); v != 1 {
		t.Errorf("%v samples, want 1", v)
	}
}

// A sample may be late by the window, also while a producer's clock runs ahead.
func TestLateSamplesAreTakenWithinTheWindow(t *testing.T) {
	r := newRig(t, group(everything))
	r.append(metrics(gauge("load", point{epoch.Add(9 * time.Minute), 1, "ahead"}, point{epoch, 1, "a"})))
	r.append(metrics(gauge("load", point{epoch.Add(-4 * time.Minute), 2, "a"})))
	if v := r.value(`sum_over_time(load{where="a"}[10m])`); v != 3 {
		t.Errorf("sum is %v, want 3", v)
	}
	r.want(r.try(metrics(gauge("load", point{epoch.Add(-20 * time.Minute), 2, "a"}, point{epoch.Add(time.Second), 3, "a"}))),
		1, map[promrules.Reason]int{promrules.TooOld: 1})
}

func TestDeltasBecomeACounter(t *testing.T) {
	r := newRig(t, group(everything))
	for i := 1; i <= 8; i++ {
		r.append(metrics(sum("hits", delta, point{r.now, 10, ""})))
		if v := r.value("hits_total"); v != float64(10*i) {
			t.Fatalf("after %d deltas of 10 it is %v", i, v)
		}
		r.now = r.now.Add(15 * time.Second)
	}
	// The same again counts once.
	r.want(r.try(metrics(sum("hits", delta, point{r.now.Add(-15 * time.Second), 10, ""}))), 0, map[promrules.Reason]int{promrules.DeltaRefused: 1})
	if v := r.value("hits_total"); v != 80 {
		t.Errorf("after a repetition it is %v, want 80", v)
	}
}

func TestSwappedDeltasLoseTheEarlierAlone(t *testing.T) {
	r := newRig(t, group(everything))
	at := func(n int) time.Time { return epoch.Add(time.Duration(n) * 15 * time.Second) }
	r.now = at(12)
	for _, n := range []int{1, 2, 4} {
		r.append(metrics(sum("hits", delta, point{at(n), 10, "a"}, point{at(n), 1, "b"})))
	}
	r.want(r.try(metrics(sum("hits", delta, point{at(3), 10, "a"}, point{at(5), 1, "b"}))), 1, map[promrules.Reason]int{promrules.DeltaRefused: 1})
	r.append(metrics(sum("hits", delta, point{at(5), 10, "a"})))
	if a, b := r.value(`hits_total{where="a"}`), r.value(`hits_total{where="b"}`); a != 40 || b != 4 {
		t.Errorf("a is %v, want 40 of 50; b is %v, want 4", a, b)
	}
}

// What would stay in the sum of a delta stream for ever, or stop it.
func TestABadDeltaDoesNotSpoilItsStream(t *testing.T) {
	for _, c := range []struct {
		name   string
		bad    point
		reason promrules.Reason
	}{
		{"NaN", point{epoch.Add(15 * time.Second), math.NaN(), ""}, promrules.NotFinite},
		{"infinite", point{epoch.Add(15 * time.Second), math.Inf(1), ""}, promrules.NotFinite},
		{"negative", point{epoch.Add(15 * time.Second), -5, ""}, promrules.Negative},
		{"far ahead", point{epoch.AddDate(1, 0, 0), 1, ""}, promrules.Future},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, group(everything))
			r.append(metrics(sum("hits", delta, point{epoch, 10, ""})))
			r.now = epoch.Add(15 * time.Second)
			r.want(r.try(metrics(sum("hits", delta, c.bad))), 0, map[promrules.Reason]int{c.reason: 1})
			r.now = epoch.Add(30 * time.Second)
			r.append(metrics(sum("hits", delta, point{r.now, 10, ""})))
			if v := r.value("hits_total"); v != 20 {
				t.Errorf("it is %v, want 20", v)
			}
		})
	}
}

func TestCounterReset(t *testing.T) {
	r := newRig(t, group(`  - {alert: Rate, expr: "rate(hits_total[1m]) > 3", for: 30s}`))
	n := 0.0
	equal(t, r.run(5*time.Minute, func(at time.Time) []byte {
		n += 30
		if at.Sub(epoch) == 3*time.Minute {
			n = 30 // begun anew: the rate is as before, and neither negative nor a peak
		}
		return metrics(sum("hits", cumulative, point{at, n, ""}))
	}), nil)
	if v := r.value("rate(hits_total[2m])"); math.Abs(v-2) > 0.2 {
		t.Errorf("rate is %v, want 2", v)
	}
}

func TestSeriesLimitLeavesRoomForResults(t *testing.T) {
	r := newRig(t, group("  - {record: twice, expr: load * 2}\n  - {alert: High, expr: twice > 1}"), func(o *promrules.Options) { o.MaxSeries = 3 })
	a := r.try(metrics(gauge("load", point{epoch, 1, "a"}, point{epoch, 1, "b"}, point{epoch, 1, "c"}, point{epoch, 1, "d"}, point{epoch, 1, "e"})))
	r.want(a, 3, map[promrules.Reason]int{promrules.SeriesLimit: 2})
	ev := r.evaluate()
	// Three results of twice are as many as there may be: ALERTS has no room, which
	// is no reason to forget alerts.
	if len(ev.Failed) != 1 || ev.Failed[0].Rule != "High" {
		t.Errorf("%+v", ev)
	}
	if m, results := r.e.Series(); m != 3 || results != 3 {
		t.Errorf("%d series and %d results, want 3 and 3", m, results)
	}
	// A name that a rule makes no more is one of the metrics.
	r.load(group("  - {alert: High, expr: twice > 1}"))
	if m, results := r.e.Series(); m != 6 || results != 0 {
		t.Errorf("%d series and %d results, want 6 and 0", m, results)
	}
	r.now = r.now.Add(15 * time.Second)
	r.append(metrics(gauge("load", point{r.now, 2, "b"})))
	r.want(r.try(metrics(gauge("load", point{r.now, 2, "f"}))), 0, map[promrules.Reason]int{promrules.SeriesLimit: 1})
}

func TestWhatCannotBeTranslatedIsCountedAlone(t *testing.T) {
	r := newRig(t, group(everything))
	a := r.try(metrics(
		sum("odd", pmetric.AggregationTemporalityUnspecified, point{epoch, 1, ""}),
		func(list pmetric.MetricSlice) {
			m := list.AppendEmpty()
			m.SetName("coarse")
			h := m.SetEmptyExponentialHistogram()
			h.SetAggregationTemporality(cumulative)
			for _, scale := range []int32{0, -11, 1} {
				p := h.DataPoints().AppendEmpty()
				stamp(p, epoch)
				p.Attributes().PutInt("scale", int64(scale))
				p.SetScale(scale)
				p.SetCount(1)
				p.Positive().BucketCounts().FromRaw([]uint64{1})
			}
		},
		func(list pmetric.MetricSlice) {
			m := list.AppendEmpty()
			m.SetName("named")
			d := m.SetEmptyGauge().DataPoints()
			put(d, []point{{epoch, 1, "a"}, {epoch, 2, "b"}, {epoch, 3, "c"}}, time.Time{})
			d.At(0).Attributes().PutStr("__name__", "another")
			d.At(1).Attributes().PutStr("", "empty")
		},
		gauge("load", point{epoch, 3, ""})))
	r.want(a, 4, map[promrules.Reason]int{promrules.Invalid: 2, promrules.LabelLimit: 2})
	if r.value("load") != 3 || r.value("count(coarse)") != 2 || r.value("named") != 3 {
		t.Error("a neighbour is not what it was")
	}
}

func TestGarbageIsAnErrorAndNothingIsStored(t *testing.T) {
	r := newRig(t, group(everything))
	if _, err := r.e.Append(t.Context(), []byte("\x0a\xff\xff"), epoch); !errors.Is(err, promrules.ErrMalformed) || !strings.Contains(err.Error(), "3 bytes") {
		t.Errorf("%v", err)
	}
	if m, _ := r.e.Series(); m != 0 {
		t.Errorf("%d series", m)
	}
}
