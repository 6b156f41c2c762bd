package plot

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Scale says how an axis runs.
type Scale int

const (
	Linear Scale = iota
	Log
	// Percentile is for shares from 0 to below 1: each nine takes the same room,
	// so that 99.9 % is as far from 99 % as that from 90 %.
	Percentile
)

// Lines are values over a number, as latency by percentile or throughput by
// clients.
type Lines struct {
	Title          string
	XLabel, YLabel string // with units
	X              Scale
	LogY           bool
	Series         []Line
}

// Line is one series; its points go from left to right.
type Line struct {
	Name   string
	Points []Point
}

// Point is a value of Y at X.
type Point struct{ X, Y float64 }

// SVG draws the lines. It is an error when a point cannot be on its axis.
func (l Lines) SVG() ([]byte, error) {
	var xs, ys []float64
	var names []string
	for _, s := range l.Series {
		names = append(names, s.Name)
		for _, p := range s.Points {
			if err := l.check(p); err != nil {
				return nil, fmt.Errorf("plot %q: %s at %g is %g: %w", l.Title, s.Name, p.X, p.Y, err)
			}
			xs, ys = append(xs, p.X), append(ys, p.Y)
		}
	}
	c := newCanvas(l.Title)
	c.legend(names)
	ay := newAxis(ys, l.LogY)
	c.valueAxis(ay, l.YLabel)
	ax, at := l.xAxis(xs)
	for _, v := range ax.ticks {
		x := ax.x(v)
		c.line("grid", x, top, x, top+fieldHeight)
		c.text(x, top+fieldHeight+18, "tick", "middle", l.tick(v))
	}
	c.text(left+fieldWidth/2, height-12, "label", "middle", l.XLabel)
	for i, s := range l.Series {
		var path strings.Builder
		for _, p := range s.Points {
			fmt.Fprintf(&path, "%.1f,%.1f ", ax.x(at(p.X)), ay.y(p.Y))
		}
		colour := colours[i%len(colours)]
		fmt.Fprintf(c, `<polyline class="series" points="%s" fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s"><title>%s</title></polyline>`+"\n",
			strings.TrimSpace(path.String()), colour, dashes[i%len(dashes)], html.EscapeString(s.Name))
		if len(s.Points) > 40 { // a curve: points would hide it
			continue
		}
		for _, p := range s.Points {
			fmt.Fprintf(c, `<circle class="point" cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s</title></circle>`+"\n",
				ax.x(at(p.X)), ay.y(p.Y), colour, html.EscapeString(fmt.Sprintf("%s at %s: %s", s.Name, l.tick(at(p.X)), Short(p.Y))))
		}
	}
	return c.end(), nil
}

func (l Lines) check(p Point) error {
	switch {
	case !finite(p.X) || !finite(p.Y):
		return fmt.Errorf("not a number")
	case p.Y < 0 || l.LogY && p.Y == 0:
		return fmt.Errorf("below the axis")
	case l.X == Percentile && (p.X < 0 || p.X >= 1):
		return fmt.Errorf("a percentile axis goes from 0 to below 1")
	case p.X < 0 || l.X == Log && p.X == 0:
		return fmt.Errorf("left of the axis")
	}
	return nil
}

// xAxis gives the axis and the place of an X on it.
func (l Lines) xAxis(xs []float64) (axis, func(float64) float64) {
	if l.X != Percentile {
		return newAxis(xs, l.X == Log), func(x float64) float64 { return x }
	}
	nines := func(q float64) float64 { return -math.Log10(1 - q) }
	a := axis{to: 1}
	for _, q := range xs {
		a.to = max(a.to, nines(q))
	}
	for n := 0.0; n <= a.to+1e-9; n++ {
		a.ticks = append(a.ticks, n)
	}
	return a, nines
}

// tick names a place on the X axis.
func (l Lines) tick(v float64) string {
	if l.X != Percentile {
		return Short(v)
	}
	share := 100 * (1 - math.Pow(10, -v))
	return fmt.Sprintf("%.*f %%", max(0, int(math.Ceil(v-2-1e-9))), share)
}
