// Package thaw looks after messages that the relay itself holds: it has them
// tried again, or ends them, when their time has come. What a person holds is
// his.
package thaw

import (
	"context"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/state"
)

const (
	// pace is how often held messages are looked at.
	pace = time.Minute
	// page is how many messages are read together, and pause how long the next
	// ones wait: a large queue must not be read in one go.
	page, pause = 500, 50 * time.Millisecond
)

// Holder is who holds what is damaged; it must never bounce (PROTOCOL 13).
const Holder = "quorumta"

// Freezer is who holds a message that the relay itself cannot deliver: by an
// operator's hold it is never confused with.
const Freezer = "quorumta freeze"

// Freeze says what becomes of messages that are held by the relay itself, as
// Exim freezes them. What a person holds stays as it is.
type Freeze struct {
	// Reports: a message that fails and has no sender is held, not forgotten,
	// until it is older than IgnoreAfter.
	Reports     bool
	IgnoreAfter time.Duration
	// ThawAfter is after what time a held message with a sender is tried again,
	// EndAfter at what age a held one ends, with a report if it has a sender; 0:
	// never.
	ThawAfter, EndAfter time.Duration
}

// Office is the part of a shard's leadership that is needed; it is called from
// one goroutine at a time.
type Office interface {
	// Held lists held messages after an id, as the queue's office does.
	Held(after mail.MessageID, most int) (held []state.HeldMessage, next mail.MessageID)
	// Now is the shard's time.
	Now() time.Time
}

// Options say what is looked after.
type Options struct {
	Office Office
	// Rules are those of now. With none that names a time nothing is read.
	Rules func() Freeze
	// Trusted reports whether the clock may decide that time is up.
	Trusted func() bool
	// Release has a message tried again, End ends what is open of one.
	Release func(mail.MessageID)
	End     func(*state.Message)
}

// Run looks after an office's messages until ctx ends.
func Run(ctx context.Context, o Options) {
	for sleep(ctx, pace) {
		f := o.Rules()
		if f.ThawAfter == 0 && f.EndAfter == 0 || !o.Trusted() {
			continue
		}
		for after, more := mail.MessageID(""), true; more; more = after != "" && sleep(ctx, pause) {
			var held []state.HeldMessage
			held, after = o.Office.Held(after, page)
			for _, h := range held {
				o.look(h, f)
			}
		}
	}
}

// look ends a held message whose time has come, or has it tried again.
func (o *Options) look(h state.HeldMessage, f Freeze) {
	m, now := h.Message, o.Office.Now()
	frozen := m.HeldBy == Freezer
	switch {
	case frozen && f.EndAfter > 0 && now.Sub(m.At) >= f.EndAfter:
		o.End(m)
	case (frozen || m.HeldBy == Holder) && f.ThawAfter > 0 && !m.Accepted.Envelope.From.IsNull() && now.Sub(h.Since) >= f.ThawAfter:
		o.Release(m.Accepted.ID)
	}
}

// sleep is false where ctx has ended.
func sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
