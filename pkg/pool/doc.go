// Package pool keeps gRPC connections to one destination and gives each call
// the best of them. It guarantees that
//
//   - a call is sent only over a connection that is up and, where the server
//     tells, serving; while another lives, a broken one gets no calls,
//   - no connection carries more than MaxInFlight calls, and there are never
//     more than MaxConnections (one more while an old one is replaced),
//   - a call that finds no room waits, first come first served, and a call
//     that finds every endpoint down fails at once and says why,
//   - a connection whose peer takes calls and answers none is replaced after
//     HangAfter deadlines, and its endpoint left out, while there is another,
//     but for a single call now and then that finds out whether it answers,
//   - Close leaves no goroutine and no connection.
//
// A connection's life:
//
//	           connected, healthy              aged, not needed, hung
//	opened ──> connecting ──> ready ─────────────────────────> draining ──> closed
//	               ^            │ lost                          calls in flight end
//	               └── back-off ┘
//
// Each connection is one transport to one address, so that the count of calls
// in flight is the count of HTTP/2 streams: the load balancing of grpc itself
// is left at pick_first. Connecting again with back-off is grpc's own.
package pool
