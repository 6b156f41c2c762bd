package promrules

import (
	"errors"

	"github.com/prometheus/prometheus/storage"
)

// Reason says why a sample was left out. Its text is a stable metric label.
type Reason uint8

// The reasons. A point of a histogram is several samples.
const (
	TooOld Reason = iota
	Future
	OutOfOrder
	Duplicate
	NotFinite
	Negative
	LabelLimit
	SeriesLimit
	DeltaRefused
	Invalid
	NumReasons
)

var reasons = [NumReasons]string{
	TooOld:       "too_old",
	Future:       "future",
	OutOfOrder:   "out_of_order",
	Duplicate:    "duplicate", // of the same time with another value
	NotFinite:    "not_finite",
	Negative:     "negative_delta", // of a counter
	LabelLimit:   "label_limit",
	SeriesLimit:  "series_limit",
	DeltaRefused: "delta_refused", // earlier than one of its series that came before, or one stream too many
	Invalid:      "invalid",       // a name, a temporality or a histogram that cannot be translated
}

func (r Reason) String() string { return reasons[r] }

// Appended is what became of a request.
type Appended struct {
	// Samples were stored; with those that were stored before as they are.
	Samples int
	Dropped [NumReasons]int
	// Example is the problem of one that was dropped, for a log.
	Example string
}

func (a *Appended) drop(r Reason, n int, example string) {
	a.Dropped[r] += n
	if a.Example == "" {
		a.Example = r.String() + ": " + example
	}
}

// Left is the number of samples left out.
func (a *Appended) Left() (n int) {
	for _, d := range a.Dropped {
		n += d
	}
	return n
}

var errSeriesLimit = errors.New("one series more than the limit")

// reasonOf finds the reason of an error of the store; false when it is none that
// a sample is to blame for.
func reasonOf(err error) (Reason, bool) {
	switch {
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds):
		return TooOld, true
	case errors.Is(err, storage.ErrOutOfOrderSample):
		return OutOfOrder, true
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		return Duplicate, true
	case errors.Is(err, errSeriesLimit):
		return SeriesLimit, true
	}
	return Invalid, err != nil
}
