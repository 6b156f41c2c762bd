// Package harness runs Penstock's binaries from outside, with real servers
// around them, and proves what became of every item.
//
//	Load ──OTLP──▶ [Recorder] ──▶ penstock processes ──▶ [Proxy] ──▶ Sink
//	  │                            on a Disk that can                 │
//	  └── acknowledged ──────────▶ lose its power          arrived ───┘
//	                         Ledger: acknowledged ⊆ arrived ⊆ sent
//
// Nothing of Penstock is linked but internal/sample, which only makes bytes, and
// the names of signals: the protocol on either side is spoken by other code than
// the product's own. Everything started ends with the test, by its process id.
package harness
