package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/admin"
)

// Status is the whole picture.
type Status struct {
	admin.Status
}

// registerStatus adds what is seen of the whole.
func (a *API) registerStatus() {
	huma.Register(a.huma, read("get-status", "/status", "queue", "The whole picture: this process, streams, destinations, processes, disk, ledger"),
		func(ctx context.Context, _ *struct{}) (*answer[Status], error) {
			return &answer[Status]{Status{Status: a.port.Status(ctx)}}, nil
		})
}
