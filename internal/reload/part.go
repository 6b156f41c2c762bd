package reload

import (
	"slices"
	"strings"

	"github.com/penstock-otel/penstock/internal/settings"
)

// Part is something that can change while it runs.
type Part struct {
	// Name is for errors and the log.
	Name string
	// Keys are those that it can change, in the form of config.Change.Path, each
	// with all that is below it: "retention", "destinations[].where".
	Keys []string
	// Prepare does all that can fail for the new settings, and leaves behind
	// nothing that would have to be undone: another part may fail after it. It is
	// called when one of its keys changed. apply makes the change, cannot fail,
	// and does not wait; both are called by one goroutine at a time.
	Prepare func(*settings.Settings) (apply func(), err error)
	// Files: its settings name files whose content counts as well, so that it is
	// asked at every reload. A nil apply is that nothing has changed.
	Files bool
}

// covers tells whether a part can change a path.
func (p Part) covers(path string) bool {
	return slices.ContainsFunc(p.Keys, func(key string) bool {
		rest, ok := strings.CutPrefix(path, key)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}
