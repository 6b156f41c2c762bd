package replay_test

import (
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/worker"
)

// opener makes real exporters of targets, as the worker role does.
func opener(trust replay.Trust) func(name string, t *replay.Target) (replay.Destination, error) {
	return func(name string, t *replay.Target) (replay.Destination, error) {
		d, err := t.Destination(name, trust)
		if err != nil {
			return replay.Destination{}, err
		}
		built, err := worker.Build([]worker.Destination{d}, worker.BuildOptions{})
		return replay.Destination{Exporter: built[name], MaxRequestBytes: int(d.MaxRequestBytes)}, err
	}
}
