package main_test

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
	"quorumta/cmd/quorumta/salvage"
	"quorumta/cmd/quorumta/setup"
	"quorumta/internal/config"
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
	later := file + ".later"
	must(t, "cluster", "backup", later, "--config", first.Config)
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
	for i, n := range c.Nodes {
		crashes(t, "restoring shard", func(told func(string)) error {
			_, err := salvage.Restore(loaded(t, n.Config), file, "", told)
			return err
		})
		must(t, "cluster", "restore", file, "--config", n.Config)
		unsettle(t, n.Config, i)
		refused(t, 1, "run quorumta cluster restore again", "serve", "--config", n.Config)
		refused(t, 1, "run quorumta cluster restore again", "recover", "--config", n.Config)
		refused(t, 1, "restore that one again", "cluster", "restore", later, "--config", n.Config)
		must(t, "cluster", "restore", file, "--config", n.Config)
		refused(t, 1, "before its first start", "cluster", "restore", file, "--config", n.Config)
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

// crashes runs f and has it panic when it says the words.
func crashes(t *testing.T, words string, f func(told func(string)) error) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("it never said %q", words)
		}
	}()
	err := f(func(said string) {
		if strings.HasPrefix(said, words) {
			panic(said)
		}
	})
	t.Errorf("it did not crash: %v", err)
}

func loaded(t *testing.T, path string) *config.File {
	t.Helper()
	f, err := config.Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// unsettle lets a restore look as if it had been cut off while what was built
// took its place: before anything had, before the node was known as started, or
// half way.
func unsettle(t *testing.T, config string, step int) {
	t.Helper()
	dir := filepath.Dir(config)
	data, built := filepath.Join(dir, "data"), filepath.Join(dir, "data", "unfinished")
	if err := os.Mkdir(built, 0o700); err != nil {
		t.Fatal(err)
	}
	names := []string{"id", "salvage.json", setup.FirstStartFile, "log", "state", "snapshots", "marks", "map"}
	if step == 2 {
		names = []string{"id", "state"}
		if err := os.WriteFile(filepath.Join(built, "emptied"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		to := built
		if step == 0 && name == setup.FirstStartFile {
			to = dir
		}
		if err := os.Rename(filepath.Join(data, name), filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// digests are those of all files below a folder.
func digests(t *testing.T, dir string) map[string][sha256.Size]byte {
	t.Helper()
	all := map[string][sha256.Size]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = sha256.Sum256(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSurvivorBecomesTheCluster(t *testing.T) {
	const count = 100
	tr := queued(t, count)
	survivor, second := tr.Cluster.Nodes[1], tr.Cluster.Nodes[0]
	must(t, "cluster", "digest", "--config", survivor.Config) // all have all
	refused(t, 1, "no node may run", "recover", "--config", survivor.Config, "--i-know-what-may-be-lost")
	tr.Cluster.Kill()
	refused(t, 2, "--i-know-what-may-be-lost", "recover", "--config", survivor.Config)
	data := filepath.Join(filepath.Dir(survivor.Config), "data")
	before := digests(t, data)
	crashes(t, "taking over shard 2", func(told func(string)) error {
		_, err := salvage.Recover(loaded(t, survivor.Config), "", false, told)
		return err
	})
	if after := digests(t, data); !maps.Equal(before, after) {
		t.Errorf("a recovery that was cut off has changed the old data:\n%v\n%v", before, after)
	}
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
	if _, said, _ := command(t, "queue", "count", "--config", survivor.Config); !strings.Contains(said, "recovered from what a survivor had") {
		t.Errorf("the count says %s", said)
	}
	must(t, "queue", "release", "--restored", "--config", survivor.Config)
	must(t, "queue", "retry", "--all", "--config", survivor.Config)
	arrives(t, tr.Sink, count)
	second.Kill()
	join(t, survivor, filepath.Join(t.TempDir(), "joined"), basePort(t, second)+8)
	join(t, survivor, filepath.Join(t.TempDir(), "joined"), basePort(t, second)+9)
	settles(t, survivor.Config, 3, 3, 3)
	must(t, "cluster", "digest", "--deep", "--config", survivor.Config)
}
