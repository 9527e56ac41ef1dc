package office

import (
	"context"
	"slices"
	"sync"
	"time"

	"quorumta/queue/attempt"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

const (
	// patience is how long a process may be silent about its claims before
	// they are in doubt.
	patience = time.Second
	// askTime is how long one question waits, and retryTime how long until the
	// next one to a process that did not answer.
	askTime   = 450 * time.Millisecond
	retryTime = 100 * time.Millisecond
	// waitTime is how often a process is asked that waits for an answer, and
	// idleTime how often a leader looks for claims that nobody works on.
	waitTime = time.Second
	idleTime = 5 * time.Second
)

// settling is what an office remembers while it settles. It belongs to the
// goroutine that settles.
type settling struct {
	// silent is since when a process has not answered.
	silent map[event.Process]time.Time
}

// settle settles claims until the office ends.
func (o *Office) settle(ctx context.Context) {
	for ctx.Err() == nil {
		if !clock.Pause(ctx, o.Settle(ctx)) {
			return
		}
	}
}

// Settle settles, of the claims that this office did not make or that nobody
// works on any more, those that it can settle now, and returns when to look
// again (PROTOCOL 33). It goes on beside new claims: what is in flight cannot
// be claimed, and the rest need not wait. Keep calls it; it is called from one
// goroutine at a time.
func (o *Office) Settle(ctx context.Context) time.Duration {
	wait := idleTime
	for p, claims := range o.oldClaims() {
		wait = min(wait, o.settleProcess(ctx, p, claims))
	}
	return wait
}

// oldClaims lists the claims to be settled, by process: those of earlier terms,
// and those of this office that are in nobody's hands.
func (o *Office) oldClaims() map[event.Process][]state.Claim {
	old := map[event.Process][]state.Claim{}
	o.view(func(r state.Reader) {
		state.Claims(r, func(c state.Claim) bool {
			ours := c.Term >= o.term
			if ours && (o.overlay.has(c.ID) || o.opt.Attempts.Has(attempt.Key{ID: c.ID, Number: c.Number})) {
				return true
			}
			old[c.By] = append(old[c.By], c)
			return true
		})
	})
	return old
}

// settleProcess asks a process about its claims, and settles what is certain. It
// returns when to look again.
func (o *Office) settleProcess(ctx context.Context, p event.Process, claims []state.Claim) time.Duration {
	known, answered := o.ask(ctx, p, claims)
	if ctx.Err() != nil {
		return 0
	}
	if !answered && o.settling.silence(p) < patience {
		return retryTime
	}
	if answered {
		delete(o.settling.silent, p)
	}
	wait := idleTime
	var groups []event.Group
	for i, c := range claims {
		k := attempt.Lost
		if known != nil {
			k = known[i]
		}
		if k == attempt.Waiting {
			wait = waitTime
			continue
		}
		groups = append(groups, event.Group{ID: c.ID, Events: []event.Event{o.verdict(c, k)}})
	}
	for some := range slices.Chunk(groups, lane.MostGroups) {
		for _, v := range o.Propose(ctx, some) {
			if !v.Definite() {
				wait = min(wait, retryTime)
			}
		}
	}
	return wait
}

// silence is for how long a process has not answered.
func (s *settling) silence(p event.Process) time.Duration {
	since, before := s.silent[p]
	if before {
		return time.Since(since)
	}
	if s.silent == nil {
		s.silent = map[event.Process]time.Time{}
	}
	s.silent[p] = time.Now()
	return 0
}

// verdict is what becomes of a claim that nobody will resolve.
func (o *Office) verdict(c state.Claim, k attempt.Knowledge) event.Event {
	if k == attempt.Unsent {
		return &event.Returned{Number: c.Number, Recipients: c.Recipients, Why: "the leader changed before it was sent"}
	}
	return &event.Doubted{
		Number: c.Number, Recipients: c.Recipients, By: c.By, Term: c.Term, Hold: o.opt.HoldDoubts,
	}
}

// ask asks the process. answered is false if its node is silent; known is nil
// if the process is no more.
func (o *Office) ask(ctx context.Context, p event.Process, claims []state.Claim) (known []attempt.Knowledge, answered bool) {
	ask := attempt.Question{Boot: p.Boot}
	for _, c := range claims {
		ask.Attempts = append(ask.Attempts, attempt.Named{ID: c.ID, Number: c.Number})
	}
	if p.Node == o.opt.Self.Node {
		return o.opt.Attempts.Reply(o.opt.Self.Boot, ask).Known, true
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return attempt.AskProcess(ctx, o.opt.Call, p, ask)
}

// Keep does the office's chores until ctx ends.
func (o *Office) Keep(ctx context.Context) {
	o.opt.Log.Info("in office", "shard", o.shard, "term", o.term)
	var both sync.WaitGroup
	both.Go(func() { o.settle(ctx) })
	both.Go(func() { o.sweep(ctx) })
	both.Wait()
	o.opt.Log.Info("out of office", "shard", o.shard, "term", o.term)
}
