package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
	"quorumta/cluster/control"
)

// join has a new node of that name join by a member, with an empty disk, and
// starts it.
func (w *world) join(name string) {
	w.t.Helper()
	if !slices.Contains(w.names, name) {
		w.names = append(w.names, name)
	}
	w.joined++
	m := &machine{name: name, incarnation: fmt.Sprintf("j%d", w.joined), joins: true, fs: vfs.NewCrashableMem()}
	w.nodes[name] = m
	if err := w.ask(func(ctx context.Context, node *cluster.Node) error {
		return node.Join(ctx, control.Member{Name: name, Incarnation: m.incarnation, Address: name + ":7900", Version: "test"})
	}, name); err != nil {
		w.t.Fatalf("join %s: %v", name, err)
	}
	w.start(name)
}

// ask calls a member, any but those excepted.
func (w *world) ask(f func(ctx context.Context, node *cluster.Node) error, except ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, name := range w.running() {
		if !slices.Contains(except, name) {
			return f(ctx, w.node(name))
		}
	}
	return errors.New("nobody runs")
}

// remove has a member leave, and waits until it has.
func (w *world) remove(name string, force bool) {
	w.t.Helper()
	if err := w.ask(func(ctx context.Context, node *cluster.Node) error { return node.Remove(ctx, name, force) }, name); err != nil {
		w.t.Fatalf("remove %s: %v", name, err)
	}
	w.within(5*time.Minute, name+" has left", func() bool {
		for _, other := range w.running() {
			if _, there := w.node(other).Map().Member(name); there && other != name {
				return false
			}
		}
		return true
	})
	m := w.nodes[name]
	if m.stop != nil {
		select {
		case <-m.ended: // by itself
		case <-time.After(time.Minute):
			w.t.Fatalf("%s has left and goes on", name)
		}
		m.stop = nil
		if m.ending == nil || !strings.Contains(m.ending.Error(), name+" has left the cluster") {
			w.t.Errorf("%s ended with: %v", name, m.ending)
		}
	}
	w.names = slices.DeleteFunc(w.names, func(n string) bool { return n == name })
}

// placed waits until every shard has so many voters, no others, and all of
// them are members that run.
func (w *world) placed(shards, voters int) {
	w.t.Helper()
	w.within(5*time.Minute, fmt.Sprintf("%d shards have %d voters each", shards, voters), func() bool {
		for _, name := range w.running() {
			node := w.node(name)
			status := slices.DeleteFunc(node.Status(), func(s cluster.ShardStatus) bool { return s.Retiring })
			if len(status) != shards {
				return false
			}
			for _, s := range status {
				if len(s.Replicas) != voters || s.Leader == "" {
					return false
				}
				for _, r := range s.Replicas {
					if !r.Voter || !slices.Contains(w.running(), r.Node) || w.nodes[r.Node].incarnation != r.Incarnation {
						return false
					}
				}
			}
		}
		return true
	})
}

// traffic proposes to all shards that take entries, one key after the other,
// until it is stopped.
type traffic struct {
	*world
	stop    context.CancelFunc
	workers sync.WaitGroup

	mu     sync.Mutex // guards the rest
	live   map[string]*cluster.Node
	acked  map[string]cluster.ShardID
	failed []error
	pause  time.Duration // the longest without an acknowledgement
	newest time.Time
}

func (w *world) traffic() *traffic {
	ctx, stop := context.WithCancel(context.Background())
	tr := &traffic{world: w, stop: stop, acked: map[string]cluster.ShardID{}, newest: time.Now()}
	tr.look()
	for worker := range 4 {
		tr.workers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				tr.one(worker, i)
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return tr
}

// look notes which nodes run now.
func (tr *traffic) look() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.live = map[string]*cluster.Node{}
	for _, name := range tr.running() {
		tr.live[name] = tr.node(name)
	}
}

