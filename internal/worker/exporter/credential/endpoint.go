package credential

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/penstock-otel/penstock/internal/config"
)

// endpoint asks a token endpoint. One request at a time.
type endpoint struct {
	host    string // all of the URL that is shown
	request clientcredentials.Config
	secret  secretFile
	params  []string // values that may be secret
	timeout time.Duration
	tls     *config.TLSSource
}

// answer of a token endpoint. after is the wait that a failure asks for.
type answer struct {
	value string        // of the authorization header
	life  time.Duration // 0: it does not say
	after time.Duration
}

func newEndpoint(c OAuth2, o Options) (*endpoint, error) {
	u, err := url.Parse(c.TokenURL)
	if err != nil {
		return nil, errors.New("token_url is no URL") // which is not repeated
	}
	e := &endpoint{host: u.Host, timeout: time.Duration(c.Timeout), secret: secretFile{fixed: c.ClientSecret.Reveal()}}
	if c.ClientSecretFile != "" {
		if e.secret.file, err = openSecret(c.ClientSecretFile, o.Logger); err != nil {
			return nil, fmt.Errorf("client_secret_file: %w", err)
		}
	}
	if e.tls, err = c.TLS.Open(config.TLSUse{Name: "destinations." + o.Destination + ".auth.oauth2.tls", Logger: o.Logger, Files: o.TLSFiles}); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	e.request = clientcredentials.Config{TokenURL: c.TokenURL, ClientID: c.ClientID, Scopes: c.Scopes, AuthStyle: styles[c.AuthStyle]}
	if len(c.Params) > 0 {
		e.request.EndpointParams = url.Values{}
	}
	for _, p := range c.Params {
		e.request.EndpointParams.Set(p.Name, p.Value.Reveal())
		e.params = append(e.params, p.Value.Reveal())
	}
	return e, nil
}

func openSecret(path string, log *slog.Logger) (*config.Reread[string], error) {
	read := func() (string, error) {
		secret, err := readSecret(path)
		if err == nil && secret == "" {
			err = fmt.Errorf("%s is empty", path)
		}
		return secret, err
	}
	return config.NewReread([]string{path}, read, say(log, "client secret file"))
}

// ask makes one request.
func (e *endpoint) ask(ctx context.Context) (answer, error) {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        e.tls.Config().Clone(),
		DisableKeepAlives:      true, // the next request is minutes away
		TLSHandshakeTimeout:    e.timeout,
		MaxResponseHeaderBytes: 64 << 10,
	}
	client := &http.Client{Transport: transport, Timeout: e.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	e.request.ClientSecret = e.secret.now()
	t, err := e.request.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return e.failure(err)
	}
	a := answer{value: t.Type() + " " + t.AccessToken}
	if !strings.EqualFold(t.Type(), "Bearer") {
		return a, fmt.Errorf("token endpoint %s gave a token of type %q: want Bearer", e.host, e.clean(t.Type()))
	}
	if err := checkToken(t.AccessToken); err != nil {
		return a, fmt.Errorf("the token that token endpoint %s gave %w", e.host, err)
	}
	if !t.Expiry.IsZero() {
		if a.life = time.Until(t.Expiry); a.life <= 0 {
			return a, fmt.Errorf("token endpoint %s gave a token that has expired already", e.host)
		}
	}
	return a, nil
}

// failure says what went wrong, with the words of the endpoint and none of its
// secrets.
func (e *endpoint) failure(err error) (answer, error) {
	var refused *oauth2.RetrieveError
	var transport *url.Error
	switch {
	case errors.As(err, &refused):
		a := answer{after: retryAfter(refused.Response.Header)}
		return a, fmt.Errorf("token endpoint %s answered %s%s", e.host, e.clean(refused.Response.Status), e.says(refused))
	case errors.As(err, &transport):
		if transport.Timeout() {
			return answer{}, fmt.Errorf("token endpoint %s did not answer within %s", e.host, e.timeout)
		}
		err = transport.Err // without the URL
	}
	return answer{}, fmt.Errorf("token endpoint %s: %s", e.host, e.clean(err.Error()))
}

// says is the endpoint's own word (RFC 6749, section 5.2), or the beginning of
// what it sent instead.
func (e *endpoint) says(r *oauth2.RetrieveError) string {
	words := e.clean(r.ErrorCode)
	if d := e.clean(r.ErrorDescription); d != "" && words != "" {
		words += ": " + d
	}
	switch {
	case words == "" && r.Response.StatusCode/100 == 3:
		words = "redirects are not followed, the secret would go along"
	case words == "":
		words = e.clean(string(r.Body))
	}
	if words == "" {
		return ""
	}
	if r.ErrorCode == "invalid_client" {
		words += "; see to client_id and client_secret"
	}
	return ": " + words
}

// maxWords bounds what is shown of an endpoint's text.
const maxWords = 256

// clean makes text of the endpoint fit for logs: one line, short, without the
// secrets that went there in any of the forms in which they did.
func (e *endpoint) clean(text string) string {
	var pairs []string
	id := e.request.ClientID
	for _, secret := range append([]string{e.request.ClientSecret}, e.params...) {
		if len(secret) < 6 { // a word rather than a secret
			continue
		}
		pairs = append(pairs, base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret))), "***",
			secret, "***", url.QueryEscape(secret), "***")
	}
	text = strings.NewReplacer(pairs...).Replace(strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxWords {
		text = string(runes[:maxWords]) + "…"
	}
	return text
}

// retryAfter is the wait in seconds that an answer asks for; a date is left out,
// since it would be believed to the clock of the other side.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
