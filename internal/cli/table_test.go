package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/replay"
)

var update = flag.Bool("update", false, "write the golden files")

// golden holds a table against its file, and against 80 columns.
func golden(t *testing.T, name string, write func(*bytes.Buffer) error) {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > 80 && !strings.HasPrefix(line, "  ✗") && !strings.HasPrefix(line, "note:") {
			t.Errorf("%s: %d characters: %s", name, n, line)
		}
	}
	file := filepath.Join("testdata", name+".txt")
	if *update {
		writeFile(t, file, b.Bytes())
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, b.String(), want)
	}
}

func writeFile(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func p[T any](v T) *T { return &v }

// busy is a status with everything in it. Ages are of some seconds and shown in
// whole hours or days, so that a slow machine shows the same.
func busy() api.Status {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d - time.Second) }
	day := 24*time.Hour + 5*time.Minute
	section := func(v any) json.RawMessage {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return b
	}
	return api.Status{
		Status: admin.Status{Name: "gateway", Phase: "ready", Ready: true, UptimeSeconds: 93784, Build: app.BuildInfo{Version: "v1.2.3"}, Sections: []admin.Section{
			{Name: "totals", Data: section([]map[string]any{{"signal": "traces", "accepted_items": 123456789, "refused_items": 5, "exported_items": 123450000}})},
			{Name: "retention", Data: section(map[string]any{"leader": true, "streams": []map[string]any{
				{"name": "PENSTOCK_TRACES_0", "floor_sequence": 123456, "held_by": "export-archive", "replay_window_seconds": 86400, "replay_window_shortened": true},
				{"name": "PENSTOCK_LOGS_0", "floor_sequence": 7, "missing_consumers": []string{"export-archive"}, "held_by": "export-archive"},
				{"name": "PENSTOCK_METRICS_0", "floor_sequence": 7, "blocked": true}}})},
			{Name: "configuration", Data: section(map[string]any{"hash": "53122ff107d27009", "restart_required": []string{"gateway.http.listen", "destinations[archive].endpoints"},
				"last_reload": map[string]any{"outcome": "refused", "at": ago(day), "problems": []map[string]any{
					{"source": "/etc/penstock/penstock.yaml", "line": 14, "column": 7, "key": "tenants.overrides[1].items_per_secnd", "message": "unknown key; did you mean \"items_per_second\"?"}}}})},
			{Name: "odd", Error: "panic: oh"}, {Name: "alerter", Data: section(map[string]bool{"caught_up": true})}}},
		Problems: []string{"process worker-b-2 is not ready: queue: no leader"},
		Queue: &queuewatch.View{Streams: []queuewatch.Stream{
			{Name: "PENSTOCK_TRACES_0", Messages: 1234567, Items: p(uint64(987654321)), Bytes: 123 << 30, MaxBytes: 200 << 30, InItems: p(123456.7)},
			{Name: "PENSTOCK_DLQ", Messages: 3, Bytes: 3 << 20, MaxBytes: 20 << 30}},
			Lags: []queuewatch.Lag{{Stream: "PENSTOCK_TRACES_0", Destination: "archive", OldestAge: 93784}}},
		Destinations: []api.Destination{
			{Name: "archive", Protocol: "grpc", Workers: []string{"a", "b"}, Breaker: "open", BreakerUntil: p(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), InFlight: 1, Pool: fleet.Pool{Open: 4, Ready: 1},
				LastError: &fleet.Error{At: ago(day), Code: "Unavailable", Text: strings.Repeat("connection refused ", 9)},
				Lags: []queuewatch.Lag{
					{Stream: "PENSTOCK_TRACES_0", Pending: 1234000, InFlight: 567, Items: p(uint64(98765432)), OldestAge: 93784, OutItems: p(1234.5)},
					{Stream: "PENSTOCK_LOGS_0", Pending: 1, Items: p(uint64(10)), OldestAge: 0.5, OutItems: p(23456.0), Drain: p(3700.0)}}},
			{Name: "a-destination-with-a-long-name", Protocol: "http", Workers: []string{"a"}, Breaker: "closed", InFlight: 3, Lags: []queuewatch.Lag{{OutItems: p(5.0)}, {OutItems: p(6.0)}}},
			{Name: "abandoned", Lags: []queuewatch.Lag{{Stream: "PENSTOCK_LOGS_0", Pending: 12}}}},
		Processes: []fleet.Sighting{
			{State: fleet.Alive, Process: fleet.Process{Role: "gateway", Host: "gateway-7d9f8-abcdefg-xyz", Ready: true, StartedAt: ago(day), Version: "v1.2.3", Resources: &fleet.Resources{MemoryBytes: 187 << 20, CPUs: 1.25}}},
			{State: fleet.Alive, Process: fleet.Process{Role: "worker", Host: "b", StartedAt: ago(day), Version: "v1.2.3-45-gabcdef012345-dirty"}},
			{State: fleet.IsGone, Process: fleet.Process{Role: "worker", Host: "c", StartedAt: ago(day), Version: "v1"}}},
		Disks: []api.Disk{{Host: "gateway-0", Disk: fleet.Disk{Path: "/var/lib/penstock/with/a/rather/long/path/data", Free: 20 << 30, Total: 80 << 30}}},
		Ledger: &ledger.Ledger{At: ago(day), OK: false, Notes: []string{"the durable of archive was made anew"},
			Signals: []ledger.Row{{Signal: "metrics", Destination: "a-destination", Accepted: 123456789, Pending: 98765432, Exported: 123000, Redriven: 456, Rejected: 7, DeadLettered: 12345, Purged: 99999, Missing: 3, PossibleDuplicates: 12}},
			Refused: []ledger.Refused{{Signal: "traces", Refused: 5, Duplicates: 2}},
			Tenants: []ledger.Tenant{{Tenant: "a-tenant-of-some-length", Signal: "metrics", Destination: "a-destination", Accepted: 123456789, Exported: 123456, Open: 5}}, TenantsLeftOut: 7},
		Jobs: []api.JobView{{Ratio: 0.42, Job: job.Job{ID: "01J00000000000000000000000", Kind: "redrive", Phase: job.PhaseRunning, CreatedAt: ago(day),
			Progress: job.Progress{BytesPerSecond: 10 << 20, ETASeconds: 3700}}}, {Job: job.Job{ID: "nightly", Kind: "replay", Phase: job.PhasePaused, CreatedAt: ago(day)}}},
	}
}

