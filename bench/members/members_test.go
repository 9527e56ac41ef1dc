package members

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/verdict"
)

func TestOneNodeBecomesThree(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a cluster of processes")
	}
	binary := filepath.Join(t.TempDir(), "quorumta")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "quorumta/cmd/quorumta").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	report, err := Run(t.Context(), Options{
		Binary: binary, Dir: t.TempDir(), Sizes: []int{1, 3}, Steady: time.Second, Rate: 20,
	}, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.Print(&text); err != nil {
		t.Fatal(err)
	}
	if !report.OK() || report.Verdict.Acknowledged == 0 || len(report.Stages) != 2 {
		t.Errorf("%+v\n%s", report, &text)
	}
}

func TestAMessageBelongsToTheStageInWhichItEnded(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
	}
	record := func(seconds float64, c load.Class) load.Record { return load.Record{At: at(seconds), Class: c} }
	r := newReport(Options{}, []Stage{{To: 1, began: at(0)}, {From: 1, To: 3, began: at(10)}}, []load.Record{
		record(1, load.Acknowledged), record(3, load.Acknowledged), record(9, load.Unknown),
		record(10, load.Transient), record(10.5, load.Acknowledged), record(11, load.Permanent), record(12, load.Unsent),
	})
	for i, want := range []Stage{
		{Acknowledged: 2, Unknown: 1, Gap: 2},
		{Acknowledged: 1, Refused: 2, Gap: 7.5},
	} {
		s := r.Stages[i]
		if s.Acknowledged != want.Acknowledged || s.Refused != want.Refused || s.Unknown != want.Unknown || s.Gap != want.Gap {
			t.Errorf("stage %d: %+v, want %+v", i, s, want)
		}
	}
	if len(r.Refusals) != 2 || r.OK() {
		t.Errorf("refusals %v, ok %v", r.Refusals, r.OK())
	}
}

func TestOnlyAKeptPromiseIsOK(t *testing.T) {
	for what, r := range map[string]Report{
		"lost":        {Verdict: verdict.Verdict{Lost: 1}},
		"refused":     {Stages: []Stage{{}, {Refused: 1}}},
		"differences": {Differences: 1},
	} {
		if r.OK() {
			t.Errorf("%s: ok", what)
		}
	}
	if !(Report{Stages: []Stage{{Unknown: 1}}}).OK() {
		t.Error("a client that heard nothing: not ok")
	}
}

func TestSizesAreChecked(t *testing.T) {
	_, err := Run(t.Context(), Options{Sizes: []int{3, 0}}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "1 to 9") {
		t.Errorf("%v", err)
	}
}
