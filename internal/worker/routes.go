package worker

import (
	"fmt"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// routes are those of all destinations of a worker at one time, in its order. They
// are replaced as a whole.
type routes struct{ of []*route }

// Prepare compiles the routes that the destinations are to have from now on: their
// Tenants and Where, by name; the rest of a Destination is not looked at. A
// destination that the worker has and that is not among them keeps its own, and one
// that the worker does not have is passed over. apply makes them count for every
// message that is taken after it; a message of which the destination has a part
// already goes on by the conditions it began with. Nothing has changed on an error.
func (w *Worker) Prepare(destinations []Destination) (apply func(), err error) {
	fresh := map[string]*route{}
	for _, d := range destinations {
		if fresh[d.Name], err = compileRoute(d); err != nil {
			return nil, fmt.Errorf("destination %s: %w", d.Name, err)
		}
	}
	return func() {
		now := &routes{}
		for i, to := range w.destinations {
			r := fresh[to.Name]
			if r == nil {
				r = w.routes.Load().of[i]
			}
			now.of = append(now.of, r)
		}
		w.routes.Store(now)
	}, nil
}

// wants tells whether a destination may want something of a tenant's messages.
func (w *Worker) wants(now *routes, to *destination, tenant string) bool {
	return now.of[to.at].takes(tenant) && (w.o.Allows == nil || w.o.Allows(tenant, to.Name))
}

// counts tells whether a destination counts what nobody wants of a signal: the
// first that takes it does, so that each item is counted once.
func (w *Worker) counts(to *destination, s otlp.Signal) bool {
	for _, first := range w.destinations {
		if first.signals[s] {
			return first == to
		}
	}
	return false
}

// elsewhere lists the routes of the other destinations that may want something of
// a tenant's messages; all is set when one of them wants everything.
func (w *Worker) elsewhere(dst []*route, now *routes, to *destination, s otlp.Signal, tenant string) (others []*route, all bool) {
	for i, other := range w.destinations {
		if other == to || !other.signals[s] || !w.wants(now, other, tenant) {
			continue
		}
		if now.of[i].whole() {
			return nil, true
		}
		dst = append(dst, now.of[i])
	}
	return dst, false
}
