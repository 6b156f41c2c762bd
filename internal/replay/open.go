package replay

import (
	"io"

	"github.com/penstock-otel/penstock/internal/worker"
)

// Opener is Options.Open by the exporters of the worker, within trust. out is
// where a debug destination would print; a target is none.
func Opener(trust Trust, out io.Writer) func(name string, t *Target) (Destination, error) {
	return func(name string, t *Target) (Destination, error) {
		d, err := t.Destination(name, trust)
		if err != nil {
			return Destination{}, err
		}
		built, err := worker.Build([]worker.Destination{d}, out)
		if err != nil {
			return Destination{}, err
		}
		return Destination{Exporter: built[name], MaxRequestBytes: int(d.MaxRequestBytes)}, nil
	}
}
