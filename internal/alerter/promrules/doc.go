// Package promrules evaluates Prometheus rules on OTLP metrics, and is the one
// place that knows Prometheus' Go packages: they promise no stable API, so none of
// their types is in this one's.
//
//	rule file ──Parse──▶ File ──Load──▶ groups ──Evaluate(slot)──▶ active alerts
//	                       │                        ▲
//	                     Needs                    PromQL
//	                       ▼                        │
//	OTLP request ──Wants──▶ Append: guard ▶ delta→cumulative ▶ translate ▶ tsdb
//
// # Guarantees
//
//   - Rule files are Prometheus' own, unchanged: groups, recording rules, for,
//     keep_firing_for, limit, query_offset, labels, annotations, templates. A file
//     is taken whole or not at all, and every problem of it is told at once.
//   - No clock is read for anything that has to do with data or alerts: Append and
//     Evaluate are given their times. The same requests and slots give the same
//     alerts, start times among them, in a new process as in an old one, as far
//     as the values are not made from deltas.
//   - A bad sample harms itself alone. What is too old, too far ahead, out of
//     order, a duplicate, not finite, too large in labels or one series too many is
//     left out and counted by its Reason; its neighbours are stored.
//   - Evaluate tells the complete set of active alerts of each rule that could be
//     evaluated, and names those that could not: what is missing there is
//     unknown, and no reason to call an alert resolved.
//   - What a rule says of missing data is done: a firing alert that holds ends only
//     when there is data and it is not so, or when none has come for MaxHold.
//   - Load changes everything or nothing. Groups that did not change go on as they
//     are; of those that did, rules of the same name and labels keep their alerts.
//   - Memory is bounded by Options: series, delta streams, labels of a sample. The
//     scratch directory belongs to one Engine and is removed by Close; nothing in
//     it outlives the process, since the queue has it all.
//
// Deltas have to come in the order of the stream: of two that are swapped the
// earlier one is lost (DeltaRefused), as it would be in the Collector.
//
// Evaluate has to keep up with Append: results of recording rules are refused by
// the store when its newest sample is more than MaxLead ahead of the slot.
package promrules
