package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/transport"
)

// keepOffice calls Lead and Unlead, until ctx ends. Every value of notify is
// read, or Raft's main loop would wait.
func (r *replica) keepOffice(ctx context.Context) {
	defer r.leave()
	var reached chan barrier
	for {
		select {
		case won := <-r.notify:
			r.leave()
			reached = nil
			if won {
				reached = r.reach(ctx)
			}
		case b := <-reached:
			reached = nil
			if b.err == nil {
				r.enter(b.term)
			} else if r.raft.State() == raft.Leader && ctx.Err() == nil {
				r.g.o.Log.Info("the office cannot be entered yet", "shard", r.g.o.Shard, "err", b.err)
				reached = r.reach(ctx)
			}
		case <-ctx.Done():
			return
		}
	}
}

// barrier is where a term's first barrier was applied.
type barrier struct {
	term uint64
	err  error
}

// reach has a barrier applied: everything before the term is applied then. The
// term is read where nobody can be wrong about it, in the log.
func (r *replica) reach(ctx context.Context) chan barrier {
	reached := make(chan barrier, 1)
	r.helpers.Go(func() {
		index, err := r.await(ctx, func() raft.Future { return r.raft.Barrier(0) })
		var at raft.Log
		if err == nil {
			err = r.g.o.Entries.GetLog(index, &at)
		}
		if err != nil {
			r.stuck(err)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		reached <- barrier{at.Term, err}
	})
	return reached
}

// enter takes the office of the term, if it is still there to be taken.
func (r *replica) enter(term uint64) {
	if !r.leads(term) {
		return
	}
	// Every configuration before the term's barrier is committed, and only the
	// holder of the office makes new ones.
	r.change.tell(r)
	r.office.Store(term)
	r.g.metrics.entered()
	r.g.o.Log.Info("leads", "shard", r.g.o.Shard, "term", term)
	r.g.o.Machine.Lead(term)
}

// leave gives the office up.
func (r *replica) leave() {
	if term := r.office.Swap(0); term != 0 {
		r.g.o.Log.Info("leads no longer", "shard", r.g.o.Shard, "term", term)
		r.g.o.Machine.Unlead()
	}
}

// leads reports whether Raft leads in the term.
func (r *replica) leads(term uint64) bool {
	return r.raft.State() == raft.Leader && r.raft.CurrentTerm() == term
}

// Term is the term of the office that this node holds and may act in: it has
// applied everything of the terms before, and its lease runs.
func (g *Group) Term() (term uint64, ok bool) {
	r, err := g.replica()
	if err != nil {
		return 0, false
	}
	term = r.office.Load()
	return term, term != 0 && r.leads(term) && r.lease.Runs(term, time.Now())
}

// Leader is the Raft id of who leads as far as this node knows, or "".
func (g *Group) Leader() raft.ServerID {
	r, err := g.replica()
	if err != nil {
		return ""
	}
	_, id := r.raft.LeaderWithID()
	return id
}

// Transfer hands the lead to a voter, and returns when this node has lost it.
// When the target was told and did not take over, the office is given up all
// the same: the lease of the term is spent.
func (g *Group) Transfer(ctx context.Context, to raft.ServerID) error {
	r, err := g.replica()
	if err != nil {
		return err
	}
	term := r.office.Load()
	if term == 0 || !r.leads(term) {
		return ErrNotLeader
	}
	if !slices.Contains(r.voters(), to) {
		return fmt.Errorf("%w: %s has no vote in shard %d, so the lead cannot go there", ErrRefused, to, g.o.Shard)
	}
	r.moves.Begin()
	_, err = r.await(ctx, func() raft.Future {
		return r.raft.LeadershipTransferToServer(to, raft.ServerAddress(to))
	})
	r.moves.End()
	if r.lease.Over(term) && r.leads(term) {
		r.askReopen("the lead was offered to " + string(to) + ", which did not take it")
	}
	if err != nil {
		return fmt.Errorf("transfer shard %d to %s: %w", g.o.Shard, to, err)
	}
	return nil
}

// stuck notes an error of a proposal. A transfer that is said to be under way,
// and is not ours, never ends (#696).
func (r *replica) stuck(err error) {
	if errors.Is(err, raft.ErrLeadershipTransferInProgress) && r.moves.None(r.g.o.Heartbeat+transport.Timeout) {
		r.askReopen("Raft says that a transfer is under way, and none is")
	}
}
