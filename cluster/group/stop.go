package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster/group/poison"
)

// PoisonError is why a shard stops: the fold of an entry panicked (PROTOCOL
// 22). Every replica stops there; the way past it is to skip the entry.
type PoisonError = poison.Error

// KeepPoison keeps entries as files named shard-index.bin in the directory, for
// Options.Poison.
func KeepPoison(fs vfs.FS, dir string) func(shard uint16, index uint64, data []byte) (string, error) {
	return poison.Keep(fs, dir)
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
		g.fsm.Mend()
		g.mu.Lock()
		g.stopped = nil
		g.mu.Unlock()
	case <-halted:
	case <-ctx.Done():
	}
}

// Err is why the replica has stopped, or nil while it runs. store.ErrDamaged
// means that nothing of it can be relied on, and that it can only be made anew
// from the others; a *PoisonError that an entry is to be skipped.
func (g *Group) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stopped
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
