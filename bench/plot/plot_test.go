package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// element is one of an SVG that was read back.
type element struct {
	name, class, text string // text with that of the elements within
	attr              map[string]string
}

func (e element) num(t *testing.T, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(e.attr[name], 64)
	if err != nil {
		t.Fatalf("%s of %+v: %v", name, e, err)
	}
	return v
}

// read parses the SVG with the standard decoder, which knows only what XML has.
func read(t *testing.T, svg []byte) (out []element) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	var open []int
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, svg)
		}
		switch v := token.(type) {
		case xml.StartElement:
			e := element{name: v.Name.Local, attr: map[string]string{}}
			for _, a := range v.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			e.class = e.attr["class"]
			open = append(open, len(out))
			out = append(out, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, i := range open {
				out[i].text += string(v)
			}
		}
	}
}

func of(all []element, class string) (out []element) {
	for _, e := range all {
		if e.class == class {
			out = append(out, e)
		}
	}
	return out
}

func texts(all []element, class string) (out []string) {
	for _, e := range of(all, class) {
		out = append(out, e.text)
	}
	return out
}

func golden(t *testing.T, name string, svg []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, svg, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(svg, want) {
		t.Errorf("%s is drawn otherwise than before (go test -update, and look at it):\n%s", path, svg)
	}
}

var throughput = Bars{
	Title:  `Throughput & "fairness" <of all>`,
	Label:  "items/s",
	Groups: []string{"traces", "metrics", "logs"},
	Series: []Values{
		{"Penstock", []float64{338e3, 1.97e6, 712e3}},
		{"Collector", []float64{125e3, 600e3, math.NaN()}},
		{"Collector, fsync", []float64{34.9e3, 0, 90e3}},
	},
}

func TestBarsAreAsHighAsTheirValues(t *testing.T) {
	svg, err := throughput.SVG()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "bars.svg", svg)
	all := read(t, svg)
	if all[0].attr["aria-label"] != throughput.Title || texts(all, "title")[0] != throughput.Title {
		t.Errorf("the title was not kept: %q", all[0].attr["aria-label"])
	}
	bars, n := of(all, "bar"), 0
	if len(bars) != 8 {
		t.Fatalf("%d bars for 8 values", len(bars))
	}
	for g, group := range throughput.Groups {
		for _, s := range throughput.Series {
			v := s.Values[g]
			if math.IsNaN(v) {
				continue
			}
			b := bars[n]
			n++
			// The axis ends at 2 M, 274 pixels high.
			if want := v / 2e6 * fieldHeight; math.Abs(b.num(t, "height")-want) > 0.06 {
				t.Errorf("%s of %s is %s high, want %.1f", s.Name, group, b.attr["height"], want)
			}
			if foot := b.num(t, "y") + b.num(t, "height"); math.Abs(foot-top-fieldHeight) > 0.11 {
				t.Errorf("%s of %s stands at %g", s.Name, group, foot)
			}
			if want := fmt.Sprintf("%s, %s: %s", group, s.Name, Short(v)); b.text != want {
				t.Errorf("a bar says %q, want %q", b.text, want)
			}
		}
	}
	if got := strings.Join(texts(all, "tick"), " "); got != "0 500k 1M 1.5M 2M" {
		t.Errorf("ticks %s", got)
	}
	if got := strings.Join(texts(all, "legend"), "; "); got != "Penstock; Collector; Collector, fsync" {
		t.Errorf("legend %s", got)
	}
	for i := range bars[1:] {
		if bars[i].num(t, "x")+bars[i].num(t, "width") > bars[i+1].num(t, "x")+0.1 {
			t.Errorf("bar %d lies on the next", i)
		}
	}
}

func TestLinesOfPercentiles(t *testing.T) {
	l := Lines{Title: "Latency", XLabel: "percentile", YLabel: "ms", X: Percentile, LogY: true, Series: []Line{
		{"Penstock", []Point{{0, 1}, {0.5, 3}, {0.9, 10}, {0.99, 20}, {0.999, 50}, {0.9999, 100}}},
		{"Collector", []Point{{0, 2}, {0.5, 70}, {0.9, 200}, {0.99, 300}}},
	}}
	svg, err := l.SVG()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "percentiles.svg", svg)
	all := read(t, svg)
	var x []string
	for _, e := range of(all, "tick") {
		if e.attr["text-anchor"] == "middle" {
			x = append(x, e.text)
		}
	}
	if got := strings.Join(x, ", "); got != "0 %, 90 %, 99 %, 99.9 %, 99.99 %" {
		t.Errorf("ticks of the percentiles: %s", got)
	}
	points := of(all, "point")
	if len(points) != 10 {
		t.Fatalf("%d points, want 10", len(points))
	}
	// Four nines are the whole width; the Y axis runs from 1 to 500.
	for i, nines := range []float64{0, math.Log10(2), 1, 2, 3, 4} {
		if want := left + fieldWidth*nines/4; math.Abs(points[i].num(t, "cx")-want) > 0.06 {
			t.Errorf("point %d is at %s, want %.1f", i, points[i].attr["cx"], want)
		}
		v := l.Series[0].Points[i].Y
		if want := top + fieldHeight*(1-math.Log(v)/math.Log(500)); math.Abs(points[i].num(t, "cy")-want) > 0.06 {
			t.Errorf("point %d is at height %s, want %.1f", i, points[i].attr["cy"], want)
		}
	}
	if series := of(all, "series"); series[0].attr["stroke-dasharray"] == series[1].attr["stroke-dasharray"] || series[0].attr["stroke"] == series[1].attr["stroke"] {
		t.Error("two lines look the same")
	}
	if got := texts(all, "point")[2]; got != "Penstock at 90 %: 10" {
		t.Errorf("a point says %q", got)
	}
}

