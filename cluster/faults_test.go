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
)

// A dead leader is followed within about a second, not after Raft's time-out
// of one to two seconds and an election (PROTOCOL 26).
func TestDeadLeaderIsFollowedFast(t *testing.T) {
	var gaps []time.Duration
	for range 10 {
		inWorld(t, 3, 1, func(w *world) {
			w.put(1, "a=1")
			w.within(20*time.Second, "n1 leads", func() bool { return w.leader(1) == "n1" })
			time.Sleep(3 * time.Second)
			w.put(1, "b=1")
			bury := w.die("n1")
			defer bury()
			start := time.Now()
			w.leader(1)
			gaps = append(gaps, time.Since(start))
			w.put(1, "c=1")
			for _, name := range []string{"n2", "n3"} {
				w.within(5*time.Second, "the survivors have everything", func() bool {
					_, a := w.get(name, 1, "a")
					_, c := w.get(name, 1, "c")
					return a && c
				})
			}
		})
	}
	slices.Sort(gaps)
	t.Log("gaps", gaps)
	if median, worst := gaps[len(gaps)/2], gaps[len(gaps)-1]; median > 1100*time.Millisecond || worst > 3*time.Second {
		t.Errorf("a new office after %v at the median, %v at worst", median, worst)
	}
}

// A follower that was away for long is replicated to as soon as it is back,
// not when a back-off of ten seconds ends: the shard may live by it alone.
func TestAFollowerThatComesBackIsReplicatedTo(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.within(30*time.Second, "n1 leads", func() bool { return w.leader(1) == "n1" })
		time.Sleep(3 * time.Second)
		w.put(1, "a=1")
		w.kill("n2")
		time.Sleep(25 * time.Second)
		w.start("n2")
		time.Sleep(2 * time.Second)
		bury := w.die("n3")
		defer bury()
		began := time.Now()
		w.put(1, "b=1")
		if took := time.Since(began); took > time.Second {
			w.t.Errorf("it took %v", took)
		}
	})
}

// A leader that is cut off loses its lease before another can be elected, and
// says no at once; what it had in flight is unknown.
func TestPartitionedLeader(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.put(1, "a=1")
		w.within(20*time.Second, "n1 leads", func() bool { return w.leader(1) == "n1" })
		term, _ := w.node("n1").Term(1)
		for _, other := range []string{"n2", "n3"} {
			w.net.Cut("n1", other)
		}
		outcome := make(chan error, 1)
		go func() { outcome <- w.try("n1", 1, "b=1") }()
		start := time.Now()
		var ended, followed time.Duration
		for followed == 0 && time.Since(start) < 20*time.Second {
			_, old := w.node("n1").Term(1)
			_, second := w.node("n2").Term(1)
			_, third := w.node("n3").Term(1)
			if !old && ended == 0 {
				ended = time.Since(start)
			}
			if second || third {
				followed = time.Since(start)
				if old {
					w.t.Fatalf("two offices at once after %v", followed)
				}
			}
			time.Sleep(time.Millisecond)
		}
		w.t.Logf("lease over after %v, followed after %v", ended, followed)
		if ended == 0 || ended > 850*time.Millisecond {
			w.t.Errorf("the lease ran for %v after the cut", ended)
		}
		if followed == 0 || followed > 4*time.Second {
			w.t.Errorf("a new office after %v", followed)
		}
		if err := <-outcome; !errors.Is(err, cluster.ErrUnknownOutcome) {
			w.t.Errorf("what was in flight: %v", err)
		}
		if _, err := w.node("n1").Propose(w.t.Context(), 1, term, []byte("c=1")); !errors.Is(err, cluster.ErrNotLeader) {
			w.t.Errorf("a proposal in the old term: %v", err)
		}
		if err := w.node("n1").Accepting(1); !errors.Is(err, cluster.ErrNotLeader) {
			w.t.Errorf("the minority accepts: %v", err)
		}
		w.net.Heal()
		w.put(1, "d=1")
		time.Sleep(5 * time.Second)
		w.equal(1, w.names...)
	})
}

