package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"quorumta/cluster/store/snapshot"
	"quorumta/cluster/store/stream"
)

// ErrNotEmpty: the shard has a log or a snapshot already. A backup is restored
// into new data directories, before their first start.
var ErrNotEmpty = errors.New("the shard holds data already; restore into an empty data directory")

// ErrUnfounded: Found was cut off in this shard. Restore the backup again, into an
// empty data directory.
var ErrUnfounded = errors.New("a backup was restored into the shard in part only; restore it again into an empty data directory")

// Founding says how a shard of a new cluster begins; every field is needed.
type Founding struct {
	// Cluster is the id of the new cluster.
	Cluster string
	// Configuration is the shard's first, the same on all its members.
	Configuration raft.Configuration
	// Lineage tells the state from that of the cluster which the backup is of
	// (PROTOCOL 4): backup.Lineage makes one.
	Lineage [16]byte
}

// Found begins a shard of a new cluster with the state of a stream, which may be
// of another cluster but must be of the same shard: message ids name it. Each
// founding member does the same with the same stream before its first start.
//
// The shard's log is empty and begins behind a snapshot whose index and term are
// those that the stream has applied, so that neither ever goes back and nobody
// can replay the log onto an empty state. All is durable when Found returns.
// After an error or a crash the shard is refused at its start (ErrUnfounded), and
// Found may be called again.
func (s *Store) Found(shard uint16, f Founding, r io.Reader) error {
	if err := s.found(shard, f, r); err != nil {
		return fmt.Errorf("found shard %d: %w", shard, err)
	}
	return nil
}

func (s *Store) found(shard uint16, f Founding, r io.Reader) error {
	log, err := s.Log(shard)
	if err != nil {
		return err
	}
	state, err := s.State(shard, f.Cluster)
	if err != nil {
		return err
	}
	snaps, err := s.openSnapshots(shard, state)
	if err != nil {
		return err
	}
	label, _ := snaps.Label()
	if last, _ := log.Tail(); last != 0 || label != 0 {
		return ErrNotEmpty
	}
	in := stream.NewReader(r)
	h, err := in.Header()
	switch {
	case err != nil:
		return err
	case h.Shard != shard:
		return fmt.Errorf("a stream of shard %d: %w", h.Shard, ErrForeign)
	}
	index, term := max(h.Applied, 1), max(h.Term, 1)
	now := head{cluster: f.Cluster, lineage: f.Lineage, applied: index, term: term, chain: h.Chain}
	if err := state.replace(in, now); err != nil {
		return err
	}
	if err := log.SetUint64([]byte("CurrentTerm"), term); err != nil {
		return err
	}
	return snaps.keep(&snapshot.Label{
		Seq:         snaps.dir.Next(),
		Kind:        snapshot.Marker,
		Version:     raft.SnapshotVersionMax,
		Index:       index,
		Term:        term,
		Config:      f.Configuration.Clone(),
		ConfigIndex: index,
		Lineage:     f.Lineage,
	})
}
