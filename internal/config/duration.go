package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as people write it.
type Duration time.Duration

const day = 24 * time.Hour

// ParseDuration reads what time.ParseDuration reads, and days in front of it:
// "45s", "1h30m", "7d", "1d12h". A number without a unit is refused, except 0.
func ParseDuration(s string) (Duration, error) {
	text := strings.TrimSpace(s)
	var days time.Duration
	if n, rest, found := strings.Cut(text, "d"); found {
		v, err := strconv.ParseFloat(n, 64)
		if err != nil || math.IsNaN(v) || strings.HasPrefix(rest, "-") || math.Abs(v)*float64(day) > math.MaxInt64/2 {
			return 0, fmt.Errorf("%q is not a duration such as 45s, 5m, 1h30m or 7d", s)
		}
		days = time.Duration(v * float64(day))
		if text = rest; text == "" {
			return Duration(days), nil
		}
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 45s, 5m, 1h30m or 7d", s)
	}
	if days < 0 {
		v = -v
	}
	if sum := days + v; (sum < days) == (v < 0) {
		return Duration(sum), nil
	}
	return 0, fmt.Errorf("%q is longer than the longest duration, %s", s, time.Duration(math.MaxInt64))
}

// D is the value as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String is time.Duration's form without units that are zero: "5m", not "5m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}
