package plot

import (
	"fmt"
	"io"
	"strings"
)

// Lines are series of points over a common axis.
type Lines struct {
	Title, XLabel, YLabel string
	// LogX and LogY make an axis logarithmic; points at or below zero then
	// stand at its beginning.
	LogX, LogY bool
	Series     []Series
	// Marks are places on the horizontal axis that have a name.
	Marks []Mark
}

// Series is a line.
type Series struct {
	Name   string
	Points []Point
	// Dots draws each point too.
	Dots bool
}

// Point is a place in the drawing, in the units of its axes.
type Point struct{ X, Y float64 }

// Mark is a moment worth a line from top to bottom.
type Mark struct {
	X    float64
	Text string
}

// WriteSVG draws.
func (l Lines) WriteSVG(w io.Writer) error {
	var xs, ys []float64
	var names []string
	for _, s := range l.Series {
		names = append(names, s.Name)
		for _, p := range s.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y)
		}
	}
	x, y := newAxis(xs, l.LogX), newAxis(ys, l.LogY)
	p := newPaper(l.Title, l.XLabel, l.YLabel)
	p.grid(y)
	for _, t := range x.ticks() {
		at := left + frameWidth*x.place(t)
		p.add(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#999999"/>`, at, top+frameHeight, at, top+frameHeight+5)
		p.text(at, top+frameHeight+20, "middle", "#333333", "", number(t))
	}
	for _, m := range l.Marks {
		at := left + frameWidth*x.place(m.X)
		p.add(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#c00000" stroke-dasharray="4 3"/>`, at, top, at, top+frameHeight)
		p.text(at+4, top+14, "start", "#c00000", "", m.Text)
	}
	for i, s := range l.Series {
		var path []string
		for _, point := range s.Points {
			px, py := left+frameWidth*x.place(point.X), top+frameHeight*(1-y.place(point.Y))
			path = append(path, fmt.Sprintf("%.1f,%.1f", px, py))
			if s.Dots {
				p.add(`<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`, px, py, colour(i))
			}
		}
		p.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(path, " "), colour(i))
	}
	p.legend(names)
	return p.writeTo(w)
}
