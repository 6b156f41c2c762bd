package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// randomRequests that each of the two random backends answers, at least.
const randomRequests = 10_000

var signalStreams = []string{"PENSTOCK_TRACES_0", "PENSTOCK_METRICS_0", "PENSTOCK_LOGS_0"}

// settled waits until the destinations have settled everything that is stored.
func settled(t *testing.T, b *harness.Broker, patience time.Duration, destinations ...string) {
	t.Helper()
	left := ""
	harness.Until(t, patience, func() string { return "everything is settled: " + left }, func() bool {
		left = ""
		for _, d := range destinations {
			for _, s := range signalStreams {
				if n, ok := b.Backlog(s, "export-"+d); n > 0 || !ok {
					left += fmt.Sprintf(" %s of %s: %d messages;", s, d, n)
				}
			}
		}
		return left == ""
	})
}

// items adds up a metric of each signal.
func itemsOf(m harness.Metrics, prefix string, labels ...string) (n float64) {
	for _, s := range otlp.Signals {
		n += m.Sum(prefix+s.Items()+"_total", labels...)
	}
	return n
}

// TestRandomBackend: I3. Two backends answer at random, over gRPC and HTTP, with
// everything that the tables of OTLP know, and then some, and never take certain
// items. In the end each item that was accepted is exactly one of delivered,
// rejected by a partial success, and dead-lettered, for each of the two; what is
// never taken is dead; and the metrics and the ledger say the same.
func TestRandomBackend(t *testing.T) {
	t.Setenv("PENSTOCK_GATEWAY_BATCH_MAX_BYTES", "6MiB")
	ledger := harness.NewLedger(harness.Seed(t))
	backends := map[string]*harness.Moody{"overgrpc": harness.NewMoody(t, ledger.Seed), "overhttp": harness.NewMoody(t, ledger.Seed+1)}
	listen := harness.FreeAddr(t)
	// One call on a connection: what a reset connection takes along is then one
	// call, which was not taken.
	more := "timeout: 3s, retry: {initial: 10ms, max: 100ms}, max_in_flight: 24, merge_messages: 2"
	up := harness.NewUpTo(t, harness.Queue{Dir: t.TempDir(), Listen: listen, Durability: "process", MaxBytes: "4GiB"}, harness.Destinations(
		harness.Destination{Name: "overgrpc", Protocol: "grpc", Endpoint: backends["overgrpc"].GRPCAddr, More: "pool: {max_calls: 1}, " + more},
		harness.Destination{Name: "overhttp", Protocol: "http", Endpoint: backends["overhttp"].HTTPAddr, More: more}))
	up.Start()
	// Small requests, and now and then one that is over the 4 MiB of the backends.
	load := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, HTTP: up.HTTPAddr, Items: 4, Clients: 4, Pause: time.Millisecond})
	large := harness.StartLoad(t, ledger, harness.LoadConfig{GRPC: up.GRPCAddr, Signals: []otlp.Signal{otlp.Traces}, Items: 13_000, Clients: 1, Pause: 20 * time.Second})
	harness.Until(t, 240*time.Second, func() string {
		a, _ := backends["overgrpc"].Requests()
		b, _ := backends["overhttp"].Requests()
		return fmt.Sprintf("%d and %d requests at the backends, want %d", a, b, randomRequests)
	}, func() bool {
		a, _ := backends["overgrpc"].Requests()
		b, _ := backends["overhttp"].Requests()
		return min(a, b) >= randomRequests
	})
	load.Stop()
	large.Stop()
	broker := harness.DialBroker(t, "nats://"+listen)
	settled(t, broker, 300*time.Second, "overgrpc", "overhttp") // 13,000 items with poison, halved again and again by a backend that hangs now and then

	c, m := ledger.Counts(), up.Scrape()
	if c.Refused+c.Unknown > 0 {
		t.Errorf("seed %d: %d requests refused, %d of unknown outcome, although the queue had room: %v", ledger.Seed, c.Refused, c.Unknown, c.Errors)
	}
	if n := itemsOf(m, "penstock_receiver_accepted_"); n != float64(c.AckedItems) {
		t.Errorf("seed %d: %d items were acknowledged, the metrics say %.0f", ledger.Seed, c.AckedItems, n)
	}
	letters := broker.Letters()
	for name, backend := range backends {
		t.Run(name, func(t *testing.T) {
			n, answers := backend.Requests()
			t.Logf("%d requests were answered with %v", n, answers)
			for _, mood := range harness.Moods(name == "overhttp") {
				if answers[mood] == 0 {
					t.Logf("seed %d: %q was never answered", ledger.Seed, mood)
				}
			}
			row := up.Ledger(name, c.AckedItems, 60*time.Second)
			balance(t, ledger, backend, name, row, slices.DeleteFunc(slices.Clone(letters), func(l harness.Letter) bool { return l.Destination != name }), m)
		})
	}
	// The default bounds of a gateway and of two destinations add up to more than
	// one process of one destination may have: 128 and 64 MiB twice, what is
	// pulled in advance, and thrice what is being cut.
	if u := up.Usage(); u.PeakRSS > 500<<20 {
		t.Errorf("seed %d: %d MiB resident, want at most 500", ledger.Seed, u.PeakRSS>>20)
	} else {
		t.Logf("%d MiB resident at most", u.PeakRSS>>20)
	}
	up.Terminate()
}