func (tr *traffic) one(worker, i int) {
	key := fmt.Sprintf("%d-%d", worker, i)
	tr.mu.Lock()
	live := maps.Clone(tr.live)
	tr.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(live)) {
		for _, shard := range live[name].Shards() {
			if live[name].Accepting(shard) != nil {
				continue
			}
			err := tryOn(live[name], shard, key+"=1")
			tr.mu.Lock()
			switch {
			case err == nil:
				tr.acked[key] = shard
				tr.pause = max(tr.pause, time.Since(tr.newest))
				tr.newest = time.Now()
			case !errors.Is(err, cluster.ErrNotLeader):
				tr.failed = append(tr.failed, err)
			}
			tr.mu.Unlock()
			if err == nil {
				return
			}
		}
	}
}

// end stops the traffic and finds everything acknowledged. Where nodes have died
// the outcome of a proposal may be unknown.
func (tr *traffic) end(longest time.Duration, mayFail bool) {
	tr.t.Helper()
	tr.stop()
	tr.workers.Wait()
	tr.t.Logf("%d acknowledged, the longest pause %v, %d unknown", len(tr.acked), tr.pause, len(tr.failed))
	if tr.pause > longest {
		tr.t.Errorf("nothing was acknowledged for %v", tr.pause)
	}
	if len(tr.failed) > 0 && !mayFail {
		tr.t.Errorf("proposals failed, first: %v", tr.failed[0])
	}
	for key, shard := range tr.acked {
		found := 0
		for _, name := range tr.running() {
			view, done, err := tr.node(name).View(shard)
			if err != nil {
				continue
			}
			if _, ok := view.Get([]byte("key/" + key)); ok {
				found++
			}
			done()
		}
		if found == 0 {
			tr.t.Errorf("%s of shard %d was acknowledged and is nowhere", key, shard)
		}
	}
	for _, shard := range tr.node(tr.running()[0]).Shards() {
		tr.equal(shard)
	}
}

// A cluster grows from one node to five and shrinks to three, while entries
// flow.
func TestGrowAndShrink(t *testing.T) {
	inWorld(t, 1, 0, func(w *world) {
		w.put(1, "first=1")
		tr := w.traffic()
		for _, name := range []string{"n2", "n3"} {
			w.join(name)
			tr.look()
		}
		w.placed(3, 3)
		for _, name := range []string{"n4", "n5"} {
			w.join(name)
			tr.look()
		}
		w.placed(5, 3)
		w.within(2*time.Minute, "replicas and leads are even", func() bool {
			replicas, leads := map[string]int{}, map[string]int{}
			for _, s := range w.node("n1").Status() {
				leads[s.Leader]++
				for _, r := range s.Replicas {
					replicas[r.Node]++
				}
			}
			for _, name := range w.names {
				if replicas[name] != 3 || leads[name] != 1 {
					return false
				}
			}
			return true
		})
		for _, name := range []string{"n1", "n4"} {
			w.remove(name, false)
			tr.look()
		}
		w.placed(3, 3)
		tr.end(2*time.Second, false)
		w.within(10*time.Second, "the first entry is there", func() bool {
			_, ok := w.get("n2", 1, "first")
			return ok
		})
	})
}

// A member that is to leave ends its sessions first, whoever asked for that, and
// is not dropped before they have ended.
func TestAMemberEndsItsSessionsBeforeItLeaves(t *testing.T) {
	inWorld(t, 4, 1, func(w *world) {
		begun, sessions := make(chan struct{}), make(chan struct{})
		w.stop("n4")
		w.depart = func(context.Context) error {
			close(begun)
			<-sessions
			return nil
		}
		w.start("n4")
		w.put(1, "a=1")
		time.Sleep(5 * time.Second)
		if err := w.node("n1").Remove(w.t.Context(), "n4", false); err != nil {
			w.t.Fatal(err)
		}
		<-begun
		time.Sleep(time.Minute)
		if _, there := w.node("n1").Map().Member("n4"); !there {
			w.t.Error("n4 was dropped while it had sessions")
		}
		close(sessions)
		w.remove("n4", false)
	})
}
