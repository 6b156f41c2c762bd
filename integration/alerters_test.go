package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// boilers sends the temperature of many boilers each second.
type boilers struct {
	degrees atomic.Int64
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

func heat(t *testing.T, addr string, n int, degrees int64) *boilers {
	t.Helper()
	b := &boilers{}
	b.degrees.Store(degrees)
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				var points []string
				for i := range n {
					points = append(points, fmt.Sprintf(`{"timeUnixNano":"%d","asInt":"%d","attributes":[{"key":"boiler","value":{"stringValue":"b%d"}}]}`, now.UnixNano(), b.degrees.Load(), i))
				}
				body := `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"temperature","gauge":{"dataPoints":[` + strings.Join(points, ",") + `]}}]}]}]}`
				res, err := http.Post("http://"+addr+"/v1/metrics", "application/json", bytes.NewReader([]byte(body)))
				if err != nil {
					t.Errorf("send: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body) // so that the connection is used again
				_ = res.Body.Close()                 // read only
				if res.StatusCode != http.StatusOK {
					t.Errorf("send: %s", res.Status)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(b.stop)
	return b
}

func (b *boilers) stop() { b.cancel(); b.done.Wait() }

// alerters are three of them beside a gateway with the queue, and a phone that rings
// for each boiler.
type alerters struct {
	t     *testing.T
	phone *harness.Phone
	all   []*harness.Role
	heat  *boilers
	n     int
}

func newAlerters(t *testing.T, n int, redis string) *alerters {
	t.Helper()
	a := &alerters{t: t, phone: harness.NewPhone(t), n: n}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules := write("rules.yaml", "groups: [{name: boilers, interval: 1s, rules: [{alert: Hot, expr: 'temperature > 80', for: 2s, labels: {severity: critical}}]}]\n")
	routes := write("alertmanager.yml", fmt.Sprintf("route: {receiver: phone, group_by: [boiler], group_wait: 200ms, group_interval: 1s, repeat_interval: 4h}\nreceivers: [{name: phone, webhook_configs: [{url: %q}]}]\n", a.phone.URL))
	listen, monitor := harness.FreeAddr(t), harness.FreeAddr(t)
	gateway := harness.NewGateway(t, harness.Queue{Dir: t.TempDir(), Listen: listen, MonitorListen: monitor, Durability: "process", MaxBytes: "1GiB"}, "")
	gateway.Start()
	q := harness.Queue{URL: "nats://" + listen, MonitorURL: "http://" + monitor, Durability: "process", MaxBytes: "1GiB"}
	for range 3 {
		r := harness.NewAlerter(t, q, fmt.Sprintf("alerter: {rules: [%q], alertmanager: %q, query_offset: 1s, redis: {%s}}\n", rules, routes, redis))
		r.Start()
		a.all = append(a.all, r)
	}
	a.heat = heat(t, gateway.HTTPAddr, n, 20)
	return a
}

// rung waits until the phone was told a status of every boiler at least so often, and
// gives how many calls were more than that.
func (a *alerters) rung(status string, times int) (more int) {
	a.t.Helper()
	var count map[string]int
	missing := func() (n int) {
		count = a.phone.Count(status, "boiler")
		for i := range a.n {
			n += max(0, times-count[fmt.Sprintf("b%d", i)])
		}
		return n
	}
	harness.Until(a.t, 3*time.Minute, func() string { return fmt.Sprintf("%d more calls that a boiler is %s", missing(), status) }, func() bool { return missing() == 0 })
	for _, n := range count {
		more += n - times
	}
	return more
}

// story logs the calls of some boilers that were called of too often.
func (a *alerters) story(n int) {
	calls := map[string][]string{}
	for _, c := range a.phone.Heard() {
		b := c.Labels["boiler"]
		calls[b] = append(calls[b], fmt.Sprintf("%s %s since %s", c.At.Format("15:04:05.000"), c.Status, c.StartsAt.Format("15:04:05")))
	}
	for b, list := range calls {
		if n > 0 && len(list) > 4 {
			n--
			a.t.Logf("%s: %q", b, list)
		}
	}
}

// leader is the replica that tells.
func (a *alerters) leader() int {
	a.t.Helper()
	at := -1
	harness.Until(a.t, 2*time.Minute, func() string { return "one of the alerters leads" }, func() bool {
		for i, r := range a.all {
			var s struct {
				Sections []struct {
					Name string
					Data json.RawMessage
				}
			}
			if !r.Ended() && r.Status(&s) {
				for _, x := range s.Sections {
					var of struct{ Tells bool }
					if x.Name == "alerter" && json.Unmarshal(x.Data, &of) == nil && of.Tells {
						at = i
						return true
					}
				}
			}
		}
		return false
	})
	return at
}

func (a *alerters) end() {
	a.heat.stop()
	for _, r := range a.all {
		r.Terminate()
	}
}

// TestAlertersTellOnce: three processes, one Redis, 500 groups that fire and resolve:
// 1,000 notifications and no more. Then Redis hangs, is killed and comes back empty,
// and the replica that tells is killed while it sends: nothing is lost, and what comes
// twice is within what was under way.
func TestAlertersTellOnce(t *testing.T) {
	redis := harness.NewRedis(t)
	a := newAlerters(t, 500, fmt.Sprintf("addrs: [%q]", redis.Addr))
	a.heat.degrees.Store(90)
	if more := a.rung("firing", 1); more != 0 {
		t.Errorf("%d boilers were called of twice", more)
	}
	a.heat.degrees.Store(20)
	if more := a.rung("resolved", 1); more != 0 {
		t.Errorf("of %d boilers the end was told twice", more)
	}
	if n := len(a.phone.Heard()); n != 1000 {
		t.Errorf("%d notifications, want 1000", n)
	}

	redis.Pause() // hung: critical alerts go out without it
	a.heat.degrees.Store(90)
	hung := a.rung("firing", 2)
	redis.Resume()
	redis.Kill() // gone, and back without anything
	a.heat.degrees.Store(20)
	gone := a.rung("resolved", 2)
	redis.Restart()
	a.heat.degrees.Store(90)
	empty := a.rung("firing", 3)
	t.Logf("more calls than needed: %d while Redis hung, %d while it was gone, %d when it came back empty", hung, gone, empty)
	if hung > underWay || gone > underWay || empty > underWay {
		t.Errorf("more came twice than three replicas can have under way")
	}

	r := rand.New(rand.NewPCG(harness.Seed(t), 1))
	a.phone.Answer(0, 20*time.Millisecond)
	a.heat.degrees.Store(20)
	harness.Until(t, time.Minute, func() string { return "the end is being told" }, func() bool {
		return len(a.phone.Count("resolved", "boiler")) > 0 && total(a.phone.Count("resolved", "boiler")) > 1000+r.IntN(300)
	})
	lead := a.leader()
	a.all[lead].Kill()
	killed := a.rung("resolved", 3) - gone
	t.Logf("%d more calls by the kill", killed)
	if killed > underWay { // what was sent and not committed
		t.Errorf("a kill made %d calls come twice, want at most what one replica had under way", killed)
	}
	a.all[lead].Start()
	if now := a.leader(); now == lead {
		t.Logf("the lease came back to the one that was killed")
	}
	a.end()
}

// underWay is what three replicas may be sending to one receiver at a time.
const underWay = 3 * 8

func total(count map[string]int) (n int) {
	for _, c := range count {
		n += c
	}
	return n
}

// TestAlertersThroughAFailover: the master of Redis is killed and Sentinel makes the
// replica the master while alerts fire, and one alerter is stopped by the system for a
// while: nothing is lost.
func TestAlertersThroughAFailover(t *testing.T) {
	master, replica, sentinels := harness.NewSentinels(t, "alerts")
	a := newAlerters(t, 100, fmt.Sprintf("addrs: [%q, %q, %q], sentinel_master: alerts", sentinels[0], sentinels[1], sentinels[2]))
	a.heat.degrees.Store(90)
	if more := a.rung("firing", 1); more != 0 {
		t.Errorf("%d boilers were called of twice", more)
	}
	a.heat.degrees.Store(20)
	harness.Until(t, time.Minute, func() string { return "the end is being told" }, func() bool { return len(a.phone.Count("resolved", "boiler")) > 0 })
	master.Kill()
	during := a.rung("resolved", 1)
	harness.Until(t, time.Minute, func() string { return "the replica is the master" }, func() bool { return strings.Contains(replica.Do("role"), "master") })
	lead := a.leader()
	a.all[lead].Signal(syscall.SIGSTOP)
	a.heat.degrees.Store(90)
	stopped := a.rung("firing", 2)
	a.all[lead].Signal(syscall.SIGCONT)
	a.heat.degrees.Store(20)
	after := a.rung("resolved", 2) - during
	t.Logf("more calls than needed: %d during the failover, %d while the leader was stopped, %d after it", during, stopped, after)
	if t.Failed() || during > underWay || stopped > underWay || after > underWay {
		a.story(3)
	}
	if during > underWay || stopped > underWay || after > underWay {
		t.Errorf("more came twice than three replicas can have under way")
	}
	a.end()
}
