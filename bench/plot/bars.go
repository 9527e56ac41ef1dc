package plot

import "io"

// Bars are groups of bars: one group for each cell, in it one bar for each
// subject.
type Bars struct {
	Title, YLabel string
	LogY          bool
	// Groups and Names label the groups and the bars of each; Values are by
	// group, then by name. A negative value is not drawn: it was not measured.
	Groups, Names []string
	Values        [][]float64
}

// WriteSVG draws.
func (b Bars) WriteSVG(w io.Writer) error {
	var all []float64
	for _, group := range b.Values {
		all = append(all, group...)
	}
	y := newAxis(all, b.LogY)
	p := newPaper(b.Title, "", b.YLabel)
	p.grid(y)
	room := float64(frameWidth) / float64(max(1, len(b.Groups)))
	bar := room * 0.85 / float64(max(1, len(b.Names)))
	for g, name := range b.Groups {
		start := left + room*(float64(g)+0.075)
		p.text(start+room*0.425, top+frameHeight+20, "middle", "#333333", "", name)
		for i, v := range b.Values[g] {
			if v < 0 {
				continue
			}
			high := frameHeight * y.place(v)
			at := start + bar*float64(i)
			p.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, at, top+frameHeight-high, bar*0.92, high, colour(i))
			if bar > 26 {
				p.text(at+bar*0.46, top+frameHeight-high-4, "middle", "#333333", `font-size="10"`, short(v))
			}
		}
	}
	p.legend(b.Names)
	return p.writeTo(w)
}

// short is a value above its bar.
func short(v float64) string {
	if v >= 100 {
		return number(float64(int(v + 0.5)))
	}
	return number(float64(int(v*100+0.5)) / 100)
}
