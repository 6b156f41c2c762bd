// Package queue is the contract of a durable queue of opaque messages, and
// knows nothing of telemetry. Two implementations keep it: jetstream (NATS
// JetStream, embedded or external) and memory (tests, examples). One suite,
// queuetest, runs on both.
//
//	Publisher ──Publish──▶ stream ──┬──▶ durable consumer A ──▶ Delivery ──▶ Ack
//	            (confirmed)  log    └──▶ durable consumer B ──▶ Delivery ──▶ Retry(after)
//
// # Guarantees
//
//   - Publish returns nil only when the message is stored at the configured
//     durability. Any error but ErrFull, ErrTooLarge, ErrConflict and ErrNotFound
//     leaves the outcome unknown: the message may be stored, and whoever repeats it must
//     use the same ID on the same stream.
//   - A second Publish of an ID within the stream's dedup window stores nothing
//     and is a success with Receipt.Duplicate.
//   - PublishNext stores a message at one place of the stream or not at all, so that
//     a stream can be one chain, whoever adds to it.
//   - A stream is a log. Nothing is removed by age, by consumption or to make
//     room: a full stream refuses with ErrFull. Only Purge removes, and
//     RemoveMessage where a stream was made for it.
//   - Every durable consumer sees every message at least once, until it is
//     settled by Ack or Reject. An unsettled delivery comes back after AckWait,
//     for ever. Order is that of the log for first deliveries and unspecified
//     for repeated ones.
//   - A durable consumer shared by several processes hands each delivery to one
//     of them. Consumers are made by Provisioner, never by the first reader,
//     and outlive all readers.
//   - An Archive reads the log beside the consumers, in order and without
//     leaving anything behind. A Store keeps small values as durably, and changes
//     one only if it is as it was read.
//   - A lease has at most one holder at a time, as far as a time to live can
//     promise: a holder that was paused for longer finds it taken, so what a
//     lease guards must be harmless when two do it. No clock is compared with
//     that of another machine: a holder counts as gone when whoever wants the
//     lease has itself seen it unrenewed for the whole ttl.
package queue
