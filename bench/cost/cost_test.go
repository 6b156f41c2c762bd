package cost

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/codec"
)

func TestEveryRuleHasAPlaceInTheOrder(t *testing.T) {
	for _, r := range rules {
		if !slices.Contains(order, r.part) {
			t.Errorf("%q is not in the order", r.part)
		}
	}
	for i, name := range order {
		if slices.Contains(order[:i], name) {
			t.Errorf("%q is in the order twice", name)
		}
	}
}

func TestSort(t *testing.T) {
	const traces = `File: penstock
Type: cpu
Duration: 10s, Total samples = 1000ms (10%)
-----------+-------------------------------------------------------
    stream:  PENSTOCK_TRACES_0
   account:  $G
     500ms   internal/runtime/syscall/linux.Syscall6
             syscall.Fsync
             github.com/nats-io/nats-server/v2/server.(*msgBlock).flushPendingMsgsLocked
-----------+-------------------------------------------------------
  300.50ms   github.com/penstock-otel/penstock/internal/otlp.(*walk).message
             github.com/penstock-otel/penstock/internal/otlp.Check (inline)
             google.golang.org/grpc.(*Server).processRPC
-----------+-------------------------------------------------------
   99.50ms   runtime.memclrNoHeapPointers
             runtime.mallocgc
             google.golang.org/grpc.(*Server).processRPC
-----------+-------------------------------------------------------
     100ms   time.Now
`
	got, err := Sort(strings.NewReader(traces))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"queue: fsync": 0.5, "check": 0.3005, "allocation": 0.0995, Rest: 0.1}
	for _, p := range got {
		if math.Abs(p.Share-want[p.Name]) > 1e-9 {
			t.Errorf("%s: %v, want %v", p.Name, p.Share, want[p.Name])
		}
	}
	for _, bad := range []string{"", "-----------+---\n   many   main.main\n"} {
		if got, err := Sort(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
}

// TestOf sorts a profile of this process.
func TestOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpu.pprof")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		t.Fatal(err)
	}
	p, err := codec.NewPolicy(codec.S2, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	src := []byte(strings.Repeat("all work and no play ", 1<<14))
	var dst []byte
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		if dst, _, err = p.Append(dst[:0], src); err != nil {
			t.Fatal(err)
		}
	}
	pprof.StopCPUProfile()
	parts, err := Of(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	sum, compress := 0.0, 0.0
	for _, p := range parts {
		sum += p.Share
		if p.Name == "compress" {
			compress = p.Share
		}
	}
	if math.Abs(sum-1) > 1e-9 || compress == 0 {
		t.Errorf("shares add up to %v, compress has %v", sum, compress)
	}
}
