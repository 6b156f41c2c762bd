package amnotify_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// post is what a receiver got.
type post struct {
	path, auth string
	body       map[string]any
}

// collect is a server that keeps what it gets and answers with body.
func collect(t *testing.T, status int, answer string) (url string, got func() post) {
	t.Helper()
	var mu sync.Mutex
	var last post
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		p := post{path: r.URL.Path, auth: r.Header.Get("Authorization")}
		if err != nil || json.Unmarshal(b, &p.body) != nil {
			t.Errorf("%s: %v", b, err)
		}
		mu.Lock()
		last = p
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer) // the client's own test fails without it
	}))
	t.Cleanup(s.Close)
	return s.URL, func() post {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

// tell makes one alert fire, sends it to the first integration, and again as
// resolved.
func tell(t *testing.T, receiver string, between func()) (n alerts.Notification, data []byte) {
	t.Helper()
	r := start(t, "route: {receiver: all, group_by: [alertname], group_wait: 10ms}\nreceivers:\n- name: all\n"+receiver)
	a := fires("alertname", "HighCPU", "severity", "critical", "host", "db-1")
	r.put(t, a)
	n = r.group(t, r.flush(t))
	data, err := r.Send(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	between()
	r.put(t, resolved(a))
	n = r.group(t, n.ClaimKey)
	n.Last = alerts.Sent{Firing: []alerts.Key{a.Key}}
	if _, err := r.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n, data
}

func text(t *testing.T, m map[string]any, path ...string) string {
	t.Helper()
	var v any = m
	for _, p := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[p]
		case []any:
			v = x[0].(map[string]any)[p]
		}
	}
	s, _ := v.(string)
	return s
}

func TestPagerDuty(t *testing.T) {
	url, got := collect(t, http.StatusAccepted, `{"status":"success"}`)
	var fired post
	tell(t, "  pagerduty_configs: [{routing_key: abc, url: \""+url+"\"}]", func() { fired = got() })
	ended := got()
	if a := text(t, fired.body, "event_action"); a != "trigger" || text(t, fired.body, "routing_key") != "abc" {
		t.Errorf("%v", fired.body)
	}
	if !strings.Contains(text(t, fired.body, "payload", "summary"), "HighCPU") {
		t.Errorf("summary %v", fired.body["payload"])
	}
	if text(t, ended.body, "event_action") != "resolve" {
		t.Errorf("%v", ended.body)
	}
	// By this PagerDuty knows the incident: the same in both, and stable.
	if a, b := text(t, fired.body, "dedup_key"), text(t, ended.body, "dedup_key"); a == "" || a != b {
		t.Errorf("dedup_key %q, then %q", a, b)
	}
}

func TestSlack(t *testing.T) {
	url, got := collect(t, http.StatusOK, `{"ok":true}`)
	var fired post
	_, data := tell(t, "  slack_configs: [{api_url: \""+url+"\", channel: \"#ops\", send_resolved: true}]", func() { fired = got() })
	if title := text(t, fired.body, "attachments", "title"); !strings.HasPrefix(title, "[FIRING:1] HighCPU") || data != nil {
		t.Errorf("title %q, kept %s", title, data)
	}
	if title := text(t, got().body, "attachments", "title"); !strings.HasPrefix(title, "[RESOLVED] HighCPU") {
		t.Errorf("title %q", title)
	}
}

// mailbox is an SMTP server.
type mailbox struct {
	mu    sync.Mutex
	mails []*mail.Message
	to    []string
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m *mailbox) Reset()                                      {}
func (m *mailbox) Logout() error                               { return nil }
func (m *mailbox) Mail(string, *smtp.MailOptions) error        { return nil }

func (m *mailbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to = append(m.to, to)
	return nil
}

func (m *mailbox) Data(r io.Reader) error {
	message, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, message)
	_, err = io.Copy(io.Discard, message.Body)
	return err
}

func TestEmail(t *testing.T) {
	box := &mailbox{}
	s := smtp.NewServer(box)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-served // ends with its listener
	})
	tell(t, "  email_configs: [{to: \"ops@example.com\", from: \"penstock@example.com\", smarthost: \""+l.Addr().String()+"\", require_tls: false, send_resolved: true}]", func() {})
	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.mails) != 2 || len(box.to) != 2 || box.to[0] != "ops@example.com" {
		t.Fatalf("%d mails to %v", len(box.mails), box.to)
	}
	for i, want := range []string{"[FIRING:1] HighCPU", "[RESOLVED] HighCPU"} {
		if got := box.mails[i].Header.Get("Subject"); !strings.HasPrefix(got, want) {
			t.Errorf("subject %q, want %q", got, want)
		}
	}
}
