package group

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/journal"
	"quorumta/internal/sim"
)

func (b *bench) journal() journal.Journal {
	return journal.Journal{Log: b.o.Entries, Mark: b.o.Mark, Snaps: b.o.Snapshots, Begin: func() error { return nil }, Installed: func() {}}
}

// fill appends entries of a term up to last.
func (b *bench) fill(term, last uint64) {
	b.t.Helper()
	tail, _ := b.o.Entries.Tail()
	var logs []*raft.Log
	for i := tail + 1; i <= last; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: term, Type: raft.LogCommand, Data: []byte(fmt.Sprint(i))})
	}
	if err := b.journal().StoreLogs(logs); err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // until the mark is on disk
}

// label makes a marker with that label.
func (b *bench) label(index, term uint64) {
	b.t.Helper()
	sink, err := b.o.Snapshots.Create(1, index, term, raft.Configuration{}, 1, nil)
	if err == nil {
		err = errors.Join(b.o.State.RaiseApplied(index, term), b.o.Flush(), sink.Close())
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func one(t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	inBubble(t, 1, func(t *testing.T, _ *sim.Network, all []*bench) { f(t, all[0]) })
}

// Every legal shortening lowers the mark first: a power loss between it and
// the next append must not look like a lost tail (PROTOCOL 7).
func TestShorteningLowersTheMark(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		b.fill(1, 59)
		if at := journal.MarkOf(b.o.Mark); at != (journal.Position{Term: 1, Index: 59}) {
			t.Fatalf("the mark is at %v", at)
		}
		if err := b.journal().DeleteRange(30, 59); err != nil {
			t.Fatal(err)
		}
		if at := journal.MarkOf(b.o.Mark); at != (journal.Position{Term: 1, Index: 29}) {
			t.Errorf("after a conflict the mark is at %v", at)
		}
		if _, err := b.g.prepare(); err != nil {
			t.Error(err)
		}
		// An install removes everything; the label remains.
		b.label(20, 1)
		if err := b.journal().DeleteRange(1, 29); err != nil {
			t.Fatal(err)
		}
		if at := journal.MarkOf(b.o.Mark); at != (journal.Position{Term: 1, Index: 20}) {
			t.Errorf("after an install the mark is at %v", at)
		}
		if _, err := b.g.prepare(); err != nil {
			t.Error(err)
		}
	})
}

// The entry at the label stays when the log is cut: by it the log is known to
// go on from the snapshot.
func TestCuttingKeepsTheEntryAtTheLabel(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		b.fill(1, 59)
		b.label(23, 1)
		if err := b.journal().DeleteRange(1, 23); err != nil {
			t.Fatal(err)
		}
		if first, _ := b.o.Entries.FirstIndex(); first != 23 {
			t.Errorf("the log begins at %d", first)
		}
		if _, err := b.g.prepare(); err != nil {
			t.Fatal(err)
		}
		if last, _ := b.o.Entries.Tail(); last != 59 {
			t.Errorf("the log ends at %d", last)
		}
	})
}

// A log that disagrees with the snapshot is dropped whole (PROTOCOL 6).
func TestForeignLogIsDropped(t *testing.T) {
	for _, c := range []struct {
		label, term uint64
		kept        bool
	}{{23, 1, true}, {23, 2, false}, {80, 2, false}} {
		one(t, func(t *testing.T, b *bench) {
			b.fill(1, 59)
			b.label(c.label, c.term)
			if _, err := b.g.prepare(); err != nil {
				t.Fatal(err)
			}
			if last, _ := b.o.Entries.Tail(); (last == 59) != c.kept {
				t.Errorf("label %d of term %d: the log ends at %d", c.label, c.term, last)
			}
			if _, err := b.g.prepare(); err != nil {
				t.Errorf("label %d of term %d: the next time: %v", c.label, c.term, err)
			}
		})
	}
}

// A slow disk silences a leader, unless most disks are slow.
func TestSilentWhileSlow(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		excused := false
		b.g.o.Excused = func() bool { return excused }
		folded := make(chan struct{})
		go func() {
			defer close(folded)
			b.g.fsm.Apply(&raft.Log{Index: 2, Term: 1, Type: raft.LogCommand, Data: []byte("slow")})
		}()
		time.Sleep(SlowDisk / 2)
		if b.g.silent() {
			t.Error("silent before a second has passed")
		}
		time.Sleep(SlowDisk)
		if !b.g.silent() {
			t.Error("not silent after a second")
		}
		if excused = true; b.g.silent() {
			t.Error("silent with everybody else")
		}
		<-folded
	})
}

// What proposes to a group that does not run is told so.
func TestClosedGroup(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		if _, err := b.g.Propose(context.Background(), 1, []byte("a")); !errors.Is(err, ErrNotLeader) {
			t.Error(err)
		}
		if err := b.g.Barrier(context.Background()); !errors.Is(err, ErrNotLeader) {
			t.Error(err)
		}
		if err := b.g.Transfer(context.Background(), "n2/i"); !errors.Is(err, ErrNotLeader) {
			t.Error(err)
		}
		if _, ok := b.g.Term(); ok || b.g.Leader() != "" {
			t.Error("a closed group leads")
		}
		if s := b.g.Standing(context.Background(), "n1/i"); s.Agrees {
			t.Error("a closed group agrees")
		}
	})
}

// A lead may be lost while a replica closes, when nobody reads any more that it
// is; Raft's main loop, which the last snapshot needs, must not wait for one.
func TestClosingReadsWhoLeads(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, net *sim.Network, all []*bench) {
		all[1].passive = true
		all[1].run()
		ctx, closePort := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- all[0].port.Run(ctx) }()
		r, err := all[0].g.open()
		if err != nil {
			t.Fatal(err)
		}
		if won := <-r.notify; !won {
			t.Fatal("n1 does not lead")
		}
		if err := r.raft.Apply([]byte("1"), time.Second).Error(); err != nil {
			t.Fatal(err)
		}
		r.notify <- true // there is no room for another word
		net.Cut("n1", "n2")
		time.Sleep(5 * time.Second) // of virtual time: the lead is lost
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			r.close()
		}()
		select {
		case <-closed:
		case <-time.After(time.Minute):
			t.Error("closing waits for somebody who reads who leads")
			<-r.notify
			<-closed
		}
		closePort()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// What is committed while the node's own store has failed is not acknowledged:
// nobody knows what of it is applied here.
func TestNothingIsAcknowledgedOnAFailedStore(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		var failed atomic.Bool
		b.o.Failed = func() error {
			if failed.Load() {
				return errors.New("the disk is gone")
			}
			return nil
		}
		var err error
		if b.g, err = New(b.o); err != nil {
			t.Fatal(err)
		}
		b.run()
		leader(t, []*bench{b})
		if err := b.put("1"); err != nil {
			t.Fatal(err)
		}
		failed.Store(true)
		if err := b.put("2"); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("err = %v, want ErrUnknownOutcome", err)
		}
	})
}
