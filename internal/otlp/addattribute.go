package otlp

// AddResourceAttribute appends to dst the request b with the string attribute
// set on each of its resources, one being made where there is none. What the
// resource has under the key already is taken out, however often it is there,
// and the new attribute is the last one; the rest keeps its bytes and order. key
// and value must be UTF-8. b is one that Check accepts, and is not changed; of
// other bytes, what is not whole is copied as it is.
func AddResourceAttribute(sig Signal, dst, b []byte, key, value string) []byte {
	a := added{key: key, pair: appendAttribute(nil, key, value)}
	done := 0
	for f := range fields(b) {
		if f.in(cuts[sig][0]) {
			dst = appendTagged(dst, f, len(a.pair)+maxHeader, func(dst []byte) []byte { return a.toBlock(dst, f.value) })
		} else {
			dst = append(dst, f.raw...)
		}
		done += len(f.raw)
	}
	return append(dst, b[done:]...)
}

// added is an attribute that is being added.
type added struct {
	key  string
	pair []byte // field 1 of Resource
}

// maxHeader is more than a tag and a length take.
const maxHeader = 16

// resourceField is the field of Resource{Spans,Metrics,Logs} with the resource.
const resourceField = 1

// toBlock appends body, a Resource{Spans,Metrics,Logs}, with the attribute. It
// goes into the last of its resources, which decoders merge.
func (a *added) toBlock(dst, body []byte) []byte {
	resources := 0
	for f := range fields(body) {
		if f.in(1 << resourceField) {
			resources++
		}
	}
	if resources == 0 {
		dst = append(dst, resourceField<<3|2)
		dst = appendVarint(dst, uint64(len(a.pair)))
		dst = append(dst, a.pair...)
	}
	for f := range fields(body) {
		if !f.in(1 << resourceField) {
			dst = append(dst, f.raw...)
			continue
		}
		resources--
		dst = appendTagged(dst, f, len(a.pair), func(dst []byte) []byte { return a.toResource(dst, f.value, resources == 0) })
	}
	return dst
}

// toResource appends body, a Resource, without what it has under the key, and
// with the attribute when it is the last.
func (a *added) toResource(dst, body []byte, last bool) []byte {
	for f := range fields(body) {
		if f.in(1 << 1) {
			if key, _ := keyValue(f.value); string(key) == a.key {
				continue
			}
		}
		dst = append(dst, f.raw...)
	}
	if last {
		dst = append(dst, a.pair...)
	}
	return dst
}

// appendTagged appends the tag of f and, with its length, what content appends,
// which is longer than f's value by at most grow bytes.
func appendTagged(dst []byte, f rawField, grow int, content func([]byte) []byte) []byte {
	dst = appendVarint(dst, f.tag)
	at := len(dst)
	room := sizeVarint(uint64(len(f.value) + grow))
	dst = append(dst, make([]byte, room)...)
	return closeLength(content(dst), at, room)
}

// appendAttribute appends field 1 of a Resource: a KeyValue with a string.
func appendAttribute(dst []byte, key, value string) []byte {
	text := 1 + sizeVarint(uint64(len(value))) + len(value)
	pair := 1 + sizeVarint(uint64(len(key))) + len(key) + 1 + sizeVarint(uint64(text)) + text
	dst = append(dst, 1<<3|2)
	dst = appendVarint(dst, uint64(pair))
	dst = append(dst, 1<<3|2)
	dst = appendVarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	dst = append(dst, 2<<3|2)
	dst = appendVarint(dst, uint64(text))
	dst = append(dst, 1<<3|2)
	dst = appendVarint(dst, uint64(len(value)))
	return append(dst, value...)
}
