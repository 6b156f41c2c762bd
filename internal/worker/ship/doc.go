// Package ship delivers one record to one exporter, whole or in parts: what is
// too large is split, what is rejected is bisected until the bad items stand
// alone. It knows no queue: the lanes of a worker, a replay and a redrive use it.
//
//	record ─▶ whole ─┬─ taken ──────────────────────────────▶ Outcome
//	                 ├─ too large, rejected ─▶ halves ─▶ ... ─▶ Outcome, with the Dead
//	                 └─ not now ─▶ error; the Progress knows what was taken
//
// # Guarantees
//
//   - An item that the exporter has taken is not given to it again, as long as
//     the caller passes the same Progress for the same record.
//   - When Ship returns without an error each item of the record was taken, or
//     is in exactly one of the Dead.
//   - A record that the exporter takes at once is passed on as it is stored, and
//     costs nothing more.
//   - A record takes at most maxRequests exports, over all calls with its
//     Progress, beside those that fail for now.
//
// # How it cuts
//
// There is one way to cut, otlp.Halve, so that the parts of a record are always
// nodes of the same tree: items from..to say what a part is, whoever cuts, and
// what was decided before fits what is cut now.
//
// One bad item among n costs about 2 log2(n) exports. When a record turns out to
// be bad as a whole it is not taken apart: after headRequests rejections in
// which nothing was taken, single items from all over the record are tried, and
// when none of them is taken either, the record is dead as it is.
package ship
