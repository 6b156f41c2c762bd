package identity

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/penstock-otel/penstock/internal/app"
)

// How keys are fetched.
const (
	refreshEvery = 10 * time.Minute
	minBackoff   = 5 * time.Second
	maxBackoff   = time.Minute
	// askEvery is how often tokens that name a key which is not known may have
	// the issuer asked, however many there are.
	askEvery = 10 * time.Second
	// patience is how long a request waits for that, and maxWaiting how many do.
	patience   = 3 * time.Second
	maxWaiting = 64
)

// keySet has the keys of an issuer, fetched by one goroutine. Keys that were
// fetched once stay in use while the issuer is away.
type keySet struct {
	c       Issuer
	client  *http.Client
	now     func() time.Time
	log     *slog.Logger
	metrics *Metrics

	current atomic.Pointer[fetched]
	patient time.Duration
	kick    chan struct{} // asks for a fetch before its time
	waiting chan struct{} // a place for each request that waits

	mu     sync.Mutex // guards everything below
	tried  time.Time  // end of the last try
	busy   bool
	done   chan struct{} // closed at the end of the try that runs or comes next
	err    error         // of the last try
	ending context.CancelFunc
	ended  chan struct{}
}

// fetched is one reading of the keys; never changed.
type fetched struct {
	keys       []jose.JSONWebKey
	at         time.Time // zero: never
	generation int64     // another number, other keys
}

func newKeySet(c Issuer, now func() time.Time, log *slog.Logger, m *Metrics) (*keySet, error) {
	client, err := fetcher(c.CAFile)
	if err != nil {
		return nil, err
	}
	k := &keySet{c: c, client: client, now: now, log: log, metrics: m, patient: patience, kick: make(chan struct{}, 1), waiting: make(chan struct{}, maxWaiting), done: make(chan struct{})}
	k.current.Store(&fetched{})
	return k, nil
}

// start fetches until ctx ends or stop is called.
func (k *keySet) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ending, k.ended = cancel, make(chan struct{})
	k.busy = true
	go k.run(ctx, k.ended)
}

// stop waits for the goroutine.
func (k *keySet) stop() {
	k.mu.Lock()
	cancel, ended := k.ending, k.ended
	k.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	<-ended
	k.client.CloseIdleConnections()
}

func (k *keySet) run(ctx context.Context, ended chan struct{}) {
	defer close(ended)
	repeat := app.NewRepeat(k.log, 10*time.Minute)
	defer repeat.Stop()
	backoff := minBackoff
	for {
		select {
		case <-k.kick: // what asked is answered by this try
		default:
		}
		err := k.fetch(ctx)
		if ctx.Err() != nil {
			k.end(ctx.Err())
			return
		}
		wait := refreshEvery
		if err != nil {
			wait, backoff = backoff, min(2*backoff, maxBackoff)
			repeat.Warn("jwks", "the keys of an issuer cannot be fetched; those known stay in use", "issuer", k.c.Issuer, "known", len(k.current.Load().keys), "error", err)
		} else {
			backoff = minBackoff
		}
		k.end(err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.kick:
		case <-ctx.Done():
		}
		timer.Stop()
		k.mu.Lock()
		k.busy = true
		k.mu.Unlock()
	}
}

// end tells who waits that a try is over.
func (k *keySet) end(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy, k.tried, k.err = false, k.now(), err
	close(k.done)
	k.done = make(chan struct{})
}

// fetch replaces the keys.
func (k *keySet) fetch(ctx context.Context) error {
	keys, err := fetchKeys(ctx, k.client, k.c)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	k.metrics.fetched(k.c.Issuer, err)
	if err != nil {
		return err
	}
	before := k.current.Load()
	next := &fetched{keys: keys, at: k.now(), generation: before.generation}
	if !same(before.keys, keys) {
		next.generation++
		k.log.Info("the keys of an issuer were fetched", "issuer", k.c.Issuer, "keys", len(keys))
	}
	k.current.Store(next)
	return nil
}

func (k *keySet) generation() int64 { return k.current.Load().generation }

// matching are the keys that may have signed a token.
func (f *fetched) matching(t *token) (keys []jose.JSONWebKey) {
	for _, x := range f.keys {
		if (t.kid == "" || x.KeyID == t.kid) && (x.Algorithm == "" || x.Algorithm == t.alg) {
			keys = append(keys, x)
		}
	}
	return keys
}

// find returns the keys for a token, and asks the issuer for newer ones, rarely,
// when it names one that is not known.
func (k *keySet) find(ctx context.Context, t *token) ([]jose.JSONWebKey, int64, *Failure) {
	now := k.current.Load()
	if keys := now.matching(t); len(keys) > 0 {
		return keys, now.generation, nil
	}
	if k.ask(ctx) {
		now = k.current.Load()
		if keys := now.matching(t); len(keys) > 0 {
			return keys, now.generation, nil
		}
	}
	fail := func(kind, message string, err error) *Failure {
		return &Failure{Kind: kind, Message: message, Subject: t.subject(), Err: err}
	}
	k.mu.Lock()
	err := k.err
	k.mu.Unlock()
	if now.at.IsZero() {
		return nil, 0, fail(FailUnavailable, "the keys of the token's issuer cannot be had now: try again", err)
	}
	// The keys are older than the token: its own may have come since.
	if issued, ok, e := t.claims.time("iat"); e == nil && ok && issued.After(now.at) {
		return nil, 0, fail(FailUnavailable, "the token is newer than what is known of its issuer's keys, and its key (kid) is not among them: try again", err)
	}
	return nil, 0, fail(FailSignature, "the token is signed by a key (kid) that its issuer does not have", fmt.Errorf("%d keys are known, fetched at %s", len(now.keys), now.at.UTC().Format(time.RFC3339)))
}

// ask has the keys fetched and waits for it, within bounds; false when the issuer
// was asked a moment ago, or too many wait.
func (k *keySet) ask(ctx context.Context) bool {
	k.mu.Lock()
	done := k.done
	if !k.busy {
		if !k.tried.IsZero() && k.now().Sub(k.tried) < askEvery {
			k.mu.Unlock()
			return false
		}
		select {
		case k.kick <- struct{}{}:
		default: // somebody else has asked
		}
	}
	k.mu.Unlock()
	select {
	case k.waiting <- struct{}{}:
		defer func() { <-k.waiting }()
	default:
		return false
	}
	timer := time.NewTimer(k.patient)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
