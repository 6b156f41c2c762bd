package sample

import (
	"testing"

	"github.com/penstock-otel/penstock/internal/otlp"
)

func TestSeenTellsFirstFromAgain(t *testing.T) {
	var s Seen
	if s.Has(ID(1, 0)) {
		t.Error("an empty set has something")
	}
	for source := uint32(1); source < 4; source++ {
		for seq := uint64(0); seq < 10_000; seq += 3 {
			if !s.Add(ID(source, seq)) {
				t.Fatalf("source %d sequence %d was said to have come before", source, seq)
			}
		}
	}
	for _, seq := range []uint64{0, 3, 9999} {
		if s.Add(ID(2, seq)) {
			t.Errorf("sequence %d was taken as new again", seq)
		}
	}
	if s.Distinct() != 3*3334 || s.Duplicates() != 3 {
		t.Errorf("%d distinct, %d duplicates", s.Distinct(), s.Duplicates())
	}
	if !s.Has(ID(3, 9999)) || s.Has(ID(3, 1)) || s.Has(ID(4, 0)) {
		t.Error("membership is wrong")
	}
}

func TestCountAgreesWithItemIDs(t *testing.T) {
	for _, sig := range otlp.Signals {
		b := New(3, Shape{Resources: 4}).Append(nil, sig, 777, now)
		if n, err := Count(sig, b); n != 777 || err != nil {
			t.Errorf("%s: %d items, error %v", sig, n, err)
		}
		if _, err := Count(sig, b[:len(b)-1]); err == nil {
			t.Errorf("%s: a cut request was counted without error", sig)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	for sig, items := range map[otlp.Signal]int{otlp.Traces: 100, otlp.Metrics: 1000, otlp.Logs: 512} {
		b.Run(sig.String(), func(b *testing.B) {
			buf := New(1, Shape{}).Append(nil, sig, items, now)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Count(sig, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSeen(b *testing.B) {
	var s Seen
	b.ReportAllocs()
	for i := range b.N {
		s.Add(ID(1, uint64(i)&(1<<20-1)))
	}
}
