package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"quorumta/cluster"
)

// stopped is why the node's replica of shard 1 has stopped.
func (w *world) stopped(name string) string { return w.node(name).Status()[0].Stopped }

// spoil has a replica fold in its own way from now on.
func (w *world) spoil(name string, f func(r *register)) {
	m := w.nodes[name]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.regs[1].set(f)
}

// A replica that a majority disagrees with stops, says what to do, and stays
// stopped; the others go on (PROTOCOL 23).
func TestAReplicaThatDiffersStops(t *testing.T) {
	for _, wrong := range []string{"n1", "n3"} { // the leader and a follower
		t.Run(wrong, func(t *testing.T) {
			inWorld(t, 3, 1, func(w *world) {
				w.within(30*time.Second, "n1 leads", func() bool { return w.leader(1) == "n1" })
				w.put(1, "a=1")
				w.spoil(wrong, func(r *register) { r.result = 100 })
				w.put(1, "b=1")
				w.within(3*time.Minute, wrong+" stops", func() bool { return strings.Contains(w.stopped(wrong), "rejoin as new") })
				w.put(1, "c=1")
				w.kill(wrong)
				w.start(wrong)
				w.within(10*time.Second, wrong+" is still stopped", func() bool { return strings.Contains(w.stopped(wrong), "rejoin as new") })
				for _, name := range w.names {
					if name != wrong && w.stopped(name) != "" {
						w.t.Errorf("%s has stopped: %s", name, w.stopped(name))
					}
				}
			})
		})
	}
}

// While no majority of the replicas is equal, entries are taken and nothing may
// be delivered: nobody has the right to (PROTOCOL 23).
func TestWithoutAMajorityOfEqualReplicasDeliveryHolds(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.within(30*time.Second, "n1 leads", func() bool { return w.leader(1) == "n1" })
		w.put(1, "a=1")
		term, _ := w.node("n1").Term(1)
		w.spoil("n2", func(r *register) { r.result = 100 })
		w.spoil("n3", func(r *register) { r.result = 50 })
		w.put(1, "b=1")
		holds := func() bool {
			return !slices.ContainsFunc(w.names, func(name string) bool { _, ok := w.node(name).Term(1); return ok })
		}
		w.within(3*time.Minute, "nobody may deliver", holds)
		if err := w.node("n1").Accepting(1); err != nil {
			w.t.Errorf("it does not accept: %v", err)
		}
		if _, err := w.node("n1").Propose(w.t.Context(), 1, term, []byte("c=1")); err != nil {
			w.t.Errorf("a proposal: %v", err)
		}
		w.kill("n1") // the next leader finds it out as well
		w.start("n1")
		w.within(time.Minute, "another leads, and nobody may deliver", func() bool { return w.node("n2").Leader(1) != "" && holds() })
		time.Sleep(time.Minute)
		if !holds() {
			w.t.Error("delivery goes on by itself")
		}
	})
}

// What the running digest cannot see, because the fold said the same and wrote
// something else, is found when whole states are compared.
func TestTheScrubberComparesStates(t *testing.T) {
	tune := func(_ string, o *cluster.Options) { o.Scrub = 10 * time.Minute }
	inTunedWorld(t, 3, 1, tune, func(w *world) {
		w.put(1, "a=1")
		w.spoil("n2", func(r *register) { r.value = 'x' })
		w.put(1, "b=1")
		time.Sleep(5 * time.Minute)
		if s := w.stopped("n2"); s != "" {
			w.t.Errorf("the running digest has found it: %s", s)
		}
		w.within(10*time.Minute, "n2 stops", func() bool { return strings.Contains(w.stopped("n2"), "differs") })
	})
}

// Who looks at the digests is told at once which replica is missing.
func TestADigestWithoutOneReplica(t *testing.T) {
	inWorld(t, 3, 1, func(w *world) {
		w.put(1, "a=1")
		w.leader(1)
		for _, deep := range []bool{false, true} {
			lost := "n1"
			if w.leader(1) == lost {
				lost = "n2"
			}
			w.net.Pause(lost)
			time.Sleep(3 * time.Second)
			leader := w.leader(1, lost)
			start := time.Now()
			digests, err := w.node(leader).Digest(w.t.Context(), deep)
			if took := time.Since(start); err != nil || took > 6*time.Second {
				w.t.Errorf("deep %t: %v after %v", deep, err, took)
			}
			missing := slices.IndexFunc(digests[0].Replicas, func(r cluster.ReplicaDigest) bool { return r.Error != "" })
			if digests[0].Differs() || len(digests[0].Replicas) != 3 || missing < 0 || digests[0].Replicas[missing].Node != lost {
				w.t.Errorf("deep %t, without %s: %+v", deep, lost, digests[0].Replicas)
			}
			w.net.Resume(lost)
			time.Sleep(3 * time.Second)
		}
	})
}
