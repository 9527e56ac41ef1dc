package group

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/fold"
	"quorumta/cluster/group/journal"
	"quorumta/cluster/store"
)

// errRejoin ends the words about every replica that cannot vote any more: it
// rejoins as new.
var errRejoin = fmt.Errorf("the replica does not vote: %w", store.ErrDamaged)

// Bootstrap writes the first configuration of a shard: all members vote. Every
// member writes the same. A start that was cut off is finished.
func Bootstrap(o Options, servers []raft.Server) error {
	configuration := raft.Configuration{Servers: servers}
	has, err := raft.HasExistingState(o.Entries, o.Entries, o.Snapshots)
	if err != nil {
		return fmt.Errorf("bootstrap shard %d: %w", o.Shard, err)
	}
	log := journal.Journal{Log: o.Entries, Mark: o.Mark, Snaps: o.Snapshots, Begin: func() error { return nil }}
	last, _ := o.Entries.Tail()
	label, _ := o.Snapshots.Label()
	switch {
	case !has:
		err = raft.BootstrapCluster(raftConfig(o), log, o.Entries, o.Snapshots, nil, configuration)
	case last == 0 && label == 0:
		err = log.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(configuration)})
	}
	if err != nil {
		return fmt.Errorf("bootstrap shard %d: %w", o.Shard, err)
	}
	return nil
}

// prepare brings log, snapshots and state into agreement before Raft sees
// them, and refuses a replica that has lost something (PROTOCOL 2, 3, 6, 7). A
// blank one is legal while the node joins.
func (g *Group) prepare() (blank bool, err error) {
	if err := g.restoreReceived(); err != nil {
		return false, err
	}
	log, snaps := g.o.Entries, g.o.Snapshots
	label, labelTerm := snaps.Label()
	last, lastTerm := log.Tail()
	blank = g.blank()
	if blank && (g.o.Joining == nil || !g.o.Joining()) {
		return false, fmt.Errorf("neither log nor snapshot is there: %w", errRejoin)
	}
	have := journal.Position{Term: lastTerm, Index: last}.Later(journal.Position{Term: labelTerm, Index: label})
	if mark := journal.MarkOf(g.o.Mark); have.Compare(mark) < 0 {
		return false, fmt.Errorf("the log ends at entry %d of term %d, and entry %d of term %d was synced: %w",
			have.Index, have.Term, mark.Index, mark.Term, errRejoin)
	}
	// The state may be ahead of the log: a received snapshot can be newer than
	// its label.
	if applied, _ := g.o.State.Applied(); applied < label {
		return false, fmt.Errorf("the state ends at entry %d, before the snapshot's %d: %w", applied, label, errRejoin)
	}
	return blank, g.dropForeignLog(label, labelTerm)
}

// blank reports whether the replica has neither log nor snapshot.
func (g *Group) blank() bool {
	label, _ := g.o.Snapshots.Label()
	last, _ := g.o.Entries.Tail()
	return label == 0 && last == 0
}

// has reports whether the log has the entry, or the snapshot ends there: then
// the replica has everything up to there.
func (g *Group) has(index, term uint64) bool {
	if label, labelTerm := g.o.Snapshots.Label(); label == index && labelTerm == term {
		return true
	}
	var at raft.Log
	return g.o.Entries.GetLog(index, &at) == nil && at.Term == term
}

// outdated reports whether a snapshot with that label must not be installed:
// the replica has what it holds, and what came after would be forgotten.
func (g *Group) outdated(index, term uint64) bool {
	label, _ := g.o.Snapshots.Label()
	return index < label || g.has(index, term)
}

// restoreReceived restores a snapshot that was received and not restored.
func (g *Group) restoreReceived() error {
	id, index, _, ok := g.o.Snapshots.Received()
	if !ok {
		if g.o.State.Restoring() {
			return fmt.Errorf("a restore was cut off and its snapshot is gone: %w", errRejoin)
		}
		return nil
	}
	_, r, err := g.o.Snapshots.Open(id)
	if err != nil {
		return fold.Unrestorable(fmt.Errorf("open received snapshot: %w", err))
	}
	err = errors.Join(g.o.State.Restore(r), r.Close())
	g.fsm.Replaced()
	if err == nil {
		err = g.o.Snapshots.Restored(id)
	}
	if err != nil {
		return fold.Unrestorable(fmt.Errorf("restore received snapshot at entry %d: %w", index, err))
	}
	return nil
}

// dropForeignLog drops a log that does not go on from the snapshot: what it
// holds at the label is absent or of another term. The log that begins right
// behind the label does go on.
func (g *Group) dropForeignLog(label, term uint64) error {
	log := g.o.Entries
	first, err := log.FirstIndex()
	if err != nil || first == 0 || label == 0 || first == label+1 {
		return err
	}
	var at raft.Log
	err = log.GetLog(label, &at)
	if err == nil && at.Term == term {
		return nil
	}
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	g.o.Log.Info("dropping a log that disagrees with the snapshot", "shard", g.o.Shard, "label", label, "term", term)
	if err := g.o.Mark.Lower(term, label); err != nil {
		return fmt.Errorf("lower the high-water mark: %w", err)
	}
	return log.Drop()
}
