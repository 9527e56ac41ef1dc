// Package journal is a shard's log as Raft sees it.
package journal

import (
	"cmp"
	"fmt"

	"github.com/hashicorp/raft"
)

// Position is a place in a log, ordered by term, then index.
type Position struct{ Term, Index uint64 }

// Compare is below 0 if p comes before q, 0 if it is q.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Term, q.Term), cmp.Compare(p.Index, q.Index))
}

// Later is the later one.
func (p Position) Later(q Position) Position {
	if p.Compare(q) < 0 {
		return q
	}
	return p
}

// MarkOf is where the high-water mark is.
func MarkOf(m Mark) Position {
	term, index := m.Value()
	return Position{Term: term, Index: index}
}

// Log is a shard's log.
type Log interface {
	raft.MonotonicLogStore
	raft.LogStore
	// Tail is the last entry's place; zeros when there is none.
	Tail() (index, term uint64)
}

// Mark is the shard's high-water mark (PROTOCOL 7).
type Mark interface {
	// Raise notes, soon, that the log was synced up to the place.
	Raise(term, index uint64)
	// Lower notes, durably, a place before.
	Lower(term, index uint64) error
	// Value is where it is.
	Value() (term, index uint64)
}

// Labels tells the newest snapshot's.
type Labels interface {
	Label() (index, term uint64)
}

// Journal is the log as Raft sees it: it keeps the high-water mark, and the
// entry at the label, by which prepare knows its own log.
type Journal struct {
	Log
	Mark  Mark
	Snaps Labels
	// Begin is called before entries are stored.
	Begin func() error
	// Installed is called when a snapshot was installed over a log that went
	// beyond its label: Raft goes on believing in what is gone (#697).
	Installed func()
}

var _ raft.MonotonicLogStore = Journal{}

// StoreLog implements raft.LogStore.
func (j Journal) StoreLog(log *raft.Log) error { return j.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (j Journal) StoreLogs(logs []*raft.Log) error {
	if err := j.Begin(); err != nil {
		return fmt.Errorf("note that the replica begins: %w", err)
	}
	if err := j.Log.StoreLogs(logs); err != nil {
		return err
	}
	tail := logs[len(logs)-1]
	j.Mark.Raise(tail.Term, tail.Index)
	return nil
}

// DeleteRange implements raft.LogStore.
func (j Journal) DeleteRange(lo, hi uint64) error {
	label, labelTerm := j.Snaps.Label()
	last, _ := j.Tail()
	if hi < last {
		if hi = min(hi, label-1); label == 0 || hi < lo {
			return nil
		}
		return j.Log.DeleteRange(lo, hi)
	}
	remains := Position{labelTerm, label}
	var before raft.Log
	if err := j.GetLog(lo-1, &before); err == nil {
		remains = remains.Later(Position{before.Term, before.Index})
	}
	if remains.Compare(MarkOf(j.Mark)) < 0 {
		if err := j.Mark.Lower(remains.Term, remains.Index); err != nil {
			return fmt.Errorf("lower the high-water mark: %w", err)
		}
	}
	err := j.Log.DeleteRange(lo, hi)
	if lo <= label && label < last {
		j.Installed()
	}
	return err
}
