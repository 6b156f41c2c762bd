package admin

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	getTimeout = 10 * time.Second
	maxAnswer  = 16 << 20
)

// StatusError is an answer that is not 2xx.
type StatusError struct {
	URL  string
	Code int
	Body string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: HTTP %d: %s", e.URL, e.Code, strings.TrimSpace(e.Body))
}

// Get asks another process's admin port. Addr is host:port as in admin.listen,
// where an unspecified host means this machine, or a URL for TLS. Paths below
// /api/ answer with JSON, the others with text. An answer other than 2xx is a
// *StatusError; the wait is bounded to 10 s, and by ctx.
func Get(ctx context.Context, addr, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	url := strings.TrimSuffix(base(addr), "/") + "/" + strings.TrimPrefix(path, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("admin address %q: %w", addr, err)
	}
	if strings.HasPrefix(req.URL.Path, "/api/") {
		req.Header.Set("Accept", "application/json")
	}
	// One question a process: no connection is kept, and no proxy is asked
	// about a port of our own.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no answer from the admin port; is the process running, and is this its admin.listen? %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", url, err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("%s: the answer is larger than %d bytes", url, maxAnswer)
	case resp.StatusCode/100 != 2:
		return body, &StatusError{URL: url, Code: resp.StatusCode, Body: string(body)}
	}
	return body, nil
}

// base turns a listen address into the URL by which this machine reaches it.
func base(addr string) string {
	if strings.HasPrefix(addr, "http://") || strings.HasPrefix(addr, "https://") {
		return addr
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
