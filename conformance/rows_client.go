package conformance

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// throttleFor is the wait that scripts ask for. What the endpoint waits of its
// own accord should be configured to be less, or it proves nothing.
const throttleFor = 3 * time.Second

// clockSlack is by how much two clocks of one machine, and the rounding of a
// date, may differ where a wait is measured from here.
const clockSlack = 100 * time.Millisecond

// first answers the first arrivals by r, and takes every other.
func first(n int, r reply) script {
	return func(i int, _ *arrival) reply {
		if i < n {
			return r
		}
		return reply{}
	}
}

// retried wants a second arrival after the first was answered by r.
func (c *check) retried(ctx context.Context, b *backend, r reply, sent string) (*watch, Verdict) {
	w, err := c.through(ctx, b, first(1, r))
	if err != nil {
		return nil, failed(sent, "the request, and again", err.Error())
	}
	if !w.await(ctx, 2, c.Patience) {
		return w, failed(sent, "the request once more", fmt.Sprintf("nothing for %s", c.Patience))
	}
	return w, passed
}

// answeredOnce sends one item for each answer, and watches them all together.
// Each has to come once and never again.
func (c *check) answeredOnce(b *backend, answers []answer) {
	watches := make([]*watch, len(answers))
	errs := make([]error, len(answers))
	for i, a := range answers {
		watches[i], errs[i] = c.through(c.ctx, b, first(1, a.r))
	}
	c.quiet(c.ctx)
	for i, a := range answers {
		c.try(a.name, func(context.Context) Verdict {
			switch {
			case errs[i] != nil:
				return failed(a.name, "the request, once", errs[i].Error())
			case watches[i].count() != 1:
				return failed(a.name, "the request, once", fmt.Sprintf("it came %d times within %s", watches[i].count(), c.Quiet))
			}
			return passed
		})
	}
	c.try("the client goes on with other data", func(ctx context.Context) Verdict {
		if _, err := c.through(ctx, b, nil); err != nil {
			return failed("another request", "its arrival", err.Error())
		}
		return passed
	})
}

// answer is one of a list that a script goes through.
type answer struct {
	name string
	r    reply
}

func retryInfo(d time.Duration) []proto.Message {
	return []proto.Message{&errdetails.RetryInfo{RetryDelay: durationpb.New(d)}}
}

// waited wants at least d between an answer and the next arrival, until the
// n-th.
func waited(w *watch, n int, d time.Duration, sent string) Verdict {
	for i := 1; i <= n; i++ {
		if gap := w.gap(i); gap < d-clockSlack {
			return failed(sent, fmt.Sprintf("at least %s until the request comes again", d), gap.Round(time.Millisecond).String())
		}
	}
	return passed
}

// backoffTries is how often waits are looked at: a machine that was busy makes
// one wait long that was not meant so.
const backoffTries = 3

// backsOff wants the waits between failures to grow.
func (c *check) backsOff(ctx context.Context, b *backend, r reply) Verdict {
	const failures = 5
	sent := fmt.Sprintf("%d failures in a row", failures)
	var seen []time.Duration
	for range backoffTries {
		w, err := c.through(ctx, b, first(failures, r))
		if err != nil {
			return failed(sent, "the request, again and again", err.Error())
		}
		if !w.await(ctx, failures+1, c.Patience) {
			return failed(sent, "the request once more", fmt.Sprintf("%d arrivals within %s", w.count(), c.Patience))
		}
		seen = seen[:0]
		for i := 1; i <= failures; i++ {
			seen = append(seen, w.gap(i).Round(time.Millisecond))
		}
		if seen[failures-1]+seen[failures-2] > seen[0]+seen[1] {
			return passed
		}
	}
	return failed(sent, "waits that grow", fmt.Sprint(seen))
}

