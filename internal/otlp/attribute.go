package otlp

// plainAttribute tells whether the n bytes at pos are a KeyValue in the form that
// most attributes have: a key, then a value that is a string or an integer, of
// ASCII and short lengths. It only ever answers true for what the walk would
// accept unchanged. Attributes are most of the bytes of most requests, and this
// saves two levels of the walk on each.
func plainAttribute(b []byte, pos, n int) bool {
	if n < 4 || n >= 0x80 {
		return false
	}
	kv := b[pos : pos+n]
	if kv[0] != 1<<3|2 { // key
		return false
	}
	key := int(kv[1])
	v := 2 + key       // value's tag
	if v+4 > len(kv) { // also when the length has a second byte
		return false
	}
	if kv[v] != 2<<3|2 || int(kv[v+1]) != len(kv)-v-2 {
		return false
	}
	if !isASCII(b, pos+2, key) {
		return false
	}
	switch kv[v+2] {
	case 1<<3 | 2: // string_value
		s := len(kv) - v - 4
		return int(kv[v+3]) == s && isASCII(b, pos+v+4, s)
	case 3 << 3: // int_value
		_, next := varint(kv, v+3, len(kv))
		return next == len(kv)
	}
	return false
}
