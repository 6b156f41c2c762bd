package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
)

// letterText writes a dead letter for people: what is known of it, then what it
// holds.
func letterText(w io.Writer, s deadletter.Shown) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, text) //nolint:errcheck // Flush tells
		}
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	row("letter", "%d", s.Sequence)
	row("problem", "%s", s.Problem)
	row("destination", "%s", s.Destination)
	row("reason", "%s", s.Reason)
	row("code", "%s", s.Code)
	row("detail", "%s", s.Detail)
	row("attempts", "%d", s.Attempts)
	if s.Redrives > 0 {
		row("redriven", "%d times", s.Redrives)
	}
	row("failed first", "%s", at(s.FirstAt))
	row("died", "%s", at(s.DiedAt))
	row("message", "%s", s.ID)
	if s.Stream != "" {
		row("stored", "%s in %s at %d", at(s.StoredAt), s.Stream, s.OriginSequence)
	}
	row("part", "%s", s.Part)
	row("signal", "%s", s.Signal)
	row("tenant", "%s", s.Tenant)
	row("holds", "%d items, %s, %s as %s", s.Items, size(float64(s.RawBytes)), size(float64(s.Size)), s.Codec)
	if s.ShownItems > 0 && s.ShownItems < s.Items {
		row("shown", "the first %d items", s.ShownItems)
	}
	row("not decoded", "%s", s.Undecoded)
	names := make([]string, 0, len(s.Headers))
	for name := range s.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		row(name, "%s", s.Headers[name])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(s.Payload) == 0 {
		if len(s.Body) > 0 {
			_, err := fmt.Fprintf(w, "\n%d bytes of the body: %q\n", len(s.Body), s.Body)
			return err
		}
		return nil
	}
	var b bytes.Buffer
	if err := json.Indent(&b, s.Payload, "", "  "); err != nil {
		return fmt.Errorf("the payload is no JSON: %w", err)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", b.Bytes())
	return err
}
