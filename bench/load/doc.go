// Package load makes the traffic of a measurement: OTLP requests from internal/sample,
// by gRPC or HTTP, in a closed loop or on a schedule.
//
// In a closed loop each client sends its next request when the last was answered.
// With a rate each client has a schedule, and latency counts from when a request
// was due: a client that is late sends on without leaving anything out, so that a
// request that waited behind a slow answer is counted with its wait (no coordinated
// omission).
package load
