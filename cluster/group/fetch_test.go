package group

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"quorumta/internal/sim"
)

// load puts entries of 50 kB.
func (b *bench) load(from, to int) {
	b.t.Helper()
	for i := from; i < to; i++ {
		if err := b.put(fmt.Sprintf("%04d", i) + strings.Repeat("x", 50_000)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) loaded(i int) bool {
	return b.has(fmt.Sprintf("%04d", i) + strings.Repeat("x", 50_000))
}

// A large state is fetched before Raft installs it, whatever happens in
// between: the line is cut, the follower dies, the leader goes on and cuts its
// log (PROTOCOL 5).
func TestLargeStateIsFetched(t *testing.T) {
	for _, trouble := range []string{"none", "cut", "restart", "growth"} {
		synctest.Test(t, func(t *testing.T) {
			net, names := sim.NewNetwork(), []string{"n1", "n2"}
			founder := newMember(t, net, "n1", names, names[:1], vfs.NewCrashableMem())
			joiner := newMember(t, net, "n2", names, names[:1], vfs.NewCrashableMem())
			founder.o.TrailingBytes = 1
			var err error
			if founder.g, err = New(founder.o); err != nil {
				t.Fatal(err)
			}
			founder.run()
			joiner.run()
			all := []*bench{founder, joiner}
			leader(t, all)
			founder.load(0, 100)
			r, err := founder.g.replica()
			if err != nil {
				t.Fatal(err)
			}
			r.snapshot()
			reconfigured(t, all, "add", func(g *Group) error { return g.AddNonvoter(context.Background(), joiner.o.Self) })
			time.Sleep(40 * time.Millisecond)
			last := 99
			switch trouble {
			case "cut":
				net.Cut("n1", "n2")
				time.Sleep(10 * time.Second)
				net.Heal()
			case "restart":
				joiner.end()
				time.Sleep(20 * time.Second)
				joiner = newMember(t, net, "n2", names, names[:1], joiner.fs)
				joiner.run()
				all[1] = joiner
			case "growth":
				founder.load(100, 130)
				r.snapshot()
				last = 129
			}
			start := time.Now()
			wait(t, "the joiner has the state", func() bool { return joiner.loaded(0) && joiner.loaded(last) })
			took := time.Since(start)
			if t.Logf("%s: it came after %v", trouble, took); took > 10*time.Second {
				t.Errorf("%s: it came after %v", trouble, took)
			}
			if n := joiner.g.fetcher.Taken(); n != 1 {
				t.Errorf("%s: %d snapshots were fetched and installed", trouble, n)
			}
			if names, err := joiner.fs.List("d/snapshots/1"); err != nil || len(names) != 1 {
				t.Errorf("%s: of what was restored %q is left, %v", trouble, names, err)
			}
			add(t, all, joiner)
			wait(t, "the two go on", func() bool { return leader(t, all).put("after") == nil })
			founder.end()
			joiner.end()
		})
	}
}

// A leader that missed the answer sends a snapshot once more: the follower, in
// whose state it is already, restores it again and goes on.
func TestLargeSnapshotMayComeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"n1"}
		b := newMember(t, sim.NewNetwork(), "n1", names, names, vfs.NewCrashableMem())
		b.run()
		leader(t, []*bench{b})
		b.load(0, 40)
		r, err := b.g.replica()
		if err != nil {
			t.Fatal(err)
		}
		index, term := b.g.o.State.Applied()
		view := b.g.View()
		var stream bytes.Buffer
		_, err = view.WriteTo(&stream)
		view.Close()
		if err != nil {
			t.Fatal(err)
		}
		sink, err := r.agent.Store().Create(1, index, term, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(stream.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		_, data, err := r.agent.Store().Open(sink.ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.g.fsm.Restore(data); err != nil {
			t.Fatal(err)
		}
		if !b.loaded(0) || !b.loaded(39) {
			t.Error("the state is not what it was")
		}
		b.end()
	})
}
