// Package receiver is the front door: OTLP over gRPC and over HTTP, down to one
// Intake that checks, counts and commits. The signal is a field, both
// transports carry bytes, and both answer from the one table in internal/otlp.
//
//	gRPC ─▶ raw frame ──┐
//	                    ├─▶ Intake: admission ─▶ check, count ─▶ committer ─▶ answer
//	HTTP ─▶ body, codec ┘
//
// # Guarantees
//
//   - Success is answered only after the queue confirmed the request (I1), or
//     when the request holds no item.
//   - Every refusal has a reason, an answer that the client's own retry rules
//     understand, and a count (I4).
//   - The bytes of requests in flight are bounded by Limits, before and after
//     decompression; what goes beyond is refused, and connections are not read
//     while buffers of half-received requests pass the bound (I5).
package receiver
