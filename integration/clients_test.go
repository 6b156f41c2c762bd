package integration

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"

	"github.com/penstock-otel/penstock/integration/harness"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// blocks counts the Resource{Spans,Metrics,Logs} of requests by their bytes.
// Requests are merged on their way; a block comes out as it went in.
func blocks(t *testing.T, bodies []harness.Body) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, b := range bodies {
		for rest := b.Bytes; len(rest) > 0; {
			num, typ, n := protowire.ConsumeField(rest)
			if n < 0 {
				t.Fatalf("%s of %d bytes: %v", b.Signal, len(b.Bytes), protowire.ParseError(n))
			}
			if num == 1 && typ == protowire.BytesType {
				out[b.Signal.String()+string(rest[:n])]++
			}
			rest = rest[n:]
		}
	}
	return out
}

// items of all bodies.
func items(t *testing.T, bodies []harness.Body) (n int) {
	t.Helper()
	for _, b := range bodies {
		k, err := sample.Count(b.Signal, b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	return n
}

// assertSame waits until every block that was sent arrived with the same bytes,
// as often as it was sent, and nothing else did.
func assertSame(t *testing.T, sent []harness.Body, sink *harness.Sink) {
	t.Helper()
	want := blocks(t, sent)
	if len(want) == 0 {
		t.Fatal("the client sent nothing")
	}
	var got map[string]int
	harness.Until(t, 20*time.Second,
		func() string {
			return "what arrived is not what was sent: " + compare(want, got)
		},
		func() bool {
			got = blocks(t, sink.Bodies())
			return compare(want, got) == ""
		})
}

func compare(want, got map[string]int) string {
	for b, n := range want {
		if got[b] != n {
			return strings.ToValidUTF8("a block was sent and did not arrive as often: "+b[:min(len(b), 300)], "·")
		}
	}
	for b := range got {
		if want[b] == 0 {
			return strings.ToValidUTF8("a block arrived that was not sent: "+b[:min(len(b), 300)], "·")
		}
	}
	return ""
}

// clientTest is penstock up with a recorder before and a sink behind it.
func clientTest(t *testing.T, gzip bool) (*harness.Role, *harness.Recorder, *harness.Sink) {
	t.Helper()
	sink := harness.NewSink(t)
	sink.Keep()
	up := harness.NewUp(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "1GiB"}, sink)
	up.Start()
	return up, harness.NewRecorder(t, up.GRPCAddr, up.HTTPAddr, gzip), sink
}

// TestSDK: the OpenTelemetry SDK of Go, every signal and transport.
func TestSDK(t *testing.T) {
	for _, compression := range []string{"none", "gzip"} {
		t.Run(compression, func(t *testing.T) {
			up, recorder, sink := clientTest(t, compression == "gzip")
			for transport, addr := range map[string]string{"grpc": recorder.GRPCAddr, "http": recorder.HTTPAddr} {
				sdkTraces(t, transport, addr, compression)
				sdkMetrics(t, transport, addr, compression)
				sdkLogs(t, transport, addr, compression)
			}
			assertSame(t, recorder.Bodies(), sink)
			if n := items(t, recorder.Bodies()); n < 2*(sdkItems+sdkItems) {
				t.Errorf("the SDK sent %d items", n)
			}
			up.Terminate()
		})
	}
}

// TestTelemetrygen: the load generator of the OpenTelemetry Collector.
func TestTelemetrygen(t *testing.T) {
	up, recorder, sink := clientTest(t, false)
	bin := harness.Binary(t, harness.Telemetrygen)
	want := 0
	for _, signal := range []string{"traces", "metrics", "logs"} {
		for _, to := range [][]string{{"--otlp-endpoint", recorder.GRPCAddr}, {"--otlp-http", "--otlp-endpoint", recorder.HTTPAddr}} {
			p := harness.Start(t, "telemetrygen", bin, append([]string{signal, "--" + signal, "20", "--rate", "0", "--otlp-insecure"}, to...)...)
			if code := p.Wait(60 * time.Second); code != 0 {
				t.Fatalf("telemetrygen %s %v ended with code %d:\n%s", signal, to, code, p.Log())
			}
			want += 20
		}
	}
	assertSame(t, recorder.Bodies(), sink)
	if n := items(t, sink.Bodies()); n < want {
		t.Errorf("%d items arrived, want %d or more", n, want)
	}
	up.Terminate()
}

// TestPdata: the Collector's own data model as a client.
func TestPdata(t *testing.T) {
	up, recorder, sink := clientTest(t, true)
	sendPdata(t, recorder.GRPCAddr)
	assertSame(t, recorder.Bodies(), sink)
	if n := items(t, sink.Bodies()); n != 3*pdataItems {
		t.Errorf("%d items arrived, want %d", n, 3*pdataItems)
	}
	up.Terminate()
}

// jsonOf is the OTLP JSON of an encoded request, written by the Collector.
func jsonOf(t *testing.T, sig otlp.Signal, body []byte) []byte {
	t.Helper()
	type request interface {
		UnmarshalProto([]byte) error
		MarshalJSON() ([]byte, error)
	}
	r := [...]request{otlp.Traces: ptraceotlp.NewExportRequest(), otlp.Metrics: pmetricotlp.NewExportRequest(), otlp.Logs: plogotlp.NewExportRequest()}[sig]
	if err := r.UnmarshalProto(body); err != nil {
		t.Fatal(err)
	}
	b, err := r.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCurlWithJSON: what a shell script sends means the same when it arrives.
func TestCurlWithJSON(t *testing.T) {
	up, _, sink := clientTest(t, false)
	for _, sig := range otlp.Signals {
		body := sample.New(5, sample.Shape{Source: 77, Resources: 3, PointIDs: true}).Append(nil, sig, 25, time.Now())
		file := filepath.Join(t.TempDir(), "body.json")
		writeFile(t, file, jsonOf(t, sig, body))
		out, err := exec.Command("curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "20",
			"--header", "Content-Type: application/json", "--data-binary", "@"+file, "http://"+up.HTTPAddr+"/v1/"+sig.String()).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "{}" && strings.TrimSpace(string(out)) != `{"partialSuccess":{}}` {
			t.Fatalf("curl %s: %v: %s", sig, err, out)
		}
		want := harness.NewRequest(sig)
		if err := proto.Unmarshal(body, want); err != nil {
			t.Fatal(err)
		}
		dropEmpty(want.ProtoReflect())
		got := harness.NewRequest(sig)
		harness.Until(t, 20*time.Second, func() string { return sig.String() + " that mean the same did not arrive" }, func() bool {
			proto.Reset(got)
			for _, b := range sink.Bodies() {
				if b.Signal == sig {
					if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(b.Bytes, got); err != nil {
						t.Fatal(err)
					}
				}
			}
			dropEmpty(got.ProtoReflect())
			return proto.Equal(want, got)
		})
	}
	up.Terminate()
}

// dropEmpty removes messages without content, as a status that is not set: JSON
// writers differ in whether they write them, and they mean the same as none.
func dropEmpty(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				dropEmpty(v.List().Get(i).Message())
			}
		default:
			dropEmpty(v.Message())
			if f.ContainingOneof() == nil && proto.Size(v.Message().Interface()) == 0 {
				m.Clear(f)
			}
		}
		return true
	})
}

