package receiver

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// ageKey is where a connection's context has the time at which it is too old.
type ageKey struct{}

// withAge notes for a new connection where it comes from, and when it should end, spread by a tenth
// either way so that connections of one moment do not all come again in one.
func withAge(limit time.Duration) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, c net.Conn) context.Context {
		ctx = context.WithValue(ctx, sourceKey{}, source(c.RemoteAddr()))
		if limit <= 0 {
			return ctx
		}
		return context.WithValue(ctx, ageKey{}, time.Now().Add(limit*9/10+rand.N(limit/5+1)))
	}
}

// endOld lets the answer of a request be the last of a connection that is too
// old: HTTP/1.1 closes behind it, HTTP/2 sends GOAWAY and finishes what is under
// way.
func endOld(w http.ResponseWriter, r *http.Request) {
	if due, ok := r.Context().Value(ageKey{}).(time.Time); ok && time.Now().After(due) {
		w.Header().Set("Connection", "close")
	}
}
