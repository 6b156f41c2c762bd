package receiver

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Every request and every item is counted once.
func TestMetricsAreExact(t *testing.T) {
	d := open(t)
	c := d.dial(t)
	b := request(otlp.Traces, 5)
	for range 3 {
		if err := exportBytes(testContext(t), c, otlp.Traces, b); err != nil {
			t.Fatal(err)
		}
	}
	if a := d.send(t, otlp.Traces, typeProtobuf, "gzip", pack(t, "gzip", b)); a.code != http.StatusOK {
		t.Fatal(a)
	}
	d.send(t, otlp.Traces, typeProtobuf, "", nil)
	d.send(t, otlp.Traces, typeProtobuf, "", []byte("text"))
	d.send(t, otlp.Traces, "text/plain", "", nil)
	d.pub.failWith(queue.ErrFull)
	refusedRPC(t, "full", exportBytes(testContext(t), c, otlp.Traces, b), codes.Unavailable, true)
	want := `# HELP penstock_receiver_accepted_spans_total Items answered with success: durable in the queue.
# TYPE penstock_receiver_accepted_spans_total counter
penstock_receiver_accepted_spans_total{transport="grpc"} 15
penstock_receiver_accepted_spans_total{transport="http"} 5
# HELP penstock_receiver_refused_spans_total Items refused, by reason. Requests that could not be decoded count no items.
# TYPE penstock_receiver_refused_spans_total counter
penstock_receiver_refused_spans_total{reason="queue_full",transport="grpc"} 5
# HELP penstock_receiver_requests_total Requests by outcome: accepted, empty, partial, or the reason of refusal. Requests for no known signal have the signal none.
# TYPE penstock_receiver_requests_total counter
penstock_receiver_requests_total{outcome="accepted",signal="traces",transport="grpc"} 3
penstock_receiver_requests_total{outcome="accepted",signal="traces",transport="http"} 1
penstock_receiver_requests_total{outcome="empty",signal="traces",transport="http"} 1
penstock_receiver_requests_total{outcome="malformed",signal="traces",transport="http"} 1
penstock_receiver_requests_total{outcome="queue_full",signal="traces",transport="grpc"} 1
penstock_receiver_requests_total{outcome="unsupported_media_type",signal="traces",transport="http"} 1
`
	if err := testutil.GatherAndCompare(d.reg, strings.NewReader(want), "penstock_receiver_accepted_spans_total",
		"penstock_receiver_refused_spans_total", "penstock_receiver_requests_total"); err != nil {
		t.Error(err)
	}
}
