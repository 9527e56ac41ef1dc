package work

import (
	"bytes"
	"strings"
	"testing"

	"quorumta/bench/load"
)

func result(subject string, c Cell, rate, p99 float64) Result {
	return Result{Subject: subject, Cell: c, AcceptRate: rate, RelayRate: rate, Latency: load.Latency{P99: p99}, Accepted: 10, Delivered: 10,
		Parts: []Part{{CPU: 1, Memory: 1e6, Processes: 1}, {CPU: 2, Memory: 1e6, Processes: 1}}}
}

// Medians are by cell and subject, each figure's own, the fastest first; the
// rate that was drawn anew in a round does not make a cell of its own.
func TestMedians(t *testing.T) {
	ten := Cell{Size: 10_000, Sessions: 50, PerConnection: 100, Rate: 70}
	later := ten
	later.Rate = 75
	one := Cell{Size: 1000, Sessions: 1, PerConnection: 1}
	got := Medians([]Result{
		result("a", ten, 100, 9), result("b", ten, 300, 1), result("a", later, 120, 5), result("a", later, 900, 7),
		result("b", later, 320, 3), result("a", one, 5, 5),
	})
	if len(got) != 3 || got[0].Subject != "b" || got[1].Subject != "a" || got[2].Cell != one {
		t.Fatalf("%+v", got)
	}
	if got[0].RelayRate != 310 || got[1].RelayRate != 120 || got[1].Latency.P99 != 7 || got[1].Round != 3 || got[1].Cell != ten {
		t.Errorf("%+v", got[:2])
	}
	if got[1].CPU() != 3 || got[1].Memory() != 2e6 || got[1].Processes() != 2 || got[1].Accepted != 30 {
		t.Errorf("sums: %+v", got[1])
	}
	var b bytes.Buffer
	if err := Print(&b, got, "a"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "2.58") { // 310 by 120
		t.Errorf("no share of a in\n%s", b.String())
	}
}

func TestCellsHaveNames(t *testing.T) {
	for want, c := range map[string]Cell{
		"10 KB × 50":           {Size: 10_000, Sessions: 50, PerConnection: 100},
		"1 MB × 1 new":         {Size: 1_000_000, Sessions: 1, PerConnection: 1},
		"1 KB × 200 at 70/s":   {Size: 1000, Sessions: 200, PerConnection: 10, Rate: 70},
		"1234 B × 1 at 1000/s": {Size: 1234, Sessions: 1, PerConnection: 2, Rate: 1000},
	} {
		if c.String() != want {
			t.Errorf("%q, want %q", c, want)
		}
	}
}
