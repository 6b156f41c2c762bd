package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/gateway/committer"
	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Waits that refused clients are told, spread by jitter.
const (
	retryOverloaded  = time.Second // requests in flight are confirmed within it
	retryUnavailable = 2 * time.Second
	retryFull        = 15 * time.Second // a full queue drains in seconds at best
	retryStopping    = time.Second      // a balancer has moved the client by then
)

// Committer makes requests durable; see package committer.
type Committer interface {
	Add(committer.Request) (committer.Ticket, error)
}

// Intake is where both transports meet. Safe for concurrent use.
type Intake struct {
	limits    Limits
	commit    Committer
	admission admission
	metrics   *Metrics
	log       *slog.Logger
	said      *app.Repeat // of refusals that an operator should know of
	draining  atomic.Bool
	stopping  chan struct{} // closed by the first Drain
	large     *grpcwire.Large
	suspects  *suspects
	strict    atomic.Bool // limits.reject_bad_utf8, which can change

	// Door says who a request is of, and how much that one may send. Set it before
	// serving.
	Door Door
	// Pressure, unless nil, refuses requests of a signal that the queue has no
	// room for, before they are read. It is asked for each request; set it
	// before serving.
	Pressure func(otlp.Signal) *otlp.Refusal
	// Full, unless nil, is the wait to ask for when the queue itself was full at
	// the commit; 0: not known. Set it before serving.
	Full func(otlp.Signal) time.Duration
	// Unrouted, unless nil, tells that no destination takes a signal now. Set it
	// before serving.
	Unrouted func(otlp.Signal) bool
}

// sayEvery is the interval between two lines about the same reason of refusal.
const sayEvery = 30 * time.Second

// NewIntake makes the intake of one gateway.
func NewIntake(l Limits, c Committer, m *Metrics, log *slog.Logger) *Intake {
	in := &Intake{limits: l, commit: c, admission: admission{limit: int64(l.MaxInFlightBytes)}, metrics: m, log: log, said: app.NewRepeat(log, sayEvery), suspects: newSuspects(int64(l.MaxInFlightBytes) / 2), stopping: make(chan struct{}),
		large: grpcwire.NewLarge(int64(l.MaxInFlightBytes)/2, keepLarge)}
	in.RejectBadUTF8(l.RejectBadUTF8)
	return in
}

// RejectBadUTF8 changes that limit for requests that are checked from now on. The
// others are built into the servers.
func (in *Intake) RejectBadUTF8(yes bool) { in.strict.Store(yes) }

// Drain makes every further request be refused as retryable, and those of suspects
// that wait or rest.
func (in *Intake) Drain() {
	if !in.draining.Swap(true) {
		close(in.stopping)
	}
}

func stoppingNow() *otlp.Refusal {
	return otlp.Refuse(otlp.ReasonShuttingDown, nil, "this gateway is stopping").WithRetryAfter(jitter(retryStopping))
}

// Close says what of the log is still held back. Call it when both servers have
// ended.
func (in *Intake) Close() { in.said.Stop() }

// InFlightBytes is the admission budget in use now.
func (in *Intake) InFlightBytes() int64 { return in.admission.used.Load() }

// accept checks, counts and commits one request and waits for its
// confirmation. It takes payload over, may change it (repair), and calls release
// once, in every case, as soon as it is not needed any more: at times from another
// goroutine, and later than it returns.
func (v *visit) accept(ctx context.Context, payload []byte, release func()) (committer.Result, *otlp.Refusal) {
	in := v.in
	begin := time.Now()
	size := len(payload)
	if size > largeBytes {
		if r := v.large(ctx); r != nil {
			release()
			return committer.Result{}, v.refused(0, r)
		}
	}
	info, err := otlp.Check(v.signal, payload, otlp.CheckOptions{RejectUTF8: in.strict.Load()})
	if err != nil {
		release()
		return committer.Result{}, v.refused(0, otlp.AsRefusal(err))
	}
	v.pass.Spend(info.Items, size)
	in.metrics.repaired.Add(float64(info.Repaired))
	if info.Items == 0 {
		release()
		v.wasted() // if it was large
		in.metrics.requests.WithLabelValues(v.signal.String(), v.transport, "empty").Inc()
		return committer.Result{}, nil
	}
	ticket, err := in.commit.Add(committer.Request{Signal: v.signal, Tenant: v.pass.Tenant(), Payload: payload, Info: info,
		OverQuota: v.pass.OverQuota(), Release: release})
	if ticket.Refused() {
		v.wasted()
	}
	v.worked()
	if err != nil {
		return committer.Result{}, v.refused(info.Items, in.answer(ctx, v.signal, err))
	}
	waiting, cancel := context.WithTimeout(ctx, time.Duration(in.limits.CommitTimeout))
	result, err := ticket.Wait(waiting)
	cancel()
	in.metrics.seconds.WithLabelValues(v.transport).Observe(time.Since(begin).Seconds())
	if err != nil {
		return committer.Result{}, v.refused(info.Items, in.answer(ctx, v.signal, err))
	}
	v.accepted(info.Items, result, size)
	if info.Repaired > 0 && result.Why == "" { // OTLP 1.11, "Partial Success": a warning, nothing is rejected
		result.Why = fmt.Sprintf("%d texts were not UTF-8: their bad bytes were replaced by '?', everything else is as it was sent", info.Repaired)
	}
	return result, nil
}

