package path

import (
	"testing"

	"github.com/penstock-otel/penstock/internal/copies"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// atMost is how many bytes may be copied for one byte of telemetry, by our own code,
// from a gRPC client that does not compress to a gRPC backend that takes no
// compression. The way in order:
//
//	the kernel        socket to the buffer that is read ahead       not ours
//	read ahead        to the buffer of a frame, which gRPC has us fill
//	pieces            frames of 16 KiB into the message; one of a single frame is not copied
//	the check         reads, copies nothing
//	joined            the requests of a group; one alone is not copied
//	the codec         writes what is stored                         no copy: the work itself
//	packed            what is stored, out of the work space: less than 0.1 here, where the
//	                  requests of a group are the same; 0.17 to 0.23 of what bench sends
//	NATS              what is stored: into the client's write buffer, through an in-process
//	                  pipe, into the server's message, its block, and out the same way; not ours
//	the kernel        what is stored, into the page cache           not ours
//	decoded           what the backend is sent: the work itself, written once
//	owned             again, of small groups that were merged into one export
//	gRPC              that into its write buffer, of 128 KiB        not ours
//	the kernel        the write buffer to the socket                not ours
//
// Headers of frames make read ahead a little more than one.
var atMost = map[copies.Place]float64{
	copies.ReadAhead: 1.01,
	copies.Pieces:    1.00,
	copies.Joined:    1.00,
	copies.Packed:    0.30,
	copies.Decoded:   1.00,
	copies.Owned:     1.00, // hardly any under load
	// Of HTTP, and of clients that compress.
	copies.Body:     0,
	copies.Inflated: 0,
}

// TestCopiesOfTheWholeWay bounds what Penstock's own code copies for each byte of
// telemetry: at each place once at most.
func TestCopiesOfTheWholeWay(t *testing.T) {
	o := startOthers(t)
	o.ask("target " + up(t, o.sink))
	const requests = 200
	o.send(otlp.Traces, 100, requests) // connections are made
	for _, sig := range otlp.Signals {
		items := map[otlp.Signal]int{otlp.Traces: 100, otlp.Metrics: 1000, otlp.Logs: 512}[sig]
		p, _, err := load(sig, items)
		if err != nil {
			t.Fatal(err)
		}
		raw := len(p) * requests
		c, stop := copies.Watch()
		o.send(sig, items, requests)
		stop()
		sum := 0.0
		for _, place := range copies.Places() {
			perByte := float64(c.Of(place)) / float64(raw)
			t.Logf("%s: %s: %.3f bytes for each byte", sig, place, perByte)
			if perByte > atMost[place] {
				t.Errorf("%s: %s: %.3f bytes copied for each byte, want at most %.2f", sig, place, perByte, atMost[place])
			}
			sum += perByte
		}
		t.Logf("%s: %.2f bytes for each byte in all", sig, sum)
		// What was never counted cannot be bounded.
		for _, place := range []copies.Place{copies.ReadAhead, copies.Decoded} {
			if int(c.Of(place)) < raw {
				t.Errorf("%s: %s: %d bytes of %d that came were counted", sig, place, c.Of(place), raw)
			}
		}
	}
}
