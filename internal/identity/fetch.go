package identity

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/penstock-otel/penstock/internal/config"
)

// Bounds of what an issuer is asked.
const (
	fetchTimeout = 10 * time.Second // of a request
	maxAnswer    = 1 << 20          // bytes
	maxRedirects = 3
	maxJWKS      = 100  // keys
	minRSA       = 2048 // bits (RFC 7518, 3.3)
)

// fetcher is the client by which an issuer is asked.
func fetcher(caFile string) (*http.Client, error) {
	tlsConfig, err := config.TLSClient{CAFile: caFile}.Config()
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	return &http.Client{
		Timeout:   fetchTimeout,
		Transport: bounded{transport(tlsConfig)},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
				return errors.New("a redirect leads away from https")
			}
			return nil
		},
	}, nil
}

func transport(c *tls.Config) *http.Transport {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c, ForceAttemptHTTP2: true, TLSHandshakeTimeout: fetchTimeout,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second}
}

// bounded ends answers that are too long: the library reads them whole.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// CloseIdleConnections lets the client close what it keeps.
func (b bounded) CloseIdleConnections() {
	if c, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// fetchKeys finds where the keys are, unless that is configured, and reads them.
func fetchKeys(ctx context.Context, client *http.Client, c Issuer) ([]jose.JSONWebKey, error) {
	from := c.JWKSURL
	if from == "" {
		provider, err := oidc.NewProvider(oidc.ClientContext(ctx, client), c.Issuer)
		if err != nil {
			return nil, fmt.Errorf("discovery: %s", clipError(err))
		}
		var found struct {
			JWKSURI string `json:"jwks_uri"`
		}
		if err := provider.Claims(&found); err != nil {
			return nil, fmt.Errorf("discovery: %s", clipError(err))
		}
		if err := checkURL(found.JWKSURI); err != nil {
			return nil, fmt.Errorf("discovery: jwks_uri %w", err)
		}
		from = found.JWKSURI
	}
	body, err := get(ctx, client, from)
	if err != nil {
		return nil, fmt.Errorf("keys: %s", clipError(err))
	}
	keys, err := parseJWKS(body)
	if err != nil {
		return nil, fmt.Errorf("keys at %s: %w", from, err)
	}
	return keys, nil
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	r.Header.Set("Cache-Control", "no-cache")
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: HTTP %s", url, resp.Status)
	}
	return body, nil
}

// clipError keeps an answer that the library quotes from filling the log.
func clipError(err error) string {
	s := printable(err.Error())
	const most = 300
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// parseJWKS keeps the keys by which signatures can be verified: public ones, long
// enough, for signing. Others are left out, as RFC 7517 (5) wants of kinds that
// are not known; a set without any is an error.
func parseJWKS(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("no key set: %s", clipError(err))
	}
	if len(set.Keys) > maxJWKS {
		return nil, fmt.Errorf("%d keys: want at most %d", len(set.Keys), maxJWKS)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if err := json.Unmarshal(raw, &k); err != nil || !usable(k) {
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of %d keys can verify a signature: want public RSA (%d bits or more), EC or Ed25519 keys", len(set.Keys), minRSA)
	}
	return keys, nil
}

func usable(k jose.JSONWebKey) bool {
	if !k.IsPublic() || !k.Valid() || k.Use != "" && k.Use != "sig" {
		return false
	}
	if k.Algorithm != "" && !slices.Contains(algorithms, k.Algorithm) {
		return false
	}
	if r, ok := k.Key.(*rsa.PublicKey); ok {
		return r.N.BitLen() >= minRSA
	}
	return true
}

// same tells whether two sets have the same keys in the same order.
func same(a, b []jose.JSONWebKey) bool {
	return slices.EqualFunc(a, b, func(x, y jose.JSONWebKey) bool {
		ax, errX := x.MarshalJSON()
		ay, errY := y.MarshalJSON()
		return errX == nil && errY == nil && string(ax) == string(ay)
	})
}
