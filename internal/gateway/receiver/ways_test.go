package receiver

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// bigLog is a request with a log record for each of the bodies.
func bigLog(t testing.TB, bodies ...string) []byte {
	t.Helper()
	sl := &logs.ScopeLogs{}
	for _, b := range bodies {
		sl.LogRecords = append(sl.LogRecords, &logs.LogRecord{TimeUnixNano: 1, Body: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: b}}})
	}
	return encoded(t, &collogs.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{ScopeLogs: []*logs.ScopeLogs{sl}}}})
}

func TestGRPCStoresEverySignalInEveryCompression(t *testing.T) {
	for _, name := range []string{"", "gzip", "zstd", "snappy"} {
		t.Run("compression "+name, func(t *testing.T) {
			d := open(t)
			c := d.dial(t)
			for _, s := range otlp.Signals {
				var want []byte
				items := 0
				for _, n := range []int{1, 40, 1000} {
					b := encoded(t, decode(t, s, request(s, n))) // as the client encodes it
					want, items = append(want, b...), items+n
					var opts []grpc.CallOption
					if name != "" {
						opts = append(opts, grpc.UseCompressor(name))
					}
					reply, err := export(testContext(t), t, c, s, b, opts...)
					if err != nil {
						t.Fatalf("%s: %v", s, err)
					}
					if proto.Size(reply) != 0 {
						t.Errorf("%s: full success is answered with %v", s, reply)
					}
				}
				got, n := d.stored(t, s)
				if !bytes.Equal(got, want) || n != items {
					t.Errorf("%s: %d bytes of %d items are stored, sent were %d of %d", s, len(got), n, len(want), items)
				}
				if n := d.count(t, "accepted_"+s.Items()+"_total", "transport", "grpc"); n != float64(items) {
					t.Errorf("%v %s are counted as accepted, want %d", n, s.Items(), items)
				}
				if n := d.count(t, "request_bytes_total", "signal", s.String(), "transport", "grpc"); n != float64(len(want)) {
					t.Errorf("%v bytes are counted, want %d", n, len(want))
				}
			}
		})
	}
}

func TestHTTPStoresEverySignalInEveryForm(t *testing.T) {
	serverTLS, clientTLS := certificates(t)
	for _, protocol := range []string{"h1", "h2c", "tls"} {
		t.Run(protocol, func(t *testing.T) {
			var use *tls.Config
			scheme, version := "http://", "HTTP/2.0"
			if protocol == "h1" {
				version = "HTTP/1.1"
			}
			if protocol == "tls" {
				use, scheme = serverTLS, "https://"
			}
			d := open(t, func(s *setup) { s.tls = use })
			c := client(t, protocol, clientTLS)
			for _, s := range otlp.Signals {
				var want []byte
				url := scheme + d.h.Addr().String() + "/v1/" + s.String()
				for _, encoding := range []string{"", "identity", "gzip", "zstd", "br", "deflate", "snappy", "x-snappy-framed"} {
					for i, contentType := range []string{typeProtobuf, typeJSON, "application/json; charset=utf-8"} {
						b := request(s, 10+i)
						want = append(want, b...)
						if i > 0 {
							b = jsonOf(t, s, b)
						}
						a, err := post(testContext(t), t, c, url, contentType, encoding, bytes.NewReader(pack(t, encoding, b)))
						if err != nil {
							t.Fatal(err)
						}
						success, wantType := "", typeProtobuf
						if i > 0 {
							success, wantType = "{}", typeJSON
						}
						if a.code != http.StatusOK || string(a.body) != success || a.header.Get("Content-Type") != wantType || a.proto != version {
							t.Errorf("%s %s %q: %d %v %q over %s", s, contentType, encoding, a.code, a.header, a.body, a.proto)
						}
					}
				}
				// From JSON comes another order of fields, with the same content.
				got, _ := d.stored(t, s)
				if !bytes.Equal(jsonOf(t, s, got), jsonOf(t, s, want)) {
					t.Errorf("%s: what is stored differs from what was sent", s)
				}
			}
		})
	}
}

func TestHTTPStoresTheBytesOfProtobuf(t *testing.T) {
	d := open(t)
	var want []byte
	for i, encoding := range []string{"", "gzip", "zstd", "br", "deflate", "snappy"} {
		b := request(otlp.Traces, 10+3000*(i%2))
		want = append(want, b...)
		if a := d.send(t, otlp.Traces, typeProtobuf, encoding, pack(t, encoding, b)); a.code != http.StatusOK {
			t.Errorf("%q: %d %q", encoding, a.code, a.body)
		}
	}
	if got, _ := d.stored(t, otlp.Traces); !bytes.Equal(got, want) {
		t.Errorf("%d bytes are stored, sent were %d", len(got), len(want))
	}
}

func TestTLSOverGRPC(t *testing.T) {
	serverTLS, clientTLS := certificates(t)
	d := open(t, func(s *setup) { s.tls = serverTLS })
	b := request(otlp.Logs, 20)
	if _, err := export(testContext(t), t, d.dial(t, withTLS(clientTLS)), otlp.Logs, b); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.stored(t, otlp.Logs); !bytes.Equal(got, b) {
		t.Error("what is stored differs")
	}
	if _, err := export(testContext(t), t, d.dial(t), otlp.Logs, b); err == nil {
		t.Error("a client without TLS was answered")
	}
}

