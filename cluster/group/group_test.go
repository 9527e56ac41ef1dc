package group

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
	"go.opentelemetry.io/otel/metric/noop"

	"quorumta/cluster/store"
	"quorumta/cluster/wire"
	"quorumta/internal/sim"
)

// sum is a machine that keeps every entry under its index.
type sum struct {
	mu    sync.Mutex
	terms []uint64 // of every Lead
	leads bool
	// restored counts Restored.
	restored atomic.Int32
}

func (s *sum) Restored() { s.restored.Add(1) }

func (s *sum) Apply(view View, batch Batch, e Entry) []Result {
	if string(e.Data) == "panic" {
		panic("as told")
	}
	if string(e.Data) == "slow" {
		time.Sleep(3 * time.Second)
	}
	batch.Set(e.Data, []byte("1"))
	return []Result{Result(len(e.Data))}
}

func (s *sum) Lead(term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leads {
		panic("Lead without Unlead")
	}
	s.leads, s.terms = true, append(s.terms, term)
}

func (s *sum) Unlead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leads {
		panic("Unlead without Lead")
	}
	s.leads = false
}

// nobody is peers that nobody asks.
type nobody struct{}

func (nobody) Refused(context.Context, raft.ServerID) bool { return false }

func (nobody) Standing(context.Context, raft.ServerID, uint16, raft.ServerID) (Standing, error) {
	return Standing{}, errors.New("not asked")
}

// bench is one replica of shard 1 with everything below it.
type bench struct {
	t       *testing.T
	name    string
	fs      *vfs.MemFS
	disk    hang
	store   *store.Store
	port    *wire.Port
	o       Options
	g       *Group
	machine *sum
	passive bool
	stop    func()
}

// inBubble runs f with the replicas of one shard, none of which runs yet.
func inBubble(t *testing.T, count int, f func(t *testing.T, net *sim.Network, all []*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := sim.NewNetwork()
		var names []string
		for i := range count {
			names = append(names, fmt.Sprintf("n%d", i+1))
		}
		var all []*bench
		for _, name := range names {
			all = append(all, newBench(t, net, name, names, vfs.NewCrashableMem()))
		}
		f(t, net, all)
		for _, b := range all {
			b.end()
		}
	})
}

// newBench is a founder's.
func newBench(t *testing.T, net *sim.Network, name string, names []string, fs *vfs.MemFS) *bench {
	t.Helper()
	return newMember(t, net, name, names, names, fs)
}

// newMember is a replica of a shard that the founders have founded; names are
// all nodes that there will be. One that is no founder is joining.
func newMember(t *testing.T, net *sim.Network, name string, names, founders []string, fs *vfs.MemFS) *bench {
	t.Helper()
	b := &bench{t: t, name: name, fs: fs, machine: &sum{}}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})).With("on", name)
	}
	members := map[string]string{}
	var servers []raft.Server
	for _, n := range names {
		members[n] = n + ":1"
	}
	for _, n := range founders {
		servers = append(servers, raft.Server{ID: raft.ServerID(n + "/i"), Address: raft.ServerAddress(n + "/i")})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	meter := noop.NewMeterProvider().Meter("")
	b.port, err = wire.New(wire.Options{Self: name + "/i", Cluster: "c", Listen: name + ":1", Members: members, Network: net.Host(name), Log: log, Meter: meter})
	must(err)
	b.store, err = store.Open(store.Options{Dir: "d", FS: errorfs.Wrap(fs, &b.disk), MemoryBytes: 8 << 20, Log: log, Fatal: func(err error) { t.Error(err) }})
	must(err)
	b.o = Options{
		Shard: 1, Self: raft.ServerID(name + "/i"), Flush: b.store.FlushState, Failed: func() error { return nil },
		Machine: b.machine, Peers: nobody{}, Heartbeat: time.Second, TrailingBytes: 1 << 20, SnapshotBytes: 1 << 30,
		Connect: func(lost func(string)) raft.StreamLayer { return b.port.Open(1, lost) },
		Excused: func() bool { return false }, Passive: func() bool { return b.passive }, Log: log, Meter: meter,
	}
	b.o.Entries, err = b.store.Log(1)
	must(err)
	b.o.State, err = b.store.State(1, "c")
	must(err)
	b.o.Snapshots, err = b.store.Snapshots(1, b.o.State)
	must(err)
	b.o.Mark, err = b.store.Mark(1)
	must(err)
	if last, _ := b.o.Entries.Tail(); last == 0 && slices.Contains(founders, name) {
		must(Bootstrap(b.o, servers))
	}
	b.o.Joining = func() bool { return !slices.Contains(founders, name) }
	b.g, err = New(b.o)
	must(err)
	return b
}

