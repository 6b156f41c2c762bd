package sample

// sourceBits is the share of the source in an identity; the rest is sequence.
const sourceBits = 24

const seqBits = 64 - sourceBits

// MaxSource is the largest source. Source 0 does not exist: its first identity
// would be the span id of zeros, which means "no span" in OTLP.
const MaxSource = 1<<sourceBits - 1

// ID names one item of one source. seq counts from 0 and is below 1<<40.
func ID(source uint32, seq uint64) uint64 {
	return uint64(source)<<seqBits | seq&(1<<seqBits-1)
}

// SplitID is the reverse of ID.
func SplitID(id uint64) (source uint32, seq uint64) {
	return uint32(id >> seqBits), id & (1<<seqBits - 1)
}

// scramble turns an identity into the eight bytes that travel: one to one, as
// evenly spread as the random ids of a real tracer, and zero only for zero. It
// is the finisher of SplitMix64 (Steele, Lea, Flood 2014).
func scramble(id uint64) uint64 {
	id ^= id >> 30
	id *= 0xbf58476d1ce4e5b9
	id ^= id >> 27
	id *= 0x94d049bb133111eb
	return id ^ id>>31
}

// unscramble is the reverse of scramble; the factors are the inverses of its
// own modulo 1<<64.
func unscramble(v uint64) uint64 {
	v ^= v>>31 ^ v>>62
	v *= 0x319642b2d24d8ec3
	v ^= v>>27 ^ v>>54
	v *= 0x96de1b173f119089
	return v ^ v>>30 ^ v>>60
}
