package integration

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/integration/harness"
)

const logsMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

// logWith is a request with one log record.
func logWith(body string) *collectorlogs.ExportLogsServiceRequest {
	return &collectorlogs.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{ScopeLogs: []*logs.ScopeLogs{{LogRecords: []*logs.LogRecord{
		{TimeUnixNano: uint64(time.Now().UnixNano()), Body: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: body}}}}}}}}}
}

// arrived waits until the backend has each of the texts.
func arrived(t *testing.T, sink *harness.Sink, texts ...string) {
	t.Helper()
	for _, text := range texts {
		harness.Until(t, 20*time.Second, func() string { return fmt.Sprintf("%q arrives", text) }, func() bool { return has(sink, text) })
	}
}

func has(sink *harness.Sink, text string) bool {
	for _, b := range sink.Bodies() {
		if bytes.Contains(b.Bytes, []byte(text)) {
			return true
		}
	}
	return false
}

// TestGRPCWebClient: connect-go's client of gRPC-Web, plain and with gzip, and
// what it makes of a refusal.
func TestGRPCWebClient(t *testing.T) {
	sink := harness.NewSink(t)
	sink.Keep()
	up := harness.NewUp(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "1GiB"}, sink)
	up.Start()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for name, options := range map[string][]connect.ClientOption{
		"plain": {connect.WithGRPCWeb()}, "gzip": {connect.WithGRPCWeb(), connect.WithSendGzip()},
	} {
		c := connect.NewClient[collectorlogs.ExportLogsServiceRequest, collectorlogs.ExportLogsServiceResponse](http.DefaultClient, "http://"+up.HTTPAddr+logsMethod, options...)
		reply, err := c.CallUnary(ctx, connect.NewRequest(logWith("by connect, "+name)))
		if err != nil || proto.Size(reply.Msg) != 0 {
			t.Errorf("%s: %v %v", name, reply, err)
		}
		bad := logWith("bad")
		bad.ResourceLogs[0].ScopeLogs[0].LogRecords[0].TraceId = []byte{1, 2, 3} // fine by protobuf
		bad.ResourceLogs[0].ProtoReflect().SetUnknown([]byte{0x0b})              // a group that never ends
		_, err = c.CallUnary(ctx, connect.NewRequest(bad))
		var refusal *connect.Error
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Fatalf("%s: %v", name, err)
		}
		refusal = err.(*connect.Error)
		if len(refusal.Details()) != 1 {
			t.Fatalf("%s: %v has %d details", name, err, len(refusal.Details()))
		}
		if detail, err := refusal.Details()[0].Value(); err != nil || detail.ProtoReflect().Descriptor().FullName() != (&errdetails.BadRequest{}).ProtoReflect().Descriptor().FullName() {
			t.Errorf("%s: %v %v", name, detail, err)
		}
	}
	arrived(t, sink, "by connect, plain", "by connect, gzip")
	up.Terminate()
}

// page sends by every way a script has, and tells its own server how that went.
const page = `<!doctype html><script>
const gateway = %q, protobuf = Uint8Array.from(atob(%q), c => c.charCodeAt(0)), frame = Uint8Array.from(atob(%q), c => c.charCodeAt(0)), text = %q, beacon = %q;
const result = {};
async function note(name, f) { try { result[name] = await f() } catch (e) { result[name] = String(e) } }
(async () => {
  await note('protobuf', async () => (await fetch(gateway + '/v1/logs', {method: 'POST', headers: {'Content-Type': 'application/x-protobuf', 'X-Api-Key': 'k'}, body: protobuf})).status);
  await note('refusal', async () => { const r = await fetch(gateway + '/v1/logs', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{'}); return r.status + ' ' + (await r.json()).code });
  await note('web', async () => { const r = await fetch(gateway + %q, {method: 'POST', headers: {'Content-Type': 'application/grpc-web+proto', 'X-Grpc-Web': '1', 'Grpc-Timeout': '20S'}, body: frame}); return new TextDecoder().decode((await r.arrayBuffer()).slice(10)) });
  await note('text', async () => { const r = await fetch(gateway + %q, {method: 'POST', headers: {'Content-Type': 'application/grpc-web-text'}, body: text}); return atob(await r.text()).slice(10) });
  await note('beacon', async () => navigator.sendBeacon(gateway + '/v1/logs', new Blob([beacon], {type: 'application/json'})));
  await fetch('/done', {method: 'POST', body: JSON.stringify(result)});
})();
</script>`

// TestBrowser: a page in Chromium, of an origin that is allowed and of one that
// is not, with real preflights.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Fatalf("%v: install Debian's chromium-headless-shell; what browsers do cannot be tested by anything else", err)
	}
	friend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PENSTOCK_GATEWAY_HTTP_CORS_ORIGINS", "http://*.example.com,http://"+friend.Addr().String())
	sink := harness.NewSink(t)
	sink.Keep()
	up := harness.NewUp(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "1GiB"}, sink)
	up.Start()

	visit := func(l net.Listener, who string) map[string]any {
		t.Helper()
		encoded := func(body string) []byte {
			b, err := proto.Marshal(logWith(who + " by " + body))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		framed := func(b []byte) []byte { return append([]byte{0, 0, 0, 0, byte(len(b))}, b...) } // under 256 bytes
		b64 := base64.StdEncoding.EncodeToString
		html := fmt.Sprintf(page, "http://"+up.HTTPAddr, b64(encoded("protobuf")), b64(framed(encoded("web"))), b64(framed(encoded("text"))),
			fmt.Sprintf(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"%s by beacon"}}]}]}]}`, who), logsMethod, logsMethod)
		results := make(chan map[string]any, 1)
		mux := http.NewServeMux()
		mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(html)) // a browser that left is seen below
		})
		mux.HandleFunc("POST /done", func(_ http.ResponseWriter, r *http.Request) {
			var m map[string]any
			if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
				t.Error(err)
			}
			results <- m
		})
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = server.Serve(l) }() // until Close below
		defer server.Close()
		browser := harness.Start(t, "chromium", chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
			"--user-data-dir="+filepath.Join(t.TempDir(), who), "--remote-debugging-port=0", "http://"+l.Addr().String()+"/")
		defer browser.Kill()
		select {
		case m := <-results:
			return m
		case <-time.After(60 * time.Second):
			t.Fatalf("the page of %s told nothing within 60 s:\n%s", who, browser.Log())
			return nil
		}
	}
	m := visit(friend, "friend")
	want := map[string]any{"protobuf": 200.0, "refusal": "400 3", "web": "grpc-status:0\r\n", "text": "grpc-status:0\r\n", "beacon": true}
	for name, w := range want {
		if m[name] != w {
			t.Errorf("%s of the friend: %q, want %q", name, m[name], w)
		}
	}
	arrived(t, sink, "friend by protobuf", "friend by web", "friend by text", "friend by beacon")
	m = visit(stranger, "stranger")
	for _, name := range []string{"protobuf", "refusal", "web", "text"} {
		if s, _ := m[name].(string); !strings.Contains(s, "Failed to fetch") {
			t.Errorf("%s of the stranger: %q, want the browser to refuse it", name, m[name])
		}
	}
	// All that the gateway was sent has arrived; of the stranger it was sent nothing.
	if err := harness.Client(t, up.GRPCAddr, up.HTTPAddr, true)(); err != nil {
		t.Fatal(err)
	}
	harness.Until(t, 20*time.Second, func() string { return "what came last arrives" }, func() bool { return sink.Arrived().Items >= 20+4 })
	if has(sink, "stranger") {
		t.Error("something of the stranger's page arrived")
	}
	up.Terminate()
}