// Power is lost everywhere: what was acknowledged is there.
func TestPowerLossKeepsWhatWasAcknowledged(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		for round := range 3 {
			for i := range 20 {
				w.put(uint16(i%3+1), fmt.Sprintf("%d-%d=1", round, i))
			}
			for _, name := range w.names {
				w.kill(name)
			}
			for _, name := range w.names {
				w.start(name)
			}
			for i := range 20 {
				shard := uint16(i%3 + 1)
				key := fmt.Sprintf("%d-%d", round, i)
				w.within(10*time.Second, key+" is on all", func() bool {
					return !slices.ContainsFunc(w.names, func(n string) bool { _, ok := w.get(n, shard, key); return !ok })
				})
			}
		}
		for shard := range 3 {
			w.equal(uint16(shard+1), w.names...)
		}
	})
}

// A member that was away longer than the log is kept gets a snapshot.
func TestLaggingFollowerGetsSnapshot(t *testing.T) {
	tune := func(_ string, o *cluster.Options) {
		o.SnapshotBytes, o.TrailingBytes = 64<<10, 16<<10
	}
	inTunedWorld(t, 3, 1, tune, func(w *world) {
		w.put(1, "first=1")
		time.Sleep(5 * time.Second)
		w.kill("n3")
		fill := strings.Repeat("x", 4<<10)
		for i := range 100 {
			w.put(1, fmt.Sprintf("k%d=%s", i, fill))
			time.Sleep(20 * time.Millisecond)
		}
		w.start("n3")
		w.within(20*time.Second, "n3 has everything", func() bool {
			v, ok := w.get("n3", 1, "k99")
			_, first := w.get("n3", 1, "first")
			return ok && v == fill && first
		})
		reg := w.nodes["n3"].regs[1]
		reg.mu.Lock()
		replayed := reg.applied
		reg.mu.Unlock()
		if replayed >= 100 {
			w.t.Errorf("n3 folded %d entries: no snapshot was sent", replayed)
		}
		w.equal(1, w.names...)
		// What came by snapshot survives a power loss like anything else.
		w.kill("n3")
		w.put(1, "last=1")
		w.start("n3")
		w.within(20*time.Second, "n3 has everything again", func() bool {
			_, ok := w.get("n3", 1, "last")
			_, first := w.get("n3", 1, "first")
			return ok && first
		})
		w.equal(1, w.names...)
	})
}

// Closing all and opening all again finds everything, without a power loss.
func TestRestartInGoodOrder(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		w.put(2, "a=1")
		for _, name := range w.names {
			w.stop(name)
		}
		for _, name := range w.names {
			w.start(name)
		}
		w.put(2, "b=1")
		for _, name := range w.names {
			w.within(5*time.Second, "all is there", func() bool {
				_, a := w.get(name, 2, "a")
				_, b := w.get(name, 2, "b")
				return a && b
			})
		}
		w.equal(2, w.names...)
	})
}

func TestDrainHandsLeadsAway(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		w.within(30*time.Second, "leads are even", func() bool {
			return w.leader(1) == "n1" && w.leader(2) == "n2" && w.leader(3) == "n3"
		})
		start := time.Now()
		if err := w.node("n1").Drain(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.t.Log("drained after", time.Since(start))
		if took := time.Since(start); took > 2*time.Second { // what the others say of themselves may be half a second old
			w.t.Errorf("draining took %v", took)
		}
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			for shard := range uint16(3) {
				if _, ok := w.node("n1").Term(shard + 1); ok {
					w.t.Fatal("a draining node leads")
				}
			}
		}
		for shard := range uint16(3) {
			w.put(shard+1, "a=1")
		}
		// Nor does it campaign when the others are gone.
		w.kill("n2")
		w.within(30*time.Second, "n3 leads all", func() bool {
			return w.leader(1) == "n3" && w.leader(2) == "n3" && w.leader(3) == "n3"
		})
	})
}

