package rejoin

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quorumta/bench/proc"
	"quorumta/bench/verdict"
)

func TestANodeIsWipedAndTakenBack(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a cluster of processes")
	}
	binary := filepath.Join(t.TempDir(), "quorumta")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "quorumta/cmd/quorumta").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	report, err := Measure(t.Context(), Options{
		Binary: binary, Dir: t.TempDir(), Queued: 200, Sessions: 4, Size: 2000,
		Before: time.Second, Alone: time.Second, After: time.Second, Window: 500 * time.Millisecond,
	}, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.Print(&text); err != nil {
		t.Fatal(err)
	}
	if !report.Verdict.OK() || report.Differences != 0 || report.Verdict.Acknowledged < 200 || len(report.Phases) != 4 || report.CaughtUp == 0 {
		t.Errorf("%+v\n%s", report, &text)
	}
}

func TestRatesOfPhasesAndWindows(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
	}
	phases := []Phase{{Name: Before, began: at(0)}, {Name: Alone, began: at(4)}, {Name: Rejoining, began: at(9)}}
	var acknowledged []time.Time
	for _, s := range []float64{0, 1, 1.9, 2, 4, 4.5, 6, 7, 8.5, 9, 9.5} {
		acknowledged = append(acknowledged, at(s))
	}
	measure(phases, at(10), 2*time.Second, acknowledged)
	for i, want := range []Phase{
		{Seconds: 4, Rate: 1, Lowest: 0.5, Windows: []float64{1.5, 0.5}},
		{Seconds: 5, Rate: 1, Lowest: 1, Windows: []float64{1, 1}}, // and one at the end
		{Seconds: 1, Rate: 2, Lowest: 2},
	} {
		p := phases[i]
		if p.Seconds != want.Seconds || p.Rate != want.Rate || p.Lowest != want.Lowest || !slices.Equal(p.Windows, want.Windows) {
			t.Errorf("%s: %+v, want %+v", p.Name, p, want)
		}
	}
}

func TestEnoughMustBeLeft(t *testing.T) {
	report := func(rate float64) Report {
		return Report{Phases: []Phase{{Name: Before, Rate: 1000}, {Name: Rejoining, Rate: rate, Lowest: rate / 2}}}
	}
	if report(590).OK() || !report(600).OK() {
		t.Error("60 % is the least")
	}
	if mean, lowest := report(600).Share(Before); mean != 0.6 || lowest != 0.3 {
		t.Errorf("shares %v and %v", mean, lowest)
	}
	lost := report(900)
	lost.Verdict = verdict.Verdict{Lost: 1}
	if lost.OK() {
		t.Error("lost mail is ok")
	}
}

func TestANodeIsBehindUntilItHasWhatWasCommitted(t *testing.T) {
	status := func(applied, voter string) (s proc.Status) {
		text := `{"nodes": [{"name": "n1", "alive": true}, {"name": "n2", "alive": true}, {"name": "n3", "alive": true}],
			"shards": [{"id": 1, "leader": "n1", "commit": 100, "wanted": ["n1", "n2", "n3"], "replicas": [
			{"node": "n1", "voter": true}, {"node": "n2", "voter": true}, {"node": "n3", "applied": ` + applied + `, "voter": ` + voter + `}]}]}`
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	then := status("0", "true")
	for _, c := range []struct {
		now  proc.Status
		lack string
	}{
		{status("99", "true"), "entry 99 of 100"},
		{status("200", "false"), "2 voters"},
		{status("100", "true"), ""},
	} {
		if lack := behind(then, c.now, "n3"); !strings.Contains(lack, c.lack) || (lack == "") != (c.lack == "") {
			t.Errorf("%q, want %q", lack, c.lack)
		}
	}
}
