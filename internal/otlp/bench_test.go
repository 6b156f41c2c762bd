package otlp

import (
	"testing"

	"google.golang.org/protobuf/proto"
)

func BenchmarkCheck(b *testing.B) {
	for _, sig := range Signals {
		b.Run(sig.String(), func(b *testing.B) {
			req := realistic(b, sig, 100)
			b.SetBytes(int64(len(req)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Check(sig, req, CheckOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOfficialUnmarshal is what Check stands in for.
func BenchmarkOfficialUnmarshal(b *testing.B) {
	for _, sig := range Signals {
		b.Run(sig.String(), func(b *testing.B) {
			req := realistic(b, sig, 100)
			b.SetBytes(int64(len(req)))
			b.ReportAllocs()
			for b.Loop() {
				if err := proto.Unmarshal(req, official(sig)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, sig := range Signals {
		b.Run(sig.String(), func(b *testing.B) {
			req := realistic(b, sig, 20_000)
			b.SetBytes(int64(len(req)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Split(sig, req, 1<<20, func([]byte, Info) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
