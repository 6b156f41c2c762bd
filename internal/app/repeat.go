package app

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// maxRepeats bounds how many different messages a Repeat remembers.
const maxRepeats = 256

// Repeat logs something that may happen thousands of times a second: the first
// time at once, and from then on at most one line each interval, with how often
// it happened in between. Safe for concurrent use; it has no goroutine.
type Repeat struct {
	logger *slog.Logger
	every  time.Duration

	mu      sync.Mutex // guards everything below
	seen    map[string]*repeated
	stopped bool
}

type repeated struct {
	began time.Time
	timer *time.Timer
	count int // since the last line
	level slog.Level
	msg   string
	args  []any // of the latest
}

// NewRepeat makes a Repeat; every is the interval between two lines of a key.
func NewRepeat(logger *slog.Logger, every time.Duration) *Repeat {
	return &Repeat{logger: logger, every: every, seen: map[string]*repeated{}}
}

// Warn is Log at the level of a warning.
func (r *Repeat) Warn(key, msg string, args ...any) { r.Log(slog.LevelWarn, key, msg, args...) }

// Error is Log at the level of an error.
func (r *Repeat) Error(key, msg string, args ...any) { r.Log(slog.LevelError, key, msg, args...) }

// Log says msg, unless the key was said within the interval: then it counts, and
// the line at the interval's end carries the latest args and "repeated". Keys
// are few and fixed, such as a destination's name and a kind of failure.
func (r *Repeat) Log(level slog.Level, key, msg string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.seen[key]; e != nil {
		e.count++
		e.level, e.msg, e.args = level, msg, args
		return
	}
	r.logger.Log(context.Background(), level, msg, args...)
	if r.stopped {
		return
	}
	if len(r.seen) >= maxRepeats {
		r.forgetOldest()
	}
	e := &repeated{began: time.Now(), level: level, msg: msg, args: args}
	r.seen[key] = e
	e.timer = time.AfterFunc(r.every, func() { r.tick(key, e) })
}

// tick ends an interval: a quiet key is forgotten, so that its next time is said
// at once; another one is said, and its next interval begins.
func (r *Repeat) tick(key string, e *repeated) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[key] != e {
		return
	}
	if e.count == 0 {
		delete(r.seen, key)
		return
	}
	r.say(e)
	e.timer.Reset(r.every)
}

func (r *Repeat) say(e *repeated) {
	args := append(append(make([]any, 0, len(e.args)+4), e.args...), "repeated", e.count, "within", r.every)
	r.logger.Log(context.Background(), e.level, e.msg, args...)
	e.count = 0
}

func (r *Repeat) forgetOldest() {
	var oldest string
	for key, e := range r.seen {
		if oldest == "" || e.began.Before(r.seen[oldest].began) {
			oldest = key
		}
	}
	r.forget(oldest)
}

func (r *Repeat) forget(key string) {
	e := r.seen[key]
	e.timer.Stop()
	if e.count > 0 {
		r.say(e)
	}
	delete(r.seen, key)
}

// Stop says what is still counted. Later messages are logged one by one.
func (r *Repeat) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	for key := range r.seen {
		r.forget(key)
	}
}
