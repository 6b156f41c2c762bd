// Package ledger adds up what became of everything that was accepted (I3).
//
//	accepted = pending + exported + rejected + dead-lettered + redriven + unwanted + purged
//
// for each signal and destination, in items. One process keeps it, by a lease:
//
//	streams  ──headers──▶ books: items up to each sequence   ┐
//	durables ──floors───▶ settled: what the queue has done   ├─▶ Ledger, metrics, hold
//	fleet    ──tallies──▶ exported, rejected, unwanted       │
//	letters  ──headers──▶ dead-lettered, redriven, purged    ┘
//
// # Guarantees
//
//   - Accepted and settled are read from the queue itself: they survive every
//     restart and kill -9 of anything.
//   - Tallies of a process that ended are added to the totals exactly once,
//     whatever dies while that is done.
//   - What the queue had settled before the oldest word of the living processes
//     is counted by now in what all have told, up to what processes that died
//     without a word can explain. If it is not, it is Missing: it left the queue
//     and nobody delivered it.
//   - When nothing was killed and everything is settled the sums are exact.
//   - Memory is bounded: 400 KiB a stream, 100 tenants a stream.
//
// docs/design/0008-ledger.md has the equation, its tolerance and why.
package ledger
