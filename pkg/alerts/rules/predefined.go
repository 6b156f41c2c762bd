package rules

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed predefined/cpu.yaml predefined/memory.yaml predefined/latency.yaml predefined/throughput.yaml predefined/errors.yaml predefined/penstock.yaml predefined/demo.yaml
var predefined embed.FS

// Set is a rule file that comes with Penstock.
type Set struct {
	Name  string
	About string
	// Default: it is used where nobody chose. What is not would tell of everybody
	// who has less than it thinks normal.
	Default bool
	// Text is a rule file, in Prometheus' form or the short one.
	Text []byte
}

// prefix tells a set from the path of a file.
const prefix = "predefined:"

// File is the name of the set as that of a rule file.
func (s Set) File() string { return prefix + s.Name }

var sets = []Set{
	{Name: "cpu", About: "a host's processors are busy more than 80 % of the time for 5 min", Default: true},
	{Name: "memory", About: "more than 85 % of a host's memory is used for 5 min", Default: true},
	{Name: "latency", About: "one of a hundred requests of a service takes more than 100 ms for 3 min", Default: true},
	{Name: "throughput", About: "all services together serve fewer than 100,000 requests a second for 5 min, or none is known of"},
	{Name: "errors", About: "more than 1 % of a service's requests fail for 2 min", Default: true},
	{Name: "penstock", About: "Penstock's own health, from its own metrics", Default: true},
	{Name: "demo", About: "the boiler of penstock up --demo"},
}

// Predefined are all sets, in the order of the documentation.
func Predefined() []Set {
	list := slices.Clone(sets)
	for i := range list {
		text, err := predefined.ReadFile("predefined/" + list[i].Name + ".yaml")
		if err != nil {
			panic(fmt.Sprintf("BUG: predefined rules %s: %v", list[i].Name, err))
		}
		list[i].Text = text
	}
	return list
}

// Find is the set that a name of a rule file means. Not ok: it is a path. An error is
// a set that there is not.
func Find(file string) (s Set, ok bool, err error) {
	name, ok := strings.CutPrefix(file, prefix)
	if !ok {
		return Set{}, false, nil
	}
	var names []string
	for _, s := range Predefined() {
		if s.Name == name {
			return s, true, nil
		}
		names = append(names, s.Name)
	}
	return Set{}, true, fmt.Errorf("there are no predefined rules %q, want one of %s", name, strings.Join(names, ", "))
}
