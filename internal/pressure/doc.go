// Package pressure refuses telemetry before the queue has to: a signal whose
// streams are all nearly full, and every signal when the volume under an embedded
// queue is nearly full. What is under way still fits then, a full disk is not
// met, and clients are told when to come back instead of being let in to fail.
//
//	bytes of a stream   0 ───────────────── 85 % ──── 90 % ──── 100 %
//	                      taken               goes on   refused   the queue itself refuses
//
// It works on what queuewatch saw, up to 5 s ago: it spares work and time, and
// guards nothing. The queue itself never takes more than it may (ErrFull).
package pressure
