//go:build !race

package otlp

const mutations = 200_000

const raceEnabled = false
