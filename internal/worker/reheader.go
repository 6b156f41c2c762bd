package worker

import (
	"fmt"

	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
)

// PrepareHeaders makes ready for the headers that the destinations are to send from
// apply on, by name; nothing else of a Destination is looked at. Destinations that
// have no exporter here are passed over, and those without headers on their protocol
// are left as they are.
func PrepareHeaders(exporters map[string]exporter.Exporter, destinations []Destination) (apply func(), err error) {
	var all []func()
	for _, d := range destinations {
		x, ok := exporters[d.Name].(interface {
			PrepareHeaders([]outgoing.Header) (func(), error)
		})
		if !ok {
			continue
		}
		f, err := x.PrepareHeaders(headers(d.Headers))
		if err != nil {
			return nil, fmt.Errorf("destination %s: %w", d.Name, err)
		}
		all = append(all, f)
	}
	return func() {
		for _, f := range all {
			f()
		}
	}, nil
}
