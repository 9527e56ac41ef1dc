package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"quorumta/cluster/store/keys"
	"quorumta/cluster/store/raftlog"
	"quorumta/cluster/store/snapshot"
)

// ErrDropped: the shard's data was deleted while somebody still held its Log,
// State or Mark. Open them anew.
var ErrDropped = raftlog.ErrDropped

// Drop deletes everything of a shard: log, votes, state, snapshots and mark. It
// is durable when it returns, works at run time beside other shards, and on a
// shard that cannot be read. The shard's group must have stopped; its Log, State
// and Mark refuse writes from then on, and opening them again begins anew.
//
// A replica that votes may be dropped only once a configuration without it is
// committed: what it has promised is forgotten. A crash on the way leaves the
// mark until last, so that what remains is refused and not taken for new; Drop
// is then called again.
func (s *Store) Drop(shard uint16) error {
	s.mu.Lock()
	if l := s.logs[shard]; l != nil {
		l.Retire()
	}
	if st := s.states[shard]; st != nil {
		st.gone.Store(true)
	}
	delete(s.logs, shard)
	delete(s.states, shard)
	s.logCount.Store(int64(len(s.logs)))
	s.mu.Unlock()

	if err := s.clear("log", s.log, shard, pebble.Sync); err != nil {
		return err
	}
	if err := snapshot.Remove(s.o.FS, s.path("snapshots", strconv.Itoa(int(shard)))); err != nil {
		return s.fail(fmt.Errorf("drop shard %d: %w", shard, err))
	}
	if err := s.clear("state", s.state, shard, pebble.NoSync); err != nil {
		return err
	}
	if err := s.FlushState(); err != nil {
		return err
	}
	s.excise("log", s.log, shard)
	s.excise("state", s.state, shard)
	if err := s.marks.Drop(shard); err != nil {
		return err
	}
	if err := s.notes().Remove(strconv.Itoa(int(shard))); err != nil {
		return s.fail(fmt.Errorf("drop shard %d: %w", shard, err))
	}
	return nil
}

// clear deletes a shard from a Pebble.
func (s *Store) clear(what string, db *pebble.DB, shard uint16, o *pebble.WriteOptions) error {
	from, to := keys.Span(shard)
	batch := db.NewBatch()
	if err := batch.DeleteRange(from, to, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	return s.commit("drop "+what, batch, o)
}

// excise takes what is deleted out of the files at once: the disk has the room
// back, and no compaction reads what may be damaged. Where it cannot, the
// compactions of the days to come do it.
func (s *Store) excise(what string, db *pebble.DB, shard uint16) {
	from, to := keys.Span(shard)
	err := db.Excise(context.Background(), pebble.KeyRange{Start: from, End: to})
	if err != nil {
		s.o.Log.Warn("a dropped shard is left to the compactions", "store", what, "shard", shard, "err", err)
	}
}
