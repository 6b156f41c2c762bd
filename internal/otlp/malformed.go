package otlp

import "fmt"

// Malformed says why bytes are no valid request. It is permanent: the same
// bytes fail again.
type Malformed struct {
	// Offset is the first byte of the field at fault (of its tag), or -1 where
	// the decoder does not tell.
	Offset int
	// Path leads to that field, "resource_spans[3].scope_spans[0].spans"; empty
	// when the fault is at the top.
	Path string
	// Problem is what is wrong, with the numbers.
	Problem string
}

func (m *Malformed) Error() string {
	path := m.Path
	if path == "" {
		path = "request"
	}
	if m.Offset < 0 {
		return fmt.Sprintf("%s: %s", path, m.Problem)
	}
	return fmt.Sprintf("%s: %s at byte %d", path, m.Problem, m.Offset)
}
