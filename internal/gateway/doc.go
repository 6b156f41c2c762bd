// Package gateway is the role that takes OTLP and answers when it is durable:
// receiver, committer and queue put together. It keeps no state of its own; any
// number run behind a balancer.
package gateway
