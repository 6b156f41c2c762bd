package redis

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// maxKeys is how many alerts of a group are compared one by one. Of more the hash is
// kept: any change of such a group is sent.
const maxKeys = 10_000

// claimKey is the hash of a claim: of its own slot, since no script needs two.
func (s *Store) claimKey(k alerts.ClaimKey) []string {
	h := sha256.New()
	for _, part := range []string{k.Tenant, k.Group, k.Receiver} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return []string{s.prefix + ":c:" + hex.EncodeToString(h.Sum(nil)[:16])}
}

// bounded is a list that is short enough, or one key in place of it.
func bounded(list []alerts.Key) []alerts.Key {
	if len(list) <= maxKeys {
		return list
	}
	list = slices.Clone(list)
	slices.Sort(list)
	h := sha256.New()
	for _, k := range list {
		fmt.Fprintf(h, "%d:%s", len(k), k)
	}
	return []alerts.Key{alerts.Key(fmt.Sprintf("%d alerts, sha256 %x", len(list), h.Sum(nil)))}
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
	b, err := json.Marshal(sentJSON{bounded(sent.Firing), bounded(sent.Resolved), sent.Token, sent.Data})
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

// Claim implements alerts.Claims. Of a group of more than maxKeys alerts, Last has one
// key that is no alert's in place of them.
func (s *Store) Claim(ctx context.Context, k alerts.ClaimKey, want alerts.Want, lease time.Duration) (alerts.Answer, error) {
	w, err := json.Marshal(wantJSON{bounded(want.Firing), bounded(want.Resolved), want.Repeat.Milliseconds(), want.Always, want.SendResolved})
	if err != nil {
		return alerts.Answer{}, fmt.Errorf("redis: claim: %w", err)
	}
	v, err := s.run(ctx, claimScript, s.claimKey(k), w, millis(lease), keepSent.Milliseconds(), rand.Text()).Slice()
	if err != nil {
		return alerts.Answer{}, fmt.Errorf("redis: claim: %w", err)
	}
	a, err := answer(v)
	if err != nil {
		return alerts.Answer{}, fmt.Errorf("redis: claim of group %q: what the server has is not readable: %w", k.Group, err)
	}
	return a, nil
}

func answer(v []any) (a alerts.Answer, err error) {
	var n [4]int64
	text, ok := "", len(v) == len(n)+1
	for i := 0; ok && i < len(n); i++ {
		n[i], ok = v[i].(int64)
	}
	if ok {
		text, ok = v[len(n)].(string)
	}
	if !ok {
		return a, fmt.Errorf("an answer of %d parts: %v", len(v), v)
	}
	a = alerts.Answer{Verdict: alerts.Verdict(n[0]), Token: uint64(n[1]), Wait: time.Duration(n[2]) * time.Millisecond}
	a.Last, err = decode(text, n[3])
	return a, err
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
	return s.end(ctx, "release", k, token, "retry", max(retry.Milliseconds(), 0))
}

func (s *Store) end(ctx context.Context, what string, k alerts.ClaimKey, token uint64, how string, arg any) error {
	n, err := s.run(ctx, endScript, s.claimKey(k), token, how, arg).Int()
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
		err = s.run(ctx, restoreScript, s.claimKey(k), sent.At.UnixMilli(), text, sent.Token, keepSent.Milliseconds()).Err()
	}
	if err != nil {
		return fmt.Errorf("redis: restore: %w", err)
	}
	return nil
}
