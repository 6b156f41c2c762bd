package replay_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// sent is one request that a backend took.
type sent struct {
	at     time.Time
	ids    []string // bodies of the log records
	raw    int
	header []exporter.Header
	marks  []string // values of the mark on resources
	tenant string
}

// backend is a destination in this process. Its answer decides; what it answers
// nil to it has taken.
type backend struct {
	delay time.Duration

	mu     sync.Mutex
	answer func(ids []string) error // mu
	took   []sent                   // mu
	tries  int                      // mu
	closed bool                     // mu
	mute   string                   // mu; a log record whose request has no answer
}

// hangs makes the request with a log record wait for its end.
func (b *backend) hangs(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mute = id
}

func (b *backend) silent(ids []string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mute != "" && slices.Contains(ids, b.mute)
}

func (b *backend) Export(ctx context.Context, q *exporter.Request) (exporter.Result, error) {
	raw, err := codec.Decode(nil, q.Codec, q.Body, 1<<26)
	if err != nil {
		return exporter.Result{}, &exporter.Error{Kind: exporter.Permanent, Code: "undecodable", Err: err}
	}
	r := plogotlp.NewExportRequest()
	if err := r.UnmarshalProto(raw); err != nil {
		return exporter.Result{}, &exporter.Error{Kind: exporter.Permanent, Code: "INVALID_ARGUMENT", Err: err}
	}
	s := sent{raw: q.RawBytes, header: slices.Clone(q.Header), tenant: q.Tenant}
	for _, rl := range r.Logs().ResourceLogs().All() {
		if v, ok := rl.Resource().Attributes().Get("penstock.replay.job"); ok {
			s.marks = append(s.marks, v.Str())
		}
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				s.ids = append(s.ids, lr.Body().Str())
			}
		}
	}
	if b.silent(s.ids) {
		<-ctx.Done()
		return exporter.Result{}, &exporter.Error{Kind: exporter.Retryable, Code: "canceled", Err: ctx.Err()}
	}
	if b.delay > 0 {
		select {
		case <-time.After(b.delay):
		case <-ctx.Done():
			return exporter.Result{}, &exporter.Error{Kind: exporter.Retryable, Code: "canceled", Err: ctx.Err()}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.answer != nil {
		if err := b.answer(s.ids); err != nil {
			return exporter.Result{}, err
		}
	}
	s.at = time.Now()
	b.took = append(b.took, s)
	return exporter.Result{}, nil
}

func (b *backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

func (b *backend) answers(f func(ids []string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = f
}

func (b *backend) requests() []sent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.took)
}

// ids are all that was taken, sorted, repetitions too.
func (b *backend) ids() []string {
	var ids []string
	for _, s := range b.requests() {
		ids = append(ids, s.ids...)
	}
	slices.Sort(ids)
	return ids
}

func unavailable(after time.Duration) error {
	return &exporter.Error{Kind: exporter.Retryable, Code: "UNAVAILABLE", After: after, Err: fmt.Errorf("not now")}
}

func rejected() error {
	return &exporter.Error{Kind: exporter.Permanent, Code: "INVALID_ARGUMENT", Err: fmt.Errorf("bad item")}
}

// rejects those that hold one of the ids.
func rejects(bad ...string) func([]string) error {
	return func(ids []string) error {
		for _, id := range ids {
			if slices.Contains(bad, id) {
				return rejected()
			}
		}
		return nil
	}
}

// group is a message: one resource of a service with log records.
type group struct {
	tenant, service string
	ids             []string
	times           []time.Time // of the records; the present where there is none
	pad             int         // bytes more in each record
}

func (g group) encode() (raw []byte, first, last uint64) {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", g.service)
	sl := rl.ScopeLogs().AppendEmpty()
	for i, id := range g.ids {
		at := time.Now()
		if i < len(g.times) {
			at = g.times[i]
		}
		lr := sl.LogRecords().AppendEmpty()
		lr.Body().SetStr(id)
		ns := uint64(at.UnixNano())
		lr.SetTimestamp(pcommon.Timestamp(ns))
		if g.pad > 0 {
			lr.Attributes().PutStr("pad", string(make([]byte, g.pad)))
		}
		if first == 0 || ns < first {
			first = ns
		}
		last = max(last, ns)
	}
	raw, err := plogotlp.NewExportRequestFromLogs(logs).MarshalProto()
	if err != nil {
		panic(err)
	}
	return raw, first, last
}
