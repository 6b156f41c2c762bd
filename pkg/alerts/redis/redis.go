// Package redis keeps claims and timers in Redis, alone, behind Sentinel or as a
// cluster, for any number of alerters. Every change is one script on keys of one
// slot, by the clock of the server. Redis may lose all of it at any time: see package
// alerts.
package redis

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// Options of a Store.
type Options struct {
	// Addrs are host:port: one server, the sentinels, or some nodes of a cluster.
	Addrs []string
	// SentinelMaster is the name that the sentinels have for the server; "": they are
	// no sentinels.
	SentinelMaster string
	// Cluster: Addrs are of a cluster, also when there is only one.
	Cluster            bool
	Username, Password string
	TLS                *tls.Config // nil: plain text
	// Prefix begins every key; default "penstock".
	Prefix string
}

// Bounds. A server that does not answer is no reason to wait: see package deliver.
const (
	dialTimeout = time.Second
	callTimeout = 500 * time.Millisecond
	maxRetries  = 1
	// keepSent is for how long it is known what was sent, beyond twice the repeat
	// interval.
	keepSent = time.Hour
	// clusterShards spread the timers over the nodes of a cluster.
	clusterShards = 16
)

// Store is a Store in Redis. Safe for concurrent use.
type Store struct {
	client redis.UniversalClient
	prefix string
	shards int
}

var _ alerts.Store = (*Store)(nil)

// Open makes a Store; it connects when it is used.
func Open(o Options) (*Store, error) {
	if len(o.Addrs) == 0 {
		return nil, errors.New("redis: no address")
	}
	if o.SentinelMaster != "" && o.Cluster {
		return nil, errors.New("redis: a cluster has no sentinels: want one or the other")
	}
	if o.Prefix == "" {
		o.Prefix = "penstock"
	}
	s := &Store{prefix: o.Prefix, shards: 1}
	if o.Cluster || len(o.Addrs) > 1 && o.SentinelMaster == "" {
		s.shards = clusterShards
	}
	s.client = redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: o.Addrs, MasterName: o.SentinelMaster, IsClusterMode: s.shards > 1, Username: o.Username, Password: o.Password, TLSConfig: o.TLS,
		ContextTimeoutEnabled: true, DialTimeout: dialTimeout, ReadTimeout: callTimeout, WriteTimeout: callTimeout, MaxRetries: maxRetries,
		DisableIdentity: true, ClientName: "",
	})
	return s, nil
}

// Ready implements alerts.Store.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Close implements alerts.Store.
func (s *Store) Close() error {
	if err := s.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("redis: close: %w", err)
	}
	return nil
}

// Policy is what the server does when its memory is full. Any but noeviction lets
// claims disappear, so that notifications are sent twice: an operator should know.
func (s *Store) Policy(ctx context.Context) (string, error) {
	m, err := s.client.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		return "", fmt.Errorf("redis: maxmemory-policy: %w", err)
	}
	return m["maxmemory-policy"], nil
}

// claimKey is the hash of a claim: of its own slot, since no script needs two.
func (s *Store) claimKey(k alerts.ClaimKey) []string {
	h := sha256.New()
	for _, part := range []string{k.Tenant, k.Group, k.Receiver} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return []string{s.prefix + ":c:" + hex.EncodeToString(h.Sum(nil)[:16])}
}

type wantJSON struct {
	Firing       []alerts.Key `json:"firing,omitempty"`
	Resolved     []alerts.Key `json:"resolved,omitempty"`
	Repeat       int64        `json:"repeat"`
	Always       bool         `json:"always"`
	SendResolved bool         `json:"send_resolved"`
}

// sentJSON is Sent without its time, which is a field of its own.
type sentJSON struct {
	Firing   []alerts.Key `json:"firing,omitempty"`
	Resolved []alerts.Key `json:"resolved,omitempty"`
	Token    uint64       `json:"token,omitempty"`
	Data     []byte       `json:"data,omitempty"`
}

func encode(sent alerts.Sent) (string, error) {
	b, err := json.Marshal(sentJSON{sent.Firing, sent.Resolved, sent.Token, sent.Data})
	return string(b), err
}

func decode(text string, at int64) (alerts.Sent, error) {
	var j sentJSON
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return alerts.Sent{}, err
	}
	sent := alerts.Sent{Firing: j.Firing, Resolved: j.Resolved, Token: j.Token, Data: j.Data}
	if at != 0 {
		sent.At = time.UnixMilli(at)
	}
	return sent, nil
}

