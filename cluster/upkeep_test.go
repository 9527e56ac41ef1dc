package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
	"quorumta/cluster/store"
)

// An entry whose fold panics stops its shard on one node after the other, until
// too few are left to elect a leader, and nothing else; the cluster decides to
// skip it, and the shard goes on (PROTOCOL 22).
func TestAPoisonousEntryIsSkipped(t *testing.T) {
	inWorld(t, 3, 2, func(w *world) {
		w.put(1, "a=1")
		leader := w.leader(1)
		_ = w.try(leader, 1, "panic")
		w.within(20*time.Second, "shard 1 has stopped on two nodes", func() bool {
			return len(slices.DeleteFunc(slices.Clone(w.names), func(name string) bool { return w.stopped(name) == "" })) >= 2
		})
		w.put(2, "b=1")
		index := w.node(leader).Status()[0].Applied + 1
		if !strings.Contains(w.stopped(leader), "panicked") {
			w.t.Errorf("it stopped with: %s", w.stopped(leader))
		}
		time.Sleep(time.Second) // that all have heard of it
		if err := w.node("n2").Skip(w.t.Context(), 1, index-1, false); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s at entry %d", leader, index)) {
			w.t.Errorf("skip another entry: %v", err)
		}
		if err := w.node("n2").Skip(w.t.Context(), 1, index, false); err != nil {
			w.t.Fatal(err)
		}
		w.put(1, "c=1")
		w.kill("n3") // it must skip the entry again, for it has lost its state
		w.start("n3")
		w.put(1, "d=1")
		w.within(20*time.Second, "n3 has it", func() bool { _, ok := w.get("n3", 1, "d"); return ok })
		w.equal(1, w.names...)
	})
}

