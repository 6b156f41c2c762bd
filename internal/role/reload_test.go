package role

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/send"
	"github.com/penstock-otel/penstock/internal/settings"
	"github.com/penstock-otel/penstock/internal/worker"
)

// fromFile makes a process read its settings from a file beside what it has, again
// with each reload; put writes the file.
func fromFile(t *testing.T, text string, sets ...string) (p Process, log *buffer, put func(text string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "penstock.yaml")
	put = func(text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	put(text)
	p, log = process(t)
	src := settings.Source{File: file, Sets: append([]string{
		"queue.dir=" + p.Settings.Queue.Dir, "queue.max_bytes=64MiB",
		"gateway.grpc.listen=127.0.0.1:0", "gateway.http.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"}, sets...)}
	p.Read = func() (*settings.Settings, *config.Loaded, error) { return settings.Load(src) }
	var err error
	if p.Settings, p.Loaded, err = p.Read(); err != nil {
		t.Fatal(err)
	}
	return p, log, put
}

// up starts it and waits until it serves.
func upAndReady(t *testing.T, p Process) (*running, Running) {
	t.Helper()
	up := make(chan Running, 1)
	r := start(t, func(ctx context.Context) error { return Up(ctx, p, func(r Running) { up <- r }) })
	select {
	case at := <-up:
		eventually(t, "it is ready", func() bool { _, err := admin.Get(t.Context(), at.Admin, "/readyz"); return err == nil })
		return r, at
	case err := <-r.done:
		t.Fatalf("did not start: %v", err)
	}
	return nil, Running{}
}

// again asks for a reload.
func again(t *testing.T, addr string) (a reload.Answer) {
	t.Helper()
	body, err := admin.Ask(t.Context(), http.MethodPost, addr, "/-/reload", nil)
	var status *admin.StatusError
	if errors.As(err, &status) {
		body = []byte(status.Body)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return a
}

// counting forwards to target and counts connections.
func counting(t *testing.T, target string) (addr string, n *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n = new(atomic.Int64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			to, err := net.Dial("tcp", target)
			if err != nil {
				t.Errorf("dial the gateway: %v", err)
				c.Close() //nolint:errcheck // the test has failed
				return
			}
			for _, pair := range [][2]net.Conn{{c, to}, {to, c}} {
				wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])        // ends with either side
					_, _ = pair[0].Close(), pair[1].Close() // twice each
				})
			}
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
	return l.Addr().String(), n
}

// underReload has all that can change live, in two forms.
const underReload = `
destinations: [{name: disk, protocol: file, endpoints: [%q], where: [%s]}]
log: {level: %s}
retention: {replay_window: %s, every: %s}
replay: {rate: %s}
tenants: {defaults: {items_per_second: %s}}
gateway: {limits: {reject_bad_utf8: %s}}
auth: {anonymous_roles: [%s]}
`

