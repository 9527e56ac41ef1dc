package attempt

import (
	"slices"
	"sync"

	"quorumta/internal/mail"
)

// Knowledge is what a process says about one of its attempts. The numbers
// travel between nodes and never change.
type Knowledge uint8

// What may be known.
const (
	// Unsent: no final dot was sent, and from this answer on none will be.
	Unsent Knowledge = 1
	// Waiting: the dot may have been sent, and the outcome will be reported.
	Waiting Knowledge = 2
	// Lost: the dot may have been sent, and nobody will report the outcome.
	Lost Knowledge = 3
)

// Key names an attempt.
type Key struct {
	ID     mail.MessageID
	Number uint32
}

// Table holds the attempts of one process that are claimed and not resolved.
// Its methods are safe for concurrent use.
type Table struct {
	mu   sync.Mutex
	open map[Key]*entry
}

type entry struct {
	left    []uint32 // recipients without a recorded outcome
	sent    bool     // the final dot may have been sent
	revoked bool     // somebody was told that it was not
	lost    bool     // the outcome was not recorded, and nobody tries any more
}

// NewTable makes an empty table.
func NewTable() *Table { return &Table{open: map[Key]*entry{}} }

// Begin enters an attempt whose claim is committed.
func (t *Table) Begin(k Key, recipients []uint32) {
	left := slices.Clone(recipients)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[k] = &entry{left: left}
}

// Send notes that the final dot may be sent from now on. It reports false if
// it must not: the attempt is not in the table, or a new leader was told that
// no dot was sent.
func (t *Table) Send(k Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.open[k]
	if e == nil || e.revoked {
		return false
	}
	e.sent = true
	return true
}

// Unsend takes Send back: the dot was not sent after all.
func (t *Table) Unsend(k Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.open[k]; e != nil {
		e.sent = false
	}
}

// End notes that the outcome of these recipients is on record.
func (t *Table) End(k Key, recipients []uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.open[k]
	if e == nil {
		return
	}
	e.left = slices.DeleteFunc(e.left, func(n uint32) bool { return slices.Contains(recipients, n) })
	if len(e.left) == 0 {
		delete(t.open, k)
	}
}

// Lose notes that the outcome could not be recorded and that nobody will try
// again.
func (t *Table) Lose(k Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.open[k]
	switch {
	case e == nil:
	case e.sent:
		e.lost = true
	default:
		delete(t.open, k)
	}
}

// Has reports whether the attempt is under way.
func (t *Table) Has(k Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.open[k]
	return e != nil && !e.lost
}

// Ask is what a new leader asks. An attempt that is answered Unsent is revoked:
// its Send will fail.
func (t *Table) Ask(k Key) Knowledge {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.open[k]
	switch {
	case e == nil:
		return Unsent
	case e.lost:
		return Lost
	case e.sent:
		return Waiting
	}
	e.revoked = true
	return Unsent
}

// Len is how many attempts are under way.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}
