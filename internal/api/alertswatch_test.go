package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerter/alertertest"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// watched is a watch in a goroutine.
type watched struct {
	mu    sync.Mutex
	lines []AlertEvent // mu
	done  chan error
	stop  context.CancelFunc
}

func (r *rig) watchInto(query string) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	x := &watched{done: make(chan error, 1), stop: cancel}
	go func() {
		x.done <- admin.Stream(ctx, r.port.Addr(), Prefix+"/alerts/watch?"+query, func(line []byte) error {
			var e AlertEvent
			if err := json.Unmarshal(line, &e); err != nil {
				return err
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			x.lines = append(x.lines, e)
			return nil
		})
	}()
	r.t.Cleanup(cancel)
	return x
}

func (x *watched) all() []AlertEvent {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]AlertEvent(nil), x.lines...)
}

func (x *watched) has(n int) func() bool { return func() bool { return len(x.all()) >= n } }

// TestWatch: what happens comes, is in the lists when it does, and a client that lost
// its connection goes on where it was, without a gap and without twice.
func TestWatch(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning"))
	x := r.watchInto("")
	until(t, "the first line", x.has(1))
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning"), alertertest.Alert("Slow", "critical", "n", "2"))
	until(t, "what fired", x.has(3))
	s.Evaluate("", "Slow")
	until(t, "the end of it", x.has(6))
	x.stop()
	if err := <-x.done; err != nil {
		t.Error(err)
	}
	until(t, "no watch", func() bool { return len(r.watches) == 0 })
	lines := x.all()
	if got := strings.Join(kinds(lines), " "); got != "begins fired raised resolved resolved closed" {
		t.Fatalf("they are %s", got)
	}
	if lines[0].Position == 0 || lines[1].Position <= lines[0].Position || !lines[1].More || lines[2].More || lines[2].Position != lines[1].Position {
		t.Errorf("%+v", lines)
	}
	for n, e := range lines {
		if e.More {
			continue // a client goes on behind a whole entry
		}
		y := r.watchInto(fmt.Sprintf("after=%d", e.Position))
		until(t, "the rest", y.has(len(lines)-n))
		rest := y.all()
		if rest[0].Kind != WatchBegins || rest[0].Position != e.Position || strings.Join(kinds(rest[1:]), " ") != strings.Join(kinds(lines[n+1:]), " ") {
			t.Errorf("behind %d: %v", e.Position, kinds(rest))
		}
		y.stop()
		<-y.done
	}
	// Only some of it.
	y := r.watchInto("after=1&kind=fired&limit=1")
	if err := <-y.done; err != nil || strings.Join(kinds(y.all()), " ") != "begins fired" {
		t.Errorf("%v %v", err, kinds(y.all()))
	}
	y = r.watchInto("after=1&limit=4&incident=" + lines[1].Incident)
	if err := <-y.done; err != nil || strings.Join(kinds(y.all()), " ") != "begins fired raised resolved resolved" {
		t.Errorf("%v %v", err, kinds(y.all()))
	}
	// A position that there is not yet, as of a log that was lost.
	y = r.watchInto("after=1000000")
	until(t, "a reset", y.has(1))
	if e := y.all()[0]; e.Kind != WatchReset || e.Position != s.State().At() || !strings.Contains(e.Problem, "began anew") {
		t.Errorf("%+v", e)
	}
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning"))
	until(t, "what comes", y.has(2))
	if at := s.State().At(); at > 1000 {
		t.Errorf("the log is at %d: the watch has made it anew", at)
	}
	y.stop()
	<-y.done
}

// TestAWatchOfWhatIsGone says that something is missing, and goes on.
func TestAWatchOfWhatIsGone(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	for range 3 {
		s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning"))
		s.Evaluate("", "Slow")
	}
	s.Purge(4)
	x := r.watchInto("after=1&limit=4")
	if err := <-x.done; err != nil {
		t.Error(err)
	}
	lines := x.all()
	if got := strings.Join(kinds(lines), " "); got != "begins reset opened fired resolved closed" || lines[1].Position != 5 || !strings.Contains(lines[1].Problem, "tidied") {
		t.Errorf("%s: %+v", got, lines)
	}
	h := get[AlertHistory](r, "/alerts/history")
	if len(h.Events) != 4 || h.Events[0].Position != 5 || h.Events[2].Title != "Slow" {
		t.Errorf("%+v", h)
	}
}

// TestWatchAsEvents has ids, by which a browser goes on.
func TestWatchAsEvents(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "warning"))
	s.Evaluate("", "Slow")
	at := s.State().At()
	read := func(header ...string) string {
		t.Helper()
		status, body := r.ask(http.MethodGet, "/alerts/watch?limit=2", nil, append(header, "Accept", "text/event-stream")...)
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		return string(body)
	}
	got := read("Last-Event-ID", "1")
	want := []string{"id: 1\nevent: begins\ndata: {", "\n\nevent: resolved\ndata: {", fmt.Sprintf("\n\nid: %d\nevent: closed\ndata: {", at)}
	for _, part := range want {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
	r.refused2(http.MethodGet, "/alerts/watch", http.StatusUnprocessableEntity, "Last-Event-ID", "x")
}

// refused2 is refused with headers.
func (r *rig) refused2(method, path string, want int, header ...string) {
	r.t.Helper()
	if status, body := r.ask(method, path, nil, header...); status != want {
		r.t.Errorf("%s %s: %d, want %d: %s", method, path, status, want, body)
	}
}

func TestWatchesAreBounded(t *testing.T) {
	r := start(t, admin.Config{})
	r.alerting()
	var open []*watched
	for range maxWatches {
		open = append(open, r.watchInto(""))
	}
	until(t, "all watches", func() bool { return len(r.watches) == maxWatches })
	if why := r.refused(http.MethodGet, "/alerts/watch", nil, http.StatusTooManyRequests); !strings.Contains(why, "32 watches") {
		t.Errorf("says %s", why)
	}
	r.Detach() // the process stops
	for n, x := range open {
		select {
		case err := <-x.done:
			if err != nil {
				t.Errorf("watch %d: %v", n, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("watch %d goes on when the process stops", n)
		}
	}
}

// TestAWatcherThatDoesNotRead is closed, holds nobody up, and others go on.
func TestAWatcherThatDoesNotRead(t *testing.T) {
	r := start(t, admin.Config{})
	s := r.alerting()
	conn, err := net.Dial("tcp", r.port.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s/alerts/watch HTTP/1.1\r\nHost: localhost\r\n\r\n", Prefix); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q %v", line, err)
	}
	other := r.watchInto("kind=acked")
	until(t, "two watches", func() bool { return len(r.watches) == 2 })
	text := strings.Repeat("x", alerts.MaxReason)
	for n := 0; len(r.watches) > 1; n++ { // 256 KiB each
		if n == 400 {
			t.Fatal("it takes 100 MiB without being read")
		}
		s.Append(func() ([]alerts.Event, error) {
			events := make([]alerts.Event, 200)
			for i := range events {
				events[i] = alerts.Event{Kind: "noise", At: time.Now(), Reason: text}
			}
			return events, nil
		})
		time.Sleep(50 * time.Millisecond) // it is closed after 10 s: time for that, and no proof of anything
	}
	s.Append(func() ([]alerts.Event, error) {
		return []alerts.Event{{Kind: alerts.EventAcked, At: time.Now()}}, nil
	})
	until(t, "what the other waits for", other.has(2))
}
