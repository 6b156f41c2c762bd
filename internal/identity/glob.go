package identity

import "strings"

// glob matches a pattern against the whole of a text: * is any text, also none, ?
// one byte. It takes at most the product of both lengths, whatever the pattern.
func glob(pattern, text string) bool {
	star, from := -1, 0 // the last * and where its text ends
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
