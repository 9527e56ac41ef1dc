package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"quorumta/bench/floor"
	"quorumta/bench/work"
)

// TestMain lets the floor start its processes from the test's program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == floor.Command {
		main()
		return
	}
	os.Exit(m.Run())
}

// smallest is a grid of one cell, for a moment.
func smallest(out string) gridFlags {
	return gridFlags{Sizes: []int{1000}, Sessions: []int{3}, Carry: []int{10}, For: time.Second, Drain: 20 * time.Second, Rounds: 1, Out: out}
}

// readReport reads what a comparison left, with its drawings.
func readReport(t *testing.T, out string) work.Report {
	t.Helper()
	var r work.Report
	text, err := os.ReadFile(out + ".json")
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rate", "p99", "cpu", "latency"} {
		if _, err := os.Stat(out + "-" + name + ".svg"); err != nil {
			t.Error(err)
		}
	}
	return r
}

// What is measured arrives, once, and has a price.
func TestFloorCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "floor")
	if err := (&floorCmd{gridFlags: smallest(out)}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := readReport(t, out)
	if len(r.Results) != 1 || len(r.Medians) != 1 {
		t.Fatalf("%d results, %d medians", len(r.Results), len(r.Medians))
	}
	got := r.Results[0]
	if got.Accepted == 0 || !got.Complete() || got.RelayRate <= 0 || got.CPU() <= 0 || len(got.Parts) != 3 || len(got.Histogram) == 0 {
		t.Errorf("%+v", got)
	}
}

// Each subcommand's smallest case on a cluster of one node.
func TestCommandsOnOneNode(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program; run without -short")
	}
	binary := filepath.Join(t.TempDir(), "quorumta")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/quorumta").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out := filepath.Join(t.TempDir(), "docs", "out")
	one := clusterFlags{Binary: binary, Nodes: []int{1}, Config: []string{"cluster.shards: 2"}}
	t.Run("relay", func(t *testing.T) {
		if err := (&relayCmd{clusterFlags: one, gridFlags: smallest(out)}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := readReport(t, out).Results[0]; r.Accepted == 0 || !r.Complete() {
			t.Errorf("%+v", r)
		}
	})
	t.Run("accept", func(t *testing.T) {
		if err := (&acceptCmd{clusterFlags: one, gridFlags: smallest(out)}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := readReport(t, out).Results[0]; r.Accepted == 0 || r.Delivered != 0 || r.AcceptRate <= 0 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("depth", func(t *testing.T) {
		c := depthCmd{Binary: binary, Nodes: 1, Levels: []int64{50}, Size: 1000, Bulk: 5, NewSize: 1000, Sessions: 2, For: time.Second}
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("recovery", func(t *testing.T) {
		c := recoveryCmd{clusterFlags: one, Queued: 50, Size: 1000, Sessions: 5, Rounds: 1, Drain: time.Minute, Out: out + "r"}
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		var r recoveryReport
		text, err := os.ReadFile(out + "r.json")
		if err != nil || json.Unmarshal(text, &r) != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if len(r.Recoveries) != 1 || r.Recoveries[0].Delivered != 50 || r.Recoveries[0].Accepted < 0 {
			t.Errorf("%+v", r.Recoveries)
		}
	})
}
