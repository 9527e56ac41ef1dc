package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"quorumta/internal/mail"
	"quorumta/queue/attempt"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Claim is the right to one attempt.
type Claim struct {
	ID         mail.MessageID
	Number     uint32
	Recipients []uint32
}

func (c Claim) key() attempt.Key { return attempt.Key{ID: c.ID, Number: c.Number} }

// overlay is what the office has proposed and not yet seen applied: deciding
// runs ahead of folding (PROTOCOL 18). It is dropped with the office.
type overlay struct {
	mu    sync.Mutex
	ahead map[mail.MessageID]*ahead
}

// ahead are the claims of one message under way.
type ahead struct {
	claims     int
	number     uint32 // of the newest
	recipients map[uint32]bool
}

func (v *overlay) has(id mail.MessageID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ahead[id] != nil
}

// Claim has the recipients of a message claimed; when it returns nil the
// Claimed is committed and applied. Claims of many goroutines share entries.
// ErrStale: a recipient is not pending any more, or the message is held.
// ErrNotInOffice: the shard is to be left alone. A claim whose caller went
// away before it was committed is returned at once.
func (o *Office) Claim(ctx context.Context, id mail.MessageID, recipients []uint32) (Claim, error) {
	if !o.inOffice() {
		return Claim{}, ErrNotInOffice
	}
	c, err := o.propound(id, recipients)
	if err != nil {
		return Claim{}, err
	}
	select {
	case v := <-c.settled:
		return c.Claim, claimError(v)
	case <-ctx.Done():
	}
	if c.decided.CompareAndSwap(false, true) {
		return Claim{}, fmt.Errorf("wait for the claim of %s: %w", id, ctx.Err())
	}
	return c.Claim, claimError(<-c.settled)
}

// claiming is a claim under way.
type claiming struct {
	Claim
	// decided: either the caller has gone away, or it gets the attempt.
	decided atomic.Bool
	settled chan verdict
	// more: other recipients of the message are pending.
	more bool
}

func claimError(v verdict) error {
	switch {
	case v.err == nil && v.result == state.Applied:
		return nil
	case v.err == nil && v.result != state.Late:
		return ErrStale
	case v.err == nil:
		return ErrNotInOffice
	}
	return fmt.Errorf("%w: %w", ErrNotInOffice, v.err)
}

// propound numbers the claim and puts it in its lane. Numbers and the lane
// must have one order, so both happen under the overlay's lock.
func (o *Office) propound(id mail.MessageID, recipients []uint32) (*claiming, error) {
	o.overlay.mu.Lock()
	m, ok := o.Message(id)
	if !ok || m.Held || !o.overlay.pending(m, recipients) {
		o.overlay.mu.Unlock()
		return nil, ErrStale
	}
	c := &claiming{settled: make(chan verdict, 1), more: countPending(m) > len(recipients)}
	c.Claim = Claim{ID: id, Number: o.overlay.enter(m, recipients), Recipients: slices.Clone(recipients)}
	claimed := &event.Claimed{Number: c.Number, Recipients: c.Recipients, By: o.shard.q.self}
	refused := o.claims.enqueue(waiting{
		group:   event.Group{ID: id, Events: []event.Event{claimed}},
		settled: func(v verdict) { o.claimed(c, v) },
	})
	o.overlay.mu.Unlock()
	if refused != nil {
		o.overlay.leave(c.Claim)
		return nil, claimError(verdict{err: refused})
	}
	return c, nil
}

func countPending(m *state.Message) int {
	n := 0
	for _, r := range m.Recipients {
		if r.Phase == state.Pending {
			n++
		}
	}
	return n
}

// claimed takes the verdict on a claim.
func (o *Office) claimed(c *claiming, v verdict) {
	q := o.shard.q
	made := v.err == nil && v.result == state.Applied
	wanted := made && c.decided.CompareAndSwap(false, true)
	if wanted {
		q.attempts.Begin(c.key(), c.Recipients)
	}
	o.overlay.leave(c.Claim)
	if made {
		q.meters.claims.Add(o.ctx, 1)
	}
	if made && !wanted {
		o.giveBack(c.Claim, "its claimant went away")
	}
	if !made || c.more {
		o.wake() // the message can be seen again in the due index
	}
	c.settled <- v
}

// giveBack returns a claim of this office that nobody works on.
func (o *Office) giveBack(c Claim, why string) {
	returned := &event.Returned{Number: c.Number, Recipients: c.Recipients, Why: why}
	o.facts.add(event.Group{ID: c.ID, Events: []event.Event{returned}}, func(verdict) {})
}

// pending reports whether the recipients may be claimed. The lock is held.
func (v *overlay) pending(m *state.Message, recipients []uint32) bool {
	a := v.ahead[m.Accepted.ID]
	for _, n := range recipients {
		if int(n) >= len(m.Recipients) || m.Recipients[n].Phase != state.Pending {
			return false
		}
		if a != nil && a.recipients[n] {
			return false
		}
	}
	return len(recipients) > 0
}

// enter notes a claim and numbers it. The lock is held.
func (v *overlay) enter(m *state.Message, recipients []uint32) uint32 {
	id := m.Accepted.ID
	a := v.ahead[id]
	if a == nil {
		a = &ahead{recipients: map[uint32]bool{}}
		v.ahead[id] = a
	}
	a.claims++
	a.number = max(a.number, m.Attempts) + 1
	for _, n := range recipients {
		a.recipients[n] = true
	}
	return a.number
}

// leave forgets a claim that has its verdict.
func (v *overlay) leave(c Claim) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.ahead[c.ID]
	if a == nil {
		return
	}
	for _, n := range c.Recipients {
		delete(a.recipients, n)
	}
	if a.claims--; a.claims == 0 {
		delete(v.ahead, c.ID)
	}
}

// MaySend is the last look before a final dot: the office's lease runs, the
// claim is the current one, and all its recipients are open. A transport that has lost some of the recipients on the way (they
// were refused) asks with the others alone. From then on a node that asks is
// told that the dot may have been sent. Nil, ErrStale or ErrNotInOffice.
func (o *Office) MaySend(c Claim) error {
	if !o.current(c) {
		return ErrStale
	}
	q := o.shard.q
	if !q.attempts.Send(c.key()) {
		return ErrStale
	}
	// The lease comes last: whoever asked before this was told "not sent" and
	// has revoked the attempt; whoever asks later is told "sent".
	if !o.inOffice() {
		q.attempts.Unsend(c.key())
		return ErrNotInOffice
	}
	return nil
}

// current reports whether the claim is the current attempt of all its
// recipients, in the newest state.
func (o *Office) current(c Claim) bool {
	ok := false
	o.view(func(r state.Reader) {
		ok = len(c.Recipients) > 0 && state.Current(r, c.ID, c.Number, c.Recipients)
	})
	return ok
}
