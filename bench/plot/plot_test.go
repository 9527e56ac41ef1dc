package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// wellFormed reads the drawing as XML to its end.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Errorf("a place that is none in\n%s", text)
	}
}

func TestLines(t *testing.T) {
	for _, l := range []Lines{
		{Title: "rate & <latency>", Series: []Series{{Name: "a", Points: []Point{{0, 3}, {1, 700}, {2, 0}}, Dots: true}},
			Marks: []Mark{{1, "kill"}}},
		{LogX: true, LogY: true, Series: []Series{{Name: "b", Points: []Point{{1e3, 0}, {1e6, 12}, {1e7, 1e4}}}}},
		{LogY: true, Series: []Series{{Name: "one", Points: []Point{{5, 10}}}}},
		{Title: "nothing"},
	} {
		var b bytes.Buffer
		if err := l.WriteSVG(&b); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, b.String())
		for _, s := range l.Series {
			if !strings.Contains(b.String(), ">"+s.Name+"<") {
				t.Errorf("no legend for %s", s.Name)
			}
		}
	}
}

func TestBars(t *testing.T) {
	b := Bars{Title: "t", Groups: []string{"1 KB", "10 KB"}, Names: []string{"x", "y"}, Values: [][]float64{{1, -1}, {5, 1200}}}
	var out bytes.Buffer
	if err := b.WriteSVG(&out); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, out.String())
	if n := strings.Count(out.String(), "<rect"); n != 2+3+2 { // paper and frame, bars, legend
		t.Errorf("%d rectangles", n)
	}
}

func TestAxis(t *testing.T) {
	for _, c := range []struct {
		values []float64
		log    bool
		from   float64
		to     float64
		ticks  int
	}{
		{[]float64{3, 870}, false, 0, 1000, 6},
		{[]float64{0.2, 41}, false, 0, 50, 6},
		{[]float64{3, 870}, true, 1, 1000, 4},
		{[]float64{1000}, true, 1000, 10000, 2},
	} {
		a := newAxis(c.values, c.log)
		if a.from != c.from || math.Abs(a.to-c.to) > 1e-9 || len(a.ticks()) != c.ticks {
			t.Errorf("%v: %+v with ticks %v", c.values, a, a.ticks())
		}
	}
}
