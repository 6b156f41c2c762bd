package identity

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcomeOK is the label of who was believed; the others are kinds of Failure.
const outcomeOK = "ok"

// methodUnrecognized is the label of what has no form that is known.
const methodUnrecognized = "unrecognized"

var (
	methods  = []string{MethodAnonymous, MethodKey, MethodToken, MethodCertificate, methodUnrecognized}
	outcomes = []string{outcomeOK, FailMissing, FailMalformed, FailUnknown, FailRevoked, FailExpired, FailSignature, FailAlgorithm, FailIssuer, FailAudience, FailClaims, FailUnavailable}
)

// Metrics of authentication.
type Metrics struct {
	requests   map[[2]string]prometheus.Counter // method, outcome: all that can be
	keysFailed prometheus.Counter
	fetches    *prometheus.CounterVec // issuer, outcome
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_auth_requests_total",
		Help: "Requests by how they authenticated and with what outcome: ok, or the kind of failure (missing, malformed, unknown, revoked, expired, signature, algorithm, issuer, audience, claims, unavailable)."}, []string{"method", "outcome"})
	m := &Metrics{
		requests: map[[2]string]prometheus.Counter{},
		keysFailed: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_auth_keys_file_failures_total",
			Help: "Times that the keys file had changed and could not be used; the keys read before stay in use."}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_auth_issuer_fetches_total",
			Help: "Times that the keys of an OpenID Connect issuer were fetched, by outcome: ok or failed."}, []string{"issuer", "outcome"}),
	}
	for _, method := range methods {
		for _, outcome := range outcomes {
			m.requests[[2]string{method, outcome}] = requests.WithLabelValues(method, outcome)
		}
	}
	reg.MustRegister(requests, m.keysFailed, m.fetches)
	return m
}

func (m *Metrics) count(method, outcome string) { m.requests[[2]string{method, outcome}].Inc() }

func (m *Metrics) fetched(issuer string, err error) {
	outcome := outcomeOK
	if err != nil {
		outcome = "failed"
	}
	m.fetches.WithLabelValues(issuer, outcome).Inc()
}

// collector tells what is known now.
type collector struct {
	a                          *Authenticator // nil in the reference
	keys, issuerKeys, issuerAt *prometheus.Desc
}

// NewCollector tells of the keys that a knows; a may be nil to describe it.
func NewCollector(a *Authenticator) prometheus.Collector {
	return &collector{a: a,
		keys:       prometheus.NewDesc("penstock_auth_keys", "API keys in the keys file by state: active, expired, revoked.", []string{"state"}, nil),
		issuerKeys: prometheus.NewDesc("penstock_auth_issuer_keys", "Keys known of an OpenID Connect issuer; 0: its tokens cannot be verified.", []string{"issuer"}, nil),
		issuerAt:   prometheus.NewDesc("penstock_auth_issuer_last_fetch_timestamp_seconds", "When the keys of an OpenID Connect issuer were last fetched; 0: never.", []string{"issuer"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.keys
	ch <- c.issuerKeys
	ch <- c.issuerAt
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.a.state.Load()
	if s.keys != nil {
		for state, n := range s.keys.states(c.a.now()) {
			ch <- prometheus.MustNewConstMetric(c.keys, prometheus.GaugeValue, float64(n), state)
		}
	}
	for name, i := range s.issuers {
		f := i.keys.current.Load()
		ch <- prometheus.MustNewConstMetric(c.issuerKeys, prometheus.GaugeValue, float64(len(f.keys)), name)
		at := 0.0
		if !f.at.IsZero() {
			at = float64(f.at.UnixNano()) / float64(time.Second)
		}
		ch <- prometheus.MustNewConstMetric(c.issuerAt, prometheus.GaugeValue, at, name)
	}
}
