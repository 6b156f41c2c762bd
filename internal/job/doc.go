// Package job keeps long work, such as a replay, in the queue's store, so that
// it outlives the process that does it.
//
//	operator ──Wish──▶ job/<id> in the store ◀──checkpoint, progress── Run ── Handler
//	                        ▲                                           │
//	              Holds ────┘ (janitor)                lease job-<id> ──┘ of one Runner
//
// # Guarantees
//
//   - A job that was created is worked on until it is done, has failed, or was
//     cancelled: when its runner dies, another goes on from the last checkpoint,
//     after the time to live of the lease (15 s).
//   - Two runners at once are possible for a moment, since a lease is a matter
//     of time, and harmless: each take of a job has its own epoch, every write is
//     a compare and swap, and who finds another epoch there stops. What it did
//     until then is done twice at worst.
//   - Runner and operator never overwrite each other: the wish is the
//     operator's, all else the runner's while it runs.
//   - A hold is stored with the job and raised in the same write as the
//     checkpoint, so that nothing is let go which a successor needs.
//   - A handler that fails, panics, or takes its process down with it is not run
//     again at once: back-off lies in the job, 1 s to 1 min.
package job
