// Package committer merges requests into groups and commits each group with
// one publish: group commit, as a database log does it.
//
//	Add(request) ─▶ open group of (signal, tenant) ─close─▶ ready ─▶ slot: join, compress, publish
//	     │                  ▲ grows while all slots are busy                      │
//	  Ticket ◀───────────────────── one confirm for all of the group ◀────────────┘
//
// # Guarantees
//
//   - A Ticket's Wait returns nil only after the queue confirmed every byte of
//     the request (invariant I1).
//   - Nothing waits for a timer when the committer is idle: a lone request is
//     committed at once. While the slots of a signal are busy the next group
//     gathers, so its size follows load and disk speed. Config.MaxDelay adds a
//     timer for those who prefer larger groups to lower latency.
//   - A group holds one signal and one tenant, at most Config.MaxBytes. Joining
//     encoded requests is merging them: each Export*ServiceRequest is one
//     repeated field. A request larger than a group is split at resource,
//     scope, then item boundaries, and confirmed when all its parts are.
//   - Tenants take turns, a group each: one that fills many does not delay the
//     others by more than the one that is being committed.
//   - One ULID names a published message, the same on each retry of it.
//   - A group whose callers have all gone is not retried any more.
//
// Memory: the caller bounds the bytes it adds (admission). They stay where they
// were received until their group is confirmed; joined and compressed they are only
// on a work space, of which there are as many as cores at most, and then compressed once
// more in a message until it is confirmed. A group that its callers have left gives
// its memory back at once.
package committer
