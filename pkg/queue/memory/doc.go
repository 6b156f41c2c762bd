// Package memory keeps the contract of pkg/queue inside the process, for tests
// and examples: everything but durability. A message is confirmed when it is in
// memory, and all is gone with the Queue.
//
// Time comes from package time alone, without goroutines of its own, so that a
// test inside testing/synctest owns the clock.
package memory
