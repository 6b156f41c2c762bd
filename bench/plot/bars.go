package plot

import (
	"fmt"
	"html"
	"math"
)

// Bars are values by group and series, as throughput by scenario and system.
type Bars struct {
	Title  string
	Label  string // of the values, with their unit
	Groups []string
	Series []Values
}

// Values are one series: one for each group. NaN is no bar.
type Values struct {
	Name   string
	Values []float64
}

// SVG draws the bars. It is an error when a series has other than a value for
// each group, or a value below zero.
func (b Bars) SVG() ([]byte, error) {
	var all []float64
	var names []string
	for _, s := range b.Series {
		if len(s.Values) != len(b.Groups) {
			return nil, fmt.Errorf("plot %q: %d values of %s for %d groups", b.Title, len(s.Values), s.Name, len(b.Groups))
		}
		for i, v := range s.Values {
			if v < 0 || math.IsInf(v, 0) {
				return nil, fmt.Errorf("plot %q: %s of %s is %g", b.Title, s.Name, b.Groups[i], v)
			}
		}
		all, names = append(all, s.Values...), append(names, s.Name)
	}
	c, a := newCanvas(b.Title), newAxis(all, false)
	c.legend(names)
	c.valueAxis(a, b.Label)
	group := fieldWidth / float64(max(1, len(b.Groups)))
	bar := min(group*0.8/float64(max(1, len(b.Series))), 60)
	for g, name := range b.Groups {
		middle := left + group*(float64(g)+0.5)
		c.text(middle, top+fieldHeight+18+stagger(b.Groups, group, g), "group", "middle", name)
		for i, s := range b.Series {
			v := s.Values[g]
			if math.IsNaN(v) {
				continue
			}
			x, y := middle+bar*(float64(i)-float64(len(b.Series))/2), a.y(v)
			fmt.Fprintf(c, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`+"\n",
				x+0.5, y, bar-1, top+fieldHeight-y, colours[i%len(colours)],
				html.EscapeString(fmt.Sprintf("%s, %s: %s", name, s.Name, Short(v))))
			if bar >= 22 { // else the numbers would run into each other
				c.text(x+bar/2, y-3, "value", "middle", Short(v))
			}
		}
	}
	return c.end(), nil
}

// stagger sets every other name lower where they would run into each other.
func stagger(names []string, width float64, i int) float64 {
	const letter = 7
	for _, name := range names {
		if i%2 == 1 && float64(len(name)*letter) > width {
			return 14
		}
	}
	return 0
}
