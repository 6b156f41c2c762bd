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

// What was sent is known for as long as somebody asks, and not for ever.
func TestClaimsAreLetGoOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		w := alerts.Want{Firing: []alerts.Key{"a"}, SendResolved: true} // told once, never again
		sent, restored := alerts.ClaimKey{Group: "sent"}, alerts.ClaimKey{Group: "restored"}
		a, err := s.Claim(t.Context(), sent, w, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context(), sent, a.Token, alerts.Sent{Firing: w.Firing}); err != nil {
			t.Fatal(err)
		}
		if err := s.Restore(t.Context(), restored, alerts.Sent{Firing: w.Firing, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			after   time.Duration
			verdict alerts.Verdict
		}{{20 * time.Hour, alerts.NotNeeded}, {20 * time.Hour, alerts.NotNeeded}, {20 * time.Hour, alerts.NotNeeded}, {30 * time.Hour, alerts.Go}} {
			time.Sleep(c.after)
			for _, k := range []alerts.ClaimKey{sent, restored} {
				if a, err = s.Claim(t.Context(), k, w, time.Minute); err != nil || a.Verdict != c.verdict {
					t.Errorf("%s, %s later: %+v, %v", k.Group, c.after, a, err)
				}
			}
		}
	})
}

// A long repeat interval is waited for, however long nobody asked in it.
func TestLongRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		k, w := alerts.ClaimKey{Group: "g"}, alerts.Want{Firing: []alerts.Key{"a"}, Repeat: 100 * time.Hour}
		a, err := s.Claim(t.Context(), k, w, time.Minute)
		if err == nil {
			err = s.Commit(t.Context(), k, a.Token, alerts.Sent{Firing: w.Firing})
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(99 * time.Hour)
		if a, err := s.Claim(t.Context(), k, w, time.Minute); err != nil || a.Verdict != alerts.NotNeeded {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
