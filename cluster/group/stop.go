package group

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"quorumta/cluster/group/poison"
	"quorumta/cluster/store"
)

// PoisonError is why a shard stops: the fold of an entry panicked (PROTOCOL
// 22). Every replica stops there; the way past it is to skip the entry.
type PoisonError = poison.Error

// KeepPoison keeps entries as files named shard-index.bin in the directory, for
// Options.Poison.
func KeepPoison(fs vfs.FS, dir string) func(shard uint16, index uint64, data []byte) (string, error) {
	return poison.Keep(fs, dir)
}

// poisoned puts an entry whose fold has panicked aside.
func (f *fsm) poisoned(l *raft.Log, panicked any) error {
	f.log.Error("the fold panicked", "entry", l.Index, "panic", panicked, "stack", string(debug.Stack()))
	e := &PoisonError{Index: l.Index, Panic: panicked}
	if f.o.Poison == nil {
		return e
	}
	var err error
	if e.Place, err = f.o.Poison(f.o.Shard, l.Index, l.Data); err != nil {
		f.log.Error("the entry cannot be kept", "entry", l.Index, "err", err)
	}
	return e
}

// apply folds an entry, or skips it.
func (f *fsm) apply(u *store.Update, e Entry) []Result {
	if f.o.Skip == nil || !f.o.Skip(e.Index) {
		return f.machine.Apply(u, u, e)
	}
	f.log.Warn("an entry is skipped", "entry", e.Index, "bytes", len(e.Data))
	f.metrics.skipped()
	if s, ok := f.machine.(Skipper); ok {
		return s.Skipped(u, u, e)
	}
	return nil
}

// mend lets the fold begin anew with what the state has.
func (f *fsm) mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.broken:
	default:
	}
	f.failed.Store(false)
}

// rest keeps the replica closed until Resume or the end of ctx.
func (g *Group) rest(ctx context.Context, why error) {
	g.o.Log.Error("the shard's replica stops", "shard", g.o.Shard, "err", why)
	g.mu.Lock()
	g.stopped = why
	g.mu.Unlock()
	halted := g.halted
	if g.final() {
		halted = nil // it is why
	}
	select {
	case <-g.wake:
		g.o.Log.Info("the shard's replica resumes", "shard", g.o.Shard)
		g.fsm.mend()
		g.mu.Lock()
		g.stopped = nil
		g.mu.Unlock()
	case <-halted:
	case <-ctx.Done():
	}
}

// final reports whether the replica was stopped for good.
func (g *Group) final() bool {
	select {
	case <-g.halted:
		return true
	default:
		return false
	}
}

// Resume opens a replica again that has stopped: why it stopped should be gone,
// as when the entry is now to be skipped. It fails when the replica has not
// stopped, or for good.
func (g *Group) Resume() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.halt != nil:
		return fmt.Errorf("%w for good: %w", ErrStopped, g.halt)
	case g.stopped == nil:
		return errors.New("the replica has not stopped")
	}
	select {
	case g.wake <- struct{}{}:
	default: // it is being resumed
	}
	return nil
}

// Stop closes the replica for good, as far as this process goes. Its state can
// still be viewed.
func (g *Group) Stop(reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.halt != nil {
		return
	}
	g.halt = reason
	close(g.halted)
}
