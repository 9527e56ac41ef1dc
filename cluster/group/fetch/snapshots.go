package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// small is up to what length a snapshot goes over Raft's wire as it is.
const small = 1 << 20

// snapshots is a shard's snapshot store as Raft sees it.
type snapshots struct {
	Snapshots
	agent *Agent
}

// parcel is what Raft is given to send in place of a snapshot that the other
// side fetches: the manifest.
type parcel struct {
	*bytes.Reader
	id       string // the snapshot's
	manifest []byte
	size     int64 // of what it stands for
}

// Close implements io.Closer.
func (*parcel) Close() error { return nil }

// Open implements raft.SnapshotStore. What was received and still has its data
// comes as it is, for Raft restores it, and so does what is small.
func (s snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if s.HasData(id) {
		return s.whole(id)
	}
	labels, err := s.List()
	if err != nil || len(labels) == 0 || labels[0].ID != id {
		return nil, nil, fmt.Errorf("shard %d has no snapshot %s: %w", s.agent.o.Shard, id, err)
	}
	meta := labels[0]
	manifest, size, err := s.agent.o.Stock.Pin(s.agent.ctx, meta.Index)
	if err != nil {
		return nil, nil, err
	}
	if size <= small {
		return s.whole(id)
	}
	meta.Size = int64(len(manifest))
	return meta, &parcel{bytes.NewReader(manifest), id, manifest, size}, nil
}

// whole opens a snapshot as a stream.
func (s snapshots) whole(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.Snapshots.Open(id)
	if err != nil {
		return nil, nil, err
	}
	return meta, once{r, sync.OnceValue(r.Close)}, nil
}

// once is a snapshot that may be closed twice: by the transport, as soon as it
// is of no use, and by Raft.
type once struct {
	io.Reader
	close func() error
}

// Close implements io.Closer.
func (o once) Close() error { return o.close() }

// Create implements raft.SnapshotStore; what it returns is a *Sink.
func (s snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.Snapshots.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	return &Sink{SnapshotSink: sink, index: index, term: term, agent: s.agent}, nil
}

// Sink is a sink that tells its label, and takes a manifest for the snapshot
// that was fetched.
type Sink struct {
	raft.SnapshotSink
	index, term uint64

	agent *Agent
	head  []byte // what came, while it may be or is a manifest
	whole bool   // it is a stream
}

// Label is what the snapshot stands for.
func (s *Sink) Label() (index, term uint64) { return s.index, s.term }

// Write implements raft.SnapshotSink.
func (s *Sink) Write(b []byte) (int, error) {
	if s.whole {
		return s.SnapshotSink.Write(b)
	}
	// Only what was received has data. This is Raft's main loop: no append comes
	// in between.
	if s.agent.o.Outdated(s.index, s.term) {
		return 0, fmt.Errorf("the snapshot at entry %d of term %d is outdated: this replica has more", s.index, s.term)
	}
	s.head = append(s.head, b...)
	switch {
	case len(s.head) < 4: // it cannot be told yet
	case len(s.head) > manifestMost:
		return 0, errors.New("the manifest is too long")
	case !IsManifest(s.head):
		s.whole = true
		if _, err := s.SnapshotSink.Write(s.head); err != nil {
			return 0, err
		}
		s.head = nil
	}
	return len(b), nil
}

// Close implements raft.SnapshotSink.
func (s *Sink) Close() error {
	if len(s.head) > 0 {
		if err := s.take(); err != nil {
			return errors.Join(err, s.Cancel())
		}
	}
	// Last, for a replica that has begun and holds nothing is refused.
	if err := s.agent.o.Begin(); err != nil {
		return errors.Join(fmt.Errorf("note that the replica begins: %w", err), s.Cancel())
	}
	return s.SnapshotSink.Close()
}

// take takes what was fetched.
func (s *Sink) take() error {
	return s.agent.o.Fetcher.take(s.head, func() error { return s.agent.o.Stock.Take(s.SnapshotSink, s.head) })
}
