// Package audit keeps what operators did and who was not let in, in the stream
// PENSTOCK_AUDIT, as a chain: each entry has the hash of the one before it, so
// that an entry that was changed, removed or put in between is found by
// `penstock audit verify`.
//
//	operator's action ──┐
//	                    ├─▶ Log ─▶ entry {n, event, hash of n-1} ─▶ PENSTOCK_AUDIT
//	refused credential ─┘   rate-limited, one writer at a time by the stream's own check
package audit
