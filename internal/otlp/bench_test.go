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

func BenchmarkHalve(b *testing.B) {
	for _, sig := range Signals {
		b.Run(sig.String(), func(b *testing.B) {
			req := realistic(b, sig, 10_000)
			b.SetBytes(int64(len(req)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, ok, err := Halve(sig, req); err != nil || !ok {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func BenchmarkFilter(b *testing.B) {
	conditions, err := ParseConditions([]string{"service.name=cart|checkout"})
	if err != nil {
		b.Fatal(err)
	}
	for _, sig := range Signals {
		req := realistic(b, sig, 10_000)
		for name, f := range map[string]*Filter{
			"resource":    {Resource: conditions},
			"all_by_time": {From: unixNano(1)},
			"half":        {Resource: conditions, From: unixNano(quarters(req, sig)[2])},
		} {
			b.Run(sig.String()+"/"+name, func(b *testing.B) {
				dst := make([]byte, 0, len(req))
				b.SetBytes(int64(len(req)))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := f.Apply(sig, dst, req); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkAddResourceAttribute(b *testing.B) {
	req := realistic(b, Traces, 10_000)
	dst := make([]byte, 0, len(req)+1000)
	b.SetBytes(int64(len(req)))
	b.ReportAllocs()
	for b.Loop() {
		AddResourceAttribute(Traces, dst, req, "penstock.replay.job", "01JZ")
	}
}

// BenchmarkItems looks up an attribute of each item and of its resource.
func BenchmarkItems(b *testing.B) {
	for _, sig := range Signals {
		b.Run(sig.String(), func(b *testing.B) {
			req := realistic(b, sig, 10_000)
			b.SetBytes(int64(len(req)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for it := range Items(sig, req) {
					if _, ok := it.Resource().Lookup("service.name"); ok {
						n++
					}
					it.Attributes().Lookup("server.port")
				}
				if n != 10_000 {
					b.Fatal(n)
				}
			}
		})
	}
}
