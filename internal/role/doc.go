// Package role puts the parts of each process together, in one straight
// function a role: what is done is undone by the line after it.
//
//	Gateway   (embedded server) queue, streams, janitor, receiver
//	Worker                      queue, durables, exporters
//	Up        both over one embedded queue
//	Alerter                     queue
//
// Every role serves its health, metrics and status from the first moment to the
// last.
package role
