package harness

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Phone is a receiver of Alertmanager's webhooks.
type Phone struct {
	URL string

	mu    sync.Mutex
	heard []Call // mu
	code  int    // mu; 0: it takes the calls
	slow  time.Duration
}

// Call is an alert in a notification.
type Call struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	At          time.Time         `json:"-"` // when it came
}

// NewPhone listens until the test is over.
func NewPhone(t testing.TB) *Phone {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Phone{URL: "http://" + l.Addr().String()}
	s := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return p
}

// ServeHTTP implements http.Handler.
func (p *Phone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Alerts []Call `json:"alerts"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	code, slow := p.code, p.slow
	p.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if code != 0 {
		w.WriteHeader(code)
		return
	}
	for _, c := range body.Alerts {
		c.At = time.Now()
		p.heard = append(p.heard, c)
	}
}

// Answer has it answer with a status after a time; 0 takes the calls.
func (p *Phone) Answer(code int, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.code, p.slow = code, after
}

// Heard is everything that it took, in order.
func (p *Phone) Heard() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.heard...)
}

// Count is how often it was told a status of each value of a label.
func (p *Phone) Count(status, label string) map[string]int {
	n := map[string]int{}
	for _, c := range p.Heard() {
		if c.Status == status {
			n[c.Labels[label]]++
		}
	}
	return n
}
