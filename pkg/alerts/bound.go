package alerts

import (
	"slices"
	"unicode/utf8"
)

// Bounds of what an alert carries, in bytes, so that it fits into an entry however
// much JSON makes of it. What is beyond is cut off, and never the alert.
const (
	// MaxAnnotation is of the text of one annotation, MaxAnnotations their number.
	MaxAnnotation  = 2 << 10
	MaxAnnotations = 16
	// MaxLabels is of all labels; those that have more are cut to short values. The
	// key is of them all.
	MaxLabels = 32 << 10
	// MaxSource is of the link of an alert that was posted.
	MaxSource = 2 << 10
)

// shortLabel is what is left of a value where there is too much.
const shortLabel = 128

func boundedAnnotations(l Labels) Labels {
	if len(l) <= MaxAnnotations && !slices.ContainsFunc(l, func(x Label) bool { return len(x.Value) > MaxAnnotation || len(x.Name) > MaxAnnotation }) {
		return l
	}
	var out Labels
	for _, x := range l {
		if len(x.Name) <= MaxAnnotation && len(out) < MaxAnnotations {
			out = append(out, Label{x.Name, cut(x.Value, MaxAnnotation)})
		}
	}
	return out
}

func boundedLabels(l Labels) Labels {
	size := 0
	for _, x := range l {
		size += len(x.Name) + len(x.Value)
	}
	if size <= MaxLabels {
		return l
	}
	var out Labels
	size = 2 * shortLabel // of the two that always have a place
	for _, x := range l {
		x.Value = cut(x.Value, shortLabel)
		if x.Name != "alertname" && x.Name != "severity" {
			if size += len(x.Name) + len(x.Value); size > MaxLabels {
				continue
			}
		}
		out = append(out, x)
	}
	return out
}

// cut cuts s to most bytes, between characters.
func cut(s string, most int) string {
	const end = "…"
	if len(s) <= most {
		return s
	}
	n := most - len(end)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + end
}