// A later OTLP has fields that this program does not know: they go through.
func TestUnknownFieldsSurvive(t *testing.T) {
	unknown := func(b []byte) []byte { // number 1000, of each wire type
		b = protowire.AppendVarint(protowire.AppendTag(b, 1000, protowire.VarintType), 77)
		b = protowire.AppendFixed32(protowire.AppendTag(b, 1001, protowire.Fixed32Type), 7)
		b = protowire.AppendFixed64(protowire.AppendTag(b, 1002, protowire.Fixed64Type), 7)
		return protowire.AppendBytes(protowire.AppendTag(b, 1003, protowire.BytesType), []byte("of 2030"))
	}
	within := func(n protowire.Number, inner []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), unknown(inner))
	}
	span := protowire.AppendString(protowire.AppendTag(nil, 5, protowire.BytesType), "GET /")
	b := unknown(within(1, within(2, within(2, span))))
	d := open(t)
	if err := exportBytes(testContext(t), d.dial(t), otlp.Traces, b); err != nil {
		t.Fatal(err)
	}
	if a := d.send(t, otlp.Traces, typeProtobuf, "gzip", pack(t, "gzip", b)); a.code != http.StatusOK {
		t.Fatal(a)
	}
	if got, items := d.stored(t, otlp.Traces); !bytes.Equal(got, append(b, b...)) || items != 2 {
		t.Errorf("%x is stored of %d items, sent was %x twice", got, items, b)
	}
}

func TestEmptyRequestsSucceedAndAreNotStored(t *testing.T) {
	d := open(t)
	c := d.dial(t)
	f := func(s otlp.Signal, b []byte, text string) {
		t.Helper()
		if err := exportBytes(testContext(t), c, s, b); err != nil {
			t.Errorf("%s %x: %v", s, b, err)
		}
		if a := d.send(t, s, typeProtobuf, "", b); a.code != http.StatusOK || len(a.body) != 0 {
			t.Errorf("%s %x: %d %q", s, b, a.code, a.body)
		}
		if a := d.send(t, s, typeJSON, "", []byte(text)); a.code != http.StatusOK || string(a.body) != "{}" {
			t.Errorf("%s %s: %d %q", s, text, a.code, a.body)
		}
	}
	f(otlp.Traces, nil, `{}`)
	f(otlp.Metrics, nil, `{"resourceMetrics":[]}`)
	f(otlp.Logs, nil, ` {"unknown": [1, {"a": null}]} `)
	f(otlp.Traces, []byte{0x0a, 0}, `{"resourceSpans":[{}]}`) // a resource without spans
	for _, s := range otlp.Signals {
		if _, items := d.stored(t, s); items != 0 {
			t.Errorf("%d %s are stored", items, s.Items())
		}
	}
	if n := d.count(t, "requests_total", "outcome", "empty"); n != 12 {
		t.Errorf("%v requests are counted as empty, want 12", n)
	}
}

// OTLP JSON: ids are hex in either case, 64-bit integers strings or numbers.
func TestJSONIDsAreHex(t *testing.T) {
	d := open(t)
	a := d.send(t, otlp.Traces, typeJSON, "", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[
		{"traceId":"5B8EFFF798038103d269b633813fc60c","spanId":"EEE19B7EC3C1B174","parentSpanId":"eee19b7ec3c1b173",
		 "name":"I","kind":2,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,"new":{}}]}]}]}`))
	if a.code != http.StatusOK {
		t.Fatal(a.code, string(a.body))
	}
	b, _ := d.stored(t, otlp.Traces)
	span := decode(t, otlp.Traces, b).(*coltrace.ExportTraceServiceRequest).ResourceSpans[0].ScopeSpans[0].Spans[0]
	if got := hex.EncodeToString(span.TraceId) + hex.EncodeToString(span.SpanId) + hex.EncodeToString(span.ParentSpanId); got != "5b8efff798038103d269b633813fc60ceee19b7ec3c1b174eee19b7ec3c1b173" {
		t.Errorf("ids are %s", got)
	}
	if span.StartTimeUnixNano != 1544712660000000000 || span.EndTimeUnixNano != 1544712661000000000 || span.Kind != 2 {
		t.Errorf("span is %v", span)
	}
}

func TestTextThatIsNotUTF8(t *testing.T) {
	bad := bytes.ReplaceAll(bigLog(t, "caf__ au lait"), []byte("__"), []byte{0xc3, 0x28})
	want := bytes.ReplaceAll(bytes.Clone(bad), []byte{0xc3, 0x28}, []byte("?("))
	t.Run("is repaired and counted", func(t *testing.T) {
		d := open(t)
		if err := exportBytes(testContext(t), d.dial(t), otlp.Logs, bad); err != nil {
			t.Fatal(err)
		}
		a := d.send(t, otlp.Logs, typeProtobuf, "", bad)
		if a.code != http.StatusOK {
			t.Fatal(a)
		}
		if rejected, warning, err := otlp.ParseResponse(a.body); err != nil || rejected != 0 || !strings.Contains(warning, "1 texts were not UTF-8") {
			t.Errorf("the answer warns by %d rejected, %q, %v", rejected, warning, err)
		}
		if got, _ := d.stored(t, otlp.Logs); !bytes.Equal(got, append(want, want...)) {
			t.Errorf("stored is %q, want %q twice", got, want)
		}
		if n := d.count(t, "repaired_strings_total"); n != 2 {
			t.Errorf("%v strings are counted as repaired, want 2", n)
		}
	})
	t.Run("is refused when asked for", func(t *testing.T) {
		d := open(t, func(s *setup) { s.limits.RejectBadUTF8 = true })
		st := refusedHTTP(t, "bad UTF-8", d.send(t, otlp.Logs, typeProtobuf, "", bad), typeProtobuf, http.StatusBadRequest, false)
		if !strings.Contains(st.GetMessage(), "UTF-8") {
			t.Error(st)
		}
		if n := d.count(t, "requests_total", "outcome", "malformed"); n != 1 {
			t.Errorf("%v requests are counted as malformed", n)
		}
	})
}
