package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// state is everything that the keeper knows.
type state struct {
	q    Queue
	plan topology.Plan

	books    map[string]*kept[book]    // by stream
	accounts map[string]*kept[account] // by destination
	letters  *kept[letters]
	gate     *kept[gateways]
	looks    *kept[looks]
	hold     *kept[hold]
	view     *kept[Ledger]

	readers map[string]queue.Browser // of streams
	scanned time.Time                // when the dead letters were last read as a whole
	beyond  []string                 // streams of the signals that are not the plan's
	asked   time.Time                // when beyond was found

	begins map[string]*beginning // of durables, which are being read

	// Of one look:
	streams  map[string]queue.StreamState
	lags     bool // not all that is stored is counted yet
	alarms   []string
	notes    []string
	done     []queue.Value // notes that were taken over
	leave    []fleet.Sighting
	finished []string // drop marks that are done
}

func loadState(ctx context.Context, q Queue, plan topology.Plan) (s *state, err error) {
	s = &state{q: q, plan: plan, books: map[string]*kept[book]{}, accounts: map[string]*kept[account]{}, readers: map[string]queue.Browser{}, begins: map[string]*beginning{}}
	values, err := q.List(ctx, keyAccount)
	if err != nil {
		return nil, fmt.Errorf("list the accounts: %w", err)
	}
	for _, v := range values {
		name := strings.TrimPrefix(v.Key, keyAccount)
		if s.accounts[name], err = load(ctx, q, v.Key, newAccount(name)); err != nil {
			return nil, err
		}
	}
	if values, err = q.List(ctx, keyStream); err != nil {
		return nil, fmt.Errorf("list the books: %w", err)
	}
	for _, v := range values {
		name := strings.TrimPrefix(v.Key, keyStream)
		if s.books[name], err = load(ctx, q, v.Key, newBook(name, "")); err != nil {
			return nil, err
		}
		s.books[name].v.forget()
	}
	if s.letters, err = load(ctx, q, keyLetters, newLetters()); err != nil {
		return nil, err
	}
	if s.gate, err = load(ctx, q, keyGate, newGateways()); err != nil {
		return nil, err
	}
	if s.looks, err = load(ctx, q, keyLooks, newLooks()); err != nil {
		return nil, err
	}
	if s.hold, err = load(ctx, q, keyHold, hold{}); err != nil {
		return nil, err
	}
	if s.view, err = load(ctx, q, keyView, Ledger{}); err != nil {
		return nil, err
	}
	return s, nil
}

// close ends reading.
func (s *state) close() {
	for _, r := range s.readers {
		_ = r.Close() // nothing depends on it
	}
	for _, b := range s.begins {
		_ = b.reader.Close() // nothing depends on it
	}
}

// account of a destination, made when it is needed first.
func (s *state) account(destination string) *account {
	k := s.accounts[destination]
	if k == nil {
		k = &kept[account]{key: keyAccount + destination, v: newAccount(destination)}
		s.accounts[destination] = k
	}
	return &k.v
}

// look does everything but saving. The order matters: floors before processes, so
// that what is told is at least as new as what was settled at the look before; and
// letters and processes after the floors, so that what is settled is told.
func (s *state) look(ctx context.Context, eye *fleet.Eye) (Ledger, error) {
	s.alarms, s.notes, s.done, s.leave, s.finished = nil, nil, nil, nil, nil
	if err := s.count(ctx); err != nil {
		return Ledger{}, err
	}
	drops, err := s.drops(ctx)
	if err != nil {
		return Ledger{}, err
	}
	if err := s.floors(ctx, drops); err != nil {
		return Ledger{}, err
	}
	processes, err := eye.Look(ctx)
	if err != nil {
		return Ledger{}, err
	}
	if err := s.forgive(ctx); err != nil {
		return Ledger{}, err
	}
	if err := s.readLetters(ctx); err != nil {
		return Ledger{}, err
	}
	s.known(processes)
	rows := s.judge(processes)
	v := Ledger{At: time.Now().UTC(), Signals: rows, Problems: s.alarms, Notes: s.notes, OK: len(s.alarms) == 0,
		Refused: s.gate.v.sum(processes), Unrouted: s.unrouted(processes)}
	v.Streams = s.tellStreams()
	v.Tenants, v.TenantsLeftOut = s.tenants(processes)
	if v.Problems == nil {
		v.Problems = []string{}
	}
	s.fold(processes)
	return v, nil
}

// known makes the accounts of destinations that processes tell of.
func (s *state) known(processes []fleet.Sighting) {
	for _, p := range processes {
		for _, t := range p.Tallies {
			if queue.CheckKey(keyAccount+t.Destination) == nil {
				s.account(t.Destination)
			}
		}
	}
}

// save stores everything, what others rely on last.
func (s *state) save(ctx context.Context, v Ledger) error {
	for _, name := range slices.Sorted(maps.Keys(s.books)) {
		if err := s.books[name].save(ctx, s.q); err != nil {
			return err
		}
	}
	if err := s.letters.save(ctx, s.q); err != nil {
		return err
	}
	for _, name := range s.names() {
		if err := s.accounts[name].save(ctx, s.q); err != nil {
			return err
		}
	}
	if err := s.gate.save(ctx, s.q); err != nil {
		return err
	}
	if err := s.looks.save(ctx, s.q); err != nil {
		return err
	}
	s.hold.v = s.held()
	s.view.v = fitView(v)
	if err := s.hold.save(ctx, s.q); err != nil {
		return err
	}
	if err := s.view.save(ctx, s.q); err != nil {
		return err
	}
	for _, n := range s.done {
		if err := s.q.Remove(ctx, n.Key, n.Revision); err != nil && !errors.Is(err, queue.ErrConflict) {
			return fmt.Errorf("remove %s: %w", n.Key, err)
		}
	}
	for _, p := range s.leave { // one that lives after all stays
		if err := fleet.Forget(ctx, s.q, p); err != nil && !errors.Is(err, queue.ErrConflict) {
			return err
		}
	}
	return nil
}

// held is what the janitor may rely on.
func (s *state) held() hold {
	h := hold{Streams: map[string]heldStream{}}
	for stream, b := range s.books {
		hs := heldStream{Counted: b.v.Counted}
		for name, a := range s.accounts {
			base, known := a.v.base(stream)
			if !known {
				continue
			}
			hs.Readers = append(hs.Readers, name)
			if _, begins := a.v.Begins[stream]; begins { // what was not read of it is still needed
				if x := s.begins[beginKey(stream, base)]; x != nil {
					base = x.at
				}
				hs.Counted = min(hs.Counted, base)
			}
		}
		slices.Sort(hs.Readers)
		h.Streams[stream] = hs
	}
	return h
}

// all lists the telemetry streams, also those beyond the plan.
func (s *state) all(ctx context.Context) (map[string]otlp.Signal, error) {
	if s.asked.IsZero() || time.Since(s.asked) >= time.Minute {
		beyond, err := s.plan.Beyond(ctx, s.q)
		if err != nil {
			return nil, err
		}
		s.beyond, s.asked = beyond, time.Now()
	}
	all := map[string]otlp.Signal{}
	for _, signal := range otlp.Signals {
		for _, name := range s.plan.Streams(signal) {
			all[name] = signal
		}
		for _, name := range s.beyond {
			if strings.HasPrefix(name, strings.TrimSuffix(topology.Stream(signal, 0), "0")) {
				all[name] = signal
			}
		}
	}
	return all, nil
}

func (s *state) alarm(format string, args ...any) {
	s.alarms = append(s.alarms, fmt.Sprintf(format, args...))
}

func (s *state) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}
