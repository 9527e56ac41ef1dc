package office

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/attempt"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

// Why an office refuses.
var (
	// ErrStale: the attempt is not the current one or the recipient is closed;
	// no final dot may be sent.
	ErrStale = errors.New("the attempt is stale")
	// ErrNotInOffice: this node does not lead the shard in that term any more;
	// no final dot may be sent.
	ErrNotInOffice = errors.New("not in office")
)

// Claim is the right to one attempt.
type Claim struct {
	ID         mail.MessageID
	Number     uint32
	Recipients []uint32
}

// Key names the attempt in the process's table.
func (c Claim) Key() attempt.Key { return attempt.Key{ID: c.ID, Number: c.Number} }

// Claim has the recipients of a message claimed, as Begin does, and waits for
// that.
func (o *Office) Claim(ctx context.Context, id mail.MessageID, recipients []uint32) (Claim, error) {
	c, err := o.Begin(id, recipients)
	if err != nil {
		return Claim{}, err
	}
	return c.Wait(ctx, 0)
}

// Begin puts a claim of recipients of a message on its way; it waits for
// nobody. Claims of many goroutines share entries. ErrStale: a recipient is not
// pending any more, or the message is held. ErrNotInOffice: the shard is to be
// left alone. Who begins a claim waits for it in the end.
func (o *Office) Begin(id mail.MessageID, recipients []uint32) (*Claiming, error) {
	if !o.inOffice() {
		return nil, ErrNotInOffice
	}
	if o.opt.Unsettled(id) {
		return nil, ErrStale
	}
	return o.propound(id, recipients)
}

// Claiming is a claim under way. Its exported methods are called by one
// goroutine at a time.
type Claiming struct {
	claim Claim
	// decided: either the caller has gone away, or it gets the attempt.
	decided atomic.Bool
	settled chan lane.Verdict
	// more: other recipients of the message are pending.
	more bool
	// known: err is what Wait has found.
	known bool
	err   error
}

// Wait waits for the verdict, for limit at most, or until ctx ends; 0 is no
// limit. When it returns nil the Claimed is committed and applied; the errors
// are those of Begin. A claim whose caller went away before it was committed is
// returned at once. Asked again, it says the same.
func (c *Claiming) Wait(ctx context.Context, limit time.Duration) (Claim, error) {
	if !c.known {
		c.known, c.err = true, c.await(ctx, limit)
	}
	if c.err != nil {
		return Claim{}, c.err
	}
	return c.claim, nil
}

func (c *Claiming) await(ctx context.Context, limit time.Duration) error {
	select {
	case v := <-c.settled:
		return claimError(v)
	default:
	}
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	why := context.DeadlineExceeded
	select {
	case v := <-c.settled:
		return claimError(v)
	case <-ctx.Done():
		why = ctx.Err()
	case <-late:
	}
	if c.decided.CompareAndSwap(false, true) {
		return fmt.Errorf("wait for the claim of %s: %w", c.claim.ID, why)
	}
	return claimError(<-c.settled)
}

func claimError(v lane.Verdict) error {
	switch {
	case v.Err == nil && v.Result == state.Applied:
		return nil
	case v.Err == nil && v.Result != state.Late:
		return ErrStale
	case v.Err == nil:
		return ErrNotInOffice
	}
	return fmt.Errorf("%w: %w", ErrNotInOffice, v.Err)
}

// propound puts a claim on its way.
func (o *Office) propound(id mail.MessageID, recipients []uint32) (*Claiming, error) {
	c := &Claiming{settled: make(chan lane.Verdict, 1)}
	c.claim = Claim{ID: id, Recipients: slices.Clone(recipients)}
	load := func() (*state.Message, bool) { return o.Message(id) }
	entered, err := o.overlay.enter(load, recipients, func(m *state.Message, number uint32) error {
		c.claim.Number, c.more = number, countPending(m) > len(recipients)
		claimed := &event.Claimed{Number: number, Recipients: c.claim.Recipients, By: o.opt.Self}
		return o.lane.Enqueue(lane.Waiting{
			Group:   event.Group{ID: id, Events: []event.Event{claimed}},
			Settled: func(v lane.Verdict) { o.claimed(c, v) },
		})
	})
	switch {
	case err != nil:
		return nil, claimError(lane.Verdict{Err: err})
	case !entered:
		return nil, ErrStale
	}
	return c, nil
}

func countPending(m *state.Message) int {
	n := 0
	for i := range m.Recipients {
		if m.Recipients[i].Phase == state.Pending {
			n++
		}
	}
	return n
}

// claimed takes the verdict on a claim.
func (o *Office) claimed(c *Claiming, v lane.Verdict) {
	made := v.Err == nil && v.Result == state.Applied
	wanted := made && c.decided.CompareAndSwap(false, true)
	if wanted {
		o.opt.Attempts.Begin(c.claim.Key(), c.claim.Recipients)
	}
	o.overlay.leave(c.claim.ID, c.claim.Recipients)
	if made {
		o.opt.Counters.Claims.Add(o.ctx, 1)
	}
	if made && !wanted {
		o.giveBack(c.claim, "its claimant went away")
	}
	if !made || c.more {
		o.wake() // the message can be seen again in the due index
	}
	c.settled <- v
}

// giveBack returns a claim of this office that nobody works on.
func (o *Office) giveBack(c Claim, why string) {
	returned := &event.Returned{Number: c.Number, Recipients: c.Recipients, Why: why}
	o.lane.Add(event.Group{ID: c.ID, Events: []event.Event{returned}}, func(lane.Verdict) {})
}

// MaySend is the last look before a final dot: the office's lease runs, the
// claim is the current one, and all its recipients are open. A transport that
// has lost some of the recipients on the way (they were refused) asks with the
// others alone. From then on a node that asks is told that the dot may have
// been sent. Nil, ErrStale or ErrNotInOffice.
func (o *Office) MaySend(c Claim) error {
	if !o.current(c) {
		return ErrStale
	}
	if !o.opt.Attempts.Send(c.Key()) {
		return ErrStale
	}
	// The lease comes last: whoever asked before this was told "not sent" and
	// has revoked the attempt; whoever asks later is told "sent".
	if !o.inOffice() {
		o.opt.Attempts.Unsend(c.Key())
		return ErrNotInOffice
	}
	return nil
}

// current reports whether the claim is the current attempt of all its
// recipients, in the newest state.
func (o *Office) current(c Claim) bool {
	v := o.opt.View(o.shard)
	defer v.Close()
	return len(c.Recipients) > 0 && state.Current(v, c.ID, c.Number, c.Recipients)
}
