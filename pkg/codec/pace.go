package codec

// Pace is told how many bytes were read and produced so far, after each piece of
// work: at most 64 KiB of output, which take up to a millisecond. Brotli fills its
// whole window, of up to 16 MiB, before it hands out a first byte of it, so every 256th
// piece may take 50 ms; and what makes no output, as empty members of gzip, is no piece.
// It may keep its caller waiting for as long as it likes, so that work that nobody
// vouches for does not have a core at a stretch. Its error ends the work.
type Pace func(in, out int) error

// breath is the most output of a piece of work.
const breath = 64 << 10

// watched is p, and where its error will be: what ends the work is no fault of the
// data, and is not to be dressed up as one.
func (p Pace) watched() (Pace, *error) {
	stop := new(error)
	if p == nil {
		return nil, stop
	}
	return func(in, out int) error {
		if *stop == nil { // deflate tries twice
			*stop = p(in, out)
		}
		return *stop
	}, stop
}
