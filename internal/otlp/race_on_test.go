//go:build race

package otlp

// The race detector slows the walk down twentyfold; there is nothing concurrent
// in it to find.
const mutations = 8_000

const raceEnabled = true
