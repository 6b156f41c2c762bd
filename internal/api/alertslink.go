package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

//go:embed alertslink.html
var linkHTML string

var linkTemplate = template.Must(template.New("link").Parse(linkHTML))

const linkStyle = `:root{color-scheme:light dark}body{margin:0 auto;max-width:40rem;padding:1.5rem;font:1.1rem/1.5 system-ui,sans-serif}` +
	`button{font:inherit;padding:.8rem 1.6rem}button:focus-visible{outline:3px solid #0550ae;outline-offset:2px}p{overflow-wrap:anywhere}`

// linkPolicy allows the page its style and its button, and nothing else.
var linkPolicy = func() string {
	h := sha256.Sum256([]byte(linkStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

const (
	// maxLinks are answered at a time; linkPatience bounds what one makes.
	maxLinks     = 16
	linkPatience = 20 * time.Second
	// badLinks a second, and at once, are answered and recorded as such.
	badLinks, badLinksBurst = 2, 20
)

// linkPage is what the page of a link shows.
type linkPage struct {
	status   int
	Heading  string
	Text     string
	Incident *Incident
	Button   bool
	Style    template.CSS
}

// ServeAckLinks adds the page to which links in notifications lead. Without links there
// is no such page. It is called once at most.
//
// GET shows what it is about, and a button: scanners of mail follow links. POST takes
// the incident. Both need the link alone, which is signed and ends.
func (a *API) ServeAckLinks(links *alerting.Links) {
	if links == nil {
		return
	}
	l := &ackLinks{a: a, links: links, places: make(chan struct{}, maxLinks), bad: rate.NewLimiter(badLinks, badLinksBurst)}
	a.port.HandleOpen("GET "+alerting.AckPath+"{token}", l.answer(l.show))
	a.port.HandleOpen("POST "+alerting.AckPath+"{token}", l.answer(l.take))
}

type ackLinks struct {
	a      *API
	links  *alerting.Links
	places chan struct{}
	bad    *rate.Limiter
}

// answer checks the link, and has make say what is shown.
func (l *ackLinks) answer(make func(r *http.Request, s alerting.Service, i alerts.Incident) linkPage) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case l.places <- struct{}{}:
			defer func() { <-l.places }()
		default:
			w.Header().Set("Retry-After", "1")
			l.write(w, linkPage{status: http.StatusServiceUnavailable, Heading: "Too many at a time", Text: "Ask again in a moment."})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), linkPatience)
		defer cancel()
		l.write(w, l.page(r.WithContext(ctx), make))
	})
}

func (l *ackLinks) page(r *http.Request, make func(r *http.Request, s alerting.Service, i alerts.Incident) linkPage) linkPage {
	id, err := l.links.Check(r.PathValue("token"), time.Now())
	switch {
	case errors.Is(err, alerting.ErrLinkExpired):
		l.links.Used(alerting.LinkExpired)
		return linkPage{status: http.StatusGone, Heading: "This link is no longer valid", Text: "Acknowledge the incident with: penstock alerts ack " + id}
	case err != nil:
		return l.refuse(r)
	}
	s, err := l.a.known()
	if err != nil {
		l.links.Used(alerting.LinkFailed)
		return linkPage{status: http.StatusServiceUnavailable, Heading: "Not now", Text: "This process has no alerter that knows what fires; it may be starting. Try again in a moment."}
	}
	i, ok := s.State().Incident(id)
	if !ok {
		l.links.Used(alerting.LinkNothing)
		return linkPage{status: http.StatusGone, Heading: "It is over", Text: "The incident ended long ago."}
	}
	return make(r, s, i)
}

// refuse answers what is no link: guessing is recorded, and bounded.
func (l *ackLinks) refuse(r *http.Request) linkPage {
	l.links.Used(alerting.LinkInvalid)
	if !l.bad.Allow() {
		return linkPage{status: http.StatusTooManyRequests, Heading: "Too many wrong links", Text: "Ask again in a moment."}
	}
	l.a.rec.Record(audit.Event{Action: audit.Authenticate, Outcome: audit.Refused, Reason: "link", Peer: admin.Peer(r.Context()), Listener: listenerAdmin,
		Details: []audit.Detail{{Name: "request", Value: r.Method + " " + alerting.AckPath}, {Name: "message", Value: alerting.ErrLink.Error()}}})
	return linkPage{status: http.StatusNotFound, Heading: "This is no link of this alerter", Text: "Was it cut off? Copy all of it from the notification."}
}

// settled is the page where there is nothing to take; false where there is.
func (l *ackLinks) settled(i *alerts.Incident) (linkPage, bool) {
	v := incidentView(i)
	p := linkPage{status: http.StatusOK, Incident: &v}
	switch i.Status {
	case alerts.Closed:
		p.Heading, p.Text = "It is over", "Nothing fires any more since "+v.ClosedAt.Format("2006-01-02 15:04:05 MST")+"."
	case alerts.Taken:
		p.Heading, p.Text = "Somebody has it", "It was taken by "+i.AckedBy+" at "+v.AckedAt.Format("2006-01-02 15:04:05 MST")+"."
	default:
		return p, false
	}
	return p, true
}

func (l *ackLinks) show(_ *http.Request, _ alerting.Service, i alerts.Incident) linkPage {
	p, settled := l.settled(&i)
	if settled {
		l.links.Used(alerting.LinkNothing)
		return p
	}
	l.links.Used(alerting.LinkShown)
	p.Heading, p.Button = "Take this incident?", true
	return p
}

func (l *ackLinks) take(r *http.Request, s alerting.Service, i alerts.Incident) linkPage {
	if p, settled := l.settled(&i); settled {
		l.links.Used(alerting.LinkNothing)
		return p
	}
	who := "link at " + peerHost(r.Context())
	err := l.a.change(r.Context(), s, "ack incident by link", func() ([]alerts.Event, error) {
		if now, ok := s.State().Incident(i.ID); ok && now.Status == alerts.Taken {
			return nil, nil // another was quicker
		}
		return s.State().Ack(i.ID, who, "", time.Time{}, now())
	}, "incident", i.ID, "title", i.Title, "tenant", i.Tenant, "by", who)
	v := incidentView(&i)
	if err != nil {
		l.links.Used(alerting.LinkFailed)
		return linkPage{status: http.StatusServiceUnavailable, Heading: "It could not be taken", Incident: &v, Text: fmt.Sprintf("%v. Try again, or use: penstock alerts ack %s", err, i.ID)}
	}
	after, ok := s.State().Incident(i.ID)
	if ok && after.AckedBy != who {
		l.links.Used(alerting.LinkNothing)
		if p, settled := l.settled(&after); settled {
			return p
		}
	}
	l.links.Used(alerting.LinkAcked)
	return linkPage{status: http.StatusOK, Heading: "You have it", Incident: &v, Text: "Nobody else is told unless its policy says so. To give it back: penstock alerts unack " + i.ID}
}

func (l *ackLinks) write(w http.ResponseWriter, p linkPage) {
	p.Style = linkStyle
	var b bytes.Buffer
	if err := linkTemplate.Execute(&b, p); err != nil {
		admin.WriteProblem(w, http.StatusInternalServerError, "the page cannot be made: %v", err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", linkPolicy)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.status)
	_, _ = w.Write(b.Bytes()) // the client is gone: nobody to tell
}
