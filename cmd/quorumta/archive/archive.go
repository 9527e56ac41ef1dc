// Package archive makes backups of a running cluster's queue: the state of each
// shard, as its leader has it, one after the other. The file's form is that of
// package cluster/store/backup.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"quorumta/cluster"
	"quorumta/cluster/store/backup"
	"quorumta/internal/admin/api"
)

// tries is how often a shard is begun whose leader goes away meanwhile.
const tries = 5

// tryPause is how long a new leader is waited for.
const tryPause = 2 * time.Second

// Archive makes backups on a node, and gives other nodes the shards that this
// one leads.
type Archive struct {
	node     *cluster.Node
	lendings lendings
}

// New makes the archive of a node that has not been run yet: it handles calls
// of the node's.
func New(node *cluster.Node) *Archive {
	a := &Archive{node: node, lendings: lendings{open: map[string]*lending{}}}
	node.Handle(methodLend, a.lend)
	node.Handle(methodRead, a.read)
	return a
}

// Write writes a backup to w, at most rate bytes a second (0: unbounded). A
// shard that has no leader fails it, as cluster.ErrNotLeader.
func (a *Archive) Write(ctx context.Context, w io.Writer, rate int64, told func(api.Progress)) error {
	out := backup.NewWriter(ctx, w, backup.Options{Cluster: a.node.ClusterID(), Made: time.Now().UTC(), Rate: rate})
	shards := a.node.Shards()
	for i, shard := range shards {
		source, err := a.borrow(ctx, shard)
		if err != nil {
			return err
		}
		size, err := source.Size()
		if err == nil {
			told(api.Progress{Shard: shard, Nth: i + 1, Of: len(shards), Bytes: size, Node: source.node})
			_, err = out.Add(source)
		}
		source.give()
		if err != nil {
			return err
		}
	}
	_, err := out.Close()
	return err
}

// source is a shard's state at its leader, pinned.
type source struct {
	backup.Source
	node string
	// give returns what was pinned.
	give func()
}

// borrow pins the shard's state at its leader.
func (a *Archive) borrow(ctx context.Context, shard uint16) (*source, error) {
	var last error
	for range tries {
		s, err := a.borrowAt(ctx, shard, a.node.Leader(shard))
		if err == nil {
			return s, nil
		}
		last = err
		select {
		case <-time.After(tryPause):
		case <-ctx.Done():
			return nil, errors.Join(last, ctx.Err())
		}
	}
	return nil, fmt.Errorf("back up shard %d: %w", shard, last)
}

func (a *Archive) borrowAt(ctx context.Context, shard uint16, leader string) (*source, error) {
	switch leader {
	case "":
		return nil, fmt.Errorf("%w: it has none", cluster.ErrNotLeader)
	case a.node.Name():
		view, done, err := a.pin(ctx, shard)
		if err != nil {
			return nil, err
		}
		return &source{view, leader, done}, nil
	}
	return a.borrowFrom(ctx, shard, leader)
}

// pin is a view of a shard that this node leads, with everything in it that was
// acknowledged before the call.
func (a *Archive) pin(ctx context.Context, shard uint16) (backup.Source, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := a.node.Barrier(ctx, shard); err != nil {
		return nil, nil, err
	}
	view, done, err := a.node.View(shard)
	if err != nil {
		return nil, nil, err
	}
	s, ok := view.(backup.Source)
	if !ok {
		done()
		return nil, nil, errors.New("the store's views cannot be copied")
	}
	return s, done, nil
}
