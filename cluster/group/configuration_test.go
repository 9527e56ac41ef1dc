package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"quorumta/cluster/store"
	"quorumta/internal/sim"
)

// growing runs f with replicas of which the first founds have founded the
// shard; the others run and wait to be added.
func growing(t *testing.T, count, found int, f func(t *testing.T, net *sim.Network, all []*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := sim.NewNetwork()
		var names []string
		for i := range count {
			names = append(names, fmt.Sprintf("n%d", i+1))
		}
		var all []*bench
		for _, name := range names {
			b := newMember(t, net, name, names, names[:found], vfs.NewCrashableMem())
			b.run()
			all = append(all, b)
		}
		f(t, net, all)
		for _, b := range all {
			b.end()
		}
	})
}

// reconfigured makes a change by whoever leads, until it is made.
func reconfigured(t *testing.T, all []*bench, what string, f func(g *Group) error) {
	t.Helper()
	wait(t, what, func() bool {
		err := f(leader(t, all).g)
		if err != nil && !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUnknownOutcome) {
			t.Fatalf("%s: %v", what, err)
		}
		return err == nil
	})
}

// add makes a replica a voter, once it has what the leader has.
func add(t *testing.T, all []*bench, b *bench) {
	t.Helper()
	ctx := context.Background()
	reconfigured(t, all, "add "+b.name, func(g *Group) error { return g.AddNonvoter(ctx, b.o.Self) })
	wait(t, b.name+" catches up", func() bool {
		s := b.g.Status()
		return s.Last > 0 && s.Applied+10 > leader(t, all).g.Status().Commit
	})
	reconfigured(t, all, b.name+" votes", func(g *Group) error { return g.AddVoter(ctx, b.o.Self) })
	time.Sleep(time.Second)
}

// drop removes a replica, which hands the lead over first.
func drop(t *testing.T, all []*bench, b *bench, heir *bench) {
	t.Helper()
	ctx := context.Background()
	reconfigured(t, all, "remove "+b.name, func(g *Group) error {
		if g == b.g {
			return fmt.Errorf("%w: handing over: %w", ErrNotLeader, g.Transfer(ctx, heir.o.Self))
		}
		return g.RemoveServer(ctx, b.o.Self)
	})
}

// A shard grows from one voter to five and shrinks to two and one under load:
// nothing that was acknowledged is lost, all end equal, and who was removed
// disturbs nobody.
func TestGrowAndShrinkUnderLoad(t *testing.T) {
	growing(t, 5, 1, func(t *testing.T, _ *sim.Network, all []*bench) {
		leader(t, all)
		ctx, cancel := context.WithCancel(context.Background())
		var load sync.WaitGroup
		var mu sync.Mutex
		acknowledged, bad := map[string]bool{}, []error{}
		for worker := range 3 {
			load.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					key := fmt.Sprintf("%d-%d", worker, i)
					for _, b := range all {
						err := b.put(key)
						mu.Lock()
						if err == nil {
							acknowledged[key] = true
						} else if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUnknownOutcome) {
							bad = append(bad, err)
						}
						mu.Unlock()
					}
					time.Sleep(25 * time.Millisecond)
				}
			})
		}
		for _, b := range all[1:] {
			add(t, all, b)
		}
		// The founder goes first, and others until the last is alone.
		for i, b := range all[:4] {
			drop(t, all, b, all[i+1])
		}
		cancel()
		load.Wait()
		last := all[4]
		if s := last.g.Status(); !slices.Equal(s.Voters, []raft.ServerID{last.o.Self}) || len(s.Nonvoters) != 0 {
			t.Errorf("voters %v, non-voters %v", s.Voters, s.Nonvoters)
		}
		term := last.g.Status().Term
		time.Sleep(20 * time.Second) // those removed keep quiet
		if s := last.g.Status(); s.Term != term || !s.Leads {
			t.Errorf("term %d after %d: somebody disturbs", s.Term, term)
		}
		for _, err := range bad {
			t.Errorf("a proposal: %v", err)
		}
		if len(acknowledged) < 100 {
			t.Errorf("only %d entries were acknowledged", len(acknowledged))
		}
		for key := range acknowledged {
			if !last.has(key) {
				t.Fatalf("%s was acknowledged and is lost", key)
			}
		}
	})
}

