package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
	"quorumta/cluster/control"
)

// A node that has died for good is removed, and another joins for it.
func TestADeadNodeIsReplaced(t *testing.T) {
	inWorld(t, 3, 0, func(w *world) {
		w.put(1, "first=1")
		w.placed(3, 3)
		time.Sleep(5 * time.Second)
		tr := w.traffic()
		w.kill("n3")
		tr.look()
		w.remove("n3", false)
		w.placed(2, 2)
		w.join("n4")
		tr.look()
		w.placed(3, 3)
		tr.end(3*time.Second, true)
		w.within(10*time.Second, "n4 has the first entry", func() bool {
			_, ok := w.get("n4", 1, "first")
			return ok
		})
	})
}

// A node that has lost its disk joins as new under its old name, and gets what
// it lost by snapshot. What is left of its old incarnation is refused.
func TestAWipedNodeRejoins(t *testing.T) {
	tune := func(_ string, o *cluster.Options) { o.SnapshotBytes, o.TrailingBytes = 64<<10, 16<<10 }
	inTunedWorld(t, 3, 1, tune, func(w *world) {
		w.put(1, "first=1")
		fill := strings.Repeat("x", 4<<10)
		for i := range 60 {
			w.put(1, fmt.Sprintf("k%d=%s", i, fill))
		}
		time.Sleep(5 * time.Second)
		old := w.nodes["n3"]
		w.kill("n3")
		time.Sleep(3 * time.Second)
		w.join("n3")
		w.placed(1, 3)
		w.within(30*time.Second, "n3 has everything", func() bool {
			_, first := w.get("n3", 1, "first")
			_, last := w.get("n3", 1, "k59")
			return first && last
		})
		reg := w.nodes["n3"].regs[1]
		reg.mu.Lock()
		folded := reg.applied
		reg.mu.Unlock()
		if folded >= 60 {
			w.t.Errorf("n3 folded %d entries: no snapshot was sent", folded)
		}
		w.equal(1, "n1", "n2", "n3")
		w.stop("n3")
		now := w.nodes["n3"]

		w.nodes["n3"] = old
		w.start("n3")
		select {
		case <-old.ended:
		case <-time.After(time.Minute):
			w.t.Fatal("the old incarnation goes on")
		}
		old.stop = nil
		if !errors.Is(old.ending, cluster.ErrRemoved) || !strings.Contains(old.ending.Error(), "has replaced incarnation in3") {
			w.t.Errorf("the old incarnation ended with: %v", old.ending)
		}
		w.start("n3") // and a second time, when it has kept the map
		<-old.ended
		old.stop = nil
		if !errors.Is(old.ending, cluster.ErrRemoved) {
			w.t.Errorf("started again it ended with: %v", old.ending)
		}
		w.nodes["n3"] = now
		w.start("n3")
		w.put(1, "last=1")
		w.equal(1, "n1", "n2", "n3")
	})
}

// A name is not given away while a member of it is alive.
func TestALiveNameIsNotGivenAway(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.put(1, "a=1")
		time.Sleep(3 * time.Second)
		err := w.node("n1").Join(w.t.Context(), control.Member{Name: "n2", Incarnation: "other", Address: "n2:7900"})
		if err == nil || !strings.Contains(err.Error(), "alive") {
			w.t.Errorf("join as n2: %v", err)
		}
	})
}

// A token lets one node in, once, and before it expires.
func TestTokens(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		ctx := w.t.Context()
		x := control.Member{Name: "n4", Incarnation: "x", Address: "n4:7900"}
		secret, err := w.node("n1").NewToken(ctx, time.Hour)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.node("n2").RedeemToken(ctx, []byte("0123456789abcdef"), x); !errors.Is(err, cluster.ErrToken) {
			w.t.Errorf("a token that was never made: %v", err)
		}
		if err := w.node("n2").RedeemToken(ctx, secret, x); err != nil {
			w.t.Errorf("redeem: %v", err)
		}
		x.Name, x.Address = "n5", "n5:7900"
		if err := w.node("n3").RedeemToken(ctx, secret, x); !errors.Is(err, cluster.ErrToken) {
			w.t.Errorf("a token that was used: %v", err)
		}
		if secret, err = w.node("n3").NewToken(ctx, time.Minute); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := w.node("n3").RedeemToken(ctx, secret, x); !errors.Is(err, cluster.ErrToken) {
			w.t.Errorf("a token that has expired: %v", err)
		}
	})
}

