package config

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, never negative when it was parsed.
type ByteSize int64

// The binary units.
const (
	KiB ByteSize = 1 << 10
	MiB ByteSize = 1 << 20
	GiB ByteSize = 1 << 30
	TiB ByteSize = 1 << 40
	PiB ByteSize = 1 << 50
)

var byteUnits = map[string]int64{
	"": 1, "b": 1,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50,
	"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40, "pi": 1 << 50,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "pb": 1e15,
}

// printUnits are the units String uses, from the largest.
var printUnits = []struct {
	size ByteSize
	name string
}{{PiB, "PiB"}, {TiB, "TiB"}, {GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}}

// ParseByteSize reads "3.5MiB", "10 GiB", "64KiB", "1MB" (decimal), "512B",
// "2Gi" (as Kubernetes writes it) or a plain number of bytes. A fraction of a
// byte is cut off.
func ParseByteSize(s string) (ByteSize, error) {
	text := strings.TrimSpace(s)
	cut := len(text)
	for i, r := range text {
		if (r < '0' || r > '9') && r != '.' {
			cut = i
			break
		}
	}
	number, unit := text[:cut], strings.ToLower(strings.TrimSpace(text[cut:]))
	factor, known := byteUnits[unit]
	switch {
	case number == "":
		return 0, fmt.Errorf("%q is not a size: it has no number", s)
	case !known:
		return 0, fmt.Errorf("%q is not a size: unknown unit %q, use B, KiB, MiB, GiB, TiB, PiB or kB, MB, GB, TB, PB", s, text[cut:])
	case len(number) > 40:
		return 0, fmt.Errorf("%q is not a size: the number has %d digits", s[:20]+"...", len(number))
	}
	// Rational, because 3.5 PiB and its neighbours are beyond a float64.
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Errorf("%q is not a size: %q is not a number", s, number)
	}
	r.Mul(r, new(big.Rat).SetInt64(factor))
	whole := new(big.Int).Quo(r.Num(), r.Denom())
	if !whole.IsInt64() {
		return 0, fmt.Errorf("%q is too large: the largest size is %d bytes", s, int64(math.MaxInt64))
	}
	return ByteSize(whole.Int64()), nil
}

// String is the shortest text with a unit that ParseByteSize reads back as the
// same number: "3.5MiB", "10GiB"; "1025B" where no unit gives it in three
// decimals.
func (b ByteSize) String() string {
	best := ""
	for _, u := range printUnits {
		if b < u.size {
			continue
		}
		if int64(b)%int64(u.size)*1000%int64(u.size) != 0 {
			continue // three decimals do not hold it
		}
		text := new(big.Rat).SetFrac64(int64(b), int64(u.size)).FloatString(3)
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".") + u.name
		if best == "" || len(text) < len(best) {
			best = text
		}
	}
	if best == "" {
		return strconv.FormatInt(int64(b), 10) + "B"
	}
	return best
}

// MarshalText is String.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText is ParseByteSize.
func (b *ByteSize) UnmarshalText(text []byte) error {
	v, err := ParseByteSize(string(text))
	if err == nil {
		*b = v
	}
	return err
}
