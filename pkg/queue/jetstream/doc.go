// Package jetstream is a durable queue on NATS JetStream, embedded (package
// embedded) or external. It implements the contract of pkg/queue.
//
//	Publish ──byte budget──▶ publish connections ──▶ stream (file, refuses when full)
//	                          one try = one request        │
//	Next ◀── buffer ◀── one open pull ◀── consume connections
//	           byte bound
//
// # Guarantees beyond the contract
//
//   - Open fails in Strict and Replicated unless every server is proven to sync
//     to disk before it confirms (verify.go). After a reconnect nothing is
//     published, or confirmed, until that is proven again (proof.go).
//   - Publish never leaves a copy behind that could be sent after it returned:
//     no reconnect buffer, no retries by the library.
//   - What is on the way is bounded in bytes in both directions: MaxInFlightBytes
//     for Publish, ConsumeOptions.MaxBytes for each reader, BrowseOptions.MaxBytes
//     for each browser.
//   - A lost connection, a leader's move or a pull that the server forgot is
//     overcome inside; the caller sees later deliveries, or at most a repeat.
//   - Browsing has connections and consumers of its own, and leaves none behind.
//     Values are written like messages: once, over proven connections.
//
// This package does not link nats-server; only package embedded does.
package jetstream
