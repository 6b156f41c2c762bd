package janitor

import (
	"strings"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// View is the last round.
type View struct {
	At      time.Time `json:"at"`
	Leader  bool      `json:"leader"`
	Streams []Stream  `json:"streams,omitempty"` // of the leader
	Error   string    `json:"error,omitempty"`
}

// Stream is what a round found and left.
type Stream struct {
	Name      string   `json:"name"`
	Floor     uint64   `json:"floor_sequence"`
	HeldBy    string   `json:"held_by,omitempty"` // the durable furthest behind, or those that are missing, or whose Hold is lower
	Hold      *Hold    `json:"hold,omitempty"`    // keeps some of what every destination has
	Missing   []string `json:"missing_consumers,omitempty"`
	Kept      float64  `json:"replay_window_seconds"` // age of the oldest message
	Shortened bool     `json:"replay_window_shortened,omitempty"`
	Blocked   bool     `json:"blocked,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// View is safe for concurrent use.
func (j *Janitor) View() View {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.view
}

func (j *Janitor) tell(v View) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.view = v
}

// say calls f with what was said before under the key, when that was something
// else. "" is that all is well, which needs no f at the beginning.
func (j *Janitor) say(key, what string, f func(before string)) {
	before := j.said[key]
	if what == before {
		return
	}
	if what == "" {
		delete(j.said, key)
	} else {
		j.said[key] = what
	}
	if f != nil {
		f(before)
	}
}

func (j *Janitor) tellFailed(stream string, err error) {
	what := ""
	if err != nil {
		what = "failed"
	}
	j.say(stream+" failed", what, func(string) {
		if err != nil {
			j.o.Logger.Warn("a stream is left as it is until it can be looked at", "stream", stream, "error", err)
		}
	})
}

func (j *Janitor) tellMissing(stream string, f floor) {
	j.say(stream+" missing", strings.Join(f.missing, ", "), func(before string) {
		if len(f.missing) == 0 {
			j.o.Logger.Info("the durables of a stream are there again: it is purged", "stream", stream, "consumers", before)
			return
		}
		j.o.Logger.Error("a stream is not purged: durables of configured destinations are not there, and nobody knows what they still need; start a worker that has them, or take them out of the configuration",
			"stream", stream, "consumers", strings.Join(f.missing, ", "))
	})
}

// tellShort says when the replay window begins to be shortened, and when it is
// whole again: not before time is what bounds the stream.
func (j *Janitor) tellShort(st queue.StreamState, short, window bool, kept float64) bool {
	key := st.Name + " short"
	is := short || j.said[key] != "" && !(window && !full(st))
	what := ""
	if is {
		what = "short"
	}
	j.say(key, what, func(string) {
		args := []any{"stream", st.Name, "kept_seconds", int64(kept), "replay_window", j.config.Load().ReplayWindow, "bytes", st.Bytes, "max_bytes", st.MaxBytes}
		if is {
			j.o.Logger.Warn("a stream is short of space: exported data is kept for less than retention.replay_window; raise queue.max_bytes to keep more", args...)
		} else {
			j.o.Logger.Info("a stream has room for retention.replay_window again", args...)
		}
	})
	return is
}

// tellBlocked says who keeps a stream full.
func (j *Janitor) tellBlocked(st queue.StreamState, f floor) {
	what := ""
	if full(st) {
		what = f.waitsFor()
	}
	j.say(st.Name+" blocked", what, func(before string) {
		args := []any{"stream", st.Name, "bytes", st.Bytes, "max_bytes", st.MaxBytes, "floor", f.seq, "last", st.LastSeq}
		switch {
		case what == "":
			j.o.Logger.Info("a stream has space again", append(args, "waited_for", before)...)
		case f.hold != nil && len(f.missing) == 0:
			j.o.Logger.Warn("a stream fills with data that every destination has and that is held for another reader; cancel what holds it, or let it finish",
				append(args, "waits_for", what, "held_from", f.hold.From)...)
		case f.others && len(f.missing) == 0:
			j.o.Logger.Warn("a stream fills with data that a durable has not taken whose destination is not configured here: start its worker, or, when it is gone for good, delete the durable (nats consumer rm STREAM CONSUMER)",
				append(args, "waits_for", what)...)
		default:
			j.o.Logger.Warn("a stream fills with data that a destination has not taken; at its limit the gateway refuses", append(args, "waits_for", what)...)
		}
	})
}

// show sets the gauges of a stream.
func (j *Janitor) show(s Stream, target uint64) {
	m := j.o.Metrics
	m.floor.WithLabelValues(s.Name).Set(float64(s.Floor))
	m.target.WithLabelValues(s.Name).Set(float64(target))
	m.kept.WithLabelValues(s.Name).Set(s.Kept)
	m.missing.WithLabelValues(s.Name).Set(float64(len(s.Missing)))
	m.held.WithLabelValues(s.Name).Set(flag(s.Hold != nil))
	m.shortened.WithLabelValues(s.Name).Set(flag(s.Shortened))
	m.blocked.WithLabelValues(s.Name).Set(flag(s.Blocked))
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
