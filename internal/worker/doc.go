// Package worker drains the queue: it pulls groups, exports each to its
// destination, and settles it by what the destination said.
//
//	stream ─durable export-<destination>─▶ lane ─▶ decode, verify ─▶ exporter ─▶ settle
//	                                        │ slots and bytes bounded a destination
//
// # Guarantees
//
//   - A message leaves a destination's durable only after the destination
//     confirmed it, or after the dead-letter stream confirmed it (I2). Any
//     other end gives it back.
//   - Each destination has its own durables, slots, byte budget and
//     connections: one that is dead or slow delays no other (I8).
//   - A message whose checksum does not hold never reaches a destination.
//   - Back-off lives in the queue (redelivery after a time), never in a
//     sleeping worker: a message that has to wait holds no slot.
//   - Any number of workers share the durables; a worker may vanish at any
//     time, and what it held comes back after the ack wait.
package worker