// An upgrade is finished only as far as all members know, and no older program
// comes in afterwards.
func TestFinishingAnUpgrade(t *testing.T) {
	level := map[string]int{"n1": 1, "n2": 1, "n3": 1}
	tune := func(name string, o *cluster.Options) { o.Level = level[name] }
	inTunedWorld(t, 3, 1, tune, func(w *world) {
		w.put(1, "a=1")
		for i, name := range w.names {
			w.stop(name)
			level[name] = 2
			w.start(name)
			w.within(10*time.Second, name+" has announced its level", func() bool {
				x, _ := w.node(name).Map().Member(name)
				return x.Level == 2
			})
			if err := w.node("n1").FinishUpgrade(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
			time.Sleep(time.Second)
			if got, want := w.node("n2").Map().Level, 1+i/2; got != want {
				w.t.Errorf("with %s upgraded the level is %d, want %d", name, got, want)
			}
		}
		w.stop("n3")
		level["n3"] = 1
		if _, err := cluster.Open(w.options(w.nodes["n3"])); err == nil || !strings.Contains(err.Error(), "install the newer program") {
			w.t.Errorf("an old program: %v", err)
		}
		level["n3"] = 2
		w.start("n3")
	})
}

// A new cluster writes what all its founders know, and its nodes what every
// program knows until all have said.
func TestTheFirstLevelIsTheFoundersLeast(t *testing.T) {
	level := map[string]int{"n1": 3, "n2": 2, "n3": 3}
	tune := func(name string, o *cluster.Options) { o.Level = level[name] }
	inTunedWorld(t, 3, 1, tune, func(w *world) {
		w.stop("n2")
		w.put(1, "a=1")
		time.Sleep(10 * time.Second)
		if got := w.node("n1").Map().Level; got != 0 {
			w.t.Errorf("before n2 has said what it knows the level is %d", got)
		}
		w.start("n2")
		w.within(20*time.Second, "the level is 2", func() bool { return w.node("n3").Map().Level == 2 && w.node("n2").Map().Level == 2 })
		w.put(1, "b=1")
	})
}

// All nodes have got new addresses while they were down; each knows them from
// its configuration alone, and the map learns them.
func TestAllNodesMove(t *testing.T) {
	moved := false
	tune := func(name string, o *cluster.Options) {
		if moved {
			o.Listen = name + ":7901"
			for other := range o.Members {
				o.Members[other] = other + ":7901"
			}
		}
	}
	inTunedWorld(t, 3, 1, tune, func(w *world) {
		w.put(1, "a=1")
		time.Sleep(3 * time.Second)
		for _, name := range w.names {
			w.stop(name)
		}
		moved = true
		for _, name := range w.names {
			w.start(name)
		}
		w.put(1, "b=1")
		w.within(time.Minute, "the map has the new addresses", func() bool {
			for _, address := range w.node("n1").Map().Addresses() {
				if !strings.HasSuffix(address, ":7901") {
					return false
				}
			}
			return true
		})
	})
}

// A cluster from before there was a map draws its first one from what it has.
func TestAClusterWithoutAMapGetsOne(t *testing.T) {
	inWorld(t, 3, 2, func(w *world) {
		w.put(2, "a=1")
		for _, name := range w.names {
			w.stop(name)
			w.age(name, 2)
		}
		for _, name := range w.names {
			w.start(name)
		}
		w.put(2, "b=1")
		w.within(time.Minute, "there is a map", func() bool { return w.node("n2").Map().Version > 0 })
		w.join("n4")
		w.within(time.Minute, "n4 is on it", func() bool { return len(w.node("n4").Map().Members) == 4 })
		w.equal(2)
	})
}

// age makes the node's data that of an older version, with so many shards.
func (w *world) age(name string, shards int) {
	w.t.Helper()
	m := w.nodes[name]
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	s, err := store.Open(store.Options{
		Dir: "data", FS: m.fs, MemoryBytes: 8 << 20, Log: slog.New(slog.DiscardHandler), Fatal: func(err error) { w.t.Error(err) },
	})
	must(err)
	must(s.Drop(0))
	must(s.Close())
	must(m.fs.Remove("data/map"))
	text, err := json.Marshal(map[string]any{"cluster": "c1", "node": name, "incarnation": "i" + name, "shards": shards, "founded": true})
	must(err)
	f, err := m.fs.Create("data/id", vfs.WriteCategoryUnspecified)
	must(err)
	_, err = f.Write(text)
	must(err)
	must(f.Sync())
	must(f.Close())
	m.bare = true
}

// A replica that was found damaged is refused alone, and made anew from the
// others while the node's other shards go on.
func TestADamagedReplicaIsMadeAnew(t *testing.T) {
	inWorld(t, 3, 2, func(w *world) {
		for i := range 20 {
			w.put(1, fmt.Sprintf("k%d=1", i))
		}
		time.Sleep(3 * time.Second)
		w.stop("n2")
		m := w.nodes["n2"]
		if err := m.fs.MkdirAll("data/damaged", 0o700); err != nil {
			w.t.Fatal(err)
		}
		f, err := m.fs.Create("data/damaged/1", vfs.WriteCategoryUnspecified)
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = f.Write([]byte("000007.sst: flipped"))
		if err := f.Close(); err != nil {
			w.t.Fatal(err)
		}
		w.start("n2")
		if s := w.stopped("n2"); !strings.Contains(s, "000007.sst") {
			w.t.Errorf("shard 1 says on n2: %q", s)
		}
		w.put(2, "b=1")
		w.within(time.Minute, "n2 has shard 1 again", func() bool {
			_, ok := w.get("n2", 1, "k19")
			return ok && w.stopped("n2") == ""
		})
		w.placed(2, 3)
		w.equal(1, w.names...)
		w.equal(2, w.names...)
	})
}

// A replica that has lost what it had says so, does not vote, and is made anew
// from the others by itself.
func TestALostReplicaIsMadeAnew(t *testing.T) {
	inWorld(t, 3, 2, func(w *world) {
		for i := range 20 {
			w.put(1, fmt.Sprintf("k%d=1", i))
		}
		time.Sleep(3 * time.Second)
		w.stop("n2")
		s, err := store.Open(store.Options{
			Dir: "data", FS: w.nodes["n2"].fs, MemoryBytes: 8 << 20, Log: slog.New(slog.DiscardHandler), Fatal: func(err error) { w.t.Error(err) },
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if err := errors.Join(s.Drop(1), s.Close()); err != nil {
			w.t.Fatal(err)
		}
		w.start("n2")
		w.within(10*time.Second, "n2 says so", func() bool { return strings.Contains(w.stopped("n2"), "damaged") })
		w.within(time.Minute, "n2 has shard 1 again", func() bool {
			_, ok := w.get("n2", 1, "k19")
			return ok && w.stopped("n2") == ""
		})
		w.placed(2, 3)
		w.equal(1, w.names...)
	})
}
