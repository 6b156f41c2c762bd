package plot

import (
	"math"
	"strconv"
)

// axis maps values to a length. All its ticks lie in it.
type axis struct {
	from, to float64
	log      bool
	ticks    []float64
}

// newAxis spans the values with ticks at 1, 2 or 5 times a power of ten. A linear
// one begins at zero. A logarithmic one leaves out what is not above zero.
func newAxis(values []float64, log bool) axis {
	low, high := math.Inf(1), 0.0
	for _, v := range values {
		if finite(v) && v > 0 {
			low, high = min(low, v), max(high, v)
		}
	}
	if high == 0 {
		low, high = 1, 1
	}
	if log {
		return logAxis(low, high)
	}
	step := niceStep(high / 5)
	a := axis{to: step * math.Ceil(high/step*(1-1e-9))}
	for i := 0.0; i*step <= a.to*(1+1e-9); i++ {
		a.ticks = append(a.ticks, i*step)
	}
	return a
}

func logAxis(low, high float64) axis {
	a := axis{log: true, from: floor125(low), to: ceil125(high)}
	if a.from == a.to {
		a.to *= 10
	}
	// Over more than three decades only the powers of ten have room.
	all := a.to/a.from <= 1000
	for e := math.Floor(math.Log10(a.from)); e <= math.Ceil(math.Log10(a.to)); e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if (m == 1 || all) && v >= a.from*(1-1e-9) && v <= a.to*(1+1e-9) {
				a.ticks = append(a.ticks, v)
			}
		}
	}
	return a
}

// part is where the value lies, from 0 to 1.
func (a axis) part(v float64) float64 {
	if a.log {
		return math.Log(v/a.from) / math.Log(a.to/a.from)
	}
	return (v - a.from) / (a.to - a.from)
}

func (a axis) y(v float64) float64 { return top + fieldHeight*(1-a.part(v)) }
func (a axis) x(v float64) float64 { return left + fieldWidth*a.part(v) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// niceStep is the least of 1, 2, 5 times a power of ten that is not below v.
func niceStep(v float64) float64 { return ceil125(v) }

func ceil125(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*p*(1+1e-9) {
			return m * p
		}
	}
	return 10 * p
}

func floor125(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{5, 2} {
		if v >= m*p*(1-1e-9) {
			return m * p
		}
	}
	return p
}

// Short writes a number with three digits and k, M or G for its thousands.
func Short(v float64) string {
	unit := ""
	for _, u := range []string{"k", "M", "G"} {
		if math.Abs(v) < 999.5 {
			break
		}
		v, unit = v/1000, u
	}
	if v == 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v))+1e-9)))
	s := strconv.FormatFloat(v, 'f', min(digits, 6), 64)
	if digits > 0 {
		for s[len(s)-1] == '0' {
			s = s[:len(s)-1]
		}
		if s[len(s)-1] == '.' {
			s = s[:len(s)-1]
		}
	}
	return s + unit
}