// TestAReloadUnderLoadDisturbsNobody changes all that can change again and again,
// by the admin port and by the signal, while clients send over both transports: no
// connection is made anew, no request is sent a second time, nothing is lost.
func TestAReloadUnderLoadDisturbsNobody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.json")
	text := func(i int) string {
		n := i % 2
		return fmt.Sprintf(underReload, file, []string{"", "service.name=~.*"}[n], []string{"info", "debug"}[n], []string{"1h", "0s"}[n], []string{"1s", "200ms"}[n],
			[]string{"8MiB", "16MiB"}[n], []string{"0", "1000000000"}[n], []string{"false", "true"}[n], []string{"ingest, admin", "admin, ingest"}[n])
	}
	p, log, put := fromFile(t, text(0))
	r, at := upAndReady(t, p)

	const items, clients = 4000, 2
	var totals send.Totals
	var connections []*atomic.Int64
	var senders sync.WaitGroup
	for protocol, target := range map[string]string{"grpc": at.GRPC, "http": at.HTTP} {
		addr, n := counting(t, target)
		connections = append(connections, n)
		if protocol == "http" {
			addr = "http://" + addr
		}
		c := send.Config{Target: addr, Protocol: protocol, Insecure: true, Signals: []otlp.Signal{otlp.Traces}, Items: items, Batch: 10, Rate: 2000, Clients: clients, Seed: 9}
		senders.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			if err := send.Run(ctx, c, &totals); err != nil {
				t.Errorf("%s: %v", protocol, err)
			}
		})
	}
	sent := make(chan struct{})
	go func() { senders.Wait(); close(sent) }()

	reloads := 0
	for done := false; !done; {
		reloads++
		put(text(reloads))
		if reloads%4 == 0 {
			applied := value(t, at.Registry, "penstock_config_reloads_total", reload.Applied)
			if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the signal is followed", func() bool { return value(t, at.Registry, "penstock_config_reloads_total", reload.Applied) > applied })
		} else if a := again(t, at.Admin); a.Outcome != reload.Applied || len(a.Applied) != 8 || len(a.Waiting) > 0 {
			t.Fatalf("reload %d: %+v", reloads, a)
		}
		select {
		case <-sent:
			done = true
		default:
		}
	}
	if reloads < 4 {
		t.Errorf("%d reloads were made while clients sent: the test is too short", reloads)
	}
	t.Logf("%d reloads", reloads)
	if got := totals.Accepted[otlp.Traces].Load(); got != 2*items || totals.Resent.Load() != 0 || totals.Failed.Load() != 0 {
		t.Errorf("%d of %d items were accepted, %d requests sent again, %d items failed", got, 2*items, totals.Resent.Load(), totals.Failed.Load())
	}
	for _, n := range connections {
		if got := n.Load(); got > clients {
			t.Errorf("%d clients made %d connections", clients, got)
		}
	}
	eventually(t, "everything arrived once", func() bool { return arrived(t, file)["spans"] == 2*items })

	// The last one is in effect, in all parts.
	put(text(1))
	if a := again(t, at.Admin); a.Outcome != reload.Applied && a.Outcome != reload.Unchanged || len(a.Waiting) > 0 {
		t.Fatalf("the last reload: %+v", a)
	}
	const refusal = `"msg":"request refused"`
	refused := strings.Count(log.String(), refusal)
	resp, err := http.Post("http://"+at.HTTP+"/v1/logs", "application/json", strings.NewReader("garbage"))
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	// It is logged before it is answered, and at debug alone.
	if n := strings.Count(log.String(), refusal) - refused; n != 1 {
		t.Errorf("a refusal is logged %d times at debug", n)
	}
	eventually(t, "what is exported is purged", func() bool { return at.Watch.Look(t.Context()).Streams[0].Messages == 0 })
	r.end(t)
}

