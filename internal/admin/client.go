package admin

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

const (
	getTimeout = 30 * time.Second
	maxAnswer  = 16 << 20
)

// StatusError is an answer that is not 2xx.
type StatusError struct {
	URL  string
	Code int
	Body string
}

// Error is what the problem says, if the body is one.
func (e *StatusError) Error() string {
	var p struct {
		Problem
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	if err := json.Unmarshal([]byte(e.Body), &p); err != nil || p.Detail == "" {
		return fmt.Sprintf("%s: HTTP %d: %s", e.URL, e.Code, strings.TrimSpace(e.Body))
	}
	text := p.Detail
	for _, x := range p.Errors {
		text += fmt.Sprintf("; %s: %s", strings.TrimPrefix(x.Location, "body."), x.Message)
	}
	return text
}

// Access is how this process asks an admin port: who it is, and by what TLS.
type Access struct {
	Token config.Secret // an API key or a JWT; "": none
	TLS   config.TLSClient
}

type accessKey struct{}

// WithAccess has Get, Ask and Stream ask by a.
func WithAccess(ctx context.Context, a Access) context.Context {
	return context.WithValue(ctx, accessKey{}, a)
}

// Get asks another process's admin port; see Ask. It waits at most 30 s.
func Get(ctx context.Context, addr, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	return Ask(ctx, http.MethodGet, addr, path, nil)
}

// Ask asks another process's admin port, with body as JSON unless it is nil. Addr
// is host:port as in admin.listen, where an unspecified host means this machine,
// or a URL for TLS. Paths below /api/ answer with JSON, the others with text. An
// answer other than 2xx is a *StatusError, and is returned too; the wait is
// bounded by ctx alone, and by the other side.
func Ask(ctx context.Context, method, addr, path string, body any) ([]byte, error) {
	resp, err := request(ctx, method, addr, path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return readAnswer(resp)
}

// Stream asks and calls each with every line of the answer that is not empty,
// until the answer or ctx ends, or each fails. A line is each's until it returns
// and has at most 16 MiB. That ctx ended is no error.
func Stream(ctx context.Context, addr, path string, each func(line []byte) error) error {
	resp, err := request(ctx, http.MethodGet, addr, path, nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		_, err := readAnswer(resp)
		return err
	}
	lines := newLines(resp.Body)
	for {
		line, err := lines.next()
		switch {
		case ctx.Err() != nil, errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: the stream broke: %w", resp.Request.URL, err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

func request(ctx context.Context, method, addr, path string, body any) (*http.Response, error) {
	url := strings.TrimSuffix(URL(addr, false), "/") + "/" + strings.TrimPrefix(path, "/")
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, url, err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return nil, fmt.Errorf("admin address %q: %w", addr, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if strings.HasPrefix(req.URL.Path, "/api/") {
		req.Header.Set("Accept", "application/json")
	}
	access, _ := ctx.Value(accessKey{}).(Access)
	tlsConfig, err := access.TLS.Config()
	if err != nil {
		return nil, err
	}
	if access.Token != "" {
		req.Header.Set("Authorization", "Bearer "+access.Token.Reveal())
	}
	// One question a process: no connection is kept, and no proxy is asked
	// about a port of our own. A redirect is not followed: the token is for who
	// was asked.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: tlsConfig},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return nil, fmt.Errorf("the certificate of the admin port leads to no authority that is known; name that one by --ca-file: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("no answer from the admin port; is the process running, and is this its admin.listen? %w", err)
	}
	return resp, nil
}

func readAnswer(resp *http.Response) ([]byte, error) {
	url := resp.Request.URL.String()
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

// URL turns a listen address into the URL by which this machine reaches it; a URL
// stays as it is.
func URL(addr string, speaksTLS bool) string {
	if strings.HasPrefix(addr, "http://") || strings.HasPrefix(addr, "https://") {
		return addr
	}
	scheme := "http://"
	if speaksTLS {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return scheme + addr
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return scheme + net.JoinHostPort(host, port)
}
