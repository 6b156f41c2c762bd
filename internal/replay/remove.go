package replay

import (
	"context"
	"errors"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Ledger is told of letters that are about to be removed; ledger.Recorder is one.
type Ledger interface {
	Redriven(ctx context.Context, letters []ledger.Redriven) error
}

// removal is a letter whose items were taken, or are in new letters.
type removal struct {
	letter deadletter.Info
	items  uint64 // that were taken
	line   *line
	then   func(gone bool) error // once it is removed; gone: another had removed it
}

// parallelRemovals at a time, each of which waits for the queue to write.
const parallelRemovals = 8

// remover tells the ledger of letters and removes them: those that are done while
// others are being removed go together.
type remover struct {
	x *redriving

	mu      sync.Mutex
	waiting []removal // mu
	busy    bool      // mu; run runs
}

// add removes a letter soon; the crew waits for it.
func (m *remover) add(r removal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = append(m.waiting, r)
	if !m.busy {
		m.busy = true
		m.x.crew.steps.Go(m.run)
	}
}

// run removes until nothing waits.
func (m *remover) run() {
	for {
		m.mu.Lock()
		n := min(len(m.waiting), deadletter.MaxBatch)
		batch := m.waiting[:n:n]
		m.waiting = m.waiting[n:]
		m.busy = n > 0
		m.mu.Unlock()
		if n == 0 {
			return
		}
		if err := m.remove(batch); err != nil {
			m.x.crew.fail(err)
		}
	}
}

func (m *remover) remove(batch []removal) error {
	var told []ledger.Redriven
	for _, r := range batch {
		// What a replay wrote is no item that was accepted and died.
		if !strings.HasPrefix(r.letter.Part, MarkPart) {
			told = append(told, ledger.Redriven{Letter: r.letter, Items: r.items})
		}
	}
	if m.x.o.Ledger != nil && len(told) > 0 {
		err := batch[0].line.insist("tell the ledger of dead letters that are delivered", func(ctx context.Context) error {
			return m.x.o.Ledger.Redriven(ctx, told)
		})
		if err != nil {
			return err
		}
	}
	var g errgroup.Group
	g.SetLimit(parallelRemovals)
	for _, r := range batch {
		g.Go(func() error {
			gone, first := false, true
			err := r.line.insist("remove a dead letter", func(ctx context.Context) error {
				err := m.x.o.Queue.RemoveMessage(ctx, topology.DeadLetters, r.letter.Sequence)
				if errors.Is(err, queue.ErrNotFound) {
					gone = first // else by the try that had no answer
					return nil
				}
				first = false
				return err
			})
			if err != nil {
				return err
			}
			return r.then(gone)
		})
	}
	return g.Wait()
}
