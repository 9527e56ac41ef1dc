package group

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/internal/sim"
)

// A barrier, which the fold never sees, labels a snapshot beyond what is
// applied: the applied index is raised to the label first (PROTOCOL 1).
func TestSnapshotBehindABarrier(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		b.run()
		leader(t, []*bench{b})
		if err := b.put("a"); err != nil {
			t.Fatal(err)
		}
		if err := b.g.Barrier(context.Background()); err != nil {
			t.Fatal(err)
		}
		applied, _ := b.o.State.Applied()
		r, err := b.g.replica()
		if err != nil {
			t.Fatal(err)
		}
		r.snapshot()
		label, term := b.o.Snapshots.Label()
		if label <= applied {
			t.Fatalf("the label is %d, and %d was applied: no barrier in between", label, applied)
		}
		if now, nowTerm := b.o.State.Applied(); now != label || nowTerm != term || b.o.State.Durable() < label {
			t.Errorf("applied %d of term %d, durable %d: the label is %d of term %d", now, nowTerm, b.o.State.Durable(), label, term)
		}
		b.g.Reopen("test")
		wait(t, "it goes on", func() bool { return b.put("b") == nil })
	})
}

// A state that is behind its marker is not sent to anybody (PROTOCOL 5).
func TestStreamBehindItsLabelIsRefused(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, _ *sim.Network, all []*bench) {
		b, ahead := all[0], all[1]
		b.label(20, 1)
		labels, err := b.o.Snapshots.List()
		if err != nil || len(labels) != 1 {
			t.Fatal(labels, err)
		}
		_, r, err := b.o.Snapshots.Open(labels[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		// A restore that is cut off leaves less than the marker speaks of.
		u := ahead.o.State.Update()
		u.Set([]byte("k"), bytes.Repeat([]byte("v"), 1000))
		u.Commit(30, 1, [32]byte{})
		view := ahead.o.State.View()
		var whole bytes.Buffer
		if _, err := view.WriteTo(&whole); err != nil {
			t.Fatal(err)
		}
		view.Close()
		if err := b.o.State.Restore(io.LimitReader(&whole, int64(whole.Len()/2))); err == nil {
			t.Fatal("half a stream is restored")
		}
		if _, r, err := b.o.Snapshots.Open(labels[0].ID); err == nil {
			t.Error("a state behind its marker is streamed", r.Close())
		}
	})
}

// What Raft is set to (PROTOCOL 26, 27, 29, DESIGN.md section 6).
func TestRaftSettings(t *testing.T) {
	c := raftConfig(Options{Self: "n1/i", Heartbeat: time.Second, Log: slog.New(slog.DiscardHandler)})
	if c.HeartbeatTimeout != time.Second || c.ElectionTimeout != time.Second || c.LeaderLeaseTimeout != 800*time.Millisecond {
		t.Errorf("heartbeat %v, election %v, lease %v", c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout)
	}
	if c.ShutdownOnRemove || c.PreVoteDisabled || !c.BatchApplyCh || c.MaxAppendEntries != 64 || !c.NoSnapshotRestoreOnStart {
		t.Errorf("%+v", c)
	}
	if err := raft.ValidateConfig(c); err != nil {
		t.Error(err)
	}
}

// A leader that depends on a single follower bears its silence for longer than
// the library's half a second (PROTOCOL 27).
func TestLeaderBearsAShortSilence(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, net *sim.Network, all []*bench) {
		for _, b := range all {
			b.run()
		}
		first := leader(t, all)
		i := slices.Index(all, first)
		dead, only := all[(i+1)%3], all[(i+2)%3]
		dead.stop()
		dead.stop = nil
		time.Sleep(2 * time.Second)
		term := first.g.Status().Term
		for range 5 {
			net.Pause(only.name)
			time.Sleep(580 * time.Millisecond)
			net.Resume(only.name)
			time.Sleep(2 * time.Second)
		}
		if now := first.g.Status(); now.Term != term || !now.Leads {
			t.Errorf("term %d after %d, leads %t", now.Term, term, now.Leads)
		}
		if err := first.put("a"); err != nil && !errors.Is(err, ErrUnknownOutcome) {
			t.Error(err)
		}
	})
}
