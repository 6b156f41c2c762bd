//go:build race

package ledger

// histories that TestHistories runs by itself; the race detector makes each five
// times as long.
const histories = 100