// refusedForAWhile takes the backend down, and wants what was sent meanwhile to
// arrive when it is back.
func (c *check) refusedForAWhile(ctx context.Context, b *backend) Verdict {
	const sent = "a request while the backend refuses connections"
	sig, mark := c.signals[0], newMark()
	w := b.expect(mark, nil)
	b.down()
	err := c.send(ctx, sig, sig.request(mark))
	c.quiet(ctx)
	if upErr := b.up(); upErr != nil {
		return failed(sent, "the backend up again", upErr.Error())
	}
	switch {
	case err != nil:
		return failed(sent, "it is taken", err.Error())
	case !w.await(ctx, 1, c.Patience):
		return failed(sent, "its arrival once the backend is back", fmt.Sprintf("nothing for %s", c.Patience))
	}
	return passed
}

// together wants a second request while the first has no answer yet.
func (c *check) together(ctx context.Context, b *backend) Verdict {
	const sent, expected = "a request that is not answered, and a second one", "the second at the same time"
	hold := make(chan struct{})
	defer close(hold)
	held := func(int, *arrival) reply { return reply{hold: hold} }
	if _, err := c.through(ctx, b, held); err != nil {
		return failed(sent, expected, err.Error())
	}
	if _, err := c.through(ctx, b, held); err != nil {
		return failed(sent, expected, err.Error())
	}
	return passed
}

// tooLargeToSend wants a request over the client's own limit never to come.
func (c *check) tooLargeToSend(ctx context.Context, b *backend) Verdict {
	if c.ClientMaxBytes == 0 {
		return notApplicable("the endpoint's limit on requests as a client is not known: give -client-max-bytes")
	}
	sig, mark := c.signals[0], newMark()
	size := c.ClientMaxBytes + 256<<10
	sent := fmt.Sprintf("one item of %d bytes", size)
	w := b.expect(mark, nil)
	a := largeItem(sig, mark, size)
	message := make([]byte, size)
	if _, err := readFull(a, message); err != nil {
		return failed(sent, "", err.Error())
	}
	if err := c.send(ctx, sig, message); err != nil {
		return notApplicable("the endpoint does not take it at its front: %v", err)
	}
	c.quiet(ctx)
	for _, got := range w.all() {
		if int64(got.size) > c.ClientMaxBytes {
			return failed(sent, fmt.Sprintf("no request over %d bytes", c.ClientMaxBytes), fmt.Sprintf("one of %d bytes", got.size))
		}
	}
	if _, err := c.through(ctx, b, nil); err != nil {
		return failed("a small request after it", "its arrival", err.Error())
	}
	return passed
}

// largeAnswer wants an answer over the limit of answers not to be retried.
func (c *check) largeAnswer() reply {
	return reply{body: encode(c.signals[0].response(0, string(make([]byte, maxResponse+1<<20))))}
}

// counted wants the endpoint's own count of undelivered data to grow.
func (c *check) counted(ctx context.Context, b *backend, r reply) Verdict {
	if c.Undelivered == nil {
		return notApplicable("the endpoint's count of undelivered data is not known: give -metrics-url and -undelivered-metric")
	}
	const sent, expected = "an item that the backend refuses for good", "the endpoint's count of undelivered data to grow"
	before, err := c.Undelivered(ctx)
	if err != nil {
		return failed(sent, expected, err.Error())
	}
	if _, err := c.through(ctx, b, func(int, *arrival) reply { return r }); err != nil {
		return failed(sent, expected, err.Error())
	}
	deadline := time.Now().Add(c.Patience)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if after, err := c.Undelivered(ctx); err == nil && after > before {
			return passed
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return failed(sent, expected, fmt.Sprintf("it stays at %v for %s", before, c.Patience))
}

// answersOf are the HTTP answers of some codes.
func answersOf(status ...int) (list []answer) {
	for _, n := range status {
		list = append(list, answer{fmt.Sprintf("%d %s", n, http.StatusText(n)), reply{status: n}})
	}
	return list
}

// codeAnswers are the gRPC answers of some codes.
func codeAnswers(list ...codes.Code) (out []answer) {
	for _, code := range list {
		out = append(out, answer{codeName(code), reply{code: code}})
	}
	return out
}
