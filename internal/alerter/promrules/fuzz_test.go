package promrules_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

// FuzzAppend: whatever comes, a metric that is sound is stored beside it and in
// the requests after it.
func FuzzAppend(f *testing.F) {
	f.Add(metrics(gauge("load", point{epoch, 1, "a"})), int64(0))
	f.Add(metrics(sum("hits", delta, point{epoch, 1, "a"}, point{epoch.Add(time.Second), 2, "a"})), int64(1))
	f.Add(metrics(histogram(epoch, 1000)), int64(-5))
	f.Add(metrics(func(list pmetric.MetricSlice) {
		h := list.AppendEmpty().SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(delta)
		for i, offset := range []int32{0, -1 << 31, 1<<31 - 1} {
			p := h.DataPoints().AppendEmpty()
			stamp(p, epoch.Add(time.Duration(i)*time.Second))
			p.SetScale(int32(i * 10))
			p.Positive().SetOffset(offset)
			p.Positive().BucketCounts().FromRaw([]uint64{1, 2, 3})
			p.Negative().SetOffset(-offset)
			p.Negative().BucketCounts().FromRaw([]uint64{4})
			p.SetCount(10)
			p.SetSum(3)
		}
	}), int64(0))
	f.Add(metrics(func(list pmetric.MetricSlice) {
		s := list.AppendEmpty().SetEmptySummary().DataPoints().AppendEmpty()
		s.SetTimestamp(pcommon.NewTimestampFromTime(epoch))
		s.QuantileValues().AppendEmpty().SetQuantile(2)
	}), int64(0))
	f.Fuzz(func(t *testing.T, request []byte, offset int64) {
		r := newRig(t, group(everything))
		r.now = epoch.Add(time.Duration(offset % int64(time.Hour)))
		sound := gauge("fuzz.sound", point{r.now, 42, "sound"})
		// Joined requests are one request.
		joined := append(append([]byte{}, request...), metrics(sound)...)
		if err := pmetricotlp.NewExportRequest().UnmarshalProto(request); err != nil {
			if _, err := r.e.Append(t.Context(), request, r.now); err == nil {
				t.Error("taken, and cannot be decoded")
			}
			return // its end could swallow the sound one
		}
		a, err := r.e.Append(t.Context(), joined, r.now)
		if err != nil {
			t.Fatal(err)
		}
		if a.Samples == 0 {
			t.Fatalf("the sound one is not stored: %+v", a)
		}
		if v := r.value(`fuzz_sound{where="sound",job="shop"}`); v != 42 {
			t.Errorf("it is %v", v)
		}
		r.now = r.now.Add(15 * time.Second)
		r.want(r.try(metrics(gauge("fuzz.sound", point{r.now, 43, "sound"}))), 1, map[promrules.Reason]int{})
		if ev := r.evaluate(); len(ev.Failed) > 0 {
			t.Logf("%v", ev.Failed) // what comes may be such that an expression cannot be evaluated
		}
	})
}