// A shard that retires takes no new entries, and goes when it is empty; its
// replicas are told and deleted. Its id is not used again.
func TestARetiredShardGoes(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		w.put(3, "a=1")
		w.placed(3, 3)
		if err := w.node("n1").SetShards(w.t.Context(), 2); err != nil {
			w.t.Fatal(err)
		}
		w.within(10*time.Second, "nobody takes mail for shard 3", func() bool {
			return !slices.ContainsFunc(w.names, func(name string) bool { return w.node(name).Accepting(3) == nil })
		})
		w.put(3, "outcome=1") // what is in it is still dealt with
		time.Sleep(30 * time.Second)
		if !slices.Contains(w.node("n1").Shards(), 3) {
			w.t.Fatal("shard 3 went with something in it")
		}
		var regs []*register
		for _, name := range w.names {
			m := w.nodes[name]
			m.mu.Lock()
			regs = append(regs, m.regs[3])
			m.mu.Unlock()
		}
		for _, reg := range regs {
			reg.set(func(r *register) { r.empty = true })
		}
		w.within(time.Minute, "shard 3 is gone everywhere", func() bool {
			for i, name := range w.names {
				gone := false
				regs[i].set(func(r *register) { gone = r.closed })
				if !gone || slices.Contains(w.node(name).Shards(), 3) {
					return false
				}
			}
			return true
		})
		if err := w.node("n2").SetShards(w.t.Context(), 3); err != nil {
			w.t.Fatal(err)
		}
		w.placed(3, 3)
		if got := w.node("n1").Shards(); !slices.Equal(got, []cluster.ShardID{1, 2, 4}) {
			w.t.Errorf("shards %v", got)
		}
		w.put(4, "b=1")
		for _, name := range w.names {
			w.kill(name)
		}
		for _, name := range w.names {
			w.start(name)
		}
		w.put(4, "c=1")
		w.equal(4, w.names...)
	})
}

// Mail never waits for the control group: when that has lost its majority,
// shards go on that have theirs, also through a restart (PROTOCOL 34).
func TestMailFlowsWithoutTheControlGroup(t *testing.T) {
	inWorld(t, 1, 1, func(w *world) {
		w.put(1, "a=1")
		for _, name := range []string{"n2", "n3", "n4", "n5", "n6", "n7"} {
			w.join(name)
		}
		if err := w.node("n1").SetShards(w.t.Context(), 7); err != nil {
			w.t.Fatal(err)
		}
		w.placed(7, 3)
		w.within(time.Minute, "the control group has five replicas", func() bool {
			return len(w.node("n1").ControlStatus().Replicas) == 5
		})
		var inControl []string
		for _, r := range w.node("n1").ControlStatus().Replicas {
			inControl = append(inControl, r.Node)
		}
		// Three of the five go, such that some shard keeps its majority.
		var alive cluster.ShardID
		var dead []string
		for _, s := range w.node("n1").Status() {
			var keep []string
			for _, r := range s.Replicas {
				keep = append(keep, r.Node)
			}
			can := slices.DeleteFunc(slices.Clone(inControl), func(n string) bool { return slices.Contains(keep[:2], n) })
			if len(can) >= 3 {
				alive, dead = s.ID, can[:3]
				break
			}
		}
		for _, name := range dead {
			w.kill(name)
		}
		w.put(alive, "b=1")
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		defer cancel()
		survivor := w.running()[0]
		if err := w.node(survivor).SetShards(ctx, 8); !errors.Is(err, cluster.ErrNotLeader) {
			w.t.Errorf("the control group decides without a majority: %v", err)
		}
		for _, name := range w.running() {
			w.kill(name)
			w.start(name)
		}
		w.put(alive, "c=1")
		for _, name := range dead {
			w.start(name)
		}
		if err := w.node(survivor).SetShards(w.t.Context(), 6); err != nil {
			w.t.Errorf("the control group does not decide again: %v", err)
		}
		w.equal(alive)
	})
}

// A node that has no replica of a shard finds its leader all the same, and one
// that joins survives a loss of power on its way.
func TestAJoinerThatDiesOnItsWay(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		fill := strings.Repeat("x", 4<<10)
		for i := range 60 {
			w.put(uint16(i%3+1), fmt.Sprintf("k%d=%s", i, fill))
		}
		w.join("n4")
		for i := range 12 {
			time.Sleep(time.Duration(i*70) * time.Millisecond)
			w.kill("n4")
			w.start("n4")
		}
		w.within(time.Minute, "n4 finds every leader", func() bool {
			for _, shard := range w.node("n4").Shards() {
				if w.node("n4").Leader(shard) == "" || w.node("n4").Accepting(shard) != nil {
					return false
				}
			}
			return len(w.node("n4").Shards()) == 4 || len(w.node("n4").Shards()) == 3
		})
		w.placed(len(w.node("n4").Shards()), 3)
		for _, s := range w.node("n4").Status() {
			if s.Stopped != "" {
				w.t.Errorf("shard %d has stopped on n4: %s", s.ID, s.Stopped)
			}
			w.equal(s.ID)
		}
	})
}

// A directory that is empty, without the papers of a first start, is refused
// with words that say what to do, and so is one whose papers are damaged.
func TestPapersAreChecked(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.put(1, "a=1")
		w.stop("n3")
		m := w.nodes["n3"]
		kept := m.fs
		m.fs = vfs.NewCrashableMem()
		o := w.options(m)
		o.Incarnations, o.ClusterID = nil, ""
		if _, err := cluster.Open(o); err == nil || !strings.Contains(err.Error(), "quorumta cluster join") {
			w.t.Errorf("an empty directory: %v", err)
		}
		m.fs = kept
		o = w.options(m)
		o.ClusterID = "another"
		if _, err := cluster.Open(o); err == nil || !strings.Contains(err.Error(), "belongs to cluster c1") {
			w.t.Errorf("another cluster's directory: %v", err)
		}
		w.start("n3")
	})
}
