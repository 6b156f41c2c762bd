package role

import (
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/gateway"
	"github.com/penstock-otel/penstock/internal/gateway/committer"
	"github.com/penstock-otel/penstock/internal/gateway/receiver"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/janitor"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/pressure"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/replay"
	"github.com/penstock-otel/penstock/internal/tenant"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter/credential"
)

// MetricsReference writes the page of all metrics that Penstock itself defines,
// from what the packages register; more are those that this one does not link.
func MetricsReference(w io.Writer, more ...func(prometheus.Registerer)) error {
	var d describer
	for _, register := range more {
		register(&d)
	}
	identity.NewMetrics(&d)
	receiver.NewMetrics(&d)
	committer.NewMetrics(&d)
	tenant.NewMetrics(&d)
	worker.NewMetrics(&d)
	credential.NewMetrics(&d)
	janitor.NewMetrics(&d)
	pressure.NewMetrics(&d)
	job.NewMetrics(&d)
	ledger.NewMetrics(&d)
	replay.NewMetrics(&d)
	reload.NewMetrics(&d)
	audit.NewMetrics(&d)
	alerting.NewLinkMetrics(&d)
	d.MustRegister(identity.NewCollector(nil), worker.NewPoolCollector(nil), newDisk(""), newCertificates(nil), gateway.InFlightBytes(nil))
	queuewatch.New(nil, topology.Plan{}, &d)
	sort.Strings(d.rows)
	_, err := fmt.Fprintf(w, "# Metrics\n\nServed at `/metrics` of the admin port in the Prometheus and OpenMetrics formats, beside the usual `go_*` and `process_*`.\n"+
		"Names follow the OpenTelemetry Collector where it has the same thing. This page is printed by `penstock docs metrics`.\n\n"+
		"| metric | labels | meaning |\n|---|---|---|\n%s\n", strings.Join(d.rows, "\n"))
	return err
}

// describer is a registerer that notes what it is given.
type describer struct{ rows []string }

var descText = regexp.MustCompile(`fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)", (?:unit: "[^"]*", )?constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}`)

// Register implements prometheus.Registerer.
func (d *describer) Register(c prometheus.Collector) error {
	ch := make(chan *prometheus.Desc, 64)
	c.Describe(ch)
	close(ch)
	for desc := range ch {
		m := descText.FindStringSubmatch(desc.String())
		if m == nil {
			return fmt.Errorf("BUG: cannot read the description %s", desc)
		}
		labels := "–"
		if m[3] != "" {
			labels = "`" + strings.ReplaceAll(m[3], ",", "` `") + "`"
		}
		d.rows = append(d.rows, fmt.Sprintf("| `%s` | %s | %s |", m[1], labels, strings.ReplaceAll(m[2], `\"`, `"`)))
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (d *describer) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (d *describer) Unregister(prometheus.Collector) bool { return false }
