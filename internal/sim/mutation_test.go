//go:build mutations

package sim_test

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// edit replaces a text that stands once in a file of the module.
type edit struct{ file, old, new string }

// mutation is a bug that the simulation must find.
type mutation struct {
	name  string
	plant []edit
	room  string // whose tests look for it; "" for these
	// run are the tests that look for it, and args their flags.
	run  string
	args []string
}

// mutations are the planted bugs. A text that is gone fails the test: then the
// bug must be planted anew where its guard has gone.
var mutations = []mutation{
	{
		// Two lines of defence: a leader that has not heard of the next one yet
		// has no lease any more, so that a proposal does not reach Raft. Only a
		// process that is paused between that look and Raft needs the other
		// line, and it cannot be paused there in virtual time.
		name: "asynchronous heartbeats",
		plant: []edit{{
			"cluster/transport/transport.go",
			"func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}",
			"func (t *Transport) SetHeartbeatHandler(f func(raft.RPC)) { t.NetworkTransport.SetHeartbeatHandler(f) }",
		}, {
			"cluster/group/propose.go",
			"	if err == nil && !r.holds(term) {",
			"	if err == nil && term == 0 {",
		}},
		run: "^TestNothingIsWrittenInAnothersTerm$",
	},
	{
		name: "asynchronous heartbeats, alone",
		plant: []edit{{
			"cluster/transport/transport.go",
			"func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}",
			"func (t *Transport) SetHeartbeatHandler(f func(raft.RPC)) { t.NetworkTransport.SetHeartbeatHandler(f) }",
		}},
		room: "cluster/transport",
		run:  "^TestHeartbeatsGoThroughTheMainLoop$",
	},
	{
		name: "fold reads the clock",
		plant: []edit{{
			"queue/state/draft.go",
			"d.records = append(d.records, f.record(at, &f.bare))",
			"d.records = append(d.records, f.record(time.Now(), &f.bare))",
		}},
		run:  "^TestSchedules$",
		args: []string{"-seeds", "1", "-lasting", "20s"},
	},
	{
		name: "log cut before the state is flushed",
		plant: []edit{{
			"cluster/group/fold/snapshot.go",
			"	return m.fsm.o.Flush()\n",
			"	return nil\n",
		}, { // where it would be noticed
			"cluster/store/sink.go",
			"state.Restoring() || durable < s.label.Index {",
			"state.Restoring() || durable > s.label.Index+1<<60 {",
		}},
		run: "^TestStatesSurvivePowerLoss$",
	},
	{
		name: "claim without the term check",
		plant: []edit{{
			"queue/state/fold.go",
			"	if f.decided != f.term && slices.ContainsFunc(g.Events, bindsTerm) {",
			"	if false && slices.ContainsFunc(g.Events, bindsTerm) {",
		}},
		run: "^TestOldDecisionsAreRefused$",
	},
	{
		name: "vote answered before it is synced",
		plant: []edit{{
			"cluster/store/raftlog/stable.go",
			`l.commit("write term or vote", batch, pebble.Sync)`,
			`l.commit("write term or vote", batch, pebble.NoSync)`,
		}},
		run: "^TestVotesAreKept$",
	},
	{
		name: "snapshot without its applied index",
		plant: []edit{{
			"cluster/store/snapshots.go",
			"	meta.Size = size\n",
			"	meta.Size = size\n	view.head.applied, view.head.term = l.Index, l.Term\n",
		}},
		run: "^TestSnapshotsAreNotFoldedAgain$",
	},
	{
		name: "body dropped while a recipient is open",
		plant: []edit{{
			"queue/state/draft.go",
			"	f.shard.counts.Add(d.st.counts(sum, f.shard.era))\n",
			"	f.shard.counts.Add(d.st.counts(sum, f.shard.era))\n	if !d.born() && sum.Flying == 0 {\n		for n := range d.st.parts {\n			f.w.Delete(f.key.Numbered(keys.Content, d.id, n))\n		}\n	}\n",
		}},
		run:  "^TestSchedules$",
		args: []string{"-seeds", "1"},
	},
}

// The simulation has teeth: it finds every planted bug.
func TestMutations(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			began := time.Now()
			out, failed := m.try(t, root)
			if !failed {
				t.Errorf("nobody has found it:\n%s", end(out))
				return
			}
			t.Logf("found in %.1f s:\n%s", time.Since(began).Seconds(), end(out))
		})
	}
}

// try runs the tests in a build with the bug, and reports whether one failed.
func (m mutation) try(t *testing.T, root string) (out string, failed bool) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "mutant.test")
	build := exec.Command("go", "test", "-c", "-overlay", overlay(t, root, dir, m.plant), "-o", binary, ".")
	build.Dir = filepath.Join(root, cmp.Or(m.room, "internal/sim"))
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the mutant: %v\n%s", err, b)
	}
	run := exec.Command(binary, append([]string{"-test.run", m.run, "-test.v", "-test.failfast", "-test.timeout", "5m"}, m.args...)...)
	run.Dir = build.Dir
	b, err := run.CombinedOutput()
	out = string(b)
	if !strings.Contains(out, "=== RUN") || strings.Contains(out, "panic: test timed out") {
		t.Fatalf("the mutant has run no test, or not to its end: %v\n%s", err, end(out))
	}
	return out, err != nil
}

// overlay writes the edited files and what -overlay wants to know of them.
func overlay(t *testing.T, root, dir string, edits []edit) string {
	t.Helper()
	replaced := map[string]string{}
	for _, e := range edits {
		path := filepath.Join(root, e.file)
		from := path
		if edited, again := replaced[path]; again {
			from = edited
		}
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), e.old); n != 1 {
			t.Fatalf("%s has this text %d times instead of once; plant the bug where its guard is now:\n%s", e.file, n, e.old)
		}
		edited := filepath.Join(dir, strings.ReplaceAll(e.file, "/", "_"))
		if err := os.WriteFile(edited, []byte(strings.Replace(string(b), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		replaced[path] = edited
	}
	b, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// end is the end of an output, where the complaints are.
func end(out string) string {
	const lines, width = 8, 300
	all := strings.Split(strings.TrimSpace(out), "\n")
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		all[i] = line[:min(len(line), width)]
	}
	return strings.Join(all, "\n")
}