// run runs the replica until end.
func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.g.Run(ctx) })
	portCtx, closePort := context.WithCancel(context.Background())
	var port sync.WaitGroup
	port.Go(func() {
		if err := b.port.Run(portCtx); err != nil {
			b.t.Error(err)
		}
	})
	b.stop = func() {
		cancel()
		running.Wait()
		closePort()
		port.Wait()
	}
}

func (b *bench) end() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
	if b.store != nil {
		if err := b.store.Close(); err != nil {
			b.t.Error(err)
		}
		b.store = nil
	}
}

func wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// leader waits for the replica that holds the office.
func leader(t *testing.T, all []*bench) *bench {
	t.Helper()
	var found *bench
	wait(t, "a leader", func() bool {
		for _, b := range all {
			if _, ok := b.g.Term(); ok {
				found = b
				return true
			}
		}
		return false
	})
	return found
}

func (b *bench) has(key string) bool {
	v := b.g.View()
	defer v.Close()
	_, ok := v.Get([]byte(key))
	return ok
}

func (b *bench) put(key string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	term, ok := b.g.Term()
	if !ok {
		return ErrNotLeader
	}
	_, err := b.g.Propose(ctx, term, []byte(key))
	return err
}

// Closing and reopening must work at any time: under load, as a leader, as a
// follower, with proposals in flight, and leave neither futures nor goroutines
// (PROTOCOL 8). That nothing is left is what the end of the bubble proves.
func TestReopenUnderLoad(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, _ *sim.Network, all []*bench) {
		for _, b := range all {
			b.run()
		}
		leader(t, all)
		ctx, cancel := context.WithCancel(context.Background())
		var load sync.WaitGroup
		var mu sync.Mutex
		acknowledged := map[string]bool{}
		for worker := range 4 {
			load.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					key := fmt.Sprintf("%d-%d", worker, i)
					for _, b := range all {
						if b.put(key) == nil {
							mu.Lock()
							acknowledged[key] = true
							mu.Unlock()
							break
						}
					}
					time.Sleep(25 * time.Millisecond)
				}
			})
		}
		for round := range 6 {
			all[round%3].g.Reopen("test")
			time.Sleep(1500 * time.Millisecond)
			leader(t, all).g.Reopen("test")
			time.Sleep(4 * time.Second)
		}
		cancel()
		load.Wait()
		if len(acknowledged) < 100 {
			t.Errorf("only %d entries were acknowledged", len(acknowledged))
		}
		for _, b := range all {
			wait(t, b.name+" has everything", func() bool {
				for key := range acknowledged {
					if !b.has(key) {
						return false
					}
				}
				return true
			})
		}
	})
}

// Raft says for ever that a transfer is under way (hashicorp/raft#696): the
// replica is reopened.
func TestStuckTransferReopens(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, _ *sim.Network, all []*bench) {
		b := all[0]
		b.run()
		leader(t, all)
		time.Sleep(10 * time.Second)
		r, err := b.g.replica()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.outcome(fmt.Errorf("apply: %w", raft.ErrLeadershipTransferInProgress)); !errors.Is(err, ErrNotLeader) {
			t.Errorf("%v", err)
		}
		wait(t, "another replica", func() bool {
			again, err := b.g.replica()
			return err == nil && again != r
		})
		leader(t, all)
		if err := b.put("a"); err != nil {
			t.Error(err)
		}
	})
}

// While a transfer of ours is under way the same error is nothing unusual.
func TestOwnTransferDoesNotReopen(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, _ *sim.Network, all []*bench) {
		for _, b := range all {
			b.run()
		}
		from := leader(t, all)
		r, _ := from.g.replica()
		to := all[0]
		if to == from {
			to = all[1]
		}
		term, _ := from.g.Term()
		done := make(chan error, 1)
		go func() { done <- from.g.Transfer(context.Background(), to.o.Self) }()
		for range 100 {
			_, err := from.g.Propose(context.Background(), term, []byte("a"))
			if err == nil {
				continue
			}
			break
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, ok := from.g.Term(); ok {
			t.Error("the old leader acts on")
		}
		wait(t, "the new leader", func() bool { _, ok := to.g.Term(); return ok })
		if again, _ := from.g.replica(); again != r {
			t.Error("the old leader was reopened")
		}
	})
}

// A transfer that is not taken costs the office: the lease of the term is
// spent, and somebody leads in another.
func TestFailedTransferEndsTheOffice(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, net *sim.Network, all []*bench) {
		for _, b := range all {
			b.run()
		}
		from := leader(t, all)
		to := all[(slices.Index(all, from)+1)%3]
		term, _ := from.g.Term()
		net.CutOneWay(to.name, from.name)
		if err := from.g.Transfer(context.Background(), to.o.Self); err == nil {
			if _, ok := from.g.Term(); ok {
				t.Fatal("a transfer succeeded, and the leader leads on")
			}
		}
		if now, ok := from.g.Term(); ok && now == term {
			t.Error("the lease goes on after the lead was offered")
		}
		net.Heal()
		wait(t, "a leader of another term", func() bool {
			return slices.ContainsFunc(all, func(b *bench) bool { now, ok := b.g.Term(); return ok && now != term })
		})
	})
}

