// Package worker drains the queue: it pulls groups, exports each to its
// destination, and settles it by what the destination said.
//
//	stream ─durable export-<destination>─▶ lane ─▶ slot ─▶ decode, verify ─▶ exporter ─▶ settle
//	                                        └─ kept alive from here to the settlement ─┘
//
// # Guarantees
//
//   - A message leaves a destination's durable only after the destination
//     confirmed it, or after the dead-letter stream confirmed it (I2). Any
//     other end gives it back.
//   - Each destination has its own durables, slots, byte budget and
//     connections: one that is dead or slow delays no other (I8).
//   - A message whose checksum does not hold never reaches a destination.
//   - What one destination has in flight is bounded in exports and in bytes, over
//     all streams; an idle stream takes nothing from a busy one. Beside these,
//     four messages at most are on their way to the dead-letter stream.
//   - Redeliveries have at most three quarters of the exports at a time; one
//     that finds no place goes back to wait, so that messages that keep failing,
//     however slowly, let new ones pass (I8).
//   - A destination that asks to be left alone gets nothing for that time, at
//     most 5 minutes, and then one export before all others (OTLP 1.11,
//     "Throttling").
//   - Back-off lives in the queue (redelivery after a time), never in a
//     sleeping worker: a message that has to wait holds no slot.
//   - Any number of workers share the durables; a worker may vanish at any
//     time, and what it held comes back after the ack wait.
package worker
