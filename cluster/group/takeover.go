package group

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// standingTimeout bounds asking the others.
	standingTimeout = 300 * time.Millisecond
	// headStart is how much later the replica that should win begins.
	headStart = 60 * time.Millisecond
	// A process that is being killed can lose its connections a moment before
	// its port: it is probed several times.
	probes     = 6
	probePause = 20 * time.Millisecond
)

// dead is a leader that is being followed fast.
type dead struct {
	leader raft.ServerID
	term   uint64 // the last of which it may have been the leader
	since  time.Time
	faster bool // the time-outs are shortened
}

// Standing is what a replica makes of a leader that seems dead (PROTOCOL 26).
type Standing struct {
	// Agrees: it finds the leader dead as well.
	Agrees bool `json:"agrees"`
	// Term and Index are the end of its log.
	Term  uint64 `json:"term"`
	Index uint64 `json:"index"`
	// Wait is how long the leader's lease may still run by its clock.
	Wait time.Duration `json:"wait"`
}

// suspect looks into a broken connection; several come for one death.
func (r *replica) suspect(ctx context.Context, peer raft.ServerID) {
	if _, leader := r.raft.LeaderWithID(); leader != peer {
		return
	}
	if !r.follow.CompareAndSwap(nil, &dead{leader: peer, term: r.raft.CurrentTerm(), since: time.Now()}) {
		return
	}
	r.helpers.Go(func() {
		if !r.takeOver(ctx, peer) {
			r.follow.Store(nil)
		}
	})
}

// takeOver has the election begin as soon as no lease can run any more,
// instead of after a time-out that is drawn at random. It reports whether the
// time-outs were shortened.
func (r *replica) takeOver(ctx context.Context, leader raft.ServerID) bool {
	term := r.raft.CurrentTerm()
	// What the leader sent before it died may still be read from a buffer, and
	// counts as contact, here or elsewhere: then the wait begins again.
	for range 5 {
		o, ok := r.rank(ctx, leader)
		if !ok {
			return false
		}
		select {
		case <-time.After(o.wait):
		case <-ctx.Done():
			return false
		}
		if _, now := r.raft.LeaderWithID(); now != leader && now != "" {
			return false
		}
		if time.Since(r.raft.LastContact()) < leaseOf(r.g.o.Heartbeat) || (o.best && r.waiting(ctx, leader, o.agreeing)) {
			continue
		}
		r.g.o.Log.Info("the leader is dead; electing", "shard", r.g.o.Shard, "leader", leader, "best", o.best)
		r.g.metrics.tookOver()
		r.follow.Store(&dead{leader: leader, term: term, since: time.Now(), faster: true})
		r.setTimeouts(leaseOf(r.g.o.Heartbeat))
		return true
	}
	return false
}

// waiting reports whether one of those that should have forgotten the leader
// by now has not: it would give no vote, and the next attempt would come late.
func (r *replica) waiting(ctx context.Context, leader raft.ServerID, agreeing []raft.ServerID) bool {
	for _, s := range r.ask(ctx, leader, agreeing) {
		if s.Wait > 0 {
			return true
		}
	}
	return false
}

// order is this replica's place among those that find the leader dead.
type order struct {
	wait     time.Duration // before it campaigns
	best     bool          // it should win
	agreeing []raft.ServerID
}

// rank is how long this replica waits before it campaigns. All but the one
// with the longest log begin first: they cannot win against it, but they forget
// the dead leader, and a follower that knows a leader gives no pre-vote.
func (r *replica) rank(ctx context.Context, leader raft.ServerID) (o order, ok bool) {
	own := r.standing(ctx, leader)
	if !own.Agrees {
		return order{}, false
	}
	o = order{wait: own.Wait, best: true}
	longest := own.Wait
	for id, other := range r.ask(ctx, leader, r.voters()) {
		ahead := cmp.Or(cmp.Compare(other.Term, own.Term), cmp.Compare(other.Index, own.Index), cmp.Compare(r.g.o.Self, id))
		o.best = o.best && ahead < 0
		o.agreeing = append(o.agreeing, id)
		longest = max(longest, other.Wait)
	}
	if o.best {
		o.wait = longest + headStart
	}
	return o, true
}

// ask asks others of the replicas, and returns those that agree.
func (r *replica) ask(ctx context.Context, leader raft.ServerID, replicas []raft.ServerID) map[raft.ServerID]Standing {
	ctx, cancel := context.WithTimeout(ctx, standingTimeout)
	defer cancel()
	var mu sync.Mutex
	agreeing := map[raft.ServerID]Standing{}
	var asking sync.WaitGroup
	for _, id := range replicas {
		if id == leader || id == r.g.o.Self {
			continue
		}
		asking.Go(func() {
			s, err := r.g.o.Peers.Standing(ctx, id, r.g.o.Shard, leader)
			if err != nil || !s.Agrees {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			agreeing[id] = s
		})
	}
	asking.Wait()
	return agreeing
}

// standing looks at the leader with this replica's eyes.
func (r *replica) standing(ctx context.Context, leader raft.ServerID) Standing {
	_, known := r.raft.LeaderWithID()
	if r.raft.State() == raft.Leader || !slices.Contains(r.voters(), r.g.o.Self) || (known != leader && known != "") {
		return Standing{}
	}
	ctx, cancel := context.WithTimeout(ctx, standingTimeout)
	defer cancel()
	if !r.refused(ctx, leader) {
		return Standing{}
	}
	end := r.raft.LastContact().Add(leaseOf(r.g.o.Heartbeat))
	if r.grace.After(end) {
		end = r.grace
	}
	at := r.end()
	return Standing{Agrees: true, Term: at.Term, Index: at.Index, Wait: max(time.Until(end), 0)}
}

// refused reports whether the leader's process is gone.
func (r *replica) refused(ctx context.Context, leader raft.ServerID) bool {
	for range probes {
		if r.g.o.Peers.Refused(ctx, leader) {
			return true
		}
		select {
		case <-time.After(probePause):
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// endTakeover restores the time-outs once a leader is known, or after a while.
func (r *replica) endTakeover() {
	f := r.follow.Load()
	if f == nil || !f.faster {
		return
	}
	_, leader := r.raft.LeaderWithID()
	elected := leader != "" && (leader != f.leader || r.raft.CurrentTerm() > f.term)
	if !elected && time.Since(f.since) < 10*r.g.o.Heartbeat {
		return
	}
	r.setTimeouts(r.g.o.Heartbeat)
	r.follow.Store(nil)
}

// setTimeouts reloads Raft's time-outs; when they become shorter it looks at
// its timers at once.
func (r *replica) setTimeouts(d time.Duration) {
	r.reload(func(c *raft.ReloadableConfig) { c.HeartbeatTimeout, c.ElectionTimeout = d, d })
}

// Standing answers another replica that finds the leader dead. Who agrees
// takes part, even if it has noticed nothing itself.
func (g *Group) Standing(ctx context.Context, leader raft.ServerID) Standing {
	r, err := g.replica()
	if err != nil {
		return Standing{}
	}
	s := r.standing(ctx, leader)
	if s.Agrees {
		r.connectionLost(string(leader))
	}
	return s
}
