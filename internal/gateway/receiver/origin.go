package receiver

import (
	"errors"
	"strings"
)

// origin is a pattern of web origins (RFC 6454): a scheme, a host, and a port
// that is empty when it is the scheme's own.
type origin struct {
	scheme    string // with ://
	host      string // with a leading dot for every name below it
	port      string // with :, or empty
	below     bool   // the host began with *.
	everyPort bool   // the port was *
}

// parseOrigin reads scheme://host[:port]; the host may begin with *. or the
// port be *. A * elsewhere is refused: https://shop* would be somebody else's
// shop.example.org too.
func parseOrigin(text string) (origin, error) {
	var o origin
	scheme, rest, ok := strings.Cut(strings.ToLower(text), "://")
	if !ok || scheme == "" || strings.IndexFunc(scheme, notInScheme) >= 0 {
		return o, errors.New("want * alone, or scheme://host")
	}
	o.scheme = scheme + "://"
	o.host, o.port = rest, ""
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		o.host, o.port = rest[:i], rest[i:]
		switch {
		case o.port == ":*":
			o.everyPort, o.port = true, ""
		case !isPort(o.port[1:]):
			return o, errors.New("want a port of digits, or *")
		case scheme == "https" && o.port == ":443", scheme == "http" && o.port == ":80":
			return o, errors.New("leave the port out: browsers do where it is the scheme's own")
		}
	}
	if name, ok := strings.CutPrefix(o.host, "*"); ok && strings.HasPrefix(name, ".") {
		o.below, o.host = true, name
	}
	switch name := strings.TrimPrefix(o.host, "."); {
	case strings.Contains(name, "*"):
		return o, errors.New("want at most one *, as *. in front of a host's name or as its port")
	case !isHost(name) && !(isLiteral(name) && !o.below):
		return o, errors.New("want a host's name, in the form that is sent (xn--…), and no path behind it")
	case o.below && o.everyPort:
		return o, errors.New("want at most one *, as *. in front of a host's name or as its port")
	}
	return o, nil
}

// match tells whether a browser's Origin is one of the pattern. Browsers write
// it in lower case, and so it is compared.
func (o origin) match(from string) bool {
	rest, ok := strings.CutPrefix(from, o.scheme)
	if !ok {
		return false
	}
	if o.everyPort {
		port, ok := strings.CutPrefix(rest, o.host)
		return ok && (port == "" || port[0] == ':' && isPort(port[1:]))
	}
	if rest, ok = strings.CutSuffix(rest, o.port); !ok {
		return false
	}
	if !o.below {
		return rest == o.host
	}
	name, ok := strings.CutSuffix(rest, o.host)
	return ok && isHost(name)
}

func notInScheme(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '+' || r == '-' || r == '.')
}

// isHost is true for labels of letters, digits, - and _ with dots between.
func isHost(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.IndexFunc(label, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) >= 0 {
			return false
		}
	}
	return true
}

// isLiteral is true for an IPv6 address in brackets, as far as its letters go.
func isLiteral(s string) bool {
	inner, ok := strings.CutPrefix(s, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	return ok && closed && inner != "" && strings.Trim(inner, "0123456789abcdef:.") == ""
}

func isPort(s string) bool {
	return len(s) >= 1 && len(s) <= 5 && strings.Trim(s, "0123456789") == ""
}

// isToken is true for a name of RFC 9110, 5.6.2.
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}) < 0
}
