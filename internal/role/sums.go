package role

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// sums are the metrics of a process at one moment, by name, so that what is
// shown, told and scraped are the same numbers.
type sums map[string]*dto.MetricFamily

// readSums gathers once.
func readSums(g prometheus.Gatherer) (sums, error) {
	families, err := g.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	s := make(sums, len(families))
	for _, f := range families {
		s[f.GetName()] = f
	}
	return s, nil
}

// of is the sum of a metric over all labels, 0 when there is none.
func (s sums) of(name string) (total float64) {
	for _, m := range s[name].GetMetric() {
		total += reading(m)
	}
	return total
}

// by is the sum of a metric for each value of a label; what is 0 is left out.
func (s sums) by(name, label string) map[string]uint64 {
	out := map[string]uint64{}
	for _, m := range s[name].GetMetric() {
		for _, l := range m.GetLabel() {
			if n := uint64(reading(m)); l.GetName() == label && n > 0 {
				out[strings.Clone(l.GetValue())] += n
			}
		}
	}
	return out
}

// reading is that of a counter or a gauge.
func reading(m *dto.Metric) float64 {
	if c := m.GetCounter(); c != nil {
		return c.GetValue()
	}
	return m.GetGauge().GetValue()
}
