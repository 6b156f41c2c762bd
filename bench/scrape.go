//go:build linux

package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// series are the values of a page of metrics, by name and labels as they stand.
type series map[string]float64

func scrape(ctx context.Context, url string) (series, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := series{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", url, line, err)
		}
		out[line[:i]] = value
	}
	return out, lines.Err()
}

// sum is that of a metric over its labels.
func (s series) sum(metric string) (total float64) {
	for name, v := range s {
		if rest, ok := strings.CutPrefix(name, metric); ok && (rest == "" || rest[0] == '{') {
			total += v
		}
	}
	return total
}

// rise is how much more a metric is than before.
func (s series) rise(before series, metric string) float64 {
	return s.sum(metric) - before.sum(metric)
}

// quantile is of what a histogram without labels took since before, even within
// a bucket, in its own unit. more: it lies above the last bound, which is given.
func (s series) quantile(before series, metric string, q float64) (v float64, more bool) {
	type bucket struct{ le, count float64 }
	var buckets []bucket
	for name, count := range s {
		bound, ok := strings.CutPrefix(name, metric+`_bucket{le="`)
		le, err := strconv.ParseFloat(strings.TrimSuffix(bound, `"}`), 64)
		if ok && err == nil {
			buckets = append(buckets, bucket{le, count - before[name]})
		}
	}
	if len(buckets) == 0 {
		return 0, false
	}
	slices.SortFunc(buckets, func(a, b bucket) int { return cmp.Compare(a.le, b.le) })
	want := q * buckets[len(buckets)-1].count
	var low bucket
	for i, b := range buckets {
		if b.count >= want && b.count > low.count {
			if i == len(buckets)-1 {
				return low.le, true
			}
			return low.le + (b.le-low.le)*(want-low.count)/(b.count-low.count), false
		}
		low = b
	}
	return 0, false // nothing was taken
}