// balance checks the books of one destination.
func balance(t *testing.T, ledger *harness.Ledger, backend *harness.Moody, name string, row harness.Row, letters []harness.Letter, m harness.Metrics) {
	t.Helper()
	delivered, rejected := backend.Fates()
	dead := map[uint64]int{}
	reasons := map[string]int{}
	for _, l := range letters {
		if l.Items != len(l.IDs) {
			t.Errorf("a letter of %d items knows %d of them", l.Items, len(l.IDs))
		}
		reasons[l.Reason+" "+l.Code]++
		for _, id := range l.IDs {
			dead[id]++
		}
	}
	wrong, known := map[string]int{}, 0
	first := ""
	ledger.Acked(func(source uint32, from, to uint64) {
		for seq := from; seq < to; seq++ {
			id := sample.ID(source, seq)
			d, r, x := delivered[id], rejected[id], dead[id]
			if d+r+x > 0 {
				known++
			}
			if d+r+x == 1 && (x == 1 || !harness.Poisonous(id)) {
				continue
			}
			wrong[fmt.Sprintf("delivered %d times, rejected %d, dead %d", d, r, x)]++
			if first == "" {
				first = fmt.Sprintf("source %d sequence %d", source, seq)
			}
		}
	})
	if len(wrong) > 0 {
		t.Errorf("seed %d: items that are not exactly one of delivered, rejected and dead, the first %s: %v", ledger.Seed, first, wrong)
	}
	all := map[uint64]bool{}
	for _, fates := range []map[uint64]int{delivered, rejected, dead} {
		for id := range fates {
			all[id] = true
		}
	}
	if len(all) != known {
		t.Errorf("seed %d: %d items came out that nobody put in", ledger.Seed, len(all)-known)
	}
	label := fmt.Sprintf("destination=%q", name)
	sent, refused, buried := itemsOf(m, "penstock_exporter_sent_", label), itemsOf(m, "penstock_exporter_rejected_", label), itemsOf(m, "penstock_exporter_dead_lettered_", label)
	if accepted := itemsOf(m, "penstock_receiver_accepted_"); accepted != sent+refused+buried {
		t.Errorf("seed %d: the metrics do not add up: %.0f accepted, %.0f sent, %.0f rejected, %.0f dead-lettered", ledger.Seed, accepted, sent, refused, buried)
	}
	if int(sent) != len(delivered) || int(refused) != len(rejected) || int(buried) != len(dead) {
		t.Errorf("seed %d: the metrics say %.0f sent, %.0f rejected, %.0f dead-lettered; it was %d, %d and %d", ledger.Seed, sent, refused, buried, len(delivered), len(rejected), len(dead))
	}
	if int(row.Exported) != len(delivered) || int(row.Rejected) != len(rejected) || int(row.DeadLettered) != len(dead) || row.Uncounted+row.Missing+row.Purged+row.Redriven+row.CountedTwice > 0 {
		t.Errorf("seed %d: the ledger says %+v; it was %d delivered, %d rejected and %d dead", ledger.Seed, row, len(delivered), len(rejected), len(dead))
	}
	sizes := map[int]int{}
	for _, l := range letters {
		sizes[l.Items]++
	}
	t.Logf("%d items: %d delivered, %d rejected, %d dead in %d letters %v of sizes %v", known, len(delivered), len(rejected), len(dead), len(letters), reasons, sizes)
}

