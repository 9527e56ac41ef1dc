package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/state"
)

const (
	callList  = "queue.list"
	callCount = "queue.count"
	// mostListed, mostRecipients and mostScanned bound one answer of a shard.
	mostListed     = 1000
	mostRecipients = 20000
	mostScanned    = 5000
)

// Selection chooses open messages. Zero fields do not narrow it.
type Selection struct {
	// State is "due", "deferred", "held" or "in_flight".
	State string `json:"state,omitempty"`
	// Domain of a recipient that is open; Sender is the whole reverse-path, "<>"
	// the null one.
	Domain string `json:"domain,omitempty"`
	Sender string `json:"sender,omitempty"`
	// OlderThan is the age at least.
	OlderThan time.Duration `json:"older_than,omitempty"`
	// Restored: it comes from a backup, and waits to be let go.
	Restored bool `json:"restored,omitempty"`
	// If is a CEL expression.
	If string `json:"if,omitempty"`
}

// Page is one page of a list.
type Page struct {
	Messages []*state.Message
	// Cursor continues the list; "" at its end.
	Cursor string
	// Stale names shards that answered without their leader.
	Stale []uint16
}

// Totals are the counts over all shards.
type Totals struct {
	Total uint64 `json:"total"`
	// Due may be some seconds old where there are very many.
	Due      uint64 `json:"due"`
	Deferred uint64 `json:"deferred"`
	Held     uint64 `json:"held"`
	InFlight uint64 `json:"in_flight"`
	// Restored come from a backup and wait to be let go; they count as held.
	Restored uint64 `json:"restored,omitempty"`
	// Suspended are the shards that have such messages.
	Suspended []Suspension `json:"suspended,omitempty"`
	// Stale names shards that answered without their leader: what they have
	// accepted last may be missing.
	Stale []uint16 `json:"stale,omitempty"`
}

// Suspension is why messages of a shard wait that was restored from a backup.
type Suspension struct {
	Shard uint16 `json:"shard"`
	// At is when it was restored, By whom, from a Backup of what time.
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Backup time.Time `json:"backup"`
}

// State is the state of an open message at the time now: "held" (by somebody,
// or because it was restored), "in_flight" (an attempt is under way), "due" or
// "deferred".
func State(m *state.Message, now time.Time) string {
	if m.Held || m.Suspended {
		return "held"
	}
	due := "deferred"
	for i := range m.Recipients {
		switch r := &m.Recipients[i]; {
		case r.Phase == state.InFlight:
			return "in_flight"
		case r.Phase == state.Pending && !r.Due.After(now):
			due = "due"
		}
	}
	return due
}

// compile is the selection as a condition, at the time now.
func (a *Asker) compile(s Selection, now time.Time) (func(*state.Message) (bool, error), error) {
	if s.State != "" && !slices.Contains([]string{"due", "deferred", "held", "in_flight"}, s.State) {
		return nil, fmt.Errorf("no such state: %q; there are due, deferred, held and in_flight", s.State)
	}
	condition := func(*state.Message) (bool, error) { return true, nil }
	if s.If != "" {
		if a.o.Filter == nil {
			return nil, errors.New("expressions are not supported here")
		}
		var err error
		if condition, err = a.o.Filter(s.If); err != nil {
			return nil, fmt.Errorf("expression %q: %w", s.If, err)
		}
	}
	return func(m *state.Message) (bool, error) {
		if s.Restored && !m.Suspended || s.State != "" && State(m, now) != s.State || now.Sub(m.At) < s.OlderThan ||
			!sentBy(m, s.Sender) || !goesTo(m, s.Domain) {
			return false, nil
		}
		return condition(m)
	}, nil
}

func sentBy(m *state.Message, sender string) bool {
	from := m.Accepted.Envelope.From
	if from.IsNull() {
		return sender == "" || sender == "<>"
	}
	return sender == "" || strings.EqualFold(from.String(), sender)
}

func goesTo(m *state.Message, domain string) bool {
	return domain == "" || slices.ContainsFunc(m.Recipients, func(r state.Recipient) bool {
		return r.Phase.Open() && strings.EqualFold(r.Address.Domain, domain)
	})
}

// listing asks a shard for the chosen messages with an id above After.
type listing struct {
	Shard     uint16         `json:"shard"`
	Selection Selection      `json:"selection"`
	After     mail.MessageID `json:"after"`
	Limit     int            `json:"limit"`
}

func (l listing) of() uint16 { return l.Shard }

// listed is the answer: all chosen messages up to Until, included; More: there
// are open ones above it.
type listed struct {
	Messages []*state.Message `json:"messages"`
	Until    mail.MessageID   `json:"until"`
	More     bool             `json:"more"`
}

