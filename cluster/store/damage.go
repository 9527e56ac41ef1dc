package store

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"quorumta/cluster/store/intact"
	"quorumta/cluster/store/keys"
	"quorumta/cluster/store/note"
	"quorumta/cluster/store/raftlog"
)

// ErrDamaged: what this node has of the shard was found damaged, or something that
// was synced is missing from it. Nothing of this replica can be relied on: take it
// out of the shard's configuration, Drop it, and have it made anew from the
// others. The node's other shards are not concerned.
var ErrDamaged = errors.New("this replica is damaged and must be made anew from the others")

// ErrForgotten is ErrDamaged where the log has lost a term or a vote that was
// synced, so that the replica could vote twice.
var ErrForgotten = fmt.Errorf("the log has lost a vote: %w", ErrDamaged)

// unknown is the name of the note about damage of which nobody knows the shard.
const unknown = "unknown"

func (s *Store) notes() note.Dir { return note.Dir{FS: s.o.FS, Path: s.path("damaged")} }

// Damaged is nil, or what an earlier run has found of the shard, wrapping
// ErrDamaged. Log and State refuse a damaged shard until Drop.
func (s *Store) Damaged(shard uint16) error {
	text, ok := s.notes().Read(strconv.Itoa(int(shard)))
	if !ok {
		return nil
	}
	return fmt.Errorf("shard %d: %w (%s)", shard, ErrDamaged, text)
}

// noteDamage has the next start refuse the shard.
func (s *Store) noteDamage(shard uint16, found error) error {
	return s.notes().Write(strconv.Itoa(int(shard)), found.Error())
}

// failRead is fail for what was read of a shard. Damage, unlike a disk that does
// not answer, is there at the next start too and would stop the node again: a note
// has that start refuse the shard instead.
func (s *Store) failRead(what string, shard uint16, err error) error {
	err = s.named(what, err)
	if damaged(err) {
		if e := s.noteDamage(shard, err); e != nil {
			s.o.Log.Warn("what was found damaged could not be noted", "shard", shard, "err", e)
		}
	}
	return s.fail(err)
}

// failBackground is fail for a flush or a compaction, which stops the node, unless
// the damage that it has found was noted before: what a refused shard has on disk
// stops nobody until it is dropped. Where a table is of several shards, the next
// start finds out which one is concerned.
func (s *Store) failBackground(what string, err error) {
	err = s.named(what, fmt.Errorf("%s: work in the background: %w", what, err))
	if !damaged(err) {
		_ = s.fail(err)
		return
	}
	if s.notes().Any() {
		s.o.Log.Error("a file is damaged, as was noted before", "err", err)
		return
	}
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil && len(info.Bounds.Start) >= keys.PrefixLen && len(info.Bounds.End.Key) >= keys.PrefixLen {
		if shard := keys.ShardOf(info.Bounds.Start); keys.ShardOf(info.Bounds.End.Key) == shard {
			_ = s.failRead(what, shard, err)
			return
		}
	}
	if e := s.notes().Write(unknown, err.Error()); e != nil {
		s.o.Log.Warn("what was found damaged could not be noted", "err", e)
	}
	_ = s.fail(err)
}

// inspect reads every shard when damage was noted of which nobody knows the shard.
// Where nothing is found it is in what nobody reads, and the note remains: the
// compaction that finds it stops the node no more.
func (s *Store) inspect() error {
	text, ok := s.notes().Read(unknown)
	if !ok {
		return nil
	}
	s.o.Log.Warn("looking for the shard that is damaged", "found", text)
	found := false
	for shard := range 1 << 16 {
		err := s.verify(uint16(shard))
		if err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		found = found || err != nil
	}
	if !found {
		s.o.Log.Error("a file is damaged in what no shard reads; let the node rejoin as new when it suits", "found", text)
		return nil
	}
	return s.notes().Remove(unknown)
}

// damaged reports whether the error is of what was read, and not of the reading.
func damaged(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, raftlog.ErrDamaged) || errors.Is(err, intact.ErrDamaged)
}

// verify reads everything of a shard's log and state and says what is damaged,
// naming the file. Unlike a read that is in the way of the mail it stops nothing:
// it notes what it found, and the shard is refused.
func (s *Store) verify(shard uint16) error {
	for _, part := range []struct {
		what string
		db   *pebble.DB
	}{{"log", s.log}, {"state", s.state}} {
		err := readThrough(part.db, shard)
		if err == nil {
			continue
		}
		err = fmt.Errorf("shard %d: verify %s: %w", shard, part.what, s.named(part.what, err))
		if damaged(err) {
			err = errors.Join(fmt.Errorf("%w: %w", ErrDamaged, err), s.noteDamage(shard, err))
		}
		return err
	}
	return nil
}

// readThrough reads a shard in one Pebble.
func readThrough(db *pebble.DB, shard uint16) error {
	from, to := keys.Span(shard)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		_, err = it.ValueAndErr()
	}
	return errors.Join(err, it.Close())
}
