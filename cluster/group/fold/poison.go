package fold

import (
	"runtime/debug"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/poison"
	"quorumta/cluster/store"
)

// poisoned puts an entry whose fold has panicked aside.
func (f *FSM) poisoned(l *raft.Log, panicked any) error {
	f.log.Error("the fold panicked", "entry", l.Index, "panic", panicked, "stack", string(debug.Stack()))
	e := &poison.Error{Index: l.Index, Panic: panicked}
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
func (f *FSM) apply(u *store.Update, e Entry) []Result {
	if f.o.Skip == nil || !f.o.Skip(e.Index) {
		return f.o.Machine.Apply(u, u, e)
	}
	f.log.Warn("an entry is skipped", "entry", e.Index, "bytes", len(e.Data))
	f.o.Skipped()
	if s, ok := f.o.Machine.(Skipper); ok {
		return s.Skipped(u, u, e)
	}
	return nil
}

// Mend lets the fold begin anew with what the state has.
func (f *FSM) Mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.broken:
	default:
	}
	f.failed.Store(false)
}

// Failed reports whether nothing is applied any more, until Mend.
func (f *FSM) Failed() bool { return f.failed.Load() }

// Broken gets why nothing is applied any more, once for each time.
func (f *FSM) Broken() <-chan error { return f.broken }
