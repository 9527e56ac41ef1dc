package faults

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// build makes the program.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "quorumta")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "quorumta/cmd/quorumta").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return binary
}

func TestALeaderIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a cluster of processes")
	}
	report, err := Run(t.Context(), Options{
		Binary: build(t), Dir: t.TempDir(), Faults: []string{"kill-leader"}, Seed: 1, For: 5 * time.Second, Rate: 20, Plain: true,
	}, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.Print(&text); err != nil {
		t.Fatal(err)
	}
	r := report.Results[0]
	if !report.OK() || r.Acknowledged == 0 || len(r.Restarted) != 1 || r.Restarted[0] != r.Victim {
		t.Errorf("%+v\n%s", r, &text)
	}
}

func TestSeedRepeatsTheSequence(t *testing.T) {
	order := func(seed uint64) string {
		t.Helper()
		all, err := Options{Seed: seed}.sequence()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range all {
			names = append(names, f.name)
		}
		text := strings.Join(names, " ")
		slices.Sort(names)
		want := Names()
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Fatalf("not every fault once: %s", text)
		}
		return text
	}
	one, again := order(1), order(1)
	if one != again {
		t.Error("one seed, two sequences")
	}
	if one == order(2) {
		t.Error("two seeds, one sequence")
	}
}

func TestAnUnknownFaultIsRefused(t *testing.T) {
	_, err := Run(t.Context(), Options{Faults: []string{"earthquake"}}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "kill-leader") {
		t.Errorf("%v, want one that names the faults", err)
	}
}

func TestAPlainBedLeavesOutWhatItLacks(t *testing.T) {
	report, err := Run(t.Context(), Options{Faults: []string{"cut-off", "disk-full"}, Plain: true}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if r.Skipped == "" {
			t.Errorf("%s was not left out", r.Fault)
		}
	}
	if !report.OK() {
		t.Error("what is left out is a failure")
	}
}

func TestNothingRunsAfterTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Plain: true}, func(string) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAResultIsOKOnlyIfThePromiseWasKept(t *testing.T) {
	bad := map[string]Result{
		"lost":        {Outcome: Outcome{Lost: 1}},
		"5xx":         {Outcome: Outcome{Permanent: 1}},
		"unexpected":  {Outcome: Outcome{Unexpected: 1}},
		"copies":      {Outcome: Outcome{OutsideDoubt: 1}},
		"differences": {Differences: 1},
		"problem":     {Problem: "no leader"},
	}
	for what, r := range bad {
		if r.OK() || (Report{Results: []Result{{}, r}}).OK() {
			t.Errorf("%s: ok", what)
		}
	}
	if !(Result{Outcome: Outcome{Transient: 5, Unknown: 5, SecondCopies: 5, InDoubt: 5}}).OK() {
		t.Error("refusals for now and copies in doubt: not ok")
	}
}
