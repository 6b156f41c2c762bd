package amapi

import (
	"fmt"
	"hash/fnv"

	"github.com/penstock-otel/penstock/pkg/alerts"
)

// fingerprint is Alertmanager's name of labels: FNV-1a of 64 bits over names and
// values, by names, each ended by 0xff.
func fingerprint(l alerts.Labels) string {
	h := fnv.New64a()
	end := []byte{0xff}
	for _, x := range l {
		h.Write([]byte(x.Name))
		h.Write(end)
		h.Write([]byte(x.Value))
		h.Write(end)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

func asMap(l alerts.Labels) map[string]string {
	m := make(map[string]string, len(l))
	for _, x := range l {
		m[x.Name] = x.Value
	}
	return m
}

func asLabels(m map[string]string) alerts.Labels {
	list := make([]alerts.Label, 0, len(m))
	for name, value := range m {
		list = append(list, alerts.Label{Name: name, Value: value})
	}
	return alerts.LabelsOf(list...)
}
