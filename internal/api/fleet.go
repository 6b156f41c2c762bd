package api

import (
	"context"

	"github.com/penstock-otel/penstock/internal/fleet"
)

// liveDestinations names the live processes that export to each destination. A
// process that is late may live.
func (b *Backend) liveDestinations(ctx context.Context) (map[string][]string, error) {
	seen, err := b.Fleet.Look(ctx)
	if err != nil {
		return nil, err
	}
	by := map[string][]string{}
	for _, p := range seen {
		if p.State != fleet.Alive && p.State != fleet.IsLate {
			continue
		}
		for _, d := range p.Destinations {
			by[d.Name] = append(by[d.Name], p.ID)
		}
	}
	return by, nil
}
