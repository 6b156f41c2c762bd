package alerter

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/pkg/alerts"
)

// TestThePageOfPolicies loads the policies that the documentation shows.
func TestThePageOfPolicies(t *testing.T) {
	page, err := os.ReadFile("../../docs/alerter.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml file=escalation.yaml\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("docs/alerter.md has no policies")
	}
	routes := filepath.Join(t.TempDir(), "alertmanager.yml")
	write(t, routes, "route: {receiver: oncall}\nreceivers: [{name: oncall}, {name: lead}, {name: boss}, {name: everybody}]\n")
	c, err := amnotify.Load(routes, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := parsePolicies(block[1], c)
	if err != nil {
		t.Fatal(err)
	}
	p := list.Of("", alerts.LabelsOf(alerts.Label{Name: "severity", Value: "critical"}))
	if p.Name != "night" || len(p.Levels) != 3 || p.Repeat != 2 || p.Levels[2].While != alerts.Unresolved || len(p.LowUrgency) != 1 {
		t.Errorf("%+v", p)
	}
}
