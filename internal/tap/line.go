package tap

import (
	"fmt"
	"strings"
	"time"
)

// Widths of the columns of a line, in cells.
const (
	timeLayout   = "2006-01-02T15:04:05.000Z"
	signalCells  = 7
	serviceCells = 18
	nameCells    = 32
	typeCells    = 10
)

// Line is the item for people: one line without its end, of at most width cells
// of a terminal (0: no bound). The time is that of the event, or else when it was
// stored, in UTC.
//
//	2026-01-02T15:04:05.000Z traces  checkout           GET /orders  server     12.3ms http.route=/orders trace=0af7...
//
// It is safe to write to a terminal whatever the telemetry holds.
func (i Item) Line(width int) string {
	l := line{width: max(width, 0)}
	if i.Kind != KindItem {
		i.notice(&l)
		return string(l.b)
	}
	at := i.Time
	if at.IsZero() {
		at = i.StoredAt
	}
	l.column(timeText(at), len(timeLayout))
	l.column(i.Signal.String(), signalCells)
	l.column(or(i.Service, "-"), serviceCells)
	l.column(or(i.Name, "-"), nameCells)
	l.column(or(i.Type, "-"), typeCells)
	l.text(i.Value, 0)
	for _, a := range i.Attributes {
		l.word(a.Key)
		l.text("=", 0)
		l.text(a.Value, 0)
	}
	if i.TraceID != "" {
		l.word("trace=" + i.TraceID)
	}
	if i.SpanID != "" {
		l.word("span=" + i.SpanID)
	}
	if i.Tenant != "" {
		l.word("tenant=" + i.Tenant)
	}
	if i.Problem != "" {
		l.word("problem: " + i.Problem)
	}
	return strings.TrimRight(string(l.b), " ")
}

// notice writes what is no item.
func (i Item) notice(l *line) {
	what := fmt.Sprintf("-- %s %s: sequence %d", i.Stream, i.Kind, i.Sequence)
	if i.Kind == KindSkipped {
		what = fmt.Sprintf("-- %s skipped %d messages from sequence %d", i.Stream, i.Messages, i.Sequence)
	}
	l.text(what, 0)
	if i.Problem != "" {
		l.text(": "+i.Problem, 0)
	}
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(timeLayout)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
