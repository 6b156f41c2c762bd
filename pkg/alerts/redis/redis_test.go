package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/pkg/alerts"
	"github.com/penstock-otel/penstock/pkg/alerts/alertstest"
	"github.com/penstock-otel/penstock/pkg/alerts/redis"
	"github.com/penstock-otel/penstock/pkg/alerts/redis/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o redis.Options) *redis.Store {
	t.Helper()
	s, err := redis.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// suite runs it with a prefix of its own for every test.
func suite(t *testing.T, o redis.Options) {
	n := 0
	alertstest.Run(t, func(t *testing.T) alerts.Store {
		n++
		o.Prefix = fmt.Sprintf("p%d", n)
		return open(t, o)
	})
}

func addrs(list ...*redistest.Server) (addrs []string) {
	for _, s := range list {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

var (
	key  = alerts.ClaimKey{Tenant: "blue", Group: "g", Receiver: "r"}
	want = alerts.Want{Firing: []alerts.Key{"a"}, Repeat: time.Hour, SendResolved: true}
)

// eventually asks until it is so: the client has connections that are gone, and
// servers take their time.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 1500 {
		if f() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// claim asks until the server answers.
func claim(t *testing.T, s *redis.Store, k alerts.ClaimKey) (a alerts.Answer) {
	t.Helper()
	var err error
	eventually(t, "a claim is answered", func() bool { a, err = s.Claim(t.Context(), k, want, time.Hour); return err == nil })
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	suite(t, redis.Options{Addrs: addrs(redistest.Start(t))})
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]redis.Options{
		"no address":   {},
		"no sentinels": {Addrs: []string{"a:1"}, SentinelMaster: "m", Cluster: true},
		"braces":       {Addrs: []string{"a:1"}, Prefix: "{x}"},
	} {
		if _, err := redis.Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestLogin(t *testing.T) {
	srv := redistest.Start(t)
	srv.Do("acl", "setuser", "alerter", "on", ">sesame", "~penstock:*", "~{penstock:*", "+@all", "-@admin", "-@dangerous", "+info")
	srv.Do("acl", "setuser", "default", "off")
	o := redis.Options{Addrs: addrs(srv), Username: "alerter", Password: "wrong-one"}
	if err := open(t, o).Ready(t.Context()); err == nil || strings.Contains(err.Error(), o.Password) {
		t.Errorf("%v", err)
	}
	o.Password = "sesame"
	s := open(t, o) // who may no more than this
	if a := claim(t, s, key); a.Verdict != alerts.Go {
		t.Errorf("%+v", a)
	}
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x"}))
	if problem, err := s.MemoryPolicy(t.Context()); problem != "" || err != nil {
		t.Errorf("%q, %v", problem, err)
	}
}

func TestMemoryPolicy(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, redis.Options{Addrs: addrs(srv)})
	if problem, err := s.MemoryPolicy(t.Context()); problem != "" || err != nil {
		t.Errorf("%q, %v", problem, err)
	}
	srv.Do("config", "set", "maxmemory-policy", "volatile-lru")
	if problem, err := s.MemoryPolicy(t.Context()); !strings.Contains(problem, "is volatile-lru, want noeviction") || err != nil {
		t.Errorf("%q, %v", problem, err)
	}
	srv.Kill()
	if problem, err := s.MemoryPolicy(t.Context()); problem != "" || err == nil {
		t.Errorf("%q, %v", problem, err)
	}
}

// A server whose memory is full refuses claims, and says so; what is there stays.
func TestMemoryIsFull(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, redis.Options{Addrs: addrs(srv)})
	a := claim(t, s, key)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: want.Firing}))
	srv.Do("config", "set", "maxmemory", "1")
	if _, err := s.Claim(t.Context(), alerts.ClaimKey{Group: "new"}, want, time.Hour); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("%v", err)
	}
	srv.Do("config", "set", "maxmemory", "0")
	if a := claim(t, s, key); a.Verdict != alerts.NotNeeded {
		t.Errorf("%+v", a)
	}
}

