package jetstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

func isNotFound(err error) bool { return errors.Is(err, queue.ErrNotFound) }

// tryOpen gives what is promised, or the error.
func tryOpen(t *testing.T, c Config) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	q, err := Open(ctx, c)
	if err != nil {
		return "", err
	}
	return q.Durability(), q.Close()
}

func TestVerification(t *testing.T) {
	t.Parallel()
	syncs := serve(t, embedded.Config{SyncAlways: true, ServerName: "careful", Listen: "127.0.0.1:0", MonitorListen: "127.0.0.1:0"})
	lazy := serve(t, embedded.Config{ServerName: "hasty", Listen: "127.0.0.1:0", MonitorListen: "127.0.0.1:0"})
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken/varz" {
			fmt.Fprint(w, "{")
			return
		}
		http.NotFound(w, r)
	}))
	defer other.Close()

	for _, c := range []struct {
		name  string
		c     Config
		proof string   // in the description
		wrong []string // in the error
	}{
		{"proven by the monitor", Config{URL: syncs.ClientURL(), MonitorURLs: []string{syncs.MonitorURL() + "/"}}, "strict, verified: sync always on careful", nil},
		{"nobody to ask", Config{URL: syncs.ClientURL()}, "", []string{"may not ask", "queue.monitor_urls", "queue.allow_unverified", "sync_interval: always"}},
		{"not syncing", Config{URL: lazy.ClientURL(), MonitorURLs: []string{lazy.MonitorURL()}}, "", []string{"confirm before they sync: hasty"}},
		{"another server's monitor", Config{URL: lazy.ClientURL(), MonitorURLs: []string{syncs.MonitorURL()}}, "", []string{"other servers (careful"}},
		{"monitor refuses", Config{URL: syncs.ClientURL(), MonitorURLs: []string{other.URL}}, "", []string{"404"}},
		{"monitor talks nonsense", Config{URL: syncs.ClientURL(), MonitorURLs: []string{other.URL + "/broken"}}, "", []string{"/broken/varz"}},
		{"monitor is not there", Config{URL: syncs.ClientURL(), MonitorURLs: []string{"http://127.0.0.1:1"}}, "", []string{"connection refused"}},
		{"unverified is allowed", Config{URL: lazy.ClientURL(), AllowUnverified: true}, "strict, NOT verified", nil},
		{"nothing is promised", Config{URL: lazy.ClientURL(), Durability: Process}, "process", nil},
		{"embedded syncs", Config{Conn: syncs}, "strict, verified: the embedded server", nil},
		{"embedded does not", Config{Conn: lazy}, "", []string{"confirms before it syncs"}},
		{"embedded of an unknown kind", Config{Conn: connOnly{syncs}}, "", []string{"does not tell"}},
		{"replicated on one server", Config{URL: syncs.ClientURL(), Durability: Replicated, MonitorURLs: []string{syncs.MonitorURL()}}, "", []string{"cluster"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.c.Logger = logTo(t)
			proof, err := tryOpen(t, c.c)
			if c.proof != "" && (err != nil || !strings.HasPrefix(proof, c.proof)) {
				t.Fatalf("%q, %v; want %q", proof, err, c.proof)
			}
			for _, w := range c.wrong {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%q, %v; want an error with %q", proof, err, w)
				}
			}
		})
	}
}

type connOnly struct{ s *embedded.Server }

func (c connOnly) InProcessConn() (net.Conn, error) { return c.s.InProcessConn() }

func TestJudge(t *testing.T) {
	t.Parallel()
	server := func(id string, sync bool, size int) varz {
		v := varz{ID: id, Name: "n" + id, Version: "2.15.2"}
		v.JetStream.Config = &struct {
			SyncAlways bool `json:"sync_always"`
		}{sync}
		if size > 0 {
			v.JetStream.Meta = &struct {
				Size int `json:"cluster_size"`
			}{size}
		}
		return v
	}
	noStore := varz{ID: "9", Name: "n9"}
	for _, c := range []struct {
		name       string
		servers    []varz
		clustered  bool
		proof, why string
	}{
		{"none", nil, false, "", "no server"},
		{"one", []varz{server("1", true, 0)}, false, "sync always on n1 2.15.2", ""},
		{"the same twice", []varz{server("1", true, 0), server("1", true, 0)}, false, "sync always on n1 2.15.2", ""},
		{"all of three", []varz{server("1", true, 3), server("2", true, 3), server("3", true, 3)}, true, "sync always on n1 2.15.2, n2 2.15.2, n3 2.15.2", ""},
		{"two of three", []varz{server("1", true, 3), server("2", true, 3)}, true, "", "2 of 3 servers"},
		{"one of three is lazy", []varz{server("1", true, 3), server("2", false, 3), server("3", true, 3)}, true, "", "n2"},
		{"servers without JetStream do not count", []varz{server("1", true, 0), noStore}, false, "sync always on n1 2.15.2", ""},
		{"not ours", []varz{server("2", true, 0)}, false, "", "other servers"},
		{"a cluster is asked for", []varz{server("1", true, 0)}, true, "", "no cluster"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proof, _, why := judge(c.servers, "1", c.clustered, true)
			if proof != c.proof || (c.why == "") != (why == "") || !strings.Contains(why, c.why) {
				t.Fatalf("%q, %q; want %q, %q", proof, why, c.proof, c.why)
			}
		})
	}
	three := []varz{server("1", true, 3), server("2", true, 3), server("3", true, 3)}
	for _, c := range []struct {
		name    string
		servers []varz
		away    int // -1: not proven
	}{
		{"all", three, 0},
		{"one is away", three[:2], 1},
		{"two are away", three[:1], -1},
		{"the one connected to is away", three[1:], -1},
		{"one is away, one is lazy", []varz{server("1", true, 3), server("2", false, 3)}, -1},
	} {
		t.Run("later: "+c.name, func(t *testing.T) {
			proof, away, why := judge(c.servers, "1", true, false)
			if (c.away < 0) != (why != "") || c.away >= 0 && away != c.away || c.away > 0 != strings.Contains(proof, "away") {
				t.Fatalf("%q, %d away, %q", proof, away, why)
			}
		})
	}
}

// TestOldVersion: the release that loses data is refused on every server that
// was asked, also on one that we are not connected to.
func TestOldVersion(t *testing.T) {
	t.Parallel()
	s := serve(t, embedded.Config{SyncAlways: true, Listen: "127.0.0.1:0", MonitorListen: "127.0.0.1:0"})
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"server_id":"X","server_name":"aged","version":"2.15.0","jetstream":{"config":{"sync_always":true}}}`)
	}))
	defer other.Close()
	c := Config{URL: s.ClientURL(), MonitorURLs: []string{s.MonitorURL(), other.URL}}
	if _, err := tryOpen(t, c); err == nil || !strings.Contains(err.Error(), "2.15.0 (aged)") {
		t.Fatalf("error is %v", err)
	}
	c.AllowUnverified = true
	if proof, err := tryOpen(t, c); err != nil || !strings.Contains(proof, "NOT verified") || !strings.Contains(proof, "aged") {
		t.Fatalf("%q, %v", proof, err)
	}
}