func TestLinesOverClients(t *testing.T) {
	l := Lines{Title: "Batches", XLabel: "requests in flight", YLabel: "items/s", X: Log, Series: []Line{
		{"100 a request", []Point{{10, 100e3}, {50, 210e3}, {100, 240e3}, {200, 250e3}, {500, 251e3}}},
		{"5,000 a request", []Point{{10, 400e3}, {50, 480e3}, {100, 500e3}, {200, 490e3}, {500, 470e3}}},
	}}
	svg, err := l.SVG()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "clients.svg", svg)
	all := read(t, svg)
	points := of(all, "point")
	if first, last := points[0].num(t, "cx"), points[4].num(t, "cx"); first != left || last != left+fieldWidth {
		t.Errorf("10 and 500 in flight are at %g and %g, want both ends", first, last)
	}
	if got := strings.Join(texts(all, "tick"), " "); got != "0 100k 200k 300k 400k 500k 10 20 50 100 200 500" {
		t.Errorf("ticks %s", got)
	}
}

func TestCurveOfManyPointsHasNoCircles(t *testing.T) {
	var l Line
	for i := range 1000 {
		l.Points = append(l.Points, Point{float64(i) / 1000, float64(i)})
	}
	svg, err := Lines{X: Percentile, Series: []Line{l}}.SVG()
	if err != nil {
		t.Fatal(err)
	}
	all := read(t, svg)
	if n := len(of(all, "point")); n != 0 {
		t.Errorf("%d circles", n)
	}
	if n := len(strings.Fields(of(all, "series")[0].attr["points"])); n != 1000 {
		t.Errorf("%d points of 1000", n)
	}
}

func TestWhatCannotBeDrawnIsAnError(t *testing.T) {
	bars := func(want string, b Bars) {
		t.Helper()
		if svg, err := b.SVG(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, %d bytes, want an error with %q", b, err, len(svg), want)
		}
	}
	bars("1 values of s for 2 groups", Bars{Groups: []string{"a", "b"}, Series: []Values{{"s", []float64{1}}}})
	bars("s of a is -1", Bars{Groups: []string{"a"}, Series: []Values{{"s", []float64{-1}}}})
	bars("is +Inf", Bars{Groups: []string{"a"}, Series: []Values{{"s", []float64{math.Inf(1)}}}})
	lines := func(want string, l Lines, p Point) {
		t.Helper()
		l.Series = []Line{{"s", []Point{p}}}
		if svg, err := l.SVG(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, %d bytes, want an error with %q", p, err, len(svg), want)
		}
	}
	lines("not a number", Lines{}, Point{1, math.NaN()})
	lines("below the axis", Lines{}, Point{1, -1})
	lines("below the axis", Lines{LogY: true}, Point{1, 0})
	lines("below 1", Lines{X: Percentile}, Point{1, 1})
	lines("left of", Lines{X: Log}, Point{0, 1})
}

func TestNothingAndOnlyZerosAreDrawn(t *testing.T) {
	for _, b := range []Bars{{}, {Groups: []string{"a"}}, {Groups: []string{"a"}, Series: []Values{{"s", []float64{0}}}}} {
		svg, err := b.SVG()
		if err != nil || bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("%+v: %v\n%s", b, err, svg)
		}
	}
	for _, l := range []Lines{{}, {X: Percentile, LogY: true}, {X: Log, LogY: true, Series: []Line{{"s", []Point{{1, 1}}}}}} {
		svg, err := l.SVG()
		if err != nil || bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("%+v: %v\n%s", l, err, svg)
		}
	}
}

func TestTicksAreNice(t *testing.T) {
	f := func(high float64, want string) {
		t.Helper()
		a := newAxis([]float64{high}, false)
		var got []string
		for _, v := range a.ticks {
			got = append(got, Short(v))
		}
		if s := strings.Join(got, " "); s != want || a.to < high {
			t.Errorf("up to %g: %s, want %s", high, s, want)
		}
	}
	f(1, "0 0.2 0.4 0.6 0.8 1")
	f(0.9, "0 0.2 0.4 0.6 0.8 1")
	f(3, "0 1 2 3")
	f(1_970_000, "0 500k 1M 1.5M 2M")
	f(0.007, "0 0.002 0.004 0.006 0.008")
	f(120, "0 50 100 150")
}

func TestShort(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := Short(v); got != want {
			t.Errorf("%g is %q, want %q", v, got, want)
		}
	}
	f(0, "0")
	f(1, "1")
	f(2.967, "2.97")
	f(0.02347, "0.0235")
	f(99.96, "100")
	f(999, "999")
	f(999.7, "1k")
	f(338_012, "338k")
	f(1_967_786, "1.97M")
	f(20_000_000_000, "20G")
	f(-1500, "-1.5k")
}
