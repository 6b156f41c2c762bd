package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/topology"
)

// chained stores events as entries of the rig's queue.
func (r *rig) chained(events ...audit.Event) audit.Head {
	r.t.Helper()
	l := audit.New(audit.Options{Config: audit.DefaultConfig(), Process: "p", Metrics: audit.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
	l.Start(r.q)
	for _, e := range events {
		l.Record(e)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	if err := l.Stop(ctx); err != nil {
		r.t.Fatal(err)
	}
	return l.Head()
}

// TestActionsAreRecorded: what is done, what fails and what shows payload is told
// with who, what and how it ended.
func TestActionsAreRecorded(t *testing.T) {
	r := start(t, admin.Config{})
	r.bury(otlp.Traces, deadletter.ReasonRejected, 3)
	get[json.RawMessage](r, "/dlq/1")
	r.refused(http.MethodGet, "/dlq/99", nil, http.StatusNotFound)
	call[Purged](r, http.MethodPost, "/dlq/purge", PurgeRequest{Confirm: true, Filter: deadletter.Filter{Reason: "rejected"}}, http.StatusOK)
	shown := r.audit.of("show dead letter")
	if len(shown) != 2 || shown[0].Outcome != audit.Done || shown[0].Details[0] != (audit.Detail{Name: "sequence", Value: "1"}) ||
		shown[1].Outcome != audit.Failed || !strings.Contains(shown[1].Reason, "not found") {
		t.Errorf("shown: %+v", shown)
	}
	purged := r.audit.of("purge dead letters")
	if len(purged) != 1 {
		t.Fatalf("purged: %+v", purged)
	}
	if e := purged[0]; e.Listener != "admin" || !strings.HasPrefix(e.Peer, "127.0.0.1:") || e.Subject != "anonymous" || e.Outcome != audit.Done ||
		len(e.Details) != 4 || e.Details[0] != (audit.Detail{Name: "filter", Value: `{"reason":"rejected"}`}) || e.Details[2] != (audit.Detail{Name: "letters", Value: "1"}) {
		t.Errorf("purged: %+v", e)
	}
}

func TestAuditList(t *testing.T) {
	r := start(t, admin.Config{})
	if p := get[AuditEntries](r, "/audit"); len(p.Entries) != 0 || p.Last != 0 {
		t.Fatalf("without a stream: %+v", p)
	}
	var events []audit.Event
	for i := range 5 {
		events = append(events, audit.Event{Action: fmt.Sprint("action ", i), Outcome: audit.Done, Subject: "key:a"})
	}
	r.chained(events...)
	if p := get[AuditEntries](r, "/audit?limit=2&after=1&subject=KEY"); len(p.Entries) != 2 || p.Entries[0].N != 2 || p.Last != 3 {
		t.Errorf("%+v", p)
	}
	if p := get[AuditEntries](r, "/audit?limit=2&newest=true"); len(p.Entries) != 2 || p.Entries[1].N != 5 || p.Last != 5 {
		t.Errorf("%+v", p)
	}
	r.refused(http.MethodGet, "/audit?outcome=good", nil, http.StatusUnprocessableEntity)
	r.refused(http.MethodGet, "/audit?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", nil, http.StatusUnprocessableEntity)
	r.refused(http.MethodGet, "/audit?limit=1001", nil, http.StatusUnprocessableEntity)
}

// verify asks for a verification and gives its lines.
func (r *rig) verify(query string) (lines []VerifyLine) {
	r.t.Helper()
	status, body := r.ask(http.MethodGet, "/audit/verify"+query, nil)
	if status != http.StatusOK {
		r.t.Fatalf("%d %s", status, body)
	}
	for line := range bytes.Lines(body) {
		var l VerifyLine
		if err := json.Unmarshal(line, &l); err != nil {
			r.t.Fatalf("%s: %v", line, err)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestAuditVerify(t *testing.T) {
	r := start(t, admin.Config{})
	head := r.chained(audit.Event{Action: "a", Outcome: audit.Done}, audit.Event{Action: "b", Outcome: audit.Done})
	lines := r.verify("?head=" + head.String())
	if len(lines) != 1 || lines[0].Kind != VerifyReport || !lines[0].Report.OK || *lines[0].Report.Since != head || lines[0].Report.Head != head {
		t.Fatalf("%+v", lines)
	}
	if err := r.q.Purge(t.Context(), topology.Audit, 1); err != nil {
		t.Fatal(err)
	}
	if l := r.verify(""); len(l) != 1 || l[0].Report.OK || len(l[0].Report.Breaks) != 1 || l[0].Report.Breaks[0].Kind != audit.BreakMissing {
		t.Fatalf("%+v", l)
	}
	r.refused(http.MethodGet, "/audit/verify?head=12", nil, http.StatusUnprocessableEntity)
	for range maxVerifies {
		r.verifies <- struct{}{}
	}
	r.refused(http.MethodGet, "/audit/verify", nil, http.StatusTooManyRequests)
}