// What is not what this package wrote is an error and harms nothing else.
func TestStrangeData(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, redis.Options{Addrs: addrs(srv)})
	a := claim(t, s, key)
	must(t, s.Commit(t.Context(), key, a.Token, alerts.Sent{Firing: want.Firing}))
	name := srv.Do("keys", "penstock:c:*")
	srv.Do("hset", name, "sent", "not JSON")
	if _, err := s.Claim(t.Context(), key, want, time.Hour); err == nil {
		t.Error("no error of what is not JSON")
	}
	srv.Do("hset", name, "sent", `{"firing":[7]}`)
	if _, err := s.Claim(t.Context(), key, alerts.Want{Always: true}, time.Hour); err == nil || !strings.Contains(err.Error(), "not readable") {
		t.Errorf("%v", err)
	}
	srv.Do("del", name)
	srv.Do("set", name, "no hash")
	if _, err := s.Claim(t.Context(), key, want, time.Hour); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("%v", err)
	}
	srv.Do("zadd", "{penstock:0}:t", "1", "neither")
	if list, err := s.Take(t.Context(), 10, time.Hour); err == nil || len(list) != 0 || !strings.Contains(err.Error(), "not readable") {
		t.Errorf("%v, %v", list, err)
	}
	must(t, s.Arm(t.Context(), alerts.Timer{ID: "x"}))
	eventually(t, "a timer comes past it", func() bool {
		list, err := s.Take(t.Context(), 10, time.Hour)
		must(t, err)
		return len(list) == 1
	})
}

// Keys go away by themselves, a good while after the last one asked.
func TestKeysExpire(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, redis.Options{Addrs: addrs(srv)})
	if a, err := s.Claim(t.Context(), key, alerts.Want{}, time.Hour); err != nil || a.Verdict != alerts.NotNeeded || srv.Do("dbsize") != "0" {
		t.Errorf("%+v, %v: it keeps that nothing is needed", a, err)
	}
	must(t, s.Restore(t.Context(), key, alerts.Sent{Firing: want.Firing, At: time.Now()}))
	name := srv.Do("keys", "penstock:c:*")
	least := func(what string, least time.Duration) {
		t.Helper()
		var millis int64
		if _, err := fmt.Sscan(srv.Do("pttl", name), &millis); err != nil {
			t.Fatal(err)
		}
		if got := time.Duration(millis) * time.Millisecond; got > least || got < least-10*time.Minute {
			t.Errorf("%s it is kept for %s, want %s", what, got, least)
		}
	}
	least("restored,", 24*time.Hour)
	if a := claim(t, s, key); a.Verdict != alerts.NotNeeded {
		t.Errorf("%+v", a)
	}
	least("asked for,", 27*time.Hour) // twice the repeat, the lease
}

// What the server keeps of a group is bounded.
func TestSizeOfAClaim(t *testing.T) {
	srv := redistest.Start(t)
	s := open(t, redis.Options{Addrs: addrs(srv)})
	f := func(alertsThere, want int) {
		t.Helper()
		srv.Do("flushall")
		sent := alerts.Sent{At: time.Now()}
		for n := range alertsThere {
			sent.Firing = append(sent.Firing, alerts.Key(fmt.Sprintf("%032d", n)))
		}
		must(t, s.Restore(t.Context(), key, sent))
		var size int
		if _, err := fmt.Sscan(srv.Do("hstrlen", srv.Do("keys", "penstock:c:*"), "sent"), &size); err != nil || size > want {
			t.Errorf("%d alerts are %d bytes, want at most %d (%v)", alertsThere, size, want, err)
		}
	}
	f(10_000, 360_000)
	f(10_001, 200)
}

func TestContexts(t *testing.T) {
	s := open(t, redis.Options{Addrs: []string{"127.0.0.1:1"}}) // nobody is there
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Claim(ctx, key, want, time.Hour); err == nil {
		t.Error("no error")
	}
	if _, err := s.NextDue(t.Context(), time.Hour); err == nil || !strings.HasPrefix(err.Error(), "redis: ") {
		t.Errorf("%v", err)
	}
}
