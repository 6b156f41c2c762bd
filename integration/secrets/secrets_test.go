package secrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/settings"
)

// plant is a secret that nothing else would ever print.
func plant(what string) string { return "PlAnTeD" + what + "zQ7x" }

// planted has a plant for every secret key of the configuration: a new key without
// one fails the test.
var planted = map[string]string{
	"queue.url":                      plant("QueueToken"), // a token in the address
	"queue.token":                    plant("QueueToken"),
	"queue.password":                 plant("QueuePassword"),
	"destinations[].headers[].value": plant("Header"),
	"destinations[].auth.oauth2.client_secret":  plant("ClientSecret"),
	"destinations[].auth.oauth2.params[].value": plant("Param"),
	"alerter.link_secret":                       plant("LinkSecret"),
	"alerter.redis.password":                    plant("RedisPassword"),
	"alerter.redis.sentinel_password":           plant("SentinelPassword"),
	"alerter.alertmanagers[].headers[].value":   plant("PushHeader"),
	"alerter.heartbeat.url":                     plant("Heartbeat"), // a token in the address
}

// further are secrets that are no key of their own.
var further = []string{plant("BearerFile"), plant("ClientFile"), plant("AccessToken"), plant("WrongKey"), plant("Jwt"), plant("BasicPassword"), plant("Reloaded"), plant("OutOfPlace")}

// secretKeys finds the secret keys of a configuration by its types.
func secretKeys(t reflect.Type, path string, found map[string]bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[config.Secret]():
		found[path] = true
	case t.Kind() == reflect.Slice:
		secretKeys(t.Elem(), path+"[]", found)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if key == "-" || key == "" && options != "inline" {
				continue
			}
			at := path
			if key != "" {
				at = strings.TrimPrefix(path+"."+key, ".")
			}
			if f.Tag.Get("secret") != "" {
				found[at] = true
				continue
			}
			secretKeys(f.Type, at, found)
		}
	}
}

func TestEverySecretKeyHasAPlant(t *testing.T) {
	found := map[string]bool{}
	secretKeys(reflect.TypeFor[settings.Settings](), "", found)
	if got, want := slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(planted)); !slices.Equal(got, want) {
		t.Fatalf("the configuration has the secret keys\n%q\nand there are plants for\n%q:\ngive a new key a plant, and a place in TestNoSecretIsToldAnywhere", got, want)
	}
}

// chatter is a destination, and a token endpoint, that repeats all that it was sent
// in what it answers.
type chatter struct {
	http, token *httptest.Server
	grpcAddr    string
	asked       atomic.Int64

	mu   sync.Mutex
	seen strings.Builder // everything that came in
}

const marker = "chatter-says"

func (c *chatter) note(text string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.WriteString(text)
	return marker + " " + text
}

func (c *chatter) saw(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Contains(c.seen.String(), text)
}

func newChatter(t *testing.T) *chatter {
	t.Helper()
	c := &chatter{}
	c.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		text := c.note(fmt.Sprint(r.Header))
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader([]int{503, 401, 400, 400}[c.asked.Add(1)%4])
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(c.http.Close)
	var asked atomic.Int64
	c.token = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := c.note(string(body) + " " + r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		if asked.Add(1)%3 == 1 {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, text)
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":600}`, plant("AccessToken"))
	}))
	t.Cleanup(c.token.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		text := c.note(fmt.Sprint(md))
		return status.Error([]codes.Code{codes.Unavailable, codes.Unauthenticated, codes.InvalidArgument, codes.InvalidArgument}[calls.Add(1)%4], text)
	}))
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	c.grpcAddr = l.Addr().String()
	return c
}

// ears is everything that was printed and answered, by where.
type ears struct {
	t     *testing.T
	texts map[string]string
}

func (h *ears) add(where, text string) { h.texts[where] += text }

// command runs penstock and keeps what it says.
func (h *ears) command(env []string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(harness.Binary(h.t, harness.Penstock), args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	h.add("penstock "+strings.Join(args, " "), string(out))
	return string(out)
}

// ask makes a request and keeps the whole answer.
func (h *ears) ask(method, url string, body string, header ...string) int {
	h.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	h.add(method+" "+url, fmt.Sprint(resp.Status, resp.Header)+string(text))
	return resp.StatusCode
}

// disguises are the forms in which a secret can hide in a text.
func disguises(secret string) []string {
	out := []string{secret, strings.ToLower(secret), url.QueryEscape(secret), fmt.Sprintf("%x", secret)}
	for pad := range 3 { // at each place that base64 can begin
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("-", pad) + secret))
		out = append(out, text[4:len(text)-4])
	}
	return out
}

