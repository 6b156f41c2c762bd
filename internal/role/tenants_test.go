package role

import (
	"slices"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/reload"
)

// TestAMisspeltDestinationOfATenantIsSaid: at the start, and when a reload brings it.
func TestAMisspeltDestinationOfATenantIsSaid(t *testing.T) {
	const text = "destinations: [{name: prod, protocol: debug}]\ntenants: {overrides: [{name: acme, destinations: [%]}]}\n"
	p, log, put := fromFile(t, strings.ReplaceAll(text, "%", "prdo"), "queue.durability=process")
	r, at := upAndReady(t, p)
	said := func(name string) bool {
		return slices.ContainsFunc(strings.Split(log.String(), "\n"), func(line string) bool {
			return strings.Contains(line, `"WARN"`) && strings.Contains(line, `"destinations":"tenants.overrides[0].destinations[0] `+name+`"`)
		})
	}
	if !said("prdo") {
		t.Error("the start says nothing")
	}
	for _, name := range []string{"prod", "dorp"} {
		put(strings.ReplaceAll(text, "%", name))
		if a := again(t, at.Admin); a.Outcome != reload.Applied {
			t.Fatalf("%+v", a)
		}
	}
	if !said("dorp") || said("prod") {
		t.Errorf("a reload: misspelt %t, right %t", said("dorp"), said("prod"))
	}
	r.end(t)
}
