package promrules

import "github.com/prometheus/prometheus/model/labels"

// Label is a name and its value.
type Label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Labels are sorted by name, each name once.
type Labels []Label

// Get is the value of a label, "" when there is none.
func (l Labels) Get(name string) string {
	for _, x := range l {
		if x.Name == name {
			return x.Value
		}
	}
	return ""
}

// fromProm copies.
func fromProm(from labels.Labels) Labels {
	to := make(Labels, 0, from.Len())
	from.Range(func(l labels.Label) { to = append(to, Label{l.Name, l.Value}) })
	return to
}
