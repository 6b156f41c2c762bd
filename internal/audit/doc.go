// Package audit keeps what operators did and who was not let in, in the stream
// PENSTOCK_AUDIT, as a chain: each entry has the hash of the one before it, so
// that an entry that was changed, removed or put in between is found by
// `penstock audit verify`.
//
//	operator's action ──┐
//	                    ├─▶ Log ─▶ entry {n, prev, event} ─▶ PENSTOCK_AUDIT, at n or nowhere
//	refused credential ─┘   merged by limiter
//
// # Guarantees
//
//   - Nothing is lost in silence: what cannot be stored is logged whole as an
//     error, and counted with a reason. Only what the process had not yet stored
//     when it was killed is in neither; an operator's action is in the log of the
//     process before.
//   - Whoever records never waits for the queue, and is never refused because of
//     it.
//   - One chain, whoever writes: an entry is stored at its own number or not at
//     all, and a repetition whose confirmation was lost is found again.
//   - Refusals are merged so that nobody without a credential fills the stream: a
//     process stores a few in a minute, with how many each stands for. They never
//     take the place of an operator's action.
//   - Memory is bounded, and so is every entry. Texts are printable, hold no
//     sequence that a terminal obeys, and what looks like a credential is blacked
//     out, although no caller passes one.
//   - Entries end by age, or when the stream runs full, the oldest first, and only
//     after an entry that names the last of them and its hash.
//
// The chain does not say who wrote it. Who can write to the stream can add to its
// end, and who can replace all of it can make another: the head, kept elsewhere,
// shows that.
//
// The form of an entry is a public promise (invariant I7):
// docs/reference/message-format.md describes it, testdata keeps entries of every
// version.
package audit