// A snapshot that finds a log tail beyond its label: Raft goes on believing in
// the tail, and would never take an append again (hashicorp/raft#697).
func TestInstallOverLongerLog(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, net *sim.Network, all []*bench) {
		for _, b := range all {
			b.o.TrailingBytes = 1
			var err error
			if b.g, err = New(b.o); err != nil {
				t.Fatal(err)
			}
		}
		// The third has a long tail of a term that nobody else knows.
		odd := all[2]
		var tail []*raft.Log
		for i := uint64(2); i < 60; i++ {
			tail = append(tail, &raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: []byte("lost")})
		}
		if err := (odd.journal()).StoreLogs(tail); err != nil {
			t.Fatal(err)
		}
		pair := all[:2]
		for _, b := range pair {
			b.run()
		}
		first := leader(t, pair)
		for i := range 20 {
			if err := first.put(fmt.Sprintf("k%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range pair {
			r, err := b.g.replica()
			if err != nil {
				t.Fatal(err)
			}
			wait(t, "the pair is equal", func() bool { return b.has("k19") })
			r.snapshot()
			if begin, _ := b.o.Entries.FirstIndex(); begin < 10 {
				t.Fatalf("the log was not cut: it begins at %d", begin)
			}
		}
		odd.run()
		wait(t, "the third has the state", func() bool { return odd.has("k19") })
		for i := range 20 {
			wait(t, "put", func() bool { return leader(t, all).put(fmt.Sprintf("m%d", i)) == nil })
		}
		wait(t, "the third follows", func() bool { return odd.has("m19") })
		if odd.has("lost") {
			t.Error("what was never committed is in the state")
		}
		if odd.machine.restored.Load() == 0 {
			t.Error("the machine was not told that its state was replaced")
		}
	})
}

// A log that silently lost its tail does not vote (PROTOCOL 7).
func TestLostTailDoesNotVote(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, net *sim.Network, all []*bench) {
		b := all[0]
		b.run()
		leader(t, all)
		for i := range 10 {
			if err := b.put(fmt.Sprintf("k%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // the mark follows within 100 ms
		fs := b.fs.CrashClone(vfs.CrashCloneCfg{})
		b.end()
		lost := newBench(t, net, "n1", []string{"n1"}, fs)
		last, _ := lost.o.Entries.Tail()
		if err := lost.o.Entries.DeleteRange(last-2, last); err != nil { // past the journal, as damage would
			t.Fatal(err)
		}
		lost.run()
		wait(t, "it stops", func() bool { return errors.Is(lost.g.Err(), store.ErrDamaged) })
		if _, err := lost.g.Propose(context.Background(), 1, []byte("a")); !errors.Is(err, ErrStopped) {
			t.Errorf("a proposal: %v", err)
		}
		lost.end()
	})
}

// A state that is behind its marker was lost, and cannot be rebuilt.
func TestLostStateDoesNotStart(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, net *sim.Network, all []*bench) {
		b := all[0]
		b.run()
		leader(t, all)
		if err := b.put("a"); err != nil {
			t.Fatal(err)
		}
		b.end() // leaves a marker
		empty := newBench(t, net, "n1", []string{"n1"}, vfs.NewCrashableMem())
		empty.end()
		if ok, err := vfs.Clone(b.fs, empty.fs, "d/snapshots", "d/snapshots"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		lost := newBench(t, net, "n1", []string{"n1"}, empty.fs)
		lost.run()
		wait(t, "it stops", func() bool { return strings.Contains(lost.g.Status().Stopped, "the state ends at") })
		if err := lost.g.Err(); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("nobody makes it anew: %v", err)
		}
		lost.end()
	})
}

// A bootstrap that was cut off is finished, and a finished one is left alone.
func TestBootstrapTwice(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, _ *sim.Network, all []*bench) {
		b := all[0]
		if err := Bootstrap(b.o, []raft.Server{{ID: "other/i", Address: "other/i"}}); err != nil {
			t.Fatal(err)
		}
		var e raft.Log
		if err := b.o.Entries.GetLog(1, &e); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(e.Data, []byte("n1/i")) {
			t.Error("the second bootstrap replaced the first")
		}
		if err := b.o.Mark.Lower(0, 0); err != nil {
			t.Fatal(err)
		}
		if err := b.o.Entries.Drop(); err != nil { // term written, entry not
			t.Fatal(err)
		}
		if err := Bootstrap(b.o, []raft.Server{{ID: "n1/i", Address: "n1/i"}}); err != nil {
			t.Fatal(err)
		}
		b.run()
		leader(t, all)
	})
}
