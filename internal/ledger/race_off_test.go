//go:build !race

package ledger

// histories that TestHistories runs by itself.
const histories = 500
