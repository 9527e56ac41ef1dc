package group

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/fold"
)

// enqueueTimeout bounds how long a proposal waits for Raft's main loop.
const enqueueTimeout = 2 * time.Second

// Propose has the entry committed and applied, and returns the machine's
// results. It fails with ErrNotLeader when this node does not hold the office
// of the term, and nothing was proposed; with ErrUnknownOutcome when it cannot
// tell. It keeps no reference to data.
func (g *Group) Propose(ctx context.Context, term uint64, data []byte) ([]Result, error) {
	if len(data) > MaxEntry {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	release := func() {}
	if n := int64(len(data)); n >= largeEntry {
		if err := g.pace.Acquire(ctx, n); err != nil {
			return nil, fmt.Errorf("%w: too much is in flight: %w", ErrNotLeader, err)
		}
		release = func() { g.pace.Release(n) }
	}
	r, err := g.replica()
	if err == nil && !r.holds(term) {
		err = ErrNotLeader
	}
	if err != nil {
		release()
		return nil, err
	}
	start := time.Now()
	answer, err := r.propose(ctx, raft.Log{Data: bytes.Clone(data)}, release)
	if err != nil {
		return nil, err
	}
	done, ok := answer.(fold.Folded)
	if !ok {
		return nil, fmt.Errorf("%w: the shard has stopped", ErrUnknownOutcome)
	}
	g.metrics.committed(time.Since(start))
	return done.Results, nil
}

// holds reports whether this node holds the office of the term, lease and all.
func (r *replica) holds(term uint64) bool {
	return term != 0 && r.office.Load() == term && r.leads(term) && r.lease.Runs(term, time.Now())
}

// propose gives an entry to Raft and waits for the fold's answer. release is
// called when Raft has let go of the entry.
func (r *replica) propose(ctx context.Context, entry raft.Log, release func()) (answer any, err error) {
	var future raft.ApplyFuture
	_, err = r.awaitThen(ctx, release, func() raft.Future {
		future = r.raft.ApplyLog(entry, enqueueTimeout)
		return future
	})
	if err != nil {
		return nil, r.outcome(err)
	}
	if err := r.g.o.Failed(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return future.Response(), nil
}

// outcome says whether something may have been proposed (PROTOCOL 19).
func (r *replica) outcome(err error) error {
	r.stuck(err)
	for _, not := range []error{raft.ErrNotLeader, raft.ErrEnqueueTimeout, raft.ErrLeadershipTransferInProgress, errClosing} {
		if errors.Is(err, not) {
			return fmt.Errorf("%w: %w", ErrNotLeader, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// Barrier returns when this node, as the leader, has applied every entry that
// was committed before the call. It fails as Propose does.
func (g *Group) Barrier(ctx context.Context) error {
	r, err := g.replica()
	if err != nil {
		return err
	}
	if !r.holds(r.office.Load()) {
		return ErrNotLeader
	}
	if _, err := r.await(ctx, func() raft.Future { return r.raft.Barrier(enqueueTimeout) }); err != nil {
		return r.outcome(err)
	}
	return nil
}

// errClosing: the replica is being closed, and nothing was given to Raft.
var errClosing = errors.New("the replica is closing")

// await has a future made and waits for it, or for ctx. It returns the entry's
// index where there is one.
func (r *replica) await(ctx context.Context, start func() raft.Future) (uint64, error) {
	return r.awaitThen(ctx, nil, start)
}

// awaitThen is await; then is called when the future is answered, which can be
// long after ctx has ended.
func (r *replica) awaitThen(ctx context.Context, then func(), start func() raft.Future) (uint64, error) {
	if !r.futures.Begin() {
		if then != nil {
			then()
		}
		return 0, errClosing
	}
	type answer struct {
		index uint64
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		defer r.futures.Done()
		future := start()
		a := answer{err: future.Error()}
		if indexed, ok := future.(raft.IndexFuture); ok && a.err == nil {
			a.index = indexed.Index()
		}
		if then != nil {
			then()
		}
		answered <- a
	}()
	select {
	case a := <-answered:
		return a.index, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