// When all drain at once, nobody waits for the others.
func TestDrainOfAll(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		w.within(30*time.Second, "leads are even", func() bool {
			return w.leader(1) == "n1" && w.leader(2) == "n2" && w.leader(3) == "n3"
		})
		start := time.Now()
		ended := make(chan struct{})
		for _, name := range w.names {
			go func() {
				_ = w.node(name).Drain(context.Background())
				ended <- struct{}{}
			}()
		}
		for range w.names {
			<-ended
		}
		if took := time.Since(start); took > 5*time.Second {
			w.t.Errorf("draining all took %v", took)
		}
	})
}

func TestTransferOnRequest(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.within(30*time.Second, "n1 leads", func() bool { return w.leader(1) == "n1" })
		time.Sleep(3 * time.Second)
		if err := w.node("n2").Transfer(w.t.Context(), 1, "n3"); err != nil {
			w.t.Fatal(err)
		}
		w.within(time.Second, "n3 leads", func() bool { _, ok := w.node("n3").Term(1); return ok })
		if err := w.node("n2").Transfer(w.t.Context(), 1, "nobody"); err == nil {
			w.t.Error("a lead can be given to nobody")
		}
	})
}

// A lead that was handed over on request stays where it was put: the one who
// got it does not give it back at once to the one that leads by custom
// (PROTOCOL 29).
func TestALeadStaysWhereItWasPut(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.within(30*time.Second, "n1 leads", func() bool { return w.leader(1) == "n1" })
		time.Sleep(3 * time.Second)
		if err := w.node("n2").Transfer(w.t.Context(), 1, "n3"); err != nil {
			w.t.Fatal(err)
		}
		w.within(time.Second, "n3 leads", func() bool { _, ok := w.node("n3").Term(1); return ok })
		for range 50 {
			time.Sleep(time.Second)
			if leads := w.leader(1); leads != "n3" {
				w.t.Fatalf("%s leads", leads)
			}
		}
		w.within(30*time.Second, "n1 leads again", func() bool { return w.leader(1) == "n1" })
	})
}

// A wiped disk must not vote: its promises are gone.
func TestWipedDiskIsRefused(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.put(1, "a=1")
		w.kill("n3")
		m := w.nodes["n3"]
		m.fs = vfs.NewCrashableMem()
		o := w.options(m)
		o.ClusterID, o.Incarnations = "", nil // init's file was used up at the first start
		_, err := cluster.Open(o)
		if err == nil || !strings.Contains(err.Error(), "cluster join") {
			w.t.Errorf("an empty directory: %v", err)
		}
	})
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	inWorld(t, 1, 1, func(w *world) {
		w.put(1, "a=1")
		w.stop("n1")
		m := w.nodes["n1"]
		for why, change := range map[string]func(*cluster.Options){
			"another cluster":     func(o *cluster.Options) { o.ClusterID = "c2" },
			"another incarnation": func(o *cluster.Options) { o.Incarnations["n1"] = "other" },
			"another node":        func(o *cluster.Options) { o.Name, o.Members["n9"] = "n9", "n9:7900" },
			"no member":           func(o *cluster.Options) { o.Name = "n9" },
		} {
			o := w.options(m)
			change(&o)
			if _, err := cluster.Open(o); err == nil {
				w.t.Errorf("%s: opened", why)
			}
		}
		if err := m.fs.Remove("data/id"); err != nil {
			w.t.Fatal(err)
		}
		if _, err := cluster.Open(w.options(m)); err == nil || !strings.Contains(err.Error(), "rejoin") {
			w.t.Errorf("without the id file: %v", err)
		}
	})
}

