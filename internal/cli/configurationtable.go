package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/penstock-otel/penstock/internal/reload"
)

// maxTold bounds the keys and the problems of a configuration that are shown; the
// JSON has all.
const maxTold = 8

// configurationTable says what of the configuration is not in effect: nothing, while
// what runs is what is written.
func configurationTable(t *table, data json.RawMessage) error {
	var v reload.View
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("read the state of the configuration: %w", err)
	}
	list := func(lines []string) {
		for i, line := range lines {
			if i == maxTold {
				t.row("  and %d more", len(lines)-i)
				return
			}
			t.row("  %s", folded(line, 76, 4, "\n    "))
		}
	}
	if v.Last != nil && v.Last.Outcome == reload.Refused {
		t.head("CONFIGURATION: the last reload, %s ago, was refused; what ran before runs on", age(v.Last.At))
		list(strings.Split(v.Last.Text(), "\n"))
	}
	if len(v.Waiting) > 0 {
		t.head("CONFIGURATION: changed, and waiting for a restart")
		list(v.Waiting)
	}
	return nil
}
