// Package janitor purges what every reader has passed and the replay window does
// not keep. It is the only thing in Penstock that removes telemetry from a
// stream.
//
//	first                        floor                    last
//	  │▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒░░░░░░░░░░░░│████████████████████████│
//	  │ purged now    │ kept for   │ not yet exported       │
//	                target replay    everywhere: never touched
//
// # Guarantees
//
//   - Nothing above the floor is ever purged (I2). The floor of a stream is the
//     lowest ack floor of its export durables: those of the destinations that
//     this process knows, and every other that the stream has, for it is
//     somebody's destination. It is 0, and nothing is purged, when there is none
//     of them, or when one that this process knows is missing. Only where this
//     process has destinations, none of them takes the signal and no stranger's
//     durable is there, the floor is the last message: it is kept for the replay
//     window, and for nobody.
//   - Only ack floors count, never the number of pending messages: a server
//     learns of a message as pending a moment after it is stored, and on a
//     cluster the server of a consumer may lag behind that of its stream, so that
//     "nothing is pending" can be said while messages wait.
//   - Nothing that a hold names is purged, for whatever reason: see Options.Holds. A
//     round in which holds cannot be asked for purges nothing.
//   - Below the floor, messages stay for Config.ReplayWindow by the queue's own
//     time of storing. What decides is the lesser of two clocks, neither of which
//     a step can move forward: see clock. When a stream is short of space the
//     window is shortened, which is said; the floor never is.
//   - A state that cannot be read skips the stream for this round. Without a
//     janitor the queue fills and refuses: it fails safe.
//   - One of many janitors works, by a lease. That spares work and log lines; it
//     guards nothing: purging is as safe when two do it.
//
// The dead-letter stream is never purged.
package janitor
