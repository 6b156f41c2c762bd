package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// Broker is an operator at the queue, with nothing but a NATS client.
type Broker struct {
	t  testing.TB
	nc *nats.Conn
	js jetstream.JetStream
}

// DialBroker connects to the servers, comma separated, until the test ends.
func DialBroker(t testing.TB, url string) *Broker {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.Timeout(2*time.Second),
		nats.ReconnectWait(100*time.Millisecond), nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2))
	if err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &Broker{t: t, nc: nc, js: js}
}

// Letter is one dead letter.
type Letter struct {
	Destination, Reason, Code string
	Signal                    otlp.Signal
	Items                     int
	IDs                       []uint64 // of its items, see sample.ItemIDs
}

// Letters are all that the dead-letter stream holds.
func (b *Broker) Letters() (out []Letter) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	s, err := b.js.Stream(ctx, "PENSTOCK_DLQ")
	if err != nil {
		b.t.Fatalf("dead letters: %v", err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		b.t.Fatalf("dead letters: %v", err)
	}
	if info.State.Msgs == 0 {
		return nil
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.t.Fatalf("dead letters: %v", err)
	}
	messages, err := c.Messages()
	if err != nil {
		b.t.Fatalf("dead letters: %v", err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			b.t.Fatalf("dead letters: %d of %d read: %v", len(out), info.State.Msgs, err)
		}
		l, err := letter(m)
		if err != nil {
			b.t.Fatalf("dead letter %d: %v", len(out), err)
		}
		out = append(out, l)
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream >= info.State.LastSeq {
			return out
		}
	}
}

func letter(m jetstream.Msg) (l Letter, err error) {
	h := m.Headers()
	l = Letter{Destination: h.Get("Penstock-Dead-Destination"), Reason: h.Get("Penstock-Dead-Reason"), Code: h.Get("Penstock-Dead-Code")}
	if l.Signal, err = otlp.ParseSignal(h.Get("Penstock-Signal")); err != nil {
		return l, err
	}
	body := m.Data()
	switch c := h.Get("Penstock-Codec"); c {
	case "none":
	case "s2":
		if body, err = s2.Decode(nil, body); err != nil {
			return l, err
		}
	default:
		return l, fmt.Errorf("codec %q, which these tests do not configure", c)
	}
	l.Items, err = sample.ItemIDs(l.Signal, body, func(id uint64) { l.IDs = append(l.IDs, id) })
	if said := h.Get("Penstock-Items"); err == nil && said != fmt.Sprint(l.Items) {
		err = fmt.Errorf("has %d items and says %q", l.Items, said)
	}
	return l, err
}

// Backlog of a durable: messages not acknowledged, and whether the durable could
// be asked.
func (b *Broker) Backlog(stream, durable string) (messages uint64, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c, err := b.js.Consumer(ctx, stream, durable)
	if err != nil {
		return 0, false
	}
	info := c.CachedInfo()
	return info.NumPending + uint64(info.NumAckPending), true
}

// Bytes that a stream holds.
func (b *Broker) Bytes(stream string) uint64 {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		b.t.Fatalf("stream %s: %v", stream, err)
	}
	return s.CachedInfo().State.Bytes
}

// Leader is the server that leads the stream, "" while none does.
func (b *Broker) Leader(stream string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return ""
	}
	return s.CachedInfo().Cluster.Leader
}

// Current says whether every replica of the stream is up to date.
func (b *Broker) Current(stream string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil || s.CachedInfo().Cluster == nil || s.CachedInfo().Cluster.Leader == "" {
		return false
	}
	for _, r := range s.CachedInfo().Cluster.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return len(s.CachedInfo().Cluster.Replicas) > 0
}

// StepDown makes the leader of the stream, or with a durable that of the
// durable, give up its office. It is tried until a server takes the request.
func (b *Broker) StepDown(stream, durable string) {
	b.t.Helper()
	subject := "$JS.API.STREAM.LEADER.STEPDOWN." + stream
	if durable != "" {
		subject = "$JS.API.CONSUMER.LEADER.STEPDOWN." + stream + "." + durable
	}
	answer := "none"
	Until(b.t, 30*time.Second, func() string { return subject + " was not taken: " + answer }, func() bool {
		m, err := b.nc.Request(subject, nil, 2*time.Second)
		if err != nil {
			answer = err.Error()
			return false
		}
		answer = strings.TrimSpace(string(m.Data))
		var said struct{ Success bool }
		return json.Unmarshal(m.Data, &said) == nil && said.Success
	})
}
