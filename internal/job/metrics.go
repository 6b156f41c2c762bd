package job

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of jobs. No label is a job's name: there is no end of those.
type Metrics struct {
	jobs      *prometheus.GaugeVec   // kind, phase
	runs      *prometheus.CounterVec // kind, outcome
	ratio     *prometheus.GaugeVec   // kind, slot
	rate      *prometheus.GaugeVec   // kind, slot
	remaining *prometheus.GaugeVec   // kind, slot
	failures  prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	active := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_job_" + name, Help: help}, []string{"kind", "slot"})
	}
	m := &Metrics{
		jobs: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "penstock_jobs",
			Help: "Jobs kept in the queue, by kind and phase; the same in every process that looks at them."}, []string{"kind", "phase"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "penstock_job_runs_total",
			Help: "Runs of jobs that ended in this process, by outcome: the phase the job then had, or lost."}, []string{"kind", "outcome"}),
		ratio:     active("progress_ratio", "Part of the job in the slot of this process that is done, 0 to 1."),
		rate:      active("bytes_per_second", "Bytes before compression that the job in the slot of this process looks at in a second."),
		remaining: active("eta_seconds", "Expected time to the end of the job in the slot of this process; 0 when not known."),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "penstock_job_failures_total",
			Help: "Failures to list, take, keep or store jobs; they are tried again."}),
	}
	reg.MustRegister(m.jobs, m.runs, m.ratio, m.rate, m.remaining, m.failures)
	return m
}

// count shows the jobs of the kinds that are known here.
func (m *Metrics) count(jobs []Job, kinds map[string]Handler) {
	for kind := range kinds {
		n := map[Phase]int{}
		for i := range jobs {
			if jobs[i].Kind == kind {
				n[jobs[i].Phase]++
			}
		}
		for _, p := range Phases() {
			m.jobs.WithLabelValues(kind, string(p)).Set(float64(n[p]))
		}
	}
}

func (m *Metrics) progress(j Job, slot int) {
	n := strconv.Itoa(slot)
	m.ratio.WithLabelValues(j.Kind, n).Set(j.Progress.Ratio())
	m.rate.WithLabelValues(j.Kind, n).Set(j.Progress.BytesPerSecond)
	m.remaining.WithLabelValues(j.Kind, n).Set(j.Progress.ETASeconds)
}

func (m *Metrics) ended(kind string, slot int, p Phase) {
	m.runs.WithLabelValues(kind, string(p)).Inc()
	for _, g := range []*prometheus.GaugeVec{m.ratio, m.rate, m.remaining} {
		g.DeleteLabelValues(kind, strconv.Itoa(slot))
	}
}
