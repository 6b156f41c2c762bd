package otlp

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Filter chooses resources by their attributes and items by their event time.
// The zero Filter takes everything. It is safe for concurrent use.
type Filter struct {
	// Resource must hold for the attributes of a resource.
	Resource Conditions
	// From and To bound the event time, From included and To not; the zero time
	// leaves that side open. The time of a span is its start, that of a point its
	// time, that of a log record its time or else its observed time. An item
	// without time is always kept: nothing says that it is outside.
	From, To time.Time
}

// Everything tells whether the filter takes everything.
func (f *Filter) Everything() bool { return len(f.Resource) == 0 && !f.hasWindow() }

// Apply appends to dst what the filter takes of the request b, which Check must
// accept without repair. Where dst is empty and everything is taken, the result
// is b itself and nothing is copied. Else the result shares no memory with b,
// which is not changed. info is that of what was taken; with no items there is
// nothing to send on.
//
// A metric, scope or resource all of whose items are left out is left out too;
// what is taken whole keeps its bytes, what is not has its lengths written anew
// and all its other fields as they were, unknown ones too. Data of a metric that
// decoders forget, because another kind of data follows, is left out where the
// metric loses points.
//
// The error is a *Malformed, with dst as the result.
func (f *Filter) Apply(sig Signal, dst, b []byte) (out []byte, info Info, err error) {
	if info, err = Check(sig, b, CheckOptions{RejectUTF8: true}); err != nil {
		return dst, Info{}, err
	}
	if f.Everything() || f.takesAll(sig, 0, b) {
		if len(dst) == 0 {
			return b, info, nil
		}
		return append(dst, b...), info, nil
	}
	s := selection{sig: sig, filter: f, first: true}
	mark := len(dst)
	out, _, _ = s.write(dst, 0, b)
	if info, err = Check(sig, out[mark:], CheckOptions{RejectUTF8: true}); err != nil {
		return dst, Info{}, fmt.Errorf("BUG: what a filter takes of a sound request is not sound: %w", err)
	}
	return out, info, nil
}

// takesAll tells whether nothing of body, a message of the level, is left out.
func (f *Filter) takesAll(sig Signal, level int, body []byte) bool {
	children := cuts[sig][level]
	dead := 0
	if sig == Metrics && level == dataLevel {
		dead = deadData(body)
	}
	for c := range fields(body) {
		switch {
		case !c.in(children):
		case dead > 0:
			dead--
		case level == 0 && !f.wantsResource(c.value):
			return false
		case !f.hasWindow():
		case level == len(cuts[sig])-1:
			if !f.inWindow(itemTime(sig, c.value)) {
				return false
			}
		case !f.takesAll(sig, level+1, c.value):
			return false
		}
	}
	return true
}

// wantsResource decides about a Resource{Spans,Metrics,Logs}.
func (f *Filter) wantsResource(body []byte) bool {
	return f.Resource.Match(resourceAttributes(body))
}

func (f *Filter) hasWindow() bool { return !f.From.IsZero() || !f.To.IsZero() }

// inWindow decides by a time in Unix nanoseconds; 0 is no time.
func (f *Filter) inWindow(ns uint64) bool {
	if ns == 0 {
		return true
	}
	t := time.Unix(int64(ns/1e9), int64(ns%1e9))
	return (f.From.IsZero() || !t.Before(f.From)) && (f.To.IsZero() || t.Before(f.To))
}

// timeTags are the fixed64 fields with the time of an item, the second for
// items without the first.
var timeTags = [NumSignals][2]uint64{
	Traces:  {7<<3 | 1},
	Metrics: {3<<3 | 1},
	Logs:    {1<<3 | 1, 11<<3 | 1},
}

// itemTime is the event time of an item in Unix nanoseconds, 0 when it has none.
func itemTime(sig Signal, item []byte) uint64 {
	var times [2]uint64
	for f := range fields(item) {
		switch f.tag {
		case timeTags[sig][0]:
			times[0] = binary.LittleEndian.Uint64(f.value)
		case timeTags[sig][1]:
			times[1] = binary.LittleEndian.Uint64(f.value)
		}
	}
	if times[0] != 0 {
		return times[0]
	}
	return times[1]
}
