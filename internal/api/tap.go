package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/tap"
)

// maxTaps that one process serves at a time: each holds up to 64 MiB and decodes
// what passes.
const maxTaps = 8

// KindError is an item that ends a tap which cannot go on; its Problem says why.
const KindError tap.Kind = "error"

// tapQuery says what a tap shows.
type tapQuery struct {
	Signal    []string  `query:"signal,explode" enum:"traces,metrics,logs" doc:"Signals; absent: all."`
	Service   []string  `query:"service,explode" maxItems:"100" doc:"Values of service.name; absent: all."`
	Tenant    []string  `query:"tenant,explode" maxItems:"100" doc:"Tenants; absent: all, and what has none."`
	Where     []string  `query:"where,explode" maxItems:"100" doc:"Conditions on attributes of the resource: key, key=value, key=a|b or key=~regexp; all must hold."`
	Attribute []string  `query:"attribute,explode" maxItems:"100" doc:"Conditions on attributes of the span, point or log record."`
	Oldest    bool      `query:"oldest" doc:"Begin with the oldest message kept."`
	Since     time.Time `query:"since" doc:"Begin with what was stored at this time or later; absent: with what comes."`
	Once      bool      `query:"once" doc:"End with what is stored now, in place of following what comes."`
	Limit     int       `query:"limit" minimum:"0" doc:"End after so many items; 0: never."`
	Full      bool      `query:"full" doc:"With each item as a whole OTLP JSON request."`
}

func (q *tapQuery) options(b *Backend) (tap.Options, error) {
	o := tap.Options{Archive: b.Queue, Plan: b.Plan, Tenants: q.Tenant, Services: q.Service, Oldest: q.Oldest, Since: q.Since, Once: q.Once, Limit: q.Limit, Full: q.Full}
	for _, name := range q.Signal {
		s, err := otlp.ParseSignal(name)
		if err != nil {
			return o, err
		}
		o.Signals = append(o.Signals, s)
	}
	var err error
	if o.Where, err = otlp.ParseConditions(q.Where); err != nil {
		return o, err
	}
	if o.Attributes, err = otlp.ParseConditions(q.Attribute); err != nil {
		return o, err
	}
	return o, o.Validate()
}

// registerTap adds the stream of what passes.
func (a *API) registerTap() {
	op := patient(operate(http.MethodGet, "tap", "/tap", "tap", "Watch telemetry: a stream of items, each a line of JSON, or a server-sent event where that is accepted", http.StatusTooManyRequests), forEver)
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[tap.Item](), true, "Item")
	op.Responses = map[string]*huma.Response{"200": {Description: "Items, until the client goes, the limit is reached, or with once the end. Empty lines come while there is nothing to show. An item of kind error ends a tap that cannot go on.",
		Content: map[string]*huma.MediaType{typeLines: {Schema: schema}, typeEvents: {Schema: schema}}}}
	huma.Register(a.huma, op, func(ctx context.Context, in *tapQuery) (*huma.StreamResponse, error) {
		b, err := a.with()
		if err != nil {
			return nil, err
		}
		o, err := in.options(b)
		if err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
		select {
		case a.taps <- struct{}{}:
		default:
			return nil, huma.Error429TooManyRequests("this process serves 8 taps at a time, and all are taken: end one, or ask another process")
		}
		return &huma.StreamResponse{Body: func(h huma.Context) {
			defer func() { <-a.taps }()
			began := time.Now()
			n, err := a.tap(h, o)
			a.acted(ctx, "tap", err, "query", h.URL().RawQuery, "items", n, "after", time.Since(began).Round(time.Millisecond))
		}}, nil
	})
}

// tap streams until the client goes, the API is detached, or the tap ends; it
// returns how many items it sent. That the client is gone is no error.
func (a *API) tap(h huma.Context, o tap.Options) (n int, err error) {
	ctx, cancel := context.WithCancel(h.Context())
	defer cancel()
	stop := context.AfterFunc(a.ended, cancel)
	defer stop()
	s, err := open(h)
	if err != nil {
		return 0, nil // gone already
	}
	out := s.steady(ctx, cancel)
	err = tap.Run(ctx, o, func(i tap.Item) error {
		line, err := i.AppendJSON(nil)
		if err != nil {
			return err
		}
		if err := out.send(string(i.Kind), "", line); err != nil {
			return err
		}
		n++
		return nil
	})
	if gone := out.end(); err == nil || gone || h.Context().Err() != nil {
		return n, nil
	}
	if line, failed := (tap.Item{Kind: KindError, Problem: err.Error()}).AppendJSON(nil); failed == nil {
		_ = s.send(string(KindError), "", line) // the client is gone: nobody to tell
	}
	return n, err
}
