package group

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quorumta/internal/sim"
)

// holding is a machine that keeps what it was told to skip.
type holding struct{ sum }

func (*holding) Skipped(view View, batch Batch, e Entry) []Result {
	if string(e.Data) == "panic twice" {
		panic("again")
	}
	batch.Set([]byte("held"), e.Data)
	return []Result{77}
}

// poisonable makes every replica one that can skip.
func poisonable(t *testing.T, all []*bench, skip *atomic.Uint64) {
	t.Helper()
	for _, b := range all {
		b.o.Machine = &holding{}
		b.o.Skip = func(index uint64) bool { return index == skip.Load() }
		b.o.Poison = KeepPoison(b.fs, "d/poison")
		var err error
		if b.g, err = New(b.o); err != nil {
			t.Fatal(err)
		}
		b.run()
	}
}

// An entry whose fold panics stops the shard on every replica, is exported, and
// is passed when the cluster skips it (PROTOCOL 22).
func TestPoisonIsSkipped(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, _ *sim.Network, all []*bench) {
		var skip atomic.Uint64
		poisonable(t, all, &skip)
		first := leader(t, all)
		if err := first.put("before"); err != nil {
			t.Fatal(err)
		}
		if err := first.put("panic"); !errors.Is(err, ErrUnknownOutcome) {
			t.Fatalf("the poison: %v", err)
		}
		wait(t, "the leader stops", func() bool { return first.g.Status().Poison != 0 })
		index := first.g.Status().Poison
		if why := first.g.Status().Stopped; !strings.Contains(why, "d/poison/1-") {
			t.Errorf("it does not say where the entry is: %s", why)
		}
		for _, b := range all { // who has not heard that it is committed waits
			if s := b.g.Status(); s.Poison != 0 && s.Poison != index {
				t.Errorf("%s stops at entry %d, the leader at %d", b.name, s.Poison, index)
			}
		}
		f, err := first.fs.Open("d/poison/1-" + fmt.Sprint(index) + ".bin")
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil || !bytes.Equal(data, []byte("panic")) {
			t.Errorf("exported %q, %v", data, err)
		}
		// Without a skip it does not get past it.
		for _, b := range all {
			_ = b.g.Resume()
		}
		time.Sleep(10 * time.Second)
		if term, ok := first.g.Term(); ok {
			t.Errorf("the shard is led in term %d, with the poison in it", term)
		}
		skip.Store(index)
		for _, b := range all {
			if b.g.Status().Stopped != "" {
				wait(t, b.name+" resumes", func() bool { _ = b.g.Resume(); return b.g.Status().Stopped == "" })
			}
		}
		wait(t, "mail goes on", func() bool { return leader(t, all).put("after") == nil })
		for _, b := range all {
			wait(t, b.name+" has what came after", func() bool { return b.has("after") })
			if !b.has("before") || !b.has("held") || b.has("panic") {
				t.Errorf("%s: the entry was not skipped as told", b.name)
			}
			wait(t, b.name+" has the same running digest", func() bool { return b.o.State.Chain() == all[0].o.State.Chain() })
		}
	})
}

// A group that is stopped for good says why, and does not resume.
func TestStopForGood(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, _ *sim.Network, all []*bench) {
		for _, b := range all {
			b.run()
		}
		first := leader(t, all)
		if err := first.g.Resume(); err == nil {
			t.Error("a running replica resumes")
		}
		if err := first.put("a"); err != nil {
			t.Fatal(err)
		}
		first.g.Stop(errors.New("its digest differs"))
		first.g.Stop(errors.New("another reason"))
		wait(t, "it stops", func() bool { return strings.Contains(first.g.Status().Stopped, "digest differs") })
		if err := first.put("b"); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a proposal: %v", err)
		}
		if err := first.g.Resume(); !errors.Is(err, ErrStopped) {
			t.Errorf("it resumes: %v", err)
		}
		if !first.has("a") {
			t.Error("its state cannot be viewed")
		}
		wait(t, "another leader", func() bool { return leader(t, all) != first })
		if err := leader(t, all).put("c"); err != nil {
			t.Error(err)
		}
	})
}
