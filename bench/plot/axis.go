package plot

import (
	"math"
	"strconv"
)

// axis is a range of numbers along a side of the frame.
type axis struct {
	from, to float64
	log      bool
}

// newAxis spans the values; a linear one begins at zero, and both end at a
// round number.
func newAxis(values []float64, log bool) axis {
	low, high := math.Inf(1), 0.0
	for _, v := range values {
		if v > 0 || !log {
			low, high = min(low, v), max(high, v)
		}
	}
	if high == 0 {
		return axis{from: map[bool]float64{true: 0.1}[log], to: 1, log: log}
	}
	if log {
		from := math.Pow(10, math.Floor(math.Log10(low)))
		to := math.Pow(10, math.Ceil(math.Log10(high)))
		if from == to {
			to *= 10
		}
		return axis{from: from, to: to, log: true}
	}
	step := step(high)
	return axis{to: math.Ceil(high/step) * step}
}

// step is a round distance of ticks: about five to the end.
func step(high float64) float64 {
	raw := high / 5
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, f := range []float64{1, 2, 5, 10} {
		if raw <= f*unit*1.001 {
			return f * unit
		}
	}
	return 10 * unit
}

// place is where a number lies, from 0 to 1.
func (a axis) place(v float64) float64 {
	if a.log {
		v = max(v, a.from)
		return math.Log(v/a.from) / math.Log(a.to/a.from)
	}
	return (v - a.from) / (a.to - a.from)
}

func (a axis) ticks() []float64 {
	var out []float64
	if a.log {
		for v := a.from; v <= a.to*1.001; v *= 10 {
			out = append(out, v)
		}
		return out
	}
	s := step(a.to)
	for i := 0; float64(i)*s <= a.to*1.001; i++ {
		out = append(out, float64(i)*s)
	}
	return out
}

// number writes a tick's label: 10k for 10,000.
func number(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if v >= u.size {
			if u.name == "k" {
				u.size = 1e3
			}
			return strconv.FormatFloat(v/u.size, 'g', 4, 64) + u.name
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
