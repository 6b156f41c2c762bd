// Package intake reads the metric streams for the alerter and says up to when it
// has read them.
//
//	stream ──Browse──▶ follower: decode ▶ KeepMetrics ▶ Sink ─┐
//	stream ──Browse──▶ follower: decode ▶ KeepMetrics ▶ Sink ─┴▶ Watermark
//
// Every replica reads everything by itself, from a moment in the past on. Nothing
// of the queue is changed: there is no consumer, no ack and no place to keep.
//
// # Guarantees
//
//   - The messages of a stream reach the sink in their order, each once: over
//     reconnects too, and when the sink fails, for then the same one is tried again.
//     What was purged before it could be read is told, with its sequences.
//   - All that was stored up to Watermark is with the sink, or was told as purged,
//     damaged or refused. It never falls. It stands still while a stream cannot be
//     read or asked, or the sink does not take what it is given.
//   - No stream is more than MaxSpread ahead of another, by the time of storing: a
//     small one that is read fast would make the samples of a large one too old.
//   - Only metrics that are wanted reach the sink, in requests that otlp.Check has
//     accepted. A message without any costs its decompression and a walk over its
//     metrics.
//   - Memory is bounded for each stream: what Browse reads ahead, one decoded
//     message and what is kept of it.
//
// A series whose points come through several streams (queue.shards above 1) has
// them in the order of storing up to MaxSpread alone.
package intake
