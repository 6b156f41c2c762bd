package page

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type object = map[string]any

func window(scenario, system, variant string, rate, cpu float64) object {
	return object{"scenario": scenario, "system": system, "variant": variant, "delivered_items_per_second": rate,
		"system_cpu_us_per_item": cpu, "system_peak_rss_bytes": 100e6, "load": object{"Story": "web", "Items": 100, "Clients": 10},
		"clients": object{"latency": object{"distribution": []object{{"quantile": 0.5, "ms": 3.0}, {"quantile": 0.99, "ms": 20.0}, {"quantile": 1, "ms": 50.0}}}}}
}

func write(t *testing.T, dir, name string, day int, more object) {
	t.Helper()
	run := object{"time": time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC), "command": "go run ./bench of " + name, "commit": "abc", "machine": object{"cpu": "CPU", "cores": 2}}
	for k, v := range more {
		run[k] = v
	}
	b, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// titles are the texts of bars and points of a plot, which has to be XML.
func titles(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(out, "; ")
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "title" {
			var text string
			if err := d.DecodeElement(&text, &e); err != nil {
				t.Fatal(err)
			}
			out = append(out, text)
		}
	}
}

func results(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "old.json", 1, object{"results": []object{{"scenario": object{"name": "traces"}}}})
	write(t, dir, "backlog.json", 1, object{"backlog": object{"items": 1}})
	write(t, dir, "first.json", 2, object{"results": []object{window("traces100", "penstock", "", 300e3, 3), window("logs512", "penstock", "", 700e3, 1.5)}})
	write(t, dir, "second.json", 3, object{
		"results": []object{window("traces100", "penstock", "", 340e3, 2.5), window("profile", "penstock", "strict", 300e3, 3), window("profile", "penstock", "process", 350e3, 2), window("profile", "penstock", "strict", 320e3, 3)},
		"targets": []object{{"scenario": "traces100", "what": "delivered", "unit": "items/s", "want": 330e3, "at_least": true, "got": 340e3, "met": true, "said": "met"}}})
	var cells []object
	for _, clients := range []int{10, 50, 100, 500} {
		for _, items := range []int{100, 5000} {
			c := window("seed", "penstock", fmt.Sprintf("web %d x %d", items, clients), float64(1000*clients+items), 2)
			c["load"] = object{"Story": "web", "Items": items, "Clients": clients}
			cells = append(cells, c)
		}
	}
	write(t, dir, "matrix.json", 4, object{"results": cells})
	write(t, dir, "compare.json", 5, object{
		"results": []object{window("traces100", "penstock", "", 330e3, 3), window("traces100", "collector", "", 120e3, 12), window("traces100", "collector", "", 130e3, 11), window("traces100", "penstock", "", 330e3, 3)},
		"ratios":  []object{{"scenario": "traces100", "what": "delivered", "of": "penstock", "to": "collector", "turns": []float64{2.75, 2.54}, "median": 2.645}},
		"peers":   []object{{"name": "collector", "product": "Collector 1", "acknowledged_means": "hoped", "tuned": "much"}}, "peers_not_here": []string{"Vector: why"}})
	return dir
}

func TestPageShowsTheNewestOfEachScenario(t *testing.T) {
	dir := results(t)
	if err := Run([]string{"-results", dir}, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{
		"go run ./bench of second.json", "go run ./bench of first.json", "go run ./bench of compare.json",
		"| traces100 | delivered | penstock | collector | 2.65 | 2.75 2.54 |", "**collector**: Collector 1. An acknowledged request is hoped. Set: much.", "Vector: why",
		"| traces100 |  | delivered, items/s | ≥ 330k | 340k | met |", "[backlog.json](backlog.json), [old.json](old.json)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	// Every plot that is named is there, and none that is not.
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.Contains(text, "]("+filepath.Base(f)+")") {
			t.Errorf("%s is not on the page", f)
		}
	}
	f := func(name, want string) {
		t.Helper()
		if got := titles(t, dir, name); got != want {
			t.Errorf("%s shows %q, want %q", name, got, want)
		}
	}
	f("scenarios-throughput.svg", "traces100, penstock: 340k; logs512, penstock: 700k")
	f("compare-throughput.svg", "traces100, penstock: 330k; traces100, collector: 125k")
	f("compare-cpu.svg", "traces100, penstock: 3; traces100, collector: 11.5")
	f("profile-throughput.svg", "strict, penstock: 310k; process, penstock: 350k")
	f("profile-latency.svg", "strict; strict at 50 %: 3; strict at 99 %: 20; process; process at 50 %: 3; process at 99 %: 20")
	f("seed-web.svg", "100 a request; 100 a request at 10: 10.1k; 100 a request at 50: 50.1k; 100 a request at 100: 100k; 100 a request at 500: 500k; "+
		"5000 a request; 5000 a request at 10: 15k; 5000 a request at 50: 55k; 5000 a request at 100: 105k; 5000 a request at 500: 505k")
	f("scenarios-memory.svg", "traces100, penstock: 100; logs512, penstock: 100")
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(filepath.Join(dir, "index.md")); err != nil || !bytes.Equal(again, b) {
		t.Errorf("the same files gave another page: %v", err)
	}
}

func TestWhatCannotBeAPage(t *testing.T) {
	f := func(want, dir string) {
		t.Helper()
		if err := Write(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
		if made, _ := filepath.Glob(filepath.Join(dir, "*.[ms][dv]*")); len(made) > 0 { // the pattern is valid
			t.Errorf("%s were written nevertheless", made)
		}
	}
	f("no result file", t.TempDir())
	dir := results(t)
	if err := os.WriteFile(filepath.Join(dir, "torn.json"), []byte(`{"time":`), 0o600); err != nil {
		t.Fatal(err)
	}
	f("torn.json is not JSON", dir)
	dir = results(t)
	write(t, dir, "bad.json", 9, object{"results": []object{window("traces100", "penstock", "", 300e3, -3)}})
	f("penstock of traces100 is -3", dir)
	if err := Run([]string{"now"}, io.Discard); err == nil {
		t.Error("an argument was not refused")
	}
}
