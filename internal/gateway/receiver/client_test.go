package receiver

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
)

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// dial connects an official gRPC client.
func (d *door) dial(t testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	all := append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)
	c, err := grpc.NewClient("passthrough:///"+d.g.Addr().String(), all...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func withTLS(c *tls.Config) grpc.DialOption {
	return grpc.WithTransportCredentials(credentials.NewTLS(c))
}

// official is a request or response of the official types.
func official(s otlp.Signal) (request, response proto.Message) {
	switch s {
	case otlp.Traces:
		return new(coltrace.ExportTraceServiceRequest), new(coltrace.ExportTraceServiceResponse)
	case otlp.Metrics:
		return new(colmetrics.ExportMetricsServiceRequest), new(colmetrics.ExportMetricsServiceResponse)
	}
	return new(collogs.ExportLogsServiceRequest), new(collogs.ExportLogsServiceResponse)
}

func decode(t testing.TB, s otlp.Signal, b []byte) proto.Message {
	t.Helper()
	m, _ := official(s)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// export sends a request with the official generated client.
func export(ctx context.Context, t testing.TB, c *grpc.ClientConn, s otlp.Signal, b []byte, opts ...grpc.CallOption) (proto.Message, error) {
	t.Helper()
	switch m := decode(t, s, b).(type) {
	case *coltrace.ExportTraceServiceRequest:
		return coltrace.NewTraceServiceClient(c).Export(ctx, m, opts...)
	case *colmetrics.ExportMetricsServiceRequest:
		return colmetrics.NewMetricsServiceClient(c).Export(ctx, m, opts...)
	default:
		return collogs.NewLogsServiceClient(c).Export(ctx, m.(*collogs.ExportLogsServiceRequest), opts...)
	}
}

// exportBytes sends bytes, whatever they are.
func exportBytes(ctx context.Context, c *grpc.ClientConn, s otlp.Signal, b []byte, opts ...grpc.CallOption) error {
	_, reply := official(s)
	return c.Invoke(ctx, grpcwire.Method(s), grpcwire.NewFrame(b), reply, append(opts, grpc.ForceCodecV2(grpcwire.Codec{}))...)
}

// refusedRPC asserts the code of an answer, and whether it asks to wait.
func refusedRPC(t testing.TB, what string, err error, code codes.Code, wait bool) *status.Status {
	t.Helper()
	st := status.Convert(err)
	info := detail[*errdetails.RetryInfo](st.Proto())
	if st.Code() != code || (info != nil) != wait || wait && info.GetRetryDelay().AsDuration() <= 0 {
		t.Errorf("%s: %v, retry info %v; want %v, wait %v", what, err, info, code, wait)
	}
	return st
}

func detail[M proto.Message](st *spb.Status) (found M) {
	for _, a := range st.GetDetails() {
		if m, err := a.UnmarshalNew(); err == nil {
			if m, ok := m.(M); ok {
				return m
			}
		}
	}
	return found
}

// httpAnswer is one over HTTP.
type httpAnswer struct {
	code   int
	header http.Header
	body   []byte
	proto  string
}

// client is an HTTP client of one protocol: h1, h2c or tls.
func client(t testing.TB, protocol string, c *tls.Config) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: c, DisableCompression: true, Protocols: new(http.Protocols)}
	switch protocol {
	case "h1":
		tr.Protocols.SetHTTP1(true)
	case "h2c":
		tr.Protocols.SetUnencryptedHTTP2(true)
	case "tls":
		tr.Protocols.SetHTTP2(true)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func (d *door) url(path string) string { return "http://" + d.h.Addr().String() + path }

// post sends one request.
func post(ctx context.Context, t testing.TB, c *http.Client, url, contentType, encoding string, body io.Reader) (httpAnswer, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	return do(c, r)
}

func do(c *http.Client, r *http.Request) (httpAnswer, error) {
	resp, err := c.Do(r)
	if err != nil {
		return httpAnswer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return httpAnswer{resp.StatusCode, resp.Header, b, resp.Proto}, err
}

// send posts a request of a signal and fails when there is no answer.
func (d *door) send(t testing.TB, s otlp.Signal, contentType, encoding string, body []byte) httpAnswer {
	t.Helper()
	a, err := post(testContext(t), t, client(t, "h1", nil), d.url("/v1/"+s.String()), contentType, encoding, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// refusedHTTP asserts the status code of an answer, that its body is a Status in
// the content type, and whether it asks to wait.
func refusedHTTP(t testing.TB, what string, a httpAnswer, contentType string, code int, wait bool) *spb.Status {
	t.Helper()
	st := new(spb.Status)
	var err error
	if contentType == typeJSON {
		err = protojson.Unmarshal(a.body, st)
	} else {
		err = proto.Unmarshal(a.body, st)
	}
	if err != nil || a.code != code || a.header.Get("Content-Type") != contentType || st.GetMessage() == "" {
		t.Errorf("%s: %d %q %q: %v; want %d and a Status in %s", what, a.code, a.header.Get("Content-Type"), a.body, err, code, contentType)
	}
	if after := a.header.Get("Retry-After"); (after != "" && after != "0") != wait {
		t.Errorf("%s: Retry-After is %q, want one: %v", what, after, wait)
	}
	return st
}

// pack compresses with the libraries that clients use.
func pack(t testing.TB, encoding string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "", "identity":
		return b
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "br":
		w = brotli.NewWriter(&out)
	case "zstd":
		e, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w = e
	case "x-snappy-framed":
		w = snappy.NewBufferedWriter(&out)
	case "snappy":
		return snappy.Encode(nil, b)
	default:
		t.Fatalf("pack %q", encoding)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// jsonOf is a request in OTLP JSON.
func jsonOf(t testing.TB, s otlp.Signal, b []byte) []byte {
	t.Helper()
	out, err := otlp.AppendJSONFromProto(nil, s, b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
