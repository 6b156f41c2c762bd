package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// varz is what the proof needs of a server's /varz (nats-server 2.15.2,
// server/monitor.go Varz, server/jetstream.go JetStreamConfig).
type varz struct {
	ID        string `json:"server_id"`
	Name      string `json:"server_name"`
	Version   string `json:"version"`
	JetStream struct {
		Config *struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
		Meta *struct {
			Size int `json:"cluster_size"`
		} `json:"meta"`
	} `json:"jetstream"`
}

// badVersion can lose confirmed data. Every server that was asked is looked at.
const badVersion = "2.15.0"

// verify gives a sentence about what is proven and the number of servers that are
// away, or an error that says what was asked, what was seen, and the ways out.
// With whole, for the first time, no server may be away.
func verify(ctx context.Context, c Config, nc *nats.Conn, whole bool) (proof string, away int, err error) {
	if c.Durability == Process {
		return "process: survives a crash of the server's process, not a power cut", 0, nil
	}
	if c.Conn != nil {
		proof, err = verifyEmbedded(c)
	} else {
		proof, away, err = verifyExternal(ctx, c, nc, whole)
	}
	if err == nil {
		err = tooOld([]varz{connectedTo(nc)})
	}
	switch {
	case err == nil:
		return string(c.Durability) + ", verified: " + proof, away, nil
	case c.AllowUnverified:
		if whole {
			c.Logger.Warn("queue durability is not verified", "durability", c.Durability, "reason", err)
		}
		return fmt.Sprintf("%s, NOT verified: %v", c.Durability, err), 0, nil
	}
	return "", 0, fmt.Errorf("queue: durability %s cannot be verified: %w", c.Durability, err)
}

// tooOld names the servers of badVersion.
func tooOld(servers []varz) error {
	var names []string
	for _, v := range servers {
		if v.Version == badVersion && !slices.Contains(names, v.Name) {
			names = append(names, v.Name)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("nats-server %s (%s) can lose confirmed data on compaction: use 2.15.2 or later, or 2.14.9",
		badVersion, strings.Join(names, ", "))
}

func connectedTo(nc *nats.Conn) varz {
	return varz{ID: nc.ConnectedServerId(), Name: nc.ConnectedServerName(), Version: nc.ConnectedServerVersion()}
}

func verifyEmbedded(c Config) (string, error) {
	s, ok := c.Conn.(interface{ SyncAlways() bool })
	if !ok {
		return "", errors.New("the embedded server does not tell whether it syncs before it confirms; to go on all the same set queue.allow_unverified: true")
	}
	if !s.SyncAlways() {
		return "", errors.New("the embedded server confirms before it syncs: start it with sync always, or choose durability process")
	}
	return "the embedded server syncs before it confirms", nil
}

func verifyExternal(ctx context.Context, c Config, nc *nats.Conn, whole bool) (proof string, away int, err error) {
	servers, asked := askSystem(ctx, nc)
	var seen []string
	if asked != nil {
		seen = append(seen, asked.Error())
	}
	for _, u := range c.MonitorURLs {
		v, err := askMonitor(ctx, c, u)
		if err != nil {
			seen = append(seen, err.Error())
			continue
		}
		servers = append(servers, v)
	}
	if err := tooOld(servers); err != nil {
		return "", 0, err
	}
	proof, away, why := judge(servers, nc.ConnectedServerId(), c.Durability == Replicated, whole)
	if why == "" {
		return proof, away, nil
	}
	seen = append(seen, why)
	return "", 0, fmt.Errorf("asked by $SYS.REQ.SERVER.PING.VARZ and at %d monitor urls, saw: %s; either set sync_interval: always on every server and let them be asked (queue.monitor_urls: the http monitoring address of each), or set queue.allow_unverified: true",
		len(c.MonitorURLs), strings.Join(seen, "; "))
}

// judge wants every server of the cluster, and the one we talk to among them,
// to sync always; for replicas it wants a cluster. Unless whole is wanted, up to
// half of a cluster may be away, but not the one we talk to.
func judge(servers []varz, connected string, clustered, whole bool) (proof string, away int, why string) {
	var names, lazy []string
	size, ids, heard := 1, map[string]bool{}, false
	for _, v := range servers {
		heard = heard || v.ID == connected
		if ids[v.ID] || v.JetStream.Config == nil {
			continue
		}
		ids[v.ID] = true
		if v.JetStream.Meta != nil {
			size = max(size, v.JetStream.Meta.Size)
		}
		if v.JetStream.Config.SyncAlways {
			names = append(names, v.Name+" "+v.Version)
		} else {
			lazy = append(lazy, v.Name)
		}
	}
	slices.Sort(names)
	away = max(0, size-len(ids))
	switch {
	case len(ids) == 0:
		return "", 0, "no server that told its settings"
	case len(lazy) > 0:
		return "", 0, fmt.Sprintf("servers that confirm before they sync: %s", strings.Join(lazy, ", "))
	case away > 0 && (whole || 2*away > size || !heard):
		return "", 0, fmt.Sprintf("%d of %d servers of the cluster: %s", len(ids), size, strings.Join(names, ", "))
	case clustered && size == 1:
		return "", 0, fmt.Sprintf("no cluster, but one server: %s", names[0])
	case size == 1 && !ids[connected]:
		return "", 0, fmt.Sprintf("other servers (%s) than the one connected to (%s)", strings.Join(names, ", "), connected)
	}
	proof = "sync always on " + strings.Join(names, ", ")
	if away > 0 {
		proof += fmt.Sprintf(" (%d of %d servers; the others are away)", len(ids), size)
	}
	return proof, away, ""
}
