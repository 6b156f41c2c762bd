package alerting

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/penstock-otel/penstock/internal/config"
)

const incidentID = "01M8H1N0FNRPJXRNN5FHDSTMAC"

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func linked(secret string) Config {
	c := DefaultConfig()
	c.LinkSecret, c.ExternalURL = config.Secret(secret), "https://alerts.example.com/penstock/"
	return c
}

func token(t *testing.T, link string) string {
	t.Helper()
	text, ok := strings.CutPrefix(link, "https://alerts.example.com/penstock/ack/")
	if !ok {
		t.Fatalf("the link is %s", link)
	}
	return text
}

// TestLinks: what one replica makes another knows, until it ends.
func TestLinks(t *testing.T) {
	a, b := NewLinks(linked("0123456789abcdef"), nil), NewLinks(linked("0123456789abcdef"), nil)
	text := token(t, a.Make(incidentID, noon))
	if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("%s is not for a URL", text)
	}
	for _, after := range []time.Duration{0, 24*time.Hour - time.Second} {
		if id, err := b.Check(text, noon.Add(after)); id != incidentID || err != nil {
			t.Errorf("after %s: %q %v", after, id, err)
		}
	}
	if id, err := b.Check(text, noon.Add(24*time.Hour)); id != incidentID || !errors.Is(err, ErrLinkExpired) || !strings.Contains(err.Error(), "2026-02-01T12:00:00Z") {
		t.Errorf("after a day: %q %v", id, err)
	}
	if _, err := NewLinks(linked("0123456789abcdeX"), nil).Check(text, noon); !errors.Is(err, ErrLink) {
		t.Errorf("with another secret: %v", err)
	}
	// Not a byte of it may be another, shorter, longer, or in other letters.
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for n := range raw {
		for _, bit := range []byte{1, 0x80} {
			bad := append([]byte(nil), raw...)
			bad[n] ^= bit
			if id, err := b.Check(base64.RawURLEncoding.EncodeToString(bad), noon); !errors.Is(err, ErrLink) || id != "" {
				t.Fatalf("with bit %x of byte %d changed: %q %v", bit, n, id, err)
			}
		}
	}
	for _, bad := range []string{"", "x", text[1:], text[:len(text)-1], text + "A", text + "=", text + "\n", strings.Repeat("A", 10_000), "../" + text, base64.RawURLEncoding.EncodeToString(raw[:headBytes+macBytes])} {
		if id, err := b.Check(bad, noon); !errors.Is(err, ErrLink) || id != "" {
			t.Errorf("%.40s: %q %v", bad, id, err)
		}
	}
	// An end of another link, with its own signature, is of that one alone.
	later := append([]byte(nil), raw...)
	binary.BigEndian.PutUint64(later[1:], uint64(noon.Add(9999*time.Hour).Unix()))
	if _, err := b.Check(base64.RawURLEncoding.EncodeToString(later), noon); !errors.Is(err, ErrLink) {
		t.Errorf("with a later end: %v", err)
	}
}

func TestNoLinks(t *testing.T) {
	none := NewLinks(DefaultConfig(), nil)
	if none != nil || none.Make(incidentID, noon) != "" {
		t.Error("a link without a secret")
	}
	if _, err := none.Check("x", noon); !errors.Is(err, ErrLink) {
		t.Error(err)
	}
	none.Used(LinkShown)
	l := NewLinks(linked("0123456789abcdef"), nil)
	if l.Make("", noon) != "" || l.Make(strings.Repeat("x", maxIncidentID+1), noon) != "" {
		t.Error("a link to what is no incident")
	}
	if text := fmt.Sprintf("%v %+v", linked("0123456789abcdef"), linked("0123456789abcdef").LinkSecret); strings.Contains(text, "0123456789") {
		t.Errorf("the secret is in %s", text)
	}
}

func TestLinksAreConfigured(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := linked("0123456789abcdef")
		change(&c)
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "0123456789")) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(func(*Config) {}, "")
	f(func(c *Config) { c.LinkSecret = "0123456789abcde" }, "has 15 bytes: want 16 or more")
	f(func(c *Config) { c.ExternalURL = "" }, "external_url is not")
	f(func(c *Config) { c.LinkTTL = config.Duration(time.Second) }, "link_ttl")
	f(func(c *Config) { c.LinkTTL = config.Duration(31 * 24 * time.Hour) }, "link_ttl")
	f(func(c *Config) { c.LinkSecret, c.ExternalURL = "", "" }, "")
}

func TestUsesAreCounted(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	l := NewLinks(linked("0123456789abcdef"), NewLinkMetrics(reg))
	l.Used(LinkAcked)
	if n := testutil.ToFloat64(l.metrics.uses.WithLabelValues("acked")); n != 1 {
		t.Errorf("acked %v times", n)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func FuzzLinks(f *testing.F) {
	l := NewLinks(linked("0123456789abcdef"), nil)
	good := strings.TrimPrefix(l.Make(incidentID, noon), "https://alerts.example.com/penstock/ack/")
	f.Add(good)
	f.Add("AQ")
	f.Add(good[:8] + "\r\n" + good[8:])
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := l.Check(text, noon); err == nil && (text != good || id != incidentID) {
			t.Errorf("%q is a link to %q", text, id)
		}
	})
}
