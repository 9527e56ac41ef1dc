package plot

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// The paper, in pixels: the drawing's frame leaves room for the title above,
// labels at the left and below, and the legend at the right.
const (
	width, height = 860, 420
	left, right   = 80, 210
	top, bottom   = 50, 64
	frameWidth    = width - left - right
	frameHeight   = height - top - bottom
)

// colours can be told apart also by those who see few, and in print.
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c564b", "#7f7f7f"}

func colour(i int) string { return colours[i%len(colours)] }

// paper is a drawing under way.
type paper struct{ b strings.Builder }

func newPaper(title, xLabel, yLabel string) *paper {
	p := &paper{}
	p.add(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, height, width, height)
	p.add(`<rect width="%d" height="%d" fill="#ffffff"/>`, width, height)
	p.text(left, 28, "start", "#111111", `font-size="15" font-weight="bold"`, title)
	p.text(left+frameWidth/2, height-14, "middle", "#333333", "", xLabel)
	p.add(`<g transform="translate(20 %d) rotate(-90)">`, top+frameHeight/2)
	p.text(0, 0, "middle", "#333333", "", yLabel)
	p.add(`</g>`)
	p.add(`<rect x="%d" y="%d" width="%d" height="%d" fill="#fafafa" stroke="#999999"/>`, left, top, frameWidth, frameHeight)
	return p
}

func (p *paper) add(format string, args ...any) {
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

func (p *paper) text(x, y float64, anchor, fill, more, text string) {
	p.add(`<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s" %s>%s</text>`, x, y, anchor, fill, more, html.EscapeString(text))
}

// grid draws a horizontal line and its label for each tick of the upright axis.
func (p *paper) grid(y axis) {
	for _, t := range y.ticks() {
		at := top + frameHeight*(1-y.place(t))
		p.add(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/>`, left, at, left+frameWidth, at)
		p.text(left-8, at+4, "end", "#333333", "", number(t))
	}
}

// legend names the series at the right of the frame.
func (p *paper) legend(names []string) {
	for i, name := range names {
		y := float64(top + 10 + 20*i)
		p.add(`<rect x="%d" y="%.1f" width="14" height="10" fill="%s"/>`, left+frameWidth+16, y-9, colour(i))
		p.text(left+frameWidth+36, y, "start", "#111111", "", name)
	}
}

func (p *paper) writeTo(w io.Writer) error {
	p.add(`</svg>`)
	if _, err := io.WriteString(w, p.b.String()); err != nil {
		return fmt.Errorf("write a drawing: %w", err)
	}
	return nil
}
