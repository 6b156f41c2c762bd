// Package alerts is what alerts, incidents and their history are, and the contracts
// between those who keep them. It evaluates nothing and sends nothing.
//
//	evaluation ──▶ transitions ──Append──▶ Log ──Follow──▶ state of every replica
//	people     ──▶ ack, silence ──┘         │                    │
//	                                   (the truth)      Claims, Timers: who sends, when
//	                                                    to look again (a projection)
//
// # Guarantees
//
//   - The Log is the truth: an event is appended by somebody who has seen all
//     before it, or not at all. Whoever reads it has the same state.
//   - A Store may lose everything at any time. What it had is made again from the
//     Log and by the next evaluation; the price is a notification that is sent
//     twice, never one that is not sent.
//   - Events are kept for ever in the form in which they were written: kinds and
//     fields are added, none is renamed, and unknown ones are passed over.
package alerts