// serveList answers from this node's replica.
func (a *Asker) serveList(ctx context.Context, ask listing) (listed, error) {
	var l listed
	chosen, err := a.compile(ask.Selection, a.o.Now())
	if err != nil {
		return l, err
	}
	limit := min(max(ask.Limit, 1), mostListed)
	scanned, recipients := 0, 0
	viewed := a.o.View(ask.Shard, func(r state.Reader) {
		state.Open(r, ask.After, func(id mail.MessageID) bool {
			full := scanned == mostScanned || len(l.Messages) == limit || recipients > mostRecipients
			if full || ctx.Err() != nil {
				l.More = true
				return false
			}
			scanned++
			l.Until = id
			m, ok := state.Load(r, id)
			if !ok {
				return true
			}
			var take bool
			if take, err = chosen(m); take {
				l.Messages = append(l.Messages, m)
				recipients += len(m.Recipients)
			}
			return err == nil
		})
	})
	return l, errors.Join(viewed, err, ctx.Err())
}

// List lists the chosen messages in order of id, after the cursor.
func (a *Asker) List(ctx context.Context, s Selection, cursor string, limit int) (Page, error) {
	limit = min(max(limit, 1), mostListed)
	var page Page
	if _, err := a.compile(s, a.o.Now()); err != nil {
		return page, err
	}
	for len(page.Messages) < limit {
		horizon, err := a.listRound(ctx, s, mail.MessageID(cursor), limit, &page)
		if err != nil {
			return page, err
		}
		if cursor = string(horizon); cursor == "" {
			break
		}
	}
	if len(page.Messages) > limit {
		page.Messages = page.Messages[:limit]
		cursor = string(page.Messages[limit-1].Accepted.ID)
	}
	page.Cursor = cursor
	return page, nil
}

// listRound adds to the page what all shards answer, up to the id that all of
// them have answered for, which it returns; "" if there is nothing above it.
func (a *Asker) listRound(ctx context.Context, s Selection, after mail.MessageID, limit int, page *Page) (mail.MessageID, error) {
	answers, stale, err := eachShard(ctx, a, callList, a.serveList, func(shard uint16) listing {
		return listing{Shard: shard, Selection: s, After: after, Limit: limit}
	})
	if err != nil {
		return "", err
	}
	var horizon mail.MessageID
	for _, l := range answers {
		if l.More && (horizon == "" || l.Until < horizon) {
			horizon = l.Until
		}
	}
	var found []*state.Message
	for _, l := range answers {
		for _, m := range l.Messages {
			if horizon == "" || m.Accepted.ID <= horizon {
				found = append(found, m)
			}
		}
	}
	slices.SortFunc(found, func(a, b *state.Message) int {
		return strings.Compare(string(a.Accepted.ID), string(b.Accepted.ID))
	})
	page.Messages = append(page.Messages, found...)
	for _, id := range stale {
		if !slices.Contains(page.Stale, id) {
			page.Stale = append(page.Stale, id)
		}
	}
	return horizon, nil
}

// counting asks a shard for its counts.
type counting struct {
	Shard uint16 `json:"shard"`
}

func (c counting) of() uint16 { return c.Shard }

// counted is the answer.
type counted struct {
	Totals
	// Last is the newest time of the shard.
	Last time.Time `json:"last"`
}

// serveCount answers from this node's replica.
func (a *Asker) serveCount(_ context.Context, ask counting) (counted, error) {
	var c counted
	err := a.o.View(ask.Shard, func(r state.Reader) {
		n := state.Count(r)
		c.Total, c.InFlight = n.Messages, n.InFlight
		c.Held, c.Restored = state.HeldBack(r)
		if why, ok := state.Suspended(r); ok {
			c.Suspended = []Suspension{{Shard: ask.Shard, At: why.At, By: why.By, Backup: why.Backup}}
		}
		c.Due = a.Due(ask.Shard, r, a.o.Now())
		// A message with one recipient in flight and another one due counts
		// as both; what is left is deferred.
		c.Deferred = c.Total - min(c.Total, c.Held+c.InFlight+c.Due)
		c.Last = state.LastTime(r)
	})
	return c, err
}

// Count counts the open messages of all shards.
func (a *Asker) Count(ctx context.Context) (Totals, error) {
	var t Totals
	answers, stale, err := eachShard(ctx, a, callCount, a.serveCount, func(shard uint16) counting { return counting{shard} })
	t.Stale = stale
	for _, c := range answers {
		t.Total += c.Total
		t.Due += c.Due
		t.Deferred += c.Deferred
		t.Held += c.Held
		t.InFlight += c.InFlight
		t.Restored += c.Restored
		t.Suspended = append(t.Suspended, c.Suspended...)
	}
	return t, err
}