// A single voter leads at once, is a cluster of two a moment later, and its
// lease needs the other from the moment on at which the other could matter.
func TestLeaseFollowsTheConfiguration(t *testing.T) {
	growing(t, 2, 1, func(t *testing.T, net *sim.Network, all []*bench) {
		start := time.Now()
		leader(t, all)
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("a single voter needs %v to lead", took)
		}
		add(t, all, all[1])
		term := all[0].g.Status().Term
		time.Sleep(10 * time.Second)
		if now := all[0].g.Status(); now.Term != term || !now.Leads {
			t.Errorf("the office was lost when a second voter came: term %d after %d", now.Term, term)
		}
		net.Cut("n1", "n2")
		time.Sleep(leaseOf(time.Second) + 200*time.Millisecond)
		if _, ok := all[0].g.Term(); ok {
			t.Error("the lease runs without the second voter")
		}
		net.Heal()
		drop(t, all, all[1], all[0])
		net.Cut("n1", "n2")
		time.Sleep(5 * time.Second)
		if _, ok := all[0].g.Term(); !ok {
			t.Error("the last voter needs who was removed")
		}
	})
}

// A replica that does not hear of its removal does not disturb the others, not
// even when it is reopened or has been dead meanwhile.
func TestRemovedKeepsQuiet(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, net *sim.Network, all []*bench) {
		for _, b := range all {
			b.run()
		}
		first := leader(t, all)
		i := slices.Index(all, first)
		gone, other := all[(i+1)%3], all[(i+2)%3]
		net.Cut(gone.name, first.name)
		net.Cut(gone.name, other.name)
		ctx := context.Background()
		if err := first.g.RemoveServer(ctx, gone.o.Self); err != nil {
			t.Fatal(err)
		}
		if servers, _, settled := first.g.Configuration(); len(servers) != 2 || !settled {
			t.Errorf("configuration %v, settled %t", servers, settled)
		}
		term := first.g.Status().Term
		time.Sleep(10 * time.Second)
		net.Heal()
		time.Sleep(10 * time.Second)
		gone.g.Reopen("test")
		time.Sleep(10 * time.Second)
		if now := first.g.Status(); now.Term != term || !now.Leads {
			t.Errorf("term %d after %d", now.Term, term)
		}
		if gone.g.Leader() == gone.o.Self {
			t.Error("who was removed leads")
		}
		if s := gone.g.Standing(ctx, first.o.Self); s.Agrees {
			t.Error("who was removed agrees that a leader is dead")
		}
	})
}

// A dead replica that is removed is called no more.
func TestRemovedIsLeftAlone(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, net *sim.Network, all []*bench) {
		for _, b := range all {
			b.run()
		}
		first := leader(t, all)
		gone := all[(slices.Index(all, first)+1)%3]
		gone.end()
		for i := range 5 { // appends to it fail, and are held
			wait(t, "put", func() bool { return first.put(fmt.Sprint(i)) == nil })
			time.Sleep(time.Second)
		}
		if err := first.g.RemoveServer(context.Background(), gone.o.Self); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		calls := 0
		l, err := net.Host(gone.name).Listen(gone.name + ":1")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				calls++
				_ = conn.Close()
			}
		}()
		time.Sleep(time.Minute)
		_ = l.Close()
		if <-ended; calls != 0 {
			t.Errorf("it is called %d times within a minute", calls)
		}
	})
}

