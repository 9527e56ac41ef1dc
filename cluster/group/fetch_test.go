package group

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"quorumta/cluster/store"
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

// A snapshot may come late, when the replica has gone on: from a leader that
// missed the answer, or from a goroutine of it that outlived the replica's
// removal and return. Installed over what came after it would undo that.
func TestOutdatedSnapshotIsNotInstalled(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, _ *sim.Network, all []*bench) {
		for _, b := range all {
			b.run()
		}
		first := leader(t, all)
		for i := range 20 {
			if err := first.put(fmt.Sprint("k", i)); err != nil {
				t.Fatal(err)
			}
		}
		index, term := first.o.State.Applied()
		view := first.g.View()
		var stream bytes.Buffer
		_, err := view.WriteTo(&stream)
		view.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := first.put("later"); err != nil {
			t.Fatal(err)
		}
		follower := except(all, first)[0]
		wait(t, "the follower has what came later", func() bool { return follower.has("later") })
		r, err := follower.g.replica()
		if err != nil {
			t.Fatal(err)
		}
		leading, err := first.g.replica()
		if err != nil {
			t.Fatal(err)
		}
		send := func(index, term uint64) (resp raft.InstallSnapshotResponse, err error) {
			self := first.o.Self
			return resp, leading.trans.InstallSnapshot(follower.o.Self, raft.ServerAddress(follower.o.Self), &raft.InstallSnapshotRequest{
				RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(self), Addr: []byte(self)}, SnapshotVersion: 1,
				Term: term, LastLogIndex: index, LastLogTerm: term, Size: int64(stream.Len()),
				Configuration: raft.EncodeConfiguration(raft.Configuration{Servers: leading.latest()}), ConfigurationIndex: 1,
			}, &resp, bytes.NewReader(stream.Bytes()))
		}
		last, _ := follower.o.Entries.Tail()
		if resp, err := send(index, term); err != nil || !resp.Success {
			t.Errorf("what it has up to there: %+v, %v", resp, err)
		}
		r.snapshot()
		if err := follower.o.Entries.DeleteRange(1, index); err != nil { // as its own snapshots do
			t.Fatal(err)
		}
		if resp, err := send(index, term); err == nil && resp.Success {
			t.Error("a snapshot before its own is installed")
		}
		sink, err := r.agent.Store().Create(1, last, term, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(stream.Bytes()); err == nil {
			t.Error("a snapshot of what the log has is taken")
		}
		if err := sink.Cancel(); err != nil {
			t.Error(err)
		}
		if now, _ := follower.o.Entries.Tail(); now < last {
			t.Errorf("the log ends at %d, and ended at %d", now, last)
		}
		if again, _ := follower.g.replica(); again != r {
			t.Error("the replica was reopened")
		}
		if err := first.put("after"); err != nil {
			t.Error(err)
		}
		wait(t, "the follower goes on", func() bool { return follower.has("after") })
	})
}

// A replica whose received snapshot cannot be restored stops as one that must be
// made anew: the state that was to be replaced is gone.
func TestFailedRestoreIsDamage(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		u := b.o.State.Update()
		u.Set([]byte("k"), bytes.Repeat([]byte("v"), 1000))
		u.Commit(30, 1, [32]byte{})
		view := b.o.State.View()
		var whole bytes.Buffer
		_, err := view.WriteTo(&whole)
		view.Close()
		if err != nil {
			t.Fatal(err)
		}
		b.run()
		wait(t, "it runs", func() bool { _, err := b.g.replica(); return err == nil })
		newer := bytes.Replace(whole.Bytes(), []byte("vvvv"), []byte("vvvw"), 1)
		if err := b.g.fsm.Restore(io.NopCloser(bytes.NewReader(newer))); err == nil {
			t.Fatal("a damaged stream is restored")
		}
		if b.machine.restored.Load() == 0 {
			t.Error("the machine was not told that its state has gone")
		}
		wait(t, "it stops", func() bool { return errors.Is(b.g.Err(), store.ErrDamaged) })
	})
}
