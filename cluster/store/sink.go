package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sink is a raft.SnapshotSink; it is used by one goroutine. The zero bytes
// make a marker; the first byte opens the data file and starts a reader that
// verifies the stream as it comes.
type sink struct {
	snapshots *Snapshots
	label     *label
	closed    bool

	file   vfs.File // nil: nothing was written
	pipe   *io.PipeWriter
	result chan verdict
}

// verdict is what the verifying reader says at the end of the stream.
type verdict struct {
	header header
	err    error
}

// ID implements raft.SnapshotSink.
func (s *sink) ID() string { return s.label.id() }

func (s *sink) dataPath() string { return s.snapshots.path(s.ID() + dataSuffix) }

// Write implements raft.SnapshotSink. It fails as soon as the stream is seen to
// be wrong.
func (s *sink) Write(b []byte) (int, error) {
	if s.closed {
		return 0, errors.New("the snapshot is closed")
	}
	if len(b) == 0 {
		return 0, nil
	}
	if s.file == nil {
		if err := s.begin(); err != nil {
			return 0, err
		}
	}
	// The reader comes first: the file may change what it is given.
	if _, err := s.pipe.Write(b); err != nil {
		return 0, fmt.Errorf("receive snapshot: %w", err)
	}
	n, err := s.file.Write(b)
	s.label.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("receive snapshot: %w", err)
	}
	return n, nil
}

// begin makes the sink a received snapshot.
func (s *sink) begin() error {
	f, err := s.snapshots.store.o.FS.Create(s.dataPath(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("receive snapshot: %w", err)
	}
	s.file = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: 1 << 20})
	s.label.kind = received
	r, w := io.Pipe()
	s.pipe, s.result = w, make(chan verdict, 1)
	go func() {
		in := newStreamReader(r)
		h, err := in.header()
		if err == nil {
			err = in.body(func(_, _ []byte) error { return nil })
		}
		r.CloseWithError(err)
		s.result <- verdict{h, err}
	}()
	return nil
}

// Close implements raft.SnapshotSink: the snapshot is durable, or nothing of it
// is left.
func (s *sink) Close() error {
	if s.closed {
		return nil
	}
	if s.file == nil {
		s.closed = true
		return s.closeMarker()
	}
	if err := s.finish(); err != nil {
		return errors.Join(err, s.Cancel())
	}
	s.closed = true
	return s.snapshots.keep(s.label)
}

// closeMarker checks that the state is what the marker will say.
func (s *sink) closeMarker() error {
	state := s.snapshots.state
	if durable := state.Durable(); state.Restoring() || durable < s.label.index {
		return fmt.Errorf("shard %d: a marker at %d, but the state is durable up to %d only", s.snapshots.shard, s.label.index, durable)
	}
	s.label.lineage = state.Lineage()
	return s.snapshots.keep(s.label)
}

// finish checks the stream and syncs the data.
func (s *sink) finish() error {
	_ = s.pipe.Close() // never fails
	v := <-s.result
	s.pipe = nil
	state := s.snapshots.state.head.Load()
	switch {
	case v.err != nil:
		return fmt.Errorf("receive snapshot: %w", v.err)
	case v.header.shard != s.snapshots.shard || v.header.head.cluster != state.cluster:
		return fmt.Errorf("receive snapshot: it is of shard %d, cluster %q: %w", v.header.shard, v.header.head.cluster, ErrForeign)
	case v.header.head.applied < s.label.index:
		return badStream("its label is %d, but it has applied %d only", s.label.index, v.header.head.applied)
	}
	s.label.lineage = v.header.head.lineage
	if err := s.file.Sync(); err != nil {
		return s.snapshots.store.fail(fmt.Errorf("sync snapshot: %w", err))
	}
	f := s.file
	s.file = nil
	if err := f.Close(); err != nil {
		return s.snapshots.store.fail(fmt.Errorf("close snapshot: %w", err))
	}
	return s.snapshots.store.syncDir(s.snapshots.dir)
}

// Cancel implements raft.SnapshotSink: nothing is left.
func (s *sink) Cancel() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.label.kind != received {
		return nil
	}
	var err error
	if s.pipe != nil {
		_ = s.pipe.CloseWithError(io.ErrUnexpectedEOF) // never fails
		<-s.result
	}
	if s.file != nil {
		err = s.file.Close()
	}
	return errors.Join(err, s.snapshots.store.o.FS.Remove(s.dataPath()))
}
