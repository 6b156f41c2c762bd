package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseWhen reads a time on the command line: RFC 3339, a date, "now", or how
// long ago: -2h, 90m, 3d (the sign may be left out). "" is the zero time.
func parseWhen(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if text == "now" {
		return now, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	ago, err := parseAgo(strings.TrimPrefix(text, "-"))
	if err != nil || strings.HasPrefix(text, "+") {
		return time.Time{}, fmt.Errorf("%q is no time: want RFC 3339 such as 2026-01-31T12:00:00Z, or how long ago, such as -2h or -3d", text)
	}
	return now.Add(-ago), nil
}

// parseAgo is time.ParseDuration, with days before it: 1d, 1d12h.
func parseAgo(text string) (time.Duration, error) {
	var days time.Duration
	if n, rest, ok := strings.Cut(text, "d"); ok {
		d, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return 0, err
		}
		days = time.Duration(d) * 24 * time.Hour
		if text = rest; text == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = fmt.Errorf("%q is negative", text)
	}
	return days + d, err
}
