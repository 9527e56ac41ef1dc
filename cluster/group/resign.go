package group

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/fetch"
	"quorumta/cluster/group/journal"
	"quorumta/cluster/group/succession"
)

const (
	// diskInterval is how often a leader looks whether its disk hangs, and
	// looks again for an heir while it does.
	diskInterval = 50 * time.Millisecond
	// wellDisk is up to what age of its own oldest write a replica takes the
	// office from a leader whose disk hangs: a storage that stops them all stops
	// the leader's write a moment before theirs.
	wellDisk = SlowDisk / 2
)

// serve answers what other replicas ask beside Raft.
func (r *replica) serve(stream raft.StreamLayer) {
	layer, ok := stream.(fetch.Caller)
	if !ok {
		return
	}
	layer.Serve(func(ctx context.Context, from string, request []byte) ([]byte, error) {
		if succession.Concerns(request) {
			return succession.Answer(ctx, heir{r}, raft.ServerID(from), request)
		}
		return r.agent.Answer(from, request)
	})
}

// watchDisk gives the office up when this replica leads and its disk hangs,
// once a term (PROTOCOL 30).
func (r *replica) watchDisk(ctx context.Context) {
	tick := time.NewTicker(diskInterval)
	defer tick.Stop()
	var resigned uint64
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if term := r.raft.CurrentTerm(); term != resigned && r.leads(term) && r.g.silent() && r.resign(ctx, term) {
			resigned = term
		}
	}
}

// resign offers the office of the term to another, if enough are well to elect
// it. The lease ends before anybody is told.
func (r *replica) resign(ctx context.Context, term uint64) bool {
	voters := r.voters()
	others := slices.DeleteFunc(slices.Clone(voters), func(id raft.ServerID) bool { return id == r.g.o.Self })
	heirs := succession.Find(ctx, r.agent.Call, term, others)
	if len(heirs) <= len(voters)/2 || !r.g.silent() {
		return false
	}
	r.trans.Resign(term)
	to, err := heirs.Offer(ctx, r.agent.Call, term)
	r.g.metrics.resigned()
	r.g.o.Log.Warn("the disk hangs; the office is offered to another", "shard", r.g.o.Shard, "term", term, "age", r.g.DiskAge(), "to", to, "err", err)
	return true
}

// heir is a replica in the eyes of a leader whose disk hangs.
type heir struct{ *replica }

var _ succession.Voter = heir{}

// Heir implements succession.Voter.
func (h heir) Heir(leader raft.ServerID, term uint64) succession.Heir {
	r := h.replica
	_, known := r.raft.LeaderWithID()
	if known != leader || r.raft.State() != raft.Follower || r.raft.CurrentTerm() != term ||
		!slices.Contains(r.voters(), r.g.o.Self) || r.g.DiskAge() > wellDisk {
		return succession.Heir{}
	}
	at := r.end()
	return succession.Heir{Able: true, Modest: r.g.o.Passive(), Term: at.Term, Index: at.Index}
}

// Campaign implements succession.Voter.
func (h heir) Campaign(ctx context.Context, term uint64) error {
	return h.replica.trans.Campaign(ctx, term)
}

// end is the end of this replica's log.
func (r *replica) end() journal.Position {
	last, term := r.g.o.Entries.Tail()
	label, labelTerm := r.g.o.Snapshots.Label()
	return journal.Position{Term: term, Index: last}.Later(journal.Position{Term: labelTerm, Index: label})
}
