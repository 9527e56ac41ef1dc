package office

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

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

// Claim has the recipients of a message claimed; when it returns nil the
// Claimed is committed and applied. Claims of many goroutines share entries.
// ErrStale: a recipient is not pending any more, or the message is held.
// ErrNotInOffice: the shard is to be left alone. A claim whose caller went
// away before it was committed is returned at once.
func (o *Office) Claim(ctx context.Context, id mail.MessageID, recipients []uint32) (Claim, error) {
	if !o.inOffice() {
		return Claim{}, ErrNotInOffice
	}
	if o.opt.Unsettled(id) {
		return Claim{}, ErrStale
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
	settled chan lane.Verdict
	// more: other recipients of the message are pending.
	more bool
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
func (o *Office) propound(id mail.MessageID, recipients []uint32) (*claiming, error) {
	c := &claiming{settled: make(chan lane.Verdict, 1)}
	c.Claim = Claim{ID: id, Recipients: slices.Clone(recipients)}
	load := func() (*state.Message, bool) { return o.Message(id) }
	entered, err := o.overlay.enter(load, recipients, func(m *state.Message, number uint32) error {
		c.Number, c.more = number, countPending(m) > len(recipients)
		claimed := &event.Claimed{Number: number, Recipients: c.Recipients, By: o.opt.Self}
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
	for _, r := range m.Recipients {
		if r.Phase == state.Pending {
			n++
		}
	}
	return n
}

// claimed takes the verdict on a claim.
func (o *Office) claimed(c *claiming, v lane.Verdict) {
	made := v.Err == nil && v.Result == state.Applied
	wanted := made && c.decided.CompareAndSwap(false, true)
	if wanted {
		o.opt.Attempts.Begin(c.Key(), c.Recipients)
	}
	o.overlay.leave(c.ID, c.Recipients)
	if made {
		o.opt.Counters.Claims.Add(o.ctx, 1)
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
	ok := false
	o.view(func(r state.Reader) {
		ok = len(c.Recipients) > 0 && state.Current(r, c.ID, c.Number, c.Recipients)
	})
	return ok
}
