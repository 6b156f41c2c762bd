package promrules_test

import (
	"math"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

// The tests TestUpstream… are what Penstock promises and Prometheus does: each fails
// when an upgrade of it changes that.

// TestUpstreamNames: what metrics and attributes of OTLP are called in rules. Rules of
// users are made of these names.
func TestUpstreamNames(t *testing.T) {
	f := func(name, unit string, kind promrules.Kind, want string) {
		t.Helper()
		if got, err := promrules.MetricName(name, unit, kind); err != nil || got != want {
			t.Errorf("%s in %s is %s, want %s: %v", name, unit, got, want, err)
		}
	}
	f("system.cpu.utilization", "1", promrules.Gauge, "system_cpu_utilization_ratio")
	f("system.cpu.time", "s", promrules.MonotonicSum, "system_cpu_time_seconds_total")
	f("system.memory.usage", "By", promrules.Sum, "system_memory_usage_bytes")
	f("http.server.request.duration", "s", promrules.Histogram, "http_server_request_duration_seconds")
	f("http.server.duration", "ms", promrules.ExponentialHistogram, "http_server_duration_milliseconds")
	f("requests", "{request}", promrules.MonotonicSum, "requests_total")
	f("requests_total", "", promrules.MonotonicSum, "requests_total")
	f("disk.io", "By/s", promrules.Gauge, "disk_io_bytes_per_second")
	f("hw.temperature", "Cel", promrules.Gauge, "hw_temperature_celsius")
	f("battery", "%", promrules.Gauge, "battery_percent")
	f("5xx.rate", "", promrules.Gauge, "_5xx_rate")
	f("a..b--c", "", promrules.Gauge, "a_b_c")
	for name, want := range map[string]string{"service.name": "service_name", "http.response.status_code": "http_response_status_code", "a": "a", "1st": "key_1st", "k8s.pod/name": "k8s_pod_name"} {
		if got, err := (promrules.Names{}).Label(name); err != nil || got != want {
			t.Errorf("%s is the label %s, want %s: %v", name, got, want, err)
		}
	}
}

// TestUpstreamPromQL: results of expressions that alerting rules are made of.
func TestUpstreamPromQL(t *testing.T) {
	r := newRig(t, group("  - {alert: A, expr: '{__name__=~\".+\"} > 1e18'}\n"))
	for n := range 21 { // five minutes, a sample each 15 s
		v := float64(n)
		r.append(metrics(gauge("load", point{at: r.now, v: v * v, where: "a"}, point{at: r.now, v: 100 - v, where: "b"}),
			sum("hits", cumulative, point{at: r.now, v: 30 * v, where: "a"}), histogram(r.now, 100+100*n)))
		if n < 20 {
			r.now = r.now.Add(15 * time.Second)
		}
	}
	for expr, want := range map[string]float64{
		`load{where="a"}`: 400,
		`sum(load)`:       480,
		`max by (where) (load{where=~"a|c"}) - 1`:                   399,
		`count(load > 90)`:                                          1,
		`avg_over_time(load{where="b"}[1m])`:                        81.5,
		`max_over_time(load{where="a"}[2m] offset 1m)`:              256,
		`min_over_time(load{where="a"}[45s])`:                       324,
		`quantile_over_time(0.5, load{where="b"}[1m])`:              81.5,
		`stddev_over_time(load{where="b"}[1m])`:                     math.Sqrt(1.25),
		`count_over_time(load{where="a"}[1m])`:                      4,
		`last_over_time(load{where="a"}[1m])`:                       400,
		`changes(load{where="b"}[1m])`:                              3,
		`rate(hits_total[1m])`:                                      2,
		`increase(hits_total[2m])`:                                  240,
		`irate(hits_total[1m])`:                                     2,
		`deriv(load{where="b"}[1m])`:                                -1.0 / 15,
		`delta(load{where="b"}[1m])`:                                -4,
		`predict_linear(load{where="b"}[2m], 150)`:                  70,
		`abs(-sum(load{where="b"}))`:                                80,
		`clamp_max(load{where="a"}, 7)`:                             7,
		`scalar(load{where="a"}) + vector(1)`:                       401,
		`load{where="a"} / ignoring(where) load{where="b"}`:         5,
		`topk(1, load)`:                                             400,
		`count(load unless load{where="a"})`:                        1,
		`absent(nothing)`:                                           1,
		`sum(load and on (where) hits_total)`:                       400,
		`count(label_replace(load, "x", "$1", "where", "(.)") > 0)`: 2,
		`time() - timestamp(load{where="a"})`:                       0,
		`histogram_quantile(0.5, sum by (le) (rate(http_server_request_duration_seconds_bucket[1m])))`: 0.3,
		`sum(rate(http_server_request_duration_seconds_count[1m]))`:                                    100.0 / 15,
	} {
		if got := r.value(expr); math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
			t.Errorf("%s is %v, want %v", expr, got, want)
		}
	}
}
