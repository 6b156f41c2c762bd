// Package conformance is a test suite of the OTLP specification, 1.11, for any
// endpoint that can be given by address: servers by what they answer, and
// clients by what they send to backends that the suite scripts.
//
//	suite ──requests, sound and unsound──▶ endpoint under test ──exports──▶ scripted backends of the suite
//	      ◀──answers, which are judged────                      ◀─scripted answers──
//
// # Guarantees
//
//   - Each row is one rule. A failure says what was sent, expected and seen.
//   - What the specification leaves open can be noted, and never fails.
//   - A run ends: every exchange has a timeout, every wait a bound, and an
//     endpoint that has fallen silent is not asked for ever.
//   - Load and memory are bounded: at most 48 requests at a time, and only those
//     rows that are about sizes send more than a few KiB.
//   - A wait is only judged by the least that the protocol asks for. A slow
//     machine fails nothing.
//   - It speaks gRPC and HTTP by itself, without the libraries that endpoints are
//     made of, and imports nothing of Penstock.
package conformance
