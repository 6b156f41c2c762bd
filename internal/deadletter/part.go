package deadletter

import (
	"fmt"
	"strconv"
	"strings"
)

// maxPart is the longest part that is written, in bytes.
const maxPart = 64

// Part names n items of a message, from the one at index first on, as it stands
// in HeaderPart: the indices of the first and the last in the payload's order,
// from 0. within is the part that these are items of, "" for the whole message:
// item 1 of part "120-121" is part "121-121".
func Part(within string, first, n int) string {
	if from, _, ok := ParsePart(within); ok {
		first += from
	} else if within != "" {
		return fmt.Sprintf("%s/%d-%d", within, first, first+n-1)
	}
	return fmt.Sprintf("%d-%d", first, first+n-1)
}

// ParsePart is the reverse of Part for a part of a whole message; false when it
// is none.
func ParsePart(part string) (first, last int, ok bool) {
	a, b, ok := strings.Cut(part, "-")
	if !ok {
		return 0, 0, false
	}
	first, err := strconv.Atoi(a)
	if err != nil {
		return 0, 0, false
	}
	last, err = strconv.Atoi(b)
	return first, last, err == nil && first >= 0 && last >= first
}