// TestUnknownFieldsSurvive: I6. Fields of a later OTLP, at every depth, arrive
// as they were sent.
func TestUnknownFieldsSurvive(t *testing.T) {
	up, _, sink := clientTest(t, false)
	var req collectortrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(sample.New(1, sample.Shape{Source: 78, Resources: 2}).Append(nil, otlp.Traces, 9, time.Now()), &req); err != nil {
		t.Fatal(err)
	}
	unknown := func(m proto.Message, text string) {
		b := protowire.AppendTag(nil, 4001, protowire.BytesType)
		b = protowire.AppendString(b, text)
		b = protowire.AppendTag(b, 4002, protowire.VarintType)
		m.ProtoReflect().SetUnknown(protowire.AppendVarint(b, 1<<40))
	}
	unknown(&req, "in the request")
	for _, rs := range req.ResourceSpans {
		unknown(rs, "in ResourceSpans")
		unknown(rs.Resource, "in Resource")
		unknown(rs.Resource.Attributes[0], "in KeyValue")
		unknown(rs.ScopeSpans[0], "in ScopeSpans")
		for _, s := range rs.ScopeSpans[0].Spans {
			unknown(s, "in Span")
			unknown(s.Attributes[0].Value, "in AnyValue")
		}
	}
	body, err := proto.Marshal(&req)
	if err != nil {
		t.Fatal(err)
	}
	harness.Send(t, up.GRPCAddr, otlp.Traces, body, false)
	assertSame(t, []harness.Body{{Signal: otlp.Traces, Bytes: body}}, sink)
	if !bytes.Contains(sink.Bodies()[0].Bytes, []byte("in the request")) {
		t.Error("the unknown field of the request itself did not survive")
	}
	up.Terminate()
}
