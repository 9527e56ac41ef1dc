package cluster_test

import (
	"slices"
	"testing"
	"time"

	"quorumta/cluster"
)

// What was proposed before a shard was sealed may come in after its leader has
// found it empty: the shard does not go before that is dealt with.
func TestAShardWaitsForWhatIsOnItsWay(t *testing.T) {
	inWorld(t, 3, 2, func(w *world) {
		w.put(2, "a=1")
		w.placed(2, 3)
		leader := w.leader(2)
		hold := make(chan struct{})
		for _, name := range w.names {
			m := w.nodes[name]
			m.mu.Lock()
			m.regs[2].set(func(r *register) { r.empty, r.hold = true, hold })
			m.mu.Unlock()
		}
		proposed := make(chan error, 1)
		go func() { proposed <- w.try(leader, 2, "late=1") }()
		if err := w.node("n1").SetShards(w.t.Context(), 1); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if shards := w.node("n1").Shards(); !slices.Contains(shards, 2) {
			w.t.Error("shard 2 went while an entry was on its way into it")
		}
		close(hold)
		<-proposed
		w.within(20*time.Second, "the entry is everywhere", func() bool {
			return !slices.ContainsFunc(w.names, func(name string) bool { _, ok := w.get(name, 2, "late"); return !ok })
		})
		time.Sleep(10 * time.Second)
		w.put(2, "outcome=1")
		if err := w.node("n2").Accepting(2); err == nil {
			w.t.Error("shard 2 retires and takes new mail")
		}
		for _, name := range w.names {
			m := w.nodes[name]
			m.mu.Lock()
			if !slices.Contains(w.node(name).Shards(), cluster.ShardID(2)) {
				w.t.Errorf("shard 2 is gone on %s", name)
			}
			m.mu.Unlock()
		}
	})
}
