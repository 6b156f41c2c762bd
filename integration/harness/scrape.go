package harness

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Metrics are the samples of one scrape, by name and labels as they are written.
type Metrics map[string]float64

// Scrape reads the metrics of a role that runs.
func (r *Role) Scrape() Metrics {
	r.t.Helper()
	m, err := r.scrape()
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *Role) scrape() (Metrics, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + r.AdminAddr + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", r.name, err)
	}
	defer resp.Body.Close()
	m := Metrics{}
	for lines := bufio.NewScanner(resp.Body); ; {
		if !lines.Scan() {
			return m, lines.Err()
		}
		sample, value, ok := strings.Cut(lines.Text(), "} ")
		if ok {
			sample += "}"
		} else {
			sample, value, _ = strings.Cut(lines.Text(), " ")
		}
		if strings.HasPrefix(sample, "#") {
			continue
		}
		if m[sample], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("metrics of %s: %q: %w", r.name, lines.Text(), err)
		}
	}
}

// Sum adds the samples of the name that have every one of the labels, each
// written as `key="value"`.
func (m Metrics) Sum(name string, labels ...string) (sum float64) {
next:
	for sample, v := range m {
		if n, _, _ := strings.Cut(sample, "{"); n != name {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(sample, l) {
				continue next
			}
		}
		sum += v
	}
	return sum
}