// tells fails the test for each secret that text holds.
func (h *ears) tells(where string, text []byte, secrets []string) {
	h.t.Helper()
	low := bytes.ToLower(text)
	for _, s := range secrets {
		for _, d := range disguises(s) {
			in := text
			if d == strings.ToLower(d) {
				in = low
			}
			if i := bytes.Index(in, []byte(d)); i >= 0 {
				h.t.Errorf("%s tells the secret %s as %q: …%q…", where, s, d, text[max(0, i-200):min(len(text), i+len(d)+40)])
				break
			}
		}
	}
}

// TestNoSecretIsToldAnywhere runs real processes whose every secret is a plant, has
// them log at debug and fail in every way in which a secret could come into a text,
// and looks for the plants in all that they print, answer, log and store.
func TestNoSecretIsToldAnywhere(t *testing.T) {
	TestEverySecretKeyHasAPlant(t)
	dir := t.TempDir()
	h := &ears{t: t, texts: map[string]string{}}
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, []byte(text))
		return path
	}
	keys := filepath.Join(dir, "keys.yaml")
	made := exec.Command(harness.Binary(t, harness.Penstock), "keys", "create", "--file", keys, "--name", "ci", "--roles", "admin,ingest")
	line, err := made.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	at := strings.Index(string(line), "pst_")
	if at < 0 {
		t.Fatalf("penstock keys create prints no key: %s", line)
	}
	key := strings.Fields(string(line)[at:])[0]
	secrets := append(append(slices.Collect(maps.Values(planted)), further...), key[strings.LastIndex(key, "_")+1:])
	slices.Sort(secrets)
	secrets = slices.Compact(secrets) // the token is one in two keys

	t.Setenv("PLANT_PASSWORD", planted["queue.password"])
	token, bearer, client := put("token", planted["queue.token"]+"\n"), put("bearer", plant("BearerFile")), put("client", plant("ClientFile"))
	c := newChatter(t)
	common := "log: {level: debug}\nauth: {keys_file: " + keys + ", anonymous_roles: [ingest, view, operate, admin]}\n"
	fast := "retry: {initial: 50ms, max: 200ms}, breaker: {failures: 0}, on_refusal: dead_letter"
	oauth := func(secret, style string) string {
		return fmt.Sprintf("auth: {oauth2: {token_url: %q, client_id: me, %s, auth_style: %s, params: [{name: audience, value: %s}], tls: {insecure: true}}}",
			c.token.URL, secret, style, planted["destinations[].auth.oauth2.params[].value"])
	}
	header := planted["destinations[].headers[].value"]
	destinations := "destinations:\n" +
		fmt.Sprintf("  - {name: h, protocol: http, endpoints: [%q], headers: [{name: x-key, value: %s}, {name: authorization, value: \"Bearer %s\"}], %s}\n", c.http.URL, header, header, fast) +
		fmt.Sprintf("  - {name: ho, protocol: http, endpoints: [%q], %s, %s}\n", c.http.URL, oauth("client_secret: "+planted["destinations[].auth.oauth2.client_secret"], "header"), fast) +
		fmt.Sprintf("  - {name: hb, protocol: http, endpoints: [%q], auth: {bearer_file: %s}, %s}\n", c.http.URL, bearer, fast) +
		fmt.Sprintf("  - {name: g, protocol: grpc, endpoints: [%q], tls: {insecure: true}, headers: [{name: x-key, value: %s}], %s}\n", c.grpcAddr, header, fast) +
		fmt.Sprintf("  - {name: go, protocol: grpc, endpoints: [%q], tls: {insecure: true}, %s, %s}\n", c.grpcAddr, oauth("client_secret_file: "+client, "params"), fast)

	type process struct {
		*harness.Process
		name, file, text, grpc, http, admin string
	}
	var all []*process
	begin := func(name, binary string, args []string, text string) *process {
		t.Helper()
		p := &process{name: name, text: text, grpc: harness.FreeAddr(t), http: harness.FreeAddr(t), admin: harness.FreeAddr(t)}
		p.text += fmt.Sprintf("admin: {listen: %q}\ngateway: {grpc: {listen: %q}, http: {listen: %q}}\n", p.admin, p.grpc, p.http)
		p.file = put(name+".yaml", p.text)
		p.Process = harness.Start(t, name, harness.Binary(t, binary), append(args, "--config", p.file)...)
		p.Ready("http://"+p.admin+"/readyz", 30*time.Second)
		all = append(all, p)
		return p
	}
	listen, monitor, second := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
	up := begin("up", harness.Penstock, []string{"up"}, common+destinations+
		fmt.Sprintf("queue: {dir: %q, max_bytes: 256MiB, listen: %q, monitor_listen: %q, token: \"${file:%s}\"}\n", filepath.Join(dir, "data-up"), listen, monitor, token))
	begin("worker", harness.Worker, nil, common+"destinations: [{name: mine, protocol: debug}]\n"+
		fmt.Sprintf("queue: {url: \"nats://%s@%s\", monitor_urls: [\"http://%s\"]}\n", planted["queue.url"], listen, monitor))
	// Of an alerter nothing that it tells or asks answers.
	begin("alerter", harness.Alerter, nil, common+
		fmt.Sprintf("queue: {url: \"nats://%s@%s\", monitor_urls: [\"http://%s\"]}\n", planted["queue.url"], listen, monitor)+
		fmt.Sprintf("alerter:\n  rules: [%q]\n  external_url: http://alerts.example\n  link_secret: %q\n", put("rules.yaml", "groups: [{name: g, interval: 1s, rules: [{alert: Always, expr: 'vector(1) > 0', labels: {severity: critical}}]}]\n"), planted["alerter.link_secret"])+
		fmt.Sprintf("  redis: {addrs: [\"127.0.0.1:1\"], sentinel_master: m, password: %q, sentinel_password: %q}\n", planted["alerter.redis.password"], planted["alerter.redis.sentinel_password"])+
		fmt.Sprintf("  alertmanagers: [{name: other, url: %q, headers: [{name: X-Push, value: %q}]}]\n  heartbeat: {url: \"%s/%s\"}\n", c.http.URL, planted["alerter.alertmanagers[].headers[].value"], c.http.URL, planted["alerter.heartbeat.url"]))
	begin("gateway", harness.Gateway, nil, common+
		fmt.Sprintf("queue: {dir: %q, max_bytes: 256MiB, listen: %q, user: u, password: \"${env:PLANT_PASSWORD}\"}\n", filepath.Join(dir, "data-gateway"), second))

	// Telemetry that every destination refuses in all its ways, and logins that are refused.
	for range 12 {
		h.command([]string{"PENSTOCK_TOKEN=" + key}, "send", "--target", up.grpc, "--signal", "logs", "--count", "20", "--batch", "5")
		time.Sleep(50 * time.Millisecond) // groups of their own
	}
	jwt := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://issuer.example","sub":"x","secret":"`+plant("Jwt")+`"}`)) + "." + plant("Jwt")
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("someone:"+plant("BasicPassword")))
	credentials := [][2]string{{"Authorization", "Bearer pst_abcdefgh_" + plant("WrongKey")}, {"X-Api-Key", plant("WrongKey")}, {"Authorization", "Bearer " + plant("Jwt")},
		{"Authorization", "Bearer " + jwt}, {"Authorization", basic}, {"Authorization", plant("WrongKey")}}
	for _, p := range all {
		for _, x := range credentials {
			for _, path := range []string{"/api/v1/status", "/metrics", "/-/reload"} {
				method := http.MethodGet
				if path == "/-/reload" {
					method = http.MethodPost
				}
				if code := h.ask(method, "http://"+p.admin+path, "", x[0], x[1]); code != http.StatusUnauthorized {
					t.Errorf("%s: %s of %s with a wrong credential: %d", p.name, path, x[0], code)
				}
			}
			if p.name != "worker" && p.name != "alerter" {
				h.ask(http.MethodPost, "http://"+p.http+"/v1/logs", "{}", x[0], x[1], "Content-Type", "application/json")
			}
			h.command([]string{"PENSTOCK_TOKEN=" + strings.TrimPrefix(x[1], "Bearer ")}, "status", "--admin", p.admin)
		}
	}
	harness.Until(t, 60*time.Second, func() string { return "every secret was used, and repeated by who got it" }, func() bool {
		for _, s := range []string{header, plant("BearerFile"), plant("AccessToken"), plant("ClientFile"), planted["destinations[].auth.oauth2.params[].value"],
			base64.StdEncoding.EncodeToString([]byte("me:" + planted["destinations[].auth.oauth2.client_secret"]))} {
			if !c.saw(s) {
				return false
			}
		}
		return strings.Contains(h.command(nil, "dlq", "ls", "--admin", up.admin), "HTTP 400")
	})

	// Everything that shows something.
	for _, p := range all {
		for _, path := range []string{"/", "/metrics", "/livez", "/readyz?verbose", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1",
			"/api/v1/status", "/api/v1/status/config?format=yaml", "/api/v1/status/config?format=json", "/api/v1/processes", "/api/v1/destinations", "/api/v1/dlq", "/api/v1/ledger", "/api/v1/jobs"} {
			if code := h.ask(http.MethodGet, "http://"+p.admin+path, ""); code != http.StatusOK && code != http.StatusNotFound {
				t.Errorf("%s %s: %d", p.name, path, code)
			}
		}
		for _, args := range [][]string{{"status"}, {"status", "-o", "json"}, {"status", "--check"}, {"destination", "ls"}, {"dlq", "ls", "-o", "json"}, {"ledger", "show"}, {"audit", "ls", "-o", "json"}} {
			h.command(nil, append(args, "--admin", p.admin)...)
		}
		for _, format := range []string{"yaml", "json"} {
			if out := h.command(nil, "config", "print", "--config", p.file, "-o", format); !strings.Contains(out, config.Redacted) && p.name == "up" {
				t.Errorf("config print shows no redacted key:\n%s", out)
			}
		}
		h.command(nil, "config", "validate", p.file)
	}

	// Reloads: good ones with other secrets, and bad ones with secrets at the mistake.
	for _, p := range all {
		writeFile(t, p.file, []byte(strings.NewReplacer(header, plant("Reloaded"), "level: debug", "level: info").Replace(p.text)))
		if code := h.ask(http.MethodPost, "http://"+p.admin+"/-/reload", ""); code != http.StatusOK {
			t.Errorf("%s: a good reload: %d %s", p.name, code, h.texts["POST http://"+p.admin+"/-/reload"])
		}
		if p == up { // whoever gets the new one repeats it too
			h.command([]string{"PENSTOCK_TOKEN=" + key}, "send", "--target", up.grpc, "--signal", "logs", "--count", "5", "--batch", "5")
			harness.Until(t, 30*time.Second, func() string { return "the header of the reload was sent" }, func() bool { return c.saw(plant("Reloaded")) })
		}
		secret := plant("OutOfPlace")
		for _, bad := range []string{
			"queue: {token: [" + secret + "]}", "queue: {token: *" + secret + "}", "queue: {token: \"" + secret, "queue: {token: @" + secret + "}",
			"queue: {token: {a: " + secret + "}}", "queue: {token: \"${" + secret + "}\"}", "queue:\n  token: |" + secret + "\n", "queue: {url: \"nats://u:" + secret + "@h:99999999\"}",
			"queue: {url: \"nats://u:" + secret + "@%zz\", listen: \"x:1\"}", "queue: {url: \"nats://" + secret + "@h\", user: u, password: p}",
			"destinations: [{name: a, protocol: http, endpoints: [\"http://u:" + secret + "@h\"]}]", "destinations: [{name: a, endpoints: [\"h:1\"], headers: [{name: x, value: \"" + secret + "\\n\"}]}]",
			"destinations: [{name: a, endpoints: [\"h:1\"], headers: {x: " + secret + "}}]", "destinations: [{name: a, endpoints: [\"h:1\"], headers: [{name: x, value: [" + secret + "]}]}]",
			"destinations: [{name: a, protocol: http, endpoints: [\"http://h/?key=" + secret + "\"]}]",
			"destinations: [{name: a, endpoints: [\"h:1\"], auth: {oauth2: {token_url: \"http://u:" + secret + "@h/\", client_id: a, client_secret: " + secret + "}}}]",
		} {
			writeFile(t, p.file, []byte(p.text+bad+"\n"+"nonsense: 1\n"))
			if code := h.ask(http.MethodPost, "http://"+p.admin+"/-/reload", ""); code != http.StatusUnprocessableEntity {
				t.Errorf("%s: a bad reload of %q: %d", p.name, bad, code)
			}
			writeFile(t, p.file, []byte(bad+"\n")) // without the rest, so that this is the mistake
			h.ask(http.MethodPost, "http://"+p.admin+"/-/reload", "")
			h.command(nil, "config", "validate", p.file)
			h.command(nil, "reload", "--admin", p.admin)
		}
		p.Signal(syscall.SIGHUP)
	}
	for i := len(all) - 1; i >= 0; i-- {
		all[i].Stop(30 * time.Second)
		log := all[i].Log()
		if strings.Contains(log, "panic") {
			t.Errorf("%s panicked", all[i].name)
		}
		h.add("the log of "+all[i].name, log)
	}

	// What was said, and what lies on the disk.
	log := h.texts["the log of up"]
	for _, want := range []string{marker, "level=DEBUG", "configuration refused", "invalid_client", "outcome=applied"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s: the test proves nothing", want)
		}
	}
	for where, text := range h.texts {
		h.tells(where, []byte(text), secrets)
	}
	files, found := 0, false
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasPrefix(d.Name(), "core") {
			t.Errorf("there is a core file: %s", path)
		}
		if !strings.Contains(path, "data-") {
			return nil // the test's own
		}
		b, err := os.ReadFile(path)
		files++
		found = found || bytes.Contains(b, []byte(marker))
		h.tells(path, b, secrets)
		return err
	})
	if err != nil || files < 10 || !found {
		t.Errorf("%v; looked at %d stored files, the marker of a failure is in one: %t", err, files, found)
	}
}