// Claim implements alerts.Claims.
func (s *Store) Claim(ctx context.Context, k alerts.ClaimKey, want alerts.Want, lease time.Duration) (alerts.Answer, error) {
	w, err := json.Marshal(wantJSON{want.Firing, want.Resolved, want.Repeat.Milliseconds(), want.Always, want.SendResolved})
	if err != nil {
		return alerts.Answer{}, fmt.Errorf("redis: claim: %w", err)
	}
	v, err := claimScript.Run(ctx, s.client, s.claimKey(k), w, millis(lease), keepSent.Milliseconds()).Slice()
	if err != nil {
		return alerts.Answer{}, fmt.Errorf("redis: claim: %w", err)
	}
	var n [4]int64
	for i := range n {
		n[i], _ = v[i].(int64)
	}
	text, _ := v[4].(string)
	last, err := decode(text, n[3])
	if err != nil {
		return alerts.Answer{}, fmt.Errorf("redis: claim: what was sent is not readable: %w", err)
	}
	return alerts.Answer{Verdict: alerts.Verdict(n[0]), Token: uint64(n[1]), Wait: time.Duration(n[2]) * time.Millisecond, Last: last}, nil
}

// Commit implements alerts.Claims.
func (s *Store) Commit(ctx context.Context, k alerts.ClaimKey, token uint64, sent alerts.Sent) error {
	sent.Token = token
	text, err := encode(sent)
	if err != nil {
		return fmt.Errorf("redis: commit: %w", err)
	}
	return s.end(ctx, "commit", k, token, "sent", text)
}

// Release implements alerts.Claims.
func (s *Store) Release(ctx context.Context, k alerts.ClaimKey, token uint64, retry time.Duration) error {
	return s.end(ctx, "release", k, token, "retry", retry.Milliseconds())
}

func (s *Store) end(ctx context.Context, what string, k alerts.ClaimKey, token uint64, how string, arg any) error {
	n, err := endScript.Run(ctx, s.client, s.claimKey(k), token, how, arg).Int()
	switch {
	case err != nil:
		return fmt.Errorf("redis: %s: %w", what, err)
	case n == 0:
		return alerts.ErrLost
	}
	return nil
}

// Restore implements alerts.Claims.
func (s *Store) Restore(ctx context.Context, k alerts.ClaimKey, sent alerts.Sent) error {
	text, err := encode(sent)
	if err == nil {
		err = restoreScript.Run(ctx, s.client, s.claimKey(k), sent.At.UnixMilli(), text, sent.Token, keepSent.Milliseconds()).Err()
	}
	if err != nil {
		return fmt.Errorf("redis: restore: %w", err)
	}
	return nil
}

// millis is at least one: a lease of none would be nobody's.
func millis(d time.Duration) int64 { return max(d.Milliseconds(), 1) }

// member of the sorted sets: JSON, as both parts may have any character.
func member(t alerts.Timer) (string, error) {
	b, err := json.Marshal([2]string{t.Tenant, t.ID})
	return string(b), err
}

func (s *Store) shard(member string) int {
	h := fnv.New32a()
	h.Write([]byte(member))
	return int(h.Sum32() % uint32(s.shards))
}

func (s *Store) timerKeys(shard int) []string {
	tag := fmt.Sprintf("{%s:%d}:", s.prefix, shard)
	return []string{tag + "t", tag + "f", tag + "g", tag + "l", tag + "n"}
}

// onTimer runs a script on the shard of a timer.
func (s *Store) onTimer(ctx context.Context, what string, script *redis.Script, t alerts.Timer, args ...any) error {
	m, err := member(t)
	if err == nil {
		err = script.Run(ctx, s.client, s.timerKeys(s.shard(m)), append([]any{m}, args...)...).Err()
	}
	if err != nil {
		return fmt.Errorf("redis: %s a timer: %w", what, err)
	}
	return nil
}

// Arm implements alerts.Timers.
func (s *Store) Arm(ctx context.Context, t alerts.Timer) error {
	return s.onTimer(ctx, "arm", armScript, t, t.Generation, t.After.Milliseconds())
}

// Done implements alerts.Timers.
func (s *Store) Done(ctx context.Context, t alerts.Timer) error {
	return s.onTimer(ctx, "end", doneScript, t, t.Lease)
}
