package janitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
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
	Holder  string
	Metrics *Metrics
	Logger  *slog.Logger
}

// Janitor is one of possibly many. Run does the work, View tells of it.
type Janitor struct {
	o       Options
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
	return &Janitor{o: o, started: time.Now(), said: map[string]string{}, streams: map[string]*watched{}}
}

// Run goes round until ctx ends.
func (j *Janitor) Run(ctx context.Context) error {
	for t := time.NewTicker(time.Duration(j.o.Config.Every)); ; {
		j.round(ctx)
		select {
		case <-t.C:
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
	held, err := j.o.Queue.Lease(ctx, leaseName, j.o.Holder, leaseRounds*time.Duration(j.o.Config.Every))
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
	for _, s := range otlp.Signals {
		for _, name := range j.o.Plan.Streams(s) {
			seen, err := j.stream(ctx, s, name)
			if ctx.Err() != nil {
				return
			}
			if err != nil && !errors.Is(err, errChanged) {
				j.o.Metrics.failures.Inc()
				v.Error = err.Error()
			}
			j.tellFailed(name, err)
			v.Streams = append(v.Streams, seen)
		}
	}
	if v.Error == "" {
		j.o.Metrics.lastRun.SetToCurrentTime()
	}
	j.tell(v)
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

// stream purges one stream.
func (j *Janitor) stream(ctx context.Context, s otlp.Signal, name string) (Stream, error) {
	fail := func(err error) (Stream, error) {
		return Stream{Name: name, Error: err.Error()}, fmt.Errorf("stream %s: %w", name, err)
	}
	st, err := j.o.Queue.StreamState(ctx, name) // before the consumers
	if err != nil {
		return fail(err)
	}
	f, err := j.floorOf(ctx, s, st)
	if err != nil {
		return fail(err)
	}
	j.tellMissing(name, f)
	w := j.streams[name]
	if w == nil {
		w = &watched{clock: clock{start: j.started}}
		j.streams[name] = w
	}
	now := w.now(st)
	room := w.room(st, time.Duration(j.o.Config.Every))
	target, err := j.olderThanWindow(ctx, st, f.seq, now)
	if err != nil {
		return fail(err)
	}
	window := target >= st.FirstSeq // it is what bounds the stream
	if st, err = j.purge(ctx, st, target, reasonWindow); err != nil {
		return fail(err)
	}
	if limit := uint64(j.o.Config.ReplayBytes); limit > 0 {
		if st, err = j.shrink(ctx, st, f.seq, limit, reasonBytes); err != nil {
			return fail(err)
		}
	}
	short := st.MaxBytes > 0 && st.Bytes > uint64(st.MaxBytes)-room && st.FirstSeq <= f.seq
	if short { // half as much again, so that it is not done each round
		if st, err = j.shrink(ctx, st, f.seq, uint64(st.MaxBytes)-room*3/2, reasonPressure); err != nil {
			return fail(err)
		}
	}
	seen := Stream{Name: name, Floor: f.seq, HeldBy: f.waitsFor(), Missing: slices.Clone(f.missing), Kept: kept(st, now).Seconds()}
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
