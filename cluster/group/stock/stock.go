// Package stock is the snapshots of a shard that its replicas fetch from each
// other, kept in package store.
package stock

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/fetch"
	"quorumta/cluster/store"
	"quorumta/cluster/store/transfer"
)

// measureRate leaves the disk to the mail while a state is read for its
// manifest, bytes a second.
const measureRate = 128 << 20

// Stock is a shard's snapshots as others fetch them, and as they are fetched.
type Stock struct {
	shard     uint16
	state     *store.State
	snapshots *store.Snapshots
	pins      *transfer.Pins
}

var _ fetch.Stock = Stock{}

// New makes the stock of a shard, which is closed by Close.
func New(shard uint16, state *store.State, snapshots *store.Snapshots) Stock {
	return Stock{shard, state, snapshots, transfer.NewPins()}
}

// Close unpins every view.
func (s Stock) Close() { s.pins.Close() }

// Pin implements fetch.Stock.
func (s Stock) Pin(ctx context.Context, index uint64) ([]byte, int64, error) {
	m, err := s.pins.Pin(ctx, s.shard, index, measureRate, func() transfer.View { return s.state.View() })
	if err != nil {
		return nil, 0, err
	}
	if m.Header.Applied < index {
		s.pins.Release(s.shard, m.ID)
		return nil, 0, fmt.Errorf("the state of shard %d has applied %d, which is behind its label %d", s.shard, m.Header.Applied, index)
	}
	encoded, err := m.Encode()
	return encoded, m.Size(), err
}

// Chunk implements fetch.Stock.
func (s Stock) Chunk(id [16]byte, i int) ([]byte, error) { return s.pins.Chunk(s.shard, id, i) }

// Resume implements fetch.Stock.
func (s Stock) Resume(manifest []byte) (id [16]byte, d fetch.Download, err error) {
	m, err := transfer.Decode(manifest)
	if err != nil {
		return id, nil, err
	}
	fs, path := s.snapshots.Incoming()
	down, err := transfer.Resume(fs, path, m)
	return m.ID, download{down}, err
}

// download is a transfer.Download.
type download struct{ *transfer.Download }

// Add implements fetch.Download.
func (d download) Add(chunk []byte) error {
	err := d.Download.Add(chunk)
	if errors.Is(err, transfer.ErrBad) {
		return fmt.Errorf("%w: %w", fetch.ErrDamaged, err)
	}
	return err
}

// Take implements fetch.Stock.
func (s Stock) Take(sink raft.SnapshotSink, manifest []byte) error {
	m, err := transfer.Decode(manifest)
	if err != nil {
		return err
	}
	taker, ok := sink.(store.Taker)
	if !ok {
		return fmt.Errorf("the sink %T takes no snapshot that was fetched", sink)
	}
	return taker.Take(m.Header, m.Size())
}
