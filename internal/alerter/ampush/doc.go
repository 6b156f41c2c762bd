// Package ampush tells Alertmanagers of all alerts that fire, as Prometheus would.
//
//	state ──changed──▶ pusher: one goroutine a target ──POST /api/v2/alerts──▶ target
//	                      every minute all, between only what changed
//
// # Guarantees
//
//   - Only the replica that leads pushes.
//   - What fires is pushed again each interval with an end four intervals away, by the
//     wall clock: a target that hears nothing for that long takes it for ended. What has
//     resolved is pushed for 15 minutes.
//   - A target that is dead, slow or refuses holds up no other one. It is tried again
//     with a growing wait, always with the alerts as they are then.
//   - An alert that came in by a push of another alerter, which marks its requests, is
//     not pushed on: two that push to each other tell each alert once.
package ampush
