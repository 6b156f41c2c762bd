package rules

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// measure is a unit: what it is of, and how many of the basic one.
type measure struct {
	of     string
	factor float64
}

const (
	ofTime  = "time"
	ofBytes = "bytes"
	ofRatio = "ratio"
)

// metricUnits are those of OTLP, in the notation of UCUM.
var metricUnits = map[string]measure{
	"ns": {ofTime, 1e-9}, "us": {ofTime, 1e-6}, "ms": {ofTime, 1e-3}, "s": {ofTime, 1}, "min": {ofTime, 60}, "h": {ofTime, 3600}, "d": {ofTime, 86400},
	"By": {ofBytes, 1}, "kBy": {ofBytes, 1e3}, "MBy": {ofBytes, 1e6}, "GBy": {ofBytes, 1e9},
	"KiBy": {ofBytes, 1 << 10}, "MiBy": {ofBytes, 1 << 20}, "GiBy": {ofBytes, 1 << 30},
	"1": {ofRatio, 1}, "%": {ofRatio, 0.01},
}

// nameUnits are the units at the end of a metric's name in Prometheus' form.
var nameUnits = map[string]string{
	"nanoseconds": "ns", "microseconds": "us", "milliseconds": "ms", "seconds": "s", "minutes": "min", "hours": "h", "days": "d",
	"bytes": "By", "kilobytes": "kBy", "megabytes": "MBy", "gigabytes": "GBy", "kibibytes": "KiBy", "mebibytes": "MiBy", "gibibytes": "GiBy",
	"ratio": "1", "percent": "%",
}

// saidUnits are those that a threshold can have.
var saidUnits = map[string]measure{
	"ns": {ofTime, 1e-9}, "us": {ofTime, 1e-6}, "µs": {ofTime, 1e-6}, "ms": {ofTime, 1e-3}, "s": {ofTime, 1}, "min": {ofTime, 60}, "h": {ofTime, 3600}, "d": {ofTime, 86400},
	"B": {ofBytes, 1}, "kB": {ofBytes, 1e3}, "MB": {ofBytes, 1e6}, "GB": {ofBytes, 1e9}, "TB": {ofBytes, 1e12},
	"KiB": {ofBytes, 1 << 10}, "MiB": {ofBytes, 1 << 20}, "GiB": {ofBytes, 1 << 30}, "TiB": {ofBytes, 1 << 40},
	"%": {ofRatio, 0.01},
	"K": {"", 1e3}, "k": {"", 1e3}, "M": {"", 1e6}, "G": {"", 1e9},
}

var quantity = regexp.MustCompile(`^([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?) ?([^0-9 ]*)$`)

// unitOfName is the unit that a name in Prometheus' form ends with, "" without one.
func unitOfName(name string) string {
	name = strings.TrimSuffix(name, "_total")
	return nameUnits[name[strings.LastIndexByte(name, '_')+1:]]
}

// threshold is a quantity in the unit of a metric. plain: the value that it is
// compared with is a number of things, whatever the unit of the metric.
func threshold(text, unit string, plain bool) (string, error) {
	m := quantity.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("threshold %q has to be a number, with a unit if need be: 0.8, 80%%, 100ms, 64MiB, 100K", text)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return "", fmt.Errorf("threshold %q: %w", text, err)
	}
	if m[2] == "" {
		return format(v), nil
	}
	said, ok := saidUnits[m[2]]
	switch {
	case !ok:
		return "", fmt.Errorf("threshold %q: unknown unit %q, want one of %s", text, m[2], join(keys(saidUnits)))
	case said.of == "":
		return format(v * said.factor), nil
	case plain:
		return "", fmt.Errorf("threshold %q has a unit, and is compared with a number of observations: write a number", text)
	case unit == "":
		return "", fmt.Errorf("threshold %q has a unit, and that of the metric is not known: write the number alone, or say the metric's unit with unit", text)
	}
	of, ok := metricUnits[unit]
	if !ok || of.of != said.of {
		return "", fmt.Errorf("threshold %q is of another unit than the metric, whose unit is %q: write the number in that unit", text, unit)
	}
	return format(v * said.factor / of.factor), nil
}

// format leaves out what is only rounding.
func format(v float64) string { return strconv.FormatFloat(v, 'g', 15, 64) }

// readable is a template that shows a value of a unit.
func readable(unit string) string {
	switch metricUnits[unit] {
	case measure{ofTime, 1}:
		return "{{ $value | humanizeDuration }}"
	case measure{ofBytes, 1}:
		return "{{ $value | humanize1024 }}B"
	case measure{ofRatio, 1}:
		return "{{ $value | humanizePercentage }}"
	case measure{ofTime, 1e-3}:
		return "{{ $value | humanize }} ms"
	case measure{ofRatio, 0.01}:
		return "{{ $value | humanize }} %"
	}
	return "{{ $value | humanize }}"
}
