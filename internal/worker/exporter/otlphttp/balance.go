package otlphttp

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
)

const (
	// firstBackoff and longestBackoff bound how long an endpoint that cannot be
	// reached is left out; the wait doubles with each failure in a row.
	firstBackoff   = 500 * time.Millisecond
	longestBackoff = 15 * time.Second
	// hangAfter is how many requests in a row must run out of time, with no
	// answer in between, before an endpoint counts as one that cannot be reached.
	hangAfter = 3
)

// balancer spreads requests over the endpoints of one service:
//
//   - the least requests in flight first; equals take turns,
//   - one that cannot be reached is left out for a back-off, after which a single
//     request tries it while the others go elsewhere,
//   - with none left, the one whose back-off ends first is tried all the same:
//     its failure brings the reason.
type balancer struct {
	mu        sync.Mutex // guards everything below, and the endpoints but for their urls
	endpoints []*endpoint
	turn      int // the index after that of the last one taken
}

type endpoint struct {
	urls [otlp.NumSignals]*url.URL

	inFlight int
	silent   int           // requests without an answer in a row
	backoff  time.Duration // 0: it is well
	until    time.Time     // left out so long
	tried    bool          // a request finds out whether it is well again
}

func newBalancer(bases []string) (*balancer, error) {
	b := &balancer{}
	for i, s := range bases {
		base, err := url.Parse(s)
		if err != nil { // not wrapped: it repeats the URL
			return nil, fmt.Errorf("endpoints[%d]: not a URL", i)
		}
		e := &endpoint{}
		for _, sig := range otlp.Signals {
			u := *base
			u.Path = strings.TrimSuffix(u.Path, "/") + "/v1/" + sig.String()
			e.urls[sig] = &u
		}
		b.endpoints = append(b.endpoints, e)
	}
	return b, nil
}

// lent is an endpoint with one request more in flight, which done takes off
// again.
type lent struct {
	*endpoint
	trial bool // this request finds out whether it is well again
}

// take lends the best endpoint but those in except; false when there is no
// other.
func (b *balancer) take(except []*endpoint) (lent, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	var best *endpoint
	turn := b.turn
	for i := range b.endpoints {
		i = (i + turn) % len(b.endpoints)
		e := b.endpoints[i]
		if !slices.Contains(except, e) && (best == nil || e.before(best, now)) {
			best, b.turn = e, i+1
		}
	}
	if best == nil {
		return lent{}, false
	}
	best.inFlight++
	l := lent{best, best.backoff > 0 && !best.tried}
	best.tried = best.tried || l.trial
	return l, true
}

// before: e is to be taken rather than o.
func (e *endpoint) before(o *endpoint, now time.Time) bool {
	if a, b := e.rank(now), o.rank(now); a != b {
		return a < b
	} else if a == rankOut {
		return e.until.Before(o.until)
	}
	return e.inFlight < o.inFlight
}

// Ranks of an endpoint: a lower one is better. One whose back-off is over goes
// before those that are well, or it would not be tried under a light load.
const (
	rankDue = iota
	rankWell
	rankOut
)

func (e *endpoint) rank(now time.Time) int {
	switch {
	case e.backoff == 0:
		return rankWell
	case !e.tried && !now.Before(e.until):
		return rankDue
	}
	return rankOut
}

// outcome is what a request tells of its endpoint.
type outcome uint8

const (
	answered    outcome = iota // whatever the answer is
	unreachable                // refused, reset, no TLS
	silent                     // no answer in time
	untold                     // given up by the caller
)

// done gives the endpoint back and learns from the outcome.
func (b *balancer) done(l lent, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := l.endpoint
	e.inFlight--
	if l.trial {
		e.tried = false
	}
	switch o {
	case answered:
		e.silent, e.backoff = 0, 0
	case silent:
		if e.silent++; e.silent >= hangAfter {
			e.leaveOut()
		}
	case unreachable:
		e.leaveOut()
	}
}

// leaveOut begins or prolongs the back-off. What fails within one counts once:
// the requests that were under way together.
func (e *endpoint) leaveOut() {
	now := time.Now()
	if e.backoff > 0 && now.Before(e.until) {
		return
	}
	e.backoff = min(max(2*e.backoff, firstBackoff), longestBackoff)
	e.until = now.Add(time.Duration((0.8 + 0.4*rand.Float64()) * float64(e.backoff)))
}