// accepted counts a request that is durable.
func (v *visit) accepted(items int, result committer.Result, size int) {
	m, signal := v.in.metrics, v.signal.String()
	m.bytes.WithLabelValues(signal, v.transport).Add(float64(size))
	m.accepted[v.signal].WithLabelValues(v.transport).Add(float64(items - result.Rejected))
	v.pass.Accepted(items-result.Rejected, size)
	if v.in.Unrouted != nil && v.in.Unrouted(v.signal) {
		m.unrouted.WithLabelValues(signal).Add(float64(items - result.Rejected))
	}
	outcome := "accepted"
	if result.Rejected > 0 {
		outcome = "partial"
		m.refused[v.signal].WithLabelValues(v.transport, string(otlp.ReasonTooLarge)).Add(float64(result.Rejected))
	}
	m.requests.WithLabelValues(signal, v.transport, outcome).Inc()
}

// refused counts a refusal, logs it where an operator should know, and hands it
// on.
func (in *Intake) refused(s otlp.Signal, transport string, items int, r *otlp.Refusal) *otlp.Refusal {
	in.metrics.refusal(s, transport, items, r.Reason)
	args := []any{"signal", s.String(), "transport", transport, "reason", string(r.Reason), "message", r.Message}
	if r.Err != nil {
		args = append(args, "error", r.Err)
	}
	switch r.Reason {
	case otlp.ReasonInternal, otlp.ReasonQueueUnavailable, otlp.ReasonQueueFull, otlp.ReasonOverloaded:
		in.said.Warn(string(r.Reason), "requests are refused", args...)
	default: // of the client's making
		in.log.Debug("request refused", args...)
	}
	return r
}

// answer asks for the computed wait when the queue is full.
func (in *Intake) answer(ctx context.Context, s otlp.Signal, err error) *otlp.Refusal {
	r := answer(ctx, err)
	if r.Reason == otlp.ReasonQueueFull && in.Full != nil {
		if d := in.Full(s); d > 0 {
			r.RetryAfter = d
		}
	}
	return r
}

// answer is the refusal for a commit that failed. What the queue did wrong is
// retryable, whatever it was: the data is sound, and a client that is told
// otherwise drops it.
func answer(ctx context.Context, err error) *otlp.Refusal {
	switch {
	case errors.Is(err, committer.ErrStopped):
		return otlp.Refuse(otlp.ReasonShuttingDown, err, "this gateway is stopping").WithRetryAfter(jitter(retryStopping))
	case errors.Is(err, queue.ErrFull):
		return otlp.Refuse(otlp.ReasonQueueFull, err, "%v", err).WithRetryAfter(jitter(retryFull))
	case ctx.Err() != nil: // the client's own deadline or departure
		return gone(ctx)
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrNotFound):
		return otlp.Refuse(otlp.ReasonQueueUnavailable, err, "%v", err).WithRetryAfter(jitter(retryUnavailable))
	case errors.Is(err, context.DeadlineExceeded):
		return otlp.Refuse(otlp.ReasonQueueUnavailable, err, "the queue did not confirm within gateway.limits.commit_timeout").WithRetryAfter(jitter(retryUnavailable))
	}
	var final *otlp.Refusal
	if errors.As(err, &final) {
		return final
	}
	return otlp.Refuse(otlp.ReasonQueueUnavailable, err, "the data could not be stored; the gateway's log says more").WithRetryAfter(jitter(retryUnavailable))
}

// capped bounds the connections of a listener.
func (in *Intake) capped(l net.Listener, transport string) net.Listener {
	return &capped{Listener: l, limit: int64(in.limits.MaxConnections), each: int64(in.limits.MaxConnectionsPerIP),
		refused: func(why string) { in.metrics.connections.WithLabelValues(transport, why).Inc() }}
}

// What is kept for reuse: enough small buffers on each listener for full load, and
// large ones for the two together and a few seconds.
const (
	maxIdleBuffers = 16 << 20
	keepLarge      = 5 * time.Second
)

// buffers is the pool of one listener.
func (in *Intake) buffers() *grpcwire.MeteredPool {
	return grpcwire.NewMeteredPool(min(int64(in.limits.MaxInFlightBytes), maxIdleBuffers)).WithLarge(in.large)
}
