package deadletter

import (
	"context"

	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Renew publishes a letter again that a redrive could not deliver: r is what was
// not taken, the whole letter with part "" or items of it, with the part that
// Part(old.Part, …) names. attempts are those of the redrive and are added to
// the old ones; origin and first failure stay those of the old letter, and so
// does its destination when l names none. The redrives are one more, so that the
// new id cannot be taken for a repetition of the old letter. Whoever renews a
// letter removes the old one after that, and not before: a crash between leaves
// both, and the same renewal again stores nothing within the dedup window.
func Renew(ctx context.Context, p queue.Publisher, stream string, old Info, r *record.Record, part string, attempts int, l Letter) error {
	o := Origin{Stream: old.Stream, Sequence: old.OriginSequence, ID: old.ID, Attempts: old.Attempts + attempts, StoredAt: old.StoredAt}
	if o.Stream == "" || o.Sequence == 0 { // of another program: the letter itself is all that is known
		o.Stream, o.Sequence = stream, old.Sequence
	}
	if o.StoredAt.IsZero() {
		o.StoredAt = old.KeptAt
	}
	if part == "" {
		part = old.Part
	}
	if l.Destination == "" {
		l.Destination = old.Destination
	}
	switch {
	case !old.FirstAt.IsZero():
		l.FirstAt = old.FirstAt
	case !old.DiedAt.IsZero():
		l.FirstAt = old.DiedAt
	case l.FirstAt.IsZero():
		l.FirstAt = old.KeptAt
	}
	l.Redrives = old.Redrives + 1
	return Publish(ctx, p, stream, o, r, part, l)
}
