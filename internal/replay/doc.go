// Package replay sends again what the queue still holds: a window of the
// telemetry streams to any destination, or dead letters to the destination that
// did not take them.
//
//	Plan ─▶ numbers, nothing moves
//	Start ─▶ job, holds its streams ─▶ runner: resolve window once ─▶ browse ─▶ filter ─▶ rate ─▶ exporter
//	                                            └──────── checkpoint: floor, ahead ◀────────────┘
//
// # Guarantees
//
//   - The window is [from, to): a message stored exactly at from is in it, one
//     stored exactly at to is not. Both ends become sequences once; what comes in
//     later never slips in.
//   - What the window asks for and the queue no longer has is reported, never
//     passed over in silence: before (purged), and while it runs (Missing).
//   - Everything else in the window is exported, counted as not wanted, moved to
//     the dead-letter stream, or counted as damaged. The checkpoint never passes
//     a message of which that is not so.
//   - After a crash at most what lies between the checkpoint's floor and its mark
//     ahead of it is sent twice, and is counted (Duplicates). No message beyond
//     the mark is begun before the mark is stored.
//   - Bytes before compression leave no faster than the rate, over any second or
//     more; retries included.
//   - Live traffic is not touched: no durable is made, moved or read, and while
//     the destination's own lanes are busy the replay waits.
//   - No secret is stored: headers of a target are references, resolved by the
//     process that runs the job.
package replay