// TestPoisonAmongTenThousand: a backend rejects each request that has one
// certain item in it. That item alone is dead-lettered, and all others arrive,
// once. A redrive delivers it when the backend takes it after all.
func TestPoisonAmongTenThousand(t *testing.T) {
	const total, each = 10_000, 500
	seed := harness.Seed(t)
	for _, sig := range otlp.Signals {
		t.Run(sig.String(), func(t *testing.T) {
			source := uint32(900_001) + uint32(sig)
			poison := sample.ID(source, (seed*7919+uint64(sig))%total)
			sink := harness.NewSink(t)
			sink.Behave(harness.RejectItem(poison))
			listen := harness.FreeAddr(t)
			up := harness.NewUp(t, harness.Queue{Dir: t.TempDir(), Listen: listen, Durability: "process", MaxBytes: "1GiB"}, sink)
			up.Start()
			g := sample.New(seed, sample.Shape{Source: source, Resources: 3, PointIDs: true})
			for range total / each {
				harness.Send(t, up.GRPCAddr, sig, g.Append(nil, sig, each, time.Now()), false)
			}
			broker := harness.DialBroker(t, "nats://"+listen)
			settled(t, broker, 60*time.Second, "backend")
			if got := sink.Arrived(); got.Distinct != total-1 || got.Duplicates != 0 {
				t.Errorf("seed %d: %d of %d items arrived, %d of them again", seed, got.Distinct, total-1, got.Duplicates)
			}
			letters := broker.Letters()
			if len(letters) != 1 || len(letters[0].IDs) != 1 || letters[0].IDs[0] != poison || letters[0].Reason != "rejected" || letters[0].Code != "INVALID_ARGUMENT" {
				n := 0
				for _, l := range letters {
					n += l.Items
				}
				t.Errorf("seed %d: %d letters with %d items, want the one poisonous item alone", seed, len(letters), n)
			}
			m := up.Scrape()
			if sent, dead := itemsOf(m, "penstock_exporter_sent_"), itemsOf(m, "penstock_exporter_dead_lettered_"); sent != total-1 || dead != 1 {
				t.Errorf("the metrics say %.0f sent and %.0f dead-lettered", sent, dead)
			}
			// Once the backend takes it the operator delivers it again.
			sink.Behave(harness.Accept)
			if said, code := up.Ask("dlq", "redrive", "--destination", "backend", "--reason", "rejected"); code != 0 {
				t.Errorf("redrive: exit code %d: %s", code, said)
			}
			if got := sink.Arrived(); got.Distinct != total || got.Duplicates != 0 {
				t.Errorf("seed %d: after the redrive %d of %d items arrived, %d of them again", seed, got.Distinct, total, got.Duplicates)
			}
			if letters := broker.Letters(); len(letters) != 0 {
				t.Errorf("%d letters are left after the redrive", len(letters))
			}
			if row := up.Ledger("backend", total, 60*time.Second); row.Exported != total-1 || row.Redriven != 1 || row.DeadLettered != 0 {
				t.Errorf("seed %d: the ledger says %+v", seed, row)
			}
			up.Terminate()
		})
	}
}
