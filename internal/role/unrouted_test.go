package role

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/send"
)

// TestNobodyTakesASignal: what is sent of a signal that no destination takes is
// accepted, counted, told by the ledger, and gone when the replay window is over.
func TestNobodyTakesASignal(t *testing.T) {
	p, log := process(t, `destinations=[{name: spans, protocol: debug, signals: [traces]}]`, "queue.durability=process", "retention.replay_window=0s", "retention.every=100ms")
	up := make(chan Running, 1)
	r := start(t, func(ctx context.Context) error { return Up(ctx, p, func(r Running) { up <- r }) })
	var at Running
	select {
	case at = <-up:
	case err := <-r.done:
		t.Fatalf("did not start: %v", err)
	}
	const items = 1000
	for _, s := range []otlp.Signal{otlp.Traces, otlp.Logs} {
		var totals send.Totals
		c := send.Config{Target: at.GRPC, Protocol: "grpc", Insecure: true, Signals: []otlp.Signal{s}, Items: items, Batch: 100, Clients: 1, Seed: 5}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		err := send.Run(ctx, c, &totals)
		cancel()
		if err != nil || totals.Accepted[s].Load() != items {
			t.Fatalf("%d of %s were accepted, %v", totals.Accepted[s].Load(), s, err)
		}
	}
	if n := value(t, at.Registry, "penstock_receiver_unrouted_items_total", "logs"); n != items {
		t.Errorf("%g logs are counted, want %d", n, items)
	}
	if n := value(t, at.Registry, "penstock_receiver_unrouted_items_total", "traces"); n != 0 {
		t.Errorf("%g spans are counted, and have a destination", n)
	}
	eventually(t, "the logs are purged", func() bool {
		s := at.Watch.Look(t.Context()).Streams[2]
		return s.Name == "PENSTOCK_LOGS_0" && s.LastSeq > 0 && s.Messages == 0
	})
	eventually(t, "the ledger tells of them", func() bool {
		data, err := admin.Get(t.Context(), at.Admin, "/api/v1/ledger")
		var l ledger.Ledger
		if err != nil || json.Unmarshal(data, &l) != nil || len(l.Unrouted) == 0 {
			return false
		}
		if l.Unrouted[0] != (ledger.Unrouted{Signal: "logs", Items: items}) || len(l.Unrouted) > 1 || !l.OK {
			t.Fatalf("the ledger says %s", data)
		}
		return true
	})
	r.end(t)
	if n := strings.Count(log.String(), "no destination takes a signal"); n != 2 { // logs and metrics, once each
		t.Errorf("that is said %d times:\n%s", n, log)
	}
}
