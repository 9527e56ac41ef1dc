package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/trial"
	"quorumta/queue/event"
)

// buildOld builds the program as an older version of itself: with another name,
// and not knowing the newest events.
func buildOld(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	for i, change := range [][3]string{
		{"queue/event/kinds.go", fmt.Sprintf("const Newest = %d", event.Newest), "const Newest = 1"},
		{"cmd/quorumta/console/version.go", "return info.Main.Version", `return "v0.0.1"`},
	} {
		path := filepath.Join(root, change[0])
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), change[1]) {
			t.Fatalf("%s has no %q: tell this test what an older program lacks", change[0], change[1])
		}
		changed := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(changed, []byte(strings.ReplaceAll(string(text), change[1], change[2])), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay["Replace"][path] = changed
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	plan, old := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "quorumta")
	if err := os.WriteFile(plan, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-overlay", plan, "-o", old, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return old
}

// upgrade is what "cluster upgrade status --json" says.
type upgrade struct {
	Level, Ready, Newest int
	Members              []struct {
		Node, Version string
		Level         int
	}
}

func TestRollingUpgradeUnderLoad(t *testing.T) {
	old := buildOld(t)
	program := filepath.Join(t.TempDir(), "quorumta")
	if err := os.Symlink(old, program); err != nil {
		t.Fatal(err)
	}
	tr := tryWith(t, program, trial.Options{Nodes: 3, Edit: quickLeave})
	first := tr.Cluster.Nodes[0]
	state := func() (u upgrade) {
		out, _, status := command(t, "cluster", "upgrade", "status", "--config", first.Config, "--json")
		if status == 0 {
			decode(t, out, &u)
		}
		return u
	}
	waitFor(t, "the old program to be known", func(context.Context) bool { u := state(); return u.Ready == 1 && u.Newest == 1 })
	l, err := tr.NewLoad(load.Options{Sessions: 10, Duration: 50 * time.Second, Rate: 80})
	if err != nil {
		t.Fatal(err)
	}
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	loaded := make(chan load.Report, 1)
	go func() { loaded <- l.Run(ctx) }()
	waitFor(t, "load to flow", func(context.Context) bool { return l.Report().Acknowledged > 50 })
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, program); err != nil {
		t.Fatal(err)
	}
	for i, n := range tr.Cluster.Nodes {
		bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := n.Stop(bounded); err != nil {
			t.Errorf("stop %s: %v", n.Name, err)
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		if err := n.WaitReady(bounded); err != nil {
			t.Fatal(err)
		}
		cancel()
		waitFor(t, "the new program to be known", func(context.Context) bool {
			known := 0
			for _, m := range state().Members {
				if m.Level == event.Newest && m.Version != "v0.0.1" {
					known++
				}
			}
			return known == i+1
		})
		if i == 0 {
			var u upgrade
			decode(t, must(t, "cluster", "upgrade", "finish", "--config", first.Config, "--json"), &u)
			if u.Level > 1 || u.Ready != 1 || u.Newest != event.Newest {
				t.Errorf("finished while an old program runs: %+v", u)
			}
		}
	}
	before := state()
	must(t, "cluster", "upgrade", "finish", "--config", tr.Cluster.Nodes[2].Config)
	waitFor(t, "the new events to be allowed", func(context.Context) bool { return state().Level == event.Newest })
	enough()
	report := <-loaded
	if before.Level > 1 || report.Transient+report.Permanent+report.Unknown > 0 {
		t.Errorf("before the end %+v; refused %d + %d, unknown %d: %v", before, report.Transient, report.Permanent, report.Unknown, report.Refusals)
	}
	if v := judge(t, tr); !v.OK() || v.SecondCopies > 0 {
		t.Errorf("after the upgrade: %+v", v)
	}
	// There is no way back: the old program would stop at the new events.
	if out, err := exec.Command(old, "serve", "--config", first.Config).CombinedOutput(); err == nil {
		t.Errorf("the old program serves: %s", out)
	}
}
