package sample

import "fmt"

// Story is what the spans of a request have to do with each other.
type Story int

const (
	// Shop: traces of four to ten spans within one service.
	Shop Story = iota
	// Web: each span is a web request, a trace of its own, of one service.
	Web
	// Trace3: each operation is a trace over three services, a span in each: a web
	// request, the call that it makes, and the call that this makes. Of a number
	// that three does not divide the last trace is shorter.
	Trace3
)

var storyNames = [...]string{Shop: "shop", Web: "web", Trace3: "trace3"}

func (s Story) String() string { return storyNames[s] }

// ParseStory is the reverse of String.
func ParseStory(name string) (Story, error) {
	for s, n := range storyNames {
		if n == name {
			return Story(s), nil
		}
	}
	return 0, fmt.Errorf("unknown story %q: want one of %v", name, storyNames)
}

// appendStory adds a request of Web or Trace3: a block for each service.
func (g *Generator) appendStory(dst []byte, items int, now uint64) []byte {
	services := 1
	if g.shape.Story == Trace3 {
		services = min(3, items)
	}
	base := g.r.next()  // of the trace ids, which all services of an operation share
	caller := uint64(0) // sequence of the first span of the service before
	for depth := range services {
		n := (items + services - 1 - depth) / services
		src := g.nextPod()
		g.picked = g.picked[:0]
		size := 0
		for range n {
			of := src.spans.entries
			if depth > 0 {
				of = src.spans.remotes
			}
			t := of[g.r.below(len(of))]
			g.picked = append(g.picked, t)
			size += len(t.b)
		}
		dst = openBlock(dst, src, size)
		first := g.next
		for i, t := range g.picked {
			at := len(dst)
			dst = append(dst, t.b...)
			trace := trace{hi: scramble(base+2*uint64(i)) | 1, lo: scramble(base + 2*uint64(i) + 1)}
			if depth > 0 {
				trace.parent = scramble(ID(g.shape.Source, caller+uint64(i)))
			}
			stamp(dst[at:], t, scramble(ID(g.shape.Source, g.next)), g.r.next(), trace, now)
			g.next++
		}
		dst = append(dst, blockTail...)
		caller = first
	}
	return dst
}
