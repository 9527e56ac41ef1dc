package store

import (
	"errors"
	"fmt"
	"io"

	"quorumta/cluster/store/snapshot"
	"quorumta/cluster/store/stream"
)

// sink is a raft.SnapshotSink; it is used by one goroutine. Without a byte
// written it makes a marker; the first byte makes it a received snapshot.
type sink struct {
	snapshots *Snapshots
	label     *snapshot.Label
	data      *snapshot.Incoming // nil: nothing was written
	header    stream.Header      // of data; set by verify before its verdict
	fetched   int64              // the length of data that Take was told of
	closed    bool
}

// Taker is what the sinks of Snapshots are besides raft.SnapshotSink.
type Taker interface {
	// Take makes the file Incoming, which is whole and synced (package transfer),
	// the data of the snapshot in place of what would be written. It comes before
	// Close, which may fail as if it had been written; Restore reads and verifies
	// it as ever.
	Take(h stream.Header, size int64) error
}

var _ Taker = (*sink)(nil)

// ID implements raft.SnapshotSink.
func (s *sink) ID() string { return s.label.ID() }

// Write implements raft.SnapshotSink. It fails as soon as the stream is seen to
// be wrong.
func (s *sink) Write(b []byte) (int, error) {
	if s.closed {
		return 0, errors.New("the snapshot is closed")
	}
	if len(b) == 0 {
		return 0, nil
	}
	if s.fetched > 0 {
		return 0, errors.New("the snapshot has been fetched")
	}
	if s.data == nil {
		var err error
		if s.data, err = s.snapshots.dir.Receive(s.ID(), s.verify); err != nil {
			return 0, err
		}
	}
	return s.data.Write(b)
}

// Take implements Taker.
func (s *sink) Take(h stream.Header, size int64) error {
	if s.closed || s.data != nil || size <= 0 {
		return errors.New("a snapshot is either written or fetched, once")
	}
	if n := s.snapshots.dir.Fetched(); n != size {
		return fmt.Errorf("what was fetched has %d bytes instead of %d", n, size)
	}
	s.header, s.fetched = h, size
	return nil
}

// verify reads the stream while it arrives.
func (s *sink) verify(r io.Reader) error {
	in := stream.NewReader(r)
	var err error
	if s.header, err = in.Header(); err != nil {
		return err
	}
	return in.Verify()
}

// Close implements raft.SnapshotSink: the snapshot is durable, or nothing of it
// is left.
func (s *sink) Close() error {
	if s.closed {
		return nil
	}
	if s.data == nil && s.fetched == 0 {
		s.closed = true
		return s.closeMarker()
	}
	if err := s.closeReceived(); err != nil {
		return errors.Join(err, s.Cancel())
	}
	s.closed = true
	return s.snapshots.keep(s.label)
}

// closeMarker checks that the state is what the marker will say.
func (s *sink) closeMarker() error {
	state := s.snapshots.state
	if durable := state.Durable(); state.Restoring() || durable < s.label.Index {
		return fmt.Errorf("shard %d: a marker at %d, but the state is durable up to %d only", s.snapshots.shard, s.label.Index, durable)
	}
	s.label.Lineage = state.Lineage()
	return s.snapshots.keep(s.label)
}

// closeReceived checks the stream and syncs it.
func (s *sink) closeReceived() error {
	size := s.fetched
	if s.data != nil {
		var err error
		if size, err = s.data.Verdict(); err != nil {
			return err
		}
	}
	h := s.header
	if err := s.snapshots.state.foreign(h); err != nil {
		return fmt.Errorf("receive snapshot: %w", err)
	}
	if h.Applied < s.label.Index {
		return fmt.Errorf("receive snapshot: %w: its label is %d, but it has applied %d only", stream.ErrBad, s.label.Index, h.Applied)
	}
	finish := func() error { return s.snapshots.dir.Take(s.ID()) }
	if s.data != nil {
		finish = s.data.Finish
	}
	if err := finish(); err != nil {
		return s.snapshots.store.fail(err)
	}
	s.label.Kind, s.label.Size, s.label.Lineage = snapshot.Received, size, h.Lineage
	return nil
}

// Cancel implements raft.SnapshotSink: nothing is left.
func (s *sink) Cancel() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.data == nil {
		return nil
	}
	return s.data.Cancel()
}