func TestTablesAt80Columns(t *testing.T) {
	golden(t, "status", func(b *bytes.Buffer) error { return statusTable(b, busy(), true) })
	golden(t, "status-starting", func(b *bytes.Buffer) error {
		return statusTable(b, api.Status{Status: admin.Status{Name: "up", Phase: "starting"}, Problems: []string{"this process is not ready: starting"}}, false)
	})
	routed := ledger.Ledger{At: time.Now().Add(-26*time.Hour - time.Second), OK: true, Unrouted: []ledger.Unrouted{{Signal: "metrics", Items: 1234}},
		Signals: []ledger.Row{{Signal: "metrics", Destination: "a-destination", Accepted: 123456789, Pending: 98765432, Exported: 123456, Rejected: 7, DeadLettered: 12345, Purged: 99999, Unwanted: 12345678}},
		Tenants: []ledger.Tenant{{Tenant: "a-tenant-of-some-length", Signal: "metrics", Destination: "a-destination", Accepted: 123456789, Exported: 123456, Unwanted: 12345678, Open: 5}}}
	ledgerOf := func(l ledger.Ledger) func(*bytes.Buffer) error {
		return func(b *bytes.Buffer) error {
			t := newTable(b)
			ledgerTable(t, l, true)
			t.flush()
			return t.err
		}
	}
	golden(t, "ledger-routed", ledgerOf(routed))
	routed.OK, routed.Signals[0].Missing = false, 3
	golden(t, "ledger-routed-lost", ledgerOf(routed))
	shared := ledger.Ledger{At: routed.At, OK: true}
	for i, r := range []ledger.Tenant{{Tenant: "customer-1", Signal: "traces", Destination: "team-x"}, {Tenant: "", Signal: "logs", Destination: "backend"}, {Tenant: "customer-2", Signal: "logs", Destination: "team-x"},
		{Tenant: "customer-1", Signal: "logs", Destination: "backend"}, {Tenant: "", Signal: "logs", Destination: "a-destination-with-a-long-name"}} {
		r.Accepted, r.Exported, r.Unwanted = uint64(5000-i), uint64(4000-i), 1000
		shared.Tenants = append(shared.Tenants, r)
	}
	golden(t, "ledger-tenants", ledgerOf(shared))
	at := time.Now().Add(-26*time.Hour - time.Second)
	golden(t, "letters", func(b *bytes.Buffer) error {
		return lettersTable(b, []deadletter.Info{
			{Sequence: 1234567, KeptAt: at, Destination: "a-destination-with-a-long-name", Reason: "too_large", Code: "RESOURCE_EXHAUSTED and more", Signal: "metrics", Items: 12345, Attempts: 12},
			{Sequence: 2, KeptAt: at, Destination: "b", Reason: "expired", Signal: "logs"}})
	})
	golden(t, "letters-summary", func(b *bytes.Buffer) error {
		return summaryTable(b, deadletter.Summary{Counts: deadletter.Counts{Letters: 3, Items: 12345, Bytes: 1 << 20},
			Groups: []deadletter.Group{{Destination: "a-destination-with-a-long-name", Reason: "too_large", Signal: "metrics", Tenant: "a-tenant-of-some-length", Counts: deadletter.Counts{Letters: 123456, Items: 12345678, Newest: at}}}})
	})
	golden(t, "letter", func(b *bytes.Buffer) error {
		return letterText(b, deadletter.Shown{Info: deadletter.Info{Sequence: 7, Destination: "b", Reason: "rejected", Code: "400", Detail: "no", Attempts: 3, Redrives: 1, ID: "m", Stream: "PENSTOCK_LOGS_0", OriginSequence: 9,
			StoredAt: time.Unix(1e9, 0), Signal: "logs", Tenant: "acme", Items: 2, RawBytes: 2048, Size: 1024, Codec: "s2"}, Payload: json.RawMessage(`{"resourceLogs":[]}`)})
	})
	golden(t, "letter-damaged", func(b *bytes.Buffer) error {
		return letterText(b, deadletter.Shown{Info: deadletter.Info{Sequence: 7, Reason: "damaged", Problem: "no headers"}, Undecoded: "checksum", Headers: map[string]string{"B": "2", "A": "1"}, Body: []byte("\x00\x1bx")})
	})
	golden(t, "plan", func(b *bytes.Buffer) error {
		return planTable(b, replay.Plan{Streams: []replay.StreamPlan{{Stream: "PENSTOCK_METRICS_0", First: 123456, End: 234567, Match: replay.Size{Messages: 111111, Items: 12345678, RawBytes: 5 << 30, StoredBytes: 1 << 30}}, {Stream: "PENSTOCK_LOGS_0", First: 1, End: 1}},
			Match: replay.Size{Messages: 111111, Items: 12345678, RawBytes: 5 << 30}, Estimated: true, AtMost: true, BytesPerSecond: 10 << 20, Seconds: 512, HeldBytes: 1 << 30, Notes: []string{"PENSTOCK_LOGS_0 keeps nothing stored before 2026"}})
	})
	golden(t, "result", func(b *bytes.Buffer) error {
		return jobResult(b, api.JobView{Job: job.Job{ID: "x", Phase: job.PhaseFailed, StartedAt: time.Unix(0, 0), EndedAt: time.Unix(100, 0), Error: "why", Note: []string{"purged"}, Progress: job.Progress{
			Done: job.Amount{Messages: 1, Items: 2, Bytes: 3 << 20}, Dead: job.Amount{Items: 4}, Missing: job.Amount{Messages: 5}, Rejected: 6}}})
	})
	golden(t, "no-jobs", func(b *bytes.Buffer) error { return jobsTable(b, api.Jobs{}) })
}

