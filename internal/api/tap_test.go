package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tap"
)

var discard = slog.New(slog.DiscardHandler)

// tapped is a tap in a goroutine.
type tapped struct {
	mu    sync.Mutex
	items []tap.Item // mu
	done  chan error
	stop  context.CancelFunc
}

func (r *rig) tapInto(query string) *tapped {
	ctx, cancel := context.WithCancel(context.Background())
	x := &tapped{done: make(chan error, 1), stop: cancel}
	go func() {
		x.done <- admin.Stream(ctx, r.port.Addr(), Prefix+"/tap?"+query, func(line []byte) error {
			var i tap.Item
			if err := json.Unmarshal(line, &i); err != nil {
				return err
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			x.items = append(x.items, i)
			return nil
		})
	}()
	r.t.Cleanup(cancel)
	return x
}

func (x *tapped) has(n int) func() bool {
	return func() bool { x.mu.Lock(); defer x.mu.Unlock(); return len(x.items) >= n }
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

// TestTwoTaps watch the same stream, each by its own filter, and disturb nobody.
func TestTwoTaps(t *testing.T) {
	r := start(t, admin.Config{})
	all, acme := r.tapInto("signal=logs"), r.tapInto("tenant=acme&limit=4")
	until(t, "two taps", func() bool { return len(r.taps) == 2 })
	for !all.has(1)() { // a tap begins with what comes after it began
		r.put(otlp.Logs, "", 1)
		time.Sleep(10 * time.Millisecond)
	}
	r.put(otlp.Logs, "acme", 6)
	until(t, "the items of acme, and all", func() bool { return acme.has(4)() && all.has(7)() })
	if err := <-acme.done; err != nil || len(acme.items) != 4 {
		t.Errorf("the tap with a limit ended with %v after %d items", err, len(acme.items))
	}
	for _, i := range acme.items {
		if i.Tenant != "acme" {
			t.Errorf("%+v is not of acme", i)
		}
	}
	all.stop()
	if err := <-all.done; err != nil {
		t.Error(err)
	}
	until(t, "no taps", func() bool { return len(r.taps) == 0 })
	for _, l := range r.watch.Look(t.Context()).Lags {
		if l.InFlight > 0 {
			t.Errorf("the taps have taken from %s", l.Stream)
		}
	}
}

func TestTapsAreBounded(t *testing.T) {
	r := start(t, admin.Config{})
	var open []*tapped
	for range maxTaps {
		open = append(open, r.tapInto(""))
	}
	until(t, "8 taps", func() bool { return len(r.taps) == maxTaps })
	if why := r.refused(http.MethodGet, "/tap", nil, http.StatusTooManyRequests); !strings.Contains(why, "8 taps") {
		t.Errorf("says %s", why)
	}
	open[0].stop()
	until(t, "a free place", func() bool { return len(r.taps) < maxTaps })
	if status, _ := r.ask(http.MethodGet, "/tap?once=true", nil); status != http.StatusOK {
		t.Errorf("with a free place: %d", status)
	}
	r.Detach() // the process stops
	for i, x := range open[1:] {
		select {
		case err := <-x.done:
			if err != nil {
				t.Errorf("tap %d: %v", i, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("tap %d goes on when the process stops", i)
		}
	}
	<-open[0].done
}

func TestTapAsEvents(t *testing.T) {
	r := start(t, admin.Config{})
	r.put(otlp.Traces, "", 2)
	status, body := r.ask(http.MethodGet, "/tap?oldest=true&once=true", nil, "Accept", "text/event-stream")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	var names, data int
	for s := bufio.NewScanner(strings.NewReader(string(body))); s.Scan(); {
		switch line := s.Text(); {
		case line == "event: item":
			names++
		case strings.HasPrefix(line, "data: ") && json.Valid([]byte(line[6:])):
			data++
		case line != "":
			t.Errorf("the line %q", line)
		}
	}
	if names != 2 || data != 2 {
		t.Errorf("%d names and %d data: %s", names, data, body)
	}
}

// TestATapThatCannotGoOnSaysSo takes its queue away.
func TestATapThatCannotGoOnSaysSo(t *testing.T) {
	r := start(t, admin.Config{})
	x := r.tapInto("")
	until(t, "a tap", func() bool { return len(r.taps) == 1 })
	r.put(otlp.Logs, "", 1)
	if err := r.q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-x.done; err != nil {
		t.Error(err)
	}
	last := x.items[len(x.items)-1]
	if last.Kind != KindError || !strings.Contains(last.Problem, "closed") {
		t.Errorf("the last item is %+v", last)
	}
}

// broken is a client that does not read.
type broken struct{ http.ResponseWriter }

func (broken) Header() http.Header               { return http.Header{} }
func (broken) WriteHeader(int)                   {}
func (broken) Write([]byte) (int, error)         { return 0, errors.New("gone") }
func (broken) SetWriteDeadline(time.Time) error  { return nil }
func (broken) FlushError() error                 { return nil }
func (broken) SetReadDeadline(d time.Time) error { return nil }

func TestAStreamToNobodyEnds(t *testing.T) {
	s := &stream{w: broken{}, rc: http.NewResponseController(broken{}), events: true}
	if err := s.beat(); err == nil {
		t.Error("a beat to nobody is written")
	}
	if err := s.send("item", "", []byte("{}")); err == nil {
		t.Error("an item to nobody is written")
	}
}
