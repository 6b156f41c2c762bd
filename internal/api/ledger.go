package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/ledger"
)

// Forgiven is what was missing when an operator said that the reason is known.
type Forgiven struct {
	Missing  uint64   `json:"missing_items" doc:"Of all signals and destinations, as of the last look."`
	Problems []string `json:"problems" doc:"What the ledger had to say then."`
}

// registerLedger adds the ledger, and what is done to it.
func (a *API) registerLedger() {
	huma.Register(a.huma, read("get-ledger", "/ledger", "queue", "What became of everything that was accepted", http.StatusNotFound),
		func(ctx context.Context, _ *struct{}) (*answer[ledger.Ledger], error) {
			b, err := a.with()
			if err != nil {
				return nil, err
			}
			l, err := ledger.Read(ctx, b.Queue)
			switch {
			case errors.Is(err, ledger.ErrNone):
				return nil, huma.Error404NotFound(err.Error())
			case err != nil:
				return nil, problem(err)
			}
			return &answer[ledger.Ledger]{l}, nil
		})
	huma.Register(a.huma, operate(http.MethodPost, "forgive-missing", "/ledger/forgive", "queue",
		"Say that it is known why data is missing: from then on it counts as purged by an operator", http.StatusNotFound), a.forgive)
}

func (a *API) forgive(ctx context.Context, _ *struct{}) (*answer[Forgiven], error) {
	b, err := a.with()
	if err != nil {
		return nil, err
	}
	l, err := ledger.Read(ctx, b.Queue)
	switch {
	case errors.Is(err, ledger.ErrNone):
		return nil, huma.Error404NotFound(err.Error())
	case err != nil:
		return nil, problem(err)
	}
	f := Forgiven{Problems: append([]string{}, l.Problems...)}
	for _, r := range l.Signals {
		f.Missing += r.Missing
	}
	err = b.Recorder.Forgive(ctx, by(ctx))
	a.acted(ctx, "forgive missing data", err, "missing_items", f.Missing)
	if err != nil {
		return nil, problem(err)
	}
	return &answer[Forgiven]{f}, nil
}
