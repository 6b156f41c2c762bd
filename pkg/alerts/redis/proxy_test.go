package redis_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/redis"
	"github.com/penstock-otel/penstock/pkg/alerts/redis/redistest"
)

// proxy stands before a server. While lose is above zero, an answer is taken from the
// server, thrown away, and the connection ended: what was asked is done, and whoever
// asked does not know. pass answers go by before.
type proxy struct {
	addr       string
	pass, lose atomic.Int64
}

func behindProxy(t *testing.T, srv *redistest.Server) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed below
			}
			server, err := net.Dial("tcp", srv.Addr)
			if err != nil {
				t.Error(err)
				_ = client.Close()
				continue
			}
			mu.Lock()
			open[client], open[server] = true, true
			mu.Unlock()
			end := func() { _ = client.Close(); _ = server.Close() } // twice is no harm
			wg.Go(func() { defer end(); _, _ = io.Copy(server, client) })
			wg.Go(func() { defer end(); p.answers(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return p
}

func (p *proxy) answers(client, server net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		switch {
		case p.pass.Load() > 0:
			p.pass.Add(-1)
		case p.lose.Load() > 0:
			p.lose.Add(-1)
			return
		}
		if _, err := client.Write(b[:n]); err != nil {
			return
		}
	}
}

// What the client asks again, since the answer was lost, is done once: nobody waits for
// the lease of a claim that he has himself, and nobody thinks that he was too late.
func TestLostAnswers(t *testing.T) {
	srv := redistest.Start(t)
	p := behindProxy(t, srv)
	s := open(t, redis.Options{Addrs: []string{p.addr}})
	warm := alerts.ClaimKey{Group: "warm"} // the server knows the scripts, the client the server
	a := claim(t, s, warm)
	must(t, s.Commit(t.Context(), warm, a.Token, alerts.Sent{}))
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "warm"}))
	var err error
	eventually(t, "a timer is given", func() bool {
		list, err := s.Take(t.Context(), 1, time.Hour)
		must(t, err)
		return len(list) == 1
	})

	p.lose.Store(1)
	a, err = s.Claim(t.Context(), key, want, time.Hour)
	if err != nil || a.Verdict != alerts.Go || p.lose.Load() != 0 {
		t.Fatalf("claim: %+v, %v, %d answers to be lost", a, err, p.lose.Load())
	}
	if b := claim(t, s, key); b.Verdict != alerts.Held {
		t.Errorf("a second claimant: %+v", b)
	}
	p.lose.Store(1)
	must(t, s.Release(t.Context(), key, a.Token, 0))
	a = claim(t, s, key)
	p.lose.Store(1)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: want.Firing}))
	if b := claim(t, s, key); b.Verdict != alerts.NotNeeded || b.Last.Token != a.Token || p.lose.Load() != 0 {
		t.Errorf("%+v, %d answers to be lost", b, p.lose.Load())
	}

	// Timers that were given and did not arrive are given again when the lease is over.
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x"}))
	eventually(t, "the timer is due", func() bool { d, err := s.NextDue(t.Context(), time.Hour); return err == nil && d == 0 })
	p.pass.Store(1) // which shard it is in
	p.lose.Store(1)
	list, err := s.Take(t.Context(), 1, 100*time.Millisecond)
	must(t, err)
	if p.lose.Load() != 0 {
		t.Error("no answer was lost")
	}
	eventually(t, "the timer is given", func() bool {
		if len(list) == 0 {
			list, err = s.Take(t.Context(), 1, time.Hour)
			must(t, err)
		}
		return len(list) == 1 && list[0].ID == "x"
	})
}
