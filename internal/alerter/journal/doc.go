// Package journal is the log of alerts on the queue: the stream PENSTOCK_ALERTS.
//
//	events ──Append(last)──▶ entry at last+1, or ErrConflict ──Follow──▶ State of every replica
//	                              │                                          │
//	      snapshot, in parts ◀────┴──Tidier, every 10,000 entries────────────┘
//	      then what is before it may be purged
//
// # Guarantees
//
//   - An entry is stored directly behind the one that its writer has seen last, or not
//     at all. A try whose outcome is unknown is repeated as it was, with its message id,
//     and is stored once.
//   - Nothing is purged before a snapshot behind it is whole. Whoever reads from the
//     beginning, or has read too slowly, gets the snapshot in place of what is gone.
//   - What cannot be read (of another version, damaged) is passed over, said and
//     counted: the position goes on, so that events can be appended.
//   - A stream that was lost is made again from what a replica still knows.
//   - Events leave a tenth of the stream free, which a snapshot may use: a full stream
//     can be tidied.
package journal
