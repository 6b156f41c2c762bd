package local

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestHealerRestartsOnceThereIsSpace is a server that cannot write for 10 s, on
// a volume that is full for 6 of them.
func TestHealerRestartsOnceThereIsSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var restarts []time.Duration
		sick := true
		h := &healer{
			healthy: func() error {
				if sick {
					return errors.New("write error: no space left on device")
				}
				return nil
			},
			restart: func(context.Context) error {
				restarts = append(restarts, time.Since(begin))
				if time.Since(begin) < 10*time.Second {
					return errors.New("still no good")
				}
				sick = false
				return nil
			},
			free: func() (uint64, uint64, error) {
				if time.Since(begin) < 6*time.Second {
					return 5, 10, nil
				}
				return 50, 10, nil
			},
			log: slog.New(slog.DiscardHandler),
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := h.run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(restarts) < 2 || restarts[0] < 6*time.Second || sick {
			t.Fatalf("restarts after %v: want the first when there was space, and then until one helped", restarts)
		}
		if last := restarts[len(restarts)-1]; last > 30*time.Second {
			t.Fatalf("healed only after %s", last)
		}
	})
}

func TestSpaceOfAVolume(t *testing.T) {
	left, need, err := space(t.TempDir())
	if err != nil || left == 0 || need < 16<<20 || need > 1<<30 {
		t.Fatalf("left %d, need %d, %v", left, need, err)
	}
	if _, _, err := space("/does/not/exist"); err == nil {
		t.Fatal("a volume that does not exist has space")
	}
}
