package store

import (
	"io"

	"github.com/hashicorp/raft"
)

// Snapshots is one shard's raft.SnapshotStore, of two kinds: a marker is local
// and has no data, since the state itself is durable up to it; a received one
// came from another member and keeps its data until it is restored.
type Snapshots struct{}

var _ raft.SnapshotStore = (*Snapshots)(nil)

// Snapshots opens the snapshots of a shard.
func (s *Store) Snapshots(shard uint16, state *State) (*Snapshots, error) {
	panic("store: Snapshots is not built")
}

// Create implements raft.SnapshotStore. The sink becomes a marker if nothing
// but Marker is written to it, and a received snapshot otherwise.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	panic("store: Create is not built")
}

// List implements raft.SnapshotStore: the newest first.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) { panic("store: List is not built") }

// Open implements raft.SnapshotStore. For a marker it streams the state as it
// is now, which may be newer than the label: replay skips what is at or below
// applied (PROTOCOL 5). The size is exact.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	panic("store: Open is not built")
}

// Received is the newest received snapshot that was not restored yet, if its
// label is above what the state has applied or a restore was cut off.
func (s *Snapshots) Received() (id string, index, term uint64, ok bool) {
	panic("store: Received is not built")
}

// Restored says that a received snapshot is in the state: its data goes.
func (s *Snapshots) Restored(id string) error { panic("store: Restored is not built") }

// Label is index and term of the newest snapshot; zeros if there is none.
func (s *Snapshots) Label() (index, term uint64) { panic("store: Label is not built") }
