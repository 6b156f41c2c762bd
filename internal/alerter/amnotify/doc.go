// Package amnotify tells people by an alertmanager.yml as it is, and is the one
// place that knows Alertmanager's Go packages: they promise no stable API, so none
// of their types is in this one's.
//
//	Put ──▶ routes, grouping, times of waiting ──▶ Flush(group, integration)
//	                                                      │ claim, by others
//	        Group: what it is to be told now  ◀───────────┘
//	        Send: tells it
//
// # Guarantees
//
//   - A file is taken only if each receiver of it can be built and each template
//     read: what would fail at the first alert fails when it is loaded.
//   - Relative paths in the file begin at its directory.
//   - What fires has no end: no time that passes makes it resolved, only a Put that
//     says so.
//   - Inhibition, silences and time intervals keep back what fires, never that it
//     has resolved.
//   - A flush sends nothing and so cuts no sending off; what is sent is as things
//     are at that moment, not at the flush.
package amnotify
