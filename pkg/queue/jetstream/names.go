package jetstream

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Subject is the one subject of a stream: its name in lower case with dots in
// place of underscores, PENSTOCK_TRACES_0 <-> penstock.traces.0. Names that two
// streams could share a subject by are refused with the stream.
func Subject(stream string) string {
	return strings.ReplaceAll(strings.ToLower(stream), "_", ".")
}

// checkStream keeps Subject reversible: upper case, no empty part.
func checkStream(name string) error {
	ok := name != "" && len(name) <= 128 &&
		!strings.HasPrefix(name, "_") && !strings.HasSuffix(name, "_") && !strings.Contains(name, "__")
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
	}
	if !ok {
		return fmt.Errorf("queue: stream name %q: use 1 to 128 of A-Z, 0-9 and -, in parts joined by single underscores", name)
	}
	return nil
}

func checkConsumer(name string) error {
	ok := name != "" && len(name) <= 128
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
	}
	if !ok {
		return fmt.Errorf("queue: consumer name %q: use 1 to 128 of A-Z, a-z, 0-9, _ and -", name)
	}
	return nil
}

// splitURLs never repeats a URL in an error, because it may hold a password.
func splitURLs(list string) ([]string, error) {
	var urls []string
	for i, s := range strings.Split(list, ",") {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("queue: url number %d is not of the form nats://host:port", i+1)
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return nil, fmt.Errorf("queue: url number %d has the scheme %q: use nats, tls, ws or wss", i+1, u.Scheme)
		}
		urls = append(urls, s)
	}
	if len(urls) == 0 {
		return nil, errors.New("queue: url holds no address")
	}
	return urls, nil
}

func checkMonitorURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("queue: a monitor url is not of the form http://host:port")
	}
	return nil
}
