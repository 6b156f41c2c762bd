package otlp

import "iter"

// Resource is a Resource{Spans,Metrics,Logs} of a request, in its bytes.
type Resource struct {
	sig Signal
	f   rawField
}

// Resources lists the resources of a request that Check has accepted, in order
// and without allocating. They are of use as long as b is unchanged.
func Resources(sig Signal, b []byte) iter.Seq[Resource] {
	return func(yield func(Resource) bool) {
		for f := range fields(b) {
			if f.in(cuts[sig][0]) && !yield(Resource{sig, f}) {
				return
			}
		}
	}
}

// Attributes are those of the resource.
func (r Resource) Attributes() Attributes { return resourceAttributes(r.f.value) }

// Request is a request that holds the resource alone: bytes of the request it
// was found in. Joined, those of all resources are that request but for its
// unknown fields.
func (r Resource) Request() []byte { return r.f.raw }

// Items is the number of items of the resource.
func (r Resource) Items() int { return countItems(r.sig, 1, r.f.value) }

// resourceAttributes are those of a Resource{Spans,Metrics,Logs}: a decoder
// merges its resource when it is there several times.
func resourceAttributes(body []byte) Attributes {
	return Attributes{body: body, holder: 1 << 1, list: 1 << 1}
}

// countItems counts the items of body, a message of the level.
func countItems(sig Signal, level int, body []byte) (n int) {
	dead := 0
	if sig == Metrics && level == dataLevel {
		dead = deadData(body)
	}
	for f := range fields(body) {
		switch {
		case !f.in(cuts[sig][level]):
		case dead > 0:
			dead--
		case level == len(cuts[sig])-1:
			n++
		default:
			n += countItems(sig, level+1, f.value)
		}
	}
	return n
}