// A panic of the fold stops the shard, not the node (PROTOCOL 22).
func TestFoldPanicStopsTheShard(t *testing.T) {
	inWorld(t, 3, 2, func(w *world) {
		w.put(1, "a=1")
		w.put(2, "a=1")
		w.within(5*time.Second, "all have it", func() bool { // or the panic would discard it with its batch
			return !slices.ContainsFunc(w.names, func(n string) bool { _, ok := w.get(n, 1, "a"); return !ok })
		})
		leader := w.leader(1)
		if err := w.try(leader, 1, "panic"); !errors.Is(err, cluster.ErrUnknownOutcome) {
			w.t.Errorf("the entry that panics: %v", err)
		}
		w.within(5*time.Second, "the replica has stopped", func() bool {
			return strings.Contains(w.node(leader).Status()[0].Stopped, "panicked")
		})
		time.Sleep(5 * time.Second) // whoever leads next stops as well
		for _, name := range w.names {
			if _, ok := w.node(name).Term(1); ok {
				w.t.Errorf("%s leads a shard that cannot be folded", name)
			}
			if v, _ := w.get(name, 1, "a"); v != "1" {
				w.t.Errorf("%s: what was applied before is %q", name, v)
			}
		}
		if err := w.try(leader, 1, "b=1"); !errors.Is(err, cluster.ErrNotLeader) {
			w.t.Errorf("a proposal to a stopped shard: %v", err)
		}
		w.put(2, "b=1")
	})
}

func TestFullDiskIsNotAccepted(t *testing.T) {
	tune := func(_ string, o *cluster.Options) { o.FreeDisk = 1 << 30 }
	inTunedWorld(t, 3, 1, tune, func(w *world) {
		for _, m := range w.nodes {
			m.fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 2 << 30})
		}
		w.put(1, "a=1")
		w.within(10*time.Second, "all accept", func() bool {
			return !slices.ContainsFunc(w.names, func(n string) bool { return w.node(n).Accepting(1) != nil })
		})
		w.nodes["n3"].fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20})
		for _, name := range w.names {
			w.within(2*time.Second, name+" refuses", func() bool {
				return errors.Is(w.node(name).Accepting(1), cluster.ErrDiskFull)
			})
		}
		w.put(1, "outcome=1") // what was begun can be ended
		w.kill("n3")
		w.within(5*time.Second, "a dead replica's disk does not count", func() bool { return w.node("n1").Accepting(1) == nil })
	})
}

func TestEntryTooLarge(t *testing.T) {
	inWorld(t, 1, 1, func(w *world) {
		w.put(1, "a="+strings.Repeat("x", cluster.MaxEntry-2))
		if err := w.try("n1", 1, strings.Repeat("x", cluster.MaxEntry+1)); !errors.Is(err, cluster.ErrTooLarge) {
			w.t.Error(err)
		}
		if _, err := w.node("n1").Propose(w.t.Context(), 2, 1, nil); !errors.Is(err, cluster.ErrNoSuchShard) {
			w.t.Error(err)
		}
	})
}

// Large entries in flight are bounded; who waits too long has proposed nothing.
func TestLargeEntriesArePaced(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.put(1, "a=1")
		leader := w.leader(1)
		for _, other := range w.names {
			if other != leader {
				w.net.Cut(leader, other)
			}
		}
		term, _ := w.node(leader).Term(1)
		errs := make(chan error)
		for range 6 {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
				defer cancel()
				_, err := w.node(leader).Propose(ctx, 1, term, []byte("a="+strings.Repeat("x", 1<<20-2)))
				errs <- err
			}()
		}
		refused := 0
		for range 6 {
			switch err := <-errs; {
			case errors.Is(err, cluster.ErrNotLeader):
				refused++
			case !errors.Is(err, cluster.ErrUnknownOutcome):
				w.t.Error(err)
			}
		}
		if refused != 2 {
			w.t.Errorf("%d of 6 MiB were refused", refused)
		}
		w.net.Heal()
		w.put(1, "b=1")
	})
}
