// Package alerter evaluates rules on the metric streams and has people told.
//
//	intake ──▶ engines: one a tenant ◀── evaluator: each slot up to the watermark
//	                                        │ what each found
//	                                        ▼
//	                              teller: transitions ──▶ log ──▶ state ──▶ people
//
// # Guarantees
//
//   - A slot of a group is evaluated once all that was stored up to it has been taken,
//     in the order of the slots of its tenant. Being late changes no result.
//   - A slot that is not evaluated (more than MaxCatchUp late) resolves nothing and is
//     counted.
//   - Of what was evaluated before the process began nothing is told: it is what makes
//     the holding times of a new process those of the old one.
//   - Rules that are gone have their alerts resolved, with that as the reason.
package alerter
