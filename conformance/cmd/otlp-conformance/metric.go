package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxMetrics bounds what is read of an endpoint's metrics.
const maxMetrics = 16 << 20

// metric adds up the series whose name and labels match.
func metric(url, pattern string) (func(context.Context) (float64, error), error) {
	form, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-undelivered-metric: %w", err)
	}
	client := &http.Client{Timeout: 5 * time.Second}
	return func(ctx context.Context) (sum float64, _ error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%s answers %s", url, resp.Status)
		}
		lines := bufio.NewScanner(io.LimitReader(resp.Body, maxMetrics))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := lines.Text()
			end := strings.LastIndexByte(line, ' ')
			if end < 0 || strings.HasPrefix(line, "#") || !form.MatchString(line[:end]) {
				continue
			}
			v, err := strconv.ParseFloat(line[end+1:], 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %q: %w", url, line, err)
			}
			sum += v
		}
		return sum, lines.Err()
	}, nil
}
