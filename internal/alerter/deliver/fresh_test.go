package deliver_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerter/deliver"
	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/memory"
)

// A replica that was stopped for a while, as by SIGSTOP, has the state of yesterday
// when it goes on. It tells nothing of it: not that what fires again has ended.
func TestAReplicaThatWasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, store := newWorld(t), memory.New()
		r := w.start(store, 0)
		defer r.end()
		told := func(want int) {
			t.Helper()
			r.Look(key("G"))
			time.Sleep(5 * time.Second)
			if n := w.sent(); n != want {
				t.Fatalf("%d were sent, want %d", n, want)
			}
		}
		w.fires("G", "critical")
		told(1)
		w.resolves("G")
		told(2)
		yesterday, _ := w.group(t.Context(), key("G"))
		stands, err := w.log.End(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.fires("G", "critical")
		told(3)

		state, goOn := alerts.NewState(), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var following sync.WaitGroup
		following.Go(func() {
			_ = w.log.Follow(ctx, 0, func(e alerts.Entry) error { // ends with the test
				if e.At > stands {
					<-goOn
				}
				state.Apply(e)
				return nil
			})
		})
		late := deliver.New(deliver.Options{Claims: store, Log: w.log, State: state, Send: w.send, Final: func(error) bool { return false }, Rank: func() int { return 1 },
			Group: func(ctx context.Context, k alerts.ClaimKey) (alerts.Notification, bool) {
				if state.At() <= stands {
					return yesterday, true
				}
				return w.group(ctx, k)
			},
			FailOpen: "critical", Metrics: deliver.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
		late.Look(key("G"))
		time.Sleep(time.Second)
		close(goOn)
		time.Sleep(time.Minute)
		if n := w.sent(); n != 3 {
			t.Errorf("%d were sent, want 3: the last tells of yesterday", n)
		}
		if err := late.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		cancel()
		following.Wait()
	})
}
