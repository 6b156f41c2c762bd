package credential

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/config"
)

func TestConfigIsRefusedInTheUsersWords(t *testing.T) {
	f := func(want string, edit func(*Config)) {
		t.Helper()
		c := DefaultConfig()
		c.OAuth2.TokenURL, c.OAuth2.ClientID, c.OAuth2.ClientSecret = "https://login.example.com/token", "penstock", secret
		edit(&c)
		err := config.Validate(c)
		switch {
		case want == "" && err != nil:
			t.Error(err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	f("", func(*Config) {})
	f("", func(c *Config) { *c = DefaultConfig() })
	f("", func(c *Config) { c.OAuth2.ClientSecret, c.OAuth2.ClientSecretFile = "", "x" })
	f("", func(c *Config) { c.OAuth2.ClientSecret, c.OAuth2.TLS.CertFile, c.OAuth2.TLS.KeyFile = "", "c", "k" })
	f("", func(c *Config) { c.OAuth2.TokenURL = "http://localhost:8080/token" })
	f("", func(c *Config) { c.OAuth2.TokenURL = "http://[::1]/token" })
	f("", func(c *Config) { c.OAuth2.TokenURL, c.OAuth2.TLS.Insecure = "http://login.example.com/token", true })
	f("bearer_file: and oauth2.token_url are two tokens for one header: choose one", func(c *Config) { c.BearerFile = "x" })
	f("oauth2.token_url: is empty, and the other keys of oauth2 do nothing without it", func(c *Config) { c.OAuth2.TokenURL = "" })
	f("oauth2.token_url: would carry the client's secret in plain text: write https://, or tls: {insecure: true} if that is meant", func(c *Config) { c.OAuth2.TokenURL = "http://login.example.com/token" })
	f("oauth2.token_url: is plain text, and tls says how to encrypt: write https://, or remove those settings", func(c *Config) {
		c.OAuth2.TokenURL, c.OAuth2.TLS.CAFile = "http://localhost/token", "ca.pem"
	})
	f("oauth2.token_url: is https, and tls says insecure: remove one or the other", func(c *Config) { c.OAuth2.TLS.Insecure = true })
	f(`oauth2.token_url: is no URL with a host: want one such as "https://login.example.com/oauth2/token"`, func(c *Config) { c.OAuth2.TokenURL = "login.example.com" })
	for _, bad := range []string{"https://a:s3cret@b/token", "https://b/token?s3cret", "https://b/token#s3cret"} {
		f("oauth2.token_url: has a user or password, a query or a fragment (an @, ? or # in it), and it is shown where the configuration is: use client_secret and params", func(c *Config) { c.OAuth2.TokenURL = bad })
	}
	f("oauth2.client_id: is empty: the token endpoint must know who asks", func(c *Config) { c.OAuth2.ClientID = "" })
	f("oauth2.client_secret: and client_secret_file are both given: choose one", func(c *Config) { c.OAuth2.ClientSecretFile = "x" })
	f("oauth2.client_secret: is empty: want it, client_secret_file, or a client certificate in tls", func(c *Config) { c.OAuth2.ClientSecret = "" })
	f(`oauth2.scopes[1]: is "a b": want one scope, without spaces and quotes`, func(c *Config) { c.OAuth2.Scopes = []string{"a", "a b"} })
	f("oauth2.params[0].name: is scope: this parameter is made from the other keys of oauth2", func(c *Config) { c.OAuth2.Params = []config.NameValue{{Name: "scope"}} })
	f("oauth2.params[1].name: is a a second time", func(c *Config) { c.OAuth2.Params = []config.NameValue{{Name: "a"}, {Name: "a"}} })
	f(`oauth2.auth_style: is "magic": want auto, header or params`, func(c *Config) { c.OAuth2.AuthStyle = "magic" })
	f("oauth2.timeout: is 0s: want more than 0s", func(c *Config) { c.OAuth2.Timeout = 0 })
	f("oauth2.expiry_margin: is -1ns: want 0s or more", func(c *Config) { c.OAuth2.ExpiryMargin = -1 })
}

func TestBearerFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	put(t, path, "token-1\n")
	var log text
	made, err := New(Config{BearerFile: path}, Options{Destination: "a", Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	b := made.(*bearer)
	want(t, b, "Bearer token-1")
	if b.Refused("Bearer token-1") {
		t.Error("the file did not change, and is worth another try")
	}
	put(t, path, "token-2\r\n")
	if !b.Refused("Bearer token-1") {
		t.Error("the file changed, and is not worth another try")
	}
	want(t, b, "Bearer token-2")

	said := func(n int, what string) {
		t.Helper()
		for range 3 {
			b.file.Look()
		}
		want(t, b, "Bearer token-2")
		if got := strings.Count(log.String(), "level=ERROR"); got != n || !strings.Contains(log.String(), what) {
			t.Errorf("%d errors in the log, want %d and %q: %s", got, n, what, log.String())
		}
	}
	put(t, path, "\n")
	said(1, "is empty")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	said(2, "no such file")
	put(t, path, "Bearer s3cret-4\n")
	said(3, "want the token alone, without the word Bearer")
	put(t, path, strings.Repeat("s3cret", maxSecret))
	said(4, "larger than")
	put(t, path, "token-5")
	b.file.Look()
	want(t, b, "Bearer token-5")
	for _, hidden := range []string{"s3cret", "token-2", "token-5"} {
		if strings.Contains(log.String(), hidden) {
			t.Errorf("the log shows %s: %s", hidden, log.String())
		}
	}
	if !strings.Contains(log.String(), "destination=a") {
		t.Errorf("the log does not say for whom: %s", log.String())
	}
}

// A projected token of Kubernetes: the swap of one link.
func TestBearerFileBehindASwappedLink(t *testing.T) {
	dir := t.TempDir()
	for version, token := range map[string]string{"..1": "token-1", "..2": "token-2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, version, "token"), token)
	}
	swap := func(version string) {
		t.Helper()
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1")
	if err := os.Symlink("..data/token", filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{BearerFile: filepath.Join(dir, "token")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	want(t, b, "Bearer token-1")
	swap("..2")
	eventually(t, "the new token, without a refusal", func() bool { v, err := b.Authorization(t.Context()); return err == nil && v == "Bearer token-2" })
}

func TestNewThatCannotBe(t *testing.T) {
	f := func(want string, c Config) {
		t.Helper()
		if got, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("got %v, %v, want %q", got, err, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	f("bearer_file: stat "+missing, Config{BearerFile: missing})
	c := DefaultConfig()
	c.OAuth2.TokenURL, c.OAuth2.ClientSecretFile = "https://a/token", missing
	f("oauth2: client_secret_file: stat "+missing, c)
	c.OAuth2.ClientSecretFile, c.OAuth2.TLS.CAFile = "", missing
	f("oauth2: tls: certificate authorities: stat "+missing, c)
	if got, err := New(DefaultConfig(), Options{}); got != nil || err != nil {
		t.Errorf("without a credential: %v, %v", got, err)
	}
}
