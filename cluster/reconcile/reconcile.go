// Package reconcile decides how a group's Raft configuration moves towards the
// replicas that the cluster's map wants: one change at a time, and never to a
// configuration whose majority is not alive. What it decides is a
// function of its arguments; Run carries it out.
package reconcile

import "slices"

// Server is a replica in a group's configuration.
type Server struct {
	ID    string // Raft id
	Voter bool
}

// Facts are what the group's leader has seen.
type Facts struct {
	// Self is the leader's Raft id.
	Self string
	// Live: the replica answers and has not stopped. CaughtUp: it also has
	// nearly all that is committed, and would notice the loss of it.
	Live, CaughtUp func(id string) bool
	// Lost: the replica's data is damaged; it cannot go on with what it has.
	Lost func(id string) bool
}

// Action is what a Step does.
type Action int

// The actions. None: the configuration is as it should be, or must wait.
const (
	None Action = iota
	AddNonvoter
	AddVoter
	Remove
	Transfer // the lead to the replica, because the leader is to be removed
)

// Step is one change of a group.
type Step struct {
	Action Action
	ID     string // Raft id
}

// Next is the next step from a committed configuration towards the wanted
// replicas.
func Next(servers []Server, wanted []string, f Facts) Step {
	g := group{servers, wanted, f}
	for _, next := range []func() Step{g.forget, g.renew, g.promote, g.invite, g.retire} {
		if s := next(); s.Action != None {
			return s
		}
	}
	return Step{}
}

type group struct {
	servers []Server
	wanted  []string
	f       Facts
}

func (g group) voters() (ids []string) {
	for _, s := range g.servers {
		if s.Voter {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// safe reports whether a majority of the voters lives.
func (g group) safe(voters []string) bool {
	live := 0
	for _, id := range voters {
		if id == g.f.Self || g.f.Live(id) {
			live++
		}
	}
	return 2*live > len(voters)
}

// forget removes what has no vote and is not wanted.
func (g group) forget() Step {
	for _, s := range g.servers {
		if !s.Voter && !slices.Contains(g.wanted, s.ID) {
			return Step{Remove, s.ID}
		}
	}
	return Step{}
}

// renew removes who has lost its data, so that it can begin anew.
func (g group) renew() Step {
	for _, s := range g.servers {
		rest := slices.DeleteFunc(g.voters(), func(v string) bool { return v == s.ID })
		if g.f.Lost(s.ID) && (!s.Voter || g.safe(rest)) {
			return Step{Remove, s.ID}
		}
	}
	return Step{}
}

// promote gives a vote to who is wanted and keeps up.
func (g group) promote() Step {
	for _, s := range g.servers {
		if !s.Voter && g.f.CaughtUp(s.ID) && g.safe(append(g.voters(), s.ID)) {
			return Step{AddVoter, s.ID}
		}
	}
	return Step{}
}

// invite adds who is wanted and not there.
func (g group) invite() Step {
	for _, id := range g.wanted {
		if !slices.ContainsFunc(g.servers, func(s Server) bool { return s.ID == id }) && g.f.Live(id) {
			return Step{AddNonvoter, id}
		}
	}
	return Step{}
}

// retire removes a voter that is not wanted, the leader last. Before all who
// are wanted vote, only one too many or a dead one goes.
func (g group) retire() Step {
	voters := g.voters()
	missing := slices.ContainsFunc(g.wanted, func(id string) bool { return !slices.Contains(voters, id) })
	surplus := len(voters) > len(g.wanted)
	for _, id := range voters {
		if slices.Contains(g.wanted, id) || id == g.f.Self || (missing && !surplus && g.f.Live(id)) {
			continue
		}
		if g.safe(slices.DeleteFunc(slices.Clone(voters), func(v string) bool { return v == id })) {
			return Step{Remove, id}
		}
	}
	if slices.Contains(g.wanted, g.f.Self) || (missing && !surplus) {
		return Step{}
	}
	for _, id := range g.wanted {
		if slices.Contains(voters, id) && g.f.CaughtUp(id) {
			return Step{Transfer, id}
		}
	}
	return Step{}
}
