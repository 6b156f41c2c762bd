// Package queuetest is the contract of pkg/queue as tests. Every implementation
// passes Run; a line of the contract that is not tested here is not promised.
package queuetest
