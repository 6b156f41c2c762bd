package janitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// leaseName is the lease of the one that works.
const leaseName = "janitor"

// leaseRounds is how many rounds a leader may miss.
const leaseRounds = 3

// releaseTimeout bounds giving the lease back at a stop.
const releaseTimeout = 2 * time.Second

// Shares of a stream's bytes, in per cent.
const (
	shortAt  = 80 // above it a stream is short of space
	mostRoom = 60 // to keep free for what comes in, at most
)

// roomRounds is for how many rounds of what comes in there has to be room.
const roomRounds = 3

// Queue is what a janitor needs of one.
type Queue interface {
	queue.Provisioner
	queue.Leaser
}

// Options are what a janitor works with.
type Options struct {
	Config Config
	Queue  Queue
	// Plan has the streams, and the destinations that this process knows.
	Plan topology.Plan
	// Holder is unique to this process.
	Holder string
	// Holds tells what others than the destinations still need, by stream: a
	// replay that reads it, the ledger that has not counted it. It is asked once
	// a round, after the floors were looked at. On an error nothing is purged in
	// that round. nil: none.
	Holds Holder
	// BeforePurge is told of each purge before it is done: that everything up to
	// and including seq may go. On an error it is not done. nil: nobody.
	BeforePurge func(ctx context.Context, stream string, seq uint64) error
	// Leading is called after each round of the one that leads, for what else one
	// process alone should do. It bounds itself. nil: nothing.
	Leading func(ctx context.Context)
	Metrics *Metrics
	Logger  *slog.Logger
}

// Hold keeps what one reader still needs of a stream.
type Hold struct {
	From uint64 `json:"from_sequence"` // the lowest sequence needed; nothing from it on is purged
	By   string `json:"by"`            // who needs it, for people
}

// Janitor is one of possibly many. Run does the work, View tells of it.
type Janitor struct {
	o       Options
	config  atomic.Pointer[Config] // of now; one round may see two
	changed chan struct{}          // has a place for one
	started time.Time
	leader  bool
	said    map[string]string // what was said of a stream, or of the lease
	streams map[string]*watched

	mu   sync.Mutex
	view View // mu; replaced as a whole
}

// watched is what is remembered of a stream while this janitor leads.
type watched struct {
	clock
	last uint64 // its last message in the round before
	at   time.Time
}

// room is how many bytes of a stream are to be free at least: a fifth, or more
// when it fills quickly.
func (w *watched) room(st queue.StreamState, every time.Duration) uint64 {
	limit := uint64(max(0, st.MaxBytes))
	room := limit * (100 - shortAt) / 100
	if d := time.Since(w.at); !w.at.IsZero() && d > 0 && st.LastSeq > w.last {
		perRound := float64(st.LastSeq-w.last) * float64(mean(st)) * float64(every) / float64(d)
		room = max(room, uint64(min(perRound*roomRounds, float64(limit)*mostRoom/100)))
	}
	w.last, w.at = st.LastSeq, time.Now()
	return room
}

// New makes a janitor.
func New(o Options) *Janitor {
	j := &Janitor{o: o, started: time.Now(), said: map[string]string{}, streams: map[string]*watched{}, changed: make(chan struct{}, 1)}
	j.config.Store(&o.Config)
	return j
}

// Prepare makes ready to work by another configuration, which is valid. From apply
// on the next round does, and it begins at once.
func (j *Janitor) Prepare(c Config) (apply func(), err error) {
	return func() {
		j.config.Store(&c)
		select {
		case j.changed <- struct{}{}:
		default: // the one that waits there tells of this one too
		}
	}, nil
}

// every is the pace of now.
func (j *Janitor) every() time.Duration { return time.Duration(j.config.Load().Every) }

// Run goes round until ctx ends.
func (j *Janitor) Run(ctx context.Context) error {
	for t := time.NewTicker(j.every()); ; {
		j.round(ctx)
		select {
		case <-t.C:
		case <-j.changed:
			t.Reset(j.every())
		case <-ctx.Done():
			t.Stop()
			if !j.leader {
				return nil
			}
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
			defer cancel()
			if err := j.o.Queue.Release(release, leaseName, j.o.Holder); err != nil {
				j.o.Logger.Info("the lease of the janitor was not given back; it ends by itself", "error", err)
			}
			j.follow()
			return nil
		}
	}
}

