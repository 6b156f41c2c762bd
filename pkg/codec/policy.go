package codec

// DefaultMinBytes is the size under which a Policy stores payloads as they are:
// there compression saves little and costs a header.
const DefaultMinBytes = 1 << 10

// Policy decides whether compressing a payload is worth it. It is immutable and
// safe for concurrent use.
type Policy struct {
	enc      Encoder
	minBytes int
}

// NewPolicy compresses with NewEncoder(name, level) what has at least minBytes
// bytes; 0 means DefaultMinBytes, 1 or less compresses everything.
func NewPolicy(name string, level, minBytes int) (*Policy, error) {
	enc, err := NewEncoder(name, level)
	if err != nil {
		return nil, err
	}
	if minBytes == 0 {
		minBytes = DefaultMinBytes
	}
	return &Policy{enc: enc, minBytes: minBytes}, nil
}

// Name is the codec that Append uses when it is worth it.
func (p *Policy) Name() string { return p.enc.Name() }

// Plain tells whether n bytes are stored as they are without a try.
func (p *Policy) Plain(n int) bool { return p.enc.Name() == None || n < p.minBytes }

// MaxEncodedLen is the room in dst with which Append of n bytes does not grow it.
func (p *Policy) MaxEncodedLen(n int) int { return MaxEncodedLen(p.enc.Name(), n) }

// Append appends src to dst, compressed, or as it is when src is small or does
// not shrink. The name of the codec used comes back with it. Ownership is that
// of Encoder.Append.
func (p *Policy) Append(dst, src []byte) (out []byte, codecName string, err error) {
	if p.Plain(len(src)) {
		return append(dst, src...), None, nil
	}
	out, err = p.enc.Append(dst, src)
	if err != nil {
		return dst, "", err
	}
	if len(out)-len(dst) >= len(src) {
		return append(out[:len(dst)], src...), None, nil
	}
	return out, p.enc.Name(), nil
}
