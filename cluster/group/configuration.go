package group

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/fold"
)

// split tells the voters from the others.
func split(servers []raft.Server) (voters, nonvoters []raft.ServerID) {
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, s.ID)
		} else {
			nonvoters = append(nonvoters, s.ID)
		}
	}
	return voters, nonvoters
}

// committed is the newest configuration that is known to be committed; its
// index is 0 if none is.
func (g *Group) committed() fold.Configuration {
	var c fold.Configuration
	if newest := g.fsm.Newest(); newest != nil {
		c = *newest
	}
	if labels, err := g.o.Snapshots.List(); err == nil && len(labels) > 0 && labels[0].ConfigurationIndex > c.Index {
		c = fold.Configuration{Index: labels[0].ConfigurationIndex, Servers: labels[0].Configuration.Servers}
	}
	return c
}

// latest are the servers of the newest configuration in the log.
func (r *replica) latest() []raft.Server {
	return r.raft.GetConfiguration().Configuration().Servers
}

// voters are those of the newest configuration in the log.
func (r *replica) voters() []raft.ServerID {
	voters, _ := split(r.latest())
	return voters
}

// member reports whether the replica is in the newest configuration.
func (r *replica) member(id raft.ServerID) bool { return slices.ContainsFunc(r.latest(), is(id)) }

// Configuration is who replicates the shard by the newest configuration that
// this replica knows to be committed, and the index of its entry; both are zero
// when it knows of none. settled means that its log has none beyond, so that on
// the holder of the office this is the shard's configuration.
func (g *Group) Configuration() (servers []raft.Server, index uint64, settled bool) {
	c := g.committed()
	r, err := g.replica()
	return c.Servers, c.Index, err == nil && c.Index > 0 && slices.Equal(c.Servers, r.latest())
}

// AddNonvoter adds a replica that gets the log and does not vote. Like every
// change of the configuration it is made by the holder of the office, one at a
// time, and has been committed when it returns. It fails as Propose does, or
// with ErrRefused. A change that has been made already is a success.
func (g *Group) AddNonvoter(ctx context.Context, id raft.ServerID) error {
	return g.reconfigure(ctx, func(servers []raft.Server) ([]raft.Server, error) {
		if slices.ContainsFunc(servers, is(id)) {
			return servers, nil
		}
		return append(servers, raft.Server{Suffrage: raft.Nonvoter, ID: id, Address: raft.ServerAddress(id)}), nil
	}, func(r *raft.Raft, base uint64) raft.Future {
		return r.AddNonvoter(id, raft.ServerAddress(id), base, enqueueTimeout)
	})
}

// AddVoter gives a non-voter its vote. The caller has seen that it keeps up:
// until it has the log it may be what a majority waits for.
func (g *Group) AddVoter(ctx context.Context, id raft.ServerID) error {
	return g.reconfigure(ctx, func(servers []raft.Server) ([]raft.Server, error) {
		i := slices.IndexFunc(servers, is(id))
		if i < 0 {
			return nil, fmt.Errorf("%w: %s has no replica of shard %d yet; add it without a vote first", ErrRefused, id, g.o.Shard)
		}
		servers[i].Suffrage = raft.Voter
		return servers, nil
	}, func(r *raft.Raft, base uint64) raft.Future {
		return r.AddVoter(id, raft.ServerAddress(id), base, enqueueTimeout)
	})
}

// RemoveServer removes a replica. The leader itself is refused: it hands the
// lead over first, or nobody would lead until an election.
func (g *Group) RemoveServer(ctx context.Context, id raft.ServerID) error {
	return g.reconfigure(ctx, func(servers []raft.Server) ([]raft.Server, error) {
		if id == g.o.Self {
			return nil, fmt.Errorf("%w: %s leads shard %d; transfer the lead first", ErrRefused, id, g.o.Shard)
		}
		return slices.DeleteFunc(servers, is(id)), nil
	}, func(r *raft.Raft, base uint64) raft.Future {
		return r.RemoveServer(id, base, enqueueTimeout)
	})
}

// is tells the server with the id.
func is(id raft.ServerID) func(raft.Server) bool {
	return func(s raft.Server) bool { return s.ID == id }
}

// reconfigure has Raft make a change of the configuration; next says what comes
// of it.
func (g *Group) reconfigure(ctx context.Context, next func([]raft.Server) ([]raft.Server, error), make func(r *raft.Raft, base uint64) raft.Future) error {
	r, err := g.replica()
	if err != nil {
		return err
	}
	if !r.holds(r.office.Load()) {
		return ErrNotLeader
	}
	servers, base, settled := g.Configuration()
	if !settled {
		return fmt.Errorf("%w: a change of shard %d's configuration is under way", ErrNotLeader, g.o.Shard)
	}
	target, err := next(slices.Clone(servers))
	if err != nil || slices.Equal(target, servers) {
		return err
	}
	if !r.change.begin(r, target) {
		return fmt.Errorf("%w: a change of shard %d's configuration is under way", ErrNotLeader, g.o.Shard)
	}
	g.o.Log.Info("changing the shard's configuration", "shard", g.o.Shard, "from", names(servers), "to", names(target))
	_, err = r.awaitThen(ctx, func() { r.change.end(r) }, func() raft.Future { return make(r.raft, base) })
	if err != nil {
		return r.outcome(err)
	}
	return nil
}

// names writes a configuration for the log: a non-voter in brackets.
func names(servers []raft.Server) []string {
	var all []string
	for _, s := range servers {
		if name := string(s.ID); s.Suffrage == raft.Voter {
			all = append(all, name)
		} else {
			all = append(all, "("+name+")")
		}
	}
	return all
}

// change keeps the lease true to the configuration: while one is being changed
// somebody could be elected under the old one and under the new one.
type change struct {
	mu     sync.Mutex      // guards the rest, and the order of what the lease is told
	target []raft.ServerID // the voters that are to be; nil while none are
}

// begin tells the lease of a change before Raft is, unless one is under way.
func (c *change) begin(r *replica, target []raft.Server) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.target != nil {
		return false
	}
	c.target, _ = split(target)
	c.tellLocked(r)
	return true
}

// end tells the lease that the outcome is known: what was to be is in the log,
// or will never be.
func (c *change) end(r *replica) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = nil
	c.tellLocked(r)
}

// tell tells the lease who votes.
func (c *change) tell(r *replica) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tellLocked(r)
}

func (c *change) tellLocked(r *replica) {
	voters := [][]raft.ServerID{r.voters()}
	if c.target != nil {
		voters = append(voters, c.target)
	}
	r.lease.SetVoters(voters...)
}
