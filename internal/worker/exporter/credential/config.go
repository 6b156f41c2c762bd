package credential

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
)

// Config is how a destination is logged in to, beside static headers. The zero
// value but for defaults is not at all.
type Config struct {
	BearerFile string `yaml:"bearer_file" help:"File with a token, sent as authorization: Bearer. Read again when it changes; an empty or missing one leaves the last token in use." example:"/var/run/secrets/tokens/backend"`
	OAuth2     OAuth2 `yaml:"oauth2"`
}

// OAuth2 are client credentials.
type OAuth2 struct {
	TokenURL         string             `yaml:"token_url" help:"Token endpoint for OAuth2 client credentials; set, a token is fetched there, refreshed before it expires, and sent as authorization." example:"https://login.example.com/oauth2/token"`
	ClientID         string             `yaml:"client_id" help:"Client that the token is for."`
	ClientSecret     config.Secret      `yaml:"client_secret" help:"Secret of the client."`
	ClientSecretFile string             `yaml:"client_secret_file" help:"File with the secret of the client; read again when it changes." example:"/etc/penstock/client-secret"`
	Scopes           []string           `yaml:"scopes" help:"Scopes to ask for."`
	Params           []config.NameValue `yaml:"params" help:"Further parameters of the token request, such as audience."`
	AuthStyle        string             `yaml:"auth_style" help:"How the endpoint is shown id and secret. header: by HTTP basic. params: in the body. auto: header is tried, then params." enum:"auto,header,params"`
	Timeout          config.Duration    `yaml:"timeout" help:"Of one token request."`
	ExpiryMargin     config.Duration    `yaml:"expiry_margin" help:"A token is refreshed so long before it expires, at the latest at half of its life."`
	TLS              config.TLSClient   `yaml:"tls"`
}

// DefaultConfig has no credential.
func DefaultConfig() Config {
	return Config{OAuth2: OAuth2{AuthStyle: StyleAuto, Timeout: config.Duration(10 * time.Second), ExpiryMargin: config.Duration(30 * time.Second)}}
}

// Values of OAuth2.AuthStyle.
const (
	StyleAuto   = "auto"
	StyleHeader = "header"
	StyleParams = "params"
)

var styles = map[string]oauth2.AuthStyle{StyleAuto: oauth2.AuthStyleAutoDetect, StyleHeader: oauth2.AuthStyleInHeader, StyleParams: oauth2.AuthStyleInParams}

// Set tells whether there is a credential.
func (c Config) Set() bool { return c.BearerFile != "" || c.OAuth2.TokenURL != "" }

// Validate answers in the user's keys.
func (c Config) Validate() error {
	if c.BearerFile != "" && c.OAuth2.TokenURL != "" {
		return config.KeyError("bearer_file", "and oauth2.token_url are two tokens for one header: choose one")
	}
	return nil
}

// owned parameters have keys of their own.
var owned = []string{"grant_type", "scope", "client_id", "client_secret"}

// Validate answers in the user's keys.
func (o OAuth2) Validate() error {
	var errs []error
	bad := func(wrong bool, key, format string, args ...any) {
		if wrong {
			errs = append(errs, config.KeyError(key, format, args...))
		}
	}
	if o.TokenURL == "" {
		bad(o.ClientID != "" || o.ClientSecret != "" || o.ClientSecretFile != "" || len(o.Scopes)+len(o.Params) > 0, "token_url", "is empty, and the other keys of oauth2 do nothing without it")
		return errors.Join(errs...)
	}
	if err := o.checkURL(); err != nil {
		errs = append(errs, config.KeyError("token_url", "%w", err))
	}
	bad(o.ClientID == "", "client_id", "is empty: the token endpoint must know who asks")
	bad(o.ClientSecret != "" && o.ClientSecretFile != "", "client_secret", "and client_secret_file are both given: choose one")
	bad(o.ClientSecret == "" && o.ClientSecretFile == "" && o.TLS.CertFile == "", "client_secret", "is empty: want it, client_secret_file, or a client certificate in tls")
	for i, s := range o.Scopes {
		bad(s == "" || strings.ContainsAny(s, " \t\r\n\"\\"), fmt.Sprintf("scopes[%d]", i), "is %q: want one scope, without spaces and quotes", s)
	}
	for i, p := range o.Params {
		key := fmt.Sprintf("params[%d].name", i)
		bad(slices.Contains(owned, p.Name), key, "is %s: this parameter is made from the other keys of oauth2", p.Name)
		bad(slices.ContainsFunc(o.Params[:i], func(q config.NameValue) bool { return q.Name == p.Name }), key, "is %s a second time", p.Name)
	}
	bad(styles[o.AuthStyle] == 0 && o.AuthStyle != StyleAuto, "auth_style", "is %q: want auto, header or params", o.AuthStyle)
	bad(o.Timeout <= 0, "timeout", "is %s: want more than 0s", o.Timeout)
	bad(o.ExpiryMargin < 0, "expiry_margin", "is %s: want 0s or more", o.ExpiryMargin)
	return errors.Join(errs...)
}

// checkURL says what is wrong with token_url, as it reads on from the key. A
// secret goes there: in plain text only within the machine, or when told so.
func (o OAuth2) checkURL() error {
	if err := outgoing.CheckShown(o.TokenURL); err != nil {
		return errors.New("has a user or password, a query or a fragment (an @, ? or # in it), and it is shown where the configuration is: use client_secret and params")
	}
	u, err := url.Parse(o.TokenURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("is no URL with a host: want one such as \"https://login.example.com/oauth2/token\"")
	}
	tls := o.TLS
	tls.Insecure = false
	switch plain := u.Scheme == "http"; {
	case plain && tls != (config.TLSClient{}):
		return errors.New("is plain text, and tls says how to encrypt: write https://, or remove those settings")
	case plain && !o.TLS.Insecure && !config.Loopback(net.JoinHostPort(u.Hostname(), "0")):
		return errors.New("would carry the client's secret in plain text: write https://, or tls: {insecure: true} if that is meant")
	case !plain && o.TLS.Insecure:
		return errors.New("is https, and tls says insecure: remove one or the other")
	}
	return nil
}