// What makes no sense is refused, what is done already succeeds, and nobody
// but the holder of the office changes anything.
func TestChangesThatAreNone(t *testing.T) {
	growing(t, 3, 2, func(t *testing.T, _ *sim.Network, all []*bench) {
		ctx := context.Background()
		first := leader(t, all)
		second := all[1-slices.Index(all, first)]
		base := first.g.Status().Last
		for what, err := range map[string]error{
			"a vote for a stranger":   first.g.AddVoter(ctx, "n3/i"),
			"removal of the leader":   first.g.RemoveServer(ctx, first.o.Self),
			"a transfer to who is no": first.g.Transfer(ctx, "n3/i"),
		} {
			if !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for what, err := range map[string]error{
			"add a voter again":     first.g.AddVoter(ctx, second.o.Self),
			"add a voter as none":   first.g.AddNonvoter(ctx, second.o.Self),
			"remove who is no part": first.g.RemoveServer(ctx, "n9/i"),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if now := first.g.Status().Last; now != base {
			t.Errorf("%d entries were written for nothing", now-base)
		}
		if err := second.g.AddNonvoter(ctx, "n3/i"); !errors.Is(err, ErrNotLeader) {
			t.Errorf("by a follower: %v", err)
		}
		// Two at once: one is made, the other is told to wait.
		var ended sync.WaitGroup
		errs := make([]error, 2)
		for i, id := range []raft.ServerID{"n3/i", "n4/i"} {
			ended.Go(func() { errs[i] = first.g.AddNonvoter(ctx, id) })
		}
		ended.Wait()
		if made := slices.Index(errs, nil); made < 0 || !(errs[1-made] == nil || errors.Is(errs[1-made], ErrNotLeader)) {
			t.Errorf("two at once: %v", errs)
		}
	})
}

// An empty replica starts only where it is to join, and its beginning is noted
// before it stores anything.
func TestJoiningBegins(t *testing.T) {
	growing(t, 2, 1, func(t *testing.T, net *sim.Network, all []*bench) {
		joiner := all[1]
		joiner.stop()
		joiner.o.Joining = func() bool { return false }
		var err error
		if joiner.g, err = New(joiner.o); err != nil {
			t.Fatal(err)
		}
		joiner.run()
		wait(t, "it stops", func() bool { return errors.Is(joiner.g.Err(), store.ErrDamaged) })
		joiner.stop()
		var noted atomic.Int32
		var fails atomic.Bool
		fails.Store(true)
		joiner.o.Joining = func() bool { return true }
		joiner.o.Joined = func() error {
			noted.Add(1)
			if last, _ := joiner.o.Entries.Tail(); last != 0 {
				t.Error("entries came first")
			}
			if fails.Load() {
				return errors.New("no place to note it")
			}
			return nil
		}
		if joiner.g, err = New(joiner.o); err != nil {
			t.Fatal(err)
		}
		joiner.run()
		reconfigured(t, all, "add", func(g *Group) error { return g.AddNonvoter(context.Background(), joiner.o.Self) })
		time.Sleep(5 * time.Second)
		if last, _ := joiner.o.Entries.Tail(); last != 0 || noted.Load() != 1 {
			t.Errorf("the log ends at %d, noted %d times", last, noted.Load())
		}
		fails.Store(false)
		joiner.g.Reopen("test")
		add(t, all, joiner)
		if noted.Load() != 2 {
			t.Errorf("noted %d times", noted.Load())
		}
		joiner.g.Reopen("test") // it has something now
		wait(t, "it follows", func() bool { return leader(t, all).put("x") == nil && joiner.has("x") })
		if noted.Load() != 2 {
			t.Errorf("noted %d times", noted.Load())
		}
	})
}

// A replica that died while it received the state gets it at once when it comes
// back after long, not when Raft's pause of up to ten seconds is over.
func TestSnapshotForWhoComesBack(t *testing.T) {
	for away := 60 * time.Second; away < 70*time.Second; away += 2 * time.Second {
		growing(t, 2, 1, func(t *testing.T, _ *sim.Network, all []*bench) {
			founder, joiner := all[0], all[1]
			joiner.stop()
			var fails atomic.Bool
			fails.Store(true)
			joiner.o.Joined = func() error {
				if fails.Load() {
					return errors.New("it dies here")
				}
				return nil
			}
			founder.stop()
			founder.o.TrailingBytes = 1
			for _, b := range all {
				var err error
				if b.g, err = New(b.o); err != nil {
					t.Fatal(err)
				}
				b.run()
			}
			leader(t, all)
			for i := range 20 {
				if err := founder.put(fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			r, err := founder.g.replica()
			if err != nil {
				t.Fatal(err)
			}
			r.snapshot()
			reconfigured(t, all, "add", func(g *Group) error { return g.AddNonvoter(context.Background(), joiner.o.Self) })
			time.Sleep(100 * time.Millisecond)
			joiner.stop()
			time.Sleep(away)
			fails.Store(false)
			start := time.Now()
			joiner.run()
			wait(t, "the joiner has the state", func() bool { return joiner.has("19") })
			if took := time.Since(start); took > 1500*time.Millisecond {
				t.Errorf("away for %v: the state came after %v", away, took)
			} else {
				t.Logf("away for %v: the state came after %v", away, took)
			}
		})
	}
}
