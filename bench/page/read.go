package page

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// run is what the page needs of a result file.
type run struct {
	file string

	Time    time.Time `json:"time"`
	Command string    `json:"command"`
	Commit  string    `json:"commit"`
	Machine struct {
		CPU   string `json:"cpu"`
		Cores int    `json:"cores"`
	} `json:"machine"`
	Results []result  `json:"results"`
	Ratios  []ratio   `json:"ratios"`
	Targets []verdict `json:"targets"`
	Peers   []struct {
		Name    string `json:"name"`
		Product string `json:"product"`
		Promise string `json:"acknowledged_means"`
		Tuned   string `json:"tuned"`
	} `json:"peers"`
	NotHere []string `json:"peers_not_here"`
}

type result struct {
	Scenario  string  `json:"scenario"`
	System    string  `json:"system"`
	Variant   string  `json:"variant"`
	Delivered float64 `json:"delivered_items_per_second"`
	Accepted  float64 `json:"accepted_items_per_second"`
	CPU       float64 `json:"system_cpu_us_per_item"`
	PeakRSS   int64   `json:"system_peak_rss_bytes"`
	Load      struct {
		Story          string
		Items, Clients int
	} `json:"load"`
	Clients struct {
		Latency struct {
			Distribution []struct {
				Quantile float64 `json:"quantile"`
				Millis   float64 `json:"ms"`
			} `json:"distribution"`
		} `json:"latency"`
	} `json:"clients"`
}

// rate is what was delivered, or accepted where nothing is delivered on purpose.
func (r result) rate() float64 {
	if r.Delivered > 0 {
		return r.Delivered
	}
	return r.Accepted
}

type ratio struct {
	Scenario string    `json:"scenario"`
	What     string    `json:"what"`
	Of       string    `json:"of"`
	To       string    `json:"to"`
	Turns    []float64 `json:"turns"`
	Median   float64   `json:"median"`
}

type verdict struct {
	Scenario string  `json:"scenario"`
	Variant  string  `json:"variant"`
	What     string  `json:"what"`
	Unit     string  `json:"unit"`
	Want     float64 `json:"want"`
	AtLeast  bool    `json:"at_least"`
	Got      float64 `json:"got"`
	Met      bool    `json:"met"`
	Said     string  `json:"said"`
}

// read gives the runs of a directory, the newest first, and the names of result
// files that have other than windows of scenarios.
func read(dir string) (runs []*run, others []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		if !json.Valid(b) {
			return nil, nil, fmt.Errorf("%s is not JSON", path)
		}
		r := &run{file: filepath.Base(path)}
		// In older files a scenario is an object.
		if err := json.Unmarshal(b, r); err != nil || len(r.Results) == 0 || r.Results[0].System == "" {
			others = append(others, r.file)
			continue
		}
		runs = append(runs, r)
	}
	slices.SortStableFunc(runs, func(a, b *run) int { return b.Time.Compare(a.Time) })
	return runs, others, nil
}
