package memory_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
	"github.com/penstock-otel/penstock/pkg/alerts/memory"
)

func TestStore(t *testing.T) {
	alertstest.Run(t, func(t *testing.T) alerts.Store {
		s := memory.New()
		t.Cleanup(func() {
			for range 2 {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		return s
	})
}

// What was sent is known for longer than it takes until it is sent again, and not
// for ever.
func TestClaimsAreLetGoOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		k := alerts.ClaimKey{Group: "g"}
		w := alerts.Want{Firing: []alerts.Key{"a"}, Repeat: 4 * time.Hour}
		a, err := s.Claim(t.Context(), k, w, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context(), k, a.Token, alerts.Sent{Firing: w.Firing}); err != nil {
			t.Fatal(err)
		}
		w.Repeat = 0
		for _, c := range []struct {
			after   time.Duration
			verdict alerts.Verdict
		}{{8 * time.Hour, alerts.NotNeeded}, {2 * time.Hour, alerts.Go}} {
			time.Sleep(c.after)
			if a, err = s.Claim(t.Context(), k, w, time.Minute); err != nil || a.Verdict != c.verdict {
				t.Errorf("%s later: %+v, %v", c.after, a, err)
			}
		}
	})
}
