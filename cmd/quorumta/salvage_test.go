package main_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
	"quorumta/cmd/quorumta/setup"
)

// queued runs a cluster whose next hop takes nothing, and queues so many
// messages.
func queued(t *testing.T, count int) *trial.Trial {
	t.Helper()
	tr := try(t, trial.Options{Nodes: 3, Sink: sink.Mode{Action: sink.Defer}})
	if _, err := tr.Load(t.Context(), load.Options{Sessions: 10, Count: int64(count)}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "every message to have been tried", func(ctx context.Context) bool {
		var c proc.Count
		return tr.Cluster.Query(ctx, &c, "queue", "count") == nil && c.Deferred == count
	})
	return tr
}

// counted is what "queue count --json" says of what was restored.
type counted struct {
	Total    int `json:"total"`
	Held     int `json:"held"`
	Restored int `json:"restored"`
}

// holds waits until the cluster has so many messages, all of which wait because
// they were restored.
func holds(t *testing.T, config string, count int) {
	t.Helper()
	waitFor(t, "what was restored to be counted", func(context.Context) bool {
		out, _, status := command(t, "queue", "count", "--config", config, "--json")
		if status != 0 || strings.Contains(out, "stale") {
			return false
		}
		var c counted
		decode(t, out, &c)
		return c == counted{Total: count, Held: count, Restored: count}
	})
}

// arrives waits until the sink has so many messages.
func arrives(t *testing.T, s *sink.Sink, count int) {
	t.Helper()
	waitFor(t, "everything to arrive", func(context.Context) bool { return s.Stats().Messages >= int64(count) })
	if got := s.Stats().Messages; got != int64(count) {
		t.Errorf("%d messages arrived, %d were queued", got, count)
	}
}

func TestBackupIsRestoredAndWaits(t *testing.T) {
	const count = 200
	tr := queued(t, count)
	file := filepath.Join(t.TempDir(), "backup")
	first := tr.Cluster.Nodes[0]
	refused(t, 2, "--rate", "cluster", "backup", file, "--rate", "fast", "--config", first.Config)
	must(t, "cluster", "backup", file, "--rate", "50MB", "--config", first.Config)
	refused(t, 1, "nothing is overwritten", "cluster", "backup", file, "--config", first.Config)
	refused(t, 1, "before its first start", "cluster", "restore", file, "--config", first.Config)
	tr.Cluster.Kill()

	dir := filepath.Join(t.TempDir(), "cluster")
	c, err := proc.New(t.Context(), proc.Options{Binary: binary, Dir: dir, Nodes: 3, Smarthost: tr.Sink.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, text, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, 1, "damaged", "cluster", "restore", damaged, "--config", c.Nodes[0].Config)
	for _, n := range c.Nodes {
		must(t, "cluster", "restore", file, "--config", n.Config)
		refused(t, 1, "", "cluster", "restore", file, "--config", n.Config)
	}
	if err := tr.Sink.SetMode(sink.Mode{}); err != nil {
		t.Fatal(err)
	}
	before := tr.Sink.Stats().Messages
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err, tails(dir))
	}
	holds(t, c.Nodes[0].Config, count)
	if err := submit(c.Nodes[0].SMTP, "a@b.example", "c@sink.example", "X-Bench-ID: new\r\n\r\nx\r\n"); err != nil {
		t.Error(err)
	}
	arrives(t, tr.Sink, int(before)+1) // what is new does not wait
	must(t, "queue", "release", "--restored", "--config", c.Nodes[1].Config)
	must(t, "queue", "retry", "--all", "--config", c.Nodes[1].Config)
	arrives(t, tr.Sink, int(before)+1+count)
	must(t, "cluster", "digest", "--deep", "--config", c.Nodes[2].Config)
}

func TestSurvivorBecomesTheCluster(t *testing.T) {
	const count = 100
	tr := queued(t, count)
	survivor, second := tr.Cluster.Nodes[1], tr.Cluster.Nodes[0]
	must(t, "cluster", "digest", "--config", survivor.Config) // all have all
	refused(t, 1, "no node may run", "recover", "--config", survivor.Config, "--i-know-what-may-be-lost")
	tr.Cluster.Kill()
	refused(t, 2, "--i-know-what-may-be-lost", "recover", "--config", survivor.Config)
	if err := setup.BeginRecovery(filepath.Join(filepath.Dir(survivor.Config), "data")); err != nil { // and cut off
		t.Fatal(err)
	}
	refused(t, 1, "run quorumta recover again", "serve", "--config", survivor.Config)
	var told struct {
		Was, Cluster string
		Shards       []struct{ Messages int }
		Lost         []string
	}
	decode(t, must(t, "recover", "--config", survivor.Config, "--i-know-what-may-be-lost", "--json"), &told)
	total := 0
	for _, s := range told.Shards {
		total += s.Messages
	}
	if total != count || told.Was == told.Cluster || len(told.Lost) != 2 {
		t.Errorf("told %+v", told)
	}
	if err := tr.Sink.SetMode(sink.Mode{}); err != nil {
		t.Fatal(err)
	}
	if err := survivor.Start(); err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err != nil { // whose cluster is gone
		t.Fatal(err)
	}
	holds(t, survivor.Config, count)
	must(t, "queue", "release", "--restored", "--config", survivor.Config)
	must(t, "queue", "retry", "--all", "--config", survivor.Config)
	arrives(t, tr.Sink, count)
	second.Kill()
	join(t, survivor, filepath.Join(t.TempDir(), "joined"), basePort(t, second)+8)
	join(t, survivor, filepath.Join(t.TempDir(), "joined"), basePort(t, second)+9)
	settles(t, survivor.Config, 3, 3, 3)
	must(t, "cluster", "digest", "--deep", "--config", survivor.Config)
}
