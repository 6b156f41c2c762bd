package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/audit"
)

// maxVerifies at a time: each reads the whole audit stream.
const maxVerifies = 2

// AuditEntries is a page of the audit stream, oldest first.
type AuditEntries struct {
	Entries []audit.Item `json:"entries"`
	Last    uint64       `json:"last" doc:"Up to where was looked: the after of the next page, which is empty at the end."`
}

// Kinds of VerifyLine.
const (
	VerifyProgress = "progress"
	VerifyReport   = "report" // the last one
	VerifyError    = "error"  // the last one, in its place
)

// VerifyLine is one line of a verification.
type VerifyLine struct {
	Kind    string        `json:"kind" enum:"progress,report,error"`
	Done    uint64        `json:"done,omitempty" doc:"Entries looked at."`
	Of      uint64        `json:"of,omitempty" doc:"Entries there are, about."`
	Report  *audit.Report `json:"report,omitempty" doc:"What was found; the last line."`
	Problem string        `json:"problem,omitempty" doc:"Why the chain cannot be read; the last line."`
}

// registerAudit adds the routes of the audit stream.
func (a *API) registerAudit() {
	const tag = "audit"
	huma.Register(a.huma, patient(administer(http.MethodGet, "list-audit", "/audit", tag, "Entries of the audit stream: who operated, who was not let in"), readPatience), a.listAudit)
	op := patient(administer(http.MethodGet, "verify-audit", "/audit/verify", tag, "Walk along the audit chain: a line of JSON while it goes on, and one with the report", http.StatusTooManyRequests), longPatience)
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[VerifyLine](), true, "VerifyLine")
	op.Responses = map[string]*huma.Response{"200": {Description: "Lines of kind progress, then one of kind report, or of kind error when the chain cannot be read.",
		Content: map[string]*huma.MediaType{typeLines: {Schema: schema}}}}
	huma.Register(a.huma, op, a.verifyAudit)
}

func (a *API) listAudit(ctx context.Context, in *struct {
	Since   time.Time `query:"since" doc:"Stored at this time or later."`
	Until   time.Time `query:"until" doc:"Stored before this time."`
	Action  string    `query:"action" maxLength:"256" doc:"A text that the action has in it, in any case."`
	Subject string    `query:"subject" maxLength:"256" doc:"A text that the subject has in it, in any case."`
	Outcome string    `query:"outcome" enum:"done,failed,refused"`
	After   uint64    `query:"after" doc:"Only entries behind this number: last of the page before."`
	Limit   int       `query:"limit" minimum:"0" maximum:"1000" doc:"Entries a page; 0: 1000."`
	Newest  bool      `query:"newest" doc:"The last entries that there are, in place of the first."`
}) (*answer[AuditEntries], error) {
	b, err := a.with()
	if err != nil {
		return nil, err
	}
	f := audit.Filter{Since: in.Since, Until: in.Until, Action: in.Action, Subject: in.Subject, Outcome: in.Outcome}
	if err := f.Validate(); err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	items, last, err := audit.List(ctx, b.Queue, f, in.After, in.Limit, in.Newest)
	if err != nil {
		return nil, problem(err)
	}
	return &answer[AuditEntries]{AuditEntries{items, last}}, nil
}

func (a *API) verifyAudit(_ context.Context, in *struct {
	Head string `query:"head" maxLength:"100" doc:"N:HASH of an entry that was kept elsewhere: it must be in the chain."`
}) (*huma.StreamResponse, error) {
	b, err := a.with()
	if err != nil {
		return nil, err
	}
	var kept *audit.Head
	if in.Head != "" {
		h, err := audit.ParseHead(in.Head)
		if err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
		kept = &h
	}
	select {
	case a.verifies <- struct{}{}:
	default:
		return nil, huma.Error429TooManyRequests("this process walks along the audit chain twice at a time, and does: ask again in a moment, or another process")
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer func() { <-a.verifies }()
		ctx, cancel := context.WithCancel(h.Context())
		defer cancel()
		defer context.AfterFunc(a.ended, cancel)()
		s, err := open(h)
		if err != nil {
			return // the client is gone
		}
		send := func(l VerifyLine) error {
			line, err := json.Marshal(l)
			return errors.Join(err, s.send(l.Kind, "", line))
		}
		report, err := audit.Verify(ctx, b.Queue, kept, func(done, of uint64) error {
			return send(VerifyLine{Kind: VerifyProgress, Done: done, Of: of})
		})
		last := VerifyLine{Kind: VerifyReport, Report: &report}
		if err != nil {
			last = VerifyLine{Kind: VerifyError, Problem: err.Error()}
		}
		_ = send(last) // the client is gone: nobody to tell
	}}, nil
}
