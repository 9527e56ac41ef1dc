package store

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster/store/intact"
	"quorumta/cluster/store/keys"
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

// Damaged is nil, or what an earlier run has found of the shard, wrapping
// ErrDamaged. Log and State refuse a damaged shard until Drop.
func (s *Store) Damaged(shard uint16) error {
	f, err := s.o.FS.Open(s.damagePath(shard))
	if err != nil {
		if _, absent := s.o.FS.Stat(s.damagePath(shard)); absent != nil {
			return nil
		}
		return fmt.Errorf("shard %d: %w (%w)", shard, ErrDamaged, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("shard %d: %w (%w)", shard, ErrDamaged, err)
	}
	return fmt.Errorf("shard %d: %w (%s)", shard, ErrDamaged, text)
}

func (s *Store) damagePath(shard uint16) string {
	return s.path("damaged", strconv.Itoa(int(shard)))
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

// failBackground is fail for a flush or a compaction. Where it has found a table
// damaged that is of one shard alone, the next start refuses that shard; and what
// a refused shard has on disk stops nobody until it is dropped.
func (s *Store) failBackground(what string, err error) {
	err = s.named(what, fmt.Errorf("%s: work in the background: %w", what, err))
	info := pebble.ExtractDataCorruptionInfo(err)
	if info != nil && len(info.Bounds.Start) >= keys.PrefixLen && len(info.Bounds.End.Key) >= keys.PrefixLen {
		shard := keys.ShardOf(info.Bounds.Start)
		if keys.ShardOf(info.Bounds.End.Key) == shard {
			if s.Damaged(shard) != nil {
				s.o.Log.Warn("a file of a refused shard is damaged", "shard", shard, "err", err)
				return
			}
			_ = s.failRead(what, shard, err)
			return
		}
	}
	_ = s.fail(err)
}

// damaged reports whether the error is of what was read, and not of the reading.
func damaged(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, raftlog.ErrDamaged) || errors.Is(err, intact.ErrDamaged)
}

// noteDamage writes the note, durably.
func (s *Store) noteDamage(shard uint16, found error) error {
	f, err := s.o.FS.Create(s.damagePath(shard), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(found.Error()))
	return errors.Join(err, f.Sync(), f.Close(), s.syncDir(s.path("damaged")))
}

// forgetDamage removes the note: what it was about is gone.
func (s *Store) forgetDamage(shard uint16) error {
	if _, err := s.o.FS.Stat(s.damagePath(shard)); err != nil {
		return nil // there is none
	}
	return errors.Join(s.o.FS.Remove(s.damagePath(shard)), s.syncDir(s.path("damaged")))
}

// Verify reads everything of a shard's log and state and says what is damaged, naming the file. Unlike a read that is in the
// way of the mail, it stops nothing: it notes what it found, and the shard is
// refused at the next start. It reads gigabytes; pace is called after each MiB or
// so, may wait, and ends it by an error.
func (s *Store) Verify(shard uint16, pace func(bytes int) error) error {
	for _, part := range []struct {
		what string
		db   *pebble.DB
	}{{"log", s.log}, {"state", s.state}} {
		err := verify(part.db, shard, pace)
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

// verify reads a shard in one Pebble.
func verify(db *pebble.DB, shard uint16, pace func(bytes int) error) error {
	from, to := keys.Span(shard)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	n := 0
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		v, err = it.ValueAndErr()
		if n += len(it.Key()) + len(v); n >= 1<<20 && err == nil {
			err, n = pace(n), 0
		}
	}
	return errors.Join(err, it.Close())
}