// TestJobLine is what stands on a terminal while a job runs.
func TestJobLine(t *testing.T) {
	j := api.JobView{Ratio: 0.5, Job: job.Job{Phase: job.PhaseRunning, Progress: job.Progress{Total: job.Amount{Items: 20000}, Done: job.Amount{Items: 10000}, BytesPerSecond: 1 << 20, ETASeconds: 90}}}
	f := func(width int, want string) {
		t.Helper()
		if got := jobLine(j, width); got != want {
			t.Errorf("at %d: %q, want %q", width, got, want)
		}
	}
	f(80, "[###########...........]  50 %  10.0k of 20.0k items  1.0 MiB/s  left 1m30s")
	f(66, "[######......]  50 %  10.0k of 20.0k items  1.0 MiB/s  left 1m30s")
	f(50, "  50 %  10.0k of 20.0k items  1.0 MiB/s  left 1m30s")
	j.Progress.Estimated, j.Progress.Rejected, j.Why = true, 3, "paused"
	f(80, "[###########...........]  50 %  10.0k of about 20.0k items  paused  3 not taken")
	j.Why, j.Phase = "", job.PhasePending
	f(80, "[##########...........]  50 %  10.0k of about 20.0k items  pending  3 not taken")
}

func TestWhenAndSeconds(t *testing.T) {
	now := time.Date(2026, 1, 10, 12, 0, 0, 0, time.Local)
	f := func(text string, want time.Time) {
		t.Helper()
		if got, err := parseWhen(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %s, %v, want %s", text, got, err, want)
		}
	}
	f("", time.Time{})
	f("now", now)
	f("-2h", now.Add(-2*time.Hour))
	f("90m", now.Add(-90*time.Minute))
	f("-3d", now.AddDate(0, 0, -3))
	f("1d12h", now.Add(-36*time.Hour))
	f("2026-01-02T03:04:05Z", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	f("2026-01-02T03:04:05.5+01:00", time.Date(2026, 1, 2, 2, 4, 5, 5e8, time.UTC))
	f("2026-01-02", time.Date(2026, 1, 2, 0, 0, 0, 0, time.Local))
	f("2026-01-02 03:04:05", time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local))
	for _, bad := range []string{"yesterday", "+2h", "--2h", "d", "-xd", "2h3"} {
		if got, err := parseWhen(bad, now); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
	for s, want := range map[float64]string{0.25: "250ms", 12: "12s", 200: "3m20s", 18720: "5h12m", 273600: "3d04h"} {
		if got := seconds(s); got != want {
			t.Errorf("%g s is %s, want %s", s, got, want)
		}
	}
}
