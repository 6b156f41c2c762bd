package admin

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
)

// callTimeout bounds what an answer waits for one check or provider.
const callTimeout = 3 * time.Second

// calls runs code that belongs to others. Requests that come while a call is
// running share it, so that one that hangs holds one goroutine and not one a
// request.
type calls struct{ group singleflight.Group }

// do returns what fn returned, or an error when it did not within the time.
func (c *calls) do(ctx context.Context, key string, fn func(context.Context) (any, error)) (any, error) {
	began := time.Now()
	results := c.group.DoChan(key, func() (value any, err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		// Not the request's own context: others may be waiting for it too.
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		return fn(bound)
	})
	timer := time.NewTimer(callTimeout)
	defer timer.Stop()
	select {
	case r := <-results:
		return r.Val, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, fmt.Errorf("no answer after %s", time.Since(began).Round(time.Millisecond))
	}
}
