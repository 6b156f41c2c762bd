package api

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/app"
)

// registerProcess adds what a process says of itself, with or without a queue.
func (a *API) registerProcess() {
	huma.Register(a.huma, read("get-build", "/status/buildinfo", "process", "What binary this is"),
		func(context.Context, *struct{}) (*answer[app.BuildInfo], error) {
			return &answer[app.BuildInfo]{a.port.Build()}, nil
		})

	config := read("get-config", "/status/config", "process", "The effective configuration, secrets redacted", http.StatusInternalServerError)
	config.Responses = text("application/yaml", "application/json")
	huma.Register(a.huma, config, a.config)

	for ending, kind := range map[string]string{"json": "application/openapi+json", "yaml": "application/openapi+yaml"} {
		op := read("get-openapi-"+ending, "/openapi."+ending, "process", "This document")
		op.Responses = text(kind)
		huma.Register(a.huma, op, func(context.Context, *struct{}) (*typed, error) {
			doc, err := a.huma.OpenAPI().MarshalJSON()
			if ending == "yaml" {
				doc, err = a.huma.OpenAPI().YAML()
			}
			return &typed{kind, doc}, err
		})
	}
}

// answer is a body and nothing else.
type answer[T any] struct{ Body T }

// typed is an answer that is no JSON of ours.
type typed struct {
	Type string `header:"Content-Type"`
	Body []byte
}

// text describes an answer of other types than application/json.
func text(types ...string) map[string]*huma.Response {
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{}}
	}
	return map[string]*huma.Response{"200": {Description: "OK", Content: content}}
}

func (a *API) config(_ context.Context, in *struct {
	Format string `query:"format" enum:"yaml,json" doc:"Default: what Accept names, else yaml."`
	Accept string `header:"Accept"`
}) (*typed, error) {
	format := in.Format
	if format == "" {
		format = "yaml"
		if strings.Contains(in.Accept, "application/json") {
			format = "json"
		}
	}
	var b bytes.Buffer // whole before the first byte, so that a failure is a 500
	if err := a.port.Config(&b, format); err != nil {
		return nil, huma.Error500InternalServerError("the configuration cannot be printed: " + err.Error())
	}
	return &typed{"application/" + format, b.Bytes()}, nil
}
