// Package amnotify tells people by an alertmanager.yml as it is, and is the one
// place that knows Alertmanager's Go packages: they promise no stable API, so none
// of their types is in this one's. docs/design/0010-alerter.md has what it grows
// to; it holds the file and its route tree so far.
//
// # Guarantees
//
//   - A file is taken only if each receiver of it can be built and each template
//     read: what would fail at the first alert fails when it is loaded.
//   - Relative paths in the file begin at its directory.
package amnotify
