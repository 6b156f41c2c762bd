// Package deliver tells each group of alerts to each receiver once, whatever number
// of replicas want to, and again until the receiver has taken it.
//
//	Look(key) ──▶ Group: what it is now ──▶ claim ──▶ send ──▶ commit ──▶ notified, in the log
//	    ▲                                     │         │
//	    └── after the wait of whoever has it ◀┘         └── failed: release, wait, from the start
//
// # Guarantees
//
//   - What is sent is what is at that moment: a retry asks for the group again.
//   - Of all replicas one sends. One that dies after it has sent and before it has
//     committed causes one more at most, when its lease has ended.
//   - A receiver that fails is tried for as long as there is something to tell it, with
//     waits of up to maxWait; it holds up no other receiver.
//   - What a receiver refuses for good is not tried again before the repeat interval.
//   - A store that has lost what it knew, or has an older state, is told from the log: of an older
//     one each group may hear once more that it has ended.
//   - Without the store, alerts of at least Options.FailOpen go out by what the log
//     knows, one replica after another: at most one more of each group and replica for
//     each outage. The others wait for the store.
package deliver
