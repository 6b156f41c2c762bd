// Package plot draws the figures of the benchmark as SVG: grouped bars, and lines
// over a linear, a logarithmic or a percentile axis. A plot has a fixed size,
// needs no script and no font, follows the reader's light or dark scheme, and
// carries each value as text for who cannot tell the colours apart. Equal input
// gives equal bytes.
package plot

import (
	"bytes"
	"fmt"
	"html"
)

// The size of every plot and of the field within the axes.
const (
	width, height            = 760, 400
	left, right, top, bottom = 78, 34, 70, 56
	fieldWidth, fieldHeight  = width - left - right, height - top - bottom
	legendRow, legendSwatch  = 18, 12
	charWidth                = 7.2 // width of a character of the legend, about
)

// colours can be told apart by who does not see red or green, on white and on
// black; dashes tell lines apart as well.
var (
	colours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c8c8c", "#a6761d"}
	dashes  = []string{"", "6 3", "2 3", "9 3 2 3", "12 4", "4 2", "1 2", "8 2"}
)

const style = `text{font:12px system-ui,sans-serif;fill:#24292f}` +
	`.title{font-size:15px;font-weight:600}.value{font-size:10px}.paper{fill:#fff}` +
	`.grid{stroke:#d0d7de}.axis{stroke:#57606a}` +
	`@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.grid{stroke:#30363d}.axis{stroke:#8b949e}}`

// canvas collects the elements of a plot.
type canvas struct{ bytes.Buffer }

func newCanvas(title string) *canvas {
	c := &canvas{}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		width, height, width, height, html.EscapeString(title))
	fmt.Fprintf(c, "<style>%s</style>\n<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", style, width, height)
	c.text(left, 24, "title", "start", title)
	return c
}

// end gives the finished plot.
func (c *canvas) end() []byte {
	c.WriteString("</svg>\n")
	return c.Bytes()
}

// text writes at a place; anchor is start, middle or end.
func (c *canvas) text(x, y float64, class, anchor, s string) {
	fmt.Fprintf(c, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, html.EscapeString(s))
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(c, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", class, x1, y1, x2, y2)
}

// legend names the series, in rows below the title.
func (c *canvas) legend(names []string) {
	x, y := float64(left), 44.0
	for i, name := range names {
		w := legendSwatch + 6 + charWidth*float64(len([]rune(name))) + 16
		if x > left && x+w > width-right {
			x, y = left, y+legendRow
		}
		fmt.Fprintf(c, `<rect class="key" x="%.1f" y="%.1f" width="%d" height="%d" fill="%s"/>`+"\n", x, y-10, legendSwatch, legendSwatch, colours[i%len(colours)])
		c.text(x+legendSwatch+6, y, "legend", "start", name)
		x += w
	}
}

// valueAxis draws ticks, their lines through the field, and the label above.
func (c *canvas) valueAxis(a axis, label string) {
	for _, v := range a.ticks {
		y := a.y(v)
		c.line("grid", left, y, left+fieldWidth, y)
		c.text(left-6, y+4, "tick", "end", Short(v))
	}
	fmt.Fprintf(c, `<text class="label" transform="translate(16,%.1f) rotate(-90)" text-anchor="middle">%s</text>`+"\n",
		top+fieldHeight/2.0, html.EscapeString(label))
	c.line("axis", left, top, left, top+fieldHeight)
	c.line("axis", left, top+fieldHeight, left+fieldWidth, top+fieldHeight)
}
