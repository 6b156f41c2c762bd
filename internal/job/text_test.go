package job_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/penstock-otel/penstock/internal/job"
)

// The words of a destination are in errors and notes, which people print.
func TestNoTextOfAJobOrdersATerminalAbout(t *testing.T) {
	const evil = "ü \x1b[2J\x1b]0;owned\x07 \u009b31m \u202e \x7f \r \xff end"
	const plain = "ü �[2J�]0;owned� �31m � � � � end"
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create(job.New{ID: "j", Note: []string{evil}})
		p := r.start(work{run: func(ctx context.Context, run *job.Run) error {
			run.Note("said: %s", evil)
			run.Trouble(evil)
			if got := run.Job().Error; got != plain {
				t.Errorf("the trouble is %q, want %q", got, plain)
			}
			return job.Again(errors.New(evil))
		}})
		defer p.stop()
		time.Sleep(900 * time.Millisecond)
		j := r.get("j")
		if j.Error != plain || len(j.Note) != 2 || j.Note[0] != plain || j.Note[1] != "said: "+plain {
			t.Errorf("got error %q, notes %q", j.Error, j.Note)
		}
		r.create(job.New{ID: "long", Note: []string{strings.Repeat("ü", 400) + "\x1b"}})
		if text := r.get("long").Note[0]; len(text) > 510 || !utf8.ValidString(text) || !strings.HasSuffix(text, "ü…") {
			t.Errorf("got %q", text)
		}
	})
}
