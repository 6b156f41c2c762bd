package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// askQuiet is how long after an answer the next is waited for.
const askQuiet = 500 * time.Millisecond

// askSystem asks every server of the cluster, if the account has the
// $SYS.REQ.SERVER.PING.VARZ service imported from the system account.
func askSystem(ctx context.Context, nc *nats.Conn) ([]varz, error) {
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return nil, fmt.Errorf("$SYS request: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if the connection is closed
	if err := nc.PublishRequest("$SYS.REQ.SERVER.PING.VARZ", sub.Subject, nil); err != nil {
		return nil, fmt.Errorf("$SYS request: %w", err)
	}
	var servers []varz
	for {
		wait, cancel := context.WithTimeout(ctx, askQuiet)
		m, err := sub.NextMsgWithContext(wait)
		cancel()
		switch {
		case err == nil && len(m.Data) > 0:
			var answer struct {
				Data varz `json:"data"`
			}
			if err := json.Unmarshal(m.Data, &answer); err == nil && answer.Data.ID != "" {
				servers = append(servers, answer.Data)
			}
			continue
		case len(servers) > 0:
			return servers, nil
		case err == nil || errors.Is(err, nats.ErrNoResponders):
			return nil, errors.New("the account may not ask the servers ($SYS.REQ.SERVER.PING.VARZ has no responders)")
		}
		return nil, fmt.Errorf("no answer to $SYS.REQ.SERVER.PING.VARZ: %w", err)
	}
}

// askMonitor reads /varz of one server.
func askMonitor(ctx context.Context, c Config, base string) (varz, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	fail := func(err error) (varz, error) { return varz{}, fmt.Errorf("monitor url: %w", err) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/varz", nil)
	if err != nil {
		return fail(err)
	}
	t := &http.Transport{TLSClientConfig: c.TLS.Clone()}
	if c.TLS != nil && c.RootCAs != nil {
		t.TLSClientConfig.RootCAs = c.RootCAs()
	}
	defer t.CloseIdleConnections()
	resp, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = resp.Body.Close() }() // read only
	if resp.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("%s answers %s", req.URL.Redacted(), resp.Status))
	}
	var v varz
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&v); err != nil {
		return fail(fmt.Errorf("%s: %w", req.URL.Redacted(), err))
	}
	if v.ID == "" || v.JetStream.Config == nil {
		return fail(fmt.Errorf("%s is not a nats-server with JetStream", req.URL.Redacted()))
	}
	return v, nil
}
