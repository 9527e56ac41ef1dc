package summary

import (
	"bytes"
	"strings"
	"testing"

	"quorumta/bench/faults"
)

func TestQuantiles(t *testing.T) {
	var hundred []float64
	for i := 100; i > 0; i-- {
		hundred = append(hundred, float64(i))
	}
	for _, c := range []struct {
		times []float64
		want  Times
	}{
		{nil, Times{}},
		{[]float64{3}, Times{1, 3, 3, 3}},
		{[]float64{4, 1, 2, 9}, Times{4, 3, 9, 9}},
		{hundred, Times{100, 50.5, 99, 100}},
	} {
		if got := NewTimes(c.times); got != c.want {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}

// two are the reports of two seeds: one round was broken off, one is left out.
func two() []faults.Report {
	return []faults.Report{
		{Seed: 1, Nodes: 3, Rate: 50, For: 15, Results: []faults.Result{
			{Fault: "kill-leader", Gap: 0.2, Takeover: 1, Outcome: faults.Outcome{Acknowledged: 1200, SecondCopies: 2}},
			{Fault: "cut-off", Gap: 0.1, Takeover: -1, Outcome: faults.Outcome{Acknowledged: 900}},
			{Fault: "disk-full", Skipped: "no disks", Takeover: -1},
		}},
		{Seed: 2, Nodes: 3, Rate: 50, For: 15, Results: []faults.Result{
			{Fault: "kill-leader", Gap: 0.4, Takeover: 2, Outcome: faults.Outcome{Acknowledged: 1000, SecondCopies: 1}},
			{Fault: "kill-leader", Gap: 60, Takeover: -1, Problem: "no leader", Outcome: faults.Outcome{Acknowledged: 10}},
		}},
	}
}

func TestRowsSumUp(t *testing.T) {
	rows := Of(two()...)
	if len(rows) != 2 || rows[0].Fault != "cut-off" || rows[1].Fault != "kill-leader" {
		t.Fatalf("%+v", rows)
	}
	k := rows[1]
	if k.Rounds != 3 || k.NotOK != 1 || k.Acknowledged != 2210 || k.SecondCopies != 3 {
		t.Errorf("%+v", k)
	}
	if k.Gap.Count != 2 || k.Gap.Worst != 0.4 || k.Takeover.Median != 1.5 {
		t.Errorf("gap %+v, takeover %+v", k.Gap, k.Takeover)
	}
	if rows[0].Takeover.Count != 0 {
		t.Errorf("a takeover that was not seen: %+v", rows[0].Takeover)
	}
}

func TestMarkdown(t *testing.T) {
	var text bytes.Buffer
	if err := Markdown(&text, two()...); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"3 nodes; seeds 1, 2; 50 messages a second; rounds of 15 s.\n",
		"| `kill-leader` | SIGKILL to a node that leads a shard | 3 | 1 | 2,210 | 0 | 0 | 0 | 0 | 3 | 0 | 0 | 0.30 / 0.40 | 1.50 / 2.00 / 2.00 |\n",
		"| 0.10 / 0.10 | – |\n",
		"| **all** | | 4 | 1 | 3,110 |",
		"- seed 2, `kill-leader`: no leader\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
