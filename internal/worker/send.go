package worker

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
)

// errHeld: the destination is to be left alone, and the rest of a message that
// is in parts waits with the others.
var errHeld = errors.New("the destination is being left alone")

// sender is the exporter as a lane uses it: each request is counted, and its
// answer is heard by throttle, breaker and limit. It belongs to one goroutine.
type sender struct {
	l     *lane
	h     *held
	probe bool // the first request probes the destination
	first bool // of first deliveries
	parts bool // the message is in parts already
	began bool // a request was sent
}

// Export implements exporter.Exporter.
func (s *sender) Export(ctx context.Context, q *exporter.Request) (exporter.Result, error) {
	to := s.l.to
	if s.began && to.throttle.holds() {
		return exporter.Result{}, errHeld
	}
	whole := !s.began && !s.parts
	s.began = true
	to.running.Add(1)
	defer to.running.Add(-1)
	to.metrics.inFlight.Inc()
	defer to.metrics.inFlight.Dec()
	begin := time.Now()
	result, err := to.exporter.Export(ctx, q)
	to.metrics.seconds.Observe(time.Since(begin).Seconds())
	if err == nil || ctx.Err() == nil { // else it was ended here
		s.heard(q, asError(err), whole)
	}
	return result, err
}

// Close implements exporter.Exporter; the worker closes its exporters itself.
func (*sender) Close() error { return nil }

// heard tells throttle, breaker and limit of an answer.
func (s *sender) heard(q *exporter.Request, e *exporter.Error, whole bool) {
	l, to := s.l, s.l.to
	if e == nil {
		to.health.succeeded()
	} else {
		to.health.failed(e)
		l.count(e)
	}
	say := hear(e, q.RawBytes, whole, to.OnRefusal)
	if say == unheard {
		s.noAnswer()
		return
	}
	if e != nil && e.Kind == exporter.TooLarge && !heldBack(e, q.RawBytes, to.OnRefusal) {
		to.limit.tooLarge(q.RawBytes)
	}
	hold, open, opened := s.judge(e, say)
	switch {
	case opened:
		l.log.Warn("destination takes nothing; one export at a time probes it until it does", "error", e.Error(), "first_probe_in", open.String())
	case hold > 0 && open == 0 && to.said.due("throttle"):
		l.log.Warn("destination asks to be left alone; nothing is sent to it until one export has probed it", "asked", e.After.String(), "waits", hold.String())
	}
}

// judge tells breaker and throttle, both before another answer is told: a breaker
// that opens while the throttle ends its hold would stay open, with nothing that
// probes.
func (s *sender) judge(e *exporter.Error, say word) (hold, open time.Duration, opened bool) {
	to := s.l.to
	alone := e != nil && e.Kind == exporter.Retryable && s.alone()
	to.hearing.Lock()
	defer to.hearing.Unlock()
	switch {
	case say == alive:
		to.breaker.succeeded(s.probe)
	case s.probe, say == failing && !alone:
		open, opened = to.breaker.failed(s.probe)
	}
	asked := open
	if e != nil {
		asked = max(asked, e.After)
	}
	hold = to.throttle.answered(s.probe, s.first, asked)
	s.probe = false
	return hold, open, opened
}

// alone tells whether a failure is the message's rather than the destination's.
func (s *sender) alone() bool {
	return !s.first && s.l.to.lone.alone(s.h.place(), s.l.to.outage.count())
}

// noAnswer lets another message probe when this one did not come to it.
func (s *sender) noAnswer() {
	if s.probe {
		s.probe = false
		s.l.to.throttle.abandoned()
	}
}

func (l *lane) count(e *exporter.Error) {
	l.to.metrics.failed.WithLabelValues(l.to.Name, l.signal.String(), e.Code, e.Kind.String()).Inc()
}
