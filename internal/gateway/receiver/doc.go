// Package receiver is the front door: OTLP over gRPC and over HTTP, down to one
// Intake that checks, counts and commits. The signal is a field, both
// transports carry bytes, and both answer from the one table in internal/otlp.
//
//	gRPC ─▶ raw frame ──┐          (gRPC-Web is HTTP: its frame is a body's)
//	                    ├─▶ Intake: admission ─▶ check, count ─▶ committer ─▶ answer
//	HTTP ─▶ body, codec ┘
//
// # Guarantees
//
//   - Success is answered only after the queue confirmed the request (I1), or
//     when the request holds no item.
//   - Every refusal has a reason, an answer that the client's own retry rules
//     understand, and a count (I4).
//   - Memory is bounded by Limits (I5), but for a small factor. The bytes of a
//     request are charged to one budget before there is memory for them: as they
//     are read, as they are decompressed, and with what decoding JSON takes. What
//     does not fit now is refused as retryable, what never fits as too large.
//     gRPC receives a message before anyone can refuse it: its connections are
//     not read while half-received messages hold twice the budget.
//   - What turns out to be a bomb has no memory: what is large, or larger than it
//     seemed, is decompressed into nothing first, to learn its size.
//   - Bombs leave the cores to others: large requests from who sent one for nothing
//     have one turn together, which rests for up to 99 times its work.
//   - Connections that say nothing hold little: no read buffer, and no stop.
//   - What is slow ends: a request has a read_timeout over either transport, and
//     under pressure the oldest half-received messages are ended first.
//     Connections are counted and capped.
//   - A request is final for its client (400, 413, INVALID_ARGUMENT ...) only when
//     it would fail again. Whatever the queue or the network did is retryable.
package receiver
