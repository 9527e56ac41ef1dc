package queue

import (
	"context"
	"slices"
	"sync"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/attempt"
	"quorumta/queue/call"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

const (
	callAttempts = "queue.attempts"
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

// question asks a node what one of its processes knows of its attempts.
type question struct {
	Boot     uint64   `json:"boot"`
	Attempts []tagged `json:"attempts"`
}

type tagged struct {
	ID     mail.MessageID `json:"id"`
	Number uint32         `json:"number"`
}

// knowledge is the answer: of the process that runs now, one item for each
// attempt of the question if it is the one asked after, none otherwise.
type knowledge struct {
	Boot  uint64              `json:"boot"`
	Known []attempt.Knowledge `json:"known"`
}

// serveAttempts answers a new leader's question. What is answered Unsent will
// not be sent any more.
func (q *Queue) serveAttempts(_ context.Context, ask question) (knowledge, error) {
	k := knowledge{Boot: q.self.Boot}
	if ask.Boot != q.self.Boot {
		return k, nil
	}
	for _, a := range ask.Attempts {
		k.Known = append(k.Known, q.attempts.Ask(attempt.Key{ID: a.ID, Number: a.Number}))
	}
	return k, nil
}

// settling is a leader's settling of claims that it did not make, or that
// nobody works on any more (PROTOCOL 33). It goes on beside new claims: what
// is in flight cannot be claimed, and the rest need not wait.
type settling struct {
	office *Office
	// silent is since when a process has not answered.
	silent map[event.Process]time.Time
}

// settle settles claims until the office ends.
func (o *Office) settle(ctx context.Context) {
	s := settling{office: o, silent: map[event.Process]time.Time{}}
	for ctx.Err() == nil {
		wait := idleTime
		for p, claims := range s.old() {
			wait = min(wait, s.process(ctx, p, claims))
		}
		if !clock.Pause(ctx, wait) {
			return
		}
	}
}

// old lists the claims to be settled, by process: those of earlier terms, and
// those of this office that are in nobody's hands.
func (s *settling) old() map[event.Process][]state.Claim {
	o, q := s.office, s.office.shard.q
	old := map[event.Process][]state.Claim{}
	o.view(func(r state.Reader) {
		state.Claims(r, func(c state.Claim) bool {
			ours := c.Term >= o.term
			if ours && (o.overlay.Has(c.ID) || q.attempts.Has(attempt.Key{ID: c.ID, Number: c.Number})) {
				return true
			}
			old[c.By] = append(old[c.By], c)
			return true
		})
	})
	return old
}

// process asks a process about its claims, and settles what is certain. It
// returns when to look again.
func (s *settling) process(ctx context.Context, p event.Process, claims []state.Claim) time.Duration {
	known, answered := s.ask(ctx, p, claims)
	if ctx.Err() != nil {
		return 0
	}
	if !answered {
		since, before := s.silent[p]
		if !before {
			since = time.Now()
			s.silent[p] = since
		}
		if time.Since(since) < patience {
			return retryTime
		}
	} else {
		delete(s.silent, p)
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
		groups = append(groups, event.Group{ID: c.ID, Events: []event.Event{s.verdict(c, k)}})
	}
	for some := range slices.Chunk(groups, lane.MostGroups) {
		for _, v := range s.office.propose(ctx, some) {
			if !v.Definite() {
				wait = min(wait, retryTime)
			}
		}
	}
	return wait
}

// verdict is what becomes of a claim that nobody will resolve.
func (s *settling) verdict(c state.Claim, k attempt.Knowledge) event.Event {
	if k == attempt.Unsent {
		return &event.Returned{Number: c.Number, Recipients: c.Recipients, Why: "the leader changed before it was sent"}
	}
	return &event.Doubted{
		Number: c.Number, Recipients: c.Recipients, By: c.By, Term: c.Term, Hold: s.office.shard.q.o.HoldDoubts,
	}
}

// ask asks the process. answered is false if its node is silent; known is nil
// if the process is no more.
func (s *settling) ask(ctx context.Context, p event.Process, claims []state.Claim) (known []attempt.Knowledge, answered bool) {
	q := s.office.shard.q
	ask := question{Boot: p.Boot}
	for _, c := range claims {
		ask.Attempts = append(ask.Attempts, tagged{c.ID, c.Number})
	}
	var k knowledge
	var err error
	if p.Node == q.self.Node {
		k, err = q.serveAttempts(ctx, ask)
	} else {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		k, err = call.Ask[question, knowledge](ctx, q.way.Call, p.Node, callAttempts, ask)
	}
	switch {
	case err != nil:
		return nil, false
	case k.Boot != p.Boot, len(k.Known) != len(claims):
		return nil, true
	}
	return k.Known, true
}

// keep does an office's chores until it ends.
func (o *Office) keep(ctx context.Context) {
	o.shard.q.o.Log.Info("in office", "shard", o.shard.id, "term", o.term)
	var both sync.WaitGroup
	both.Go(func() { o.settle(ctx) })
	both.Go(func() { o.sweep(ctx) })
	both.Wait()
	o.shard.q.o.Log.Info("out of office", "shard", o.shard.id, "term", o.term)
}
