package alerting

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/config"
)

// AckPath is where links to acknowledge an incident lead, below external_url and on the
// admin port; the token follows.
const AckPath = "/ack/"

const (
	// leastSecret is how many bytes a secret for links has at least.
	leastSecret = 16
	// linkVersion begins what is signed, with what it is for, so that a signature
	// of something else made with the same secret is none of a link.
	linkVersion = 1
	linkDomain  = "penstock ack link\x00"
	// maxIncidentID bounds the id in a token, in bytes.
	maxIncidentID = 64
	macBytes      = sha256.Size
	headBytes     = 1 + 8 // version, end in seconds
)

// Errors of Links.Check.
var (
	ErrLink        = errors.New("the link is not one of this alerter, or was cut off")
	ErrLinkExpired = errors.New("the link is no longer valid")
)

// Links are those in notifications by which whoever has one acknowledges an incident:
//
//	EXTERNAL_URL/ack/base64url(version, end, incident, HMAC-SHA-256 of these)
//
// A link is of one incident, whatever becomes of it meanwhile, and ends. Every replica
// of the same secret makes and knows the same ones. Safe for concurrent use; a nil
// *Links makes none.
type Links struct {
	secret  []byte
	base    string
	ttl     time.Duration
	metrics *LinkMetrics
}

// NewLinks are those of a configuration that is valid; nil where link_secret is empty.
// Without metrics uses are not counted.
func NewLinks(c Config, m *LinkMetrics) *Links {
	if c.LinkSecret == "" {
		return nil
	}
	return &Links{secret: []byte(c.LinkSecret.Reveal()), base: strings.TrimSuffix(c.ExternalURL, "/"), ttl: time.Duration(c.LinkTTL), metrics: m}
}

// Make is the link for an incident, valid for link_ttl from now; "" where there are no
// links.
func (l *Links) Make(incident string, now time.Time) string {
	if l == nil || incident == "" || len(incident) > maxIncidentID {
		return ""
	}
	b := make([]byte, 0, headBytes+len(incident)+macBytes)
	b = append(b, linkVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(now.Add(l.ttl).Unix()))
	b = append(b, incident...)
	b = append(b, l.sign(b)...)
	return l.base + AckPath + url.PathEscape(base64.RawURLEncoding.EncodeToString(b))
}

// Check is the incident of a token: ErrLink, or ErrLinkExpired with the incident.
func (l *Links) Check(token string, now time.Time) (incident string, err error) {
	if l == nil || len(token) > base64.RawURLEncoding.EncodedLen(headBytes+maxIncidentID+macBytes) {
		return "", ErrLink
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= headBytes+macBytes || strings.ContainsAny(token, "\r\n") { // which the decoder passes over
		return "", ErrLink
	}
	said, mac := b[:len(b)-macBytes], b[len(b)-macBytes:]
	if !hmac.Equal(mac, l.sign(said)) || said[0] != linkVersion { // the signature first: nothing unproved is looked at
		return "", ErrLink
	}
	incident = string(said[headBytes:])
	if end := time.Unix(int64(binary.BigEndian.Uint64(said[1:])), 0); !now.Before(end) {
		return incident, fmt.Errorf("%w since %s", ErrLinkExpired, end.UTC().Format(time.RFC3339))
	}
	return incident, nil
}

func (l *Links) sign(b []byte) []byte {
	h := hmac.New(sha256.New, l.secret)
	h.Write([]byte(linkDomain))
	h.Write(b)
	return h.Sum(nil)
}

// Used counts what came of a link.
func (l *Links) Used(outcome LinkOutcome) {
	if l != nil && l.metrics != nil {
		l.metrics.uses.WithLabelValues(string(outcome)).Inc()
	}
}

// LinkOutcome is what came of a link.
type LinkOutcome string

// The outcomes.
const (
	LinkShown   LinkOutcome = "shown"   // the page with the button
	LinkAcked   LinkOutcome = "acked"   // the incident was taken
	LinkNothing LinkOutcome = "nothing" // somebody had it, or it was over
	LinkExpired LinkOutcome = "expired"
	LinkInvalid LinkOutcome = "invalid"
	LinkFailed  LinkOutcome = "failed" // there was no alerter or no log that took it
)

// LinkMetrics count the uses of links.
type LinkMetrics struct{ uses *prometheus.CounterVec }

// NewLinkMetrics registers the metrics.
func NewLinkMetrics(reg prometheus.Registerer) *LinkMetrics {
	m := &LinkMetrics{prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_alerter_ack_links_total",
		Help: "Uses of links to acknowledge an incident: shown, acked, nothing (somebody had it, or it was over), expired, invalid, failed."}, []string{"outcome"})}
	for _, o := range []LinkOutcome{LinkShown, LinkAcked, LinkNothing, LinkExpired, LinkInvalid, LinkFailed} {
		m.uses.WithLabelValues(string(o))
	}
	reg.MustRegister(m.uses)
	return m
}

// validateLinks answers in the user's keys.
func (c Config) validateLinks() error {
	var errs []error
	if n := len(c.LinkSecret.Reveal()); n > 0 && n < leastSecret {
		errs = append(errs, config.KeyError("link_secret", "has %d bytes: want %d or more, as of openssl rand -base64 32", n, leastSecret))
	}
	if c.LinkSecret != "" && c.ExternalURL == "" {
		errs = append(errs, config.KeyError("link_secret", "is set and external_url is not: links have to lead somewhere"))
	}
	if d := time.Duration(c.LinkTTL); d < time.Minute || d > 30*24*time.Hour {
		errs = append(errs, config.KeyError("link_ttl", "is %s: want 1m to 30d", c.LinkTTL))
	}
	return errors.Join(errs...)
}
