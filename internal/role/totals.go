package role

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/otlp"
)

// Totals are the items of one signal since the process started.
type Totals struct {
	Signal       string  `json:"signal"`
	Accepted     float64 `json:"accepted_items"`
	Refused      float64 `json:"refused_items"`
	Exported     float64 `json:"exported_items"`
	Rejected     float64 `json:"rejected_items"` // by destinations, in partial successes
	DeadLettered float64 `json:"dead_lettered_items"`
}

// ReadTotals sums the metrics of a process.
func ReadTotals(g prometheus.Gatherer) ([]Totals, error) {
	all, err := readSums(g)
	if err != nil {
		return nil, err
	}
	out := make([]Totals, 0, otlp.NumSignals)
	for _, s := range otlp.Signals {
		of := func(stem string) float64 { return all.of("penstock_" + stem + "_" + s.Items() + "_total") }
		out = append(out, Totals{Signal: s.String(), Accepted: of("receiver_accepted"), Refused: of("receiver_refused"),
			Exported: of("exporter_sent"), Rejected: of("exporter_rejected"), DeadLettered: of("exporter_dead_lettered")})
	}
	return out, nil
}
