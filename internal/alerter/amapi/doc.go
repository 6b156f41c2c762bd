// Package amapi answers below /api/v2 as Alertmanager does, so that Prometheus and
// vmalert post their alerts to Penstock, and amtool and Grafana ask it.
//
//	POST alerts ──▶ transitions ──▶ log ──▶ state ──▶ GET alerts, groups
//	     │                           ▲
//	     └─ ends that move ─▶ memory ┘ Run: before half of a life is gone
//
// # Guarantees
//
//   - An alert that is posted fires once it is answered, and ends at the last end that
//     any replica was posted: after half of an alert's life, and after a quarter at the
//     latest before the answer, that is in the log. An end is at most 1/64 of a life too
//     early, and never moves nearer; who wants it to end posts that it has.
//   - What is posted again and again does not make the log grow by more than an event or
//     two of a sender for each half of a life.
//   - A bad alert among good ones is refused alone.
//   - Nobody sees or changes alerts or silences of another tenant.
//   - No secret of the configuration is in an answer.
package amapi
