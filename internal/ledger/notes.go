package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Kinds of notes.
const (
	notePurged   = "purged"
	noteRedriven = "redriven"
)

// note tells of letters that are about to be removed.
type note struct {
	Kind    string `json:"kind"`
	Letters []gone `json:"letters"`
}

// gone is one of them.
type gone struct {
	Seq         uint64 `json:"q"`
	Destination string `json:"d"`
	Signal      string `json:"s"`
	Tenant      string `json:"t,omitempty"`
	Items       uint64 `json:"n"`
	// Whole is what the letter had. It counts as written when it is gone before it
	// was counted; not of a letter that a redrive wrote.
	Whole uint64 `json:"w,omitempty"`
}

// Recorder tells the ledger what operators do. Every method returns when what it
// tells is stored, and can be repeated: the keeper takes a letter over once,
// whatever it is told how often.
type Recorder struct{ store queue.Store }

// NewRecorder makes one.
func NewRecorder(store queue.Store) *Recorder { return &Recorder{store} }

// Purged implements deadletter.Recorder.
func (r *Recorder) Purged(ctx context.Context, letters []deadletter.Purged) error {
	n := note{Kind: notePurged}
	for _, l := range letters {
		n.Letters = append(n.Letters, goneOf(l.Letter, sumOf(l.Letter).Items))
	}
	return r.save(ctx, n)
}

// Redriven is one letter that a redrive is done with.
type Redriven struct {
	Letter deadletter.Info
	// Items of it that the destination took, or rejected for good; those that died
	// again are in a new letter and not in this number.
	Items uint64
}

// Redriven records letters, at most deadletter.MaxBatch, that a redrive is about
// to remove. After an error none of them may be removed.
func (r *Recorder) Redriven(ctx context.Context, letters []Redriven) error {
	n := note{Kind: noteRedriven}
	for _, l := range letters {
		n.Letters = append(n.Letters, goneOf(l.Letter, l.Items))
	}
	return r.save(ctx, n)
}

func goneOf(i deadletter.Info, items uint64) gone {
	g := gone{Seq: i.Sequence, Destination: i.Destination, Signal: i.Signal, Tenant: i.Tenant, Items: items}
	if i.Redrives == 0 {
		g.Whole = sumOf(i).Items
	}
	return g
}

// save stores a note under a key that is the same for the same letters.
func (r *Recorder) save(ctx context.Context, n note) error {
	if len(n.Letters) == 0 {
		return nil
	}
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("record %d dead letters as %s: %w", len(n.Letters), n.Kind, err)
	}
	h := fnv.New64a()
	for _, l := range n.Letters {
		fmt.Fprintf(h, "%d ", l.Seq)
	}
	key := fmt.Sprintf("%s%s-%020d-%016x", keyNote, n.Kind, n.Letters[0].Seq, h.Sum64())
	if _, err := r.store.Save(ctx, key, data, queue.AnyRevision); err != nil {
		return fmt.Errorf("record %d dead letters as %s: %w", len(n.Letters), n.Kind, err)
	}
	return nil
}

// mark is an operator's word.
type mark struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

func (r *Recorder) mark(ctx context.Context, key, by string) error {
	data, err := json.Marshal(mark{By: by, At: time.Now().UTC()})
	if err != nil {
		return err
	}
	_, err = r.store.Save(ctx, key, data, queue.AnyRevision)
	return err
}

// Drop records that an operator gives a destination up, before its durables are
// removed (topology.Plan.Drop): what it had not settled then counts as purged.
func (r *Recorder) Drop(ctx context.Context, destination, by string) error {
	if err := r.mark(ctx, keyDrop+destination, by); err != nil {
		return fmt.Errorf("record that destination %s is given up: %w", destination, err)
	}
	return nil
}

// Forgive records that an operator knows why data is missing: what is missing now
// counts as purged from then on.
func (r *Recorder) Forgive(ctx context.Context, by string) error {
	if err := r.mark(ctx, keyForgive, by); err != nil {
		return fmt.Errorf("record that missing data is known of: %w", err)
	}
	return nil
}

// Purging tells that the janitor is about to purge a stream up to a sequence:
// what vanishes beyond was taken by somebody else. It fits janitor.Options.
func (r *Recorder) Purging(ctx context.Context, stream string, seq uint64) error {
	data, err := json.Marshal(seq)
	if err != nil {
		return err
	}
	if _, err := r.store.Save(ctx, keyPurge+stream, data, queue.AnyRevision); err != nil {
		return fmt.Errorf("record the purge of stream %s up to %d: %w", stream, seq, err)
	}
	return nil
}
