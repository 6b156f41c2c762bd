// Package worker drains the queue: it pulls groups, exports each to its
// destination, and settles it by what the destination said.
//
//	stream ─durable export-<destination>─▶ lane ─▶ tenant? ─▶ slot ─▶ decode, verify ─▶ where? ─▶ exporter ─▶ settle
//	                                        └─ kept alive from here to the settlement ─┘
//
// # Guarantees
//
//   - A message leaves a destination's durable only after the destination
//     confirmed all of it, but for the items that the dead-letter stream
//     confirmed and those that its routes leave out (I2). Any other end gives it
//     back.
//   - A destination gets what its tenants and conditions take and nothing else;
//     what is wanted whole goes out as it is stored. By the tenant a message is
//     passed over before it has a slot, and never probes a destination. What is
//     left out is counted, and once more what no destination wants. Routes change
//     live (Prepare); a message that is half delivered goes on by those it began
//     with.
//   - Only items that the destination rejects, or that are too large alone, are
//     dead-lettered; their neighbours are delivered (package ship, and
//     docs/design/0006-settling.md). What a destination refuses for its own
//     sake waits, unless on_refusal says otherwise.
//   - Items that this process knows to be delivered it does not send again,
//     however often their message comes back. Those that may arrive twice are
//     counted (I9).
//   - Small neighbours of one tenant that are delivered for the first time go
//     out as one export, without waiting for one another, and are settled by its
//     answer. What failed goes alone.
//   - Each destination has its own durables, slots, byte budget and
//     connections: one that is dead or slow delays no other (I8).
//   - A message whose checksum does not hold never reaches a destination.
//   - What one destination has in flight is bounded in exports and in bytes, over
//     all streams; an idle stream takes nothing from a busy one. Beside these,
//     four messages at most are on their way to the dead-letter stream.
//   - Redeliveries, and groups that are taken apart, have at most three quarters
//     of the exports at a time; one that finds no place goes back to wait, so
//     that messages that keep failing, however slowly, let new ones pass (I8).
//   - A destination that asks to be left alone gets nothing for that time, at
//     most 5 minutes, and then one export before all others (OTLP 1.11,
//     "Throttling"). So does one that takes nothing: its breaker opens.
//   - Back-off lives in the queue (redelivery after a time), never in a
//     sleeping worker: a message that has to wait holds no slot. It goes on for
//     ever, or for retry.max_elapsed.
//   - Any number of workers share the durables; a worker may vanish at any
//     time, and what it held comes back after the ack wait.
package worker