// TestABadReloadLeavesAllAsItWas: what runs, what is printed, the hash and the log
// level; the gauges and the status tell of it, and of what waits for a restart.
func TestABadReloadLeavesAllAsItWas(t *testing.T) {
	p, log, put := fromFile(t, "log: {level: info}\n", "queue.durability=process")
	r, at := upAndReady(t, p)
	printed := func() string {
		t.Helper()
		b, err := admin.Get(t.Context(), at.Admin, "/api/v1/status/config?format=yaml")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	gauge := func(name string) float64 {
		t.Helper()
		families, err := at.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "penstock_config_"+name {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatalf("there is no metric of the name %s", name)
		return 0
	}
	before, hash := printed(), p.Loaded.Hash()
	if !strings.Contains(log.String(), `"config_hash":"`+hash+`"`) {
		t.Error("the first line of the log lacks the hash")
	}

	put("log: {level: debug}\nqueue: {shards: 1000}\nretention: {every: 1s, everry: 2s}\n")
	a := again(t, at.Admin)
	if a.Outcome != reload.Refused || len(a.Problems) != 2 || a.Hash != hash || printed() != before || gauge("last_reload_successful") != 0 || gauge("restart_required") != 0 {
		t.Errorf("%+v\n%s", a, printed())
	}
	put("log: {level: debug}\nqueue: {shards: 2}\n")
	a = again(t, at.Admin)
	if a.Outcome != reload.Applied || !slices.Equal(a.Applied, []string{"log.level"}) || !slices.Equal(a.Waiting, []string{"queue.shards"}) || a.Hash == hash {
		t.Errorf("%+v", a)
	}
	if now := printed(); gauge("restart_required") != 1 || !strings.Contains(now, "level: debug") || !strings.Contains(now, "shards: 1\n") {
		t.Errorf("prints what does not run:\n%s", now)
	}
	page, err := admin.Get(t.Context(), at.Admin, "/")
	if err != nil || !strings.Contains(string(page), a.Hash) || !strings.Contains(string(page), "queue.shards") {
		t.Errorf("the page does not tell: %v\n%s", err, page)
	}
	eventually(t, "both are in the audit stream", func() bool {
		outcomes := map[string]int{}
		for _, i := range asks[api.AuditEntries](t, at.Admin, http.MethodGet, "/audit", nil).Entries {
			if i.Event.Action == "reload" && i.Event.Listener == "admin" && i.Event.Peer != "" && i.Event.Subject == "anonymous" {
				outcomes[i.Event.Outcome]++
			}
		}
		return outcomes["failed"] == 1 && outcomes["done"] == 1
	})
	r.end(t)
}

// TestARoleFollowsWhatItDoesNotRead: in a file for all roles, keys of another one
// ask for no restart of this one.
func TestARoleFollowsWhatItDoesNotRead(t *testing.T) {
	port, gaddr, waddr := freePort(t), freePort(t), freePort(t)
	p, glog, put := fromFile(t, "", "queue.listen="+port, "admin.listen="+gaddr)
	g := start(t, func(ctx context.Context) error { return Gateway(ctx, p) })
	eventually(t, "the gateway is ready", func() bool { return strings.Contains(glog.String(), `"msg":"ready"`) })
	w, wlog, wput := fromFile(t, "", "queue.url=nats://"+port, "admin.listen="+waddr, "destinations=[{name: d, protocol: debug}]")
	worker := start(t, func(ctx context.Context) error { return Worker(ctx, w) })
	eventually(t, "the worker is ready", func() bool { return strings.Contains(wlog.String(), `"msg":"ready"`) })

	put("replay: {jobs: 3}\nworker: {drain_timeout: 9s}\nretention: {every: 1s}\n")
	if a := again(t, gaddr); !slices.Equal(a.Applied, []string{"worker.drain_timeout", "retention.every", "replay.jobs"}) || len(a.Waiting) > 0 {
		t.Errorf("the gateway: %+v", a)
	}
	wput("replay: {jobs: 3}\ngateway: {batch: {max_items: 7}}\nretention: {every: 1s}\n")
	if a := again(t, waddr); !slices.Equal(a.Applied, []string{"gateway.batch.max_items", "retention.every"}) || !slices.Equal(a.Waiting, []string{"replay.jobs"}) {
		t.Errorf("the worker: %+v", a)
	}
	worker.end(t)
	g.end(t)
}

// TestAProcessWithoutSourcesSaysSo: one that was made by a program, not from files.
func TestAProcessWithoutSourcesSaysSo(t *testing.T) {
	p, _ := process(t)
	p.Loaded = nil
	r, at := upAndReady(t, p)
	if a := again(t, at.Admin); a.Outcome != reload.Refused || !strings.Contains(a.Text(), "nowhere") {
		t.Errorf("%+v", a)
	}
	r.end(t)
}

// TestWhatChangesLiveIsInEffect asks each part that can change whether it did, by
// what clients and destinations see.
func TestWhatChangesLiveIsInEffect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.json")
	var keys sync.Map // that the web destination was shown
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { keys.Store(r.Header.Get("X-Key"), true) }))
	t.Cleanup(web.Close)
	secret := filepath.Join(t.TempDir(), "key")
	turn := func(key string) {
		t.Helper()
		if err := os.WriteFile(secret, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	turn("first-key")
	const keeps = "destinations:\n- {name: disk, protocol: file, endpoints: [%q]%s}\n- {name: web, protocol: http, endpoints: [%q], headers: [{name: x-key, value: \"${file:%s}\"}]}\n%s\n"
	text := func(destination, more string) string {
		return fmt.Sprintf(keeps, file, destination, web.URL, secret, more)
	}
	shown := func(key string) func() bool { return func() bool { _, yes := keys.Load(key); return yes } }
	p, _, put := fromFile(t, text("", ""), "queue.durability=process")
	r, at := upAndReady(t, p)
	change := func(key, text string) {
		t.Helper()
		put(text)
		if a := again(t, at.Admin); a.Outcome != reload.Applied || !slices.Contains(a.Applied, key) || len(a.Waiting) > 0 {
			t.Fatalf("%+v", a)
		}
	}
	post := func(kind, body string, want int) {
		t.Helper()
		resp, err := http.Post("http://"+at.HTTP+"/v1/logs", kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if says, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != want {
			t.Errorf("%d %s, %v: want %d", resp.StatusCode, says, err, want)
		}
	}
	logs := func(service, text string) string {
		return fmt.Sprintf(`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]},"scopeLogs":[{"logRecords":[{"body":{"stringValue":%q}}]}]}]}`, service, text)
	}
	// resource_logs, scope_logs, log_records, severity_text: a byte that is no UTF-8.
	const notUTF8 = "\x0a\x07\x12\x05\x12\x03\x1a\x01\xff"
	const asJSON, asProto = "application/json", "application/x-protobuf"

	post(asJSON, logs("a", "first"), 200)
	eventually(t, "the first key is shown", shown("first-key"))
	turn("second-key")
	change("destinations[web].headers[x-key].value", text("", ""))
	post(asJSON, logs("a", "first again"), 200)
	eventually(t, "the second key is shown", shown("second-key"))
	post(asProto, notUTF8, 200)
	change("gateway.limits.reject_bad_utf8", text("", "gateway: {limits: {reject_bad_utf8: true}}"))
	post(asProto, notUTF8, 400)
	change("tenants.defaults.signals", text("", "tenants: {defaults: {signals: [traces]}}"))
	post(asJSON, logs("a", "not taken"), 403)
	change("auth.anonymous_roles", text("", "auth: {anonymous_roles: [admin]}"))
	post(asJSON, logs("a", "not taken"), 403)
	change("destinations[disk].where", text(", where: [service.name=a]", ""))
	post(asJSON, logs("b", "not sent"), 200)
	post(asJSON, logs("a", "second"), 200)
	eventually(t, "the second arrived", func() bool { b, err := os.ReadFile(file); return err == nil && strings.Contains(string(b), "second") })
	got, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(got), "not sent") || strings.Contains(string(got), "not taken") || !strings.Contains(string(got), "first") {
		t.Errorf("%v: arrived\n%s", err, got)
	}
	r.end(t)
}

// TestEveryKeyOfADestinationHasItsReaders: a new key is either one that gateways
// read too, or stands in the list of those that only workers do.
func TestEveryKeyOfADestinationHasItsReaders(t *testing.T) {
	everybody := []string{"name", "signals", "protocol", "compression"}
	d := reflect.TypeFor[worker.Destination]()
	for i := range d.NumField() {
		key := d.Field(i).Tag.Get("yaml")
		if shared, own := slices.Contains(everybody, key), slices.Contains(ofWorkers, "destinations[]."+key); shared == own {
			t.Errorf("destinations[].%s: read by gateways %t, by workers alone %t: put it into ofWorkers, or into this test if a gateway reads it", key, shared, own)
		}
	}
}
