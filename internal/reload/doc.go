// Package reload changes the configuration of a process while it runs.
//
//	SIGHUP, POST /-/reload ─▶ read the sources again ─▶ all valid? ─▶ what differs from what runs?
//	                                                        │                     │
//	                                                        no        the live keys of it: does the
//	                                                        │         mixture go together?
//	       nothing changes, and every problem is told ◀─────┤                     │
//	                                                        └───── each part prepares
//	                                                                              │ all have
//	                                                                       each part applies
//
// # Guarantees
//
//   - All or nothing: until every part has prepared nothing has changed, and from
//     then on nothing can fail.
//   - The whole file counts. A mistake in a key that could not change anyway
//     refuses the reload as well: the next start would not survive it.
//   - Keys that changed and cannot change live are named in the answer and in the
//     log, and a gauge stands at 1 until a restart, or until the file has the old
//     value again. They do not keep the live ones from changing.
//   - One reload at a time; others wait for their turn.
//   - No value is told, only the names of keys: a secret may be among them.
package reload
