// Package copies counts the bytes that Penstock's own code copies on the way of a
// request, for the test that bounds them (bench/path). Nobody counts in production:
// a call is then one load and one branch, once for each buffer that is copied and
// never for a byte.
//
// A copy by the kernel, by gRPC or by NATS is not seen from here.
package copies

import "sync/atomic"

// Place is where bytes are copied.
type Place int

const (
	// ReadAhead is from the buffer of a socket into that of a frame.
	ReadAhead Place = iota
	// Pieces is a message that came in several frames, into one piece.
	Pieces
	// Body is what a growing buffer of an HTTP body takes along.
	Body
	// Inflated is what decompressing a client's message wrote.
	Inflated
	// Joined is the requests of a group, one after the other.
	Joined
	// Packed is a compressed group, out of the work space.
	Packed
	// Decoded is what decompressing stored messages wrote.
	Decoded
	// Owned is a body that was not compressed, into one that may outlive its
	// request: of a stored message, or of several that were merged.
	Owned

	places
)

var names = [places]string{"read ahead", "pieces", "body", "inflated", "joined", "packed", "decoded", "owned"}

func (p Place) String() string { return names[p] }

// Places are all of them, in the order of the way.
func Places() []Place {
	all := make([]Place, places)
	for i := range all {
		all[i] = Place(i)
	}
	return all
}

// Counts is bytes by place. Safe for concurrent use.
type Counts struct{ bytes [places]atomic.Int64 }

// Of is the bytes copied at p since Watch.
func (c *Counts) Of(p Place) int64 { return c.bytes[p].Load() }

var watched atomic.Pointer[Counts]

// Watch counts what the whole process copies from now on until stop. Only the last
// one that watches sees anything.
func Watch() (c *Counts, stop func()) {
	c = new(Counts)
	watched.Store(c)
	return c, func() { watched.CompareAndSwap(c, nil) }
}

// Count is called where n bytes were copied.
func Count(p Place, n int) {
	if c := watched.Load(); c != nil {
		c.bytes[p].Add(int64(n))
	}
}