// round looks at every stream once, as the leader.
func (j *Janitor) round(ctx context.Context) {
	held, err := j.o.Queue.Lease(ctx, leaseName, j.o.Holder, leaseRounds*j.every())
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		j.o.Metrics.failures.Inc()
		j.say("lease", "failed", func(string) {
			j.o.Logger.Error("nothing is purged: the janitor cannot get its lease; the queue fills until it can", "error", err)
		})
	default:
		j.say("lease", "", nil)
	}
	if held != j.leader {
		j.leader = held
		j.o.Logger.Info("janitor", "leads", held)
	}
	if !held {
		j.follow()
		j.tell(View{At: time.Now(), Error: text(err)})
		return
	}
	j.o.Metrics.leader.Set(1)
	v := View{At: time.Now(), Leader: true}
	seen := j.lookAtAll(ctx)
	holds, err := j.holds(ctx)
	if err != nil {
		v.Error = err.Error()
	}
	for _, l := range seen {
		var told Stream
		switch {
		case l.err != nil:
			told = Stream{Name: l.name, Error: l.err.Error()}
		case err != nil:
			told = Stream{Name: l.name, Floor: l.floor.seq, HeldBy: l.floor.waitsFor(), Missing: l.floor.missing, Error: "not purged: " + err.Error()}
		default:
			told, l.err = j.stream(ctx, l.state, l.floor, holds[l.name])
		}
		if ctx.Err() != nil {
			return
		}
		if l.err != nil && !errors.Is(l.err, errChanged) {
			j.o.Metrics.failures.Inc()
			v.Error = l.err.Error()
		}
		j.tellFailed(l.name, l.err)
		v.Streams = append(v.Streams, told)
	}
	if v.Error == "" {
		j.o.Metrics.lastRun.SetToCurrentTime()
	}
	j.tell(v)
	if j.o.Leading != nil {
		j.o.Leading(ctx)
	}
}

// look is what a round saw of a stream before it asked for holds.
type look struct {
	name  string
	state queue.StreamState
	floor floor
	err   error
}

// lookAtAll looks at every stream and its durables. A durable that is made after
// that is not waited for, and a hold that is asked for after that is for all that
// the floors let go.
func (j *Janitor) lookAtAll(ctx context.Context) []look {
	var all []look
	for _, s := range otlp.Signals {
		for _, name := range j.o.Plan.Streams(s) {
			l := look{name: name}
			if l.state, l.err = j.o.Queue.StreamState(ctx, name); l.err == nil { // before the consumers
				l.floor, l.err = j.floorOf(ctx, s, l.state)
			}
			if l.err != nil {
				l.err = fmt.Errorf("stream %s: %w", name, l.err)
			} else {
				j.tellMissing(name, l.floor)
			}
			all = append(all, l)
		}
	}
	return all
}

// holds asks what others still need.
func (j *Janitor) holds(ctx context.Context) (map[string]Hold, error) {
	if j.o.Holds == nil {
		return nil, nil
	}
	holds, err := j.o.Holds(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	what := ""
	if err != nil {
		what = "failed"
		j.o.Metrics.failures.Inc()
		err = fmt.Errorf("what replays and the ledger still need is not known: %w", err)
	}
	j.say("holds", what, func(string) {
		if err != nil {
			j.o.Logger.Error("nothing is purged until it is known what replays and the ledger still need", "error", err)
		} else {
			j.o.Logger.Info("it is known again what replays and the ledger still need: streams are purged")
		}
	})
	return holds, err
}

// follow forgets what only the leader knows.
func (j *Janitor) follow() {
	j.o.Metrics.follow()
	clear(j.streams)
	for key := range j.said {
		if key != "lease" {
			delete(j.said, key)
		}
	}
}

// stream purges one stream, up to what every destination and every hold leaves.
func (j *Janitor) stream(ctx context.Context, st queue.StreamState, f floor, hold Hold) (Stream, error) {
	name := st.Name
	fail := func(err error) (Stream, error) {
		return Stream{Name: name, Error: err.Error()}, fmt.Errorf("stream %s: %w", name, err)
	}
	f.limit(hold)
	w := j.streams[name]
	if w == nil {
		w = &watched{clock: clock{start: j.started}}
		j.streams[name] = w
	}
	now := w.now(st)
	room := w.room(st, j.every())
	target, err := j.olderThanWindow(ctx, st, f.top, now)
	if err != nil {
		return fail(err)
	}
	window := target >= st.FirstSeq // it is what bounds the stream
	if st, err = j.purge(ctx, st, target, reasonWindow); err != nil {
		return fail(err)
	}
	if limit := uint64(j.config.Load().ReplayBytes); limit > 0 {
		if st, err = j.shrink(ctx, st, f.top, limit, reasonBytes); err != nil {
			return fail(err)
		}
	}
	short := st.MaxBytes > 0 && st.Bytes > uint64(st.MaxBytes)-room && st.FirstSeq <= f.top
	if short { // half as much again, so that it is not done each round
		if st, err = j.shrink(ctx, st, f.top, uint64(st.MaxBytes)-room*3/2, reasonPressure); err != nil {
			return fail(err)
		}
	}
	seen := Stream{Name: name, Floor: f.seq, HeldBy: f.waitsFor(), Missing: slices.Clone(f.missing), Hold: f.hold, Kept: kept(st, now).Seconds()}
	seen.Blocked = full(st)
	seen.Shortened = j.tellShort(st, short, window, seen.Kept)
	j.tellBlocked(st, f)
	j.show(seen, max(target, st.FirstSeq-1))
	return seen, nil
}

// full tells whether a stream is short of space.
func full(st queue.StreamState) bool {
	return st.MaxBytes > 0 && st.Bytes > uint64(st.MaxBytes)*shortAt/100
}

// kept is the age of the oldest message.
func kept(st queue.StreamState, now time.Time) time.Duration {
	if st.Messages == 0 {
		return 0
	}
	return max(0, now.Sub(st.FirstTime))
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
