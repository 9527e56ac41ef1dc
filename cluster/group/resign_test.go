package group

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"quorumta/internal/sim"
)

// hang keeps what is written to a disk waiting until it is closed.
type hang struct{ now atomic.Pointer[chan struct{}] }

var _ errorfs.Injector = (*hang)(nil)

func (h *hang) MaybeError(op errorfs.Op) error {
	if waits := h.now.Load(); waits != nil && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		<-*waits
	}
	return nil
}

func (h *hang) String() string { return "hang" }

func (h *hang) begin() {
	waits := make(chan struct{})
	h.now.Store(&waits)
}

func (h *hang) end() {
	if waits := h.now.Swap(nil); waits != nil {
		close(*waits)
	}
}

// hung runs f with replicas whose leader has led for a while.
func hung(t *testing.T, f func(t *testing.T, all []*bench, first *bench)) {
	t.Helper()
	inBubble(t, 3, func(t *testing.T, _ *sim.Network, all []*bench) {
		for _, b := range all {
			b.run()
		}
		first := leader(t, all)
		if err := first.put("before"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		f(t, all, first)
		for _, b := range all {
			b.disk.end()
		}
	})
}

// write begins a proposal that the disk will not take.
func (b *bench) write(key string) {
	term, _ := b.g.Term()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _ = b.g.Propose(ctx, term, []byte(key))
	}()
}

func except(all []*bench, b *bench) []*bench {
	return slices.DeleteFunc(slices.Clone(all), func(o *bench) bool { return o == b })
}

// A leader whose disk hangs lets go of its lease and has another elected at
// once, instead of being missed (PROTOCOL 30).
func TestHungDiskOffersTheOffice(t *testing.T) {
	hung(t, func(t *testing.T, all []*bench, first *bench) {
		first.disk.begin()
		start := time.Now()
		first.write("lost")
		next := leader(t, except(all, first))
		if took := time.Since(start); took > SlowDisk+200*time.Millisecond {
			t.Errorf("it is followed after %v", took)
		}
		if _, ok := first.g.Term(); ok {
			t.Error("it acts on")
		}
		if err := next.put("after"); err != nil {
			t.Error(err)
		}
		first.disk.end()
		wait(t, "it follows when its disk is well", func() bool { return first.has("after") && first.g.Leader() == next.o.Self })
	})
}

// Where the disks of others hang as well nobody could be elected: the leader
// keeps its lease, and goes on when the storage is back.
func TestHungDisksOfAllKeepTheOffice(t *testing.T) {
	hung(t, func(t *testing.T, all []*bench, first *bench) {
		term, _ := first.g.Term()
		for _, b := range all {
			b.disk.begin()
		}
		first.write("late")
		for _, b := range except(all, first) {
			go func() { _ = b.o.Mark.Lower(b.o.Mark.Value()) }()
			go func() { _ = b.o.Entries.SetUint64([]byte("test"), 1) }()
		}
		time.Sleep(SlowDisk + 300*time.Millisecond)
		r, err := first.g.replica()
		if err != nil {
			t.Fatal(err)
		}
		if r.lease.Over(term) {
			t.Error("it has let go of its lease")
		}
	})
}

// A word of another term, from who does not lead or to who does not follow is
// refused, and changes nothing.
func TestFalseOfferIsRefused(t *testing.T) {
	hung(t, func(t *testing.T, all []*bench, first *bench) {
		term, _ := first.g.Term()
		others := except(all, first)
		r, err := others[0].g.replica()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			from raft.ServerID
			term uint64
		}{{first.o.Self, term - 1}, {first.o.Self, term + 1}, {others[1].o.Self, term}} {
			if h := (heir{r}).Heir(c.from, c.term); h.Able {
				t.Errorf("it succeeds %s in term %d", c.from, c.term)
			}
		}
		if err := (heir{r}).Campaign(context.Background(), term-1); err == nil {
			t.Error("it stands for election after a term that is over")
		}
		time.Sleep(3 * time.Second)
		if now, ok := first.g.Term(); !ok || now != term {
			t.Errorf("the office of term %d is held: %t", now, ok)
		}
	})
}

// A leader that has resigned and whose office nobody took gives it up when its
// disk is well again.
func TestOfficeThatNobodyTookIsGivenUp(t *testing.T) {
	hung(t, func(t *testing.T, all []*bench, first *bench) {
		term, _ := first.g.Term()
		r, err := first.g.replica()
		if err != nil {
			t.Fatal(err)
		}
		r.trans.Resign(term)
		if err := first.put("refused"); !errors.Is(err, ErrNotLeader) {
			t.Errorf("it takes mail: %v", err)
		}
		wait(t, "somebody leads in another term", func() bool {
			return slices.ContainsFunc(all, func(b *bench) bool { now, ok := b.g.Term(); return ok && now > term })
		})
	})
}

// The office goes to the longest log, and to one that drains only when nobody
// else takes it.
func TestWhoSucceeds(t *testing.T) {
	for _, draining := range []int{1, 2} {
		hung(t, func(t *testing.T, all []*bench, first *bench) {
			others := except(all, first)
			for _, b := range others[:draining] {
				b.passive = true
			}
			first.disk.begin()
			first.write("lost")
			start := time.Now()
			next := leader(t, others)
			if took := time.Since(start); took > SlowDisk+200*time.Millisecond {
				t.Errorf("%d drain: it is followed after %v", draining, took)
			}
			if next.passive && draining == 1 {
				t.Error("one that drains took the office from one that does not")
			}
		})
	}
}
