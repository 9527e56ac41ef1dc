package group

import (
	"errors"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// Status is the state of a group as this node knows it.
type Status struct {
	Leader  raft.ServerID // "" while there is none
	Term    uint64
	Commit  uint64
	Applied uint64
	Last    uint64
	// Voters and Nonvoters are the members of the newest configuration in this
	// replica's log, which may not be committed.
	Voters, Nonvoters []raft.ServerID
	// Leads: this node holds the office.
	Leads bool
	// Contacts is when the others last accepted an append of ours.
	Contacts map[raft.ServerID]time.Time
	// Stopped says why the replica stopped, "" while it runs.
	Stopped string
	// Poison is the entry whose fold has panicked, where that is why, or 0.
	Poison uint64
}

// Status is the group's state.
func (g *Group) Status() Status {
	r, err := g.replica()
	if err != nil {
		applied, _ := g.o.State.Applied()
		s := Status{Applied: applied}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.stopped != nil {
			s.Stopped = g.stopped.Error()
		}
		if poison := (*PoisonError)(nil); errors.As(g.stopped, &poison) {
			s.Poison = poison.Index
		}
		return s
	}
	_, leader := r.raft.LeaderWithID()
	voters, nonvoters := split(r.latest())
	return Status{
		Leader:    leader,
		Term:      r.raft.CurrentTerm(),
		Commit:    r.raft.CommitIndex(),
		Applied:   r.applied(),
		Last:      r.raft.LastIndex(),
		Voters:    voters,
		Nonvoters: nonvoters,
		Leads:     r.office.Load() != 0,
		Contacts:  r.lease.Contacts(r.raft.CurrentTerm()),
	}
}

// applied is the last index whose effects are in the state. Raft counts an
// entry as applied when it hands it over, and the state does not count those
// without effects, so both are looked at.
func (r *replica) applied() uint64 {
	handed := r.raft.AppliedIndex()
	pending, _ := strconv.Atoi(r.raft.Stats()["fsm_pending"])
	if pending == 0 && r.g.fsm.Age() == 0 {
		return handed
	}
	folded, _ := r.g.o.State.Applied()
	return min(folded, handed)
}
